"""What a view does to memory: whether it is one, repeats it, or divides its index."""

from collections.abc import Callable

from ..ir.forms import View
from ..ir.graph import Node, Value
from ..ir.sizes import lower_bound, product
from ..ir.types import Shape
from .index import INDEX_BUILDER, Index, Split, identity, linearize


def strip_views(
    value: Value, stop: Callable[[Value], bool]
) -> tuple[Value, tuple[Index, ...]]:
    """Follow views to the value they read; returns it and its index.

    `stop(value)` ends the walk, as does a view that divides an index.
    """
    index = identity(value.type.rank)
    while True:
        node = value.node
        if node is None or not isinstance(node.primitive.form, View) or stop(value):
            return value, index
        (x,) = node.operands
        inner = tuple(
            node.primitive.form.index(
                INDEX_BUILDER, index, x.type, value.type, **node.params
            )
        )
        if any(isinstance(a, Split) for i in inner for a, _ in i.atoms):
            return value, index
        value, index = x, inner


def is_alias(node: Node) -> bool:
    """Return whether a view's result is its operand's memory, element for element."""
    (x,) = node.operands
    out = node.results[0]
    form = node.primitive.form
    assert isinstance(form, View)
    inner = form.index(
        INDEX_BUILDER, identity(out.type.rank), x.type, out.type, **node.params
    )
    return linearize(tuple(inner), x.type.shape) == linearize(
        identity(out.type.rank), out.type.shape
    ) and product(x.type.shape) == product(out.type.shape)


def has_split(node: Node) -> bool:
    """Return whether a view divides an index: then its operand must be in memory."""
    (x,) = node.operands
    out = node.results[0]
    form = node.primitive.form
    assert isinstance(form, View)
    inner = form.index(
        INDEX_BUILDER, identity(out.type.rank), x.type, out.type, **node.params
    )
    return any(isinstance(a, Split) for i in inner for a, _ in i.atoms)


def grows(small: Shape, large: Shape) -> bool:
    """Return whether `large` may have more elements than `small`."""
    low = lower_bound(product(small) - product(large))
    return low is None or low < 0
