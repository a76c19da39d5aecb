"""Find what of a program runs row by row, and make one node of it.

Values over the rows of arrays, a row being a few numbers, would go through memory from
kernel to kernel, each over short axes. A set of nodes between which no other stands is
one kernel: a loop over rows, the elements of a row in registers.
"""

import heapq
from collections.abc import Sequence
from typing import Any

from ..ir.forms import Contract, Iota, Literal, Map, Place, Reduce, Rows, View
from ..ir.graph import Graph, Node, Value
from ..ir.passes.rebuild import renew, renewed
from ..ir.primitive import NON_DIFFERENTIABLE, Cost, Domain, Primitive
from ..ir.subgraph import late_size, mentioned_sizes
from .launches import OrderKey, Schedule
from .rows import (
    FEWEST_ROWS,
    RowBuilder,
    Size,
    base_of,
    by_rows,
    is_fluid,
    is_small,
    row_type,
)
from .schedule import build_schedule
from .small import count_of
from .views import is_alias

MOST_WORK = 3000  # cheap instructions a row, of one kernel
MOST_PIECES = 4  # of a part: an unrolled loop has as many kernels as its body
MOST_LENGTHS = 8  # numbers of rows that are looked at, the most common ones
SHORT = 8  # elements that a fold over the last axes is slow for
WIDE = 16  # elements that kernels over the last axes do as well


def _never(*_: Any, **__: Any) -> Any:  # Any: whatever a caller would pass
    raise NotImplementedError("rows are made when a program is lowered")


ROWS = Primitive(
    name="rows",
    mirrors=(),
    tf_name=None,
    accept=_never,
    infer=_never,
    evaluate=_never,
    form=Rows(),
    vjp=NON_DIFFERENTIABLE,
    jvp=NON_DIFFERENTIABLE,
    batch=NON_DIFFERENTIABLE,
    effects=frozenset(),
    cost=Cost.KEEP,
    exact=True,
    sparsity="dense",
    domain=Domain(-1, 1),
    kinks="",
    matrix=None,
    sums=None,
    samples=(),
    doc="Part of a program, row by row.",
)


def _is_number(value: Value) -> bool:
    node = value.node
    return node is not None and isinstance(node.primitive.form, Literal | Iota)


def with_rows(graph: Graph, plain: Schedule) -> Schedule:
    """Return the schedule of a program with a node for each part that runs by rows.

    `plain` is its schedule without: a part is worth it where that has several kernels.
    """
    home = dict(plain.home)
    program = graph
    for length in _lengths(graph):
        program = _Sets(program, home, length).run()
    return plain if program is graph else build_schedule(program)


def _lengths(graph: Graph) -> list[Size]:
    """Return the numbers of rows there may be sets of, the most common first."""
    found: dict[Size, int] = {}
    for node in graph.nodes:
        if isinstance(node.primitive.form, Reduce | Contract | Map | Place):
            kind = node.results[0].type
            length: Size = kind.shape[0] if kind.shape else 0
            if isinstance(length, int) and length < FEWEST_ROWS:
                continue
            if is_small(kind.with_shape(kind.shape[1:])):
                found[length] = found.get(length, 0) + 1
    return sorted(found, key=found.__getitem__, reverse=True)[:MOST_LENGTHS]


class _Sets:
    """The sets of one number of rows."""

    def __init__(self, graph: Graph, home: dict[Value, OrderKey], length: Size) -> None:
        self.graph, self.home, self.length = graph, home, length
        self.members: set[Value] = set()
        self.inputs = set(graph.inputs)
        self.users: dict[Value, list[Node]] = {}
        for node in graph.nodes:
            for x in node.operands:
                self.users.setdefault(x, []).append(node)
        self.outputs = set(graph.outputs)
        self.binders: dict[str, Node] = {}  # of sizes that are late
        for node in graph.nodes:
            name = late_size(node) if node.params else None
            if name is not None:
                self.binders.setdefault(name, node)

    def run(self) -> Graph:
        """Return the program with a node for each set that is worth it."""
        order = {node: k for k, node in enumerate(self.graph.nodes)}
        chosen: list[tuple[Node, list[Value]]] = []
        owner: dict[Node, int] = {}
        for part in self._parts():
            part.sort(key=order.__getitem__)
            part = self._trimmed(part)
            if not self._pays(part):
                continue
            pieces = self._pieces(part)
            if len(pieces) > MOST_PIECES:
                continue
            for piece in pieces:
                for node in piece:
                    owner[node] = len(chosen)
                chosen.append(self._made(piece))
        return self._rebuilt(owner, chosen, order) if chosen else self.graph

    def _awaited(self, node: Node) -> list[Node]:
        """Return the loops that bind a size a node mentions."""
        if not self.binders:
            return []
        names = sorted(mentioned_sizes(node) & self.binders.keys())
        return [self.binders[n] for n in names if self.binders[n] is not node]

    def _inside(self, value: Value) -> bool:
        return value in self.members

    def _parts(self) -> list[list[Node]]:
        """Return the connected sets of nodes by rows with nothing else in between."""
        phase: dict[Value, int] = dict.fromkeys(self.graph.inputs, 0)
        member: dict[Node, int] = {}
        parent: dict[Any, Any] = {}  # Any: a node, or a value that several read

        def root(x: Any) -> Any:
            while parent.setdefault(x, x) is not x:
                parent[x] = parent[parent[x]]
                x = parent[x]
            return x

        for node in self.graph.nodes:
            mine = by_rows(node, self.length)
            if mine and isinstance(node.primitive.form, View):
                # of what is in memory a view is just another way to read it
                mine = node.operands[0] in self.members
            level = 0
            for x in node.operands:
                behind = phase[x]
                if x in self.members and not mine:
                    behind += 1
                level = max(level, behind)
            for other in self._awaited(node):
                level = max(level, *[phase.get(x, 0) for x in other.results])
            phase.update(dict.fromkeys(node.results, level))
            if not mine:
                continue
            member[node] = level
            self.members.update(node.results)
            for x in node.operands:
                if x in self.members:
                    if phase[x] == level:
                        parent[root((level, x.node))] = root((level, node))
                elif row_type(x.type, self.length) is not None:
                    base, offset = base_of(x, self._inside)
                    if offset.coefficient(0) != 0 and not _is_number(base):
                        parent[root((level, base))] = root((level, node))
        found: dict[Any, list[Node]] = {}
        for node, level in member.items():
            found.setdefault(root((level, node)), []).append(node)
        return list(found.values())

    def _trimmed(self, part: list[Node]) -> list[Node]:
        """Leave out what only others read and would make themselves."""
        inside = set(part)
        for node in reversed(part):
            if not isinstance(node.primitive.form, View | Place):
                continue
            (out,) = node.results
            kept = isinstance(node.primitive.form, Place) or not is_alias(node)
            if out in self.outputs and kept:
                continue
            if not any(user in inside for user in self.users.get(out, ())):
                inside.remove(node)
        return [node for node in part if node in inside]

    def _pays(self, part: list[Node]) -> bool:
        """Return whether the part would be several kernels, or one of short folds."""
        homes = {self.home[x] for node in part for x in node.results if x in self.home}
        wide, work, short = 0, 0, False
        for node in part:
            form = node.primitive.form
            if isinstance(form, View | Place):
                continue
            size = self._row_size(node)
            work += 1
            wide += size > WIDE
            short |= isinstance(form, Reduce) and size <= SHORT
        return 2 * wide <= work and (len(homes) > 1 or short)

    def _row_size(self, node: Node) -> int:
        rows = [row_type(x.type, self.length) for x in (*node.operands, *node.results)]
        return max([count_of(row) for row in rows if row is not None])

    def _pieces(self, part: list[Node]) -> list[list[Node]]:
        """Return the part in pieces of bounded work."""
        pieces: list[list[Node]] = [[]]
        builder = RowBuilder(self.length, self._inside)
        for node in part:
            if builder.work > MOST_WORK:
                pieces.append([])
                builder = RowBuilder(self.length, self._inside)
            builder.add(node)
            pieces[-1].append(node)
        return pieces

    def _made(self, piece: list[Node]) -> tuple[Node, list[Value]]:
        """Return the node of a piece, and the values that are its results."""
        inside = set(piece)
        results = [
            x
            for node in piece
            for x in node.results
            if x in self.outputs or any(u not in inside for u in self.users.get(x, ()))
        ]
        builder = RowBuilder(self.length, self._inside)
        for node in piece:
            builder.add(node)
        plan = builder.finish(results)
        locs = tuple(dict.fromkeys([n.loc for n in piece if n.loc is not None]))
        types = [x.type for x in results]
        params = {"plan": plan, "locs": locs}
        return Node(ROWS, tuple(builder.operands), params, types, None), results

    def _rebuilt(
        self,
        owner: dict[Node, int],
        chosen: Sequence[tuple[Node, list[Value]]],
        order: dict[Node, int],
    ) -> Graph:
        """Return the program with the chosen pieces, in an order of definition."""
        made_by: dict[Value, Node] = {}
        after: dict[Node, int] = {}
        items: dict[Node, int] = {}
        for node, k in order.items():
            if node in owner:
                items[chosen[owner[node]][0]] = k  # in the end of the last one
            else:
                items[node] = k
                made_by.update(dict.fromkeys(node.results, node))
        for made, results in chosen:
            made_by.update(dict.fromkeys(results, made))
        live = self._live(items, made_by)
        followers: dict[Node, list[Node]] = {}
        for node in live:
            before = {made_by[x] for x in node.operands if x not in self.inputs}
            before.update(self._awaited(node))
            after[node] = len(before)
            for other in before:
                followers.setdefault(other, []).append(node)
        ready = [(k, node) for node, k in items.items() if not after.get(node, 1)]
        heap = [k for k, _ in ready]
        by_key = {k: node for node, k in items.items()}
        heapq.heapify(heap)
        replaced: dict[Value, Value] = {}
        nodes: list[Node] = []
        results_of = dict(chosen)
        while heap:
            node = by_key[heapq.heappop(heap)]
            made = renew(node, replaced)
            if node in results_of:
                replaced.update(zip(results_of[node], made.results, strict=True))
            nodes.append(made)
            for other in followers.get(node, ()):
                after[other] -= 1
                if not after[other]:
                    heapq.heappush(heap, items[other])
        for old, new in replaced.items():
            if old in self.home:
                self.home[new] = self.home[old]
        assert len(nodes) == len(live), "parts of a program wait for each other"
        return self.graph.replace(nodes, renewed(self.graph.outputs, replaced))

    def _live(
        self, items: dict[Node, int], made_by: dict[Value, Node]
    ) -> dict[Node, None]:
        """Return the nodes somebody needs: a view or a number may be left over."""
        needed = {made_by[x] for x in self.outputs if x in made_by}
        live: dict[Node, None] = {}
        for node in sorted(items, key=items.__getitem__, reverse=True):
            if node in needed or not is_fluid(node):
                live[node] = None
                needed.update([made_by[x] for x in node.operands if x in made_by])
        return live
