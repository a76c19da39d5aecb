"""Split a loop kernel into parts that threads run at once, with the bits of one.

Loops over results are split by ranges that begin at multiples of 64 elements. A fold of
everything has one result, so it is split by the blocks of its elements: each part
leaves the lanes of its blocks, and the caller combines them in order (`fold.py` has the
law).

A kernel that may be split is three functions: all of it, as it runs on one thread; one
part of it; and the one that has the kernel's name and chooses.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..ir.sizes import SizeExpr, product
from ..ir.types import BOOL
from .body import Body
from .collapse import collapse
from .cost import plan_cost
from .fold import BLOCK, LANES, fold_function
from .frame import OK
from .index import Size
from .lanes import Lanes, block_of, has_blocks
from .llvm import I32, I64, PTR, Function, Module, Reg, const
from .nest import Nest
from .parts import (
    PART_PARAMS,
    argument_word,
    emit_choice,
    run_parts,
    thread_count,
)
from .plan import KernelPlan
from .scalar import register_type
from .sizes import emit_size
from .target import Target

UNIT = 64  # elements of the vector axis that stay together: a cache line at least
FEW = 1024  # known columns of a fold of rows from which they are split
NAMED = 1 << 20  # what a named size counts as where axes are compared
MOST = 256  # blocks that parts fold before the caller combines their lanes

LANES_BYTES = LANES * 8  # of a fold, in a block
# What a part of a fold is given, in words: context, buffers, sizes; the memory of the
# blocks' lanes, and the first block and the element behind the last one.
LANES_WORD, FIRST_WORD, STOP_WORD = 3, 4, 5

RANGES, BLOCKS = "by ranges", "by blocks"


class Split(NamedTuple):
    """How a kernel is split: the axis, and how many of its elements stay together."""

    how: str
    axis: int
    unit: int


def choose_split(plan: KernelPlan, target: Target) -> Split | None:
    """Return how a plan whose axes are collapsed is split; None where it cannot be."""
    last = len(plan.space) - 1
    if last < 0:
        return None
    kept = [a for a in range(last + 1) if a not in plan.reduced]
    if not kept:
        extent = plan.space[last]
        short = last > 0 and isinstance(extent, int) and extent < UNIT
        if short or not has_blocks(plan.space):
            return None  # a short last axis may be no loop, whose range is cut
        if any(out.dtype is BOOL for out in plan.outputs if out.monoid):
            return None
        return Split(BLOCKS, last, BLOCK)
    best: Split | None = None
    most = 1
    for a in kept:
        unit = UNIT if a == last else 1
        extent = plan.space[a]
        if a == last and plan.reduced and isinstance(extent, int) and extent < FEW:
            continue
        units = NAMED if isinstance(extent, SizeExpr) else -(-extent // unit)
        if units > most:
            best, most = Split(RANGES, a, unit), min(units, NAMED)
    return best


def work_of(plan: KernelPlan) -> Size:
    """Return what running a kernel costs, in cheap instructions of one element."""
    return product(plan.space) * (plan_cost(plan) + len(plan.outputs))


def _share(fn: Function, units: Reg, index: Reg, count: Reg) -> tuple[Reg, Reg]:
    """Return which of `units` the part `index` of `count` takes."""
    following = fn.add(index, const(I64, 1))
    low = fn.udiv(fn.mul(units, index), count)
    return low, fn.udiv(fn.mul(units, following), count)


class _PartNest(Nest):
    """One part of a kernel: the loop over the split axis takes its share."""

    def __init__(
        self,
        module: Module,
        target: Target,
        name: str,
        plan: KernelPlan,
        size_names: Sequence[str],
        split: Split,
    ) -> None:
        self.split = split
        super().__init__(module, target, name, plan, size_names)

    def _function(self, name: str) -> Function:
        fn = self.module.function(name, I32, PART_PARAMS)
        argument, index, count = fn.args
        self.argument = argument
        self.buffers = argument_word(fn, argument, 1, PTR)
        self.size_words = argument_word(fn, argument, 2, PTR)
        self.index = fn.convert("zext", index, I64)
        self.count = fn.convert("zext", count, I64)
        return fn

    def begin(self) -> Body:
        body = super().begin()
        fn, split = self.fn, self.split
        unit = const(I64, split.unit)
        if split.how == BLOCKS:
            self.first = argument_word(fn, self.argument, FIRST_WORD, I64)
            stop = argument_word(fn, self.argument, STOP_WORD, I64)
            units = block_of(
                fn, fn.add(fn.sub(stop, self.first), const(I64, BLOCK - 1))
            )
            low, high = _share(fn, units, self.index, self.count)
            self.low = fn.add(self.first, fn.mul(low, unit))
            self.high = fn.smin(fn.add(self.first, fn.mul(high, unit)), stop)
            return body
        extent = body.size(self.plan.space[split.axis])
        units = fn.udiv(fn.add(extent, const(I64, split.unit - 1)), unit)
        low, high = _share(fn, units, self.index, self.count)
        self.low, self.high = fn.mul(low, unit), fn.mul(high, unit)
        return body

    def share(self, count: Reg) -> tuple[Reg, Reg]:
        return (
            (self.low, self.high)
            if self.split.how == BLOCKS
            else (const(I64, 0), count)
        )

    def loop(
        self,
        body: Body,
        axis: int,
        start: Reg,
        stop: Reg,
        by: int,
        inner: Callable[[Body], None],
    ) -> None:
        fn = self.fn
        low, high = self.low, self.high
        if self.split.how == BLOCKS and len(self.plan.space) > 1:
            if axis == self.axis:
                low, high = fn.sub(low, self.row), fn.sub(high, self.row)
                start, stop = fn.smax(start, low), fn.smin(stop, high)
            elif axis == 0:  # the rows that have elements of this part
                behind = body.size(product(self.plan.space[1:]))
                behind = fn.smax(behind, const(I64, 1))
                start = fn.smax(start, fn.udiv(low, behind))
                rows = fn.udiv(fn.add(high, fn.sub(behind, const(I64, 1))), behind)
                stop = fn.smin(stop, rows)
        elif self.split.how == RANGES and axis == self.split.axis:
            start, stop = fn.smax(start, low), fn.smin(stop, high)
        super().loop(body, axis, start, stop, by, inner)

    def whole(self, axis: int) -> bool:
        return axis != self.split.axis

    def tail(
        self, body: Body, whole: Reg, stop: Reg, masked: Callable[[Body], None]
    ) -> None:
        if self.axis != self.split.axis:
            super().tail(body, whole, stop, masked)
            return
        self.loop(body, self.split.axis, whole, stop, self.width, masked)

    def end_block(self, lanes: Lanes, first: Reg) -> None:
        """Leave the lanes of a block to the caller."""
        if self.split.how == RANGES:
            super().end_block(lanes, first)
            return
        fn = self.fn
        held = argument_word(fn, self.argument, LANES_WORD, PTR)
        number = block_of(fn, fn.sub(first, self.first))
        bytes_a_block = const(I64, LANES_BYTES * len(lanes.folds))
        held = fn.gep(held, fn.mul(number, bytes_a_block))
        lanes.flush(
            [fn.gep(held, const(I64, LANES_BYTES * k)) for k in range(len(lanes.folds))]
        )

    def finish(self, body: Body, lanes: Lanes, kept: tuple[int, ...]) -> None:
        if self.split.how == RANGES:
            super().finish(body, lanes, kept)


def find_split(plan: KernelPlan, target: Target, above: int | None) -> Split | None:
    """Return how a plan that may cost `above` or more is split, if it is."""
    if above is None:
        return None
    work = work_of(plan)
    if isinstance(work, int) and work < above:
        return None
    return choose_split(collapse(plan), target)


def emit_split(
    module: Module,
    target: Target,
    name: str,
    plan: KernelPlan,
    names: Sequence[str],
    above: int,
    split: Split,
    emit: Callable[[Nest], None],
) -> int:
    """Write a kernel that runs in parts where it costs `above` or more.

    `emit` writes the loops of a nest. Returns the bytes of scratch, which begins where
    the last slot says.
    """
    work = work_of(plan)
    whole, part = f"{name}_whole", f"{name}_part"
    emit(Nest(module, target, whole, plan, names))
    nest = _PartNest(module, target, part, plan, names, split)
    emit(nest)

    def number(fn: Function, size: Size) -> Reg:
        env = {
            n: fn.load(fn.gep(fn.args[2], const(I64, k), I64), I64)
            for k, n in enumerate(names)
        }
        return emit_size(fn, size, env)

    def enough(fn: Function) -> Reg | None:
        if isinstance(work, int):
            return None
        return fn.icmp("sge", number(fn, work), const(I64, above))

    fn = emit_choice(module, name, whole, enough)
    if split.how == RANGES:
        run_parts(fn, part, fn.args, thread_count(fn))
        fn.ret(OK)
        return 0
    folds = nest.folds()
    held = fn.load(fn.gep(fn.args[1], const(I64, len(plan.slots)), PTR), PTR)
    lanes = Lanes(fn, module, folds, nest.width, False)
    extent = number(fn, product(nest.plan.space))
    _run_blocks(fn, part, lanes, held, extent)
    for out, memory in zip(folds, lanes.memory, strict=True):
        fold = fold_function(module, out.monoid or "", out.dtype, nest.width, 1)
        value = fn.call(fold, register_type(out.dtype, 1), (memory,))
        place = fn.load(fn.gep(fn.args[1], const(I64, out.slot), PTR), PTR)
        fn.store(value, place)
    fn.ret(OK)
    return MOST * LANES_BYTES * len(folds)


def _run_blocks(fn: Function, part: str, lanes: Lanes, held: Reg, extent: Reg) -> None:
    """Fold blocks of `extent` elements in parts, into `lanes`; `held` is scratch."""
    job, combine, done = (fn.new_label(x) for x in ("job", "combine", "done"))
    before = fn.block
    fn.cond_br(fn.icmp("sgt", extent, const(I64, 0)), job, done)
    fn.start(job)
    first = fn.phi(I64, const(I64, 0), before)
    after = fn.add(first, const(I64, MOST * BLOCK))
    stop = fn.smin(after, extent)
    run_parts(fn, part, [*fn.args, held, first, stop], thread_count(fn))
    ran = fn.block
    blocks = block_of(fn, fn.add(fn.sub(stop, first), const(I64, BLOCK - 1)))
    fn.br(combine)
    fn.start(combine)
    number = fn.phi(I64, const(I64, 0), ran)
    at = fn.gep(held, fn.mul(number, const(I64, LANES_BYTES * len(lanes.folds))))
    lanes.add(
        [fn.gep(at, const(I64, LANES_BYTES * k)) for k in range(len(lanes.folds))]
    )
    following = fn.add(number, const(I64, 1))
    fn.phi_edge(number, following, fn.block)
    again = fn.new_label("ended")
    fn.cond_br(fn.icmp("slt", following, blocks), combine, again)
    fn.start(again)
    fn.phi_edge(first, after, fn.block)
    fn.cond_br(fn.icmp("slt", after, extent), job, done)
    fn.start(done)
