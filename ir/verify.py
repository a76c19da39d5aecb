"""Check that a graph is well formed, after tracing and after every pass.

A violation is a defect of pullback, never of the user's program. The types of a node
are checked once in its life: nodes never change, and graphs share them.
"""

from typing import Any, NoReturn

from .errors import GraphError, OpTypeError
from .graph import Graph, Node
from .sizes import SizeExpr, names_in
from .subgraph import SubGraph, all_regions, late_size
from .text import RESERVED, node_text, number_values
from .types import TensorType

_AROUND = 5  # lines of IR shown before and after the node at fault


def _excerpt(graph: Graph, at: int) -> str:
    """Return the ten lines of IR around node `at`, with an arrow."""
    numbers = number_values(graph)
    first = max(0, min(at - _AROUND, len(graph.nodes) - 2 * _AROUND))
    return "\n".join(
        ("-> " if k == at else "   ") + node_text(graph.nodes[k], numbers)
        for k in range(first, min(len(graph.nodes), first + 2 * _AROUND))
    )


def _fail(graph: Graph, after: str, what: str, at: int | None = None) -> NoReturn:
    lines = "" if at is None or not graph.nodes else f"\n{_excerpt(graph, at)}"
    raise GraphError(f"{graph.name} after {after}: {what}{lines}")


def _check_head(graph: Graph, after: str) -> None:
    if len(graph.names) != len(graph.inputs):
        _fail(graph, after, f"{len(graph.inputs)} inputs, {len(graph.names)} names")
    if len(graph.output_names) != len(graph.outputs):
        _fail(
            graph,
            after,
            f"{len(graph.outputs)} outputs, {len(graph.output_names)} names",
        )
    if len(graph.captures) > len(graph.inputs):
        _fail(
            graph,
            after,
            f"{len(graph.captures)} captures, {len(graph.inputs)} inputs",
        )
    for k, x in enumerate(graph.inputs):
        if x.node is not None:
            _fail(graph, after, f"input {k} is the result of {x.node.primitive.name}")
        if x.index != k:
            _fail(graph, after, f"input {k} says it is input {x.index}")
    if len(set(graph.inputs)) != len(graph.inputs):
        _fail(graph, after, "an input is listed twice")
    for name in graph.sizes:
        if name in RESERVED or not name.isidentifier():
            _fail(graph, after, f"a size cannot be called {name!r}")
    if len(set(graph.sizes)) != len(graph.sizes):
        _fail(graph, after, "a size is listed twice")
    first = len(graph.inputs) - len(graph.captures)
    for x, array in zip(graph.inputs[first:], graph.captures, strict=True):
        if x.type.dtype.numpy != array.dtype or x.type.shape != array.shape:
            _fail(
                graph,
                after,
                f"capture {graph.names[x.index]} is {array.dtype}"
                f"{list(array.shape)}, its input {x.type}",
            )


def _check_types(node: Node) -> str | None:
    """Return what is wrong with a node by itself, or None."""
    name = node.primitive.name
    try:
        types = node.primitive.infer(*[x.type for x in node.operands], **node.params)
    except (OpTypeError, TypeError) as error:
        return f"{name} does not take these operands: {error}"
    if len(types) != len(node.results):
        return f"{name} has {len(node.results)} results, its type rule {len(types)}"
    for k, (x, wanted) in enumerate(zip(node.results, types, strict=True)):
        if x.type != wanted:
            return f"result {k} of {name} is {x.type}, its type rule says {wanted}"
        if x.node is not node or x.index != k:
            return f"result {k} of {name} does not point back to it"
    return None


class _Sizes:
    """Finds sizes the graph does not declare; every type object is looked at once."""

    def __init__(self, declared: list[str]) -> None:
        self.declared = set(declared)
        self.known: set[int] = set()  # types by identity, alive in the graph

    def unknown(self, size: object) -> str | None:
        if isinstance(size, SizeExpr):
            for name in sorted(names_in(size)):
                if name not in self.declared:
                    return name
        return None

    def in_type(self, kind: TensorType) -> str | None:
        self.known.add(id(kind))
        for size in kind.shape:
            name = self.unknown(size)
            if name is not None:
                return name
        return None

    def in_param(self, value: Any) -> str | None:  # Any: a param is of any kind
        if type(value) is TensorType:
            return None if id(value) in self.known else self.in_type(value)
        if type(value) is SizeExpr:
            return self.unknown(value)
        if type(value) is SubGraph:
            rest = [n for n in value.graph.sizes if n not in self.declared]
            return rest[0] if rest else None
        if type(value) is tuple:
            for item in value:
                name = self.in_param(item)
                if name is not None:
                    return name
        return None


def verify(graph: Graph, after: str) -> None:
    """Check a graph.

    Args:
        graph: the program; nodes it shares with a verified graph cost little.
        after: what was done last, for the message: "trace", or the name of a pass.

    Raises:
        GraphError: the graph is malformed; the message names `after` and has the lines
            of IR around the node.

    Cost: O(nodes + edges).
    """
    for held in all_regions(graph):
        if not held.verified:
            _verify(held.graph, f"{after}, {held!r}")
            held.verified = True
    _verify(graph, after)


def _verify(graph: Graph, after: str) -> None:
    _check_head(graph, after)
    sizes = _Sizes(graph.sizes)
    known = sizes.known
    defined = set(graph.inputs)
    for x in graph.inputs:
        name = sizes.in_type(x.type)
        if name is not None:
            _fail(graph, after, f"input {x.index} has size {name}: not declared")
    for at, node in enumerate(graph.nodes):
        for x in node.operands:
            if x not in defined:
                k = node.operands.index(x)
                _fail(graph, after, f"operand {k} is used before it is defined", at)
        if not node.checked:
            wrong = _check_types(node)
            if wrong is not None:
                _fail(graph, after, wrong, at)
            node.checked = True
        late = late_size(node) if node.params else None
        if late is not None:
            sizes.declared.add(late)
        for x in node.results:
            if x in defined:
                _fail(graph, after, "a result is defined twice", at)
            defined.add(x)
            if id(x.type) not in known:
                name = sizes.in_type(x.type)
                if name is not None:
                    _fail(graph, after, f"size {name} is not declared", at)
        if node.params:
            for value in node.params.values():
                name = sizes.in_param(value)
                if name is not None:
                    _fail(graph, after, f"size {name} is not declared", at)
    for k, x in enumerate(graph.outputs):
        if x not in defined:
            _fail(graph, after, f"output {k} is not defined")
    for guard in graph.guards:
        name = sizes.unknown(guard.left) or sizes.unknown(guard.right)
        if name is not None:
            _fail(graph, after, f"a guard has size {name}: not declared")
