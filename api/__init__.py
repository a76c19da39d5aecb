"""Gradients as native code, from plain Python.

Decorate a function of NumPy arrays, or record operations under a tape; both give native
code. Functions have NumPy's names and NumPy's meaning: `pullback.sin`, `pullback.sum`.
"""

from typing import Any

from . import linalg, nn
from .ir.errors import (
    ArgumentError,
    EscapedValue,
    GradientLookupError,
    GraphError,
    IndexOutOfRange,
    NotPositiveDefinite,
    OpTypeError,
    PackageError,
    ParseError,
    PullbackError,
    SingularMatrix,
    SizeError,
    TargetError,
    TracedValueError,
    UnknownFunction,
)
from .ir.loc import register_room
from .reading import adjoint_text, graph_text
from .tracer.array import TracedArray
from .tracer.function import Function, function
from .tracer.gradient import grad, value_and_grad
from .tracer.left_tape import LeftTapeWarning
from .tracer.public import FUNCTIONS
from .tracer.tape import GradientTape, UnconnectedGradients
from .tracer.tensor import Tensor, constant
from .tracer.variable import Variable

register_room(__file__)

__all__ = [
    "ArgumentError",
    "EscapedValue",
    "Function",
    "GradientLookupError",
    "GradientTape",
    "GraphError",
    "IndexOutOfRange",
    "LeftTapeWarning",
    "NotPositiveDefinite",
    "OpTypeError",
    "PackageError",
    "ParseError",
    "PullbackError",
    "SingularMatrix",
    "SizeError",
    "TargetError",
    "Tensor",
    "TracedArray",
    "TracedValueError",
    "UnconnectedGradients",
    "UnknownFunction",
    "Variable",
    "adjoint_text",
    "constant",
    "function",
    "grad",
    "graph_text",
    "linalg",
    "nn",
    "value_and_grad",
]

__all__ += list(FUNCTIONS)


def __getattr__(name: str) -> Any:
    # Any: one of the NumPy-named functions, made from the op records
    found = FUNCTIONS.get(name)
    if found is None:
        raise AttributeError(f"module 'pullback' has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
