"""Functions that move elements: shapes, axes, joining, splitting."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.sizes import SizeExpr, smax
from ..builders import ArrayBuilder
from ..operands import (
    axes_of,
    axis_index,
    emit,
    operands,
    refuse,
    shape_of,
    stack_values,
    value,
)


def reshape(b: ArrayBuilder, a: Any, /, *shape: Any, **options: Any) -> Value:
    """Return the elements in C order under another shape; one size may be -1."""
    if not shape and "shape" in options:
        shape = (options.pop("shape"),)
    if len(shape) > 1 and isinstance(shape[-1], str):
        shape, options["order"] = shape[:-1], shape[-1]
    options.pop("copy", None)
    refuse("reshape", options)
    wanted = shape[0] if len(shape) == 1 else shape
    held = value(b, a, "reshape")
    return emit(b, "reshape", held, shape_of(wanted, "reshape"))  # type: ignore[no-any-return]


def ravel(b: ArrayBuilder, a: Any, order: str = "C") -> Value:
    """Return the elements on one axis."""
    refuse("ravel", {"order": order})
    held = value(b, a, "ravel")
    return held if held.type.rank == 1 else emit(b, "reshape", held, (-1,))


def transpose(b: ArrayBuilder, a: Any, *axes: Any, **options: Any) -> Value:
    """Return the axes in another order; reversed where none is given."""
    order = options.pop("axes", axes[0] if len(axes) == 1 else axes or None)
    refuse("transpose", options)
    held = value(b, a, "transpose")
    return emit(b, "transpose", held, order)  # type: ignore[no-any-return]


def swapaxes(b: ArrayBuilder, a: Any, axis1: Any, axis2: Any) -> Value:
    """Return two axes exchanged."""
    held = value(b, a, "swapaxes")
    rank = held.type.rank
    one, two = (axis_index(k, rank, "swapaxes") for k in (axis1, axis2))
    order = list(range(rank))
    order[one], order[two] = two, one
    return b.op("transpose", held, axes=tuple(order))  # type: ignore[no-any-return]


def moveaxis(b: ArrayBuilder, a: Any, source: Any, destination: Any) -> Value:
    """Return axes moved to other places, the others in their order."""
    held = value(b, a, "moveaxis")
    rank = held.type.rank
    pairs = [
        [axis_index(k, rank, "moveaxis") for k in ks]
        for ks in (
            x if isinstance(x, (tuple, list)) else (x,) for x in (source, destination)
        )
    ]
    if len(pairs[0]) != len(pairs[1]) or len(set(pairs[0])) != len(pairs[0]):
        raise OpTypeError(f"moveaxis: {source} and {destination} do not pair up")
    order = [k for k in range(rank) if k not in pairs[0]]
    for to, at in sorted(zip(pairs[1], pairs[0], strict=True)):
        order.insert(to, at)
    return b.op("transpose", held, axes=tuple(order))  # type: ignore[no-any-return]


def expand_dims(b: ArrayBuilder, a: Any, axis: Any) -> Value:
    """Return the array with new axes of size 1."""
    return emit(b, "expand_dims", value(b, a, "expand_dims"), axis)  # type: ignore[no-any-return]


def squeeze(b: ArrayBuilder, a: Any, axis: Any = None) -> Value:
    """Return the array without axes of size 1."""
    return emit(b, "squeeze", value(b, a, "squeeze"), axis)  # type: ignore[no-any-return]


def broadcast_to(b: ArrayBuilder, array: Any, shape: Any, subok: bool = False) -> Value:
    """Return the array repeated along new axes and axes of size 1."""
    held = value(b, array, "broadcast_to")
    wanted = shape_of(shape, "broadcast_to")
    return emit(b, "broadcast_to", held, wanted)  # type: ignore[no-any-return]


def _parts(b: ArrayBuilder, arrays: Any, name: str) -> list[Value]:
    if not isinstance(arrays, (list, tuple)):
        held = value(b, arrays, name)
        count = held.type.shape[0] if held.type.rank else 0
        if not isinstance(count, int) or not held.type.rank:
            raise OpTypeError(f"{name}: takes a sequence of arrays, not {held.type}")
        return [item(b, held, k) for k in range(count)]
    return [value(b, x, name) for x in arrays]


def item(b: ArrayBuilder, x: Value, k: int) -> Value:
    """Return x[k] along the first axis, k counted from 0."""
    shape = x.type.shape
    rest = len(shape) - 1
    row = b.op(
        "slice", x, start=(k, *(0,) * rest), step=(1,) * (rest + 1),
        size=(1, *shape[1:]),
    )  # fmt: skip
    return b.op("squeeze", row, axes=(0,))  # type: ignore[no-any-return]


def concatenate(
    b: ArrayBuilder, arrays: Any, axis: Any = 0, out: Any = None, **options: Any
) -> Value:
    """Return arrays joined along an axis they have."""
    refuse("concatenate", {"out": out, **options})
    return emit(b, "concatenate", _parts(b, arrays, "concatenate"), axis)  # type: ignore[no-any-return]


def stack(
    b: ArrayBuilder, arrays: Any, axis: Any = 0, out: Any = None, **options: Any
) -> Value:
    """Return arrays of one shape joined along a new axis."""
    refuse("stack", {"out": out, **options})
    return stack_values(b, _parts(b, arrays, "stack"), axis, "stack")


def atleast_1d(b: ArrayBuilder, x: Any) -> Value:
    """Return x with at least one axis."""
    held = value(b, x, "atleast_1d")
    return held if held.type.rank else b.op("expand_dims", held, axes=(0,))


def atleast_2d(b: ArrayBuilder, x: Any) -> Value:
    """Return x with at least two axes; a vector is a row."""
    held = atleast_1d(b, x)
    return held if held.type.rank > 1 else b.op("expand_dims", held, axes=(0,))


def hstack(b: ArrayBuilder, tup: Any, **options: Any) -> Value:
    """Return arrays joined along the second axis, vectors along the first."""
    refuse("hstack", options)
    parts = [atleast_1d(b, x) for x in _parts(b, tup, "hstack")]
    axis = 0 if parts and parts[0].type.rank == 1 else 1
    return emit(b, "concatenate", parts, axis)  # type: ignore[no-any-return]


def vstack(b: ArrayBuilder, tup: Any, **options: Any) -> Value:
    """Return arrays joined along the first axis; vectors are rows."""
    refuse("vstack", options)
    parts = [atleast_2d(b, x) for x in _parts(b, tup, "vstack")]
    return emit(b, "concatenate", parts, 0)  # type: ignore[no-any-return]


def flip(b: ArrayBuilder, m: Any, axis: Any = None) -> Value:
    """Return the elements of axes in reverse order."""
    held = value(b, m, "flip")
    axes = axes_of(axis, held.type.rank, "flip")
    shape = held.type.shape
    return b.op(  # type: ignore[no-any-return]
        "slice",
        held,
        start=tuple(d - 1 if k in axes else 0 for k, d in enumerate(shape)),
        step=tuple(-1 if k in axes else 1 for k in range(len(shape))),
        size=shape,
    )


def span(
    b: ArrayBuilder, x: Value, axis: int, start: Any, size: "int | SizeExpr"
) -> Value:
    """Return `size` elements of one axis from `start`."""
    shape = x.type.shape
    return b.op(  # type: ignore[no-any-return]
        "slice",
        x,
        start=tuple(start if k == axis else 0 for k in range(len(shape))),
        step=(1,) * len(shape),
        size=(*shape[:axis], size, *shape[axis + 1 :]),
    )


def split(b: ArrayBuilder, ary: Any, sections: Any, axis: Any = 0) -> list[Value]:
    """Return pieces of an axis: of equal size, or cut at given places."""
    held = value(b, ary, "split")
    at = axis_index(axis, held.type.rank, "split")
    extent = held.type.shape[at]
    if isinstance(sections, int):
        each = extent // sections
        if each * sections != extent:
            raise OpTypeError(f"split: {extent} elements do not divide by {sections}")
        return [span(b, held, at, each * k, each) for k in range(sections)]
    if not isinstance(extent, int):
        raise OpTypeError(f"split: needs a constant size to cut, not {extent}")
    cuts = [0, *[slice(None, int(c)).indices(extent)[1] for c in sections], extent]
    return [span(b, held, at, low, max(high - low, 0)) for low, high in pairwise(cuts)]


def diff(
    b: ArrayBuilder,
    a: Any,
    n: int = 1,
    axis: Any = -1,
    prepend: Any = np._NoValue,
    append: Any = np._NoValue,
) -> Value:
    """Return differences of neighbours along an axis, with ends added before."""
    held = value(b, a, "diff")
    at = axis_index(axis, held.type.rank, "diff")
    ends = [x for x in (prepend, append) if x is not np._NoValue]
    if ends:
        parts = [_end(b, x, held, at) for x in ends]
        parts.insert(0 if prepend is np._NoValue else 1, held)
        held = emit(b, "concatenate", parts, at)
    minus = "ne" if held.type.dtype.kind == "b" else "sub"
    for _ in range(n):
        size = smax(held.type.shape[at] - 1, 0)
        held = b.op(minus, span(b, held, at, 1, size), span(b, held, at, 0, size))
    return held


def _end(b: ArrayBuilder, x: Any, like: Value, axis: int) -> Value:
    held = value(b, x, "diff")
    if held.type.rank:
        return held
    shape = tuple(1 if k == axis else d for k, d in enumerate(like.type.shape))
    return b.broadcast(held, shape)


def repeat_rows(b: ArrayBuilder, x: Value, reps: Sequence[int]) -> Value:
    """Return x repeated `reps` times along each axis, as np.tile does."""
    shape = x.type.shape
    wide: list[Any] = []
    out: list[Any] = []
    for d, r in zip(shape, reps, strict=True):
        wide += [r, d]
        out.append(d * r)
    inner = b.op("expand_dims", x, axes=tuple(range(0, 2 * len(shape), 2)))
    return b.op("reshape", b.broadcast(inner, tuple(wide)), shape=tuple(out))  # type: ignore[no-any-return]


def tile(b: ArrayBuilder, a: Any, reps: Any) -> Value:
    """Return the array laid side by side."""
    held = value(b, a, "tile")
    counts = [int(r) for r in (reps if isinstance(reps, (tuple, list)) else (reps,))]
    rank = max(len(counts), held.type.rank)
    counts = [1] * (rank - len(counts)) + counts
    if rank > held.type.rank:
        extra = tuple(range(rank - held.type.rank))
        held = b.op("expand_dims", held, axes=extra)
    return repeat_rows(b, held, counts)


def broadcast_arrays(b: ArrayBuilder, *args: Any) -> tuple[Value, ...]:
    """Return arrays broadcast to one shape."""
    held = operands(b, args, "broadcast_arrays")
    values = [value(b, x, "broadcast_arrays") for x in held]
    shapes = [v.type.shape for v in values]
    rank = max(len(s) for s in shapes)
    out: list[Any] = [1] * rank
    for shape in shapes:
        for k, d in enumerate(shape, rank - len(shape)):
            out[k] = d if out[k] == 1 else out[k]
    return tuple(emit(b, "broadcast_to", v, tuple(out)) for v in values)
