"""Reductions: axes folded away. keepdims is an expand_dims of the caller."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..builder import Builder
from ..forms import Reduce, reduced_shape
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
from ..promote import Operand
from ..sizes import product
from ..types import I64, U64, TensorType
from .axes import as_value, many_axes, refuse_keywords
from .factory import AROUND_ZERO, NO_EFFECTS, check_kind, type_error
from .running import exclusive_product

Call = tuple[tuple[Value, ...], dict[str, Any]]
Axes = tuple[int, ...]
Tangents = tuple[Value | None, ...]

_SAMPLES = (
    Sample(((None,),), {"axes": (0,)}),
    Sample(((None, 3),), {"axes": (0,)}),
    Sample(((3, None),), {"axes": (1,)}),
    Sample(((2, None, 3),), {"axes": (0, 2)}),
    Sample(((2, None),), {"axes": (0, 1)}),
    Sample(((),), {"axes": ()}),
)


def _reduction(
    name: str,
    *,
    monoid: str,
    mirrors: tuple[Callable[..., Any], ...],
    accept: Accept,
    infer: TypeRule,
    evaluate: Evaluate,
    vjp: VjpRule,
    jvp: JvpRule | Rule = DERIVED,
    exact: bool,
    sparsity: str,
    kinks: str,
    doc: str,
    domain: Domain = AROUND_ZERO,
    samples: tuple[Sample, ...] = _SAMPLES,
) -> Primitive:
    return Primitive(
        name=name,
        mirrors=mirrors,
        tf_name=f"reduce_{name}",
        accept=accept,
        infer=infer,
        evaluate=evaluate,
        form=Reduce(monoid),
        vjp=vjp,
        jvp=jvp,
        batch=DERIVED,
        effects=NO_EFFECTS,
        cost=Cost.KEEP,
        exact=exact,
        sparsity=sparsity,
        domain=domain,
        kinks=kinks,
        matrix=None,
        sums=None,
        samples=samples,
        doc=doc,
    )


def _check_axes(name: str, x: TensorType, axes: Axes) -> None:
    if list(axes) != sorted(set(axes)) or any(not 0 <= k < x.rank for k in axes):
        raise type_error(name, f"axes {axes} are not axes in ascending order", [x])
    check_kind(name, x.dtype, "fiu", [x])


def _restore(b: Builder, reduced: Value, like: Value, axes: Axes) -> Value:
    """Return a reduced value broadcast to the shape it was reduced from."""
    kept = b.expand_dims(reduced, axes=axes) if axes else reduced
    return b.broadcast(kept, like.type.shape)


def some_axis(b: Builder, x: Value, axes: Axes) -> Call:
    """Return operand and params of a reduction; one of no axis is one of size 1.

    A scalar is the exception: it has no axis to keep.
    """
    rank = x.type.rank
    if axes or not rank:
        return (x,), {"axes": axes}
    return (b.op("expand_dims", x, axes=(rank,)),), {"axes": (rank,)}


# --- sum ------------------------------------------------------------------------------


def _accept_wide(name: str) -> Accept:
    def accept(b: Builder, x: Operand, axis: Any = None, **other: Any) -> Call:
        refuse_keywords(b, name, other, [x])
        value = as_value(b, name, x)
        axes = many_axes(b, name, axis, value.type.rank, [x])
        kind = value.type.dtype.kind
        if kind != "f":
            wide = U64 if kind == "u" else I64
            if value.type.dtype is not wide:
                value = b.op("cast", value, dtype=wide)
        return some_axis(b, value, axes)

    return accept


def _reduced_type(name: str) -> TypeRule:
    def infer(x: TensorType, *, axes: Axes) -> tuple[TensorType, ...]:
        _check_axes(name, x, axes)
        return (x.with_shape(reduced_shape(x.shape, axes)),)

    return infer


def _sum_evaluate(x: Any, axes: Axes) -> Any:
    x = np.asarray(x)
    return np.sum(x, axis=axes, dtype=x.dtype)


def _sum_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, axes: Axes
) -> list[Value | None]:
    return [_restore(b, ct, x, axes)]


sum_ = _reduction(
    "sum",
    monoid="add",
    mirrors=(np.sum,),
    accept=_accept_wide("sum"),
    infer=_reduced_type("sum"),
    evaluate=_sum_evaluate,
    vjp=_sum_vjp,
    exact=False,
    sparsity="linear",
    kinks="",
    doc="Sum over axes; bool and integers add up in 64 bits.",
)

# --- prod -----------------------------------------------------------------------------


def _prod_evaluate(x: Any, axes: Axes) -> Any:
    x = np.asarray(x)
    return np.prod(x, axis=axes, dtype=x.dtype)


def _others(b: Builder, x: Value, axis: int) -> Value:
    """Return for each element the product of the others along an axis."""
    return b.op(  # type: ignore[no-any-return]
        "mul",
        exclusive_product(b, x, axis, reverse=False),
        exclusive_product(b, x, axis, reverse=True),
    )


def _rest(b: Builder, x: Value, axes: Axes) -> Value:
    """Return for each element the product of the others over axes."""
    if len(axes) == 1:
        return _others(b, x, axes[0])
    shape = x.type.shape
    kept = tuple(k for k in range(len(shape)) if k not in axes)
    order = (*kept, *axes)
    moved = b.transpose(x, axes=order)
    flat = (*(shape[k] for k in kept), product([shape[k] for k in axes]))
    others = _others(b, b.reshape(moved, shape=flat), len(kept))
    back = b.reshape(others, shape=moved.type.shape)
    inverse = tuple(order.index(k) for k in range(len(order)))
    return b.transpose(back, axes=inverse)  # type: ignore[no-any-return]


def _prod_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, axes: Axes
) -> list[Value | None]:
    if not axes:
        return [ct]
    return [b.mul(_restore(b, ct, x, axes), _rest(b, x, axes))]


def _prod_jvp(
    b: Builder, tangents: Tangents, out: Value, x: Value, *, axes: Axes
) -> Value | None:
    (t,) = tangents
    if not axes:
        return t
    return b.sum(b.mul(t, _rest(b, x, axes)), axes=axes)  # type: ignore[no-any-return]


prod = _reduction(
    "prod",
    monoid="mul",
    mirrors=(np.prod,),
    accept=_accept_wide("prod"),
    infer=_reduced_type("prod"),
    evaluate=_prod_evaluate,
    vjp=_prod_vjp,
    jvp=_prod_jvp,
    exact=False,
    sparsity="dense",
    kinks="",
    doc="Product over axes; bool and integers in 64 bits; exact derivatives at zeros.",
    domain=Domain(0.8, 1.2),
    samples=_SAMPLES[:1] + _SAMPLES[2:4],
)

# --- max and min ----------------------------------------------------------------------


def _accept_extreme(name: str) -> Accept:
    def accept(b: Builder, x: Operand, axis: Any = None, **other: Any) -> Call:
        refuse_keywords(b, name, other, [x])
        value = as_value(b, name, x)
        return some_axis(b, value, many_axes(b, name, axis, value.type.rank, [x]))

    return accept


def _extreme_type(name: str) -> TypeRule:
    def infer(x: TensorType, *, axes: Axes) -> tuple[TensorType, ...]:
        _check_axes(name, x, axes)
        for k in axes:
            if x.shape[k] == 0:
                raise type_error(
                    name, f"axis {k} is empty: nothing to choose from", [x]
                )
        return (x.with_shape(reduced_shape(x.shape, axes)),)

    return infer


def _extreme_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, axes: Axes
) -> list[Value | None]:
    ties = b.eq(x, _restore(b, out, x, axes))
    count = b.sum(b.cast(ties, dtype=ct.type.dtype), axes=axes)
    share = _restore(b, b.div(ct, count), x, axes)
    return [b.select(ties, share, 0.0)]


def _extreme_jvp(
    b: Builder, tangents: Tangents, out: Value, x: Value, *, axes: Axes
) -> Value | None:
    (t,) = tangents
    ties = b.eq(x, _restore(b, out, x, axes))
    count = b.sum(b.cast(ties, dtype=x.type.dtype), axes=axes)
    moved = b.sum(b.select(ties, t, 0.0), axes=axes)
    return b.div(moved, b.maximum(count, 1.0))  # type: ignore[no-any-return]


_TIES = "Tied elements share the cotangent equally; where the result is NaN it is 0."

max_ = _reduction(
    "max",
    monoid="max",
    mirrors=(np.max, np.amax),
    accept=_accept_extreme("max"),
    infer=_extreme_type("max"),
    evaluate=lambda x, axes: np.max(x, axis=axes),
    vjp=_extreme_vjp,
    jvp=_extreme_jvp,
    exact=True,
    sparsity="dense",
    kinks=_TIES,
    doc="The largest element over axes; NaN if any is.",
)
min_ = _reduction(
    "min",
    monoid="min",
    mirrors=(np.min, np.amin),
    accept=_accept_extreme("min"),
    infer=_extreme_type("min"),
    evaluate=lambda x, axes: np.min(x, axis=axes),
    vjp=_extreme_vjp,
    jvp=_extreme_jvp,
    exact=True,
    sparsity="dense",
    kinks=_TIES,
    doc="The smallest element over axes; NaN if any is.",
)
