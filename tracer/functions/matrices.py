"""Functions of matrices that move elements, and the products built on them."""

import operator
from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.ops.diagonals import place_on_diagonal
from ...ir.promote import cast_to
from ...ir.types import dtype_of
from ..builders import ArrayBuilder
from ..operands import axis_index, emit, refuse, stack_values, value
from .elementwise import same_dtype
from .linalg import outer
from .shaping import item, ravel


def diag(b: ArrayBuilder, v: Any, k: Any = 0) -> Value:
    """Return a vector as a diagonal, or the diagonal of a matrix."""
    held, offset = value(b, v, "diag"), operator.index(k)
    if held.type.rank == 2:
        return emit(b, "diagonal", held, offset)  # type: ignore[no-any-return]
    if held.type.rank != 1:
        raise OpTypeError(f"diag: takes a vector or a matrix, not {held.type}")
    size = held.type.shape[0] + abs(offset)
    return place_on_diagonal(b, held, size, size, offset)


def diagonal(
    b: ArrayBuilder, a: Any, offset: Any = 0, axis1: Any = 0, axis2: Any = 1
) -> Value:
    """Return a diagonal of two axes, as a last axis."""
    held = value(b, a, "diagonal")
    return emit(b, "diagonal", held, operator.index(offset), axis1, axis2)  # type: ignore[no-any-return]


def diagflat(b: ArrayBuilder, v: Any, k: Any = 0) -> Value:
    """Return all elements as a diagonal."""
    return diag(b, ravel(b, v), k)


def trace(
    b: ArrayBuilder,
    a: Any,
    offset: Any = 0,
    axis1: Any = 0,
    axis2: Any = 1,
    dtype: Any = None,
    out: Any = None,
) -> Value:
    """Return the sum along a diagonal."""
    refuse("trace", {"out": out})
    held = value(b, a, "trace")
    if dtype is not None:
        held = cast_to(b, held, dtype_of(dtype))
    on = emit(b, "diagonal", held, operator.index(offset), axis1, axis2)
    return emit(b, "sum", on, axis=-1)  # type: ignore[no-any-return]


def matrix_trace(
    b: ArrayBuilder, x: Any, /, *, offset: Any = 0, dtype: Any = None
) -> Value:
    """Return the sum along a diagonal of the last two axes."""
    return trace(b, x, offset, -2, -1, dtype)


def matrix_diagonal(b: ArrayBuilder, x: Any, /, *, offset: Any = 0) -> Value:
    """Return a diagonal of the last two axes."""
    held = value(b, x, "diagonal")
    return emit(b, "diagonal", held, operator.index(offset), -2, -1)  # type: ignore[no-any-return]


def kron(b: ArrayBuilder, a: Any, x: Any) -> Value:
    """Return a with every element replaced by that element times x."""
    one, two = same_dtype(b, "kron", a, x)
    rank = max(one.type.rank, two.type.rank)

    def spread(v: Value, first: int) -> Value:
        lead = rank - v.type.rank
        shape = (1,) * lead + v.type.shape
        wide: list[Any] = [1] * (2 * rank)
        wide[first::2] = shape
        return b.op("reshape", v, shape=tuple(wide))  # type: ignore[no-any-return]

    left, right = (1,) * (rank - one.type.rank), (1,) * (rank - two.type.rank)
    sizes = zip(left + one.type.shape, right + two.type.shape, strict=True)
    made = emit(b, "mul", spread(one, 0), spread(two, 1))
    return b.op("reshape", made, shape=tuple(m * n for m, n in sizes))  # type: ignore[no-any-return]


def cross(
    b: ArrayBuilder,
    a: Any,
    x: Any,
    axisa: Any = -1,
    axisb: Any = -1,
    axisc: Any = -1,
    axis: Any = None,
) -> Value:
    """Return the vector product of vectors with three elements."""
    if axis is not None:
        axisa = axisb = axisc = axis
    parts = []
    for v, at in zip(same_dtype(b, "cross", a, x), (axisa, axisb), strict=True):
        rank = v.type.rank
        if not rank:
            raise OpTypeError(f"cross: {v.type} is no vector")
        k = axis_index(at, rank, "cross")
        if v.type.shape[k] != 3:
            raise OpTypeError(f"cross: axis {k} of {v.type} has not three elements")
        order = (k, *(i for i in range(rank) if i != k))
        moved = b.op("transpose", v, axes=order)
        parts.append([item(b, moved, i) for i in range(3)])
    (p, q, r), (u, v, w) = parts

    def minor(e: Value, f: Value, g: Value, h: Value) -> Value:
        return emit(b, "sub", emit(b, "mul", e, h), emit(b, "mul", f, g))  # type: ignore[no-any-return]

    made = [minor(q, r, v, w), minor(r, p, w, u), minor(p, q, u, v)]
    return stack_values(b, made, axisc, "cross")


def linalg_cross(b: ArrayBuilder, x1: Any, x2: Any, /, *, axis: Any = -1) -> Value:
    """Return the vector product of vectors with three elements."""
    return cross(b, x1, x2, axis=axis)


def vecdot(
    b: ArrayBuilder, x1: Any, x2: Any, /, *, axis: Any = -1, **options: Any
) -> Value:
    """Return the sum of products along an axis, broadcast over the others."""
    refuse("vecdot", options)
    one, two = same_dtype(b, "vecdot", x1, x2)
    pair = [_axis_last(b, v, axis, "vecdot") for v in (one, two)]
    product = emit(b, "mul", *pair)
    return b.op("sum", product, axes=(product.type.rank - 1,))  # type: ignore[no-any-return]


def _axis_last(b: ArrayBuilder, x: Value, axis: Any, name: str) -> Value:
    rank = x.type.rank
    k = axis_index(axis, rank, name)
    if k == rank - 1:
        return x
    order = (*(i for i in range(rank) if i != k), k)
    return b.op("transpose", x, axes=order)  # type: ignore[no-any-return]


def matvec(b: ArrayBuilder, x1: Any, x2: Any, /, **options: Any) -> Value:
    """Return matrices times vectors, broadcast over leading axes."""
    refuse("matvec", options)
    one, two = same_dtype(b, "matvec", x1, x2)
    column = emit(b, "expand_dims", two, -1)
    return emit(b, "squeeze", emit(b, "contract", one, column), -1)  # type: ignore[no-any-return]


def vecmat(b: ArrayBuilder, x1: Any, x2: Any, /, **options: Any) -> Value:
    """Return vectors times matrices, broadcast over leading axes."""
    refuse("vecmat", options)
    one, two = same_dtype(b, "vecmat", x1, x2)
    row = emit(b, "expand_dims", one, -2)
    return emit(b, "squeeze", emit(b, "contract", row, two), -2)  # type: ignore[no-any-return]


def linalg_outer(b: ArrayBuilder, x1: Any, x2: Any, /) -> Value:
    """Return all products of elements of two vectors."""
    one, two = same_dtype(b, "outer", x1, x2)
    if one.type.rank != 1 or two.type.rank != 1:
        raise OpTypeError(f"outer: takes vectors, not {one.type} and {two.type}")
    return outer(b, one, two)
