"""Regions: the bodies of loops and branches, traced and made programs of their own.

A body is traced into a builder of its own. What it reads of the traces around it is
free in it, until it is closed: then every free value is an input, and an operand of the
node that holds the region. Where a loop reads it, what does not depend on the step has
moved out by then.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ir.builder import Builder
from ..ir.constant import ArrayConstant
from ..ir.errors import ArgumentError
from ..ir.forms import Iota, Literal
from ..ir.graph import Graph, Node, Value
from ..ir.loc import traced_at
from ..ir.passes.dce import dce
from ..ir.passes.hoist import is_worth_moving
from ..ir.sizes import SizeExpr
from ..ir.subgraph import SubGraph, with_sizes
from ..ir.types import I64, TensorType
from .array import TracedArray
from .builders import SMALL, Array, TraceBuilder
from .trace import Check, Trace
from .trees import Structure, flatten


class RegionBuilder(TraceBuilder):
    """The builder of a region: what it captures, the outermost trace captures."""

    def __init__(self, around: TraceBuilder) -> None:
        super().__init__()
        self._around = around

    def array(self, array: Array) -> Value:
        """Return a constant, or an input of the outermost trace."""
        small = array.size <= SMALL
        return super().array(array) if small else self._around.array(array)

    def fresh_size(self, stem: str) -> SizeExpr:
        """Return a size whose name is nowhere else, in no region around either."""
        return self._around.fresh_size(stem)


class RegionTrace(Trace):
    """The trace of a body, open inside the trace that holds the loop or the branch."""

    parent: Trace

    def __init__(self, name: str, parent: Trace) -> None:
        super().__init__(name)
        self.parent = parent
        self.builder = RegionBuilder(parent.builder)
        self.gone = parent.gone

    def tensor(self, x: Any) -> Any:
        """Return what the outermost trace has for a tensor of a tape."""
        return self.parent.tensor(x)


@dataclass(slots=True)
class Region:
    """A body that was traced and is not closed yet.

    Fields:
        trace: its trace, which is over.
        carries: inputs that the next step gets, or none.
        elements: inputs that are elements of sequences.
        leaves: what it returned, flat.
        structure: how it was arranged.
        outputs: the values of the leaves, once their types are settled.
    """

    trace: Trace
    carries: list[Value]
    elements: list[Value]
    leaves: list[Any]
    structure: Structure
    outputs: list[Value] = field(default_factory=list)

    def value(self, leaf: Any, what: str) -> Value:
        """Return what was returned as a value of the region.

        Raises:
            ArgumentError: it is not an array.
        """
        trace = self.trace
        # arrays of the traces around have not escaped, though this trace is over
        if isinstance(leaf, TracedArray) and leaf._trace in _traces(trace):
            return leaf._value
        return trace.lift(leaf, what)._value


def _traces(trace: Trace) -> list[Trace]:
    found = [trace]
    while found[-1].parent is not None:
        found.append(found[-1].parent)
    return found


def traced(
    parent: Trace,
    name: str,
    fun: Callable[..., Any],
    carries: Sequence[TensorType],
    elements: Sequence[TensorType] = (),
) -> Region:
    """Trace a body.

    Args:
        parent: the trace it stands in.
        name: what messages call it.
        fun: takes the arrays of carries and elements, as two lists.
        carries: their types.
        elements: their types.
    """
    session = RegionTrace(name, parent)
    with session:
        kinds = [*carries, *elements]
        arrays = [session.argument(kind, f"x{k}") for k, kind in enumerate(kinds)]
        count = len(carries)
        result = fun(arrays[:count], arrays[count:])
        leaves, structure = flatten(result)
    inputs = [a._value for a in arrays]
    return Region(session, inputs[:count], inputs[count:], leaves, structure)


# -- checks ----------------------------------------------------------------------------


def carry_checks(
    parent: Trace, body: Region, others: Sequence[Region] = ()
) -> list[Value]:
    """Have a loop add up what its body's checks count; returns the first counts.

    They are carries after those there are; `others` are regions with the same inputs.
    """
    b = body.trace.builder
    carried = len(body.carries)
    for k, check in enumerate(body.trace.checks):
        for region in (body, *others):
            region.carries.append(Value(check.failing.type, None, 0))
        total = b.op("add", body.carries[-1], check.failing)
        body.outputs.insert(carried + k, total)
    zero = parent.builder.constant(0, I64) if body.trace.checks else None
    return [zero for _ in body.trace.checks if zero is not None]


def branch_checks(branches: Sequence[Region]) -> list[Check]:
    """Have branches return what their checks count, as results after the others."""
    found = [(k, check) for k, r in enumerate(branches) for check in r.trace.checks]
    for k, region in enumerate(branches):
        zero = region.trace.builder.constant(0, I64) if found else None
        for at, check in found:
            region.outputs.append(check.failing if at == k or zero is None else zero)
    return [check for _, check in found]


def refuse_checks(region: Region, what: str) -> None:
    """Refuse a check in a region whose results have no room for a count.

    Raises:
        ArgumentError: there is one.
    """
    for check in region.trace.checks:
        raise ArgumentError(
            f"{what} cannot check numbers: its result alone says whether to go on"
            f"{traced_at(check.loc)}\n  call check_numerics in the body"
        )


def pass_checks_on(
    parent: Trace, checks: Sequence[Check], counts: Sequence[Value]
) -> None:
    """Make checks of a body checks of the trace around it, with their counts there."""
    for check, count in zip(checks, counts, strict=True):
        parent.checks.append(Check(None, count, check.message, check.loc))


# -- closing ---------------------------------------------------------------------------


def close(
    parent: Trace, regions: Sequence[Region], hoist: bool
) -> tuple[list[Value], list[SubGraph]]:
    """Make programs of the regions of one node.

    Args:
        parent: the trace around them.
        regions: their outputs are settled.
        hoist: whether what depends on no input moves out to the parent.

    Returns:
        The values the regions read of what is around them, which all of them take
        after their own inputs, and the regions.
    """
    graphs: list[Graph] = []
    for region in regions:
        b = region.trace.builder
        inputs = [*region.carries, *region.elements]
        if hoist:
            b.nodes = _hoisted(parent.builder, inputs, b.nodes, region.outputs)
        _pass_guards_on(b, parent.builder)
        graphs.append(dce(Graph("region", inputs, b.nodes, region.outputs, [])))
    free: dict[Value, None] = {}
    for graph in graphs:
        free.update(dict.fromkeys(free_values(graph)))
    return list(free), [closed(graph, list(free)) for graph in graphs]


def _pass_guards_on(b: Builder, around: Builder) -> None:
    known = {(g.left, g.right) for g in around.guards}
    around.guards += [g for g in b.guards if (g.left, g.right) not in known]


def _is_written_out(x: Value) -> bool:
    """Return whether a value is computed of nothing, so that a region has its own."""
    return x.node is not None and isinstance(x.node.primitive.form, Literal | Iota)


def _hoisted(
    around: Builder,
    inputs: Sequence[Value],
    nodes: Sequence[Node],
    outputs: Sequence[Value],
) -> list[Node]:
    """Move nodes that depend on no input to the builder around; returns the others.

    Nodes with effects stay. A view moves only with what reads it: it costs nothing
    where it is, and outside it may be an array.
    """
    inside = set(inputs)
    candidates: list[Node] = []
    stays: list[Node] = []
    for node in nodes:
        steady = not node.primitive.effects
        if steady and not any(x in inside for x in node.operands):
            candidates.append(node)
        else:
            stays.append(node)
            inside.update(node.results)
    moved: set[Node] = set()
    own = set(candidates)
    for node in reversed(candidates):
        if node in moved or not _is_worth_it(node):
            continue
        stack = [node]
        while stack:
            top = stack.pop()
            moved.add(top)
            stack += [
                x.node
                for x in top.operands
                if x.node is not None and x.node in own and x.node not in moved
            ]
    around.nodes += [node for node in nodes if node in moved]
    return [node for node in nodes if node not in moved]


def _is_worth_it(node: Node) -> bool:
    """Return whether a node is worth moving, and more than a literal could say."""
    if not is_worth_moving(node):
        return False
    known = all(_is_written_out(x) for x in node.operands)
    return not (known and all(x.type.shape == () for x in node.results))


def free_values(graph: Graph) -> list[Value]:
    """Return the values a region reads and does not define, in order."""
    inside = set(graph.inputs)
    for node in graph.nodes:
        inside.update(node.results)
    read = [x for node in graph.nodes for x in node.operands]
    return [
        x
        for x in dict.fromkeys([*read, *graph.outputs])
        if x not in inside and not _is_written_out(x)
    ]


def closed(graph: Graph, free: Sequence[Value]) -> SubGraph:
    """Return a region that takes what was free in it after its inputs."""
    inputs = [*graph.inputs, *free]
    made = {x: Value(x.type, None, k) for k, x in enumerate(inputs)}
    fresh = list(made.values())
    nodes: list[Node] = []
    literals: dict[Any, Value] = {}

    def new(x: Value) -> Value:
        found = made.get(x)
        if found is None:
            node = x.node
            assert node is not None, "free values are inputs by now"
            found = made[x] = _literal(node, literals, nodes)
        return found

    for node in graph.nodes:
        if isinstance(node.primitive.form, Literal | Iota):
            new(node.results[0])
            continue
        operands = tuple([new(x) for x in node.operands])
        kinds = [x.type for x in node.results]
        copy = Node(node.primitive, operands, node.params, kinds, node.loc)
        copy.checked = node.checked
        nodes.append(copy)
        made.update(zip(node.results, copy.results, strict=True))
    outputs = [new(x) for x in graph.outputs]
    names = [f"x{k}" for k in range(len(fresh))]
    shown = [f"out{k}" for k in range(len(outputs))]
    made_graph = Graph("region", fresh, nodes, outputs, names, output_names=shown)
    return SubGraph(with_sizes(made_graph))


def _literal(node: Node, known: dict[Any, Value], nodes: list[Node]) -> Value:
    """Return a node without operands as one of the region; equal ones are one."""
    kind = node.results[0].type
    params = {
        k: v.key if isinstance(v, ArrayConstant) else repr(v)
        for k, v in node.params.items()
    }
    key = (node.primitive, kind, tuple(sorted(params.items())))
    found = known.get(key)
    if found is None:
        copy = Node(node.primitive, (), node.params, [kind], node.loc)
        copy.checked = node.checked
        nodes.append(copy)
        found = known[key] = copy.results[0]
    return found
