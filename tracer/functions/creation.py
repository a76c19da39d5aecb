"""Arrays from nothing: constants whose shape may have named sizes."""

import operator
from typing import Any

import numpy as np

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.promote import cast_to
from ...ir.sizes import floordiv, smax
from ...ir.types import I64, DType, Shape, TensorType, dtype_of
from ..builders import SMALL, ArrayBuilder
from ..dim import Dim
from ..operands import emit, operand, refuse, shape_of, stack_values, value


def _dtype(dtype: Any, default: DType) -> DType:
    return default if dtype is None else dtype_of(dtype)


def zeros(b: ArrayBuilder, shape: Any, dtype: Any = float) -> Value:
    """Return zeros."""
    return b.constant(0, _dtype(dtype, dtype_of(float)), shape_of(shape, "zeros"))


def ones(b: ArrayBuilder, shape: Any, dtype: Any = float) -> Value:
    """Return ones."""
    return b.constant(1, _dtype(dtype, dtype_of(float)), shape_of(shape, "ones"))


def full(b: ArrayBuilder, shape: Any, fill_value: Any, dtype: Any = None) -> Value:
    """Return a number in every element."""
    held = value(b, fill_value, "full")
    held = cast_to(b, held, _dtype(dtype, held.type.dtype))
    return b.broadcast(held, shape_of(shape, "full"))


def _like(
    b: ArrayBuilder, name: str, a: Any, fill: Any, dtype: Any, options: dict[str, Any]
) -> Value:
    shape = options.pop("shape", None)
    refuse(name, options)
    like = value(b, a, name)
    wanted = like.type.shape if shape is None else shape_of(shape, name)
    kind = _dtype(dtype, like.type.dtype)
    held = operand(b, fill, name)
    if not isinstance(held, Value):
        return b.constant(held, kind, wanted)
    return b.broadcast(cast_to(b, held, kind), wanted)


def zeros_like(b: ArrayBuilder, a: Any, dtype: Any = None, **options: Any) -> Value:
    """Return zeros of the shape and dtype of `a`."""
    return _like(b, "zeros_like", a, 0, dtype, options)


def ones_like(b: ArrayBuilder, a: Any, dtype: Any = None, **options: Any) -> Value:
    """Return ones of the shape and dtype of `a`."""
    return _like(b, "ones_like", a, 1, dtype, options)


def full_like(
    b: ArrayBuilder, a: Any, fill_value: Any, dtype: Any = None, **options: Any
) -> Value:
    """Return a number in every element, of the shape and dtype of `a`."""
    return _like(b, "full_like", a, fill_value, dtype, options)


def positions(b: ArrayBuilder, shape: Shape, axis: int, dtype: DType = I64) -> Value:
    """Return the position of each element along an axis."""
    return b.op("iota", axis=axis, type=TensorType(dtype, shape))  # type: ignore[no-any-return]


def band(b: ArrayBuilder, shape: Shape, k: int) -> Value:
    """Return whether elements of the last two axes are on or below diagonal k."""
    rank = len(shape)
    down, across = (positions(b, shape, rank - 2), positions(b, shape, rank - 1))
    return b.op("le", b.op("sub", across, down), k)  # type: ignore[no-any-return]


def _offset(k: Any, name: str) -> int:
    try:
        return operator.index(k)
    except TypeError:
        raise OpTypeError(f"{name}: the diagonal is an integer, got {k!r}") from None


def eye(
    b: ArrayBuilder, N: Any, M: Any = None, k: Any = 0, dtype: Any = float
) -> Value:
    """Return ones on a diagonal."""
    rows, columns = shape = shape_of((N, N if M is None else M), "eye")
    offset = _offset(k, "eye")
    if isinstance(rows, int) and isinstance(columns, int) and rows * columns <= SMALL:
        return b.array(np.eye(rows, columns, offset, dtype))
    down, across = positions(b, shape, 0), positions(b, shape, 1)
    on = b.op("eq", b.op("sub", across, down), offset)
    return cast_to(b, on, dtype_of(dtype))


def identity(b: ArrayBuilder, n: Any, dtype: Any = None) -> Value:
    """Return a square array with ones on the diagonal."""
    return eye(b, n, dtype=float if dtype is None else dtype)


def tri(
    b: ArrayBuilder, N: Any, M: Any = None, k: Any = 0, dtype: Any = float
) -> Value:
    """Return ones on and below a diagonal."""
    shape = shape_of((N, N if M is None else M), "tri")
    return cast_to(b, band(b, shape, _offset(k, "tri")), dtype_of(dtype))


def arange(b: ArrayBuilder, *args: Any, **options: Any) -> Value:
    """Return evenly spaced numbers, as np.arange; one of the ends may be a size."""
    if not any(isinstance(x, Dim) for x in args):
        return b.array(np.arange(*args, **options))
    dtype = dtype_of(options.pop("dtype", None) or I64.numpy)
    refuse("arange", options)
    start, stop = (0, *args) if len(args) == 1 else args[:2]
    step = args[2] if len(args) > 2 else 1
    try:
        low, high = (
            x.size if isinstance(x, Dim) else operator.index(x) for x in (start, stop)
        )
        by = operator.index(step)
    except TypeError:
        raise OpTypeError(
            f"arange: with a named size the ends and the step are integers, got {args}"
        ) from None
    if by == 0:
        raise OpTypeError("arange: the step is 0")
    gap = high - low if by > 0 else low - high
    count = smax(floordiv(gap + abs(by) - 1, abs(by)), 0)
    place = positions(b, (count,), 0)
    made = b.op("add", b.op("mul", place, by), b.constant(low, I64, (count,)))
    return cast_to(b, made, dtype)


def linspace(b: ArrayBuilder, *args: Any, **options: Any) -> Value:
    """Return evenly spaced numbers between two ends, as np.linspace."""
    return b.array(np.linspace(*args, **options))


def geomspace(b: ArrayBuilder, *args: Any, **options: Any) -> Value:
    """Return numbers spaced evenly on a log scale, as np.geomspace."""
    return b.array(np.geomspace(*args, **options))


def logspace(b: ArrayBuilder, *args: Any, **options: Any) -> Value:
    """Return powers with evenly spaced exponents, as np.logspace."""
    return b.array(np.logspace(*args, **options))


def tril(b: ArrayBuilder, m: Any, k: Any = 0) -> Value:
    """Return the part on and below a diagonal; zeros above."""
    held = _matrix(b, m, "tril")
    keep = band(b, held.type.shape, _offset(k, "tril"))
    return b.op("select", keep, held, 0)  # type: ignore[no-any-return]


def triu(b: ArrayBuilder, m: Any, k: Any = 0) -> Value:
    """Return the part on and above a diagonal; zeros below."""
    held = _matrix(b, m, "triu")
    drop = band(b, held.type.shape, _offset(k, "triu") - 1)
    zero = b.constant(0, held.type.dtype, held.type.shape)
    return b.op("select", drop, zero, held)  # type: ignore[no-any-return]


def _matrix(b: ArrayBuilder, m: Any, name: str) -> Value:
    held = value(b, m, name)
    if held.type.rank < 2:
        raise OpTypeError(f"{name}: {held.type} has fewer than two axes")
    return held


def meshgrid(
    b: ArrayBuilder, *xi: Any, indexing: str = "xy", **options: Any
) -> list[Value]:
    """Return coordinates of all points of a grid, one array an axis."""
    if indexing not in ("xy", "ij"):
        raise OpTypeError(f"meshgrid: indexing is 'xy' or 'ij', not {indexing!r}")
    if options.pop("sparse", False):
        raise OpTypeError("meshgrid: sparse=True is not supported; broadcast instead")
    options.pop("copy", None)
    refuse("meshgrid", options)
    held = [emit(b, "reshape", value(b, x, "meshgrid"), (-1,)) for x in xi]
    order = list(range(len(held)))
    if indexing == "xy":
        order[:2] = order[:2][::-1]
    shape = tuple(held[k].type.shape[0] for k in order)
    out = []
    for k, x in enumerate(held):
        others = tuple(a for a in range(len(held)) if a != order.index(k))
        lifted = b.op("expand_dims", x, axes=others) if others else x
        out.append(b.broadcast(lifted, shape))
    return out


def indices(b: ArrayBuilder, dimensions: Any, dtype: Any = int) -> Value:
    """Return the positions of a grid along each of its axes, stacked."""
    shape = shape_of(dimensions, "indices")
    parts = [positions(b, shape, k, dtype_of(dtype)) for k in range(len(shape))]
    return stack_values(b, parts, 0, "indices")
