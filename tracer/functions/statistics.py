"""Averages with weights, covariances, and reductions that leave NaN out."""

from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.promote import cast_to
from ...ir.sizes import smax
from ...ir.types import F64, dtype_of
from ..builders import ArrayBuilder
from ..operands import axes_of, axis_index, emit, floating, refuse, value
from . import counting, reductions, running
from .counting import unequal
from .elementwise import same_dtype
from .reductions import restore, size_like, wants_dims
from .shaping import atleast_2d


def average(
    b: ArrayBuilder,
    a: Any,
    axis: Any = None,
    weights: Any = None,
    returned: bool = False,
    *,
    keepdims: Any = False,
) -> Any:
    """Return the mean over axes, with weights where they are given."""
    held = floating(b, a, "average")
    axes = axes_of(axis, held.type.rank, "average")
    if weights is None:
        made = reductions.mean(b, held, axis)
        total = size_like(b, 1, made)
        total = b.op("mul", total, _count(b, held, axes, made))
    else:
        held, weight = same_dtype(b, "average", held, weights)
        weight = _spread(b, weight, held, axis)
        total = b.op("sum", weight, axes=axes)
        made = b.op("div", b.op("sum", b.op("mul", held, weight), axes=axes), total)
    if wants_dims(keepdims):
        made, total = restore(b, made, axes), restore(b, total, axes)
    return (made, total) if returned else made


def _count(b: ArrayBuilder, x: Value, axes: tuple[int, ...], like: Value) -> Value:
    ones = b.constant(1, x.type.dtype, x.type.shape)
    count: Value = b.op("sum", ones, axes=axes)
    return count


def _spread(b: ArrayBuilder, weight: Value, x: Value, axis: Any) -> Value:
    """Return weights in the shape of x."""
    if weight.type.rank == x.type.rank:
        if unequal(weight, x):
            raise OpTypeError(f"average: weights {weight.type} do not fit {x.type}")
        return emit(b, "broadcast_to", weight, x.type.shape)  # type: ignore[no-any-return]
    if weight.type.rank != 1 or axis is None or isinstance(axis, (tuple, list)):
        raise OpTypeError(
            f"average: weights {weight.type} of {x.type} need its shape, or one axis"
        )
    at = axis_index(axis, x.type.rank, "average")
    others = tuple(k for k in range(x.type.rank) if k != at)
    lifted = emit(b, "expand_dims", weight, others) if others else weight
    return emit(b, "broadcast_to", lifted, x.type.shape)  # type: ignore[no-any-return]


def cov(
    b: ArrayBuilder,
    m: Any,
    y: Any = None,
    rowvar: bool = True,
    bias: bool = False,
    ddof: Any = None,
    fweights: Any = None,
    aweights: Any = None,
    *,
    dtype: Any = None,
) -> Value:
    """Return the covariances of variables, one a row."""
    refuse("cov", {"fweights": fweights, "aweights": aweights})
    parts = [_variables(b, x, rowvar) for x in (m, y) if x is not None]
    if dtype is not None:
        parts = [cast_to(b, x, dtype_of(dtype)) for x in parts]
    else:
        parts = [cast_to(b, x, F64) for x in parts]
    parts = same_dtype(b, "cov", *parts)
    x = emit(b, "concatenate", parts, 0) if len(parts) > 1 else parts[0]
    mean = reductions.mean(b, x, 1, keepdims=True)
    away = b.op("sub", x, b.broadcast(mean, x.type.shape))
    product = b.op("contract", away, away, lhs="ik", rhs="jk", out="ij")
    taken = ddof if ddof is not None else (0 if bias else 1)
    made = b.op("div", product, size_like(b, smax(x.type.shape[1] - taken, 0), product))
    return emit(b, "squeeze", made)  # type: ignore[no-any-return]


def _variables(b: ArrayBuilder, x: Any, rowvar: bool) -> Value:
    held = floating(b, x, "cov")
    if held.type.rank > 2:
        raise OpTypeError(f"cov: {held.type} has more than two axes")
    flip = not rowvar and held.type.rank == 2 and held.type.shape[0] != 1
    wide = atleast_2d(b, held)
    return b.op("transpose", wide, axes=(1, 0)) if flip else wide


def corrcoef(
    b: ArrayBuilder, x: Any, y: Any = None, rowvar: bool = True, *, dtype: Any = None
) -> Value:
    """Return the correlations of variables, one a row."""
    c = cov(b, x, y, rowvar, dtype=dtype)
    if c.type.rank == 0:
        return b.op("div", c, c)  # type: ignore[no-any-return]
    shape = c.type.shape
    wide = b.op("sqrt", b.op("diagonal", c, offset=0, axis1=0, axis2=1))
    for axis in (1, 0):
        c = b.op("div", c, b.broadcast(b.op("expand_dims", wide, axes=(axis,)), shape))
    return b.op("minimum", b.op("maximum", c, -1.0), 1.0)  # type: ignore[no-any-return]


def _without_nan(b: ArrayBuilder, a: Any, fill: float, name: str) -> Value:
    held = value(b, a, name)
    if not held.type.dtype.is_float:
        return held
    return b.op("select", b.op("isnan", held), fill, held)  # type: ignore[no-any-return]


def nansum(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Value:
    """Return the sum over axes of the elements that are not NaN."""
    return reductions.sum(b, _without_nan(b, a, 0.0, "nansum"), *args, **options)


def nanprod(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Value:
    """Return the product over axes of the elements that are not NaN."""
    return reductions.prod(b, _without_nan(b, a, 1.0, "nanprod"), *args, **options)


def nanmean(
    b: ArrayBuilder,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    **options: Any,
) -> Value:
    """Return the mean over axes of the elements that are not NaN."""
    refuse("nanmean", {"out": out, **options})
    held = floating(b, a, "nanmean")
    if dtype is not None:
        held = cast_to(b, held, dtype_of(dtype))
    axes = axes_of(axis, held.type.rank, "nanmean")
    nan = b.op("isnan", held)
    total = b.op("sum", b.op("select", nan, 0.0, held), axes=axes)
    there = b.op("cast", b.op("logical_not", nan), dtype=held.type.dtype)
    made = b.op("div", total, b.op("sum", there, axes=axes))
    return restore(b, made, axes) if wants_dims(keepdims) else made


def _nan_extreme(b: ArrayBuilder, name: str, a: Any, args: Any, options: Any) -> Value:
    held = value(b, a, f"nan{name}")
    reduced = getattr(reductions, name)
    if not held.type.dtype.is_float:
        return reduced(b, held, *args, **options)  # type: ignore[no-any-return]
    nan = b.op("isnan", held)
    fill = float("-inf") if name == "max" else float("inf")
    best = reduced(b, b.op("select", nan, fill, held), *args, **options)
    none = counting.all(b, nan, *args, **options)
    return b.op("select", none, float("nan"), best)  # type: ignore[no-any-return]


def nanmax(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Value:
    """Return the largest element over axes that is not NaN; NaN where all are."""
    return _nan_extreme(b, "max", a, args, options)


def nanmin(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Value:
    """Return the smallest element over axes that is not NaN; NaN where all are."""
    return _nan_extreme(b, "min", a, args, options)


def nancumsum(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Value:
    """Return the sums up to each element, NaN left out."""
    return running.cumsum(b, _without_nan(b, a, 0.0, "nancumsum"), *args, **options)


def nancumprod(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Value:
    """Return the products up to each element, NaN left out."""
    return running.cumprod(b, _without_nan(b, a, 1.0, "nancumprod"), *args, **options)
