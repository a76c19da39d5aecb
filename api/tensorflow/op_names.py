"""TensorFlow's names, for messages: of ops, and of what NumPy names otherwise."""

from typing import Any

import numpy as np

from ..tracer.functions import elementwise, linalg
from ..tracer.functions.table import BY_NUMPY

# an operator's function -> TensorFlow's name for the op
OP_NAMES: dict[int, str] = {
    id(impl): name
    for impl, name in (
        (BY_NUMPY[np.add], "AddV2"),
        (BY_NUMPY[np.subtract], "Sub"),
        (BY_NUMPY[np.multiply], "Mul"),
        (BY_NUMPY[np.true_divide], "RealDiv"),
        (BY_NUMPY[np.floor_divide], "FloorDiv"),
        (BY_NUMPY[np.remainder], "FloorMod"),
        (BY_NUMPY[np.equal], "Equal"),
        (BY_NUMPY[np.not_equal], "NotEqual"),
        (BY_NUMPY[np.less], "Less"),
        (BY_NUMPY[np.less_equal], "LessEqual"),
        (BY_NUMPY[np.greater], "Greater"),
        (BY_NUMPY[np.greater_equal], "GreaterEqual"),
        (BY_NUMPY[np.bitwise_and], "LogicalAnd"),
        (BY_NUMPY[np.bitwise_or], "LogicalOr"),
        (elementwise.power, "Pow"),
        (linalg.matmul, "MatMul"),
    )
}


# NumPy's names of functions that have the same name here, and those that have another
_SAME = """
    abs cos cosh cumsum einsum exp expand_dims eye floor linspace matmul maximum minimum
    multiply negative ones_like pad repeat reshape roll sign sin sinh split sqrt square
    squeeze stack subtract tan tanh tensordot tile transpose where zeros_like
"""
_OTHER = {
    "all": "reduce_all",
    "amax": "reduce_max",
    "amin": "reduce_min",
    "any": "reduce_any",
    "clip": "clip_by_value",
    "concatenate": "concat",
    "cumprod": "math.cumprod",
    "log": "math.log",
    "log1p": "math.log1p",
    "max": "reduce_max",
    "mean": "reduce_mean",
    "min": "reduce_min",
    "prod": "reduce_prod",
    "std": "math.reduce_std",
    "sum": "reduce_sum",
    "take": "gather",
    "var": "math.reduce_variance",
}


def instead(name: str) -> str:
    """Return the function of `tf` for one of NumPy's, or nothing."""
    if name in _OTHER:
        return f"tf.{_OTHER[name]}"
    return f"tf.{name}" if name in _SAME.split() else ""


class Reference:
    """A hashable stand-in for a tensor or a variable."""

    __slots__ = ("_held",)

    def __init__(self, held: Any) -> None:
        self._held = held

    def deref(self) -> Any:
        """Return what it stands for."""
        return self._held

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Reference) and self._held is other._held

    def __hash__(self) -> int:
        return id(self._held)
