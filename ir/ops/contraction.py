"""Contractions: sums of products over labels that two operands share.

Labels are written as in a two-operand einsum: lhs="bik", rhs="bkj", out="bij". A label
of `out` is in lhs or rhs; a label in both and not in `out` is summed; no other label
may be missing from `out`. So the VJP of a contraction is a contraction.
"""

from typing import Any

import numpy as np

from ..builder import Builder
from ..forms import Contract
from ..graph import Value
from ..primitive import DERIVED, Cost, Domain, Primitive, Sample
from ..promote import Operand, cast_to, common_dtype, op_error
from ..sizes import SizeExpr
from ..types import TensorType
from .axes import agree
from .factory import NO_EFFECTS, check_kind, type_error

Call = tuple[tuple[Value, ...], dict[str, Any]]

_BATCH = "abcdefghlmnopqrstuvwxyz"  # all but the three of the matrices: i, j, k


def _matmul_labels(
    b: Builder, x: Value, y: Value
) -> tuple[Value, Value, dict[str, str]]:
    """Return operands and labels of NumPy's matmul.

    An axis of size 1 that the other operand's batch repeats is squeezed away.
    """
    sides: list[str] = []
    batches: list[list[tuple[int, int | SizeExpr, str]]] = []
    for v, matrix, vector in ((x, "ik", "k"), (y, "kj", "k")):
        core = vector if v.type.rank == 1 else matrix
        batch = v.type.shape[: v.type.rank - len(core)]
        depth = len(batch)
        batches.append([(k, d, _BATCH[depth - 1 - k]) for k, d in enumerate(batch)])
        sides.append(core)
    sizes = [{label: d for _, d, label in side} for side in batches]
    values = [x, y]
    for at in (0, 1):
        other = sizes[1 - at]
        dropped = tuple(
            k for k, d, label in batches[at] if d == 1 and other.get(label, 1) != 1
        )
        sides[at] = (
            "".join(label for k, _, label in batches[at] if k not in dropped)
            + sides[at]
        )
        if dropped:
            values[at] = b.squeeze(values[at], axes=dropped)
    longest = max(batches, key=len)
    out = "".join(label for _, _, label in longest)
    out += "i" if "i" in sides[0] else ""
    out += "j" if "j" in sides[1] else ""
    return values[0], values[1], {"lhs": sides[0], "rhs": sides[1], "out": out}


def _agreed(
    b: Builder, x: Value, y: Value, labels: dict[str, str], args: list[Operand]
) -> tuple[Value, ...]:
    """Return the operands with one size for each label, by guards where unproved."""
    sizes = dict(zip(labels["lhs"], x.type.shape, strict=True))
    for label, d in zip(labels["rhs"], y.type.shape, strict=True):
        have = sizes.setdefault(label, d)
        if have != d and isinstance(d, int):
            if isinstance(have, int):
                which = "inner dimensions" if label == "k" else "batch dimensions"
                raise op_error(b, "matmul", f"{which} differ: {have} and {d}", args)
            sizes[label] = d
    return tuple(
        agree(b, "matmul", v, tuple(sizes[label] for label in side))
        for v, side in ((x, labels["lhs"]), (y, labels["rhs"]))
    )


def _matmul_accept(b: Builder, *args: Operand, **other: Any) -> Call:
    if len(args) != 2 or other:
        raise op_error(b, "matmul", "takes 2 operands and no keywords", list(args))
    dtype = common_dtype(b, "matmul", args)
    x, y = (cast_to(b, v, dtype) for v in args)
    if x.type.rank == 0 or y.type.rank == 0:
        raise op_error(b, "matmul", "a scalar has no inner dimension", list(args))
    x, y, labels = _matmul_labels(b, x, y)
    return _agreed(b, x, y, labels, list(args)), dict(labels)


def accept_dot(b: Builder, *args: Operand) -> Call:
    """Turn a call of np.dot into a contraction.

    Raises:
        OpTypeError: an operand has no axis, or more than two.
    """
    ranks = [v.type.rank if isinstance(v, Value) else 0 for v in args]
    if any(not 1 <= rank <= 2 for rank in ranks):
        what = "dot takes vectors and matrices: use matmul, multiply or tensordot"
        raise op_error(b, "dot", what, list(args))
    return _matmul_accept(b, *args)


def _contract_infer(
    x: TensorType, y: TensorType, *, lhs: str, rhs: str, out: str
) -> tuple[TensorType, ...]:
    types = [x, y]
    if x.dtype is not y.dtype:
        raise type_error("contract", "operands differ in dtype", types)
    check_kind("contract", x.dtype, "fiu", types)
    text = f"{lhs},{rhs}->{out}"
    for labels, rank in ((lhs, x.rank), (rhs, y.rank), (out, len(out))):
        if len(labels) != rank or len(set(labels)) != rank:
            raise type_error("contract", f"{text} does not label each axis once", types)
    left, right, result = set(lhs), set(rhs), set(out)
    if not result <= left | right or not (left ^ right) <= result:
        what = f"{text} loses or invents a label that is in one operand only"
        raise type_error("contract", what, types)
    sizes = dict(zip(lhs, x.shape, strict=True))
    for label, d in zip(rhs, y.shape, strict=True):
        if sizes.setdefault(label, d) != d:
            what = f"sizes of label {label} differ: {sizes[label]} and {d}"
            raise type_error("contract", what, types)
    return (x.with_shape(tuple(sizes[label] for label in out)),)


def _contract_evaluate(x: Any, y: Any, lhs: str, rhs: str, out: str) -> Any:
    return np.einsum(f"{lhs},{rhs}->{out}", x, y)


def _contract_vjp(
    b: Builder, ct: Value, out_: Value, x: Value, y: Value, **labels: str
) -> list[Value | None]:
    lhs, rhs, out = labels["lhs"], labels["rhs"], labels["out"]
    return [
        b.contract(ct, y, lhs=out, rhs=rhs, out=lhs),
        b.contract(x, ct, lhs=lhs, rhs=out, out=rhs),
    ]


contract = Primitive(
    name="contract",
    mirrors=(np.matmul,),
    tf_name="matmul",
    accept=_matmul_accept,
    infer=_contract_infer,
    evaluate=_contract_evaluate,
    form=Contract(),
    vjp=_contract_vjp,
    jvp=DERIVED,
    batch=DERIVED,
    effects=NO_EFFECTS,
    cost=Cost.KEEP,
    exact=False,
    sparsity="dense",
    domain=Domain(-2.0, 2.0),
    kinks="",
    matrix=None,
    sums=None,
    samples=(
        Sample(((None,), (None,)), {"lhs": "k", "rhs": "k", "out": ""}),
        Sample(((None, 3), (3, 2)), {"lhs": "ik", "rhs": "kj", "out": "ij"}),
        Sample(((3, None), (None, 4)), {"lhs": "ik", "rhs": "kj", "out": "ij"}),
        Sample(((2, 3, None), (None,)), {"lhs": "aik", "rhs": "k", "out": "ai"}),
        Sample(
            ((None, 2, 3), (None, 3, 4)), {"lhs": "aik", "rhs": "akj", "out": "aij"}
        ),
        Sample(((2, 3), (None, 3, 4)), {"lhs": "ik", "rhs": "akj", "out": "aij"}),
        Sample(((None,), (3,)), {"lhs": "i", "rhs": "j", "out": "ij"}),
        Sample(((5, None), (5, 3)), {"lhs": "ki", "rhs": "kj", "out": "ji"}),
    ),
    doc="Sum of products over shared labels: matmul, and the products einsum has.",
)
