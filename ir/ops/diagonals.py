"""The diagonal of two axes, as a view."""

from typing import Any

import numpy as np

from ..builder import Builder
from ..forms import View
from ..graph import Value
from ..primitive import Sample
from ..promote import Operand, op_error
from ..sizes import SizeExpr, smax, smin
from ..types import I64, TensorType
from . import matrices
from .axes import as_value, one_axis
from .factory import moving, type_error
from .leading import Size

Call = tuple[tuple[Value, ...], dict[str, Any]]


def _accept(
    b: Builder, x: Operand, offset: int = 0, axis1: Any = 0, axis2: Any = 1
) -> Call:
    value = as_value(b, "diagonal", x)
    rank = value.type.rank
    if rank < 2:
        raise op_error(b, "diagonal", "needs at least two axes", [x])
    one, two = (one_axis(b, "diagonal", k, rank, [x]) for k in (axis1, axis2))
    if one == two:
        raise op_error(b, "diagonal", f"axes {axis1} and {axis2} are the same", [x])
    if type(offset) is not int:
        raise op_error(b, "diagonal", f"offset {offset!r} is not a constant", [x])
    return (value,), {"offset": offset, "axis1": one, "axis2": two}


def length(x: TensorType, offset: int, axis1: int, axis2: int) -> int | SizeExpr:
    """Return how many elements a diagonal has."""
    rows = x.shape[axis1] + min(offset, 0)
    columns = x.shape[axis2] - max(offset, 0)
    return smax(smin(rows, columns), 0)


def _rest(rank: int, axis1: int, axis2: int) -> list[int]:
    return [k for k in range(rank) if k not in (axis1, axis2)]


def _infer(
    x: TensorType, *, offset: int, axis1: int, axis2: int
) -> tuple[TensorType, ...]:
    if axis1 == axis2 or not all(0 <= k < x.rank for k in (axis1, axis2)):
        raise type_error("diagonal", f"axes {axis1} and {axis2} do not fit", [x])
    kept = [x.shape[k] for k in _rest(x.rank, axis1, axis2)]
    return (x.with_shape((*kept, length(x, offset, axis1, axis2))),)


def _index(
    ix: Any,
    out: Any,
    x: TensorType,
    result: TensorType,
    *,
    offset: int,
    axis1: int,
    axis2: int,
) -> list[Any]:
    inner: list[Any] = [None] * x.rank
    for k, i in zip(_rest(x.rank, axis1, axis2), out, strict=False):
        inner[k] = i
    inner[axis1] = ix.add(out[-1], -min(offset, 0))
    inner[axis2] = ix.add(out[-1], max(offset, 0))
    return inner


def _vjp(
    b: Builder,
    ct: Value,
    out: Value,
    x: Value,
    *,
    offset: int,
    axis1: int,
    axis2: int,
) -> list[Value | None]:
    rank, shape = x.type.rank, x.type.shape
    order = (*_rest(rank, axis1, axis2), axis1, axis2)
    wide = place_on_diagonal(b, ct, shape[axis1], shape[axis2], offset)
    return [b.transpose(wide, axes=tuple(order.index(k) for k in range(rank)))]


def place_on_diagonal(
    b: Builder, x: Value, rows: int | SizeExpr, columns: int | SizeExpr, offset: int
) -> Value:
    """Return zeros (..., rows, columns) with the last axis of x on a diagonal."""
    kept = x.type.shape[:-1]
    shape = (*kept, rows, columns)
    at = len(kept)
    start = (*(0,) * at, -min(offset, 0))
    column = b.op("place", x, start=start, step=(1,) * (at + 1), shape=(*kept, rows))
    spread = b.broadcast(b.op("expand_dims", column, axes=(at + 1,)), shape)
    places = TensorType(I64, shape)
    down = b.op("iota", axis=at, type=places)
    across = b.op("iota", axis=at + 1, type=places)
    on = b.op("eq", b.op("sub", across, down), offset)
    zero = b.constant(0, x.type.dtype, shape)
    return b.op("select", on, spread, zero)  # type: ignore[no-any-return]


def _batch(
    b: Builder,
    size: Size,
    has: tuple[bool, ...],
    x: Value,
    *,
    offset: int,
    axis1: int,
    axis2: int,
) -> Value:
    at = {"axis1": axis1 + 1, "axis2": axis2 + 1}
    return b.op("diagonal", x, offset=offset, **at)  # type: ignore[no-any-return]


diagonal = moving(
    "diagonal",
    mirrors=[np.diagonal],
    tf_name="linalg.diag_part",
    accept=_accept,
    infer=_infer,
    evaluate=lambda x, offset, axis1, axis2: np.diagonal(
        x, offset, axis1, axis2
    ).copy(),
    form=View(_index),
    vjp=_vjp,
    batch=_batch,
    samples=(
        Sample(((None, None),), {"offset": 0, "axis1": 0, "axis2": 1}),
        Sample(((2, None, 4),), {"offset": -1, "axis1": 2, "axis2": 0}),
        Sample(((3, 2, None),), {"offset": -1, "axis1": 0, "axis2": 2}),
    ),
    matrix=matrices.READS_DIAGONAL,
    doc="Elements i, i + offset of two axes, as a last axis.",
)
