"""pullback under TensorFlow's names: `import pullback.tensorflow as tf`.

Code written for TensorFlow's gradient tape runs with this one import changed: float32
unless said otherwise, nothing cast by itself, TensorFlow's argument names and errors.
What TensorFlow has beyond this raises AttributeError.
"""

import difflib
from typing import Any

from ..ir.loc import register_room
from ..tracer.functions.table import PUBLIC
from ..tracer.symbolic import is_recording
from ..tracer.tensor import Taped
from . import (
    arrays,
    autodiff,
    clipping,
    control,
    dtypes,
    errors,
    image,
    keras,
    linalg,
    math,
    nest,
    nn,
    random,
)
from .custom import (
    RegisterGradient,
    custom_gradient,
    no_gradient,
    recompute_grad,
)
from .dtypes import DType, TensorShape, TensorSpec, as_dtype
from .function import function
from .indexed_slices import IndexedSlices
from .module import Module
from .printing import print
from .tape import GradientTape, UnconnectedGradients
from .tensors import Tensor, Variable, constant
from .tensors import convert as _convert

register_room(__file__)

newaxis = None


def convert_to_tensor(
    value: Any, dtype: Any = None, dtype_hint: Any = None, name: "str | None" = None
) -> Tensor:
    """Return a tensor of what a value is: a tensor, numbers, arrays, lists of them.

    Raises:
        ValueError: it is a tensor of another dtype, or no array of numbers.
        TypeError: Python numbers cannot be of that dtype.
    """
    return _convert(value, dtype, dtype_hint)


def is_tensor(x: Any) -> bool:
    """Return whether something is a tensor or a variable."""
    return isinstance(x, (Taped, IndexedSlices))


def executing_eagerly() -> bool:
    """Return whether values are known: not while a tf.function is recorded."""
    return not is_recording()


NoGradient = NotDifferentiable = no_gradient

# where a name of `tf` comes from, in this order
_FROM_MATH = """
    abs acos acosh add add_n argmax argmin asin asinh atan atan2 atanh cast cos cosh
    complex conj cumsum divide equal exp floor greater greater_equal less less_equal
    logical_and logical_not logical_or maximum minimum multiply negative not_equal pow
    reduce_all reduce_any reduce_logsumexp reduce_max reduce_mean reduce_min
    real imag reduce_prod reduce_sum round scalar_mul sigmoid sign sin sinh sqrt square
    subtract tan tanh truediv
"""
_FROM_LINALG = """
    einsum eye matmul norm tensordot
"""
_DTYPES = """
    complex64 complex128 double float32 float64 int8 int16 int32 int64 uint8 uint16
    uint32 uint64
"""


def _names() -> dict[str, Any]:
    table: dict[str, Any] = {name: getattr(arrays, name) for name in arrays.__all__}
    table |= {name: getattr(clipping, name) for name in clipping.__all__}
    table |= {name: getattr(control, name) for name in control.__all__}
    table |= {name: getattr(math, name) for name in _FROM_MATH.split()}
    table |= {name: getattr(linalg, name) for name in _FROM_LINALG.split()}
    table |= {name: getattr(dtypes, name) for name in _DTYPES.split()}
    return {**table, "bool": dtypes.bool_}


_TABLE = _names()
globals().update(_TABLE)

# names that TensorFlow has elsewhere, or pullback has otherwise -> what to use
_INSTEAD = {
    "log": "tf.math.log",
    "gradients": "tf.GradientTape",
    "Session": "a call: every op runs as it is called",
    "placeholder": "an argument of a function",
    "data": "NumPy arrays: a pipeline stops gradients all the same",
    "vectorized_map": "pullback.vmap",
}

__all__ = [
    "DType",
    "GradientTape",
    "IndexedSlices",
    "Module",
    "NoGradient",
    "NotDifferentiable",
    "RegisterGradient",
    "Tensor",
    "TensorShape",
    "TensorSpec",
    "UnconnectedGradients",
    "Variable",
    "as_dtype",
    "autodiff",
    "constant",
    "convert_to_tensor",
    "custom_gradient",
    "errors",
    "executing_eagerly",
    "function",
    "image",
    "is_tensor",
    "keras",
    "linalg",
    "math",
    "nest",
    "newaxis",
    "nn",
    "no_gradient",
    "print",
    "random",
    "recompute_grad",
]
__all__ += list(_TABLE)


def __getattr__(name: str) -> Any:
    # a name that TensorFlow may have and this module has not
    text = f"module 'pullback.tensorflow' has no attribute {name!r}"
    if name.startswith("__"):
        raise AttributeError(text)
    if name in _INSTEAD:
        raise AttributeError(f"{text}: use {_INSTEAD[name]}")
    near = difflib.get_close_matches(name, __all__, 1)
    advice = [f"tf.{near[0]}"] if near else []
    ours = difflib.get_close_matches(name, list(PUBLIC), 1)
    if ours:
        advice.append(f"pullback.{ours[0]}")
    raise AttributeError(
        f"{text}: nearest are {' and '.join(advice)}" if advice else text
    )
