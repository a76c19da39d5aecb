"""The graph: values in single assignment, the nodes that define them, the program.

Nodes never change after they are made, so graphs share them: a pass returns a new list.
Nothing in a Value or a Node points to a Graph. Nothing here recurses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .loc import Loc
from .types import TensorType

if TYPE_CHECKING:
    from .primitive import Primitive

Params = Mapping[str, Any]  # Any: a param is a compile-time constant of any kind
NO_PARAMS: Params = {}  # one for all nodes without any


class Value:
    """A result of a node, or an input of a graph (node None).

    `cell` is what a tape holds of the value, its array among it; None in programs.
    """

    __slots__ = ("cell", "index", "node", "type")

    def __init__(self, type: TensorType, node: "Node | None", index: int) -> None:
        self.type = type
        self.node = node
        self.index = index
        self.cell: Any = None  # Any: the tracer's

    def __repr__(self) -> str:
        made = self.node.primitive.name if self.node else "input"
        return f"<Value {self.type} = {made}>"


class Node:
    """One application of a primitive."""

    __slots__ = ("checked", "loc", "operands", "params", "primitive", "results")

    def __init__(
        self,
        primitive: "Primitive",
        operands: tuple[Value, ...],
        params: Params,
        types: Sequence[TensorType],
        loc: Loc | None,
    ) -> None:
        self.primitive = primitive
        self.operands = operands
        self.params = params
        self.loc = loc
        self.checked = False
        self.results = tuple([Value(t, self, k) for k, t in enumerate(types)])

    def __repr__(self) -> str:
        return f"<Node {self.primitive.name}>"


@dataclass(frozen=True, slots=True)
class Guard:
    """An equality of sizes that is checked when the program is entered."""

    left: Any  # int | SizeExpr; the names are the graph's
    right: Any
    why: str
    loc: Loc | None = None


@dataclass(slots=True)
class Graph:
    """A program: inputs, nodes in order of definition, outputs.

    `names` has one name an input (the argument's path, for messages and headers);
    `sizes` lists the named sizes in order; `captures` are arrays bound when traced, the
    values of the last `len(captures)` inputs.
    """

    name: str
    inputs: list[Value]
    nodes: list[Node]
    outputs: list[Value]
    names: list[str]
    sizes: list[str] = field(default_factory=list)
    guards: list[Guard] = field(default_factory=list)
    captures: list[Any] = field(default_factory=list)  # np.ndarray
    output_names: list[str] = field(default_factory=list)

    def replace(
        self, nodes: list[Node], outputs: Sequence[Value] | None = None
    ) -> "Graph":
        """Return this program with other nodes (and outputs)."""
        return Graph(
            self.name,
            self.inputs,
            nodes,
            list(self.outputs if outputs is None else outputs),
            self.names,
            self.sizes,
            self.guards,
            self.captures,
            self.output_names,
        )
