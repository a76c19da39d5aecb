"""Run a program over an array of inputs at once: values get one leading axis.

`batch` appends to a builder the nodes of a program with a new first axis on everything
that depends on what has it. What does not depend on it is left as it is, computed once.
Rules that a record does not state follow from its form.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_letters

from .builder import Builder
from .control_batching import Call, Steps, loop_batch, ragged, switch_batch
from .control_revolve import revolve_batch
from .errors import GraphError, OpTypeError
from .forms import Contract, Control, Factorize, Map, Reduce, Scan
from .graph import Graph, Node, Value
from .loc import traced_at
from .ops import OPS
from .ops.leading import lead, lead_all, moved
from .ops.reduction import some_axis
from .pause import collector_paused
from .primitive import Primitive, Rule
from .sizes import SizeExpr
from .types import TensorType

Size = int | SizeExpr


@dataclass(frozen=True, slots=True)
class Batched:
    """What became of a program's nodes.

    `values` has the batched form of each value that depends on a batched input;
    `starts` says how many nodes the builder had before each node, and after the last.
    """

    values: dict[Value, Value]
    starts: list[int]


def batch(
    b: Builder,
    nodes: Sequence[Node],
    batched: Mapping[Value, Value],
    size: Size,
    steps: Steps | None = None,
) -> Batched:
    """Append nodes with one leading axis on what depends on batched inputs.

    Args:
        b: where nodes go. Nodes that depend on no batched input are appended as they
            are, so they must not be in it yet.
        nodes: a program, in order of definition.
        batched: for each input that has the axis, its value with it.
        size: the size of the axis, which may be an expression of named sizes.
        steps: of loops that were batched before these nodes, what sizes became.

    Raises:
        OpTypeError: a batched input does not fit its input, or a rule its results.

    Cost: O(nodes + edges).
    """
    for x, wide in batched.items():
        if wide.type != x.type.with_shape((size, *x.type.shape)):
            raise OpTypeError(f"batch: {wide.type} is not {size} times {x.type}")
    program = list(nodes)
    values = dict(batched)
    starts: list[int] = []
    taken: Steps = {} if steps is None else steps
    outer = b.loc
    try:
        with collector_paused(len(program)):
            for node in program:
                starts.append(len(b.nodes))
                has = tuple([x in values for x in node.operands])
                if not any(has) and not (taken and ragged(node, taken)):
                    b.nodes.append(node)
                    continue
                b.loc = node.loc
                given = tuple([values.get(x, x) for x in node.operands])
                made = _run(b, node, size, has, given, taken)
                values.update(zip(node.results, made, strict=True))
    finally:
        b.loc = outer
    starts.append(len(b.nodes))
    return Batched(values, starts)


def _run(
    b: Builder,
    node: Node,
    size: Size,
    has: tuple[bool, ...],
    given: tuple[Value, ...],
    steps: Steps,
) -> Sequence[Value]:
    """Return a node's results with the axis, by its rule or its form."""
    op = node.primitive
    made: Sequence[Value]
    form = op.form
    if isinstance(form, Control):
        call = Call(b, node, size, has, given, batch, steps)
        if form.kind == "revolve":
            made = revolve_batch(call)
        elif form.kind == "switch":
            made = switch_batch(call)
        else:
            made = loop_batch(call)
    elif isinstance(op.batch, Rule):
        made = _derived(b, node, size, has, given)
    else:
        found = op.batch(b, size, has, *given, **node.params)
        made = (found,) if isinstance(found, Value) else found
    for y, wide in zip(node.results, made, strict=True):
        wanted = y.type.with_shape((size, *y.type.shape))
        if wide.type != wanted:
            raise OpTypeError(
                f"batching rule of {op.name}: {wide.type} for {wanted}"
                f"{traced_at(node.loc)}"
            )
    return made


def _derived(
    b: Builder, node: Node, size: Size, has: tuple[bool, ...], given: tuple[Value, ...]
) -> Sequence[Value]:
    op, params = node.primitive, node.params
    form = op.form
    if isinstance(form, Map):
        return b.apply(op, lead_all(b, size, has, given), params)
    if isinstance(form, Reduce):
        return b.apply(op, *some_axis(b, given[0], moved(params["axes"])))
    if isinstance(form, Scan):
        wide = lead_all(b, size, has, given)
        return b.apply(op, wide, {**params, "axis": params["axis"] + 1})
    if isinstance(form, Contract):
        used = {*params["lhs"], *params["rhs"]}
        label = next(c for c in ascii_letters if c not in used)
        labels = {
            "lhs": label * has[0] + params["lhs"],
            "rhs": label * has[1] + params["rhs"],
            "out": label + params["out"],
        }
        return b.apply(op, given, labels)
    if isinstance(form, Factorize):  # its leading axes are a batch already
        return b.apply(op, lead_all(b, size, has, given), params)
    raise GraphError(f"{op.name} has no batching rule, and none follows from its form")


def batch_graph(
    graph: Graph,
    batched: Sequence[bool],
    size: Size,
    *,
    table: Mapping[str, Primitive] = OPS,
) -> Graph:
    """Return a program whose marked inputs, and all outputs, have one leading axis.

    Args:
        graph: the program.
        batched: whether each input that is no capture gets the axis.
        size: its size; a name that is new is one that inputs must show.
        table: the ops that rules may use.

    Raises:
        OpTypeError: a rule does not fit its results.
    """
    b = Builder(table)
    b.guards = list(graph.guards)
    b.captures = list(graph.captures)
    b.sizes = list(graph.sizes)
    if isinstance(size, SizeExpr) and str(size) not in b.sizes:
        b.sizes.append(str(size))
    has = [*batched, *[False] * len(graph.captures)]
    wide: dict[Value, Value] = {}
    for x, name, with_axis in zip(graph.inputs, graph.names, has, strict=True):
        if with_axis:
            kind: TensorType = x.type.with_shape((size, *x.type.shape))
            wide[x] = b.input(kind, name)
        else:
            b.inputs.append(x)
            b.names.append(name)
    made = batch(b, graph.nodes, wide, size).values
    outputs = [lead(b, size, y in made, made.get(y, y)) for y in graph.outputs]
    return b.finish(graph.name, outputs, graph.output_names)
