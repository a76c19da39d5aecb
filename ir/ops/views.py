"""Views: each result element is one operand element, under another index.

An index rule says which. `ix` is the index builder: `ix.const(size)`,
`ix.add(i, size)`, `ix.mul(i, size)`, `ix.linear(index, shape)` and
`ix.split(linear, shape)`.
"""

from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import SizeError
from ..forms import View, reduced_shape
from ..graph import Value
from ..primitive import Sample
from ..promote import Operand, op_error
from ..sizes import floordiv, product
from ..types import Shape, TensorType
from . import matrices, sums
from .axes import (
    agree,
    as_shape,
    as_value,
    many_axes,
    one_axis,
    refuse_keywords,
    shape_text,
)
from .early_sum import early_sum
from .factory import moving, type_error
from .leading import Size, moved

Call = tuple[tuple[Value, ...], dict[str, Any]]
Has = tuple[bool, ...]

# --- broadcast_to ---------------------------------------------------------------------


def _broadcast_accept(b: Builder, x: Operand, shape: Any, **other: Any) -> Call:
    refuse_keywords(b, "broadcast_to", other, [x])
    value = as_value(b, "broadcast_to", x)
    wanted = as_shape(b, "broadcast_to", shape, [x])
    have = value.type.shape
    tail = wanted[len(wanted) - len(have) :]
    if len(tail) == len(have):
        # constant sizes that differ are left for the type rule to refuse
        same = tuple(
            d if d == 1 or (isinstance(d, int) and isinstance(w, int)) else w
            for d, w in zip(have, tail, strict=True)
        )
        value = agree(b, "broadcast_to", value, same)
    return (value,), {"shape": wanted}


def _broadcast_infer(x: TensorType, *, shape: Shape) -> tuple[TensorType, ...]:
    offset = len(shape) - x.rank
    if offset < 0 or any(
        d not in (1, shape[offset + k]) for k, d in enumerate(x.shape)
    ):
        what = f"does not broadcast to shape {shape_text(shape)}"
        raise type_error("broadcast_to", what, [x])
    return (x.with_shape(shape),)


def _broadcast_index(
    ix: Any, out: Any, x: TensorType, result: TensorType, *, shape: Shape
) -> list[Any]:
    offset = result.rank - x.rank
    return [
        ix.const(0) if d == 1 and result.shape[offset + k] != 1 else out[offset + k]
        for k, d in enumerate(x.shape)
    ]


def _broadcast_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, shape: Shape
) -> list[Value | None]:
    offset = len(shape) - x.type.rank
    axes = tuple(
        k
        for k in range(len(shape))
        if k < offset or (x.type.shape[k - offset] == 1 and shape[k] != 1)
    )
    summed = early_sum(b, ct, axes) if axes else ct
    if summed.type.shape != x.type.shape:
        summed = b.reshape(summed, shape=x.type.shape)
    return [summed]


def _broadcast_batch(
    b: Builder, size: Size, has: Has, x: Value, *, shape: Shape
) -> Value:
    missing = len(shape) + 1 - x.type.rank
    if missing:
        x = b.expand_dims(x, axes=tuple(range(1, missing + 1)))
    return b.op("broadcast_to", x, shape=(size, *shape))  # type: ignore[no-any-return]


broadcast_to = moving(
    "broadcast_to",
    mirrors=[np.broadcast_to],
    accept=_broadcast_accept,
    infer=_broadcast_infer,
    evaluate=lambda x, shape: np.broadcast_to(x, shape).copy(),
    form=View(_broadcast_index),
    vjp=_broadcast_vjp,
    batch=_broadcast_batch,
    samples=(
        Sample(((None,),), {"shape": lambda n: (3, n)}),
        Sample(((),), {"shape": lambda n: (n,)}),
        Sample(((None, 1),), {"shape": lambda n: (2, n, 3)}),
    ),
    matrix=matrices.KEEPS_MATRICES,
    sums=sums.REPEATS,
    doc="The array repeated along new axes and axes of size 1.",
)

# --- reshape --------------------------------------------------------------------------


def _reshape_accept(b: Builder, x: Operand, shape: Any, **other: Any) -> Call:
    refuse_keywords(b, "reshape", other, [x])
    value = as_value(b, "reshape", x)
    wanted = as_shape(b, "reshape", shape, [x])
    total = product(value.type.shape)
    unknown = [k for k, d in enumerate(wanted) if d == -1]
    if len(unknown) > 1:
        raise op_error(b, "reshape", "only one size may be -1", [x])
    if unknown:
        at = unknown[0]
        rest = product([d for k, d in enumerate(wanted) if k != at])
        try:
            quotient = floordiv(total, rest)
        except SizeError:
            what = f"-1 in {shape_text(wanted)} could be any size"
            raise op_error(b, "reshape", what, [x]) from None
        wanted = (*wanted[:at], quotient, *wanted[at + 1 :])
        fits = quotient * rest
    else:
        fits = product(wanted)
    if fits != total:
        if isinstance(fits, int) and isinstance(total, int):
            what = f"{total} elements do not fill shape {shape_text(wanted)}"
            raise op_error(b, "reshape", what, [x])
        b.guard(total, fits, "reshape: the number of elements must stay the same")
    return (value,), {"shape": wanted}


def _reshape_infer(x: TensorType, *, shape: Shape) -> tuple[TensorType, ...]:
    have, want = product(x.shape), product(shape)
    if isinstance(have, int) and isinstance(want, int) and have != want:
        what = f"{have} elements do not fill shape {shape_text(shape)}"
        raise type_error("reshape", what, [x])
    return (x.with_shape(shape),)


def _reshape_index(
    ix: Any, out: Any, x: TensorType, result: TensorType, *, shape: Shape
) -> Any:
    return ix.split(ix.linear(out, result.shape), x.shape)


def _reshape_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, shape: Shape
) -> list[Value | None]:
    return [b.reshape(ct, shape=x.type.shape)]


def _reshape_batch(
    b: Builder, size: Size, has: Has, x: Value, *, shape: Shape
) -> Value:
    return b.op("reshape", x, shape=(size, *shape))  # type: ignore[no-any-return]


reshape = moving(
    "reshape",
    mirrors=[np.reshape],
    accept=_reshape_accept,
    infer=_reshape_infer,
    evaluate=lambda x, shape: np.reshape(x, shape),
    form=View(_reshape_index),
    vjp=_reshape_vjp,
    batch=_reshape_batch,
    samples=(
        Sample(((None, 6),), {"shape": lambda n: (2 * n, 3)}),
        Sample(((2, None, 3),), {"shape": lambda n: (6 * n,)}),
        Sample(((None,),), {"shape": lambda n: (n, 1)}),
        Sample(((),), {"shape": (1, 1)}),
    ),
    sums=sums.RESHAPES,
    doc="The elements in C order under another shape; one size may be -1.",
)

# --- transpose ------------------------------------------------------------------------


def _transpose_accept(b: Builder, x: Operand, axes: Any = None) -> Call:
    value = as_value(b, "transpose", x)
    rank = value.type.rank
    if axes is None:
        return (value,), {"axes": tuple(reversed(range(rank)))}
    given = axes if isinstance(axes, (tuple, list)) else (axes,)
    order = tuple(one_axis(b, "transpose", k, rank, [x]) for k in given)
    if sorted(order) != list(range(rank)):
        what = f"axes {tuple(given)} do not name each axis once"
        raise op_error(b, "transpose", what, [x])
    return (value,), {"axes": order}


def _transpose_infer(x: TensorType, *, axes: tuple[int, ...]) -> tuple[TensorType, ...]:
    if sorted(axes) != list(range(x.rank)):
        raise type_error("transpose", f"axes {axes} do not name each axis once", [x])
    return (x.with_shape(tuple(x.shape[k] for k in axes)),)


def _inverse(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(range(len(axes)), key=axes.__getitem__))


def _transpose_index(
    ix: Any, out: Any, x: TensorType, result: TensorType, *, axes: tuple[int, ...]
) -> list[Any]:
    return [out[k] for k in _inverse(axes)]


def _transpose_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, axes: tuple[int, ...]
) -> list[Value | None]:
    return [b.transpose(ct, axes=_inverse(axes))]


def _transpose_batch(
    b: Builder, size: Size, has: Has, x: Value, *, axes: tuple[int, ...]
) -> Value:
    return b.op("transpose", x, axes=(0, *moved(axes)))  # type: ignore[no-any-return]


transpose = moving(
    "transpose",
    mirrors=[np.transpose],
    accept=_transpose_accept,
    infer=_transpose_infer,
    evaluate=lambda x, axes: np.transpose(x, axes),
    form=View(_transpose_index),
    vjp=_transpose_vjp,
    batch=_transpose_batch,
    samples=(
        Sample(((None, 3),), {"axes": (1, 0)}),
        Sample(((2, None, 3),), {"axes": (2, 0, 1)}),
        Sample(((),), {"axes": ()}),
    ),
    matrix=matrices.PERMUTES,
    sums=sums.PERMUTES,
    doc="The axes in another order; reversed where none is given.",
)

# --- expand_dims and squeeze ----------------------------------------------------------


def _expand_accept(b: Builder, x: Operand, axis: Any) -> Call:
    value = as_value(b, "expand_dims", x)
    count = len(axis) if isinstance(axis, (tuple, list)) else 1
    axes = many_axes(b, "expand_dims", axis, value.type.rank + count, [x])
    return (value,), {"axes": axes}


def _expand_infer(x: TensorType, *, axes: tuple[int, ...]) -> tuple[TensorType, ...]:
    rank = x.rank + len(axes)
    if len(set(axes)) != len(axes) or any(not 0 <= k < rank for k in axes):
        raise type_error("expand_dims", f"axes {axes} do not fit rank {rank}", [x])
    kept = iter(x.shape)
    shape = tuple(1 if k in axes else next(kept) for k in range(rank))
    return (x.with_shape(shape),)


def _expand_index(
    ix: Any, out: Any, x: TensorType, result: TensorType, *, axes: tuple[int, ...]
) -> list[Any]:
    return [out[k] for k in range(result.rank) if k not in axes]


def _expand_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, axes: tuple[int, ...]
) -> list[Value | None]:
    return [b.squeeze(ct, axes=axes)]


def _expand_batch(
    b: Builder, size: Size, has: Has, x: Value, *, axes: tuple[int, ...]
) -> Value:
    return b.op("expand_dims", x, axes=moved(axes))  # type: ignore[no-any-return]


expand_dims = moving(
    "expand_dims",
    mirrors=[np.expand_dims],
    accept=_expand_accept,
    infer=_expand_infer,
    evaluate=lambda x, axes: np.expand_dims(x, axes),
    form=View(_expand_index),
    vjp=_expand_vjp,
    batch=_expand_batch,
    samples=(
        Sample(((None,),), {"axes": (0,)}),
        Sample(((None, 2),), {"axes": (1, 3)}),
        Sample(((),), {"axes": (0,)}),
    ),
    matrix=matrices.KEEPS_MATRICES,
    doc="The array with new axes of size 1 where the result has `axis`.",
)


def _squeeze_accept(b: Builder, x: Operand, axis: Any = None) -> Call:
    value = as_value(b, "squeeze", x)
    shape = value.type.shape
    if axis is None:
        return (value,), {"axes": tuple(k for k, d in enumerate(shape) if d == 1)}
    return (value,), {"axes": many_axes(b, "squeeze", axis, len(shape), [x])}


def _squeeze_infer(x: TensorType, *, axes: tuple[int, ...]) -> tuple[TensorType, ...]:
    for k in axes:
        if x.shape[k] != 1:
            raise type_error("squeeze", f"axis {k} has size {x.shape[k]}, not 1", [x])
    return (x.with_shape(reduced_shape(x.shape, axes)),)


def _squeeze_index(
    ix: Any, out: Any, x: TensorType, result: TensorType, *, axes: tuple[int, ...]
) -> list[Any]:
    kept = iter(out)
    return [ix.const(0) if k in axes else next(kept) for k in range(x.rank)]


def _squeeze_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, axes: tuple[int, ...]
) -> list[Value | None]:
    return [b.expand_dims(ct, axes=axes)]


def _squeeze_batch(
    b: Builder, size: Size, has: Has, x: Value, *, axes: tuple[int, ...]
) -> Value:
    return b.op("squeeze", x, axes=moved(axes))  # type: ignore[no-any-return]


squeeze = moving(
    "squeeze",
    mirrors=[np.squeeze],
    accept=_squeeze_accept,
    infer=_squeeze_infer,
    evaluate=lambda x, axes: np.squeeze(x, axes),
    form=View(_squeeze_index),
    vjp=_squeeze_vjp,
    batch=_squeeze_batch,
    samples=(
        Sample(((None, 1),), {"axes": (1,)}),
        Sample(((1, None, 1, 3),), {"axes": (0, 2)}),
    ),
    matrix=matrices.KEEPS_MATRICES,
    doc="The array without axes of size 1; without all of them by default.",
)
