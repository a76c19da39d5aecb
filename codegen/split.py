"""Split a loop kernel into parts that threads run at once, with the bits of one.

Loops over results are split by ranges that begin at multiples of 64 elements. A fold of
everything has one result, so it is split by lanes: of every 32 elements a part takes
those of its own lanes, and the caller folds the 32 lanes that the parts leave.

A kernel that may be split is three functions: all of it, as it runs on one thread; one
part of it; and the one that has the kernel's name and chooses.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..ir.sizes import SizeExpr, product
from ..ir.types import BOOL
from . import llvm
from .body import Body
from .collapse import collapse
from .fold import LANES, fold_function
from .frame import KERNEL_PARAMS, OK
from .index import Size
from .llvm import I32, I64, PTR, Function, Module, Reg, const, vec
from .nest import Nest, plan_cost, vector_width
from .plan import KernelPlan, Output
from .scalar import register_type
from .sizes import emit_size
from .target import Target

UNIT = 64  # elements of the vector axis that stay together: a cache line at least
FEW = 1024  # known columns of a fold of rows from which they are split
SHARES = 2  # parts of 32 lanes: with more, lines of memory would lie far apart
RING = 4  # vectors of lanes that a part keeps in registers
NAMED = 1 << 20  # what a named size counts as where axes are compared

# docs/abi.md: pb_ctx, and the table its `pool` points to.
CONTEXT_POOL, CONTEXT_THREADS = 32, 40
TABLE_RUN, TABLE_STATE = 0, 8
PART_PARAMS = [(PTR, ""), (I32, ""), (I32, "")]

# What a part is given, in bytes: context, buffers, sizes, memory of lanes.
_CONTEXT, _BUFFERS, _SIZES, _LANES = 0, 8, 16, 24
_ARGUMENT_WORDS = 4
_LANES_BYTES = LANES * 8


class Split(NamedTuple):
    """How a kernel is split: the axis, and what of it stays together.

    `parts` is 0 for ranges of any number; of lanes there are exactly so many parts.
    """

    axis: int
    unit: int
    parts: int = 0

    @property
    def text(self) -> str:
        """How it is split, for people."""
        return "by lanes" if self.parts else "by ranges"


def choose_split(plan: KernelPlan, target: Target) -> Split | None:
    """Return how a plan whose axes are collapsed is split; None where it cannot be."""
    last = len(plan.space) - 1
    if last < 0:
        return None
    kept = [a for a in range(last + 1) if a not in plan.reduced]
    if not kept:
        extent = plan.space[last]
        if isinstance(extent, int) and extent < 2 * LANES:
            return None  # rows that have few lanes for each part
        width = vector_width(plan, target)
        return Split(last, width, SHARES) if width * SHARES <= LANES else None
    best: Split | None = None
    most = 1
    for a in kept:
        unit = UNIT if a == last else 1
        extent = plan.space[a]
        if a == last and plan.reduced and isinstance(extent, int) and extent < FEW:
            continue
        units = NAMED if isinstance(extent, SizeExpr) else -(-extent // unit)
        if units > most:
            best, most = Split(a, unit), min(units, NAMED)
    return best


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
        self.ring: list[list[Reg]] = []  # lanes in registers, by fold
        super().__init__(module, target, name, plan, size_names)

    def _function(self, name: str) -> Function:
        fn = self.module.function(name, I32, PART_PARAMS)
        argument, index, count = fn.args
        self.buffers = _word(fn, argument, _BUFFERS)
        self.size_words = _word(fn, argument, _SIZES)
        self.lanes = fn.gep(argument, const(I64, _LANES))
        self.index = fn.convert("zext", index, I64)
        self.count = fn.convert("zext", count, I64)
        return fn

    def begin(self) -> Body:
        body = super().begin()
        fn, split = self.fn, self.split
        if split.parts:
            share = LANES // split.parts
            self.low = fn.mul(const(I64, share), self.index)
            self.high = fn.add(self.low, const(I64, share))
            return body
        unit = const(I64, split.unit)
        extent = body.size(self.plan.space[split.axis])
        units = fn.add(extent, const(I64, split.unit - 1))
        units = fn.udiv(units, unit)
        following = fn.add(self.index, const(I64, 1))
        self.low = fn.mul(fn.udiv(fn.mul(units, self.index), self.count), unit)
        self.high = fn.mul(fn.udiv(fn.mul(units, following), self.count), unit)
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
            if self.split.parts:
                start = self._first(start)
                if by == self.split.unit and LANES // self.split.parts <= RING * by:
                    self._loop_in_registers(body, start, stop, inner)
                    return
            else:
                start = self.fn.smax(start, self.low)
                stop = self.fn.smin(stop, self.high)
        super().loop(body, axis, start, stop, by, inner)

    def _loop_in_registers(
        self, body: Body, start: Reg, stop: Reg, inner: Callable[[Body], None]
    ) -> None:
        """Run chunks with their lanes in a ring of registers, the next one's first."""
        fn, axis = self.fn, self.split.axis
        loop, left, done = (fn.new_label(x) for x in ("loop", "left", "done"))
        folds = [
            (vec(register_type(out.dtype, 1), self.width), register_type(out.dtype, 1))
            for out in self.folds()
        ]
        found = [
            [fn.load(fn.gep(held, lane, elem), ty) for lane in self._lanes_from(start)]
            for held, (ty, elem) in zip(self.memory, folds, strict=True)
        ]
        fn.cond_br(fn.icmp("slt", start, stop), loop, done)
        before = fn.block
        fn.start(loop)
        opened = body.fork()
        var = opened.vars[axis] = fn.phi(I64, start, before)
        phis = [[fn.phi(x.ty, x, before) for x in regs] for regs in found]
        self.ring = [list(regs) for regs in phis]
        inner(opened)
        ring, self.ring = self.ring, []
        after = self.following(axis, var, self.width)
        fn.phi_edge(var, after, fn.block)
        for regs, values in zip(phis, ring, strict=True):
            for phi, value in zip(regs, values, strict=True):
                fn.phi_edge(phi, value, fn.block)
        fn.cond_br(fn.icmp("slt", after, stop), loop, left)
        fn.start(left)
        lanes = self._lanes_from(after)
        for held, (_, elem), values in zip(self.memory, folds, ring, strict=True):
            for lane, value in zip(lanes, values, strict=True):
                fn.store(value, fn.gep(held, lane, elem))
        fn.br(done)
        fn.start(done)

    def _lanes_from(self, chunk: Reg) -> list[Reg]:
        """Return the first lane of a chunk and of those after it, up to all."""
        fn, out = self.fn, []
        for _ in range(LANES // self.split.parts // self.width):
            out.append(fn.and_(fn.add(self.row, chunk), const(I64, LANES - 1)))
            chunk = self.following(self.split.axis, chunk, self.width)
        return out

    def lanes_held(self, fold: int, at: Reg, ty: str) -> Reg:
        return self.ring[fold][0] if self.ring else super().lanes_held(fold, at, ty)

    def hold_lanes(self, fold: int, at: Reg, value: Reg) -> None:
        if self.ring:
            self.ring[fold] = [*self.ring[fold][1:], value]
        else:
            super().hold_lanes(fold, at, value)

    def following(self, axis: int, var: Reg, by: int) -> Reg:
        """Return the chunk after one: of lanes, the next one of this part."""
        fn, after = self.fn, super().following(axis, var, by)
        if axis != self.split.axis or not self.split.parts:
            return after
        share = LANES // self.split.parts
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
        if not self.split.parts:
            super().finish(body, folds, lanes, kept)
            return
        fn, width = self.fn, self.width
        shared = fn.load(self.lanes, PTR)
        for k, (out, held) in enumerate(zip(folds, lanes, strict=True)):
            elem = register_type(out.dtype, 1)
            base = fn.gep(shared, const(I64, k * _LANES_BYTES))
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


def _word(fn: Function, base: Reg, offset: int) -> Reg:
    return fn.load(fn.gep(base, const(I64, offset)), PTR)


def emit_split(
    module: Module,
    target: Target,
    name: str,
    plan: KernelPlan,
    names: Sequence[str],
    above: int | None,
    emit: Callable[[Nest], None],
) -> Split | None:
    """Write a kernel, and its parts where it costs `above` or more; returns how.

    `emit` writes the loops of a nest.
    """
    work = work_of(plan)
    split: Split | None = None
    if above is not None and not (isinstance(work, int) and work < above):
        split = choose_split(collapse(plan), target)
    if split is None:
        emit(Nest(module, target, name, plan, names))
        return None
    whole, part = f"{name}_whole", f"{name}_part"
    emit(Nest(module, target, whole, plan, names))
    nest = _PartNest(module, target, part, plan, names, split)
    emit(nest)
    least = const(I64, above or 0)

    def enough(fn: Function) -> Reg | None:
        if isinstance(work, int):
            return None
        env = {
            n: fn.load(fn.gep(fn.args[2], const(I64, k), I64), I64)
            for k, n in enumerate(names)
        }
        return fn.icmp("sge", emit_size(fn, work, env), least)

    fn = emit_choice(module, name, whole, enough)
    lanes = Reg("null", PTR)
    folds = nest.folds()
    if split.parts:
        lanes = fn.alloca(llvm.I8, _LANES_BYTES * len(folds))
    if split.parts:
        count = const(I32, split.parts)
    else:
        count = fn.load(fn.gep(fn.args[0], const(I64, CONTEXT_THREADS)), I32)
    run_parts(fn, part, (*fn.args, lanes), count)
    for k, out in enumerate(folds if split.parts else ()):
        held = fn.gep(lanes, const(I64, k * _LANES_BYTES))
        folded = fold_function(module, out.monoid or "", out.dtype, split.unit, 1)
        value = fn.call(folded, register_type(out.dtype, 1), (held,))
        if out.dtype is BOOL:
            value = fn.convert("zext", value, llvm.I8)
        slot = fn.load(fn.gep(fn.args[1], const(I64, out.slot), PTR), PTR)
        fn.store(value, slot)
    fn.ret(OK)
    return split


def emit_choice(
    module: Module, name: str, whole: str, enough: Callable[[Function], Reg | None]
) -> Function:
    """Begin a kernel that calls `whole` unless there are threads and `enough` work.

    The function goes on where it runs in parts.
    """
    fn = module.function(name, I32, KERNEL_PARAMS)
    ctx = fn.args[0]
    null = Reg("null", PTR)
    alone, given, several, parts = "alone", "given", "several", "parts"
    fn.cond_br(fn.icmp("eq", ctx, null), alone, given)
    fn.start(given)
    pool = _word(fn, ctx, CONTEXT_POOL)
    threads = fn.load(fn.gep(ctx, const(I64, CONTEXT_THREADS)), I32)
    held = fn.icmp("ne", pool, null)
    held = fn.and_(held, fn.icmp("sgt", threads, const(I32, 1)))
    fn.cond_br(held, several, alone)
    fn.start(several)
    large = enough(fn)
    if large is None:
        fn.br(parts)
    else:
        fn.cond_br(large, parts, alone)
    fn.start(alone)
    fn.ret(fn.call(whole, I32, fn.args))
    fn.start(parts)
    return fn


def run_parts(fn: Function, part: str, words: Sequence[Reg], count: Reg) -> None:
    """Have the caller's threads run `part` on a list of addresses; leave on failure."""
    argument = fn.alloca(PTR, len(words))
    for k, word in enumerate(words):
        fn.store(word, fn.gep(argument, const(I64, k), PTR))
    pool = _word(fn, fn.args[0], CONTEXT_POOL)
    run = _word(fn, pool, TABLE_RUN)
    state = _word(fn, pool, TABLE_STATE)
    code = fn.call_ptr(run, I32, (state, Reg(f"@{part}", PTR), argument, count))
    bad, good = fn.new_label("failed"), fn.new_label("joined")
    fn.cond_br(fn.icmp("ne", code, OK), bad, good, False)
    fn.start(bad)
    fn.ret(code)
    fn.start(good)
