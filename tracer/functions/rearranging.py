"""Functions that move elements further: pieces, borders, repetition, rotation."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.sizes import SizeExpr, floordiv, smin
from ...ir.types import I64
from ..builders import ArrayBuilder
from ..operands import axis_index, emit, has_value, operand, value
from .creation import positions
from .shaping import (
    atleast_1d,
    concatenate,
    flip,
    ravel,
    span,
    split,
    squeeze,
)

Size = int | SizeExpr

# --- pieces ---------------------------------------------------------------------------


def array_split(
    b: ArrayBuilder, ary: Any, indices_or_sections: Any, axis: Any = 0
) -> list[Value]:
    """Return pieces of an axis, the first ones longer where it does not divide."""
    if not isinstance(indices_or_sections, int):
        return split(b, ary, indices_or_sections, axis)
    held = value(b, ary, "array_split")
    at = axis_index(axis, held.type.rank, "array_split")
    extent, count = held.type.shape[at], indices_or_sections
    if count < 1:
        raise OpTypeError(f"array_split: {count} is no number of pieces")
    each = floordiv(extent, count)
    left = extent - each * count
    starts = [each * k + smin(k, left) for k in range(count + 1)]
    return [
        span(b, held, at, start, starts[k + 1] - start)
        for k, start in enumerate(starts[:-1])
    ]


def _split_along(name: str, axis: int, least: int) -> Callable[..., list[Value]]:
    def impl(b: ArrayBuilder, ary: Any, indices_or_sections: Any) -> list[Value]:
        held = value(b, ary, name)
        rank = held.type.rank
        if rank < least:
            raise OpTypeError(f"{name}: {held.type} has fewer than {least} axes")
        return split(b, held, indices_or_sections, 0 if rank == 1 else axis)

    impl.__name__ = name
    impl.__doc__ = f"Return pieces of axis {axis}, as np.split."
    return impl


hsplit = _split_along("hsplit", 1, 1)
vsplit = _split_along("vsplit", 0, 2)
dsplit = _split_along("dsplit", 2, 3)


def unstack(b: ArrayBuilder, x: Any, /, *, axis: Any = 0) -> tuple[Value, ...]:
    """Return the parts of an axis without it."""
    held = value(b, x, "unstack")
    at = axis_index(axis, held.type.rank, "unstack")
    extent = held.type.shape[at]
    if not isinstance(extent, int):
        raise OpTypeError(f"unstack: needs a constant size, not {extent}")
    return tuple(squeeze(b, span(b, held, at, k, 1), at) for k in range(extent))


# --- joining --------------------------------------------------------------------------


def _values(b: ArrayBuilder, arrays: Any, name: str) -> list[Value]:
    if isinstance(arrays, (list, tuple)):
        return [value(b, x, name) for x in arrays]
    return list(unstack(b, value(b, arrays, name)))


def atleast_3d(b: ArrayBuilder, x: Any) -> Value:
    """Return x with at least three axes; a vector is in the middle."""
    held = value(b, x, "atleast_3d")
    new = {0: (0, 1, 2), 1: (0, 2), 2: (2,)}.get(held.type.rank)
    return b.op("expand_dims", held, axes=new) if new else held


def dstack(b: ArrayBuilder, tup: Any) -> Value:
    """Return arrays joined along the third axis."""
    parts = [atleast_3d(b, x) for x in _values(b, tup, "dstack")]
    return concatenate(b, parts, 2)


def column_stack(b: ArrayBuilder, tup: Any) -> Value:
    """Return arrays joined along the second axis; vectors are columns."""
    parts = []
    for x in _values(b, tup, "column_stack"):
        held = atleast_1d(b, x)
        parts.append(
            b.op("expand_dims", held, axes=(1,)) if held.type.rank == 1 else held
        )
    return concatenate(b, parts, 1)


def append(b: ArrayBuilder, arr: Any, values: Any, axis: Any = None) -> Value:
    """Return two arrays joined, flat where no axis is given."""
    parts = [value(b, x, "append") for x in (arr, values)]
    if axis is None:
        return concatenate(b, [ravel(b, x) for x in parts], 0)
    return concatenate(b, parts, axis)


def block(b: ArrayBuilder, arrays: Any) -> Value:
    """Return nested lists of blocks as one array."""

    def depth(x: Any) -> int:
        return 1 + max(map(depth, x)) if isinstance(x, list) and x else 0

    deepest = depth(arrays)

    def leaves(x: Any) -> int:
        if isinstance(x, list):
            return max((leaves(i) for i in x), default=0)
        return value(b, x, "block").type.rank

    rank = max(deepest, leaves(arrays))

    def joined(x: Any, level: int) -> Value:
        if not isinstance(x, list):
            held = value(b, x, "block")
            lead = rank - held.type.rank
            return b.op("expand_dims", held, axes=tuple(range(lead))) if lead else held
        parts = [joined(i, level + 1) for i in x]
        return concatenate(b, parts, rank - deepest + level)

    return joined(arrays, 0)


# --- order ----------------------------------------------------------------------------


def fliplr(b: ArrayBuilder, m: Any) -> Value:
    """Return the columns in reverse order."""
    return flip(b, m, 1)


def flipud(b: ArrayBuilder, m: Any) -> Value:
    """Return the rows in reverse order."""
    return flip(b, m, 0)


def rot90(b: ArrayBuilder, m: Any, k: int = 1, axes: Any = (0, 1)) -> Value:
    """Return the array turned by k quarters in the plane of two axes."""
    held = value(b, m, "rot90")
    rank = held.type.rank
    one, two = (axis_index(a, rank, "rot90") for a in axes)
    if one == two:
        raise OpTypeError(f"rot90: axes {axes} are the same")
    order = list(range(rank))
    order[one], order[two] = two, one
    turns = k % 4
    if turns == 0:
        return b.op("reshape", held, shape=held.type.shape)  # type: ignore[no-any-return]
    if turns == 2:
        return flip(b, held, (one, two))
    if turns == 1:
        return b.op("transpose", flip(b, held, two), axes=tuple(order))  # type: ignore[no-any-return]
    return flip(b, b.op("transpose", held, axes=tuple(order)), two)


def rollaxis(b: ArrayBuilder, a: Any, axis: Any, start: int = 0) -> Value:
    """Return an axis moved to before another."""
    held = value(b, a, "rollaxis")
    rank = held.type.rank
    at = axis_index(axis, rank, "rollaxis")
    to = start + rank if start < 0 else start
    if not 0 <= to <= rank:
        raise OpTypeError(f"rollaxis: start {start} is out of range for {rank} axes")
    order = [k for k in range(rank) if k != at]
    order.insert(to - (at < to), at)
    return b.op("transpose", held, axes=tuple(order))  # type: ignore[no-any-return]


def roll(b: ArrayBuilder, a: Any, shift: Any, axis: Any = None) -> Value:
    """Return elements moved along axes, around their ends."""
    held = value(b, a, "roll")
    if axis is None:
        if not isinstance(shift, int):
            raise OpTypeError(f"roll: several shifts need an axis each, got {shift!r}")
        flat = _rolled(b, ravel(b, held), shift, 0)
        return b.op("reshape", flat, shape=held.type.shape)  # type: ignore[no-any-return]
    shifts, axes = np.broadcast_arrays(np.asarray(shift), np.asarray(axis))
    if shifts.dtype.kind not in "iu" or shifts.ndim > 1:
        raise OpTypeError(f"roll: needs constant integers, got {shift!r}")
    for by, at in zip(np.ravel(shifts), np.ravel(axes), strict=True):
        held = _rolled(b, held, int(by), axis_index(at, held.type.rank, "roll"))
    return b.op("reshape", held, shape=held.type.shape)  # type: ignore[no-any-return]


def _rolled(b: ArrayBuilder, x: Value, by: int, at: int) -> Value:
    extent = x.type.shape[at]
    if isinstance(extent, SizeExpr):
        place = b.op("sub", positions(b, (extent,), 0), by)
        size = b.constant(extent, I64, (extent,))
        return emit(b, "take", x, emit(b, "mod", place, size), axis=at)  # type: ignore[no-any-return]
    cut = by % extent if extent else 0
    if not cut:
        return x
    tail, head = span(b, x, at, extent - cut, cut), span(b, x, at, 0, extent - cut)
    return b.op("concatenate", tail, head, axis=at)  # type: ignore[no-any-return]


# --- repetition -----------------------------------------------------------------------


def repeat(b: ArrayBuilder, a: Any, repeats: Any, axis: Any = None) -> Value:
    """Return each element several times in a row."""
    held = value(b, a, "repeat")
    if axis is None:
        held, axis = ravel(b, held), 0
    at = axis_index(axis, held.type.rank, "repeat")
    shape = held.type.shape
    if has_value(repeats):
        raise OpTypeError("repeat: the counts must be known when tracing")
    counts = np.asarray(repeats)
    if counts.dtype.kind not in "iu" or counts.ndim > 1 or np.any(counts < 0):
        raise OpTypeError(f"repeat: counts are integers from 0 on, got {repeats!r}")
    if counts.size == 1:
        n = int(counts.reshape(()))
        lifted = b.op("expand_dims", held, axes=(at + 1,))
        wide = b.broadcast(lifted, (*shape[: at + 1], n, *shape[at + 1 :]))
        made = (*shape[:at], shape[at] * n, *shape[at + 1 :])
        return b.op("reshape", wide, shape=made)  # type: ignore[no-any-return]
    extent = shape[at]
    if extent != counts.size:
        raise OpTypeError(
            f"repeat: {counts.size} counts for {extent} elements of axis {at}"
        )
    index = np.repeat(np.arange(counts.size), counts)
    return emit(b, "take", held, b.constant(index), axis=at)  # type: ignore[no-any-return]


def delete(b: ArrayBuilder, arr: Any, obj: Any, axis: Any = None) -> Value:
    """Return the array without some elements of an axis, known when tracing."""
    held = value(b, arr, "delete")
    if axis is None:
        held, axis = ravel(b, held), 0
    at = axis_index(axis, held.type.rank, "delete")
    extent = held.type.shape[at]
    if not isinstance(extent, int) or has_value(obj):
        raise OpTypeError("delete: needs a constant size and constant places")
    try:
        index = np.delete(np.arange(extent), obj)
    except (IndexError, ValueError) as error:
        raise OpTypeError(f"delete: {error}") from None
    return emit(b, "take", held, b.constant(index), axis=at)  # type: ignore[no-any-return]


# --- borders --------------------------------------------------------------------------


def pad(
    b: ArrayBuilder, array: Any, pad_width: Any, mode: str = "constant", **options: Any
) -> Value:
    """Return the array with borders: constant, edge, reflect, symmetric or wrap."""
    held = value(b, array, "pad")
    if mode not in ("constant", "edge", "reflect", "symmetric", "wrap"):
        raise OpTypeError(
            f"pad: mode {mode!r} is not supported: use constant, edge, reflect, "
            "symmetric or wrap"
        )
    fill = options.pop("constant_values", 0) if mode == "constant" else 0
    if options:
        raise OpTypeError(f"pad: does not take {next(iter(options))}=")
    rank = held.type.rank
    widths = _widths(pad_width, rank)
    fills = _fills(fill, rank)
    for k, ((before, after), ends) in enumerate(zip(widths, fills, strict=True)):
        if not before and not after:
            continue
        if mode == "constant":
            low, high = (
                _filled(b, held, k, n, end)
                for n, end in ((before, ends[0]), (after, ends[1]))
            )
        else:
            low, high = _borders(b, held, k, before, after, mode)
        parts = [x for x, n in ((low, before), (held, 1), (high, after)) if n]
        held = b.op("concatenate", *parts, axis=k)
    return b.op("reshape", held, shape=held.type.shape)  # type: ignore[no-any-return]


def _widths(pad_width: Any, rank: int) -> Sequence[tuple[int, int]]:
    if isinstance(pad_width, dict):
        full = [(0, 0)] * rank
        for axis, given in pad_width.items():
            pair = given if isinstance(given, (tuple, list)) else (given, given)
            full[axis_index(axis, rank, "pad")] = (pair[0], pair[1])
        pad_width = full
    try:
        held = np.broadcast_to(np.asarray(pad_width), (rank, 2))
    except (TypeError, ValueError):
        held = np.empty(0)
    if held.dtype.kind not in "iu" or np.any(held < 0):
        raise OpTypeError(
            f"pad: widths are integers from 0 on, one pair an axis, got {pad_width!r}"
        )
    return [(int(low), int(high)) for low, high in held]


def _fills(fill: Any, rank: int) -> list[tuple[Any, Any]]:
    if not isinstance(fill, (tuple, list)):
        return [(fill, fill)] * rank
    pairs = [p if isinstance(p, (tuple, list)) else (p, p) for p in fill]
    if len(fill) == 2 and not any(isinstance(p, (tuple, list)) for p in fill):
        return [(fill[0], fill[1])] * rank
    if len(pairs) == 1:
        pairs = pairs * rank
    if len(pairs) != rank:
        raise OpTypeError(f"pad: {fill!r} has no pair of values for each axis")
    return [(p[0], p[-1]) for p in pairs]


def _filled(b: ArrayBuilder, x: Value, k: int, count: int, fill: Any) -> Value:
    shape = (*x.type.shape[:k], count, *x.type.shape[k + 1 :])
    held = operand(b, fill, "pad")
    if not isinstance(held, Value):
        return b.constant(held, x.type.dtype, shape)
    return emit(b, "broadcast_to", emit(b, "cast", held, x.type.dtype), shape)  # type: ignore[no-any-return]


def _borders(
    b: ArrayBuilder, x: Value, k: int, before: int, after: int, mode: str
) -> tuple[Value, Value]:
    """Return what stands before and after axis k."""
    shape = x.type.shape
    extent = shape[k]

    def wide(part: Value, count: int) -> Value:
        return b.broadcast(part, (*shape[:k], count, *shape[k + 1 :]))

    if mode == "edge":
        if extent == 0:
            raise OpTypeError(f"pad: axis {k} is empty and has no edge")
        low = wide(span(b, x, k, 0, 1), before)
        return low, wide(span(b, x, k, extent - 1, 1), after)
    if not isinstance(extent, int):
        raise OpTypeError(f"pad: mode {mode!r} needs a constant size, not {extent}")
    most = extent - (mode == "reflect")
    if max(before, after) > most:
        raise OpTypeError(
            f"pad: mode {mode!r} needs borders of at most {most} elements on axis {k}"
        )
    if mode == "wrap":
        return span(b, x, k, extent - before, before), span(b, x, k, 0, after)
    skip = 1 if mode == "reflect" else 0
    low = span(b, x, k, skip, before)
    high = span(b, x, k, extent - skip - after, after)
    return flip(b, low, k), flip(b, high, k)
