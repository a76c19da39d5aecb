"""What computing an element costs, counted on the scalar body itself."""

from typing import Any

from ..ir.forms import (
    Contract,
    Control,
    Factorize,
    Gather,
    Map,
    Place,
    ScalarBody,
    View,
)
from ..ir.graph import Graph, Node
from ..ir.primitive import Primitive
from ..ir.scalar import VOCABULARY
from ..ir.sizes import SizeExpr, names_in, product
from ..ir.subgraph import regions_of
from .plan import Apply, KernelPlan, Literally, Load

Size = int | SizeExpr

STEP = 500  # cheap instructions of vectors in the time a kernel takes to begin
PRODUCT = 8  # what a step of a product or a factor counts: see `graph_cost`
UNKNOWN = 1 << 20  # what a number of trips counts as that nobody knows

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


def graph_cost(graph: Graph) -> Size:
    """Return about what a run of a graph loses in quick code, in cheap instructions.

    48 take a nanosecond where they are vectors. That is what elements cost; products of
    matrices lose several times what they cost, for their accumulators are in memory.
    The estimate is good to a factor of a few. A loop that ends when it likes counts as
    long. The size is one of the graph's named sizes.
    """
    return _region_cost(graph, frozenset(graph.sizes))


def _region_cost(graph: Graph, known: frozenset[str]) -> Size:
    each: dict[tuple[Size, ...], int] = {(): STEP * len(graph.nodes)}  # by shape
    total: Size = 0
    for node in graph.nodes:
        form = node.primitive.form
        if isinstance(form, Control):
            inside: Size = 0
            for held in regions_of(node):
                inside = inside + _region_cost(held.graph, known)
            trips = _known(node.params.get("length", UNKNOWN), known)
            total = total + inside * (1 if form.kind == "switch" else trips)
            continue
        if isinstance(form, View):
            continue
        shape, cost = _work(node)
        each[shape] = each.get(shape, 0) + cost
    for shape, cost in each.items():
        total = total + cost * product([_known(d, known) for d in shape])
    return total


def _work(node: Node) -> tuple[tuple[Size, ...], int]:
    """Return the extents of what a node loops over, and the cost of each step."""
    form = node.primitive.form
    if isinstance(form, Contract):
        axes: dict[str, Size] = {}
        for side, x in zip(("lhs", "rhs"), node.operands, strict=True):
            axes.update(zip(node.params[side], x.type.shape, strict=True))
        return tuple(axes.values()), PRODUCT
    if isinstance(form, Factorize):
        order = node.operands[0].type.shape[-1]
        return (*node.operands[-1].type.shape, order), PRODUCT
    shapes = [x.type.shape for x in (*node.operands, *node.results)]
    return max(shapes, key=len, default=()), max(node_cost(node), 1)


def _known(size: Size, known: frozenset[str]) -> Size:
    """Return a size, or what stands for it where a name in it is not known."""
    return size if type(size) is int or names_in(size) <= known else UNKNOWN
