"""TensorFlow's names of the ops behind operators, for messages; references."""

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
