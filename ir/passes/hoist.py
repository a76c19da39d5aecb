"""Hoist: what a loop computes anew in every step, and is the same in all, moves out.

Adjoint steps are full of it: what they recompute of invariants. Cheap ops on arrays
stay where they are: fused into what reads them they cost no more than a read.
"""

from ..forms import Control, Iota, Literal, View
from ..graph import Graph, Node, Value
from ..primitive import Cost
from ..sizes import SizeExpr, product
from ..subgraph import SubGraph, with_sizes
from .rebuild import renew, renewed, with_operands

SMALL = 16  # elements of a result that moves whatever it costs


def _moves(node: Node) -> bool:
    """Return whether a node alone is worth moving."""
    if isinstance(node.primitive.form, View | Literal | Iota):
        return False
    if node.primitive.cost is not Cost.CHEAP:
        return True
    count = product(node.results[0].type.shape)
    return not isinstance(count, SizeExpr) and count <= SMALL


def _steady(node: Node) -> list[Node]:
    """Return the nodes of a loop's body that move out, in order."""
    params = node.params
    graph = params["body"].graph
    varying = set(graph.inputs[: params["carries"] + params.get("xs", 0)])
    candidates: list[Node] = []
    for each in graph.nodes:
        if each.primitive.effects or any(x in varying for x in each.operands):
            varying.update(each.results)
        else:
            candidates.append(each)
    wanted: set[Node] = set()
    for each in reversed(candidates):
        if each in wanted or _moves(each):
            wanted.add(each)
            wanted.update([x.node for x in each.operands if x.node is not None])
    return [each for each in candidates if each in wanted]


def _without(
    node: Node, moved: list[Node], replaced: dict[Value, Value]
) -> tuple[list[Node], Node]:
    """Return nodes for around a loop, and the loop that reads their results."""
    params = node.params
    graph: Graph = params["body"].graph
    # those of carries and elements are of no use: nothing that moves reads them
    outside = dict(zip(graph.inputs, node.operands, strict=True))
    around: list[Node] = []
    for each in moved:
        out = with_operands(each, tuple([outside.get(x, x) for x in each.operands]))
        outside.update(zip(each.results, out.results, strict=True))
        around.append(out)
    gone = set(moved)
    rest = [each for each in graph.nodes if each not in gone]
    made = {x for each in moved for x in each.results}
    read: dict[Value, None] = {}
    for each in rest:
        read.update(dict.fromkeys([x for x in each.operands if x in made]))
    read.update(dict.fromkeys([x for x in graph.outputs if x in made]))
    # numbers and positions are made again where they are read
    again = [x for x in read if x.node is not None and not x.node.operands]
    kept = {x.node for x in again}
    rest = [each for each in graph.nodes if each not in gone or each in kept]
    taken = [x for x in read if x not in again]
    first = len(graph.inputs)
    added = [Value(x.type, None, first + k) for k, x in enumerate(taken)]
    inner = dict(zip(taken, added, strict=True))
    body = graph.replace(
        [renew(each, inner) for each in rest], renewed(graph.outputs, inner)
    )
    body.inputs = [*graph.inputs, *added]
    body.names = [*graph.names, *[f"steady{k}" for k in range(len(added))]]
    changed = {**params, "body": SubGraph(with_sizes(body))}
    if "cond" in params:
        changed["cond"] = _with_more(params["cond"], added)
    loop = Node(
        node.primitive,
        (*node.operands, *[outside[x] for x in taken]),
        changed,
        [x.type for x in node.results],
        node.loc,
    )
    replaced.update(zip(node.results, loop.results, strict=True))
    return around, loop


def _with_more(held: SubGraph, added: list[Value]) -> SubGraph:
    graph = held.graph.replace(held.graph.nodes)
    first = len(graph.inputs)
    more = [Value(x.type, None, first + k) for k, x in enumerate(added)]
    graph.inputs = [*graph.inputs, *more]
    graph.names = [*graph.names, *[f"steady{k}" for k in range(len(more))]]
    return SubGraph(with_sizes(graph))


def hoist(graph: Graph) -> Graph:
    """Return the program with steady nodes of loops moved before them.

    Cost: O(nodes + edges) of the program and of the bodies of its loops.
    """
    replaced: dict[Value, Value] = {}
    nodes: list[Node] = []
    for old in graph.nodes:
        node = renew(old, replaced)
        form = node.primitive.form
        if type(form) is Control and form.kind in ("while", "scan"):
            moved = _steady(node)
            if any(not isinstance(n.primitive.form, Literal | Iota) for n in moved):
                around, node = _without(node, moved, replaced)
                replaced.update(zip(old.results, node.results, strict=True))
                nodes += around
        nodes.append(node)
    if not replaced:
        return graph
    return graph.replace(nodes, renewed(graph.outputs, replaced))
