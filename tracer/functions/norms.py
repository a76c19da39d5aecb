"""Norms of vectors and matrices. At a zero vector the derivative of a 2-norm is 0."""

from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ..builders import ArrayBuilder
from ..operands import axes_of, axis_index, floating
from .counting import count_nonzero
from .reductions import restore, wants_dims

_INF = float("inf")


def norm(
    b: ArrayBuilder, x: Any, ord: Any = None, axis: Any = None, keepdims: Any = False
) -> Value:
    """Return a vector norm over one axis, or a matrix norm over two.

    The derivative at the zero vector is 0.
    """
    held = floating(b, x, "norm")
    rank = held.type.rank
    if axis is None:
        if ord is not None and rank not in (1, 2):
            raise OpTypeError(f"norm: ord={ord!r} needs one axis or two, not {rank}")
        given = tuple(range(rank))
    else:
        ways = axis if isinstance(axis, (tuple, list)) else (axis,)
        given = tuple(axis_index(k, rank, "norm") for k in ways)
    axes = axes_of(given, rank, "norm")
    if axis is not None and len(axes) > 2:
        raise OpTypeError(f"norm: {axis} are more than two axes")
    if ord is None:
        made = two_norm(b, held, axes)
    elif len(axes) == 1:
        made = _vector(b, held, ord, axes)
    else:
        made = _matrix(b, held, ord, given)
    return restore(b, made, axes) if wants_dims(keepdims) else made


def two_norm(b: ArrayBuilder, x: Value, axes: tuple[int, ...]) -> Value:
    """Return the root of the sum of squares; its derivative at 0 is 0."""
    total = b.op("sum", b.op("square", x), axes=axes)
    zero = b.op("eq", total, 0.0)
    root = b.op("sqrt", b.op("select", zero, 1.0, total))
    return b.op("select", zero, 0.0, root)  # type: ignore[no-any-return]


def _vector(b: ArrayBuilder, x: Value, ord: Any, axes: tuple[int, ...]) -> Value:
    if ord == 2:
        return two_norm(b, x, axes)
    if ord == 0:
        count = count_nonzero(b, x, axes)
        return b.op("cast", count, dtype=x.type.dtype)  # type: ignore[no-any-return]
    sizes = b.op("abs", x)
    if ord == 1:
        return b.op("sum", sizes, axes=axes)  # type: ignore[no-any-return]
    if ord in (_INF, -_INF):
        return b.op("max" if ord > 0 else "min", sizes, axes=axes)  # type: ignore[no-any-return]
    if not isinstance(ord, (int, float)):
        raise OpTypeError(f"norm: ord={ord!r} is no norm of a vector")
    total = b.op("sum", b.op("pow", sizes, float(ord)), axes=axes)
    zero = b.op("eq", total, 0.0)
    root = b.op("pow", b.op("select", zero, 1.0, total), 1.0 / ord)
    return b.op("select", zero, 0.0 if ord > 0 else _INF, root)  # type: ignore[no-any-return]


def _matrix(b: ArrayBuilder, x: Value, ord: Any, axes: tuple[int, ...]) -> Value:
    if ord == "fro":
        return two_norm(b, x, tuple(sorted(axes)))
    if ord not in (1, -1, _INF, -_INF):
        raise OpTypeError(
            f"norm: ord={ord!r} of a matrix needs singular values; "
            "matrices have 'fro', 1, -1, inf and -inf"
        )
    rows, columns = axes
    first, second = (rows, columns) if abs(ord) == 1 else (columns, rows)
    sums = b.op("sum", b.op("abs", x), axes=(first,))
    rest = second - (first < second)
    return b.op("max" if ord > 0 else "min", sums, axes=(rest,))  # type: ignore[no-any-return]


def vector_norm(
    b: ArrayBuilder,
    x: Any,
    /,
    *,
    axis: Any = None,
    keepdims: Any = False,
    ord: Any = 2,
) -> Value:
    """Return a vector norm over axes, taken together as one."""
    held = floating(b, x, "vector_norm")
    axes = axes_of(axis, held.type.rank, "vector_norm")
    if len(axes) > 1 and ord not in (1, 2, _INF, -_INF, 0):
        raise OpTypeError(f"vector_norm: ord={ord!r} is over one axis only")
    made = _vector(b, held, ord, axes)
    return restore(b, made, axes) if wants_dims(keepdims) else made


def matrix_norm(
    b: ArrayBuilder, x: Any, /, *, keepdims: Any = False, ord: Any = "fro"
) -> Value:
    """Return a norm of the matrices in the last two axes."""
    return norm(b, x, ord, (-2, -1), keepdims)
