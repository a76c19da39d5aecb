"""Put the summed labels of a contraction side by side in both operands.

A matrix multiplication sums over one axis. Where a contraction sums over several, its
operands are transposed so that they are adjacent and in one order: one axis in memory.
Not an optimisation: lowering asks for it.
"""

from ..forms import Contract
from ..graph import Graph, Node, Value
from ..ops.views import transpose
from .rebuild import renew, renewed


def summed_labels(node: Node) -> list[str]:
    """Return the labels a contraction sums over, in the order of its first operand."""
    out = node.params["out"]
    return [c for c in node.params["lhs"] if c not in out]


def _adjacent(labels: str, summed: list[str]) -> bool:
    return "".join(summed) in labels


def adjoin(graph: Graph) -> Graph:
    """Return the program with transposed operands where labels are apart."""
    replaced: dict[Value, Value] = {}
    nodes: list[Node] = []
    for old in graph.nodes:
        node = renew(old, replaced)
        if isinstance(node.primitive.form, Contract):
            node = _adjoined(node, nodes)
            if node is not old:
                replaced.update(zip(old.results, node.results, strict=True))
        nodes.append(node)
    if not replaced:
        return graph
    return graph.replace(nodes, renewed(graph.outputs, replaced))


def _adjoined(node: Node, nodes: list[Node]) -> Node:
    summed = summed_labels(node)
    if len(summed) < 2:
        return node
    labels = {"lhs": node.params["lhs"], "rhs": node.params["rhs"]}
    operands: list[Value] = []
    for side, x in zip(labels, node.operands, strict=True):
        if not _adjacent(labels[side], summed):
            order = [c for c in labels[side] if c not in summed] + summed
            axes = tuple(labels[side].index(c) for c in order)
            types = transpose.infer(x.type, axes=axes)
            moved = Node(transpose, (x,), {"axes": axes}, types, node.loc)
            nodes.append(moved)
            labels[side] = "".join(order)
            x = moved.results[0]
        operands.append(x)
    if tuple(operands) == node.operands:
        return node
    params = {**node.params, **labels}
    results = [x.type for x in node.results]
    return Node(node.primitive, tuple(operands), params, results, node.loc)
