"""Sum what is linear in a product of matrices before the product, where that is less.

What a row adds to every element of a matrix, as a bias or a centre does, has as its
cotangent a sum over rows, often of a product with a matrix that all rows share. The sum
over rows first leaves a vector to be multiplied. Cotangents alone are summed so, when
they are built, so results do not depend on which passes run.
"""

from ..builder import Builder
from ..graph import Value
from ..sizes import product
from ..types import Shape

MOST_TERMS = 8  # that a cotangent is taken apart into

Axes = tuple[int, ...]


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


def _terms(x: Value, axes: Axes) -> list[tuple[Value, Axes]]:
    """Return what x is a sum of up to signs and order, products left out."""
    node = x.node
    if node is None:
        return []
    name = node.primitive.name
    if name == "transpose":
        return [(node.operands[0], tuple(sorted(node.params["axes"][a] for a in axes)))]
    if name == "reshape":
        (inner,) = node.operands
        return [(inner, axes)] if inner.type == x.type else []
    if name == "fma":
        return [(node.operands[2], axes)]
    return [(y, axes) for y in node.operands] if name in ("neg", "add", "sub") else []


def _side(x: Value, axes: Axes) -> int | None:
    """Return which operand of a product may be summed first; None where neither."""
    node = x.node
    if node is None or node.primitive.name != "contract":
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
    terms = [_summed(b, *term) for term in _terms(x, axes)]
    name = node.primitive.name
    made: Value
    if name == "fma":
        scaled = b.mul(node.operands[0], node.operands[1])
        made = b.add(_scaled(b, scaled, axes), *terms)
    elif name == "transpose":
        order = [p for k, p in enumerate(node.params["axes"]) if k not in axes]
        made = b.transpose(*terms, axes=tuple(sorted(order).index(p) for p in order))
    elif name == "reshape":
        (made,) = terms
    else:
        made = b.op(name, *terms)
    return made


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
    if node is not None and node.primitive.name == "mul":
        for k in (0, 1):
            factor = _without(b, node.operands[k], axes)
            if factor is not None:
                made = b.mul(b.sum(node.operands[1 - k], axes=axes), factor)
                return made
    made = b.sum(x, axes=axes)
    return made


def _without(b: Builder, x: Value, axes: Axes) -> Value | None:
    """Return a value that is the same along axes without them; None of any other."""
    node = x.node
    if node is None or node.primitive.name != "broadcast_to":
        return None
    (inner,) = node.operands
    offset = x.type.rank - inner.type.rank
    own: Shape = inner.type.shape
    if any(a >= offset and own[a - offset] != 1 for a in axes):
        return None
    shape = tuple(d for k, d in enumerate(own) if k + offset not in axes)
    made: Value = inner if shape == own else b.reshape(inner, shape=shape)
    wanted = tuple(d for k, d in enumerate(x.type.shape) if k not in axes)
    return b.broadcast(made, wanted)
