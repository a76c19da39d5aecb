"""Sum what is linear in a product of matrices before the product, where that is less.

What a row adds to every element of a matrix, as a bias or a centre does, has as its
cotangent a sum over rows, often of a product with a matrix that all rows share. The sum
over rows first leaves a vector to be multiplied. Cotangents alone are summed so, when
they are built, so results do not depend on which passes run.
"""

from ..builder import Builder
from ..forms import Contract
from ..graph import Value
from ..sizes import product
from ..sum_rules import Axes, SumRules

MOST_TERMS = 8  # that a cotangent is taken apart into
NO_RULES = SumRules()


def early_sum(b: Builder, x: Value, axes: Axes) -> Value:
    """Return the sum of x over axes.

    Terms that are products of matrices become products of sums, if there is one.
    """
    if _gains(x, axes):
        return _summed(b, x, axes)
    made: Value = b.sum(x, axes=axes)
    return made


def _gains(x: Value, axes: Axes) -> bool:
    """Return whether one of the terms x is made of is such a product."""
    waiting = [(x, axes)]
    for _ in range(MOST_TERMS):
        if not waiting:
            return False
        term = waiting.pop()
        if _side(*term) is not None:
            return True
        waiting += _terms(*term)
    return False


def _rules(x: Value) -> SumRules:
    node = x.node
    return (node.primitive.sums if node is not None else None) or NO_RULES


def _terms(x: Value, axes: Axes) -> list[tuple[Value, Axes]]:
    """Return what x is a sum of up to signs and order, products left out."""
    terms = _rules(x).terms
    return [] if terms is None or x.node is None else terms(x.node, axes)


def _side(x: Value, axes: Axes) -> int | None:
    """Return which operand of a product may be summed first; None where neither."""
    node = x.node
    if node is None or not isinstance(node.primitive.form, Contract):
        return None
    out = node.params["out"]
    gone = {out[a] for a in axes}
    sides = [node.params["lhs"], node.params["rhs"]]
    for k, labels in enumerate(sides):
        other = sides[1 - k]
        if not gone <= set(labels) or gone & set(other):
            continue
        sizes = dict(zip(labels, node.operands[k].type.shape, strict=True))
        sizes.update(zip(other, node.operands[1 - k].type.shape, strict=True))
        summed = product([sizes[c] for c in labels if c not in out])
        kept = product([sizes[c] for c in other if c in out and c not in labels])
        if summed == kept or (
            isinstance(summed, int) and isinstance(kept, int) and summed < kept
        ):
            return k
    return None


def _summed(b: Builder, x: Value, axes: Axes) -> Value:
    """Return the sum of x over axes, term by term; `_gains` has bounded them."""
    side = _side(x, axes)
    if side is not None:
        return _of_sum(b, x, axes, side)
    node = x.node
    if node is None or not _gains(x, axes):
        return _scaled(b, x, axes)
    made = [_summed(b, *term) for term in _terms(x, axes)]
    joined = _rules(x).joined
    assert joined is not None, f"{node.primitive.name} has terms and joins no sums"
    return joined(b, node, axes, made, _scaled)


def _of_sum(b: Builder, x: Value, axes: Axes, side: int) -> Value:
    node = x.node
    assert node is not None
    labels = {name: node.params[name] for name in ("lhs", "rhs", "out")}
    gone = {labels["out"][a] for a in axes}
    name = ("lhs", "rhs")[side]
    operands = list(node.operands)
    inner = tuple(k for k, c in enumerate(labels[name]) if c in gone)
    operands[side] = b.sum(operands[side], axes=inner)
    for key in (name, "out"):
        labels[key] = "".join(c for c in labels[key] if c not in gone)
    made: Value = b.contract(*operands, **labels)
    return made


def _scaled(b: Builder, x: Value, axes: Axes) -> Value:
    """Return the sum of x over axes, a factor all summed elements share taken out."""
    node = x.node
    made: Value
    if node is not None and _rules(x).multiplies:
        for k in (0, 1):
            factor = _shared(b, node.operands[k], axes)
            if factor is not None:
                made = b.mul(b.sum(node.operands[1 - k], axes=axes), factor)
                return made
    made = b.sum(x, axes=axes)
    return made


def _shared(b: Builder, x: Value, axes: Axes) -> Value | None:
    """Return a value that is the same along axes without them; None of any other."""
    shared = _rules(x).shared
    return None if shared is None or x.node is None else shared(b, x.node, axes)
