"""What a schedule is made of: loop kernels in the making, other launches, buffers."""

from dataclasses import dataclass, field

from ..ir.constant import ArrayConstant
from ..ir.forms import Control, Gather, Print, Scatter
from ..ir.graph import Graph, Node, Value
from ..ir.types import Shape
from .memory import Buffer

OrderKey = tuple[int, ...]  # level, kind, number within, chunk


@dataclass(slots=True, eq=False)
class Group:
    """A loop kernel in the making: one space, one set of reduced axes."""

    key: OrderKey
    space: Shape
    reduced: tuple[int, ...]
    reduces: list[Node] = field(default_factory=list)
    stores: list[Value] = field(default_factory=list)
    copies: list[tuple[Value, Buffer]] = field(default_factory=list)
    members: list[Value] = field(default_factory=list)  # inlined or stored, in order


@dataclass(slots=True)
class Whole:
    """A launch that is no loop kernel: a contraction, an index check, and others."""

    key: OrderKey
    node: Node
    kind: str


@dataclass(slots=True)
class Turns:
    """Levels of a program that prints: what is seen happens in the program's order.

    What prints, what loops and what may fail takes turns: by level, and among launches
    of one level by number. A check comes first in its level, so one that stands after
    such a launch is in the next. Other programs have no turns: `kept` is False.
    """

    kept: bool
    level: int = 0
    checks: int = 0

    def take(self, node: Node, level: int) -> int:
        """Return the level of a node, at least the one its operands ask for."""
        if not self.kept:
            return level
        form = node.primitive.form
        checked = isinstance(form, Gather | Scatter)
        if not (checked or isinstance(form, Control | Print) or node.primitive.effects):
            return level
        self.level = max(level, self.level, self.checks if checked else 0)
        if not checked:
            self.checks = self.level + 1
        return self.level


@dataclass(slots=True)
class Schedule:
    """The decisions: groups and whole launches, and the buffer of each stored value."""

    graph: Graph
    groups: list[Group]
    wholes: list[Whole]
    buffers: dict[Value, Buffer]
    home: dict[Value, OrderKey]
    inlined_cost: dict[Value, int]
    constants: list[ArrayConstant]
    alias: dict[Value, Value]
    # by stored value: the launches that compute it again
    again: dict[Value, set[OrderKey]] = field(default_factory=dict)

    def memory(self, value: Value) -> Buffer:
        """Return the buffer a value is in, or is in as another one's memory."""
        while value not in self.buffers:
            value = self.alias[value]
        return self.buffers[value]
