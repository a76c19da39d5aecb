"""Running sums and products, and differences, with NumPy's keywords."""

from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.promote import cast_to
from ...ir.types import dtype_of
from ..builders import ArrayBuilder
from ..operands import axis_index, emit, refuse, value
from .shaping import diff, ravel


def _run(b: ArrayBuilder, name: str, a: Any, axis: Any, dtype: Any, out: Any) -> Value:
    refuse(name, {"out": out})
    held = value(b, a, name)
    if dtype is not None:
        held = cast_to(b, held, dtype_of(dtype))
    return emit(b, name, held, axis)  # type: ignore[no-any-return]


def cumsum(
    b: ArrayBuilder, a: Any, axis: Any = None, dtype: Any = None, out: Any = None
) -> Value:
    """Return the sums of the elements up to each one."""
    return _run(b, "cumsum", a, axis, dtype, out)


def cumprod(
    b: ArrayBuilder, a: Any, axis: Any = None, dtype: Any = None, out: Any = None
) -> Value:
    """Return the products of the elements up to each one."""
    return _run(b, "cumprod", a, axis, dtype, out)


def _cumulative(
    b: ArrayBuilder, name: str, start: int, x: Any, axis: Any, initial: bool, rest: Any
) -> Value:
    held = value(b, x, name)
    if axis is None:
        if held.type.rank != 1:
            raise OpTypeError(f"{name}: give axis= for {held.type}")
        axis = 0
    at = axis_index(axis, held.type.rank, name)
    made = _run(b, name, held, at, rest.pop("dtype", None), rest.pop("out", None))
    refuse(name, rest)
    if not initial:
        return made
    shape = made.type.shape
    first = b.constant(start, made.type.dtype, (*shape[:at], 1, *shape[at + 1 :]))
    return b.op("concatenate", first, made, axis=at)  # type: ignore[no-any-return]


def cumulative_sum(
    b: ArrayBuilder,
    x: Any,
    /,
    *,
    axis: Any = None,
    include_initial: bool = False,
    **options: Any,
) -> Value:
    """Return the sums up to each element, and before all where asked for."""
    return _cumulative(b, "cumsum", 0, x, axis, include_initial, options)


def cumulative_prod(
    b: ArrayBuilder,
    x: Any,
    /,
    *,
    axis: Any = None,
    include_initial: bool = False,
    **options: Any,
) -> Value:
    """Return the products up to each element, and before all where asked for."""
    return _cumulative(b, "cumprod", 1, x, axis, include_initial, options)


def ediff1d(
    b: ArrayBuilder, ary: Any, to_end: Any = None, to_begin: Any = None
) -> Value:
    """Return the differences of neighbours of all elements, with ends added."""
    made = diff(b, ravel(b, value(b, ary, "ediff1d")))

    def end(x: Any) -> Value:
        return ravel(b, cast_to(b, value(b, x, "ediff1d"), made.type.dtype))

    parts = [made]
    if to_begin is not None:
        parts.insert(0, end(to_begin))
    if to_end is not None:
        parts.append(end(to_end))
    return made if len(parts) == 1 else b.op("concatenate", *parts, axis=0)


def recurrence(
    b: ArrayBuilder, a: Any, x: Any, axis: Any = 0, reverse: bool = False
) -> Value:
    """Return y with y[k] = a[k] * y[k - 1] + x[k] along an axis and y[0] = x[0]."""
    return emit(b, "recurrence", value(b, a, "recurrence"), x, axis, reverse)  # type: ignore[no-any-return]
