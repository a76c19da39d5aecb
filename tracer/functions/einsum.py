"""Einstein summation: labels are read, then operands are contracted in pairs.

`contraction_order.py` says in which order; named sizes count as `TYPICAL`. A step that
sums nothing is a product of elements, which fuses with what reads it.
"""

from collections.abc import Sequence
from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.loc import traced_at
from ...ir.sizes import SizeExpr
from ..builders import ArrayBuilder
from ..operands import emit, refuse
from .contraction_order import Order
from .elementwise import same_dtype
from .linalg import contracted, summed

TYPICAL = 64  # elements of an axis with a named size, for the order of contraction

_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def einsum(b: ArrayBuilder, subscripts: Any, *operands: Any, **options: Any) -> Value:
    """Return sums of products by labels, of any number of operands."""
    options.pop("optimize", None)
    refuse("einsum", options)
    if not isinstance(subscripts, str) or not operands:
        raise OpTypeError("einsum: write labels, as 'ij,jk->ik', then the operands")
    values = same_dtype(b, "einsum", *operands)
    parts, out = _labels(b, subscripts, values)
    terms = [_diagonals(b, v, p) for v, p in zip(values, parts, strict=True)]
    terms = _stretched(b, terms)
    terms = [_alone(b, k, terms, out) for k in range(len(terms))]
    extents: dict[str, int] = {}
    for x, labels in terms:
        extents.update(zip(labels, map(_count, x.type.shape), strict=True))
    made = {1 << k: term for k, term in enumerate(terms)}
    for one, two in Order([labels for _, labels in terms], out, extents).run():
        (x, left), (y, right) = made.pop(one), made.pop(two)
        needed = set(out).union(*(labels for _, labels in made.values()))
        labels = "".join(c for c in dict.fromkeys(left + right) if c in needed)
        if not made:
            labels = out
        if set(left + right) == set(labels):  # nothing is summed
            held = _multiplied(b, x, y, left, right, labels)
        else:
            held = contracted(b, "einsum", x, y, left, right, labels)
        made[one | two] = held, labels
    ((held, have),) = made.values()
    held, have = summed(b, held, have, out)
    if have != out:
        held = b.op("transpose", held, axes=tuple(have.index(c) for c in out))
    return held


def _refuse(b: ArrayBuilder, what: str) -> OpTypeError:
    return OpTypeError(f"einsum: {what}{traced_at(b.loc)}")


def _labels(
    b: ArrayBuilder, subscripts: str, values: Sequence[Value]
) -> tuple[list[str], str]:
    """Return the labels of each operand and of the result, ellipses written out."""
    inputs, arrow, out = subscripts.replace(" ", "").partition("->")
    parts = inputs.split(",")
    if len(parts) != len(values):
        raise _refuse(b, f"{subscripts!r} does not fit {len(values)} operands")
    used = set(subscripts)
    spare = [c for c in _LETTERS if c not in used]
    widest = 0
    for part, v in zip(parts, values, strict=True):
        if "..." in part:
            widest = max(widest, v.type.rank - len(part.replace("...", "", 1)))
    if widest > len(spare):
        raise _refuse(b, f"{subscripts!r} leaves no labels for the ellipsis")
    dots = "".join(spare[:widest])
    full = []
    for part, v in zip(parts, values, strict=True):
        count = v.type.rank - len(part.replace("...", "", 1))
        if "..." in part and count >= 0:
            part = part.replace("...", dots[len(dots) - count :], 1)
        if len(part) != v.type.rank or not (part.isalpha() or not part):
            raise _refuse(b, f"{part!r} does not label each axis of {v.type}")
        full.append(part)
    if not arrow:
        joined = "".join(parts).replace("...", "")
        out = "..." * (widest > 0) + "".join(
            sorted(c for c in set(joined) if joined.count(c) == 1)
        )
    elif widest and "..." not in out:
        raise _refuse(b, f"the result of {subscripts!r} has no ellipsis")
    out = out.replace("...", dots, 1)
    if len(set(out)) != len(out) or not set(out) <= set("".join(full)):
        raise _refuse(
            b, f"the result {out!r} repeats a label or has one no operand has"
        )
    return full, out


def _diagonals(b: ArrayBuilder, x: Value, labels: str) -> tuple[Value, str]:
    """Return x with one axis a label: the diagonal of axes that share one."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            one = labels.index(label)
            two = labels.index(label, one + 1)
            left, right = x.type.shape[one], x.type.shape[two]
            if left != right:
                if isinstance(left, int) and isinstance(right, int):
                    raise _refuse(
                        b, f"label {label!r} has sizes {left} and {right} in {x.type}"
                    )
                b.guard(left, right, "einsum: axes of one label")
            x = b.op("diagonal", x, offset=0, axis1=one, axis2=two)
            rest = [c for k, c in enumerate(labels) if k not in (one, two)]
            labels = "".join(rest) + label
    return x, labels


def _stretched(
    b: ArrayBuilder, terms: list[tuple[Value, str]]
) -> list[tuple[Value, str]]:
    """Return terms without axes of size 1 that another operand stretches."""
    wide: set[str] = set()
    for x, labels in terms:
        wide |= {c for c, d in zip(labels, x.type.shape, strict=True) if d != 1}
    out = []
    for x, labels in terms:
        narrow = tuple(
            k
            for k, (c, d) in enumerate(zip(labels, x.type.shape, strict=True))
            if d == 1 and c in wide
        )
        if narrow:
            x = b.op("squeeze", x, axes=narrow)
            labels = "".join(c for k, c in enumerate(labels) if k not in narrow)
        out.append((x, labels))
    return out


def _multiplied(
    b: ArrayBuilder, x: Value, y: Value, left: str, right: str, made: str
) -> Value:
    def fitted(v: Value, labels: str) -> Value:
        order = tuple(labels.index(c) for c in made if c in labels)
        v = b.op("transpose", v, axes=order)
        missing = tuple(k for k, c in enumerate(made) if c not in labels)
        return b.op("expand_dims", v, axes=missing) if missing else v

    return emit(b, "mul", fitted(x, left), fitted(y, right))  # type: ignore[no-any-return]


def _count(size: int | SizeExpr) -> int:
    return size if isinstance(size, int) else TYPICAL


def _alone(
    b: ArrayBuilder, at: int, terms: Sequence[tuple[Value, str]], out: str
) -> tuple[Value, str]:
    """Return a term summed over the labels that nothing else has."""
    others = [labels for k, (_, labels) in enumerate(terms) if k != at]
    return summed(b, *terms[at], out + "".join(others))


def multi_dot(b: ArrayBuilder, arrays: Any, *, out: Any = None) -> Value:
    """Return the product of two or more matrices, in a cheap order.

    The first and the last may be vectors.
    """
    refuse("multi_dot", {"out": out})
    values = same_dtype(b, "multi_dot", *arrays)
    if len(values) < 2:
        raise OpTypeError("multi_dot: needs at least two arrays")
    for k, v in enumerate(values):
        inner = 0 < k < len(values) - 1
        if v.type.rank != 2 and (inner or v.type.rank != 1):
            raise OpTypeError(f"multi_dot: {v.type} is no matrix")
    labels = [_LETTERS[k : k + 2] for k in range(len(values))]
    if values[0].type.rank == 1:
        labels[0] = labels[0][1:]
    if values[-1].type.rank == 1:
        labels[-1] = labels[-1][:1]
    ends = labels[0][: values[0].type.rank - 1] + labels[-1][1:]
    return einsum(b, f"{','.join(labels)}->{ends}", *values)


def matrix_power(b: ArrayBuilder, a: Any, n: Any) -> Value:
    """Return a square matrix multiplied by itself n times, n from 1 on."""
    (held,) = same_dtype(b, "matrix_power", a)
    if not isinstance(n, int) or n < 1:
        raise OpTypeError(f"matrix_power: n is an integer from 1 on, got {n!r}")
    out: Value | None = None
    while True:
        if n & 1:
            out = held if out is None else emit(b, "contract", out, held)
        n >>= 1
        if not n:
            assert out is not None, "the highest bit is set"
            return out
        held = emit(b, "contract", held, held)
