"""One kernel for one index of its outer axis; and the launches that share a loop.

A kernel that treats every outer index alone is as good as one kernel for each: its plan
without the first axis, and how far its buffers move. A run collects the launches that
will turn together.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from ..ir.sizes import product
from ..ir.types import Shape
from .driver import Launch
from .index import Atom, Index, Opaque, Size, Split
from .memory import Buffer
from .plan import Divides, Inside, KernelPlan, Load, Position, Step
from .whole import ContractPlan, WholePlan

AnyPlan = KernelPlan | WholePlan
Made = tuple[AnyPlan, Launch]

SMALLEST = 256  # elements or products that a kernel computes for a slice


class Sliced(NamedTuple):
    """A kernel for one slice: its plan, and how far each slot moves a slice."""

    extent: int
    plan: AnyPlan
    advance: tuple[int, ...]


def _without_first(index: Index) -> Index | None:
    """Return an index without axis 0, the others renumbered; None where it divides."""
    atoms: list[tuple[Atom, Size]] = []
    for atom, factor in index.atoms:
        if isinstance(atom, Split) or 0 in atom.axes:
            return None
        inner = Opaque(atom.key, frozenset(a - 1 for a in atom.axes))
        atoms.append((inner, factor))
    terms = tuple((a - 1, c) for a, c in index.terms if a != 0)
    return Index(terms, tuple(atoms), index.constant)


def _sliced_step(step: Step) -> Step | None:
    if isinstance(step, Load):
        offset = _without_first(step.offset)
        return None if offset is None else step._replace(offset=offset)
    if isinstance(step, Inside):
        conditions = []
        for index, extent in step.conditions:
            inner = None if 0 in index.axes else _without_first(index)
            if inner is None:
                return None
            conditions.append((inner, extent))
        return step._replace(conditions=tuple(conditions))
    if isinstance(step, Divides | Position):
        at = None if 0 in step.at.axes else _without_first(step.at)
        return None if at is None else step._replace(at=at)
    return step


def _numbers(shape: Shape) -> tuple[int, ...] | None:
    known = tuple([d for d in shape if isinstance(d, int)])
    return known if len(known) == len(shape) else None


def sliced(plan: AnyPlan) -> Sliced | None:
    """Return a kernel for one index of its first axis; None where that cannot be."""
    if isinstance(plan, ContractPlan):
        return _sliced_contract(plan)
    if not isinstance(plan, KernelPlan) or len(plan.space) < 2 or 0 in plan.reduced:
        return None
    space = _numbers(plan.space)
    if space is None or space[0] < 2 or prod(space[1:]) < SMALLEST:
        return None
    advance: list[int | None] = [None] * len(plan.slots)

    def moves(slot: int, by: object) -> bool:
        known = advance[slot]
        if not isinstance(by, int) or known not in (None, by):
            return False
        advance[slot] = by
        return True

    kept = prod([d for a, d in enumerate(space) if a and a not in plan.reduced])
    steps = []
    for step in plan.steps:
        if isinstance(step, Load) and not moves(step.slot, step.offset.coefficient(0)):
            return None
        made = _sliced_step(step)
        if made is None:
            return None
        steps.append(made)
    for out in plan.outputs:
        by = prod(space[1:]) if out.monoid is None else kept
        if not moves(out.slot, by):
            return None
    inner = plan._replace(
        space=space[1:],
        reduced=tuple(a - 1 for a in plan.reduced),
        steps=tuple(steps),
        axes=tuple(frozenset(a - 1 for a in axes if a) for axes in plan.axes),
    )
    return Sliced(space[0], inner, tuple([by or 0 for by in advance]))


def _sliced_contract(plan: ContractPlan) -> Sliced | None:
    if not plan.batch or not plan.dtype.is_float:
        return None
    loop = plan.batch[0]
    sizes = _numbers(
        (*loop, *[x.extent for x in plan.batch], *plan.m, *plan.n, *plan.k)
    )
    if sizes is None or sizes[0] < 2:
        return None
    inner = plan._replace(batch=plan.batch[1:])
    work = product([x.extent for x in (*inner.batch, plan.m, plan.n, plan.k)])
    if not isinstance(work, int) or work < SMALLEST:
        return None
    return Sliced(sizes[0], inner, (sizes[1], sizes[2], sizes[3], 0))


def stays_inside(plan: AnyPlan, launch: Launch, slot: int, by: int) -> bool:
    """Return whether a kernel reads nothing of a slot but the slice it is at."""
    if launch.offsets[slot]:
        return False
    if isinstance(plan, ContractPlan):
        loops = (*plan.batch, plan.m, plan.n, plan.k)
        side = [x.lhs if slot == 0 else x.rhs for x in loops]
        shape = [x.extent for x in loops]
        return _reach(list(zip(side, shape, strict=True)), 0, by)
    assert isinstance(plan, KernelPlan)
    for step in plan.steps:
        if isinstance(step, Load) and step.slot == slot:
            pairs = [(c, plan.space[a]) for a, c in step.offset.terms]
            if step.offset.atoms or not _reach(pairs, step.offset.constant, by):
                return False
    return True


def _reach(pairs: Sequence[tuple[object, object]], start: object, by: int) -> bool:
    low = high = start if isinstance(start, int) else -1
    for stride, extent in pairs:
        if not isinstance(stride, int) or not isinstance(extent, int):
            return False
        far = stride * max(extent - 1, 0)
        low, high = low + min(far, 0), high + max(far, 0)
    return low >= 0 and high < by


# -- what shares a loop ----------------------------------------------------------------


def reads_of(launch: Launch) -> list[int]:
    """Return the slots a launch does not write."""
    return [k for k in range(len(launch.buffers)) if k not in launch.writes]


class Run:
    """Launches that will share a loop over slices."""

    def __init__(self, extent: int) -> None:
        self.extent = extent
        self.items: list[tuple[Sliced, Launch]] = []
        self.written: dict[Buffer, int] = {}  # how far it moves a slice
        self.before: list[int] = []
        self.after: list[int] = []
        self.made_later: set[Buffer] = set()
        self.may_fail_later = False

    def skip(self, number: int, plan: AnyPlan, launch: Launch) -> None:
        """Run a launch before the loop, or after it where it needs what that makes.

        What may fail stays in its order, so that the first failure is the one told.
        """
        waits = self.made_later.union(self.written)
        may_fail = not isinstance(plan, KernelPlan | ContractPlan)
        free = waits.isdisjoint(launch.buffers[k] for k in reads_of(launch))
        if free and not (may_fail and self.may_fail_later):
            self.before.append(number)
            return
        self.after.append(number)
        self.may_fail_later = self.may_fail_later or may_fail
        self.made_later.update(launch.buffers[k] for k in launch.writes)
        # what is checked later is read later
        self.made_later.update(launch.buffers if not launch.writes else ())

    def takes(self, found: Sliced, launch: Launch) -> bool:
        """Add a launch if it may run before what was skipped and reads slices alone."""
        if found.extent != self.extent:
            return False
        for k in reads_of(launch):
            buffer = launch.buffers[k]
            if buffer in self.made_later:
                return False
            by = self.written.get(buffer)
            if by is not None and (
                by != found.advance[k] or not stays_inside(found.plan, launch, k, by)
            ):
                return False
        self.items.append((found, launch))
        for k in launch.writes:
            self.written[launch.buffers[k]] = found.advance[k]
        return True
