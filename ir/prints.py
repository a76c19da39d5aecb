"""What prints, and programs without it: for whatever runs a second time.

A loop that is run again for residuals, a branch whose adjoint runs it once more, steps
between checkpoints: the first run has printed already.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .forms import Control
from .graph import Graph, Node, Value
from .passes.rebuild import renew, renewed
from .primitive import Effect
from .subgraph import SubGraph, regions_of, with_sizes


def prints(node: Node) -> bool:
    """Return whether a node prints, or a region of it does."""
    primitive = node.primitive
    if primitive.effects and Effect.PRINTS in primitive.effects:
        return True
    if type(primitive.form) is not Control:
        return False
    return any(region_prints(held) for held in regions_of(node))


def region_prints(held: SubGraph) -> bool:
    """Return whether something in a region prints."""
    if held.prints is None:
        held.prints = any(prints(each) for each in held.graph.nodes)
    return held.prints


def graph_prints(graph: Graph) -> bool:
    """Return whether something in a program prints."""
    return any(prints(node) for node in graph.nodes)


def quiet_region(held: SubGraph) -> SubGraph:
    """Return a region without what prints; itself where nothing does.

    Equal regions stay equal.
    """
    if not region_prints(held):
        return held
    return SubGraph(with_sizes(quiet_graph(held.graph)))


def quiet_graph(graph: Graph) -> Graph:
    """Return a program without what prints."""
    nodes, outputs = quiet_nodes(graph.nodes, graph.outputs)
    return graph.replace(nodes, outputs)


def quiet_node(node: Node) -> Node | None:
    """Return a node that prints without that; None where it does nothing else."""
    if type(node.primitive.form) is not Control:
        return node if node.results else None
    params = {name: _quiet_param(value) for name, value in node.params.items()}
    types = [x.type for x in node.results]
    out = Node(node.primitive, node.operands, params, types, node.loc)
    out.checked = node.checked
    return out


def loose(node: Node) -> Node:
    """Return a loop that goes on from no other any more: that one prints, not it."""
    if node.params.get("extends") is None or not prints(node):
        return node
    return quiet_node(node) or node


def _quiet_param(value: Any) -> Any:  # Any: params are of any kind
    if type(value) is SubGraph:
        return quiet_region(value)
    if type(value) is tuple:
        return tuple([_quiet_param(x) for x in value])
    return value


def quiet_nodes(
    nodes: Iterable[Node],
    outputs: Sequence[Value] = (),
    wanted: Callable[[Node], bool] = prints,
) -> tuple[list[Node], list[Value]]:
    """Return nodes, and values of theirs, where those `wanted` do not print.

    Cost: O(nodes + edges).
    """
    replaced: dict[Value, Value] = {}
    out: list[Node] = []
    for old in nodes:
        node = renew(old, replaced)
        if wanted(old):
            quiet = quiet_node(node)
            if quiet is None:
                continue
            node = quiet
            replaced.update(zip(old.results, node.results, strict=True))
        out.append(node)
    return out, renewed(outputs, replaced)


__all__ = [
    "graph_prints",
    "loose",
    "prints",
    "quiet_graph",
    "quiet_node",
    "quiet_nodes",
    "quiet_region",
    "region_prints",
]
