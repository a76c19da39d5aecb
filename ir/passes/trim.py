"""Trim control ops to the results that are needed: regions without what none reads."""

from collections.abc import Collection, Sequence

from ..forms import Control
from ..graph import Graph, Node, Value
from ..prints import loose, prints
from ..subgraph import SubGraph, late_size, mentioned_sizes, with_sizes
from .rebuild import renew, renewed


def _reach(graph: Graph, outputs: Collection[int]) -> tuple[set[int], list[Node]]:
    """Return the inputs and the nodes that some outputs of a region need."""
    wanted: set[Value] = {graph.outputs[k] for k in outputs}
    mentioned: set[str] = set()
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if (
            prints(node)
            or not wanted.isdisjoint(node.results)
            or (node.params and late_size(node) in mentioned)
        ):
            kept.append(node)
            wanted.update(node.operands)
            if node.params:
                mentioned |= mentioned_sizes(node)
    kept.reverse()
    return {k for k, x in enumerate(graph.inputs) if x in wanted}, kept


def _restrict(
    held: SubGraph, inputs: Sequence[int], outputs: Sequence[int]
) -> SubGraph:
    """Return a region with some inputs and outputs, in their order."""
    graph = held.graph
    _, kept = _reach(graph, outputs)
    taken = [graph.inputs[k] for k in inputs]
    fresh = [Value(x.type, None, k) for k, x in enumerate(taken)]
    replaced = dict(zip(taken, fresh, strict=True))
    nodes = [renew(node, replaced) for node in kept]
    out = Graph(
        graph.name,
        fresh,
        nodes,
        renewed([graph.outputs[k] for k in outputs], replaced),
        [graph.names[k] for k in inputs],
        output_names=[graph.output_names[k] for k in outputs],
    )
    return SubGraph(with_sizes(out))


def trim(
    node: Node, used: Sequence[bool], mentioned: Collection[str]
) -> tuple[Node, list[int]] | None:
    """Return a control op with fewer results or operands, or None where all are needed.

    Args:
        node: a control op.
        used: for each result whether something needs it.
        mentioned: the named sizes that something needs.

    Returns:
        The node, and for each of its results which one of `node` it is.
    """
    form = node.primitive.form
    assert isinstance(form, Control)
    if form.kind == "switch":
        return _trim_switch(node, used)
    if form.kind == "revolve":
        return _trim_revolve(node, used)
    return _trim_loop(loose(node), used, mentioned)


def _trim_switch(node: Node, used: Sequence[bool]) -> tuple[Node, list[int]] | None:
    branches: tuple[SubGraph, ...] = node.params["branches"]
    outputs = [k for k, needed in enumerate(used) if needed]
    read: set[int] = set()
    for branch in branches:
        read |= _reach(branch.graph, outputs)[0]
    inputs = sorted(read)
    if len(outputs) == len(used) and len(inputs) == len(node.operands) - 1:
        return None
    cut = tuple([_restrict(branch, inputs, outputs) for branch in branches])
    operands = (node.operands[0], *[node.operands[1 + k] for k in inputs])
    return _made(node, operands, {"branches": cut}, outputs), outputs


def _made(
    node: Node, operands: tuple[Value, ...], params: dict[str, object], kept: list[int]
) -> Node:
    types = [node.results[k].type for k in kept]
    return Node(node.primitive, operands, params, types, node.loc)


def _trim_loop(
    node: Node, used: Sequence[bool], mentioned: Collection[str]
) -> tuple[Node, list[int]] | None:
    params = node.params
    body: SubGraph = params["body"]
    carries, xs = params["carries"], params.get("xs", 0)
    stacks = [k for k in range(carries, len(used)) if used[k]]
    late = late_size(node)
    if late is not None and not stacks and late in mentioned:
        stacks = [carries]  # how long it was is needed
    live = {k for k in range(carries) if used[k]}
    cond: SubGraph | None = params.get("cond")
    asked: set[int] = set()
    if cond is not None:
        asked = _reach(cond.graph, [0])[0]
        live |= {k for k in asked if k < carries}
    while True:
        read = _reach(body.graph, [*live, *stacks])[0]
        more = {k for k in read if k < carries} - live
        if not more:
            break
        live |= more
    read |= asked
    kept_carries = sorted(live)
    rest = [k for k in range(carries, len(node.operands)) if k in read]
    outputs = [*kept_carries, *stacks]
    if len(outputs) == len(used) and len(kept_carries) + len(rest) == len(
        node.operands
    ):
        return None
    inputs = [*kept_carries, *rest]
    changed = {
        **params,
        "carries": len(kept_carries),
        "body": _restrict(body, inputs, outputs),
        "extends": None,
    }
    if "xs" in params:
        changed["xs"] = sum(k < carries + xs for k in rest)
    if cond is not None:
        changed["cond"] = _restrict(cond, inputs, [0])
        if not stacks:
            changed["trips"] = None
    operands = tuple([node.operands[k] for k in inputs])
    return _made(node, operands, changed, outputs), outputs


def _trim_revolve(node: Node, used: Sequence[bool]) -> tuple[Node, list[int]] | None:
    """Drop sums, cotangents of elements, and operands that neither region reads."""
    params = node.params
    body: SubGraph = params["body"]
    back: SubGraph = params["back"]
    carries, floats, sums, xs, ys = (
        params[k] for k in ("carries", "floats", "sums", "xs", "ys")
    )
    outputs = [k for k in range(len(used)) if k < floats or used[k]]
    read = _reach(back.graph, outputs)[0]
    forward = _reach(body.graph, range(carries))[0]
    first = carries + floats + sums  # of the sequences among the operands
    inner = floats + sums + carries  # of the elements among the inputs of `back`
    kept_sums = [k for k in range(sums) if used[floats + k]]
    kept_xs = [k for k in range(xs) if inner + k in read or carries + k in forward]
    kept_ys = [k for k in range(ys) if inner + xs + k in read]
    kept_fixed = [
        k
        for k in range(len(node.operands) - first - xs - ys)
        if inner + xs + ys + k in read or carries + xs + k in forward
    ]
    operands = [
        *range(carries + floats),
        *[carries + floats + k for k in kept_sums],
        *[first + k for k in kept_xs],
        *[first + xs + k for k in kept_ys],
        *[first + xs + ys + k for k in kept_fixed],
    ]
    if len(outputs) == len(used) and len(operands) == len(node.operands):
        return None
    taken = [
        *range(floats),
        *[floats + k for k in kept_sums],
        *range(floats + sums, inner),
        *[inner + k for k in kept_xs],
        *[inner + xs + k for k in kept_ys],
        *[inner + xs + ys + k for k in kept_fixed],
    ]
    run = [
        *range(carries),
        *[carries + k for k in kept_xs],
        *[carries + xs + k for k in kept_fixed],
    ]
    changed = {
        **params,
        "sums": len(kept_sums),
        "xs": len(kept_xs),
        "ys": len(kept_ys),
        "body": _restrict(body, run, range(carries)),
        "back": _restrict(back, taken, outputs),
    }
    given = tuple([node.operands[k] for k in operands])
    return _made(node, given, changed, outputs), outputs
