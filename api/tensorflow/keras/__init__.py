"""`tf.keras`: layers, initializers, losses and optimizers, those that guides use."""

from . import activations, initializers, layers, losses, optimizers
from .layers import Layer, Model, Sequential

__all__ = [
    "Layer",
    "Model",
    "Sequential",
    "activations",
    "initializers",
    "layers",
    "losses",
    "optimizers",
]
