"""What computing an element costs, counted on the scalar body itself."""

from typing import Any

from ..ir.forms import Gather, Map, Place, ScalarBody
from ..ir.graph import Node
from ..ir.primitive import Primitive
from ..ir.scalar import VOCABULARY
from .plan import Apply, KernelPlan, Literally, Load

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


def plan_cost(plan: KernelPlan) -> int:
    """Return the cost of a body in cheap instructions."""
    return sum(
        body_cost(s.primitive, s.params, len(s.operands)) if isinstance(s, Apply) else 1
        for s in plan.steps
    )


def lane_bits(plan: KernelPlan) -> int:
    """Return the widest element a body computes with, in bits."""
    bits = 8
    for step in plan.steps:
        if (isinstance(step, Load | Apply) and step.dtype.kind != "b") or (
            isinstance(step, Literally) and step.dtype.is_float
        ):
            bits = max(bits, step.dtype.bits)
    for out in plan.outputs:
        if out.dtype.kind != "b":
            bits = max(bits, out.dtype.bits)
    return bits
