"""Gradients as native code, from plain Python.

Decorate a function of NumPy arrays, or record operations under a tape; both give native
code. Functions have NumPy's names and NumPy's meaning: `pullback.sin`, `pullback.sum`.
"""

import importlib
from typing import TYPE_CHECKING, Any

from . import linalg, nn
from .ir.errors import (
    ArgumentError,
    EscapedValue,
    GradientLookupError,
    GradientMismatch,
    GraphError,
    IndexOutOfRange,
    NonFiniteError,
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
from .tracer.array import TracedArray
from .tracer.checking import check_numerics
from .tracer.function import Function, function
from .tracer.gradient import grad, value_and_grad
from .tracer.left_tape import LeftTapeWarning
from .tracer.public import FUNCTIONS
from .tracer.tape import GradientTape, UnconnectedGradients
from .tracer.tensor import Tensor, constant
from .tracer.variable import Variable

if TYPE_CHECKING:
    from .tracer.check_grads import check_grads
    from .tracer.control import cond, fori_loop, map, scan, switch, while_loop
    from .tracer.custom import checkpoint, custom_jvp, custom_vjp
    from .tracer.explain import Explanation
    from .tracer.implicit import custom_linear_solve, custom_root
    from .tracer.jacobians import hessian, hvp, jacobian
    from .tracer.mapping import vmap
    from .tracer.mode import interpret
    from .tracer.printing import print
    from .tracer.pushing import jvp, linearize
    from .tracer.ravel import ravel_tree
    from .tracer.vjp import Pullback, vjp

register_room(__file__)

# name -> its module, loaded when it is first asked for: many programs never do
_TOOLS = {
    "Explanation": ".tracer.explain",
    "Pullback": ".tracer.vjp",
    "adjoint_text": ".reading",
    "check_grads": ".tracer.check_grads",
    "checkpoint": ".tracer.custom",
    "cond": ".tracer.control",
    "custom_jvp": ".tracer.custom",
    "custom_linear_solve": ".tracer.implicit",
    "custom_root": ".tracer.implicit",
    "custom_vjp": ".tracer.custom",
    "fori_loop": ".tracer.control",
    "graph_text": ".reading",
    "hessian": ".tracer.jacobians",
    "hvp": ".tracer.jacobians",
    "interpret": ".tracer.mode",
    "jacobian": ".tracer.jacobians",
    "jvp": ".tracer.pushing",
    "linearize": ".tracer.pushing",
    "map": ".tracer.control",
    "print": ".tracer.printing",
    "ravel_tree": ".tracer.ravel",
    "scan": ".tracer.control",
    "switch": ".tracer.control",
    "vjp": ".tracer.vjp",
    "vmap": ".tracer.mapping",
    "while_loop": ".tracer.control",
}

__all__ = [
    "ArgumentError",
    "EscapedValue",
    "Explanation",
    "Function",
    "GradientLookupError",
    "GradientMismatch",
    "GradientTape",
    "GraphError",
    "IndexOutOfRange",
    "LeftTapeWarning",
    "NonFiniteError",
    "NotPositiveDefinite",
    "OpTypeError",
    "PackageError",
    "ParseError",
    "Pullback",
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
    "check_grads",
    "check_numerics",
    "checkpoint",
    "cond",
    "constant",
    "custom_jvp",
    "custom_linear_solve",
    "custom_root",
    "custom_vjp",
    "fori_loop",
    "function",
    "grad",
    "graph_text",
    "hessian",
    "hvp",
    "interpret",
    "jacobian",
    "jvp",
    "linalg",
    "linearize",
    "map",
    "nn",
    "print",
    "ravel_tree",
    "scan",
    "switch",
    "value_and_grad",
    "vjp",
    "vmap",
    "while_loop",
]

__all__ += list(FUNCTIONS)


def __getattr__(name: str) -> Any:
    # Any: a tool, or one of the NumPy-named functions, made from the op records
    if name in _TOOLS:
        found = getattr(importlib.import_module(_TOOLS[name], __name__), name)
        globals()[name] = found
        return found
    found = FUNCTIONS.get(name)
    if found is None:
        raise AttributeError(f"module 'pullback' has no attribute {name!r}")
    globals()[name] = found  # the next look takes a tenth of the time
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
