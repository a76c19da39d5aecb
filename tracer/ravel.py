"""A tree of float arrays as one vector, and back: what optimisers take."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError
from .operators import Operators
from .public import FUNCTIONS
from .signature import quoted
from .trees import flatten, paths, unflatten

_FLOATS = ("float32", "float64")


def ravel_tree(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return the floats of a tree as one vector, and the way back.

    Args:
        tree: nested lists, tuples, dicts and dataclasses of floats of one dtype; a
            Python float is float64.

    Returns:
        The vector, and a function from a vector of its size to the tree. Both work
        inside decorated functions and under tapes, and have gradients.

    Raises:
        ArgumentError: the tree holds something else than floats, or two float dtypes.
    """
    leaves, structure = flatten(tree)
    where = paths(structure, "tree")
    dtype: np.dtype[Any] = np.dtype(np.float64)
    shapes: list[tuple[Any, ...]] = []
    arrays = []
    for k, (leaf, path) in enumerate(zip(leaves, where, strict=True)):
        array = leaf if isinstance(leaf, Operators) else np.asarray(leaf)
        if array.dtype.name not in _FLOATS:
            raise ArgumentError(
                f"ravel_tree: {quoted(path)} is {_kind(leaf, array)}: a vector holds "
                "floats of one dtype: use .astype(float), or leave it out of the tree"
            )
        if k and array.dtype != dtype:
            raise ArgumentError(
                f"ravel_tree: {quoted(path)} is {array.dtype}, {quoted(where[0])} is "
                f"{dtype}: a vector has one dtype"
            )
        dtype = array.dtype
        shapes.append(array.shape)
        arrays.append(array)
    counts = [_size(shape) for shape in shapes]
    total: Any = sum(counts)

    def unravel(vector: Any) -> Any:
        given = vector if isinstance(vector, Operators) else np.asarray(vector)
        if given.shape != (total,):
            raise ArgumentError(
                f"unravel: takes a vector of {total} elements, got shape {given.shape}"
            )
        if given.dtype != dtype:
            raise ArgumentError(
                f"unravel: takes a vector of {dtype}, got {given.dtype}"
            )
        parts = []
        first: Any = 0
        for shape, count in zip(shapes, counts, strict=True):
            part = given[first : first + count]
            parts.append(_shaped(part, shape))
            first = first + count
        return unflatten(structure, parts)

    return _joined(arrays, dtype), unravel


def _kind(leaf: Any, array: Any) -> str:
    if array.dtype.kind in "fiub":
        return f"{array.dtype}{list(array.shape)}"
    return f"a {type(leaf).__name__}"


def _size(shape: tuple[Any, ...]) -> Any:
    size: Any = 1
    for d in shape:
        size = size * d
    return size


def _shaped(part: Any, shape: tuple[Any, ...]) -> Any:
    if isinstance(part, Operators):
        return FUNCTIONS["reshape"](part, shape)
    held = part.reshape(shape)
    return held.copy() if shape else held[()]


def _joined(arrays: list[Any], dtype: np.dtype[Any]) -> Any:
    if not any(isinstance(a, Operators) for a in arrays):
        if not arrays:
            return np.zeros(0, dtype)
        return np.concatenate([np.reshape(a, -1) for a in arrays])
    flat = [FUNCTIONS["reshape"](a, (-1,)) for a in arrays]
    return FUNCTIONS["concatenate"](flat)
