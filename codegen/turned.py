"""Lay values of many short rows out as few long columns, where all that use them can.

A row of 2 or of 10 elements leaves lanes of its last vector empty. A piece of the
workspace `[.., n, d]` lies as `[.., d, n]` instead where every launch that touches it
is a product of matrices, whose strides are free, or a loop over n and d whose last two
axes can change places: vectors run along n then. Inputs that such loops read again and
again are turned once. Folds keep the order of their elements, so no bit changes. Sizes
must be known. Cost: O(launches), as often as a value is given up.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ..ir.sizes import product
from ..ir.types import TensorType
from .contract import Parts
from .driver import Launch
from .fold import LANES
from .index import Index, Size
from .memory import Buffer
from .plan import Apply, KernelPlan, Literally, Load, Step
from .rows import Element, RowPlan, RowResult
from .sliced import AnyPlan, Made
from .target import Target
from .whole import ContractPlan, Loop

FEWEST = 64  # rows
FILLED = 0.7  # of the lanes of a row's vectors: from here on it stays as it is


class Rows(NamedTuple):
    """The last two extents of a value: how many rows, and how long they are."""

    many: int
    length: int

    @property
    def size(self) -> int:
        """The elements of all rows."""
        return self.many * self.length


def turned(made: Sequence[Made], target: Target) -> list[Made]:
    """Return the launches, short rows laid out as columns where that is less work."""
    found = _Turned(made, target)
    found.drop_what_cannot()
    found.drop_what_loses()
    if not found.rows:
        return list(made)
    return found.launches()


def rows_of(buffer: Buffer, target: Target) -> Rows | None:
    """Return the rows of a value that leave vectors half empty; None of any other."""
    kind = buffer.type
    if not kind.dtype.is_float or len(kind.shape) < 2:
        return None
    count, length = kind.shape[-2:]
    if not isinstance(count, int) or not isinstance(length, int):
        return None
    if count < FEWEST or not 2 <= length <= LANES:
        return None
    lanes = target.lanes(kind.dtype.bits)
    filled = length / (-(-length // lanes) * lanes)
    if filled > FILLED or not isinstance(product(kind.shape), int):
        return None
    return Rows(count, length)


class _Turned:
    """The pieces of the workspace that are turned, and what that makes of launches."""

    def __init__(self, made: Sequence[Made], target: Target) -> None:
        self.made = made
        self.rows: dict[Buffer, Rows] = {}
        for _, launch in made:
            for buffer in launch.buffers:
                if buffer.kind == "work" and buffer not in self.rows:
                    found = rows_of(buffer, target)
                    if found is not None:
                        self.rows[buffer] = found

    def touched(self, launch: Launch) -> list[Buffer]:
        """Return the turned buffers of a launch."""
        return [x for x in dict.fromkeys(launch.buffers) if x in self.rows]

    # -- which -------------------------------------------------------------------------

    def drop_what_cannot(self) -> None:
        """Give up what a launch touches that cannot be turned, until all can."""
        again = bool(self.rows)
        while again:
            again = False
            for plan, launch in self.made:
                held = self.touched(launch)
                if held and not self._can(plan, launch, held):
                    self._drop(held)
                    again = True

    def _drop(self, buffers: Iterable[Buffer]) -> None:
        for buffer in buffers:
            del self.rows[buffer]

    def _can(self, plan: AnyPlan, launch: Launch, held: Sequence[Buffer]) -> bool:
        if any(
            launch.offsets[k] for k, x in enumerate(launch.buffers) if x in self.rows
        ):
            return False
        if isinstance(plan, ContractPlan):
            return self._can_multiply(plan, launch)
        if not isinstance(plan, KernelPlan):
            return False
        (rows, *others) = {self.rows[x] for x in held}
        return not others and self._can_loop(plan, launch, rows)

    def _can_multiply(self, plan: ContractPlan, launch: Launch) -> bool:
        if plan.parts != Parts() or plan.lhs_offset != 0 or plan.rhs_offset != 0:
            return False
        for k, buffer in enumerate(launch.buffers[:3]):
            rows = self.rows.get(buffer)
            if rows is None:
                continue
            loops = (*plan.batch, plan.m, plan.n, plan.k)
            steps = [(x[1 + k], x.extent) for x in loops if x.extent != 1]
            if not _is_whole([s for s in steps if s[0] != 0], rows):
                return False
        return True

    def _can_loop(self, plan: KernelPlan, launch: Launch, rows: Rows) -> bool:
        last = len(plan.space) - 1
        along, across = last - 1, last
        if plan.space[along:] != rows or {along, across} <= set(plan.reduced):
            return False
        for step in plan.steps:
            if isinstance(step, Load):
                buffer = launch.buffers[step.slot]
                if step.mask is not None or step.offset.atoms:
                    return False
                fits = step.offset.coefficient(along) in (0, 1)
                if buffer in self.rows or not fits:
                    if not _reads_rows(step.offset, plan, rows):
                        return False
                    if buffer not in self.rows and not _may_copy(plan, launch, step):
                        return False
            elif not isinstance(step, Apply | Literally):
                return False
        for out in plan.outputs:
            both = {along, across} <= set(plan.axes_of(out))
            if both != (launch.buffers[out.slot] in self.rows):
                return False
            if out.mask is not None or (both and out.strides is not None):
                return False
        return True

    def drop_what_loses(self) -> None:
        """Give up values that launches share which turning makes slower in all."""
        groups: dict[Buffer, set[Buffer]] = {x: {x} for x in self.rows}
        gains: dict[Buffer, float] = dict.fromkeys(self.rows, 0.0)
        for plan, launch in self.made:
            held = self.touched(launch)
            if not held:
                continue
            group = set().union(*(groups[x] for x in held))
            groups.update(dict.fromkeys(group, group))
            gains[held[0]] += self._gain(plan, launch)
        for buffer in list(self.rows):
            if buffer in self.rows:
                group = groups[buffer]
                if sum(gains[x] for x in group) <= 0:
                    self._drop(group)

    def _gain(self, plan: AnyPlan, launch: Launch) -> int:
        """Return how many elements are passed in full vectors, less those packed."""
        if isinstance(plan, KernelPlan):
            return _count(plan.space)
        assert isinstance(plan, ContractPlan)
        buffer = launch.buffers[1]
        packed = buffer in self.rows and plan.n.rhs == 1
        return -_count(buffer.type.shape) if packed else 0

    # -- launches ----------------------------------------------------------------------

    def launches(self) -> list[Made]:
        """Return all launches, those that make turned copies of inputs among them."""
        self.held: dict[Buffer, Buffer] = {}  # what lies turned, and where
        for buffer, rows in self.rows.items():
            shape = (*buffer.type.shape[:-2], rows.length, rows.many)
            self.held[buffer] = Buffer("work", TensorType(buffer.type.dtype, shape))
        out: list[Made] = []
        for plan, launch in self.made:
            held = self.touched(launch)
            if held and isinstance(plan, ContractPlan):
                out.append(self._multiplied(plan, launch))
            elif held:
                assert isinstance(plan, KernelPlan)
                rows = self.rows[held[0]]
                out += self._copies(plan, launch, rows)
                out.append(self._looped(plan, launch, rows))
            else:
                out.append((plan, launch))
        return out

    def _renamed(self, launch: Launch, slots: Iterable[int]) -> Launch:
        buffers = list(launch.buffers)
        for k in slots:
            buffers[k] = self.held[buffers[k]]
        return launch._replace(buffers=tuple(buffers))

    def _multiplied(self, plan: ContractPlan, launch: Launch) -> Made:
        slots = [k for k, x in enumerate(launch.buffers[:3]) if x in self.rows]

        def moved(loop: Loop) -> Loop:
            steps = list(loop[1:])
            for k in slots:
                steps[k] = _swapped(steps[k], self.rows[launch.buffers[k]])
            return Loop(loop.extent, *steps) if loop.extent != 1 else loop

        made = plan._replace(
            batch=tuple([moved(x) for x in plan.batch]),
            m=moved(plan.m), n=moved(plan.n), k=moved(plan.k),
        )  # fmt: skip
        return made, self._renamed(launch, slots)

    def _copied(self, plan: KernelPlan, launch: Launch) -> set[int]:
        """Return the slots that are read in rows and are not turned themselves."""
        along = len(plan.space) - 2
        return {
            step.slot
            for step in plan.steps
            if isinstance(step, Load)
            and launch.buffers[step.slot] not in self.rows
            and step.offset.coefficient(along) not in (0, 1)
        }

    def _copies(self, plan: KernelPlan, launch: Launch, rows: Rows) -> list[Made]:
        """Return launches that turn what a loop reads in rows, where not yet done."""
        out: list[Made] = []
        for slot in sorted(self._copied(plan, launch)):
            buffer = launch.buffers[slot]
            if buffer in self.held:
                continue
            dtype, (count, length) = buffer.type.dtype, rows
            goal = Buffer("work", TensorType(dtype, (length, count)))
            self.held[buffer] = goal
            places = range(length)
            steps = tuple([Element(0, length, at, dtype) for at in places])
            results = tuple([RowResult(dtype, (at,)) for at in places])
            made = RowPlan(count, 1, steps, results)
            out.append(
                (
                    made,
                    Launch(
                        0,
                        (buffer, *[goal] * length),
                        tuple(range(1, length + 1)),
                        (0, *[at * count for at in places]),
                        launch.locs,
                    ),
                )
            )
        return out

    def _looped(self, plan: KernelPlan, launch: Launch, rows: Rows) -> Made:
        slots = {k for k, x in enumerate(launch.buffers) if x in self.rows}
        slots |= self._copied(plan, launch)
        last = len(plan.space) - 1
        places = {last - 1: last, last: last - 1}

        def moved(step: Step) -> Step:
            if not isinstance(step, Load):
                return step
            terms = [(places.get(a, a), c) for a, c in step.offset.terms]
            if step.slot in slots:
                terms = [(a, _swapped(c, rows)) for a, c in terms]
            return step._replace(
                offset=step.offset._replace(terms=tuple(sorted(terms)))
            )

        made = plan._replace(
            space=(*plan.space[:-2], rows.length, rows.many),
            reduced=tuple(sorted(places.get(a, a) for a in plan.reduced)),
            steps=tuple([moved(step) for step in plan.steps]),
            axes=tuple(frozenset(places.get(a, a) for a in axes) for axes in plan.axes),
        )
        return made, self._renamed(launch, slots)


def _count(shape: Sequence[object]) -> int:
    total = 1
    for extent in shape:
        assert isinstance(extent, int), "rows are of known sizes"
        total *= extent
    return total


def _swapped(stride: Size, rows: Rows) -> Size:
    """Return a stride of rows as that of columns; those of larger steps stay."""
    if stride == 1:
        return rows.many
    return 1 if stride == rows.length else stride


def _is_whole(steps: Sequence[tuple[object, object]], rows: Rows) -> bool:
    """Return whether strides and extents run through rows and elements as they lie."""
    own = {(1, rows.length), (rows.length, rows.many)}
    if not own <= set(steps):
        return False
    rest = [s for s, e in steps if (s, e) not in own]
    return len(rest) == len(steps) - 2 and all(
        isinstance(s, int) and s % rows.size == 0 for s in rest
    )


def _reads_rows(offset: Index, plan: KernelPlan, rows: Rows) -> bool:
    """Return whether an index runs through rows by the last two axes of a loop."""
    last = len(plan.space) - 1
    if offset.constant != 0:
        return False
    if (offset.coefficient(last - 1), offset.coefficient(last)) != (rows.length, 1):
        return False
    return _is_whole([(c, plan.space[a]) for a, c in offset.terms], rows)


def _may_copy(plan: KernelPlan, launch: Launch, step: Load) -> bool:
    """Return whether an array is rows alone that a loop reads again and again."""
    buffer = launch.buffers[step.slot]
    own = product(buffer.type.shape)
    alike = all(
        x.offset == step.offset
        for x in plan.steps
        if isinstance(x, Load) and x.slot == step.slot
    )
    return (
        alike
        and not launch.offsets[step.slot]
        and own == product(plan.space[-2:])
        and 2 * _count(plan.space[-2:]) <= _count(plan.space)
    )
