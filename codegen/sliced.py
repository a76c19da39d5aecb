"""One kernel for one index of an axis, and the launches that share a loop over it.

A kernel that treats every index of an axis alone is as good as one kernel for each: its
plan without that axis, and how far its buffers move. A run collects the launches that
will turn together.
"""

from collections.abc import Sequence
from math import prod
from typing import NamedTuple

from ..ir.sizes import product
from ..ir.types import Shape
from .driver import Launch
from .index import Atom, Index, Opaque, Size, Split, strides_of
from .memory import Buffer
from .plan import Divides, Inside, KernelPlan, Load, Position, Step
from .whole import ContractPlan, Loop, WholePlan

AnyPlan = KernelPlan | WholePlan
Made = tuple[AnyPlan, Launch]

SMALLEST = 256  # elements or products that a kernel computes for a slice


class Sliced(NamedTuple):
    """A kernel for one slice: its plan, and how far each slot moves a slice."""

    extent: int
    plan: AnyPlan
    advance: tuple[int, ...]

    def elements(self, buffer: Buffer, slot: int) -> int:
        """Return how many elements of a slot's buffer are one slice's own."""
        by, total = self.advance[slot], product(buffer.type.shape)
        return total // self.extent if by and isinstance(total, int) else by


# -- one kernel ------------------------------------------------------------------------


def _without(index: Index, axis: int) -> Index | None:
    """Return an index without an axis, the later ones renumbered.

    None where the axis is in it otherwise than as a multiple.
    """
    atoms: list[tuple[Atom, Size]] = []
    for atom, factor in index.atoms:
        if isinstance(atom, Split) or axis in atom.axes:
            return None
        atoms.append((Opaque(atom.key, _renumbered(atom.axes, axis)), factor))
    terms = tuple((a - (a > axis), c) for a, c in index.terms if a != axis)
    return Index(terms, tuple(atoms), index.constant)


def _renumbered(axes: frozenset[int], axis: int) -> frozenset[int]:
    return frozenset(a - (a > axis) for a in axes if a != axis)


def _sliced_step(step: Step, axis: int) -> Step | None:
    if isinstance(step, Load):
        offset = _without(step.offset, axis)
        return None if offset is None else step._replace(offset=offset)
    if isinstance(step, Inside):
        conditions = []
        for index, extent in step.conditions:
            inner = None if axis in index.axes else _without(index, axis)
            if inner is None:
                return None
            conditions.append((inner, extent))
        return step._replace(conditions=tuple(conditions))
    if isinstance(step, Divides | Position):
        at = None if axis in step.at.axes else _without(step.at, axis)
        return None if at is None else step._replace(at=at)
    return step


def _numbers(shape: Shape) -> tuple[int, ...] | None:
    known = tuple([d for d in shape if isinstance(d, int)])
    return known if len(known) == len(shape) else None


def sliced(plan: AnyPlan) -> list[Sliced]:
    """Return kernels for one index of an axis, one for each axis where that can be."""
    if isinstance(plan, ContractPlan):
        found = [_sliced_contract(plan, k) for k in range(len(plan.batch))]
    elif isinstance(plan, KernelPlan):
        # the last axis stays: vectors run along it
        found = [_sliced_loop(plan, a) for a in range(len(plan.space) - 1)]
    else:
        return []
    return [x for x in found if x is not None]


def _sliced_loop(plan: KernelPlan, axis: int) -> Sliced | None:
    space = _numbers(plan.space)
    if axis in plan.reduced or space is None or space[axis] < 2:
        return None
    if prod(space) // space[axis] < SMALLEST:
        return None
    advance: list[int | None] = [None] * len(plan.slots)

    def moves(slot: int, by: object) -> bool:
        known = advance[slot]
        if not isinstance(by, int) or known not in (None, by):
            return False
        advance[slot] = by
        return True

    steps = []
    for step in plan.steps:
        if isinstance(step, Load) and not moves(
            step.slot, step.offset.coefficient(axis)
        ):
            return None
        made = _sliced_step(step, axis)
        if made is None:
            return None
        steps.append(made)
    outputs = []
    for out in plan.outputs:
        own = plan.axes_of(out)
        strides = list(strides_of(tuple([space[a] for a in own])))
        by = strides.pop(own.index(axis))
        if not moves(out.slot, by):
            return None
        rest = tuple([space[a] for a in own if a != axis])
        outputs.append(out._replace(strides=_in_order(strides, rest)))
    inner = plan._replace(
        space=(*space[:axis], *space[axis + 1 :]),
        reduced=tuple(a - (a > axis) for a in plan.reduced),
        steps=tuple(steps),
        axes=tuple(_renumbered(axes, axis) for axes in plan.axes),
        outputs=tuple(outputs),
    )
    return Sliced(space[axis], inner, tuple([by or 0 for by in advance]))


def _in_order(strides: Sequence[Size], shape: Shape) -> tuple[int, ...] | None:
    """Return strides; None where they are those of an array that lies in order."""
    known = _numbers(tuple(strides))
    return None if known == strides_of(shape) else known


def _sliced_contract(plan: ContractPlan, axis: int) -> Sliced | None:
    if not plan.dtype.is_float:
        return None
    loop = plan.batch[axis]
    sizes = _numbers(
        (*loop, *[x.extent for x in plan.batch], *plan.m, *plan.n, *plan.k)
    )
    if sizes is None or sizes[0] < 2:
        return None
    inner = plan._replace(batch=(*plan.batch[:axis], *plan.batch[axis + 1 :]))
    work = product([x.extent for x in (*inner.batch, plan.m, plan.n, plan.k)])
    if not isinstance(work, int) or work < SMALLEST:
        return None
    return Sliced(sizes[0], inner, (sizes[1], sizes[2], sizes[3], 0))


def stays_inside(found: Sliced, launch: Launch, slot: int) -> bool:
    """Return whether a kernel reads nothing of a slot but the slice it is at."""
    plan, by = found.plan, found.advance[slot]
    if launch.offsets[slot] or not by:
        return False
    beyond = by * found.extent  # from one index of an axis outside of the slices' on
    if isinstance(plan, ContractPlan):
        loops = (*plan.batch, plan.m, plan.n, plan.k)
        pairs = [(x.lhs if slot == 0 else x.rhs, x.extent) for x in loops]
        return _reach(pairs, 0, by, beyond)
    assert isinstance(plan, KernelPlan)
    for step in plan.steps:
        if isinstance(step, Load) and step.slot == slot:
            terms = [(c, plan.space[a]) for a, c in step.offset.terms]
            start = step.offset.constant
            if step.offset.atoms or not _reach(terms, start, by, beyond):
                return False
    return True


def _reach(
    pairs: Sequence[tuple[object, object]], start: object, by: int, beyond: int
) -> bool:
    low = high = start if isinstance(start, int) else -1
    for stride, extent in pairs:
        if not isinstance(stride, int) or not isinstance(extent, int):
            return False
        if stride > 0 and stride % beyond == 0:
            continue
        far = stride * max(extent - 1, 0)
        low, high = low + min(far, 0), high + max(far, 0)
    return low >= 0 and high < by


def shortened(found: Sliced, slots: Sequence[int]) -> AnyPlan:
    """Return the plan for buffers of one slice in the place of some slots'."""
    plan = found.plan

    def shorter(stride: Size, slot: int) -> int:
        assert isinstance(stride, int), "slices are of known sizes"
        beyond = found.advance[slot] * found.extent
        outside = slot in slots and stride >= beyond
        return stride // found.extent if outside else stride

    if isinstance(plan, ContractPlan):

        def loop(x: Loop) -> Loop:
            strides = [shorter(c, k) for k, c in enumerate(x[1:])]
            return Loop(x.extent, *strides)

        return plan._replace(
            batch=tuple([loop(x) for x in plan.batch]),
            m=loop(plan.m), n=loop(plan.n), k=loop(plan.k),
        )  # fmt: skip
    assert isinstance(plan, KernelPlan)
    steps: list[Step] = []
    for step in plan.steps:
        if isinstance(step, Load) and step.slot in slots:
            terms = tuple((a, shorter(c, step.slot)) for a, c in step.offset.terms)
            step = step._replace(offset=step.offset._replace(terms=terms))
        steps.append(step)
    outputs = []
    for out in plan.outputs:
        if out.slot in slots and out.strides is not None:
            space = tuple([plan.space[a] for a in plan.axes_of(out)])
            strides = [shorter(c, out.slot) for c in out.strides]
            out = out._replace(strides=_in_order(strides, space))
        outputs.append(out)
    return plan._replace(steps=tuple(steps), outputs=tuple(outputs))


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
        self.multiplies = False  # whether a product of matrices is among them

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

    def takes_one(self, forms: Sequence[Sliced], launch: Launch) -> bool:
        """Add a launch sliced along the first of its axes that fits, if one does."""
        return any(self.takes(found, launch) for found in forms)

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
                by != found.advance[k] or not stays_inside(found, launch, k)
            ):
                return False
        self.items.append((found, launch))
        self.multiplies = self.multiplies or isinstance(found.plan, ContractPlan)
        for k in launch.writes:
            self.written[launch.buffers[k]] = found.advance[k]
        return True
