"""Slices, and their adjoint: operands laid into regions of a result that is else 0."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..forms import Place, Region, View
from ..graph import Value
from ..primitive import Sample
from ..promote import Operand, cast_to, common_dtype, op_error
from ..sizes import SizeExpr, smax
from ..types import Shape, TensorType
from .axes import agree, as_shape, as_value, one_axis, refuse_keywords
from .factory import moving, type_error
from .leading import Size, lead_all

Call = tuple[tuple[Value, ...], dict[str, Any]]
Has = tuple[bool, ...]
Start = tuple[int | SizeExpr, ...]
Step = tuple[int, ...]

# --- slice and place ------------------------------------------------------------------


def _check_region(
    name: str, inner: Shape, outer: Shape, start: Start, step: Step, x: TensorType
) -> None:
    """Demand that `inner` elements at start and step lie inside `outer`.

    Raises:
        OpTypeError: ranks differ, a step is 0, or constant sizes show an overrun.
    """
    if not len(inner) == len(outer) == len(start) == len(step):
        raise type_error(name, f"start {start}, step {step} do not fit the rank", [x])
    for k, (size, extent, first, by) in enumerate(
        zip(inner, outer, start, step, strict=True)
    ):
        if by == 0:
            raise type_error(name, f"the step of axis {k} is 0", [x])
        if size == 0 or not (
            isinstance(size, int) and isinstance(extent, int) and isinstance(first, int)
        ):
            continue
        last = first + (size - 1) * by
        if min(first, last) < 0 or max(first, last) >= extent:
            what = f"axis {k} has no elements {first} to {last}: its size is {extent}"
            raise type_error(name, what, [x])


def _steps(b: Builder, name: str, step: Any, x: Operand) -> Step:
    sizes = as_shape(b, name, step, [x])
    if not all(isinstance(d, int) for d in sizes):
        raise op_error(b, name, "a step must be a constant", [x])
    return tuple(d for d in sizes if isinstance(d, int))


def _slice_accept(b: Builder, x: Operand, start: Any, step: Any, size: Any) -> Call:
    params = {
        "start": as_shape(b, "slice", start, [x]),
        "step": _steps(b, "slice", step, x),
        "size": as_shape(b, "slice", size, [x]),
    }
    return (as_value(b, "slice", x),), params


def _slice_infer(
    x: TensorType, *, start: Start, step: Step, size: Shape
) -> tuple[TensorType, ...]:
    _check_region("slice", size, x.shape, start, step, x)
    return (x.with_shape(size),)


def _spans(start: Any, step: Any, size: Any) -> tuple[slice, ...]:
    """Return the slices that read `size` elements from start by step."""
    spans = []
    for first, by, count in zip(start, step, size, strict=True):
        stop: int | None = first + count * by
        if stop is not None and stop < 0:
            stop = None  # a negative step that reaches element 0
        spans.append(slice(first, stop, by) if count else slice(0, 0))
    return tuple(spans)


def _slice_evaluate(x: Any, start: Any, step: Any, size: Any) -> Any:
    return np.asarray(x)[_spans(start, step, size)].copy()


def _slice_index(
    ix: Any,
    out: Any,
    x: TensorType,
    result: TensorType,
    *,
    start: Start,
    step: Step,
    size: Shape,
) -> list[Any]:
    return [
        ix.add(ix.mul(i, by), first)
        for i, by, first in zip(out, step, start, strict=True)
    ]


def _slice_vjp(
    b: Builder,
    ct: Value,
    out: Value,
    x: Value,
    *,
    start: Start,
    step: Step,
    size: Shape,
) -> list[Value | None]:
    return [b.place(ct, start=start, step=step, shape=x.type.shape)]


def _slice_batch(
    b: Builder,
    extent: Size,
    has: Has,
    x: Value,
    /,
    *,
    start: Start,
    step: Step,
    size: Shape,
) -> Value:
    wide = (extent, *size)
    return b.op("slice", x, start=(0, *start), step=(1, *step), size=wide)  # type: ignore[no-any-return]


slice_ = moving(
    "slice",
    tf_name="strided_slice",
    accept=_slice_accept,
    infer=_slice_infer,
    evaluate=_slice_evaluate,
    form=View(_slice_index),
    vjp=_slice_vjp,
    batch=_slice_batch,
    samples=(
        Sample(
            ((None, 3),),
            {"start": (0, 1), "step": (1, 1), "size": lambda n: (n, 2)},
        ),
        Sample(
            ((None,),),
            {"start": (1,), "step": (1,), "size": lambda n: (smax(n - 1, 0),)},
        ),
        Sample(
            ((None, 6),),
            {
                "start": lambda n: (n - 1, 5),
                "step": (-1, -2),
                "size": lambda n: (n, 3),
            },
        ),
        Sample(((),), {"start": (), "step": (), "size": ()}),
    ),
    doc="Elements start, start + step, ... along each axis, `size` of them.",
)


def _place_accept(b: Builder, x: Operand, start: Any, step: Any, shape: Any) -> Call:
    params = {
        "start": as_shape(b, "place", start, [x]),
        "step": _steps(b, "place", step, x),
        "shape": as_shape(b, "place", shape, [x]),
    }
    return (as_value(b, "place", x),), params


def _place_infer(
    x: TensorType, *, start: Start, step: Step, shape: Shape
) -> tuple[TensorType, ...]:
    _check_region("place", x.shape, shape, start, step, x)
    return (x.with_shape(shape),)


def _place_evaluate(x: Any, start: Any, step: Any, shape: Any) -> Any:
    x = np.asarray(x)
    out = np.zeros(shape, x.dtype)
    out[_spans(start, step, x.shape)] = x
    return out


def _place_regions(
    types: Sequence[TensorType],
    result: TensorType,
    *,
    start: Start,
    step: Step,
    shape: Shape,
) -> tuple[Region, ...]:
    return (Region(start, step),)


def _place_vjp(
    b: Builder,
    ct: Value,
    out: Value,
    x: Value,
    *,
    start: Start,
    step: Step,
    shape: Shape,
) -> list[Value | None]:
    return [b.slice(ct, start=start, step=step, size=x.type.shape)]


def _place_batch(
    b: Builder,
    size: Size,
    has: Has,
    x: Value,
    *,
    start: Start,
    step: Step,
    shape: Shape,
) -> Value:
    wide = (size, *shape)
    return b.op("place", x, start=(0, *start), step=(1, *step), shape=wide)  # type: ignore[no-any-return]


place = moving(
    "place",
    tf_name=None,
    accept=_place_accept,
    infer=_place_infer,
    evaluate=_place_evaluate,
    form=Place(_place_regions),
    vjp=_place_vjp,
    batch=_place_batch,
    samples=(
        Sample(
            ((None, 2),),
            {"start": (1, 0), "step": (1, 2), "shape": lambda n: (n + 2, 4)},
        ),
        Sample(
            ((None,),),
            {
                "start": lambda n: (2 * n,),
                "step": (-2,),
                "shape": lambda n: (2 * n + 1,),
            },
        ),
        Sample(((),), {"start": (), "step": (), "shape": ()}),
    ),
    doc="Zeros with the operand at start, start + step, ...: the adjoint of slice.",
)

# --- concatenate ----------------------------------------------------------------------


def _concatenate_accept(
    b: Builder, arrays: Sequence[Operand], axis: Any = 0, **other: Any
) -> Call:
    args = list(arrays)
    refuse_keywords(b, "concatenate", other, args)
    if not args:
        raise op_error(b, "concatenate", "needs at least one array", args)
    dtype = common_dtype(b, "concatenate", args)
    values = [cast_to(b, x, dtype) for x in args]
    if axis is None:
        flat = b.table["reshape"].accept
        reshape = b.table["reshape"]
        values = [b.apply(reshape, *flat(b, x, -1))[0] for x in values]
        axis = 0
    rank = values[0].type.rank
    if rank == 0:
        raise op_error(b, "concatenate", "scalars have no axis: use stack", args)
    at = one_axis(b, "concatenate", axis, rank, args)
    if any(x.type.rank != rank for x in values):
        raise op_error(b, "concatenate", "operands differ in rank", args)
    shape = list(values[0].type.shape)
    for x in values[1:]:
        for k, d in enumerate(x.type.shape):
            if k == at or d == shape[k]:
                continue
            if isinstance(d, int):
                if isinstance(shape[k], int):
                    what = f"sizes of axis {k} differ: {shape[k]} and {d}"
                    raise op_error(b, "concatenate", what, args)
                shape[k] = d
    agreed = [
        agree(b, "concatenate", x, (*shape[:at], x.type.shape[at], *shape[at + 1 :]))
        for x in values
    ]
    return tuple(agreed), {"axis": at}


def _concatenate_infer(*types: TensorType, axis: int) -> tuple[TensorType, ...]:
    first = types[0]
    total: int | SizeExpr = 0
    for t in types:
        same = t.rank == first.rank and all(
            k == axis or d == first.shape[k] for k, d in enumerate(t.shape)
        )
        if not same or t.dtype is not first.dtype or not 0 <= axis < t.rank:
            raise type_error(
                "concatenate", f"operands do not meet on axis {axis}", types
            )
        total = total + t.shape[axis]
    shape = (*first.shape[:axis], total, *first.shape[axis + 1 :])
    return (first.with_shape(shape),)


def _starts(types: Sequence[TensorType], axis: int) -> list[Start]:
    starts: list[Start] = []
    at: int | SizeExpr = 0
    for t in types:
        starts.append(tuple(at if k == axis else 0 for k in range(t.rank)))
        at = at + t.shape[axis]
    return starts


def _concatenate_regions(
    types: Sequence[TensorType], result: TensorType, *, axis: int
) -> tuple[Region, ...]:
    ones = (1,) * result.rank
    return tuple(Region(start, ones) for start in _starts(types, axis))


def _concatenate_vjp(
    b: Builder, ct: Value, out: Value, *operands: Value, axis: int
) -> list[Value | None]:
    types = [x.type for x in operands]
    ones = (1,) * ct.type.rank
    return [
        b.slice(ct, start=start, step=ones, size=t.shape)
        for t, start in zip(types, _starts(types, axis), strict=True)
    ]


def _concatenate_batch(
    b: Builder, size: Size, has: Has, *operands: Value, axis: int
) -> Value:
    wide = lead_all(b, size, has, operands)
    return b.op("concatenate", *wide, axis=axis + 1)  # type: ignore[no-any-return]


concatenate = moving(
    "concatenate",
    mirrors=[np.concatenate],
    tf_name="concat",
    accept=_concatenate_accept,
    infer=_concatenate_infer,
    evaluate=lambda *arrays, axis: np.concatenate(arrays, axis),
    form=Place(_concatenate_regions),
    vjp=_concatenate_vjp,
    batch=_concatenate_batch,
    samples=(
        Sample(((None,), (3,), (None,)), {"axis": 0}),
        Sample(((2, None), (2, 4)), {"axis": 1}),
        Sample(((None, 2), (None, 2)), {"axis": 0}),
        Sample(((None,),), {"axis": 0}),
    ),
    doc="Arrays joined along an axis they already have.",
)
