"""Fold: nodes over constants become constants, bit for bit.

Only ops whose reference is correctly rounded are evaluated. A constant that is the same
everywhere is folded as one element, whatever its size; an array up to `LIMIT` elements.
"""

from typing import Any

import numpy as np

from ..constant import ArrayConstant
from ..errors import GraphError
from ..forms import Map, View
from ..graph import Graph, Node, Value
from ..primitive import Primitive, as_results
from ..sizes import SizeExpr
from ..types import TensorType
from .rebuild import renew, renewed

LIMIT = 64  # elements of an array that is folded

Array = np.ndarray[Any, np.dtype[Any]]


def constant_node(constant: Primitive, value: Any, like: Value, node: Node) -> Node:
    """Return a constant of the type of `like`, in place of `node`.

    Any: a number, a size or an array constant.
    """
    params = {"type": like.type, "value": value}
    out = Node(constant, (), params, (like.type,), node.loc)
    out.checked = True
    return out


def _static_shape(kind: TensorType) -> tuple[int, ...] | None:
    """Return the shape if it is constant and not too big, else None."""
    count, shape = 1, []
    for d in kind.shape:
        if isinstance(d, SizeExpr):
            return None
        count *= d
        shape.append(d)
    return tuple(shape) if count <= LIMIT else None


def _as_array(x: Value, value: Any, one: bool) -> Array | None:
    """Return a constant as an array; as one element if `one`; None if it is too big."""
    if isinstance(value, ArrayConstant):
        return None if one or value.array.size > LIMIT else value.array
    shape = () if one else _static_shape(x.type)
    return None if shape is None else np.full(shape, value, x.type.dtype.numpy)


def _as_param(made: Array) -> Any:
    """Return what is held as a constant: one number if all elements have its bits."""
    if made.size == 0:
        return np.zeros((), made.dtype).item()
    first = made.ravel()[:1].tobytes()
    if made.tobytes() == first * made.size:
        return made.ravel()[0].item()
    return ArrayConstant(made)


def _evaluate(node: Node, values: list[Any]) -> list[Any] | None:
    """Return the values of the results, or None where they are not to be folded."""
    form = node.primitive.form
    one = isinstance(form, Map) and not any(
        isinstance(v, ArrayConstant) for v in values
    )
    if not one and any(_static_shape(x.type) is None for x in node.results):
        return None
    if any(isinstance(v, SizeExpr) for p in node.params.values() for v in _flat(p)):
        return None
    arrays = [_as_array(x, v, one) for x, v in zip(node.operands, values, strict=True)]
    if any(a is None for a in arrays):
        return None
    with np.errstate(all="ignore"):
        made = as_results(node.primitive.evaluate(*arrays, **node.params))
    for x, array in zip(node.results, made, strict=True):
        if array.dtype != x.type.dtype.numpy:
            raise GraphError(
                f"the reference of {node.primitive.name} gave {array.dtype},"
                f" its type rule {x.type}"
            )
    return [_as_param(array) for array in made]


def _flat(param: Any) -> tuple[Any, ...]:  # Any: params of any kind
    return param if isinstance(param, tuple) else (param,)


def _folded(node: Node, values: list[Any]) -> list[Any] | None:
    primitive = node.primitive
    if not primitive.exact or primitive.effects:
        return None
    if isinstance(primitive.form, View) and not isinstance(values[0], ArrayConstant):
        return [values[0]]  # a view of the same everywhere is the same everywhere
    if any(isinstance(v, SizeExpr) for v in values):
        return None
    return _evaluate(node, values)


def fold(graph: Graph) -> Graph:
    """Return the graph with constants computed.

    Cost: O(nodes + edges).
    """
    known: dict[Value, Any] = {}  # Any: the param `value` of a constant
    constant: Primitive | None = None
    replaced: dict[Value, Value] = {}
    nodes: list[Node] = []
    for old in graph.nodes:
        operands = old.operands
        if not operands:
            if old.primitive.name == "constant":
                constant = old.primitive
                known[old.results[0]] = old.params["value"]
            nodes.append(old)
            continue
        for x in operands:
            if x not in known:
                break
        else:
            assert constant is not None, "constants are known and none was met"
            made = _folded(old, [known[x] for x in operands])
            if made is not None:
                for x, value in zip(old.results, made, strict=True):
                    node = constant_node(constant, value, x, old)
                    nodes.append(node)
                    known[x] = value
                    replaced[x] = node.results[0]
                continue
        nodes.append(renew(old, replaced) if replaced else old)
    if not replaced:
        return graph
    return graph.replace(nodes, renewed(graph.outputs, replaced))
