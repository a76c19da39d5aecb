"""Cut a kernel whose body is too large into a sequence of bounded ones.

Cuts fall on the boundaries of repeating sub-graphs where there are any: every value has
a symbol that describes how it is made relative to its neighbours, a rolling hash of
symbols finds the period, and a chunk is a whole number of periods. So equal steps of a
long chain give equal kernels, emitted once. Cost: O(members).
"""

from collections.abc import Hashable
from dataclasses import dataclass, field

from ..ir.forms import Map
from ..ir.graph import Node, Value
from ..ir.types import Shape
from .cost import node_cost
from .launches import Group, OrderKey, Schedule
from .memory import Buffer
from .schedule import REPEAT

WHOLE = 512  # scalar instructions of a body that is left as it is
BODY = 128  # of one piece of a longer one
STREAMS = 16  # buffers one body reads or writes
_NEAR = 64  # how far back an operand is told apart from "somewhere before"
_WINDOW = 6  # symbols a rolling hash covers


@dataclass(slots=True, eq=False)
class LoopLaunch:
    """A bounded loop kernel: what it folds, stores and copies."""

    key: OrderKey
    space: Shape
    reduced: tuple[int, ...]
    reduces: list[Node] = field(default_factory=list)
    stores: list[Value] = field(default_factory=list)
    copies: list[tuple[Value, Buffer]] = field(default_factory=list)
    members: list[Value] = field(default_factory=list)  # of a piece that was cut


def _own_cost(value: Value, schedule: Schedule) -> int:
    node = value.node
    if node is not None and isinstance(node.primitive.form, Map):
        return max(node_cost(node), 1)
    return max(schedule.inlined_cost.get(value, 0), 1)


def _symbols(members: list[Value], at: dict[Value, int]) -> list[Hashable]:
    """Return a symbol a member: its op and where its operands are, relative to it."""
    out: list[Hashable] = []
    for k, value in enumerate(members):
        node = value.node
        assert node is not None
        refs: list[Hashable] = []
        for x in node.operands:
            place = at.get(x)
            if place is None:
                refs.append(x.type.dtype.name)
            else:
                refs.append(k - place if k - place <= _NEAR else "far")
        out.append((node.primitive.name, value.index, *refs))
    return out


def _periods(symbols: list[Hashable]) -> list[int]:
    """Return for each position the distance to the last equal window, 0 for none."""
    seen: dict[int, int] = {}
    out = [0] * len(symbols)
    hashes = [hash(s) for s in symbols]
    for k in range(_WINDOW - 1, len(symbols)):
        window = hash(tuple(hashes[k - _WINDOW + 1 : k + 1]))
        before = seen.get(window)
        if before is not None:
            out[k] = k - before
        seen[window] = k
    return out


def _last_uses(members: list[Value], at: dict[Value, int]) -> list[int]:
    last = list(range(len(members)))
    for k, value in enumerate(members):
        assert value.node is not None
        if isinstance(value.node.primitive.form, Map):
            for x in value.node.operands:
                place = at.get(x)
                if place is not None:
                    last[place] = k
    return last


def _boundaries(
    members: list[Value], costs: list[int], schedule: Schedule
) -> list[int]:
    """Return where chunks end (exclusive)."""
    at = {v: k for k, v in enumerate(members)}
    last = _last_uses(members, at)
    periods = _periods(_symbols(members, at))
    stored, known_cost = schedule.home, schedule.inlined_cost
    ends: list[int] = []
    start, count = 0, len(members)
    while start < count:
        cost, open_stores = 0, 0
        loads: set[Value] = set()
        closing: dict[int, int] = {}
        end = start
        while end < count:
            value = members[end]
            node = value.node
            assert node is not None
            cost += costs[end]
            if isinstance(node.primitive.form, Map):
                for x in node.operands:
                    if at.get(x, -1) < start and known_cost.get(x, 1):
                        loads.add(x)
            if last[end] > end or value in stored:
                open_stores += 1
                if value not in stored:
                    closing[last[end]] = closing.get(last[end], 0) + 1
            open_stores -= closing.pop(end, 0)
            if end > start and (cost > BODY or len(loads) + open_stores > STREAMS):
                break
            end += 1
        if end < count:
            period = periods[end - 1]
            if 0 < period <= end - start:
                end = start + (end - start) // period * period
        ends.append(end)
        start = end
    return ends


def cut(group: Group, schedule: Schedule) -> list[LoopLaunch]:
    """Return the launches a group becomes; stores what crosses a cut."""
    members = group.members
    costs = [_own_cost(v, schedule) for v in members]
    if sum(costs) <= WHOLE or len(members) < 2:
        home = group.key
        whole = LoopLaunch(
            home, group.space, group.reduced, group.reduces, group.stores, group.copies
        )
        return [whole]
    ends = _boundaries(members, costs, schedule)
    chunk_of: dict[Value, int] = {}
    start = 0
    launches: list[LoopLaunch] = []
    for k, end in enumerate(ends):
        for value in members[start:end]:
            chunk_of[value] = k
        piece = LoopLaunch((*group.key, k), group.space, ())
        piece.members = members[start:end]
        launches.append(piece)
        start = end
    crossing: dict[Value, None] = {}
    for value in members:
        node = value.node
        assert node is not None
        if not isinstance(node.primitive.form, Map):
            continue
        here = chunk_of[value]
        for x in node.operands:
            if chunk_of.get(x, here) != here and x not in schedule.home:
                dear = schedule.inlined_cost[x] > REPEAT
                if dear or (x.node and isinstance(x.node.primitive.form, Map)):
                    crossing[x] = None
    for value in crossing:
        schedule.buffers[value] = Buffer("work", value.type)
    for value in (*crossing, *group.stores):
        launch = launches[chunk_of[value]]
        launch.stores.append(value)
        schedule.home[value] = launch.key
    for node in group.reduces:
        launch = launches[chunk_of.get(node.operands[0], len(launches) - 1)]
        launch.reduces.append(node)
        launch.reduced = group.reduced
        for out in node.results:
            schedule.home[out] = launch.key
    launches[-1].copies = group.copies
    return [x for x in launches if x.reduces or x.stores or x.copies]
