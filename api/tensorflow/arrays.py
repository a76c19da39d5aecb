"""Functions of `tf` that make, move and choose elements."""

import builtins
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.types import I64
from ..tracer.cell import leaf
from ..tracer.functions import indexing, rearranging, shaping
from ..tracer.functions.table import PUBLIC
from ..tracer.operands import emit, value
from .dtypes import TensorShape, as_dtype, float32, int32
from .making import cast_to, plain_axis, plain_shape, public_names
from .tensors import EagerTensor, call, constant, convert, differ, matched

# -- making ----------------------------------------------------------------------------


def _filled(shape: Any, number: Any, dtype: Any) -> EagerTensor:
    kind = as_dtype(dtype)
    return constant(np.full(plain_shape(shape), number, kind.dtype))


def zeros(shape: Any, dtype: Any = float32, name: Any = None) -> EagerTensor:
    """Return zeros of a shape."""
    return _filled(shape, 0, dtype)


def ones(shape: Any, dtype: Any = float32, name: Any = None) -> EagerTensor:
    """Return ones of a shape."""
    return _filled(shape, 1, dtype)


def fill(dims: Any, value: Any, name: Any = None) -> EagerTensor:
    """Return a number in every element of a shape."""
    return broadcast_to(convert(value), dims)


def zeros_like(input: Any, dtype: Any = None, name: Any = None) -> EagerTensor:
    """Return zeros of the shape of a tensor."""
    held = convert(input)
    return _filled(held.shape, 0, dtype or held.dtype)


def ones_like(input: Any, dtype: Any = None, name: Any = None) -> EagerTensor:
    """Return ones of the shape of a tensor."""
    held = convert(input)
    return _filled(held.shape, 1, dtype or held.dtype)


def eye(
    num_rows: Any, num_columns: Any = None, batch_shape: Any = None,
    dtype: Any = float32, name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return the identity matrix, once for each element of a batch."""
    columns = int(num_rows if num_columns is None else num_columns)
    one = np.eye(int(num_rows), columns, dtype=as_dtype(dtype).dtype)
    lead = () if batch_shape is None else plain_shape(batch_shape)
    return constant(np.broadcast_to(one, (*lead, *one.shape)))


def range(
    start: Any, limit: Any = None, delta: Any = 1, dtype: Any = None, name: Any = None
) -> EagerTensor:
    """Return numbers from start on, as long as they are below limit."""
    low, high = (0, start) if limit is None else (start, limit)
    given = [
        convert(x) if not isinstance(x, (int, float)) else x for x in (low, high, delta)
    ]
    plain = [x.numpy() if isinstance(x, EagerTensor) else x for x in given]
    if dtype is None:
        kinds = [x.dtype for x in given if isinstance(x, EagerTensor)]
        any_float = any(isinstance(x, float) for x in given)
        dtype = kinds[0] if kinds else (float32 if any_float else int32)
    return EagerTensor(leaf(np.arange(*plain, dtype=as_dtype(dtype).dtype)))


def _linspace(b: Any, start: Any, stop: Any, num: int) -> Any:
    low, high = value(b, start, "linspace"), value(b, stop, "linspace")
    kind = low.type.dtype
    if num == 1:
        return emit(b, "expand_dims", low, 0)
    spread = b.op("div", b.op("sub", high, low), float(num - 1))
    steps = b.array(
        np.arange(num).astype(kind.numpy).reshape(num, *[1] * low.type.rank)
    )
    shape = (num, *low.type.shape)
    steps, wide = b.broadcast(steps, shape), b.broadcast(spread, shape)
    made = b.op("fma", steps, wide, b.broadcast(low, shape))
    inner = shaping.span(b, made, 0, 0, num - 1)
    return shaping.concatenate(b, [inner, b.op("expand_dims", high, axes=(0,))], 0)


def linspace(
    start: Any, stop: Any, num: int, name: Any = None, axis: int = 0
) -> EagerTensor:
    """Return evenly spaced numbers; the last is `stop` itself."""
    low = convert(start)
    if not low.dtype.is_floating:
        low = cast_to(low, float32)
    high = convert(stop)
    high = high if high.dtype.is_floating else cast_to(high, low.dtype)
    if high.dtype != low.dtype:
        raise differ("LinSpace", 1, low.dtype, high.dtype)
    count = int(num)
    if count < 1:
        raise ValueError(f"Requires num > 0: {count} [Op:LinSpace] name: ")
    if not low.shape and not high.shape:
        ends = (float(low), float(high))
        made = np.linspace(*ends, count).astype(low.dtype.dtype)
        return EagerTensor(leaf(made))
    made = call(_linspace, (low, high, count), "LinSpace")
    return made if axis == 0 else call(PUBLIC["moveaxis"], (made, 0, axis), "LinSpace")  # type: ignore[no-any-return]


# -- shapes ----------------------------------------------------------------------------


def shape(input: Any, out_type: Any = int32, name: Any = None) -> EagerTensor:
    """Return the extents of a tensor as a tensor."""
    return convert(np.asarray(convert(input).shape, as_dtype(out_type).dtype))


def rank(input: Any, name: Any = None) -> EagerTensor:
    """Return the number of axes as a tensor."""
    return convert(len(convert(input).shape))


def size(input: Any, out_type: Any = int32, name: Any = None) -> EagerTensor:
    """Return the number of elements as a tensor."""
    held = convert(input)
    return convert(np.asarray(held.shape.num_elements(), as_dtype(out_type).dtype))


def reshape(tensor: Any, shape: Any, name: Any = None) -> EagerTensor:
    """Return the elements in another shape; one extent may be -1."""
    return call(shaping.reshape, (convert(tensor), plain_shape(shape)), "Reshape")  # type: ignore[no-any-return]


def transpose(
    a: Any, perm: Any = None, conjugate: bool = False, name: Any = None
) -> EagerTensor:
    """Return the axes in another order, reversed by default."""
    order = None if perm is None else plain_shape(perm)
    return call(shaping.transpose, (convert(a), order), "Transpose")  # type: ignore[no-any-return]


def expand_dims(input: Any, axis: Any, name: Any = None) -> EagerTensor:
    """Return a tensor with an axis of size 1 more."""
    return call(shaping.expand_dims, (convert(input), int(axis)), "ExpandDims")  # type: ignore[no-any-return]


def squeeze(input: Any, axis: Any = None, name: Any = None) -> EagerTensor:
    """Return a tensor without axes of size 1."""
    axes = None if axis is None or axis == [] else plain_axis(axis)
    return call(shaping.squeeze, (convert(input), axes), "Squeeze")  # type: ignore[no-any-return]


def broadcast_to(input: Any, shape: Any, name: Any = None) -> EagerTensor:
    """Return a tensor broadcast to a shape."""
    args = (convert(input), plain_shape(shape))
    return call(shaping.broadcast_to, args, "BroadcastTo")  # type: ignore[no-any-return]


def broadcast_static_shape(shape_x: Any, shape_y: Any) -> TensorShape:
    """Return the common shape of two."""
    return TensorShape(np.broadcast_shapes(tuple(shape_x), tuple(shape_y)))


def _all_of_one(values: Sequence[Any], op: str) -> list[EagerTensor]:
    first = next((x for x in values if hasattr(x, "dtype")), None)
    kind = None if first is None else as_dtype(np.dtype(first.dtype))
    made = [convert(x) if hasattr(x, "dtype") else convert(x, kind) for x in values]
    for k, x in enumerate(made):
        if x.dtype != made[0].dtype:
            raise differ(op, k, made[0].dtype, x.dtype)
    return made


def concat(values: Any, axis: Any, name: Any = "concat") -> EagerTensor:
    """Return tensors one behind the other along an axis."""
    given = list(values) if isinstance(values, (list, tuple)) else [values]
    args = (_all_of_one(given, "ConcatV2"), int(axis))
    return call(shaping.concatenate, args, "ConcatV2")  # type: ignore[no-any-return]


def stack(values: Any, axis: int = 0, name: Any = "stack") -> EagerTensor:
    """Return tensors of one shape along an axis of its own."""
    return call(shaping.stack, (_all_of_one(list(values), "Pack"), axis), "Pack")  # type: ignore[no-any-return]


def unstack(
    value: Any, num: "int | None" = None, axis: int = 0, name: Any = "unstack"
) -> list[EagerTensor]:
    """Return the parts of a tensor along an axis, without the axis."""
    held = convert(value)
    if num is not None and held.shape[axis] != num:
        raise ValueError(
            f"Input shape axis {axis} must equal {num}, got shape {list(held.shape)}"
        )
    impl = rearranging.unstack
    return list(call(impl, (held,), "Unpack", {"axis": axis}))


def split(
    value: Any,
    num_or_size_splits: Any,
    axis: int = 0,
    num: Any = None,
    name: Any = "split",
) -> list[EagerTensor]:
    """Return parts along an axis: so many equal ones, or of these sizes."""
    held = convert(value)
    parts = num_or_size_splits
    if not isinstance(parts, int):
        sizes = list(plain_shape(parts))
        if -1 in sizes:
            rest = held.shape[axis] - sum(s for s in sizes if s != -1)
            sizes[sizes.index(-1)] = rest
        parts = [int(p) for p in np.cumsum(sizes)[:-1]]
    return list(call(shaping.split, (held, parts, axis), "Split"))


def tile(input: Any, multiples: Any, name: Any = None) -> EagerTensor:
    """Return a tensor repeated along its axes."""
    return call(shaping.tile, (convert(input), plain_shape(multiples)), "Tile")  # type: ignore[no-any-return]


def repeat(input: Any, repeats: Any, axis: Any = None, name: Any = None) -> EagerTensor:
    """Return each element so many times along an axis."""
    counts = plain_axis(repeats)
    counts = list(counts) if isinstance(counts, tuple) else counts
    return call(rearranging.repeat, (convert(input), counts, axis), "Repeat")  # type: ignore[no-any-return]


def reverse(tensor: Any, axis: Any, name: Any = None) -> EagerTensor:
    """Return a tensor with the order along axes turned round."""
    return call(shaping.flip, (convert(tensor), plain_axis(axis)), "ReverseV2")  # type: ignore[no-any-return]


def roll(input: Any, shift: Any, axis: Any, name: Any = None) -> EagerTensor:
    """Return a tensor with elements moved along axes, round the end."""
    args = (convert(input), plain_axis(shift), plain_axis(axis))
    return call(rearranging.roll, args, "Roll")  # type: ignore[no-any-return]


def pad(
    tensor: Any, paddings: Any, mode: str = "CONSTANT", constant_values: Any = 0,
    name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return a tensor with a border."""
    modes = {"CONSTANT": "constant", "REFLECT": "reflect", "SYMMETRIC": "symmetric"}
    if mode.upper() not in modes:
        raise ValueError(
            "Value of argument `mode` expected to be one of 'CONSTANT', 'REFLECT', or "
            f"'SYMMETRIC'. Received `mode` = '{mode}'"
        )
    widths = [tuple(int(n) for n in w) for w in np.asarray(convert(paddings))]
    options: dict[str, Any] = {"mode": modes[mode.upper()]}
    if mode.upper() == "CONSTANT":
        options["constant_values"] = constant_values
    return call(rearranging.pad, (convert(tensor), widths), "PadV2", options)  # type: ignore[no-any-return]


def slice(input_: Any, begin: Any, size: Any, name: Any = None) -> EagerTensor:
    """Return the elements from `begin` on, so many along each axis; -1 is the rest."""
    held = convert(input_)
    index = tuple(
        [
            _slice(low, None if n == -1 else low + n)
            for low, n in zip(plain_shape(begin), plain_shape(size), strict=True)
        ]
    )
    return held[index]  # type: ignore[no-any-return]


_slice = builtins.slice


# -- choosing --------------------------------------------------------------------------


def where(
    condition: Any, x: Any = None, y: Any = None, name: Any = None
) -> EagerTensor:
    """Return x where the condition holds, else y; alone, where it holds."""
    held = convert(condition)
    if (x is None) != (y is None):
        raise ValueError("x and y must both be non-None or both be None.")
    if x is None:
        return convert(np.argwhere(held.numpy()))
    one, two = matched(x, y, "SelectV2")
    return call(PUBLIC["where"], (held, one, two), "SelectV2")  # type: ignore[no-any-return]


def gather(
    params: Any, indices: Any, validate_indices: Any = None, axis: Any = None,
    batch_dims: int = 0, name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return the elements at integers along an axis, the first by default."""
    if batch_dims:
        raise ValueError("tf.gather: batch_dims other than 0 is not supported")
    rows = convert(indices)
    at = 0 if axis is None else int(axis)
    return call(indexing.take, (convert(params), rows, at), "GatherV2")  # type: ignore[no-any-return]


def _gather_nd(b: Any, params: Any, indices: Any) -> Any:
    rows = value(b, indices, "gather_nd")
    depth: Any = rows.type.shape[-1]
    parts = [
        indexing.getitem(b, rows, (Ellipsis, k)) for k in builtins.range(int(depth))
    ]
    held = value(b, params, "gather_nd")
    return indexing.getitem(
        b, held, tuple([emit(b, "cast", p, I64.numpy) for p in parts])
    )


def gather_nd(
    params: Any, indices: Any, batch_dims: int = 0, name: Any = None
) -> EagerTensor:
    """Return the elements or slices that rows of integers name."""
    if batch_dims:
        raise ValueError("tf.gather_nd: batch_dims other than 0 is not supported")
    return call(_gather_nd, (convert(params), convert(indices)), "GatherNd")  # type: ignore[no-any-return]


def one_hot(
    indices: Any, depth: Any, on_value: Any = None, off_value: Any = None,
    axis: Any = None, dtype: Any = None, name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return rows that are 1 at an integer and else 0."""
    at = -1 if axis is None else int(axis)
    kind = float32 if dtype is None else as_dtype(dtype)
    held = convert(indices)
    made = call(PUBLIC["one_hot"], (held, int(depth), kind.dtype, at), "OneHot")
    if on_value is None and off_value is None:
        return made  # type: ignore[no-any-return]
    on = 1 if on_value is None else on_value
    off = 0 if off_value is None else off_value
    return made * (on - off) + off  # type: ignore[no-any-return]


def boolean_mask(
    tensor: Any, mask: Any, axis: Any = None, name: Any = None
) -> EagerTensor:
    """Return the elements where a mask holds; it is looked at."""
    at = 0 if axis is None else int(axis)
    (rows,) = np.nonzero(np.asarray(convert(mask).numpy()))
    return gather(tensor, rows, axis=at)


def clip_by_value(
    t: Any, clip_value_min: Any, clip_value_max: Any, name: Any = None
) -> EagerTensor:
    """Return elements moved into an interval."""
    held = convert(t)
    _, low = matched(held, clip_value_min, "Maximum")
    _, high = matched(held, clip_value_max, "Minimum")
    return call(PUBLIC["clip"], (held, low, high), "ClipByValue")  # type: ignore[no-any-return]


def identity(input: Any, name: Any = None) -> EagerTensor:
    """Return the same elements as a tensor of its own."""
    return call(PUBLIC["positive"], (convert(input),), "Identity")  # type: ignore[no-any-return]


def stop_gradient(input: Any, name: Any = None) -> EagerTensor:
    """Return the same elements; no gradient flows through."""
    return call(PUBLIC["stop_gradient"], (convert(input),), "StopGradient")  # type: ignore[no-any-return]


def tensor_scatter_nd_add(
    tensor: Any, indices: Any, updates: Any, name: Any = None
) -> EagerTensor:
    """Return a tensor with rows added at integers."""
    return _scattered("add", tensor, indices, updates)


def tensor_scatter_nd_update(
    tensor: Any, indices: Any, updates: Any, name: Any = None
) -> EagerTensor:
    """Return a tensor with rows replaced at integers."""
    return _scattered("set", tensor, indices, updates)


def _scattered(way: str, tensor: Any, indices: Any, updates: Any) -> EagerTensor:
    held, rows = convert(tensor), convert(indices)
    parts = tuple(unstack(rows, axis=-1))
    new = convert(updates, held.dtype)
    return getattr(held.at[parts], way)(new)  # type: ignore[no-any-return]


__all__ = public_names(globals())
