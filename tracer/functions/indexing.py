"""NumPy's indexing: integers, slices, Ellipsis, newaxis and integer arrays.

An index is read into items, one an axis, in three steps: slices and integers are one
slice op, integer arrays one gather, new axes one expand_dims. NumPy's rule for where
the axes of integer arrays go is in `Read.place`.
"""

import operator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ...ir.errors import IndexOutOfRange, OpTypeError
from ...ir.graph import Value
from ...ir.loc import traced_at
from ...ir.promote import broadcast_shapes, cast_to, fit
from ...ir.sizes import SizeExpr, floordiv, product, smax, smin
from ...ir.types import I64, Shape
from ..builders import ArrayBuilder
from ..dim import Dim
from ..operands import axis_index, emit, has_value, listed, value
from .creation import positions

Size = int | SizeExpr


@dataclass(slots=True)
class Read:
    """An index after reading; `kinds` has one letter an item: s, i, a or n."""

    kinds: list[str] = field(default_factory=list)
    start: list[Size] = field(default_factory=list)
    step: list[int] = field(default_factory=list)
    size: list[Size] = field(default_factory=list)
    dropped: list[int] = field(default_factory=list)
    arrays: list[tuple[int, Value]] = field(default_factory=list)  # axis, integers

    def place(self) -> int:
        """Return how many items come before the axes of the integer arrays.

        Where integers and arrays stand together that is their place; else the front.
        """
        at = [k for k, kind in enumerate(self.kinds) if kind in "ia"]
        if at[-1] - at[0] + 1 != len(at):
            return 0
        return at[0]


def getitem(b: ArrayBuilder, x: Any, index: Any) -> Value:
    """Return x[index].

    Raises:
        OpTypeError: the index has parts that have no meaning here.
        IndexOutOfRange: an integer is outside its axis.
    """
    held = value(b, x, "indexing")
    read = read_index(b, held, index if isinstance(index, tuple) else (index,))
    return _apply(b, held, read)


def _items(b: ArrayBuilder, x: Value, index: tuple[Any, ...]) -> list[Any]:
    """Return one item an axis (and the None's), Ellipsis written out."""
    given = [i for i in index if i is not None and i is not Ellipsis]
    rank = x.type.rank
    if len(given) > rank:
        raise OpTypeError(
            f"indexing: {len(given)} indices for {rank} axes of {x.type}"
            f"{traced_at(b.loc)}"
        )
    if sum(1 for i in index if i is Ellipsis) > 1:
        raise OpTypeError(f"indexing: more than one Ellipsis{traced_at(b.loc)}")
    full = [slice(None)] * (rank - len(given))
    out: list[Any] = []
    for i in index:
        out.extend(full if i is Ellipsis else [i])
    if not any(i is Ellipsis for i in index):
        out.extend(full)
    return out


def read_index(b: ArrayBuilder, x: Value, index: tuple[Any, ...]) -> Read:
    """Return what an index of x asks for."""
    read = Read()
    for item in _items(b, x, index):
        if item is None:
            read.kinds.append("n")
            continue
        axis = len(read.size)
        extent = x.type.shape[axis]
        if isinstance(item, slice):
            start, step, size = _span(b, item, extent)
            read.kinds.append("s")
        elif isinstance(item, (bool, np.bool_)):
            raise _refuse(b, "a bool")
        elif isinstance(item, (int, np.integer)) and isinstance(extent, int):
            k = operator.index(item)
            if not -extent <= k < extent:
                raise IndexOutOfRange(
                    f"indexing: index {k} is out of range for axis {axis} of {x.type}"
                    f"{traced_at(b.loc)}"
                )
            start, step, size = k % extent, 1, 1
            read.kinds.append("i")
            read.dropped.append(axis)
        else:
            start, step, size = 0, 1, extent
            read.kinds.append("a")
            read.arrays.append((axis, _integers(b, item, axis, extent)))
        read.start.append(start)
        read.step.append(step)
        read.size.append(size)
    return read


def _refuse(b: ArrayBuilder, what: str) -> OpTypeError:
    return OpTypeError(
        f"indexing: {what} as an index gives a shape that depends on values; "
        f"use np.where(mask, x, 0) and reduce{traced_at(b.loc)}"
    )


def _integers(b: ArrayBuilder, item: Any, axis: int, extent: Size) -> Value:
    """Return an index array as a Value; known integers are checked at once."""
    if isinstance(item, Dim):
        return b.constant(item.size, I64)
    if isinstance(item, (int, np.integer)):
        return b.constant(operator.index(item), I64)
    if isinstance(item, (list, tuple)) and not len(item):
        item = np.empty(0, np.int64)
    if isinstance(item, (list, tuple)) and has_value(item):
        item = listed(b, item, "indexing")
    if isinstance(item, Value):
        if item.type.dtype.kind == "b":
            raise _refuse(b, "a boolean mask")
        if item.type.dtype.kind not in "iu":
            raise OpTypeError(
                f"indexing: an index has integers, not {item.type}{traced_at(b.loc)}"
            )
        return cast_to(b, item, I64)
    array = np.asarray(item)
    if array.dtype.kind == "b":
        raise _refuse(b, "a boolean mask")
    if array.dtype.kind not in "iu":
        raise OpTypeError(
            f"indexing: {item!r} is no index: use integers, slices, Ellipsis, "
            f"None or integer arrays{traced_at(b.loc)}"
        )
    if isinstance(extent, int) and array.size:
        low, high = int(array.min()), int(array.max())
        bad = low if low < -extent else high
        if bad < -extent or bad >= extent:
            raise IndexOutOfRange(
                f"indexing: index {bad} is out of range for axis {axis} "
                f"with size {extent}{traced_at(b.loc)}"
            )
    return cast_to(b, b.array(array), I64)


def _bound(number: Any, what: str, b: ArrayBuilder) -> "Size | None":
    if number is None or isinstance(number, SizeExpr):
        return number
    if isinstance(number, Dim):
        return number.size
    if isinstance(number, Value):
        raise OpTypeError(
            f"indexing: the {what} of a slice must be known when tracing, "
            f"got {number.type}{traced_at(b.loc)}"
        )
    try:
        return operator.index(number)
    except TypeError:
        raise OpTypeError(
            f"indexing: the {what} of a slice is an integer, got {number!r}"
            f"{traced_at(b.loc)}"
        ) from None


def _span(b: ArrayBuilder, item: slice, extent: Size) -> tuple[Size, int, Size]:
    """Return start, step and size of a slice of an axis."""
    start = _bound(item.start, "start", b)
    stop = _bound(item.stop, "stop", b)
    step = _bound(item.step, "step", b)
    if step is None:
        step = 1
    if not isinstance(step, int) or step == 0:
        raise OpTypeError(
            f"indexing: the step of a slice is a non-zero constant{traced_at(b.loc)}"
        )
    if not any(isinstance(part, SizeExpr) for part in (extent, start, stop)):
        first, last, step = slice(start, stop, step).indices(int(extent))  # type: ignore[arg-type]
        return first, step, len(range(first, last, step))
    low, high = (0, extent) if step > 0 else (-1, extent - 1)
    first_ = _clamped(start, extent, low, high, low if step > 0 else high)
    last_ = _clamped(stop, extent, low, high, high if step > 0 else low)
    if step > 0:
        size = floordiv(last_ - first_ + step - 1, step)
    else:
        size = floordiv(first_ - last_ - step - 1, -step)
    return first_, step, smax(size, 0)


def _clamped(
    number: "Size | None", extent: Size, low: Size, high: Size, default: Size
) -> Size:
    if number is None:
        return default
    if isinstance(number, int) and number < 0:
        return smax(extent + number, low)
    return smin(number, high)


def whole(read: Read, shape: Shape) -> bool:
    """Return whether the slices of an index read everything, in order."""
    return tuple(read.size) == shape and all(s == 1 for s in read.step)


def _apply(b: ArrayBuilder, x: Value, read: Read) -> Value:
    shape = x.type.shape
    out = x
    if not whole(read, shape):
        out = b.op(
            "slice", out, start=tuple(read.start), step=tuple(read.step),
            size=tuple(read.size),
        )  # fmt: skip
    if read.dropped:
        out = b.op("squeeze", out, axes=tuple(read.dropped))
    kinds = read.kinds
    if read.arrays:
        axes = [a - sum(1 for d in read.dropped if d < a) for a, _ in read.arrays]
        arrays = [v for _, v in read.arrays]
        place = read.place()
        front = kinds[:place]
        out, rank = _gather(b, out, axes, arrays, front.count("s"))
        rest = [k for k in kinds[place:] if k in "sn"]
        kinds = [*front, *["s"] * rank, *rest]
    else:
        kinds = [k for k in kinds if k != "i"]
    new = tuple(k for k, kind in enumerate(kinds) if kind == "n")
    if new:
        out = b.op("expand_dims", out, axes=new)
    if out is x:  # x[...] is a value of its own
        out = b.op("reshape", x, shape=shape)
    return out


def _gather(
    b: ArrayBuilder, x: Value, axes: list[int], arrays: list[Value], place: int
) -> tuple[Value, int]:
    """Read x at integers along `axes`; their axes stand at `place` in the result."""
    if len(arrays) == 1:
        at, index = axes[0], arrays[0]
        out = emit(b, "take", x, index, axis=at)
        rank = index.type.rank
    else:
        shape = x.type.shape
        rest = [k for k in range(len(shape)) if k not in axes]
        common = broadcast_shapes(b, "indexing", arrays)
        index = linear_index(b, [shape[a] for a in axes], arrays, common)
        moved = b.op("transpose", x, axes=(*axes, *rest))
        flat = (product([shape[a] for a in axes]), *[shape[k] for k in rest])
        out = emit(b, "take", b.op("reshape", moved, shape=flat), index, axis=0)
        rank, at = len(common), 0
    if at != place and rank:
        order = [k for k in range(out.type.rank) if not at <= k < at + rank]
        order[place:place] = range(at, at + rank)
        out = b.op("transpose", out, axes=tuple(order))
    return out, rank


def linear_index(
    b: ArrayBuilder, extents: list[Size], arrays: list[Value], common: Any
) -> Value:
    """Return one index for several: the row-major number; every part is checked.

    Reading positions at an index checks it and counts it from the front.
    """
    total: Value | None = None
    for extent, index in zip(extents, arrays, strict=True):
        numbers = positions(b, (extent,), 0)
        part = fit(b, emit(b, "take", numbers, index, axis=0), common)
        rows = None if total is None else b.op("mul", total, extent)
        total = part if rows is None else b.op("add", rows, part)
    assert total is not None, "several arrays were given"
    return total


def take(
    b: ArrayBuilder,
    a: Any,
    indices: Any,
    axis: Any = None,
    out: Any = None,
    mode: str = "raise",
) -> Value:
    """Return the elements at integers along an axis; outside the axis it raises."""
    if out is not None or mode != "raise":
        raise OpTypeError(f"take: out= and mode={mode!r} are not supported")
    held = value(b, a, "take")
    if isinstance(indices, (list, tuple)) and not len(indices):
        indices = np.empty(0, np.int64)
    return emit(b, "take", held, value(b, indices, "take"), axis=axis)  # type: ignore[no-any-return]


def take_along_axis(b: ArrayBuilder, arr: Any, indices: Any, axis: Any = -1) -> Value:
    """Return for each place the element that its integer names along an axis."""
    held, index = value(b, arr, "take_along_axis"), value(b, indices, "take_along_axis")
    if axis is None:
        held, axis = emit(b, "reshape", held, (-1,)), 0
    rank = held.type.rank
    if index.type.rank != rank:
        raise OpTypeError(
            f"take_along_axis: {index.type} and {held.type} differ in rank"
            f"{traced_at(b.loc)}"
        )
    if index.type.dtype.kind not in "iu":
        raise OpTypeError(
            f"take_along_axis: an index has integers, not {index.type}"
            f"{traced_at(b.loc)}"
        )
    at = axis_index(axis, rank, "take_along_axis")
    parts = []
    for k, extent in enumerate(held.type.shape):
        lead = (1,) * k + (extent,) + (1,) * (rank - k - 1)
        parts.append(
            cast_to(b, index, I64)
            if k == at
            else b.op("reshape", positions(b, (extent,), 0), shape=lead)
        )
    # an axis of size 1 of the integers stands for all of the array
    common = broadcast_shapes(b, "take_along_axis", parts)
    row = linear_index(b, list(held.type.shape), parts, common)
    return emit(b, "take", emit(b, "reshape", held, (-1,)), row, axis=0)  # type: ignore[no-any-return]
