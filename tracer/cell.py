"""What a tape knows of a value beyond its type: its array, once there is one."""

from typing import Any, Protocol

import numpy as np

from ..ir.graph import Value
from ..ir.types import TensorType, dtype_of

Array = np.ndarray[Any, Any]


class Plan(Protocol):
    """What computes arrays when one of them is looked at."""

    def run(self) -> None:
        """Store the arrays in their cells."""


class Cell:
    """The array of a value, and how many handles the user has on it.

    `plan` computes the array, where no history of the value is needed for it.
    """

    __slots__ = ("__weakref__", "array", "handles", "plan")

    def __init__(self, array: Array | None = None) -> None:
        self.array = array
        self.handles = 0
        self.plan: Plan | None = None


class Unknown(Cell):
    """The cell of a value that a function which is recorded takes."""

    __slots__ = ("function",)

    def __init__(self, function: str) -> None:
        super().__init__()
        self.function = function


def leaf(array: Array, copy: bool = True) -> Value:
    """Return a value that holds an array, or a copy of it.

    Raises:
        OpTypeError: there is no such dtype here.
    """
    dtype = dtype_of(array.dtype)
    if copy or array.dtype is not dtype.numpy:
        array = np.array(array, dtype.numpy, order="C", copy=True, subok=False)
        if array.dtype is not dtype.numpy:
            array = array.view(dtype.numpy)  # another C type of that size, as NumPy has
    array.setflags(write=False)
    value = Value(TensorType(dtype, array.shape), None, 0)
    value.cell = Cell(array)
    return value


def again(value: Value) -> Value:
    """Return another value that holds the same array; it has a history of its own."""
    new = Value(value.type, None, 0)
    new.cell = value.cell
    return new


def is_known(value: Value) -> bool:
    """Return whether a value has its array."""
    cell = value.cell
    return cell is not None and cell.array is not None
