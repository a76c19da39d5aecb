"""Rules of sums that ops share, or that are more than a line."""

from collections.abc import Sequence

from ..builder import Builder
from ..graph import Node, Value
from ..sum_rules import Axes, Summed, SumRules
from ..types import Shape

Terms = list[tuple[Value, Axes]]


def _every(node: Node, axes: Axes) -> Terms:
    return [(x, axes) for x in node.operands]


def _same(
    b: Builder, node: Node, axes: Axes, made: Sequence[Value], rest: Summed
) -> Value:
    return b.op(node.primitive.name, *made)  # type: ignore[no-any-return]


def _added(node: Node, axes: Axes) -> Terms:
    return [(node.operands[2], axes)]


def _product_added(
    b: Builder, node: Node, axes: Axes, made: Sequence[Value], rest: Summed
) -> Value:
    product = b.mul(node.operands[0], node.operands[1])
    return b.add(rest(b, product, axes), *made)  # type: ignore[no-any-return]


def _before_permuting(node: Node, axes: Axes) -> Terms:
    order = node.params["axes"]
    return [(node.operands[0], tuple(sorted(order[a] for a in axes)))]


def _permuted(
    b: Builder, node: Node, axes: Axes, made: Sequence[Value], rest: Summed
) -> Value:
    order = [p for k, p in enumerate(node.params["axes"]) if k not in axes]
    left = tuple(sorted(order).index(p) for p in order)
    return b.transpose(*made, axes=left)  # type: ignore[no-any-return]


def _as_it_was(node: Node, axes: Axes) -> Terms:
    (x,) = node.operands
    return [(x, axes)] if x.type == node.results[0].type else []


def _the_one(
    b: Builder, node: Node, axes: Axes, made: Sequence[Value], rest: Summed
) -> Value:
    (one,) = made
    return one


def _repeated(b: Builder, node: Node, axes: Axes) -> Value | None:
    (inner,) = node.operands
    whole = node.results[0].type
    offset = whole.rank - inner.type.rank
    own: Shape = inner.type.shape
    if any(a >= offset and own[a - offset] != 1 for a in axes):
        return None
    shape = tuple(d for k, d in enumerate(own) if k + offset not in axes)
    made: Value = inner if shape == own else b.reshape(inner, shape=shape)
    wanted = tuple(d for k, d in enumerate(whole.shape) if k not in axes)
    return b.broadcast(made, wanted)


LINEAR = SumRules(terms=_every, joined=_same)
PRODUCT = SumRules(multiplies=True)
PRODUCT_AND_TERM = SumRules(terms=_added, joined=_product_added)
PERMUTES = SumRules(terms=_before_permuting, joined=_permuted)
RESHAPES = SumRules(terms=_as_it_was, joined=_the_one)
REPEATS = SumRules(shared=_repeated)
