"""Reductions: NumPy's axis and keepdims, and the means built on sums."""

from typing import Any

import numpy as np

from ...ir.graph import Value
from ...ir.promote import cast_to
from ...ir.sizes import SizeExpr, smax
from ...ir.types import BOOL, U8, dtype_of
from ..builders import ArrayBuilder
from ..dim import Dim
from ..operands import axes_of, count_of, emit, floating, refuse, value


def restore(b: ArrayBuilder, x: Value, axes: tuple[int, ...]) -> Value:
    """Return a reduced value with its reduced axes back as size 1."""
    return b.op("expand_dims", x, axes=axes) if axes else x


def wants_dims(keepdims: Any) -> bool:
    """Return whether keepdims was given and holds."""
    return keepdims is not np._NoValue and bool(keepdims)


def _reduced(
    b: ArrayBuilder, name: str, x: Value, axes: tuple[int, ...], keepdims: Any
) -> Value:
    out = emit(b, name, x, axis=axes)
    return restore(b, out, axes) if wants_dims(keepdims) else out


def sum(
    b: ArrayBuilder,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    **options: Any,
) -> Value:
    """Return the sum over axes."""
    refuse("sum", {"out": out, **options})
    held = value(b, a, "sum")
    if dtype is not None:
        held = cast_to(b, held, dtype_of(dtype))
    return _reduced(b, "sum", held, axes_of(axis, held.type.rank, "sum"), keepdims)


def prod(
    b: ArrayBuilder,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    **options: Any,
) -> Value:
    """Return the product over axes; its derivative is exact at zeros."""
    refuse("prod", {"out": out, **options})
    held = value(b, a, "prod")
    if dtype is not None:
        held = cast_to(b, held, dtype_of(dtype))
    return _reduced(b, "prod", held, axes_of(axis, held.type.rank, "prod"), keepdims)


def _extreme(b: ArrayBuilder, name: str, a: Any, axis: Any, keepdims: Any) -> Value:
    held = value(b, a, name)
    axes = axes_of(axis, held.type.rank, name)
    if held.type.dtype.kind != "b":
        return _reduced(b, name, held, axes, keepdims)
    return cast_to(b, _reduced(b, name, cast_to(b, held, U8), axes, keepdims), BOOL)


def ptp(
    b: ArrayBuilder, a: Any, axis: Any = None, out: Any = None, keepdims: Any = False
) -> Value:
    """Return the largest element over axes less the smallest."""
    refuse("ptp", {"out": out})
    held = value(b, a, "ptp")
    axes = axes_of(axis, held.type.rank, "ptp")
    high, low = (_reduced(b, name, held, axes, keepdims) for name in ("max", "min"))
    return b.op("sub", high, low)  # type: ignore[no-any-return]


def max(
    b: ArrayBuilder,
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    **options: Any,
) -> Value:
    """Return the largest element over axes."""
    refuse("max", {"out": out, **options})
    return _extreme(b, "max", a, axis, keepdims)


def min(
    b: ArrayBuilder,
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    **options: Any,
) -> Value:
    """Return the smallest element over axes."""
    refuse("min", {"out": out, **options})
    return _extreme(b, "min", a, axis, keepdims)


def size_like(b: ArrayBuilder, size: "int | SizeExpr", like: Value) -> Value:
    """Return a count as a constant of the dtype and shape of `like`."""
    return b.constant(size, like.type.dtype, like.type.shape)


def mean(
    b: ArrayBuilder,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    keepdims: Any = False,
    **options: Any,
) -> Value:
    """Return the sum over axes divided by the number of elements."""
    refuse("mean", {"out": out, **options})
    held = floating(b, a, "mean")
    if dtype is not None:
        held = cast_to(b, held, dtype_of(dtype))
    axes = axes_of(axis, held.type.rank, "mean")
    total = b.op("sum", held, axes=axes)
    made = b.op("div", total, size_like(b, count_of(held.type.shape, axes), total))
    return restore(b, made, axes) if wants_dims(keepdims) else made


def var(
    b: ArrayBuilder,
    a: Any,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    ddof: int = 0,
    keepdims: Any = False,
    *,
    correction: Any = None,
    **options: Any,
) -> Value:
    """Return the mean of squared distances from the mean."""
    refuse("var", {"out": out, "dtype": dtype, **options})
    held = floating(b, a, "var")
    axes = axes_of(axis, held.type.rank, "var")
    middle = b.broadcast(mean(b, held, axes, keepdims=True), held.type.shape)
    total = b.op("sum", b.op("square", b.op("sub", held, middle)), axes=axes)
    taken = ddof if not isinstance(correction, int) else correction
    count = smax(count_of(held.type.shape, axes) - taken, 0)
    made = b.op("div", total, size_like(b, count, total))
    return restore(b, made, axes) if wants_dims(keepdims) else made


def std(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Value:
    """Return the square root of the variance."""
    return b.op("sqrt", var(b, a, *args, **options))  # type: ignore[no-any-return]


def logsumexp(
    b: ArrayBuilder, a: Any, axis: Any = None, keepdims: Any = False
) -> Value:
    """Return log(sum(exp(a))) over axes without overflow."""
    held = floating(b, a, "logsumexp")
    axes = axes_of(axis, held.type.rank, "logsumexp")
    top = b.op("stop_gradient", b.op("max", held, axes=axes))
    top = b.op("select", b.op("isfinite", top), top, 0.0)
    wide = b.broadcast(restore(b, top, axes), held.type.shape)
    total = b.op("sum", b.op("exp", b.op("sub", held, wide)), axes=axes)
    made = b.op("add", b.op("log", total), top)
    return restore(b, made, axes) if wants_dims(keepdims) else made


def size(b: ArrayBuilder, a: Any, axis: Any = None) -> "int | Dim":
    """Return the number of elements, or the extent of an axis."""
    held = value(b, a, "size")
    got = count_of(held.type.shape, axes_of(axis, held.type.rank, "size"))
    return got if isinstance(got, int) else Dim(got)


def shape(b: ArrayBuilder, a: Any) -> "tuple[int | Dim, ...]":
    """Return the extents of all axes."""
    held = value(b, a, "shape")
    return tuple(d if isinstance(d, int) else Dim(d) for d in held.type.shape)


def ndim(b: ArrayBuilder, a: Any) -> int:
    """Return the number of axes."""
    return value(b, a, "ndim").type.rank
