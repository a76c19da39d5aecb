"""Dead code: drop nodes whose results nobody needs, and what loops make for nobody."""

from ..forms import Control
from ..graph import Graph, Node, Value
from ..primitive import Effect
from ..prints import prints
from ..subgraph import late_size, mentioned_sizes
from .rebuild import renew, renewed
from .trim import trim


def dce(graph: Graph) -> Graph:
    """Return the graph without nodes that no output needs; nodes that print stay.

    Loops and choices keep the results that are needed alone.

    Cost: O(nodes + edges).
    """
    for node in graph.nodes:
        if type(node.primitive.form) is Control:
            return _with_control(graph)
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


def _with_control(graph: Graph) -> Graph:
    needed: set[Value] = set(graph.outputs)
    mentioned: set[str] = set()
    kept: list[tuple[Node, Node, list[int]]] = []
    changed = False
    for node in reversed(graph.nodes):
        late = late_size(node) if node.params else None
        used = [x in needed for x in node.results]
        if not (any(used) or (late in mentioned) or prints(node)):
            changed = True
            continue
        made, which = node, list(range(len(node.results)))
        if type(node.primitive.form) is Control:
            fewer = trim(node, used, mentioned)
            if fewer is not None:
                made, which = fewer
                changed = True
        needed.update(made.operands)
        if made.params:
            mentioned |= mentioned_sizes(made)
        kept.append((node, made, which))
    if not changed:
        return graph
    replaced: dict[Value, Value] = {}
    nodes: list[Node] = []
    for old, made, which in reversed(kept):
        node = renew(made, replaced)
        nodes.append(node)
        if node is not old:
            for k, x in zip(which, node.results, strict=True):
                replaced[old.results[k]] = x
    return graph.replace(nodes, renewed(graph.outputs, replaced))
