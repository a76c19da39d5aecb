"""Make the records of one family from the few things that differ.

What an elementwise op needs beyond its name: a scalar body and local derivatives. Type
rule, promotion, reference and VJP follow here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import OpTypeError
from ..forms import Map, ScalarBody
from ..graph import Value
from ..primitive import (
    DERIVED,
    NON_DIFFERENTIABLE,
    Accept,
    Cost,
    Domain,
    Effect,
    Evaluate,
    Primitive,
    Rule,
    Sample,
    VjpRule,
)
from ..promote import Operand, accept_ufunc, common_dtype, lift
from ..types import BOOL, TensorType

# (builder, result, *operands, **params) -> local derivative an operand, None for none
Partials = Callable[..., Sequence["Value | float | None"]]

NO_EFFECTS: frozenset[Effect] = frozenset()


def map_type(name: str, result: str) -> Callable[..., tuple[TensorType, ...]]:
    """Return the type rule of a map: operands of one shape; `result` "same" or "bool"."""

    def infer(*types: TensorType, **params: Any) -> tuple[TensorType, ...]:
        first = types[0]
        for other in types[1:]:
            if other is not first and other != first:
                raise OpTypeError(
                    f"{name}: operands differ: "
                    + ", ".join(str(t) for t in types)
                )
        return (first if result == "same" else first.with_dtype(BOOL),)

    return infer


def vjp_of_partials(partials: Partials, singular: bool) -> VjpRule:
    """Return the VJP rule of a map from its local derivatives.

    With `singular` the product is masked: 0 wherever the cotangent is 0.
    """

    def vjp(
        b: Builder, ct: Value, out: Value, *operands: Value, **params: Any
    ) -> list[Value | None]:
        cts: list[Value | None] = []
        for local in partials(b, out, *operands, **params):
            if local is None:
                cts.append(None)
            elif isinstance(local, (int, float)):
                if local == 1:
                    cts.append(ct)
                elif local == -1:
                    cts.append(b.neg(ct))
                else:
                    cts.append(b.mul(ct, local))
            elif singular:
                cts.append(b.mask_mul(ct, local))
            else:
                cts.append(b.mul(ct, local))
        return cts

    return vjp


def accept_float(name: str, count: int) -> Accept:
    """Return the accept function of a float op NumPy does not have."""

    def accept(b: Builder, *args: Operand) -> tuple[tuple[Value, ...], dict[str, Any]]:
        if len(args) != count:
            raise OpTypeError(f"{name} takes {count} operands, {len(args)} given")
        dtype = common_dtype(b, name, [*args, 0.0])
        return lift(b, name, [dtype] * count, args), {}

    return accept


def elementwise(
    name: str,
    *,
    scalar: ScalarBody,
    partials: Partials | Rule,
    doc: str,
    mirrors: Sequence[Callable[..., Any]] = (),
    tf_name: str | None = None,
    evaluate: Evaluate | None = None,
    accept: Accept | None = None,
    infer: Callable[..., tuple[TensorType, ...]] | None = None,
    result: str = "same",
    singular: bool = False,
    cost: Cost = Cost.CHEAP,
    exact: bool = False,
    domain: Domain | tuple[Domain, ...] = Domain(-3.0, 3.0),
    kinks: str = "",
    samples: tuple[Sample, ...] | None = None,
    arity: int | None = None,
) -> Primitive:
    """Return the record of an elementwise op.

    `arity` is needed only where no ufunc is mirrored.
    """
    first = mirrors[0] if mirrors else None
    ufunc = first if isinstance(first, np.ufunc) else None
    count = arity if arity is not None else (ufunc.nin if ufunc else 1)
    if accept is None:
        accept = accept_ufunc(name, ufunc) if ufunc else accept_float(name, count)
    if evaluate is None:
        assert first is not None, f"{name} mirrors nothing and has no reference"
        evaluate = first
    if samples is None:
        samples = (Sample(((None,),) * count, {}),)
    return Primitive(
        name=name,
        mirrors=tuple(mirrors),
        tf_name=tf_name or name,
        accept=accept,
        infer=infer or map_type(name, result),
        evaluate=evaluate,
        form=Map(scalar),
        vjp=partials
        if isinstance(partials, Rule)
        else vjp_of_partials(partials, singular),
        jvp=DERIVED if partials is not NON_DIFFERENTIABLE else NON_DIFFERENTIABLE,
        batch=DERIVED,
        effects=NO_EFFECTS,
        cost=cost,
        exact=exact,
        sparsity="diagonal",
        domain=domain,
        kinks=kinks,
        samples=samples,
        doc=doc,
    )
