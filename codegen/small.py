"""Which regions run in registers: all their values are few numbers of known shape.

Also where in their operands the elements of a small result are: for small values every
index is a number.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import product as tuples
from math import prod

from ..ir.forms import (
    Contract,
    Control,
    Gather,
    Iota,
    Literal,
    Map,
    Place,
    Print,
    Reduce,
    Scan,
    Scatter,
    View,
)
from ..ir.graph import Node
from ..ir.primitive import Effect
from ..ir.sizes import SizeExpr
from ..ir.subgraph import SubGraph
from ..ir.types import BOOL, Shape, TensorType
from .cost import node_cost, scalar_cost

MOST_ELEMENTS = 32  # of one value
MOST_WORK = 1500  # cheap instructions of one step


class _Numbers:
    """The index builder of views, on numbers."""

    def const(self, size: int) -> int:
        return size

    def add(self, index: int, size: int) -> int:
        return index + size

    def mul(self, index: int, size: int) -> int:
        return index * size

    def linear(self, index: Sequence[int], shape: Sequence[int]) -> int:
        return linear(index, shape)

    def split(self, index: int, shape: Sequence[int]) -> list[int]:
        out = []
        for extent in reversed(shape):
            out.append(index % extent)
            index //= extent
        return out[::-1]


_NUMBERS = _Numbers()


def fixed(shape: Shape) -> tuple[int, ...]:
    """Return a shape of numbers."""
    return tuple([d for d in shape if isinstance(d, int)])


def count_of(kind: TensorType) -> int:
    """Return how many elements a value of a known shape has."""
    return prod(fixed(kind.shape))


def is_few(kind: TensorType) -> bool:
    """Return whether a value may be in registers."""
    known = len(fixed(kind.shape)) == len(kind.shape)
    return known and count_of(kind) <= MOST_ELEMENTS


def linear(index: Sequence[int], shape: Sequence[int]) -> int:
    """Return the row-major position of an index."""
    at = 0
    for k, extent in zip(index, shape, strict=True):
        at = at * extent + k
    return at


def positions(shape: Shape) -> list[tuple[int, ...]]:
    """Return every index of a shape in row-major order."""
    return list(tuples(*[range(d) for d in fixed(shape)]))


def view_places(node: Node) -> list[int] | None:
    """Return where in its operand each element of a view is; None if not known."""
    form = node.primitive.form
    assert isinstance(form, View)
    (x,), out = node.operands, node.results[0]
    shape = fixed(x.type.shape)
    places: list[int] = []
    for index in positions(out.type.shape):
        inner = form.index(_NUMBERS, list(index), x.type, out.type, **node.params)
        if not all(isinstance(k, int) for k in inner):
            return None
        places.append(linear(inner, shape))
    return places


def place_sources(node: Node) -> list[tuple[int, int] | None] | None:
    """Return operand and position behind each element of a placing; None inside: 0."""
    form = node.primitive.form
    assert isinstance(form, Place)
    out = node.results[0].type
    shape = fixed(out.shape)
    sources: list[tuple[int, int] | None] = [None] * prod(shape)
    kinds = tuple([x.type for x in node.operands])
    for number, (kind, region) in enumerate(
        zip(kinds, form.regions(kinds, out, **node.params), strict=True)
    ):
        if not all(isinstance(k, int) for k in region.start):
            return None
        start = [k for k in region.start if isinstance(k, int)]
        for at, index in enumerate(positions(kind.shape)):
            goal = [
                s + i * step
                for s, i, step in zip(start, index, region.step, strict=True)
            ]
            if all(0 <= g < d for g, d in zip(goal, shape, strict=True)):
                k = linear(goal, shape)
                if sources[k] is None:
                    sources[k] = (number, at)
    return sources


@lru_cache(maxsize=4096)
def region_work(held: SubGraph) -> int | None:
    """Return the instructions of one run of a region; None where it is not small."""
    total = 0
    if not all(is_few(kind) for kind in held.takes):
        return None
    for node in held.graph.nodes:
        work = _work(node)
        if work is None:
            return None
        total += work
        if total > MOST_WORK:
            return None
    return total


def _work(node: Node) -> int | None:
    form = node.primitive.form
    if isinstance(form, Print):
        return None  # the caller is shown memory
    kinds = [x.type for x in (*node.operands, *node.results)]
    if not all(is_few(kind) for kind in kinds):
        return None
    result = count_of(node.results[0].type)
    if isinstance(form, Map):
        return result * max(node_cost(node), 1)
    if isinstance(form, Literal | Iota):
        return 0
    if isinstance(form, View):
        return None if view_places(node) is None else 0
    if isinstance(form, Place):
        return None if place_sources(node) is None else 0
    if isinstance(form, Reduce):
        return count_of(node.operands[0].type)
    if isinstance(form, Scan):
        params = [
            (k, v) for k, v in node.params.items() if k not in ("axis", "reverse")
        ]
        cost = scalar_cost(form.step, 1 + len(node.operands), params)
        return result * max(cost, 1)
    if isinstance(form, Contract):
        if node.results[0].type.dtype is BOOL:
            return None
        extents = dict(
            zip(node.params["lhs"], fixed(node.operands[0].type.shape), strict=True)
        )
        summed = [n for c, n in extents.items() if c not in node.params["out"]]
        terms: int = prod(summed)
        return result * terms
    if isinstance(form, Gather):
        extent = node.operands[0].type.shape[node.params["axis"]]
        return result * (int(str(extent)) + 4)
    if isinstance(form, Scatter):
        extent = node.results[0].type.shape[node.params["axis"]]
        return count_of(node.operands[0].type) * (3 * int(str(extent)) + 4)
    if isinstance(form, Control):
        return _control_work(node, form.kind)
    return None


def _control_work(node: Node, kind: str) -> int | None:
    params = node.params
    if kind == "revolve":
        return None
    length: int | SizeExpr = params.get("length", 0)
    held = regions_run(node)
    works = [region_work(region) for region in held]
    total = 0
    for work in works:
        if work is None:
            return None
        total += work
    if kind == "scan":
        # the steps are written one after the other
        return total * length if isinstance(length, int) else None
    if kind == "revolve" or params.get("trips") is not None:
        return None
    return total + 4


def regions_run(node: Node) -> list[SubGraph]:
    """Return the regions that a control op runs, the condition of a loop first."""
    params = node.params
    if "branches" in params:
        return list(params["branches"])
    return [params[name] for name in ("cond", "body", "back") if name in params]


def failing(regions: Sequence[SubGraph]) -> list[Node]:
    """Return the nodes within regions that a status may name, each once, in order."""
    found: dict[Node, None] = {}
    stack = list(reversed(regions))
    while stack:
        for node in stack.pop().graph.nodes:
            form = node.primitive.form
            if isinstance(form, Control):
                if form.kind == "switch":
                    found[node] = None
                stack.extend(reversed(regions_run(node)))
            elif Effect.RAISES in node.primitive.effects:
                found[node] = None
    return list(found)
