"""Split a loop kernel into parts that threads run at once, with the bits of one.

Loops over results are split by ranges that begin at multiples of 64 elements. A fold of
everything has one result, so it is split by lanes: of every 32 elements a part takes
those of its own lanes, and the caller folds the 32 lanes that the parts leave. One that
also stores is split by blocks, see `blocks.py`; or stores first and then folds, where
computing twice costs less.

A kernel that may be split is three functions: all of it, as it runs on one thread; one
part of it; and the one that has the kernel's name and chooses.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..ir.sizes import SizeExpr, product
from ..ir.types import BOOL
from . import llvm
from .blocks import (
    FIRST_WORD,
    LANES_BYTES,
    LANES_WORD,
    STOP_WORD,
    VALUES_BYTES,
    VALUES_WORD,
    emit_blocks,
    emit_fold,
)
from .body import Body, bounds_axis
from .collapse import collapse
from .fold import LANES, fold_function
from .frame import OK
from .index import Size
from .llvm import I32, I64, PTR, Function, Module, Reg, const, vec
from .nest import HEAVY, RING, Nest, plan_cost, vector_width
from .parts import (
    PART_PARAMS,
    argument_word,
    emit_choice,
    run_parts,
    thread_count,
)
from .plan import Inside, KernelPlan, Output
from .ring import loop_in_registers
from .scalar import register_type
from .sizes import emit_size
from .target import Target

UNIT = 64  # elements of the vector axis that stay together: a cache line at least
FEW = 1024  # known columns of a fold of rows from which they are split
SHARES = 2  # parts of 32 lanes: with more, lines of memory would lie far apart
NAMED = 1 << 20  # what a named size counts as where axes are compared

RANGES, LANEWISE, BLOCKS = "by ranges", "by lanes", "by blocks"
TWICE = "by ranges, then by lanes"


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
        width = vector_width(plan, target)
        stores = any(out.monoid is None for out in plan.outputs)
        if isinstance(extent, int) and extent < 2 * LANES:
            return None  # rows that have few lanes for each part
        if width * SHARES > LANES or any(out.dtype is BOOL for out in plan.outputs):
            return None
        if not stores:
            return Split(LANEWISE, last, width)
        if plan_cost(plan) <= HEAVY:
            inner = choose_split(collapse(storing(plan)), target)
            return inner and Split(TWICE, last, width)
        if last != 0 or any(fold_extent(plan, out) is None for out in plan.outputs):
            return None
        return Split(BLOCKS, last, UNIT)
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


def storing(plan: KernelPlan) -> KernelPlan:
    """Return the part of a plan that stores."""
    outputs = tuple([out for out in plan.outputs if out.monoid is None])
    return plan._replace(reduced=(), outputs=outputs)


def folding(plan: KernelPlan) -> KernelPlan:
    """Return the part of a plan that folds."""
    outputs = tuple([out for out in plan.outputs if out.monoid is not None])
    return plan._replace(outputs=outputs)


def fold_extent(plan: KernelPlan, out: Output) -> Size | None:
    """Return below which index of the one axis a result is computed, if it is that."""
    if out.mask is None:
        return plan.space[0]
    step = plan.steps[out.mask]
    if isinstance(step, Inside) and step.parent is None and len(step.conditions) == 1:
        index, extent = step.conditions[0]
        if index.constant == 0 and bounds_axis(index, 0):
            return extent
    return None


def work_of(plan: KernelPlan) -> Size:
    """Return what running a kernel costs, in cheap instructions of one element."""
    return product(plan.space) * (plan_cost(plan) + len(plan.outputs))


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
        if split.how == LANEWISE:
            share = const(I64, LANES // SHARES)
            self.low = fn.mul(share, self.index)
            self.high = fn.add(self.low, share)
            return body
        self.first, extent = const(I64, 0), body.size(self.plan.space[split.axis])
        if split.how == BLOCKS:
            self.first = argument_word(fn, self.argument, FIRST_WORD, I64)
            stop = argument_word(fn, self.argument, STOP_WORD, I64)
            extent = fn.sub(stop, self.first)
            self.values = argument_word(fn, self.argument, VALUES_WORD, PTR)
        unit = const(I64, split.unit)
        units = fn.add(extent, const(I64, split.unit - 1))
        units = fn.udiv(units, unit)
        following = fn.add(self.index, const(I64, 1))
        low = fn.mul(fn.udiv(fn.mul(units, self.index), self.count), unit)
        high = fn.mul(fn.udiv(fn.mul(units, following), self.count), unit)
        self.low, self.high = fn.add(self.first, low), fn.add(self.first, high)
        return body

    def loop(
        self,
        body: Body,
        axis: int,
        start: Reg,
        stop: Reg,
        by: int,
        inner: Callable[[Body], None],
    ) -> None:
        if axis == self.split.axis:
            if self.split.how == LANEWISE:
                start = self._first(start)
                if by == self.split.unit and RING * by >= LANES // SHARES:
                    loop_in_registers(self, body, axis, start, stop, inner)
                    return
            else:
                start = self.fn.smax(start, self.low)
                stop = self.fn.smin(stop, self.high)
        super().loop(body, axis, start, stop, by, inner)

    @property
    def turns(self) -> int:
        return super().turns // SHARES if self.split.how == LANEWISE else super().turns

    def _is_ringed(self, body: Body, axis: int, by: int) -> bool:
        return False  # `loop` says where

    def following(self, axis: int, var: Reg, by: int) -> Reg:
        """Return the chunk after one: of lanes, the next one of this part."""
        fn, after = self.fn, super().following(axis, var, by)
        if axis != self.split.axis or self.split.how != LANEWISE:
            return after
        share = LANES // SHARES
        linear = fn.add(self.row, after)
        over = fn.icmp("eq", fn.and_(linear, const(I64, share - 1)), const(I64, 0))
        jump = fn.select(over, const(I64, LANES - share), const(I64, 0))
        return fn.add(after, jump)

    def _first(self, start: Reg) -> Reg:
        """Return the first chunk of this part's lanes from `start` on."""
        fn = self.fn
        lane = fn.and_(fn.add(self.row, start), const(I64, LANES - 1))
        ahead = fn.select(
            fn.icmp("slt", lane, self.high), lane, fn.add(self.low, const(I64, LANES))
        )
        lands = fn.select(fn.icmp("slt", lane, self.low), self.low, ahead)
        return fn.add(fn.sub(start, lane), lands)

    def keeps(self, body: Body, linear: Reg) -> bool:
        """Put the values of a block down for who folds them."""
        if self.split.how != BLOCKS:
            return False
        fn = self.fn
        at = fn.sub(linear, self.first)
        for k, out in enumerate(self.folds()):
            base = fn.gep(self.values, const(I64, k * VALUES_BYTES))
            elem = register_type(out.dtype, 1)
            fn.store(body.lanes(out.step), fn.gep(base, at, elem))
        return True

    def tail(
        self, body: Body, whole: Reg, stop: Reg, masked: Callable[[Body], None]
    ) -> None:
        if self.axis != self.split.axis:
            super().tail(body, whole, stop, masked)
            return
        self.loop(body, self.split.axis, whole, stop, self.width, masked)

    def finish(
        self, body: Body, folds: list[Output], lanes: list[Reg], kept: tuple[int, ...]
    ) -> None:
        """Leave the lanes of this part to the caller, who folds them."""
        if self.split.how == RANGES:
            super().finish(body, folds, lanes, kept)
        if self.split.how != LANEWISE:
            return
        fn, width = self.fn, self.width
        shared = argument_word(fn, self.argument, LANES_WORD, PTR)
        for k, (out, held) in enumerate(zip(folds, lanes, strict=True)):
            elem = register_type(out.dtype, 1)
            base = fn.gep(shared, const(I64, k * LANES_BYTES))
            before = fn.block
            leave, left = fn.new_label("leave"), fn.new_label("left")
            fn.br(leave)
            fn.start(leave)
            lane = fn.phi(I64, self.low, before)
            value = fn.load(fn.gep(held, lane, elem), vec(elem, width))
            fn.store(value, fn.gep(base, lane, elem))
            after = fn.add(lane, const(I64, width))
            fn.phi_edge(lane, after, fn.block)
            fn.cond_br(fn.icmp("slt", after, self.high), leave, left)
            fn.start(left)


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
    rest = f"{name}_rest"
    if split.how == TWICE:
        plan, first = folding(plan), storing(plan)
        inner = choose_split(collapse(first), target)
        assert inner is not None, "found before"
        emit(_PartNest(module, target, rest, first, names, inner))
        lanewise = choose_split(collapse(plan), target)
        assert lanewise is not None, "found before"
        nest = _PartNest(module, target, part, plan, names, lanewise)
    else:
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
    lanes = fn.alloca(llvm.I8, LANES_BYTES * len(folds))
    words = [*fn.args, lanes]
    scratch = 0
    if split.how == TWICE:
        run_parts(fn, rest, fn.args, thread_count(fn))
    if split.how in (LANEWISE, TWICE):
        run_parts(fn, part, words, const(I32, SHARES))
    else:
        fold = f"{name}_fold"
        emit_fold(module, fold, folds, nest.width, SHARES)
        slot = const(I64, len(plan.slots))
        ends = [fold_extent(nest.plan, out) for out in folds]
        words.append(fn.load(fn.gep(fn.args[1], slot, PTR), PTR))
        extent = number(fn, nest.plan.space[0])
        counts = thread_count(fn), const(I32, SHARES)
        limits = [number(fn, end) for end in ends if end is not None]
        emit_blocks(fn, part, fold, folds, nest.width, words, extent, limits, counts)
        scratch = VALUES_BYTES * len(folds)
    for k, out in enumerate(folds):
        held = fn.gep(lanes, const(I64, k * LANES_BYTES))
        name = fold_function(module, out.monoid or "", out.dtype, nest.width, 1)
        value = fn.call(name, register_type(out.dtype, 1), (held,))
        place = fn.load(fn.gep(fn.args[1], const(I64, out.slot), PTR), PTR)
        fn.store(value, place)
    fn.ret(OK)
    return scratch
