"""Arrays with rows replaced or folded into at integers along an axis.

Operands are the updates, the integers, and the array that is updated. All check every
index, negative ones counted from the end, and raise IndexOutOfRange.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..builder import Builder
from ..forms import Scatter
from ..graph import Value
from ..primitive import (
    DERIVED,
    Accept,
    BatchRule,
    Cost,
    Domain,
    JvpRule,
    Primitive,
    Rule,
    Sample,
    TypeRule,
    VjpRule,
)
from ..promote import Operand, cast_to, op_error
from ..sizes import product
from ..types import I64, Shape, TensorType
from .axes import as_value, one_axis
from .factory import AROUND_ZERO, check_kind, type_error
from .indexing import RAISES, as_index, in_range
from .leading import Size, from_rows, front, lead, row_numbers, rows

Call = tuple[tuple[Value, ...], dict[str, Any]]
Tangents = tuple[Value | None, ...]
# (integers, updates by number, array): NumPy's unbuffered update
Update = Callable[[np.ndarray[Any, Any], Any, np.ndarray[Any, Any]], None]


def _accept(name: str) -> Accept:
    def accept(b: Builder, v: Operand, indices: Operand, x: Operand, axis: Any) -> Call:
        args = [v, indices, x]
        held = as_value(b, name, x)
        at = one_axis(b, name, axis, held.type.rank, args)
        index = as_index(b, name, indices, args)
        made = cast_to(b, v, held.type.dtype)
        wanted = _updates_shape(held.type, index.type, at)
        if made.type.shape != wanted and made.type.rank > len(wanted):
            raise op_error(b, name, "the updates have too many axes", args)
        return (b.broadcast(made, wanted), index, held), {"axis": at}

    return accept


def _updates_shape(x: TensorType, idx: TensorType, axis: int) -> Shape:
    return (*x.shape[:axis], *idx.shape, *x.shape[axis + 1 :])


def _type(name: str, kinds: str) -> TypeRule:
    def infer(
        v: TensorType, idx: TensorType, x: TensorType, *, axis: int
    ) -> tuple[TensorType, ...]:
        types = [v, idx, x]
        if idx.dtype is not I64:
            raise type_error(name, "indices are not i64", types)
        check_kind(name, x.dtype, kinds, types)
        if not 0 <= axis < x.rank or v.dtype is not x.dtype:
            raise type_error(name, f"operands do not meet on axis {axis}", types)
        if v.shape != _updates_shape(x, idx, axis):
            raise type_error(name, f"the updates do not fit axis {axis}", types)
        return (x,)

    return infer


def _evaluator(name: str, update: Update) -> Callable[..., Any]:
    def evaluate(v: Any, idx: Any, x: Any, axis: int) -> Any:
        out = np.array(x)
        at = in_range(name, idx, axis, out.shape[axis])
        count = at.ndim
        rows = np.moveaxis(np.asarray(v), range(axis, axis + count), range(count))
        target = np.moveaxis(out, axis, 0)  # a view: it writes into out
        rows = rows.reshape(-1, *target.shape[1:]) if rows.size else rows
        if rows.size:
            update(at.reshape(-1), rows, target)
        return out

    return evaluate


def _scattering(
    name: str,
    *,
    monoid: str,
    update: Update,
    vjp: VjpRule,
    jvp: JvpRule | Rule = DERIVED,
    doc: str,
    kinds: str = "fiu",
    exact: bool = True,
    kinks: str = "",
    domain: Domain = AROUND_ZERO,
) -> Primitive:
    return Primitive(
        name=name,
        mirrors=(),
        tf_name=None,
        accept=_accept(name),
        infer=_type(name, kinds),
        evaluate=_evaluator(name, update),
        form=Scatter(monoid),
        vjp=vjp,
        jvp=jvp,
        batch=_batch(name),
        effects=RAISES,
        cost=Cost.KEEP,
        exact=exact,
        sparsity="selection" if monoid == "last" else "dense",
        domain=domain,
        kinks=kinks,
        matrix=None,
        sums=None,
        samples=(
            Sample(
                ((None,), (None,), (5,)), {"axis": 0}, ("f", "i64", "f"), ((1, -5, 5),)
            ),
            Sample(
                ((None, 2, 3), (2, 3), (None, 4)),
                {"axis": 1},
                ("f", "i64", "f"),
                ((1, -4, 4),),
            ),
        ),
        doc=doc,
    )


def _batch(name: str) -> BatchRule:
    def batch(
        b: Builder,
        size: Size,
        has: tuple[bool, ...],
        v: Value,
        idx: Value,
        x: Value,
        *,
        axis: int,
    ) -> Value:
        rows_, held = lead(b, size, has[0], v), lead(b, size, has[2], x)
        if not has[1]:
            return b.op(name, rows_, idx, held, axis=axis + 1)  # type: ignore[no-any-return]
        at = row_numbers(b, idx, held.type.shape[axis + 1])
        flat, shape = rows(b, held, axis)
        first = front(b, rows_, axis + 1, idx.type.rank - 1, 1)
        return from_rows(b, b.op(name, first, at, flat, axis=0), shape, axis)

    return batch


def _along(b: Builder, part: Value, axis: int, shape: Shape) -> Value:
    """Return `part`, which has some axes of `shape` from `axis` on, in all of it."""
    rank = part.type.rank
    others = tuple(k for k in range(len(shape)) if not axis <= k < axis + rank)
    lifted = b.op("expand_dims", part, axes=others) if others else part
    return b.broadcast(lifted, shape)


# --- replacing ------------------------------------------------------------------------


def _replace(at: Any, rows: Any, target: Any) -> None:
    for k, row in zip(at, rows, strict=True):
        target[k] = row


def _set_vjp(
    b: Builder, ct: Value, out: Value, v: Value, idx: Value, x: Value, *, axis: int
) -> list[Value | None]:
    extent, places = x.type.shape[axis], idx.type.shape
    flat = TensorType(I64, (product(places),))
    numbers = b.op("reshape", b.op("iota", axis=0, type=flat), shape=places)
    nobody = b.constant(-1, I64, (extent,))
    last = b.scatter_max(numbers, idx, nobody, axis=0)
    kept = b.eq(last, -1)
    stayed = b.eq(b.take(last, idx, axis=0), numbers)
    return [
        b.select(
            _along(b, stayed, axis, v.type.shape), b.take(ct, idx, axis=axis), 0.0
        ),
        None,
        b.select(_along(b, kept, axis, x.type.shape), ct, 0.0),
    ]


scatter_set = _scattering(
    "scatter_set",
    monoid="last",
    update=_replace,
    vjp=_set_vjp,
    kinds="fiub",
    doc="An array with rows replaced at integers; the last of several stays.",
)

# --- the larger and the smaller -------------------------------------------------------


def _extreme_vjp(
    b: Builder, ct: Value, out: Value, v: Value, idx: Value, x: Value, *, axis: int
) -> list[Value | None]:
    dtype = ct.type.dtype
    mine = b.eq(x, out)
    theirs = b.eq(v, b.take(out, idx, axis=axis))
    found = b.scatter_add(
        b.cast(theirs, dtype=dtype), idx, axis=axis, shape=x.type.shape
    )
    share = b.div(ct, b.add(found, b.cast(mine, dtype=dtype)))
    return [
        b.select(theirs, b.take(share, idx, axis=axis), 0.0),
        None,
        b.select(mine, share, 0.0),
    ]


def _extreme_jvp(
    b: Builder,
    tangents: Tangents,
    out: Value,
    v: Value,
    idx: Value,
    x: Value,
    *,
    axis: int,
) -> Value | None:
    dtype, shape = out.type.dtype, out.type.shape
    t_v, _, t_x = tangents
    mine = b.eq(x, out)
    theirs = b.eq(v, b.take(out, idx, axis=axis))
    flags = b.cast(theirs, dtype=dtype)
    found = b.scatter_add(flags, idx, axis=axis, shape=shape)
    count = b.maximum(b.add(found, b.cast(mine, dtype=dtype)), 1.0)
    total: Value | None = None
    if t_v is not None:
        moved = b.select(theirs, t_v, 0.0)
        total = b.scatter_add(moved, idx, axis=axis, shape=shape)
    if t_x is not None:
        own = b.select(mine, t_x, 0.0)
        total = own if total is None else b.add(total, own)
    return b.div(total, count)  # type: ignore[no-any-return]


_TIES = "Tied elements share the cotangent equally; where the result is NaN it is 0."

scatter_max = _scattering(
    "scatter_max",
    monoid="max",
    update=lambda at, rows, target: np.maximum.at(target, at, rows),
    vjp=_extreme_vjp,
    jvp=_extreme_jvp,
    domain=Domain(-300.0, 300.0),
    kinks=_TIES,
    doc="The larger of an array and the rows at integers; NaN if either is.",
)
scatter_min = _scattering(
    "scatter_min",
    monoid="min",
    update=lambda at, rows, target: np.minimum.at(target, at, rows),
    vjp=_extreme_vjp,
    jvp=_extreme_jvp,
    domain=Domain(-300.0, 300.0),
    kinks=_TIES,
    doc="The smaller of an array and the rows at integers; NaN if either is.",
)

# --- products -------------------------------------------------------------------------


def _mul_locals(
    b: Builder, v: Value, idx: Value, x: Value, axis: int
) -> tuple[Value, Value]:
    """Return what multiplies each update, and what multiplies the array."""
    dtype, shape = x.type.dtype, x.type.shape
    ones = b.constant(1, dtype, shape)
    rows_ = b.scatter_mul(v, idx, ones, axis=axis)
    # what multiplies an update: zeros are counted apart, nothing divides by one
    no_row, no_x = b.eq(v, 0.0), b.eq(x, 0.0)
    safe = b.select(no_row, 1.0, v)
    whole = b.scatter_mul(safe, idx, b.select(no_x, 1.0, x), axis=axis)
    lone = b.cast(no_row, dtype=dtype)
    zeros = b.scatter_add(lone, idx, axis=axis, shape=shape)
    zeros = b.add(zeros, b.cast(no_x, dtype=dtype))
    others = b.div(b.take(whole, idx, axis=axis), safe)
    clear = b.eq(b.take(zeros, idx, axis=axis), lone)
    return b.select(clear, others, 0.0), rows_


def _mul_vjp(
    b: Builder, ct: Value, out: Value, v: Value, idx: Value, x: Value, *, axis: int
) -> list[Value | None]:
    others, rows_ = _mul_locals(b, v, idx, x, axis)
    pulled = b.mul(b.take(ct, idx, axis=axis), others)
    return [pulled, None, b.mul(ct, rows_)]


def _mul_jvp(
    b: Builder,
    tangents: Tangents,
    out: Value,
    v: Value,
    idx: Value,
    x: Value,
    *,
    axis: int,
) -> Value | None:
    t_v, _, t_x = tangents
    others, rows_ = _mul_locals(b, v, idx, x, axis)
    total = None if t_x is None else b.mul(t_x, rows_)
    if t_v is not None:
        moved = b.mul(t_v, others)
        pushed = b.scatter_add(moved, idx, axis=axis, shape=x.type.shape)
        total = pushed if total is None else b.add(total, pushed)
    return total


scatter_mul = _scattering(
    "scatter_mul",
    monoid="mul",
    update=lambda at, rows, target: np.multiply.at(target, at, rows),
    vjp=_mul_vjp,
    jvp=_mul_jvp,
    domain=Domain(0.8, 1.2),
    doc="An array multiplied by the rows at integers.",
)
