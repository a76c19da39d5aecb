"""Hold fewer bytes from the forward kernels of a program to those of its adjoint.

A value that kernels read early and again much later lies in memory between. It need not
where the late ones can compute it from what lies there for them anyhow, as y = e / s
from e and a column s; nor where they want but a mask of it, as x >= 0: then an early
kernel stores the mask. Elements go through the same instructions, so no bit changes.
Only programs whose arrays are known to be large are looked at. Cost: O(launches).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ..ir.constant import ArrayConstant
from ..ir.forms import Literal, Map, View
from ..ir.graph import Node, Value
from ..ir.sizes import product
from ..ir.types import BOOL
from .cost import node_cost
from .cut import STREAMS, LoopLaunch
from .join import Item, plan_loop
from .launches import OrderKey, Schedule
from .memory import Buffer
from .order import LONG, Made, best_order
from .plan import KernelPlan
from .repeat import Repeats

LEAST = 1 << 20  # bytes of a workspace that is looked at
SHARE = 256  # a value is of at least this part of it
CHEAP = 12  # instructions an element that late kernels may compute again
SMALL = 8  # what is at most this part of a value may live on for it
GAP = 2  # launches between which a value is not read, at least


@dataclass(slots=True)
class _Read:
    """A stored value, and the numbers of the launches that read it."""

    value: Value
    home: int
    early: list[int] = field(default_factory=list)
    late: list[int] = field(default_factory=list)


def with_fewer_residuals(
    ordered: Sequence[Item], made: list[Made], schedule: Schedule
) -> list[Made]:
    """Return the launches, those planned anew that read less of early kernels.

    `made` has one launch an item.
    """
    if len(made) > LONG:
        return made
    order, nbytes = best_order(made)
    if nbytes < LEAST:
        return made
    found = _Residuals(ordered, made, schedule, order, nbytes)
    for read in found.long_lived():
        if not found.remake(read):
            found.narrow(read)
    if not found.changed:
        return made
    repeats = Repeats()
    out = list(made)
    for k in sorted(found.changed):
        item = ordered[k]
        assert isinstance(item, LoopLaunch)
        bound = plan_loop(item, schedule, repeats)
        writes = tuple(o.slot for o in bound.plan.outputs)
        launch = made[k][1]._replace(
            buffers=bound.buffers, writes=writes, offsets=bound.offsets
        )
        out[k] = (bound.plan, launch)
    return out


class _Residuals:
    """The launches in the order they run, and what changes of them."""

    def __init__(
        self,
        ordered: Sequence[Item],
        made: list[Made],
        schedule: Schedule,
        order: Sequence[int],
        nbytes: int,
    ) -> None:
        self.ordered = ordered
        self.made = made
        self.schedule = schedule
        self.order = order
        self.least = nbytes // SHARE
        self.changed: set[int] = set()
        self.at = {k: turn for turn, k in enumerate(order)}
        self.value = {b: v for v, b in schedule.buffers.items()}
        self.last: dict[Buffer, int] = {}  # the turn of its last use
        self.pinned: set[Value] = set()  # what others are computed from late
        self.narrowed: set[Value] = set()
        self.users: dict[Value, list[Node]] = {}
        for turn, k in enumerate(order):
            for buffer in made[k][1].buffers:
                self.last[buffer] = turn
        for node in schedule.graph.nodes:
            for x in node.operands:
                self.users.setdefault(x, []).append(node)

    def long_lived(self) -> list[_Read]:
        """Return the large values that no launch reads for long, in order."""
        found: dict[Buffer, _Read] = {}
        aliased = set(self.schedule.alias.values())
        for k in self.order:
            launch = self.made[k][1]
            for slot, buffer in enumerate(launch.buffers):
                if buffer.kind != "work" or _elements(buffer.nbytes) < self.least:
                    continue
                if slot in launch.writes:
                    value = self.value.get(buffer)
                    if value is not None and value not in aliased:
                        found.setdefault(buffer, _Read(value, k))
                elif buffer in found:
                    found[buffer].early.append(k)
        out = []
        for read in found.values():
            turns = [self.at[k] for k in (read.home, *read.early)]
            gaps = [b - a for a, b in pairwise(turns)]
            widest = max(gaps, default=0)
            cut = gaps.index(widest) if gaps else 0
            read.early, read.late = read.early[:cut], read.early[cut:]
            if widest > GAP and all(self._can_change(k, read.value) for k in read.late):
                out.append(read)
        return out

    def _loop(self, k: int) -> LoopLaunch | None:
        """Return an item that can be planned anew."""
        item = self.ordered[k]
        whole = isinstance(item, LoopLaunch) and not item.members
        return item if whole and isinstance(item, LoopLaunch) else None

    def _keys(self, numbers: Sequence[int]) -> set[OrderKey]:
        items = [self._loop(k) for k in numbers]
        return {item.key for item in items if item is not None}

    def _can_change(self, k: int, value: Value) -> bool:
        item = self._loop(k)
        return item is not None and product(item.space) == product(value.type.shape)

    # -- computing again ---------------------------------------------------------------

    def remake(self, read: _Read) -> bool:
        """Let the late launches compute a value, where they can."""
        if not read.early or read.value in self.pinned:
            return False
        leaves = self._leaves(read.value)
        if leaves is None:
            return False
        until = max(self.at[k] for k in read.late)
        size = _elements(self.schedule.buffers[read.value].nbytes)
        large: list[Value] = []
        new = 0
        for leaf in leaves:
            buffer = self.schedule.memory(leaf)
            stays = buffer.kind != "work" or self.last[buffer] >= until
            if _elements(buffer.nbytes) * SMALL > size:
                if not stays or leaf in self.schedule.again or leaf in self.narrowed:
                    return False
                large.append(leaf)
            elif not stays:
                new += _elements(buffer.nbytes)
        if new * SMALL > size or not large:
            return False
        for k in read.late:
            plan, launch = self.made[k]
            assert isinstance(plan, KernelPlan)
            if len(launch.buffers) + len(leaves) > STREAMS:
                return False
        self.pinned.update(large)
        self.schedule.again[read.value] = self._keys(read.late)
        self.changed.update(read.late)
        return True

    def _leaves(self, value: Value) -> list[Value] | None:
        """Return what a value is computed from in memory, if cheaply."""
        node = value.node
        if node is None or not isinstance(node.primitive.form, Map):
            return None
        cost = node_cost(node)
        stack = list(node.operands)
        out: dict[Value, None] = {}
        while stack:
            x = stack.pop()
            if x in self.schedule.buffers or x in self.schedule.alias:
                out[x] = None
                continue
            made = x.node
            if made is None or len(out) > STREAMS:
                return None
            form = made.primitive.form
            if isinstance(form, Map):
                cost += node_cost(made)
                if cost > CHEAP:
                    return None
            elif isinstance(form, Literal):
                if isinstance(made.params["value"], ArrayConstant):
                    return None
            elif not isinstance(form, View) or not _is_small(made.operands[0], value):
                return None
            stack += made.operands
        return list(out) if cost <= CHEAP else None

    # -- masks -------------------------------------------------------------------------

    def narrow(self, read: _Read) -> bool:
        """Let an early launch store the masks that late launches make of a value."""
        masks = self._masks(read)
        near = self._near(read, masks)
        if near is None or read.value in self.pinned:
            return False
        item = self.ordered[near]
        assert isinstance(item, LoopLaunch)
        for mask in masks:
            self.schedule.buffers[mask] = Buffer("work", mask.type)
            self.schedule.home[mask] = item.key
            item.stores.append(mask)
        self.narrowed.add(read.value)
        self.changed.update((near, *read.late))
        return True

    def _masks(self, read: _Read) -> list[Value]:
        """Return the bools through which alone late launches see a value, if so."""
        home = self.schedule.home
        late = self._keys(read.late)
        masks: dict[Value, None] = {}
        seen: set[Value] = set()
        stack = [read.value]
        while stack:
            for node in self.users.get(stack.pop(), ()):
                out = node.results[0]
                if out in seen:
                    continue
                seen.add(out)
                if out in home:
                    if home[out] in late:
                        return []
                elif not isinstance(node.primitive.form, Map):
                    return []
                elif out.type.dtype is BOOL:
                    masks[out] = None
                else:
                    stack.append(out)
        return list(masks)

    def _near(self, read: _Read, masks: Sequence[Value]) -> int | None:
        """Return an early launch that can store masks, if there are any."""
        leaves = [self._leaves(x) for x in masks]
        known = [x for some in leaves if some is not None for x in some]
        if not masks or None in leaves:
            return None
        for k in (*read.early, read.home):
            item = self._loop(k)
            if item is None or len(self.made[k][1].buffers) + len(masks) > STREAMS:
                continue
            made = [self.schedule.home.get(x) for x in known]
            if all(x.type.shape == item.space for x in masks) and all(
                x is None or x < item.key for x in made
            ):
                return k
        return None


def _is_small(part: Value, whole: Value) -> bool:
    """Return whether a value is known to have far fewer elements than another."""
    inner, outer = product(part.type.shape), product(whole.type.shape)
    known = isinstance(inner, int) and isinstance(outer, int)
    return known and _elements(inner) * SMALL <= _elements(outer)


def _elements(size: object) -> int:
    """Return a size; 0 where it is not known."""
    return size if isinstance(size, int) else 0
