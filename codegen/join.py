"""Plan loop launches, and let neighbours over nearly the same axis share one loop.

A difference of neighbours has one element less than what it is taken of, and so has its
adjoint one more: as two kernels they would read the same memory twice. Launches of one
level over one axis, whose extents differ by a few elements and that read a buffer in
common, become one launch over the longest. What is shorter is computed below its own
extent; elements and the lanes of folds stay what they are, and so do all bits. Cost:
O(launches), and a few plans each.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..ir.constant import ArrayConstant
from ..ir.forms import Literal, Reduce, View
from ..ir.graph import Value
from ..ir.sizes import SizeExpr
from .cost import plan_cost
from .cut import BODY, STREAMS, LoopLaunch
from .index import Size
from .launches import OrderKey, Schedule, Whole
from .memory import Buffer
from .plan import Bound, Planner
from .repeat import Repeats, describe

FARTHEST_APART = 8  # elements
SHORTEST = 64  # of known extents
_TRIED = 4  # launches a launch is compared with


@dataclass(slots=True, eq=False)
class Joint:
    """Launches that share a loop, and its plan."""

    parts: list[LoopLaunch]
    bound: Bound


Item = LoopLaunch | Whole | Joint


class _Leaves:
    """What a launch of order `key` reads from memory."""

    def __init__(self, schedule: Schedule, key: OrderKey) -> None:
        self.schedule = schedule
        self.key = key
        self.read: set[Buffer] = set()
        self.own: set[Value] = set()
        self.waits = False  # a value is in memory only once a later launch has run

    def __call__(self, value: Value) -> Buffer | None:
        """Return the buffer to read a value from; None where it is computed."""
        schedule = self.schedule
        while True:
            found = schedule.buffers.get(value)
            if found is not None:
                if self.key in schedule.again.get(value, ()) or is_number(value):
                    return None
                made = schedule.home.get(value)
                if made is None or made < self.key:
                    self.read.add(found)
                    return found
                self.waits = self.waits or value not in self.own
                return None
            base = schedule.alias.get(value)
            if base is None:
                return None
            value = base


def is_number(value: Value) -> bool:
    """Return whether a value is one literal number, or that broadcast.

    Where that must lie in memory for others, a loop does without.
    """
    node = value.node
    while node is not None and isinstance(node.primitive.form, View):
        node = node.operands[0].node
    if node is None or not isinstance(node.primitive.form, Literal):
        return False
    return not isinstance(node.params["value"], ArrayConstant)


def _declare(planner: Planner, launch: LoopLaunch, schedule: Schedule) -> None:
    """Add what a launch folds, stores and copies to a plan."""
    buffers = schedule.buffers
    for node in launch.reduces:
        result = node.results[0]
        form = node.primitive.form
        assert isinstance(form, Reduce)
        planner.reduce(node.operands[0], result, form.monoid, buffers[result])
    for value in launch.stores:
        planner.store(value, buffers[value])
    for value, buffer in launch.copies:
        planner.store(value, buffer)


def plan_loop(
    launch: LoopLaunch | Joint, schedule: Schedule, repeats: Repeats
) -> Bound:
    """Return the plan of a loop launch and the buffers of its slots."""
    if isinstance(launch, Joint):
        return launch.bound
    leaf = _Leaves(schedule, launch.key)
    described = describe(launch, leaf, schedule.buffers.__getitem__)
    if described is not None:
        known = repeats.find(described)
        if known is not None:
            return known
    planner = Planner(launch.space, launch.reduced, leaf)
    planner.compute_here(launch.stores)
    _declare(planner, launch, schedule)
    bound = planner.finish()
    if described is not None:
        repeats.add(described, bound)
    return bound


# -- sharing a loop --------------------------------------------------------------------


def _core(extent: Size) -> Size:
    """Return e of an extent max(e, 0), else the extent."""
    if isinstance(extent, SizeExpr) and len(extent.terms) == 1:
        ((atoms, factor),) = extent.terms
        if factor == 1 and len(atoms) == 1 and atoms[0].op == "pos":
            return atoms[0].args[0]
    return extent


def _longer(a: Size, b: Size) -> int | None:
    """Return by how much extent a is the longer one, where neither is 0, if known."""
    apart = _core(a) - _core(b)
    return apart if isinstance(apart, int) else None


def join(ordered: Sequence[Item], schedule: Schedule) -> list[Item]:
    """Return the launches, those that can share a loop as one."""
    out: list[Item] = []
    level: OrderKey = ()
    places: list[int] = []
    for item in ordered:
        if isinstance(item, LoopLaunch) and _may_join(item):
            if item.key[:1] != level:
                level, places = item.key[:1], []
            for place in places[-_TRIED:]:
                before = out[place]
                assert isinstance(before, LoopLaunch | Joint)
                made = _together(before, item, schedule)
                if made is not None:
                    out[place] = made
                    break
            else:
                places.append(len(out))
                out.append(item)
            continue
        out.append(item)
    return out


def _may_join(item: LoopLaunch) -> bool:
    if len(item.space) != 1 or item.members:
        return False
    (extent,) = item.space
    return not isinstance(extent, int) or extent >= SHORTEST


def _together(
    before: LoopLaunch | Joint, item: LoopLaunch, schedule: Schedule
) -> Joint | None:
    """Return launches as one at the place of the first; None where that cannot be."""
    parts = [*(before.parts if isinstance(before, Joint) else [before]), item]
    if any(part.key[:3] == item.key[:3] for part in parts[:-1]):
        return None  # they were one and had nothing in common
    space = parts[0].space
    for part in parts[1:]:
        apart = _longer(part.space[0], space[0])
        if apart is None or abs(apart) > FARTHEST_APART:
            return None
        if apart > 0:
            space = part.space
    reduced = (0,) if any(part.reduced for part in parts) else ()
    leaf = _Leaves(schedule, parts[0].key)
    planner = Planner(space, reduced, leaf)
    seen: set[Buffer] = set()
    shared = False
    for part in parts:
        leaf.read, leaf.own = set(), set(part.stores)
        planner.within(part.space[0])
        planner.compute_here(part.stores)
        _declare(planner, part, schedule)
        shared = shared or bool(seen & leaf.read)
        seen |= leaf.read
    if leaf.waits or not shared:
        return None
    bound = planner.finish()
    if plan_cost(bound.plan) > BODY or len(bound.plan.slots) > STREAMS:
        return None
    return Joint(parts, bound)
