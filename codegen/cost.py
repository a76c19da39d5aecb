"""What computing an element costs, counted on the scalar body itself."""

from typing import Any

from ..ir.forms import Gather, Map, Place, ScalarBody
from ..ir.graph import Node
from ..ir.primitive import Primitive
from ..ir.scalar import VOCABULARY

_CACHE: dict[Any, int] = {}  # Any: (primitive, params)


class _Counter:
    """A scalar builder that adds up costs; every scalar is the number 0."""

    def __init__(self) -> None:
        self.total = 0

    def __getattr__(self, name: str) -> Any:  # Any: each instruction has its own shape
        cost = VOCABULARY[name]

        def instruction(*operands: Any, **params: Any) -> Any:
            self.total += cost
            return (0, 0) if name == "sincos" else 0

        return instruction


def scalar_cost(body: ScalarBody, operands: int, params: Any) -> int:
    """Return the cost of a scalar body in cheap instructions."""
    counter = _Counter()
    body(counter, *[0] * operands, **dict(params))
    return counter.total


def body_cost(primitive: Primitive, params: Any, operands: int) -> int:
    """Return the cost of one application of a map; `params` are (name, value) pairs."""
    key = (primitive, params) if params else primitive
    found = _CACHE.get(key)
    if found is None:
        assert isinstance(primitive.form, Map)
        found = _CACHE[key] = scalar_cost(primitive.form.scalar, operands, params)
    return found


def node_cost(node: Node) -> int:
    """Return the cost of a node's own work an element, in cheap instructions."""
    form = node.primitive.form
    if isinstance(form, Map):
        params = tuple(node.params.items()) if node.params else ()
        return body_cost(node.primitive, params, len(node.operands))
    if isinstance(form, Place):
        return 2 * len(node.operands)
    if isinstance(form, Gather):
        return 4
    return 0
