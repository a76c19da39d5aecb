"""Dead code: drop nodes whose results nobody needs."""

from ..graph import Graph, Node
from ..primitive import Effect


def dce(graph: Graph) -> Graph:
    """Return the graph without nodes that no output needs; nodes that print stay.

    Cost: O(nodes + edges).
    """
    needed: set[Node | None] = {x.node for x in graph.outputs}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        effects = node.primitive.effects
        if node in needed or (effects and Effect.PRINTS in effects):
            kept.append(node)
            for x in node.operands:
                needed.add(x.node)
    if len(kept) == len(graph.nodes):
        return graph
    kept.reverse()
    return graph.replace(kept)
