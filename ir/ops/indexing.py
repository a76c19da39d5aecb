"""Reading at integers, and its adjoint: adding at integers.

Both check every index, negative ones counted from the end, and raise IndexOutOfRange.
"""

from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import IndexOutOfRange
from ..forms import Gather, Scatter
from ..graph import Value
from ..primitive import Cost, Effect, Sample
from ..promote import Operand, op_error
from ..sizes import product
from ..types import I64, Shape, TensorType
from .axes import as_shape, as_value, one_axis, refuse_keywords
from .factory import moving, type_error
from .leading import Size, from_rows, front, lead, row_numbers, rows

Call = tuple[tuple[Value, ...], dict[str, Any]]
Has = tuple[bool, ...]

RAISES = frozenset({Effect.RAISES})


def as_index(b: Builder, name: str, idx: Operand, args: list[Operand]) -> Value:
    """Return integers as i64."""
    value = as_value(b, name, idx)
    dtype = value.type.dtype
    if dtype.kind not in "iu" or dtype.name == "u64":
        what = f"indices must be integers that fit int64, not {dtype.name}"
        raise op_error(b, name, what, args)
    out: Value = value if dtype is I64 else b.op("cast", value, dtype=I64)
    return out


def in_range(name: str, idx: Any, axis: int, extent: int) -> np.ndarray[Any, Any]:
    """Return indices counted from the front.

    Raises:
        IndexOutOfRange: one is outside the axis.
    """
    at = np.asarray(idx)
    bad = at[(at < -extent) | (at >= extent)]
    if bad.size:
        raise IndexOutOfRange(
            f"{name}: index {bad.flat[0]} is out of range for axis {axis} "
            f"with size {extent}"
        )
    return np.where(at < 0, at + extent, at)


# --- take -----------------------------------------------------------------------------


def _take_accept(
    b: Builder, x: Operand, indices: Operand, axis: Any = None, **other: Any
) -> Call:
    args = [x, indices]
    refuse_keywords(b, "take", other, args)
    value = as_value(b, "take", x)
    if axis is None:
        reshape = b.table["reshape"]
        value = b.apply(reshape, *reshape.accept(b, value, -1))[0]
        axis = 0
    at = one_axis(b, "take", axis, value.type.rank, args)
    return (value, as_index(b, "take", indices, args)), {"axis": at}


def _take_infer(x: TensorType, idx: TensorType, *, axis: int) -> tuple[TensorType, ...]:
    if idx.dtype is not I64:
        raise type_error("take", "indices are not i64", [x, idx])
    if not 0 <= axis < x.rank:
        raise type_error("take", f"axis {axis} is out of range", [x, idx])
    return (x.with_shape(x.shape[:axis] + idx.shape + x.shape[axis + 1 :]),)


def _take_evaluate(x: Any, idx: Any, axis: int) -> Any:
    x = np.asarray(x)
    return np.take(x, in_range("take", idx, axis, x.shape[axis]), axis)


def _take_vjp(
    b: Builder, ct: Value, out: Value, x: Value, idx: Value, *, axis: int
) -> list[Value | None]:
    return [b.scatter_add(ct, idx, axis=axis, shape=x.type.shape), None]


def _take_batch(
    b: Builder, size: Size, has: Has, x: Value, idx: Value, *, axis: int
) -> Value:
    if not has[1]:
        return b.op("take", x, idx, axis=axis + 1)  # type: ignore[no-any-return]
    if not has[0]:
        return front(b, b.op("take", x, idx, axis=axis), axis, 1, 0)
    flat, _ = rows(b, x, axis)
    at = row_numbers(b, idx, x.type.shape[axis + 1])
    found = b.op("take", flat, at, axis=0)
    return front(b, found, 1, idx.type.rank - 1, axis + 1)


take = moving(
    "take",
    mirrors=[np.take],
    tf_name="gather",
    accept=_take_accept,
    infer=_take_infer,
    evaluate=_take_evaluate,
    form=Gather(),
    vjp=_take_vjp,
    batch=_take_batch,
    effects=RAISES,
    samples=(
        Sample(((5,), (None,)), {"axis": 0}, ("f", "i64"), ((1, -5, 5),)),
        Sample(((4, None), (3,)), {"axis": 0}, ("f", "i64"), ((1, -4, 4),)),
        Sample(((None, 4), (2, 3)), {"axis": 1}, ("f", "i64"), ((1, -4, 4),)),
        Sample(((2, 3, None), ()), {"axis": 1}, ("f", "i64"), ((1, -3, 3),)),
    ),
    doc="The elements at integers along an axis; outside the axis it raises.",
)

# --- scatter_add ----------------------------------------------------------------------


def _scatter_accept(
    b: Builder, ct: Operand, indices: Operand, axis: Any, shape: Any
) -> Call:
    args = [ct, indices]
    wanted = as_shape(b, "scatter_add", shape, args)
    at = one_axis(b, "scatter_add", axis, len(wanted), args)
    idx = as_index(b, "scatter_add", indices, args)
    return (as_value(b, "scatter_add", ct), idx), {"axis": at, "shape": wanted}


def _scatter_infer(
    ct: TensorType, idx: TensorType, *, axis: int, shape: Shape
) -> tuple[TensorType, ...]:
    if idx.dtype is not I64:
        raise type_error("scatter_add", "indices are not i64", [ct, idx])
    if ct.dtype.kind == "b":
        raise type_error("scatter_add", "takes numbers, not bool", [ct, idx])
    if (
        not 0 <= axis < len(shape)
        or ct.shape != shape[:axis] + idx.shape + shape[axis + 1 :]
    ):
        what = f"what is added does not fit axis {axis} of the result"
        raise type_error("scatter_add", what, [ct, idx])
    return (ct.with_shape(shape),)


def _scatter_evaluate(ct: Any, idx: Any, axis: int, shape: Any) -> Any:
    ct = np.asarray(ct)
    out = np.zeros(shape, ct.dtype)
    at = in_range("scatter_add", idx, axis, shape[axis])
    where: Any = (*(slice(None),) * axis, at)
    np.add.at(out, where, ct)
    return out


def _scatter_vjp(
    b: Builder,
    g: Value,
    out: Value,
    ct: Value,
    idx: Value,
    *,
    axis: int,
    shape: Shape,
) -> list[Value | None]:
    return [b.take(g, idx, axis=axis), None]


def _scatter_batch(
    b: Builder,
    size: Size,
    has: Has,
    ct: Value,
    idx: Value,
    *,
    axis: int,
    shape: Shape,
) -> Value:
    wide = lead(b, size, has[0], ct)
    whole = (size, *shape)
    if not has[1]:
        return b.op("scatter_add", wide, idx, axis=axis + 1, shape=whole)  # type: ignore[no-any-return]
    at = row_numbers(b, idx, shape[axis])
    first = front(b, wide, axis + 1, idx.type.rank - 1, 1)
    others = (*shape[:axis], *shape[axis + 1 :])
    flat = (product((size, shape[axis])), *others)
    added = b.op("scatter_add", first, at, axis=0, shape=flat)
    return from_rows(b, added, (size, shape[axis], *others), axis)


scatter_add = moving(
    "scatter_add",
    tf_name=None,
    accept=_scatter_accept,
    infer=_scatter_infer,
    evaluate=_scatter_evaluate,
    form=Scatter(),
    vjp=_scatter_vjp,
    batch=_scatter_batch,
    effects=RAISES,
    cost=Cost.KEEP,
    samples=(
        Sample(
            ((None,), (None,)),
            {"axis": 0, "shape": (5,)},
            ("f", "i64"),
            ((1, -5, 5),),
        ),
        Sample(
            ((3, None), (3,)),
            {"axis": 0, "shape": lambda n: (4, n)},
            ("f", "i64"),
            ((1, -4, 4),),
        ),
        Sample(
            ((None, 2, 3), (2, 3)),
            {"axis": 1, "shape": lambda n: (n, 4)},
            ("f", "i64"),
            ((1, -4, 4),),
        ),
    ),
    doc="Zeros with rows added at integers along an axis: the adjoint of take.",
)
