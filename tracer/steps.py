"""Steps of a trail: an op on numbered values, and what calls of it are known by."""

from collections.abc import Callable
from threading import Lock
from typing import Any

import numpy as np

from ..ir.errors import OpTypeError
from ..ir.graph import Value
from ..ir.loc import Loc
from ..ir.types import DType, TensorType, dtype_of
from .cell import Array, Cell, leaf

# Python numbers that are part of a program; all others are inputs of it.
LITERALS = frozenset((0, 1, -1, 2, 0.5))

TYPES: dict[Any, int] = {}  # Any: TensorTypes, and those of products
KINDS: list[Any] = []  # by their codes
ARRAYS: dict[tuple[np.dtype[Any], tuple[int, ...]], int] = {}
_MOST_ARRAYS = 10_000
_LOCK = Lock()
_NEW: Any = object.__new__
_PLAIN = (int, bool, str, type(None), type, type(Ellipsis))

# (op, operands: numbers or literals, params, result types, the product's number and the
# op, operands that run where the node is a sum of a product)
Made = tuple[Any, tuple[Any, ...], Any, tuple[TensorType, ...], Any]


class Step:
    """An op on numbered values: what it appends, and what was done next.

    The first number that it gives is `base`: numbers follow from the steps before.
    """

    __slots__ = (
        "after", "base", "blank", "dtype", "found", "kind", "loc", "nodes", "out",
        "width",
    )  # fmt: skip

    def __init__(self) -> None:
        self.after: dict[Any, Step] = {}
        self.found: dict[Any, Any] = {}  # what is known of gradients at this end
        self.nodes: tuple[Made, ...] = ()
        self.width = 0  # how many nodes those are
        self.base = 0  # the number of its first result
        self.blank: tuple[None, ...] = ()  # one for each result, if several
        self.out = -1  # the number of the result that it returns
        self.kind: TensorType | None = None  # and its type
        self.dtype: np.dtype[Any] | None = None  # of a number that came along
        self.loc: Loc | None = None


class Other(Exception):
    """An argument that has no place in a key."""


def leaf_code(kind: TensorType | tuple[TensorType]) -> int:
    """Return what keys call a value from outside, by type; of products in a tuple."""
    code = TYPES.get(kind)
    if code is None:
        with _LOCK:
            code = TYPES.setdefault(kind, len(KINDS))
            if code == len(KINDS):
                KINDS.append(kind)
    return -1 - code


def leaf_again(x: Array, code: int) -> Value:
    """Return a leaf that holds a copy of an array of which the code is known."""
    kind = KINDS[-1 - code]
    if x.dtype is not kind.dtype.numpy:
        return leaf(x)
    array = x.copy()
    array.setflags(write=False)
    value: Value = _NEW(Value)
    value.type = kind
    value.node = None
    value.index = 0
    cell = value.cell = _NEW(Cell)
    cell.array = array
    cell.handles = 0
    cell.plan = None
    return value


def array_code(impl: Callable[..., Any], x: Array) -> int | None:
    """Return what keys call an array that stands for a leaf, or None."""
    if not getattr(impl, "weak", False):
        return None
    at = x.dtype, x.shape
    code = ARRAYS.get(at)
    if code is None:
        try:
            kind = TensorType(dtype_of(x.dtype), x.shape)
        except OpTypeError:
            return None  # refused where it is recorded, or taken as a complex one
        if len(ARRAYS) >= _MOST_ARRAYS:
            ARRAYS.clear()
        code = ARRAYS[at] = leaf_code(kind)
    return code


def static(x: Any) -> Any:
    """Return what a key has of an argument that is no array.

    Raises:
        Other: it is something else.
    """
    kind = type(x)
    if kind in _PLAIN:
        return kind, x
    if kind is float:
        return float, x.hex()
    if kind is tuple or kind is list:
        return kind, *[static(item) for item in x]
    if kind is slice:
        return kind, static(x.start), static(x.stop), static(x.step)
    if kind is DType or isinstance(x, np.dtype):
        return x
    raise Other


__all__ = [
    "ARRAYS",
    "KINDS",
    "LITERALS",
    "TYPES",
    "Made",
    "Other",
    "Step",
    "array_code",
    "leaf_again",
    "leaf_code",
    "static",
]
