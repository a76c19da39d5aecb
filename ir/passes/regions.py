"""Run the passes inside the regions of control ops."""

from collections.abc import Callable

from ..forms import Control
from ..graph import Graph, Node, Value
from ..subgraph import SubGraph, with_sizes
from .rebuild import renew, renewed


def in_regions(graph: Graph, passes: Callable[[Graph], Graph]) -> Graph:
    """Return the program with `passes` applied to every region of its nodes.

    Cost: that of the passes on each distinct region.
    """
    made: dict[SubGraph, SubGraph] = {}

    def improved(held: SubGraph) -> SubGraph:
        found = made.get(held)
        if found is None:
            region = passes(held.graph)
            same = region is held.graph
            found = made[held] = held if same else SubGraph(with_sizes(region))
        return found

    replaced: dict[Value, Value] = {}
    nodes: list[Node] = []
    for old in graph.nodes:
        node = renew(old, replaced)
        if type(node.primitive.form) is Control:
            params = {
                k: improved(v)
                if type(v) is SubGraph and k != "extends"
                else tuple([improved(x) for x in v])
                if k == "branches"
                else v
                for k, v in node.params.items()
            }
            if any(
                params[k] is not v for k, v in node.params.items() if k != "branches"
            ) or (params.get("branches") != node.params.get("branches")):
                types = [x.type for x in node.results]
                node = Node(node.primitive, node.operands, params, types, node.loc)
                replaced.update(zip(old.results, node.results, strict=True))
        nodes.append(node)
    if not replaced:
        return graph
    return graph.replace(nodes, renewed(graph.outputs, replaced))
