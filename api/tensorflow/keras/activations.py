"""Activations by name."""

from collections.abc import Callable
from typing import Any

from .. import math, nn
from ..tensors import EagerTensor, convert


def linear(x: Any) -> EagerTensor:
    """Return x."""
    return convert(x)


relu, relu6, elu, selu, gelu = nn.relu, nn.relu6, nn.elu, nn.selu, nn.gelu
silu = swish = nn.silu
leaky_relu, softmax, log_softmax = nn.leaky_relu, nn.softmax, nn.log_softmax
softplus, softsign, sigmoid, tanh = nn.softplus, nn.softsign, nn.sigmoid, nn.tanh
exponential = math.exp

_NAMES = """
    linear relu relu6 elu selu gelu silu swish leaky_relu softmax log_softmax
    softplus softsign sigmoid tanh exponential
"""


def get(identifier: Any) -> Callable[..., Any]:
    """Return the activation of a name; a function is itself, None is the identity.

    Raises:
        ValueError: there is no such activation.
    """
    if identifier is None:
        return linear
    if isinstance(identifier, str) and identifier in __all__:
        return globals()[identifier]  # type: ignore[no-any-return]  # one of the above
    if callable(identifier):
        return identifier  # type: ignore[no-any-return]
    raise ValueError(
        f"Could not interpret activation function identifier: {identifier}"
    )


__all__ = ["get", *_NAMES.split()]
