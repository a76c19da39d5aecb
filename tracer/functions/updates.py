"""Arrays with elements replaced: `x.at[index].set(v)` and its fellows.

The part of x that the index reads is made, updated, and laid back: a slice by a mask,
integer arrays by a scatter. An update never writes into x.
"""

from collections.abc import Callable
from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.loc import traced_at
from ...ir.promote import broadcast_shapes, cast_to, check_fits, fit
from ...ir.sizes import product
from ...ir.types import BOOL, Shape
from ..builders import ArrayBuilder
from ..operands import emit, operand, value
from .indexing import Read, linear_index, read_index, whole

# the operation on the part that is read, and its scatter
_WAYS = {
    "set": (None, "scatter_set"),
    "add": ("add", None),
    "multiply": ("mul", "scatter_mul"),
    "min": ("minimum", "scatter_min"),
    "max": ("maximum", "scatter_max"),
}


def _update(b: ArrayBuilder, way: str, x: Any, index: Any, v: Any) -> Value:
    held = value(b, x, "at")
    given = operand(b, v, "at")
    if isinstance(given, Value):
        made = cast_to(b, given, held.type.dtype)
    else:
        check_fits(b, "at", given, held.type.dtype)
        made = b.constant(given, held.type.dtype)
    if isinstance(index, Value) and index.type.dtype is BOOL:
        return _where(b, way, held, index, made)
    read = read_index(b, held, index if isinstance(index, tuple) else (index,))
    part = _sliced(b, held, read)
    if read.arrays:
        part = _scattered(b, way, part, read, made)
    else:
        kinds = [k for k in read.kinds if k != "i"]
        new = _at(kinds, "n")
        shape = list(part.type.shape)
        for k in new:
            shape.insert(k, 1)
        made = _fitted(b, made, tuple(shape))
        made = b.op("squeeze", made, axes=new) if new else made
        part = _combined(b, way, part, made)
    return _laid(b, held, read, part)


def _at(kinds: list[str], kind: str) -> tuple[int, ...]:
    return tuple(k for k, found in enumerate(kinds) if found == kind)


def _fitted(b: ArrayBuilder, v: Value, shape: Shape) -> Value:
    """Return the new elements in the shape that is updated."""
    wanted = b.constant(False, BOOL, shape)
    if broadcast_shapes(b, "at", [wanted, v]) != shape:
        raise OpTypeError(
            f"at: {v.type} does not broadcast to the shape {list(shape)} that the "
            f"index reads{traced_at(b.loc)}"
        )
    return fit(b, v, shape)


def _combined(b: ArrayBuilder, way: str, part: Value, v: Value) -> Value:
    op = _WAYS[way][0]
    return v if op is None else b.op(op, part, v)


def _where(b: ArrayBuilder, way: str, x: Value, mask: Value, v: Value) -> Value:
    """Return x updated where a mask of its leading axes holds."""
    lead = mask.type.rank
    shape = x.type.shape
    if lead > len(shape) or v.type.rank > len(shape) - lead:
        raise OpTypeError(
            f"at: a mask {mask.type} of {x.type} takes a value for each place, of "
            f"shape {list(shape[lead:])} or less, not {v.type}{traced_at(b.loc)}"
        )
    later = tuple(range(lead, len(shape)))
    wide = b.op("expand_dims", mask, axes=later) if later else mask
    keep = fit(b, wide, _agreed(b, wide, shape))
    made = _combined(b, way, x, _fitted(b, v, shape))
    return b.op("select", keep, made, x)  # type: ignore[no-any-return]


def _agreed(b: ArrayBuilder, x: Value, shape: Shape) -> Shape:
    like = b.constant(False, BOOL, shape)
    if broadcast_shapes(b, "at", [like, x]) != shape:
        raise OpTypeError(f"at: a mask {x.type} does not fit {list(shape)}")
    return shape


def _sliced(b: ArrayBuilder, x: Value, read: Read) -> Value:
    """Return the slice of x, without the axes that integers dropped."""
    out = x
    if not whole(read, x.type.shape):
        out = b.op(
            "slice", x, start=tuple(read.start), step=tuple(read.step),
            size=tuple(read.size),
        )  # fmt: skip
    return b.op("squeeze", out, axes=tuple(read.dropped)) if read.dropped else out


def _laid(b: ArrayBuilder, x: Value, read: Read, part: Value) -> Value:
    """Return x with the slice that `_sliced` read replaced by `part`."""
    if read.dropped:
        part = b.op("expand_dims", part, axes=tuple(read.dropped))
    shape = x.type.shape
    if whole(read, shape):
        return part
    params: dict[str, Any] = {
        "start": tuple(read.start), "step": tuple(read.step), "shape": shape,
    }  # fmt: skip
    here = b.op("place", b.constant(True, BOOL, part.type.shape), **params)
    return b.op("select", here, b.op("place", part, **params), x)  # type: ignore[no-any-return]


def _scattered(b: ArrayBuilder, way: str, part: Value, read: Read, v: Value) -> Value:
    """Return a slice with the rows at integer arrays updated."""
    axes = [a - sum(1 for d in read.dropped if d < a) for a, _ in read.arrays]
    arrays = [array for _, array in read.arrays]
    shape = part.type.shape
    rest = [k for k in range(len(shape)) if k not in axes]
    if len(arrays) == 1:
        index = arrays[0]
        inner: Shape = index.type.shape
    else:
        inner = broadcast_shapes(b, "indexing", arrays)
        index = linear_index(b, [shape[a] for a in axes], arrays, inner)
    rank = len(inner)
    # where the axes of the integers stand in what the index reads
    place = read.place()
    front = read.kinds[:place]
    kinds = [*front, *"a" * rank, *[k for k in read.kinds[place:] if k in "sn"]]
    kept = iter([shape[k] for k in rest])
    dims = iter(inner)
    wanted = tuple(
        1 if k == "n" else (next(dims) if k == "a" else next(kept)) for k in kinds
    )
    v = _fitted(b, v, wanted)
    new = _at(kinds, "n")
    v = b.op("squeeze", v, axes=new) if new else v
    at = front.count("s")
    order = tuple(range(at, at + rank))
    order += tuple(k for k in range(v.type.rank) if k not in order)
    v = b.op("transpose", v, axes=order)
    turned = (*axes, *rest)
    moved = b.op("transpose", part, axes=turned)
    flat = (product([shape[a] for a in axes]), *[shape[k] for k in rest])
    rows = b.op("reshape", moved, shape=flat)
    scatter = _WAYS[way][1]
    if scatter is None:
        added = emit(b, "scatter_add", v, index, 0, flat)
        rows = b.op("add", rows, added)
    else:
        rows = b.op(scatter, v, index, rows, axis=0)
    back = b.op("reshape", rows, shape=moved.type.shape)
    inverse = tuple(turned.index(k) for k in range(len(shape)))
    return b.op("transpose", back, axes=inverse)  # type: ignore[no-any-return]


def _way(way: str, doc: str) -> Callable[..., Value]:
    def impl(b: ArrayBuilder, x: Any, index: Any, v: Any) -> Value:
        return _update(b, way, x, index, v)

    impl.__name__ = way
    impl.__doc__ = doc
    return impl


at_set = _way("set", "Return x with elements replaced; of several the last stays.")
at_add = _way("add", "Return x with numbers added to elements; all of several.")
at_multiply = _way("multiply", "Return x with elements multiplied; by all of several.")
at_min = _way("min", "Return x with elements lowered to numbers.")
at_max = _way("max", "Return x with elements raised to numbers.")


def at_subtract(b: ArrayBuilder, x: Any, index: Any, v: Any) -> Value:
    """Return x with numbers subtracted from elements; all of several."""
    return _update(b, "add", x, index, emit(b, "neg", value(b, v, "at")))


def at_divide(b: ArrayBuilder, x: Any, index: Any, v: Any) -> Value:
    """Return x with elements divided by numbers; by all of several."""
    held = value(b, v, "at")
    return _update(b, "multiply", x, index, emit(b, "div", 1.0, held))
