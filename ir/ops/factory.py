"""Make the records of one family from the few things that differ.

What an elementwise op needs beyond its name: a scalar body and local derivatives. Type
rule, promotion, reference and VJP follow here. An op that moves elements needs a form,
a type rule, a VJP and a reference.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import OpTypeError
from ..forms import Form, Map, ScalarBody
from ..graph import Value
from ..matrix_rules import MatrixRules
from ..primitive import (
    DERIVED,
    NON_DIFFERENTIABLE,
    Accept,
    BatchRule,
    Cost,
    Domain,
    Effect,
    Evaluate,
    JvpRule,
    Primitive,
    Rule,
    Sample,
    TypeRule,
    VjpRule,
)
from ..promote import Operand, accept_ufunc, common_dtype, lift, op_error
from ..sum_rules import SumRules
from ..types import BOOL, DType, TensorType

# (builder, result, *operands, **params) -> local derivative an operand, None for none
Partials = Callable[..., Sequence["Value | float | None"]]

NO_EFFECTS: frozenset[Effect] = frozenset()
AROUND_ZERO = Domain(-3.0, 3.0)

_KIND_NAMES = {"f": "floats", "i": "integers", "u": "unsigned integers", "b": "bool"}


def type_error(name: str, what: str, types: Sequence[TensorType]) -> OpTypeError:
    """Return the error of a type rule that refuses these operand types."""
    letters = "abcdefghijklmnop"
    shown = ", ".join(f"{letters[k % 16]} {t}" for k, t in enumerate(types))
    return OpTypeError(f"{name}: {what}\n  operands: {shown}")


def check_kind(
    name: str, dtype: DType, kinds: str, types: Sequence[TensorType]
) -> None:
    """Demand that a dtype be of one of `kinds`, letters as in `DType.kind`.

    Raises:
        OpTypeError: it is not.
    """
    if dtype.kind not in kinds:
        taken = ", ".join(_KIND_NAMES[k] for k in kinds)
        raise type_error(name, f"takes {taken}, not {dtype.name}: cast first", types)


def map_type(name: str, kinds: str, result: str) -> TypeRule:
    """Return the type rule of a map: one operand type; `result` "same" or "bool"."""

    def infer(*types: TensorType, **params: Any) -> tuple[TensorType, ...]:
        first = types[0]
        for other in types[1:]:
            if other is not first and other != first:
                raise type_error(name, "operands differ in type", types)
        if first.dtype.kind not in kinds:
            check_kind(name, first.dtype, kinds, types)
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
                elif local == 0:  # connected, and 0 even where ct is inf
                    cts.append(b.zeros(ct.type))
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
            raise op_error(b, name, f"takes {count} operands, {len(args)} given", args)
        dtype = common_dtype(b, name, [*args, 0.0])
        return lift(b, name, [dtype] * count, args), {}

    return accept


def elementwise(
    name: str,
    *,
    scalar: ScalarBody,
    doc: str,
    partials: Partials | Rule | None = None,
    vjp: VjpRule | None = None,
    jvp: JvpRule | None = None,
    mirrors: Sequence[Callable[..., Any]] = (),
    tf_name: str | None = "",
    evaluate: Evaluate | None = None,
    accept: Accept | None = None,
    infer: TypeRule | None = None,
    kinds: str = "f",
    result: str = "same",
    singular: bool = False,
    cost: Cost = Cost.CHEAP,
    exact: bool = False,
    domain: Domain | tuple[Domain, ...] = AROUND_ZERO,
    kinks: str = "",
    samples: tuple[Sample, ...] | None = None,
    arity: int | None = None,
    matrix: MatrixRules | None = None,
    sums: SumRules | None = None,
) -> Primitive:
    """Return the record of an elementwise op.

    Args:
        name: the op's name.
        scalar: its scalar body.
        doc: one sentence for the user.
        partials: local derivatives, or a `Rule`; leave out where `vjp` is given.
        vjp: a VJP rule that is not a product with local derivatives.
        jvp: a JVP rule that says more simply what follows from the VJP.
        mirrors: NumPy callables; the first is the reference unless `evaluate` is given.
        tf_name: TensorFlow's name; "" for the same as `name`, None for none.
        evaluate: the NumPy reference.
        accept: turns a call into operands; follows from a mirrored ufunc.
        infer: the type rule; follows from `kinds` and `result`.
        kinds: the dtypes it takes, letters as in `DType.kind`.
        result: "same" dtype as the operands, or "bool".
        singular: the local derivatives have poles, so cotangents are masked.
        cost: what computing it again costs.
        exact: its reference is correctly rounded.
        domain: where it is smooth.
        kinks: the convention where it is not.
        samples: calls for the generated tests; vectors of floats by default.
        arity: the number of operands; needed only where no ufunc is mirrored.
        matrix: where zeros of matrices go; None hands nothing on.
        sums: how a sum of the result is one of operands; None where it is not.
    """
    first = mirrors[0] if mirrors else None
    ufunc = first if isinstance(first, np.ufunc) else None
    count = arity if arity is not None else (ufunc.nin if ufunc else 1)
    if accept is None:
        accept = accept_ufunc(name, ufunc) if ufunc else accept_float(name, count)
    if evaluate is None:
        assert first is not None, f"{name} mirrors nothing and has no reference"
        evaluate = first
    rule: VjpRule | Rule
    if vjp is not None:
        rule = vjp
    else:
        assert partials is not None, f"{name} has neither partials nor a VJP rule"
        if isinstance(partials, Rule):
            rule = partials
        else:
            rule = vjp_of_partials(partials, singular)
    return Primitive(
        name=name,
        mirrors=tuple(mirrors),
        tf_name=name if tf_name == "" else tf_name,
        accept=accept,
        infer=infer or map_type(name, kinds, result),
        evaluate=evaluate,
        form=Map(scalar),
        vjp=rule,
        jvp=jvp or (NON_DIFFERENTIABLE if rule is NON_DIFFERENTIABLE else DERIVED),
        batch=DERIVED,
        effects=NO_EFFECTS,
        cost=cost,
        exact=exact,
        sparsity="diagonal",
        domain=domain,
        kinks=kinks,
        matrix=matrix,
        sums=sums,
        samples=(Sample(((None,),) * count, {}),) if samples is None else samples,
        doc=doc,
    )


def moving(
    name: str,
    *,
    form: Form,
    accept: Accept,
    infer: TypeRule,
    evaluate: Evaluate,
    vjp: VjpRule | Rule,
    batch: BatchRule,
    samples: tuple[Sample, ...],
    doc: str,
    mirrors: Sequence[Callable[..., Any]] = (),
    tf_name: str | None = "",
    effects: frozenset[Effect] = NO_EFFECTS,
    cost: Cost = Cost.CHEAP,
    matrix: MatrixRules | None = None,
    sums: SumRules | None = None,
) -> Primitive:
    """Return the record of an op that moves elements and computes nothing.

    It is linear and exact, its Jacobian selects, and it has no kinks.
    """
    return Primitive(
        name=name,
        mirrors=tuple(mirrors),
        tf_name=name if tf_name == "" else tf_name,
        accept=accept,
        infer=infer,
        evaluate=evaluate,
        form=form,
        vjp=vjp,
        jvp=DERIVED,
        batch=batch,
        effects=effects,
        cost=cost,
        exact=True,
        sparsity="selection",
        domain=AROUND_ZERO,
        kinks="",
        matrix=matrix,
        sums=sums,
        samples=samples,
        doc=doc,
    )
