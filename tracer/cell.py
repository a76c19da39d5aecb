"""What a tape knows of a value beyond its type: its array, once there is one."""

from typing import Any, Protocol
from weakref import ref

import numpy as np

from ..ir.graph import Value
from ..ir.types import TensorType, dtype_of

Array = np.ndarray[Any, Any]

COMPARED = 64 * 1024  # bytes from which an array that comes again is no second copy
_CHUNK = 1 << 16  # words that are compared at a time

# By the identity of an array of the user: it and its last copy, as long as they live.
_COPIES: dict[int, "tuple[ref[Array], ref[Array]]"] = {}


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


def copied(array: Array) -> tuple[Array, int]:
    """Return a copy of an array of the user, and the bytes that are new.

    A matrix that every step of a chain multiplies by is copied once: while its copy
    lives and has the same bits, it is the copy. Nobody writes to either.
    """
    nbytes = array.nbytes
    if nbytes < COMPARED or not array.flags.c_contiguous:
        return array.copy(), nbytes
    key = id(array)
    known = _COPIES.get(key)
    if known is not None and known[0]() is array:
        held = known[1]()
        if held is not None and _same_bits(array, held):
            return held, 0
    held = array.copy()
    held.setflags(write=False)

    def gone(_: object) -> None:
        _COPIES.pop(key, None)

    _COPIES[key] = (ref(array, gone), ref(held))
    return held, nbytes


def _same_bits(a: Array, b: Array) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    word = np.uint64 if a.nbytes % 8 == 0 else np.uint8
    x, y = (z.reshape(-1).view(word) for z in (a, b))
    return all(
        np.array_equal(x[k : k + _CHUNK], y[k : k + _CHUNK])
        for k in range(0, x.size, _CHUNK)
    )


def again(value: Value) -> Value:
    """Return another value that holds the same array; it has a history of its own."""
    new = Value(value.type, None, 0)
    new.cell = value.cell
    return new


def is_known(value: Value) -> bool:
    """Return whether a value has its array."""
    cell = value.cell
    return cell is not None and cell.array is not None
