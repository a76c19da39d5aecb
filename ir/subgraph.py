"""Closed sub-graphs: the regions that control ops hold as params.

A region reads nothing but its inputs: what it takes from around it is an operand of its
node. Regions are compared by content, so equal loops are one loop.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from .digest import sha256_hex
from .errors import GraphError
from .forms import Control
from .graph import Graph, Node
from .sizes import SizeExpr, names_in
from .types import TensorType


class SubGraph:
    """A program that is a param of a node; it has no captures, guards or own sizes."""

    __slots__ = ("_key", "graph", "prints", "verified")

    def __init__(self, graph: Graph) -> None:
        if graph.captures or graph.guards:
            raise GraphError(f"{graph.name}: a region has captures or guards")
        self.graph = graph
        self.verified = False
        self.prints: bool | None = None  # once somebody asked
        self._key: str | None = None

    @property
    def key(self) -> str:
        """The hash of the region's text."""
        if self._key is None:
            # lazy: text writes regions too
            from .text import region_lines

            self._key = sha256_hex(["\n".join(region_lines(self.graph)).encode()])[:16]
        return self._key

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, SubGraph) and self.key == other.key)

    def __repr__(self) -> str:
        return f"&{self.key}"

    @property
    def takes(self) -> tuple[TensorType, ...]:
        """The types of its inputs."""
        return tuple([x.type for x in self.graph.inputs])

    @property
    def gives(self) -> tuple[TensorType, ...]:
        """The types of its outputs."""
        return tuple([x.type for x in self.graph.outputs])


def regions_of(node: Node) -> Iterator[SubGraph]:
    """Yield the regions among the params of a node."""
    for name in sorted(node.params):
        held = node.params[name]
        if type(held) is SubGraph:
            yield held
        elif type(held) is tuple:
            for item in held:
                if type(item) is SubGraph:
                    yield item


def all_regions(graph: Graph) -> list[SubGraph]:
    """Return the regions of a graph, each once, those within others before them."""
    found: dict[str, SubGraph] = {}
    stack: list[tuple[SubGraph | None, Iterator[SubGraph]]] = [(None, _direct(graph))]
    while stack:
        owner, rest = stack[-1]
        following = next(rest, None)
        if following is None:
            stack.pop()
            if owner is not None:
                found.setdefault(owner.key, owner)
        elif following.key not in found:
            stack.append((following, _direct(following.graph)))
    return list(found.values())


def _direct(graph: Graph) -> Iterator[SubGraph]:
    for node in graph.nodes:
        if type(node.primitive.form) is Control:
            yield from regions_of(node)


def late_size(node: Node) -> str | None:
    """Return the name of the size that a node binds when it runs, or None."""
    length = node.params.get("trips")
    return str(length) if isinstance(length, SizeExpr) else None


def late_sizes(nodes: Sequence[Node]) -> list[str]:
    """Return the sizes that nodes bind, in order: those of loops that keep values.

    A loop that is run again binds the same size to the same number.
    """
    found: dict[str, None] = {}
    for node in nodes:
        name = late_size(node) if node.params else None
        if name is not None:
            found[name] = None
    return list(found)


def sizes_of(graph: Graph) -> list[str]:
    """Return the names of the sizes that a region's inputs and params mention."""
    known: dict[str, None] = {}
    for x in graph.inputs:
        for d in x.type.shape:
            known.update(dict.fromkeys(sorted(names_in(d))))
    for node in graph.nodes:
        for value in node.params.values():
            for name in param_names(value):
                known[name] = None
    bound = set(late_sizes(graph.nodes))
    return [name for name in known if name not in bound]


def mentioned_sizes(node: Node) -> set[str]:
    """Return the names in a node's params and in the types of its results."""
    found = {name for value in node.params.values() for name in param_names(value)}
    for x in node.results:
        for d in x.type.shape:
            found |= names_in(d)
    return found


def param_names(value: Any) -> Iterator[str]:  # Any: a param is of any kind
    """Yield the sizes a param mentions."""
    if isinstance(value, SizeExpr):
        yield from sorted(names_in(value))
    elif isinstance(value, TensorType):
        for d in value.shape:
            yield from sorted(names_in(d))
    elif isinstance(value, tuple):
        for item in value:
            yield from param_names(item)
    elif isinstance(value, SubGraph):
        yield from value.graph.sizes


def with_sizes(graph: Graph) -> Graph:
    """Return a region's graph that declares exactly the sizes it mentions."""
    sizes = sorted(sizes_of(graph))
    if sizes == graph.sizes:
        return graph
    out = graph.replace(graph.nodes)
    out.sizes = sizes
    return out
