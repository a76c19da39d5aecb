"""Decide what becomes a kernel, what lives in memory, and in which order kernels run.

Every value is inlined into its consumers unless it must or should be stored. A value's
level is the earliest round of kernels that can compute it: reading memory that a kernel
of level L wrote needs level L + 1. Results of one level and one space share one loop,
forward and adjoint alike. Cost: O(nodes); nothing recurses.
"""

from ..ir.constant import ArrayConstant
from ..ir.errors import GraphError
from ..ir.forms import (
    Contract,
    Control,
    Factorize,
    Gather,
    Iota,
    Literal,
    Map,
    Place,
    Print,
    Reduce,
    Rows,
    Scan,
    Scatter,
    View,
)  # fmt: skip
from ..ir.graph import Graph, Node, Value
from ..ir.passes.adjoin import summed_labels
from ..ir.prints import graph_prints
from ..ir.sizes import names_in
from ..ir.subgraph import late_size, param_names
from ..ir.types import Shape
from .control import stored_operands
from .cost import node_cost
from .launches import Group, OrderKey, Schedule, Turns, Whole
from .memory import Buffer
from .views import grows, has_split, is_alias, strip_views

RECOMPUTE = 24  # a value dearer than this is stored if a view of it is read
REPEAT = 8  # the same for a value several kernels of its own space need
EXPAND = 2  # the same for a value a broadcast repeats
UNBOUNDED = 1 << 30


class Scheduler:
    """Builds the schedule of one graph. `fuse` False stores every single result."""

    def __init__(self, graph: Graph, fuse: bool = True) -> None:
        self.graph = graph
        self.fuse = fuse
        self.buffers: dict[Value, Buffer] = {}
        self.constants: list[ArrayConstant] = []
        self.alias: dict[Value, Value] = {}
        self.forced: set[Value] = set()
        self.pinned: set[Value] = set()  # contractions read them, not what they view
        self.in_space: dict[Value, int] = {}
        self.elsewhere: dict[Value, int] = {}
        self.expanded: set[Value] = set()
        self.cost: dict[Value, int] = {}
        self.register: dict[Value, int] = {}
        self.memory: dict[Value, int] = {}
        self.stored: set[Value] = set()
        self.home: dict[Value, OrderKey] = {}
        self.groups: dict[tuple[int, Shape, tuple[int, ...]], Group] = {}
        self.wholes: list[Whole] = []
        self.bound: dict[str, int] = {}  # when a size that a loop binds is known
        self.turns: Turns | None = Turns() if graph_prints(graph) else None
        self._outputs: list[tuple[Value, Buffer]] = []

    def run(self) -> Schedule:
        """Return the schedule."""
        self._inputs()
        self._count_uses()
        self._place_outputs()
        self._levels()
        self._copies()
        self._homes()
        groups = sorted(self.groups.values(), key=lambda g: g.key)
        return Schedule(
            self.graph,
            [g for g in groups if g.reduces or g.stores or g.copies],
            self.wholes,
            self.buffers,
            self.home,
            self.cost,
            self.constants,
            self.alias,
        )

    # -- what must be in memory --------------------------------------------------------

    def _inputs(self) -> None:
        for k, value in enumerate(self.graph.inputs):
            self.buffers[value] = Buffer("input", value.type, k)
            self.register[value] = self.memory[value] = 0
            self.cost[value] = 1

    def _constant(self, value: Value, held: ArrayConstant) -> None:
        for k, known in enumerate(self.constants):
            if known == held:
                number = k
                break
        else:
            number = len(self.constants)
            self.constants.append(held)
        self.buffers[value] = Buffer("constant", value.type, number, constant=held)

    def _is_leaf(self, value: Value) -> bool:
        return value in self.buffers or value in self.pinned

    def _force(self, value: Value) -> None:
        """Demand that a value be in memory."""
        if value not in self.buffers:
            self.forced.add(value)

    def _count_uses(self) -> None:
        in_space, elsewhere = self.in_space, self.elsewhere
        for node in self.graph.nodes:
            form = node.primitive.form
            if isinstance(form, Map | Reduce):
                for x in node.operands:
                    in_space[x] = in_space.get(x, 0) + 1
                continue
            if isinstance(form, Literal):
                held = node.params["value"]
                if isinstance(held, ArrayConstant):
                    self._constant(node.results[0], held)
                continue
            if isinstance(form, View):
                (x,) = node.operands
                out = node.results[0]
                elsewhere[x] = elsewhere.get(x, 0) + 1
                if grows(x.type.shape, out.type.shape):
                    self.expanded.add(x)
                if has_split(node):
                    self._force(x)
                    if is_alias(node):
                        self.alias[out] = x
                continue
            if isinstance(form, Contract):
                if len(summed_labels(node)) > 1:
                    # they are one axis of the operands as such, not of what they view
                    self.pinned.update(node.operands)
                for x in node.operands:
                    self._force(strip_views(x, self._is_leaf)[0])
                continue
            if isinstance(form, Scatter | Scan | Factorize | Rows | Print):
                for x in node.operands:
                    self._force(x)
                continue
            if isinstance(form, Control):
                for k in stored_operands(node):
                    self._force(node.operands[k])
                continue
            for x in node.operands:
                elsewhere[x] = elsewhere.get(x, 0) + 1
            if isinstance(form, Gather):
                self._force(node.operands[1])
                if grows(node.operands[0].type.shape, node.results[0].type.shape):
                    self.expanded.add(node.operands[0])

    def _place_outputs(self) -> None:
        for k, value in enumerate(self.graph.outputs):
            base = value
            while (
                base not in self.buffers
                and base.node is not None
                and isinstance(base.node.primitive.form, View)
                and base.node.operands[0] not in self.buffers
                and is_alias(base.node)
            ):
                base = base.node.operands[0]
            buffer = Buffer("output", value.type, k)
            literal = base.node is not None and isinstance(
                base.node.primitive.form, Literal | Iota
            )
            if base in self.buffers or base in self.alias or literal:
                self._outputs.append((value, buffer))
            else:
                self.buffers[base] = buffer
                self.forced.add(base)

    # -- levels ------------------------------------------------------------------------

    def _store_decision(self, value: Value, cost: int) -> bool:
        if value in self.forced or not self.fuse:
            return True
        uses = self.elsewhere.get(value, 0)
        if not uses:
            return False
        if value in self.expanded:
            return cost > (12 if not value.type.shape else EXPAND)
        return cost > RECOMPUTE

    def _settle(self, value: Value, level: int, cost: int) -> None:
        """Record a value computed in registers at `level`."""
        self.register[value] = level
        if self._store_decision(value, cost):
            self.stored.add(value)
            self.memory[value] = level + 1
            self.cost[value] = 1
        else:
            self.memory[value] = level
            self.cost[value] = min(cost, UNBOUNDED)

    def _levels(self) -> None:
        memory, cost = self.memory, self.cost
        # unfused, a map waits until its operands are in memory
        register = self.register if self.fuse else self.memory
        for node in self.graph.nodes:
            form = node.primitive.form
            least = self._least(node) if self.bound else 0
            if isinstance(form, Map):
                level, total = least, node_cost(node)
                for x in node.operands:
                    level = max(level, register[x])
                    total += cost[x]
                for out in node.results:
                    self._settle(out, level, total)
            elif isinstance(form, Literal | Iota):
                out = node.results[0]
                self.register[out] = memory[out] = least
                cost[out] = 0
                if out in self.forced:
                    self.stored.add(out)
                    memory[out] = least + 1
            elif isinstance(form, Reduce):
                (x,) = node.operands
                level = max(register[x], least)
                group = self._group(level, x.type.shape, node.params["axes"], 0)
                group.reduces.append(node)
                self._computed(node, group.key)
            elif isinstance(form, Contract):
                bases = [strip_views(x, self._in_memory)[0] for x in node.operands]
                level = max(least, *(memory[x] for x in bases))
                self._whole(node, "contract", level)
            elif isinstance(form, Scatter):
                level = max(least, *(memory[self._base(x)] for x in node.operands))
                level = self._turn(node, level)
                self._whole(node, "check", level)
                self._whole(node, "scatter", level)
            elif isinstance(form, Scan | Factorize | Rows | Print):
                level = max([least, *(memory[self._base(x)] for x in node.operands)])
                self._whole(node, "whole", self._turn(node, level))
            elif isinstance(form, Control):
                reads = [node.operands[k] for k in stored_operands(node)]
                level = max(least, *(memory[self._base(x)] for x in reads), 0)
                level = self._turn(node, level)
                self._whole(node, "whole", level)
                name = late_size(node)
                if name is not None:
                    self.bound[name] = level + 1
            elif isinstance(form, View):
                (x,) = node.operands
                out = node.results[0]
                if out in self.alias:
                    self.register[out] = memory[out] = max(memory[x], least)
                    cost[out] = 1
                else:
                    self._settle(out, max(memory[x], least), cost[x])
            elif isinstance(form, Place | Gather):
                level = max((memory[x] for x in node.operands), default=0)
                level = max(level, least)
                total = node_cost(node) + sum(cost[x] for x in node.operands)
                if isinstance(form, Gather):
                    at = memory[self._base(node.operands[1])]
                    at = self._turn(node, max(at, least))
                    level = max(level, at)
                    self._check(node, at)
                for out in node.results:
                    self._settle(out, level, total)
            else:
                raise GraphError(f"no schedule for the form of {node.primitive.name}")

    def _least(self, node: Node) -> int:
        """Return the level where every size a node mentions is known."""
        names: set[str] = set()
        for x in (*node.results, *node.operands):
            for d in x.type.shape:
                names |= names_in(d)
        names.update(param_names(tuple(node.params.values())))
        return max((self.bound.get(name, 0) for name in names), default=0)

    def _turn(self, node: Node, level: int) -> int:
        """Return the level of what runs, or may fail, in the program's order."""
        return level if self.turns is None else self.turns.take(node, level)

    def _base(self, value: Value) -> Value:
        return self.alias.get(value, value)

    def _in_memory(self, value: Value) -> bool:
        return value in self.buffers or value in self.stored or value in self.alias

    def _computed(self, node: Node, key: OrderKey) -> None:
        """Record results that a launch of order `key` leaves in memory."""
        for out in node.results:
            self.stored.add(out)
            self.register[out] = self.memory[out] = key[0] + 1
            self.cost[out] = 1
            self.home[out] = key
            if out not in self.buffers:
                self.buffers[out] = Buffer("work", out.type)

    def _whole(self, node: Node, kind: str, level: int) -> None:
        key = (level, -1 if kind == "check" else 2, len(self.wholes))
        self.wholes.append(Whole(key, node, kind))
        if kind != "check":
            self._computed(node, key)

    def _check(self, node: Node, level: int) -> None:
        self._whole(node, "check", level)

    # -- kernels -----------------------------------------------------------------------

    def _group(
        self, level: int, space: Shape, reduced: tuple[int, ...], kind: int
    ) -> Group:
        key = (level, space, reduced)
        found = self.groups.get(key)
        if found is None:
            order = (level, kind, len(self.groups))
            found = self.groups[key] = Group(order, space, reduced)
        return found

    def _store_group(self, value: Value) -> Group:
        """Return the group that stores a map's result if no consumer's does."""
        level, space = self.register[value], value.type.shape
        last = len(space) - 1
        if self.fuse:
            whole = self.groups.get((level, space, tuple(range(len(space)))))
            if whole is not None and whole.reduces:
                return whole
            inner = self.groups.get((level, space, (last,)))
            if inner is not None and inner.reduces:
                return inner
            return self._group(level, space, (), 1)
        group = Group((level, 1, len(self.groups)), space, ())
        self.groups[level, space, (-len(self.groups),)] = group
        return group

    def _copies(self) -> None:
        for value, buffer in self._outputs:
            level = self.memory[value]
            space = value.type.shape
            self._group(level, space, (), 1).copies.append((value, buffer))

    def _homes(self) -> None:
        """Choose the kernel of every stored map, and who computes each value."""
        by_key: dict[OrderKey, Group] = {g.key: g for g in self.groups.values()}
        users: dict[Value, set[OrderKey]] = {}

        def used(value: Value, keys: set[OrderKey]) -> None:
            if value in self.register and value not in self.home:
                known = users.get(value)
                if known is None:
                    users[value] = set(keys)
                else:
                    known |= keys

        for group in list(self.groups.values()):
            for node in group.reduces:
                used(node.operands[0], {group.key})
            for value, _ in group.copies:
                used(value, {group.key})
        for node in reversed(self.graph.nodes):
            form = node.primitive.form
            if not isinstance(form, Map | View | Place | Gather | Literal | Iota):
                continue
            if isinstance(form, Literal | Iota) and node.results[0] not in self.stored:
                continue
            for value in node.results:
                if value in self.alias:
                    continue
                keys = users.pop(value, set())
                if len(keys) > 1 and self.cost[value] > REPEAT:
                    self.stored.add(value)
                if value in self.stored:
                    if value not in self.buffers:
                        self.buffers[value] = Buffer("work", value.type)
                    first = min(keys) if keys else None
                    if (
                        first is None
                        or first[0] > self.register[value]
                        or (not self.fuse)
                    ):
                        # somebody elsewhere may read it one level up
                        group = self._store_group(value)
                        by_key.setdefault(group.key, group)
                        first = min(first, group.key) if first else group.key
                    home = by_key[first]
                    home.stores.append(value)
                    self.home[value] = first
                    keys = {first}
                for key in keys:
                    by_key[key].members.append(value)
                if isinstance(form, Map):
                    for x in node.operands:
                        used(x, keys)
        for group in by_key.values():
            group.members.reverse()
            group.stores.reverse()


def build_schedule(graph: Graph, fuse: bool = True) -> Schedule:
    """Return the schedule of a graph.

    With `fuse` False every result is a kernel of its own: the same bits, more memory.
    """
    return Scheduler(graph, fuse).run()
