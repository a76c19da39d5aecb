"""Local rewrites that change no bit of a result.

A rule gets a node and returns a value to stand for its result, a node to stand for it,
or None. What looks tempting and is wrong: x + 0 turns -0 into 0; x * 0 is NaN for
infinity. The rules of views are in `views`.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..graph import Graph, Node, Value
from ..ops import OPS
from . import views
from .rebuild import made_in_place, renew, renewed

Made = Value | Node | None
LocalRule = Callable[[Node], Made]

_ROUNDS = 8  # rewrites of one node; each rule makes it smaller


def _splat(x: Value) -> Any:
    """Return the number in every element of a constant, else None.

    Any: a bool, int, float; or an array or size, which no rule compares equal.
    """
    node = x.node
    if node is None or node.primitive.name != "constant":
        return None
    value = node.params["value"]
    return value if isinstance(value, (bool, int, float)) else None


def _is(x: Value, number: int) -> bool:
    value = _splat(x)
    return value is not None and not isinstance(value, bool) and value == number


def _is_zero(x: Value, sign: float) -> bool:
    """Return whether x is a float zero of this sign, or the integer 0."""
    if not _is(x, 0):
        return False
    return not x.type.dtype.is_float or math.copysign(1.0, _splat(x)) == sign


def _add(node: Node) -> Made:
    x, y = node.operands
    if _is_zero(y, -1.0):
        return x
    return y if _is_zero(x, -1.0) else None


def _sub(node: Node) -> Made:
    x, y = node.operands
    return x if _is_zero(y, 1.0) else None


def _mul(node: Node) -> Made:
    x, y = node.operands
    if _is(y, 1):
        return x
    if _is(x, 1):
        return y
    if _is(y, -1):
        return made_in_place(node, OPS["neg"], (x,))
    if _is(x, -1):
        return made_in_place(node, OPS["neg"], (y,))
    return None


def _div(node: Node) -> Made:
    x, y = node.operands
    return x if _is(y, 1) else None


def _neg(node: Node) -> Made:
    inner = node.operands[0].node
    if inner is not None and inner.primitive.name == "neg":
        return inner.operands[0]
    return None


def _fma(node: Node) -> Made:
    x, y, z = node.operands
    if _is(x, 1):
        return made_in_place(node, OPS["add"], (y, z))
    if _is(y, 1):
        return made_in_place(node, OPS["add"], (x, z))
    if _is_zero(z, -1.0):
        return made_in_place(node, OPS["mul"], (x, y))
    return None


def _power(node: Node) -> Made:
    return node.operands[0] if node.params["n"] == 1 else None


def _select(node: Node) -> Made:
    cond, x, y = node.operands
    held = _splat(cond)
    if held is not None:
        return x if held else y
    return x if x is y else None


def _cast(node: Node) -> Made:
    x = node.operands[0]
    return x if x.type.dtype is node.params["dtype"] else None


RULES: Mapping[str, LocalRule] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "div": _div,
    "neg": _neg,
    "fma": _fma,
    "integer_pow": _power,
    "select": _select,
    "cast": _cast,
    "broadcast_to": views.broadcast_to,
    "reshape": views.reshape,
    "transpose": views.transpose,
    "expand_dims": views.expand_dims,
    "squeeze": views.squeeze,
    "slice": views.slice_,
    "place": views.place,
    "concatenate": views.concatenate,
}


def simplify(graph: Graph) -> Graph:
    """Return the graph with local rewrites applied; what they leave unused stays.

    Cost: O(nodes + edges).
    """
    replaced: dict[Value, Value] = {}
    nodes: list[Node] = []
    for old in graph.nodes:
        node = renew(old, replaced) if replaced else old
        rule = RULES.get(node.primitive.name)
        if rule is None:
            nodes.append(node)
            continue
        made: Made = None
        for _ in range(_ROUNDS):
            made = rule(node)
            if not isinstance(made, Node):
                break
            node = made
            following = RULES.get(node.primitive.name)
            if following is None:
                made = None
                break
            rule = following
        if isinstance(made, Value):
            replaced[old.results[0]] = made
            continue
        nodes.append(node)
        if node is not old:
            replaced[old.results[0]] = node.results[0]
    if not replaced:
        return graph
    return graph.replace(nodes, renewed(graph.outputs, replaced))
