"""Running values along an axis: sums, products, linear recurrences; and shifts.

The adjoint of a running value is one from the other end: of a sum a sum, of a product
and of a linear recurrence a linear recurrence. So no rule divides, and products with
zeros among their factors have exact derivatives.
"""

from typing import Any

import numpy as np

from ..builder import Builder
from ..forms import Place, Region, Scan
from ..graph import Value
from ..primitive import (
    DERIVED,
    Accept,
    Cost,
    Domain,
    Evaluate,
    JvpRule,
    Primitive,
    Rule,
    Sample,
    TypeRule,
    VjpRule,
)
from ..promote import Operand, common_dtype, lift, op_error
from ..types import I64, U64, TensorType
from .axes import as_value, one_axis, refuse_keywords
from .factory import NO_EFFECTS, check_kind, moving, type_error
from .leading import Size

Call = tuple[tuple[Value, ...], dict[str, Any]]
Tangents = tuple[Value | None, ...]

# --- shift ----------------------------------------------------------------------------


def _shift_accept(b: Builder, x: Operand, by: int, axis: Any) -> Call:
    value = as_value(b, "shift", x)
    at = one_axis(b, "shift", axis, value.type.rank, [x])
    if type(by) is not int:
        raise op_error(b, "shift", f"{by!r} is not a constant number of places", [x])
    return (value,), {"axis": at, "by": by}


def _shift_infer(x: TensorType, *, axis: int, by: int) -> tuple[TensorType, ...]:
    if not 0 <= axis < x.rank:
        raise type_error("shift", f"axis {axis} is out of range", [x])
    return (x,)


def _shift_evaluate(x: Any, axis: int, by: int) -> Any:
    x = np.asarray(x)
    moved = np.moveaxis(x, axis, 0)
    out = np.zeros_like(moved)
    if by >= 0:
        out[by:] = moved[: max(len(moved) - by, 0)]
    else:
        out[:by] = moved[-by:]
    return np.moveaxis(out, 0, axis)


def _shift_regions(
    types: Any, result: TensorType, *, axis: int, by: int
) -> tuple[Region, ...]:
    start = tuple(by if k == axis else 0 for k in range(result.rank))
    return (Region(start, (1,) * result.rank),)


def _shift_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, axis: int, by: int
) -> list[Value | None]:
    return [b.shift(ct, axis=axis, by=-by)]


def _shift_batch(
    b: Builder, size: Size, has: tuple[bool, ...], x: Value, *, axis: int, by: int
) -> Value:
    return b.op("shift", x, axis=axis + 1, by=by)  # type: ignore[no-any-return]


shift = moving(
    "shift",
    tf_name=None,
    accept=_shift_accept,
    infer=_shift_infer,
    evaluate=_shift_evaluate,
    form=Place(_shift_regions),
    vjp=_shift_vjp,
    batch=_shift_batch,
    samples=(
        Sample(((None,),), {"axis": 0, "by": 1}),
        Sample(((3, None),), {"axis": 1, "by": -2}),
        Sample(((None, 2),), {"axis": 0, "by": 9}),
    ),
    doc="Elements moved `by` places along an axis; zeros come in, the last ones leave.",
)

# --- scans ----------------------------------------------------------------------------


def _scan(
    name: str,
    *,
    form: Scan,
    mirrors: tuple[Any, ...],
    accept: Accept,
    evaluate: Evaluate,
    vjp: VjpRule,
    jvp: JvpRule | Rule = DERIVED,
    exact: bool,
    domain: Domain | tuple[Domain, ...],
    doc: str,
    arity: int = 1,
) -> Primitive:
    def shaped(*shape: int | None) -> tuple[tuple[int | None, ...], ...]:
        return (shape,) * arity

    samples = (
        Sample(shaped(None), {"axis": 0, "reverse": False}),
        Sample(shaped(3, None), {"axis": 0, "reverse": True}),
        Sample(shaped(2, None), {"axis": 1, "reverse": True}),
    )
    return Primitive(
        name=name,
        mirrors=mirrors,
        tf_name=name if mirrors else None,
        accept=accept,
        infer=_scan_type(name),
        evaluate=evaluate,
        form=form,
        vjp=vjp,
        jvp=jvp,
        batch=DERIVED,
        effects=NO_EFFECTS,
        cost=Cost.KEEP,
        exact=exact,
        sparsity="linear" if name == "cumsum" else "dense",
        domain=domain,
        kinks="",
        matrix=None,
        sums=None,
        samples=samples,
        doc=doc,
    )


def _scan_type(name: str) -> TypeRule:
    def infer(*types: TensorType, axis: int, reverse: bool) -> tuple[TensorType, ...]:
        first = types[0]
        if any(t != first for t in types[1:]):
            raise type_error(name, "operands differ in type", types)
        if not 0 <= axis < first.rank:
            raise type_error(name, f"axis {axis} is out of range", types)
        check_kind(name, first.dtype, "fiu", types)
        return (first,)

    return infer


def _accept(name: str) -> Accept:
    def accept(
        b: Builder, x: Operand, axis: Any = None, reverse: bool = False, **other: Any
    ) -> Call:
        refuse_keywords(b, name, other, [x])
        value = as_value(b, name, x)
        dtype = value.type.dtype
        if not dtype.is_float:
            wide = U64 if dtype.kind == "u" else I64
            value = value if dtype is wide else b.op("cast", value, dtype=wide)
        if axis is None:
            reshape = b.table["reshape"]
            value = b.apply(reshape, *reshape.accept(b, value, -1))[0]
            axis = 0
        at = one_axis(b, name, axis, value.type.rank, [x])
        return (value,), {"axis": at, "reverse": bool(reverse)}

    return accept


def _ways(run: Any) -> Evaluate:
    """Return a reference that walks either way from one that walks forward."""

    def evaluate(*arrays: Any, axis: int, reverse: bool) -> Any:
        held = [np.moveaxis(np.asarray(a), axis, 0) for a in arrays]
        if reverse:
            held = [a[::-1] for a in held]
        out = run(*held)
        return np.moveaxis(out[::-1] if reverse else out, 0, axis).copy()

    return evaluate


def _towards(reverse: bool) -> int:
    """Return by how much a shift brings each element the one met before it."""
    return -1 if reverse else 1


def _before(b: Builder, y: Value, axis: int, reverse: bool) -> Value:
    """Return for each element the running value before it; 0 where there is none."""
    return b.op("shift", y, axis=axis, by=_towards(reverse))  # type: ignore[no-any-return]


def _begins(b: Builder, x: Value, axis: int, reverse: bool) -> Value:
    """Return where the walk begins, as bools of the shape of x."""
    place = b.op("iota", axis=axis, type=x.type.with_dtype(I64))
    start = x.type.shape[axis] - 1 if reverse else 0
    return b.op("eq", place, b.constant(start, I64, x.type.shape))  # type: ignore[no-any-return]


def exclusive_product(b: Builder, x: Value, axis: int, reverse: bool) -> Value:
    """Return for each element the product of those met before it; 1 for none."""
    y = b.cumprod(x, axis=axis, reverse=reverse)
    return b.op(  # type: ignore[no-any-return]
        "select", _begins(b, x, axis, reverse), 1.0, _before(b, y, axis, reverse)
    )


def _cumsum_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, axis: int, reverse: bool
) -> list[Value | None]:
    return [b.cumsum(ct, axis=axis, reverse=not reverse)]


cumsum = _scan(
    "cumsum",
    form=Scan(lambda s, x: x, lambda s, y, x: s.add(y, x)),
    mirrors=(np.cumsum,),
    accept=_accept("cumsum"),
    evaluate=_ways(lambda x: np.cumsum(x, 0, x.dtype)),
    vjp=_cumsum_vjp,
    exact=True,
    domain=Domain(-3.0, 3.0),
    doc="Sums of the elements up to each one; bool and integers add up in 64 bits.",
)


def _cumprod_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, axis: int, reverse: bool
) -> list[Value | None]:
    # what follows an element multiplies its own cotangent and all later ones
    factor = b.op("shift", x, axis=axis, by=_towards(not reverse))
    after = b.recurrence(factor, ct, axis=axis, reverse=not reverse)
    return [b.mul(after, exclusive_product(b, x, axis, reverse))]


def _cumprod_jvp(
    b: Builder, tangents: Tangents, out: Value, x: Value, *, axis: int, reverse: bool
) -> Value | None:
    (t,) = tangents
    own = b.mul(t, exclusive_product(b, x, axis, reverse))
    return b.op("recurrence", x, own, axis=axis, reverse=reverse)  # type: ignore[no-any-return]


cumprod = _scan(
    "cumprod",
    form=Scan(lambda s, x: x, lambda s, y, x: s.mul(y, x)),
    mirrors=(np.cumprod,),
    accept=_accept("cumprod"),
    evaluate=_ways(lambda x: np.cumprod(x, 0, x.dtype)),
    vjp=_cumprod_vjp,
    jvp=_cumprod_jvp,
    exact=True,
    domain=Domain(0.8, 1.2),
    doc="Products of the elements up to each one; the derivative is exact at zeros.",
)


def _recurrence_accept(
    b: Builder, a: Operand, x: Operand, axis: Any = 0, reverse: bool = False
) -> Call:
    dtype = common_dtype(b, "recurrence", [a, x, 0.0])
    values = lift(b, "recurrence", [dtype, dtype], [a, x])
    at = one_axis(b, "recurrence", axis, values[0].type.rank, [a, x])
    return values, {"axis": at, "reverse": bool(reverse)}


def _recurrence_run(a: Any, x: Any) -> Any:
    out = np.zeros_like(x)
    before = np.zeros(x.shape[1:], np.longdouble)
    for k in range(len(x)):
        wide = x[k] if k == 0 else before * a[k] + x[k]
        out[k] = wide
        before = out[k].astype(np.longdouble)
    return out


def _recurrence_vjp(
    b: Builder, ct: Value, out: Value, a: Value, x: Value, *, axis: int, reverse: bool
) -> list[Value | None]:
    factor = b.op("shift", a, axis=axis, by=_towards(not reverse))
    after = b.recurrence(factor, ct, axis=axis, reverse=not reverse)
    return [b.mul(after, _before(b, out, axis, reverse)), after]


def _recurrence_jvp(
    b: Builder,
    tangents: Tangents,
    out: Value,
    a: Value,
    x: Value,
    *,
    axis: int,
    reverse: bool,
) -> Value | None:
    t_a, t_x = tangents
    own = t_x
    if t_a is not None:
        own = b.mul(t_a, _before(b, out, axis, reverse))
        own = own if t_x is None else b.op("add", own, t_x)
    return b.op("recurrence", a, own, axis=axis, reverse=reverse)  # type: ignore[no-any-return]


recurrence = _scan(
    "recurrence",
    form=Scan(lambda s, a, x: x, lambda s, y, a, x: s.fma(a, y, x)),
    mirrors=(),
    accept=_recurrence_accept,
    evaluate=_ways(_recurrence_run),
    vjp=_recurrence_vjp,
    jvp=_recurrence_jvp,
    exact=False,
    domain=(Domain(-0.9, 0.9), Domain(-3.0, 3.0)),
    doc="y[k] = a[k] * y[k - 1] + x[k] along an axis, y[0] = x[0]; a[0] is not read.",
    arity=2,
)
