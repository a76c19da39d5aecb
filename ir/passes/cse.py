"""Common subexpressions: nodes that compute the same thing become one.

Two nodes are the same if op, operands and params are. Params are compared by kind and
bits: 0.0 and -0.0, or 1 and 1.0 and True, differ.
"""

from typing import Any

from ..graph import Graph, Node, Params, Value
from ..prints import prints
from .rebuild import renew, renewed


def _key(value: Any) -> Any:  # Any: a param is of any kind, a key only hashable
    kind = type(value)
    if kind is float:
        return kind, value.hex()
    if kind is tuple:
        return tuple([_key(x) for x in value])
    if kind is bool or kind is int:
        return kind, value
    return value


def params_key(params: Params) -> Any:
    """Return a hashable value that is equal for equal params."""
    if not params:
        return None
    return tuple([(name, _key(params[name])) for name in sorted(params)])


def cse(graph: Graph) -> Graph:
    """Return the graph where every computation stands once; nodes that print all stay.

    Cost: O(nodes + edges).
    """
    seen: dict[Any, Node] = {}  # Any: op, operands, key of the params
    replaced: dict[Value, Value] = {}
    nodes: list[Node] = []
    for old in graph.nodes:
        node = renew(old, replaced) if replaced else old
        primitive = node.primitive
        if primitive.effects and prints(node):
            nodes.append(node)
            continue
        params = node.params
        key = (primitive, node.operands, params_key(params) if params else None)
        first = seen.setdefault(key, node)
        if first is node:
            nodes.append(node)
            continue
        replaced.update(zip(old.results, first.results, strict=True))
    if not replaced:
        return graph
    return graph.replace(nodes, renewed(graph.outputs, replaced))
