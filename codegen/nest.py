"""The loops of a kernel: nests of scalar loops, and chunks of the vector axis.

The vector axis is the last axis of the space. What happens in a chunk is the caller's:
a map stores, a reduction folds. Tails and borders are masked.
"""

from collections.abc import Callable, Mapping, Sequence

from . import llvm
from .body import Body, bounds_axis, storage_type
from .collapse import collapse
from .cost import lane_bits, plan_cost
from .fold import BLOCK, LANES, fold_function, fold_one
from .index import Size, strides_of
from .lanes import Lanes
from .llvm import I64 as INT
from .llvm import Function, Module, Reg, const, const_lanes, vec, width_of
from .plan import Inside, KernelPlan, Output
from .ring import is_ringed, loop_in_registers
from .scalar import Typed, register_type
from .target import Target

HEAVY = 40  # a body above this cost is emitted once, masked, rather than with a tail
JOINED = 80  # the same for a body whose results have different extents


def vector_width(plan: KernelPlan, target: Target) -> int:
    """Return how many lanes a kernel runs in: a power of two, at most 32."""
    if not plan.space:
        return 1
    width = min(target.lanes(lane_bits(plan)), LANES)
    last = plan.space[-1]
    if isinstance(last, int):
        while width > 1 and width // 2 >= last:
            width //= 2
    return width


class Nest:
    """One kernel function being emitted."""

    def __init__(
        self,
        module: Module,
        target: Target,
        name: str,
        plan: KernelPlan,
        size_names: Sequence[str],
    ) -> None:
        self.module = module
        self.target = target
        self.plan = collapse(plan)
        joined = any(o.mask is not None for o in self.plan.outputs)
        self.cost = plan_cost(self.plan)
        self.heavy = self.cost > (JOINED if joined else HEAVY)
        self.width = vector_width(self.plan, target)
        rank = len(self.plan.space)
        self.axis = rank - 1 if rank else None
        self.names = size_names
        self.row = const(INT, 0)  # element of a reduction its vector axis begins at
        self.block: tuple[Reg, Reg] | None = None  # of the vector axis, while inside
        self.lanes: Lanes | None = None  # of a fold of the vector axis alone
        self.ring: list[list[Reg]] = []  # its lanes in registers instead, by fold
        self.fn = self._function(name)

    def _function(self, name: str) -> Function:
        params = [(llvm.PTR, ""), (llvm.PTR, "noalias"), (llvm.PTR, "noalias")]
        fn = self.module.function(name, llvm.I32, params)
        self.buffers, self.size_words = fn.args[1:]
        return fn

    def begin(self) -> Body:
        """Load slots and sizes and emit what depends on no loop."""
        fn = self.fn
        slots = [
            fn.load(fn.gep(self.buffers, const(INT, k), llvm.PTR), llvm.PTR)
            for k in range(len(self.plan.slots))
        ]
        sizes: Mapping[str, Reg] = {
            n: fn.load(fn.gep(self.size_words, const(INT, k), INT), INT)
            for k, n in enumerate(self.names)
        }
        body = Body(fn, self.plan, self.width, self.axis, slots, sizes)
        body.emit_ready()
        return body

    # -- loops -------------------------------------------------------------------------

    def nest(self, body: Body, axes: list[int], inner: Callable[[Body], None]) -> None:
        """Open scalar loops over `axes`, outermost first, and run `inner` inside."""
        if not axes:
            inner(body)
            return
        axis, rest = axes[0], axes[1:]

        def step(opened: Body) -> None:
            opened.emit_ready()
            self.nest(opened, rest, inner)

        extent = body.size(self.plan.space[axis])
        self.loop(body, axis, const(INT, 0), extent, 1, step)

    def loop(
        self,
        body: Body,
        axis: int,
        start: Reg,
        stop: Reg,
        by: int,
        inner: Callable[[Body], None],
    ) -> None:
        """Run `inner` for axis = start, start + by, ... < stop (maybe never)."""
        fn = self.fn
        if self.block is not None and axis == self.axis:
            start, stop = fn.smax(start, self.block[0]), fn.smin(stop, self.block[1])
        if is_ringed(self, body, axis, by):
            loop_in_registers(self, body, axis, start, stop, inner)
            return
        loop, done = fn.new_label("loop"), fn.new_label("done")
        known = stop.ref.lstrip("-").isdigit() and start.ref.lstrip("-").isdigit()
        if not (known and int(start.ref) < int(stop.ref)):
            fn.cond_br(fn.icmp("slt", start, stop), loop, done)
        else:
            fn.br(loop)
        before = fn.block
        fn.start(loop)
        var = fn.phi(INT, start, before)
        opened = body.fork()
        opened.vars[axis] = var
        inner(opened)
        following = fn.add(var, const(INT, by))
        fn.phi_edge(var, following, fn.block)
        fn.cond_br(fn.icmp("slt", following, stop), loop, done)
        fn.start(done)

    def blocks(
        self, body: Body, run: Callable[[Body], None], end: Callable[[Reg], None]
    ) -> None:
        """Run `run` for every chunk of the vector axis, and `end` after every block."""
        assert self.axis is not None
        fn = self.fn
        start, stop = self.share(body.size(self.plan.space[self.axis]))
        loop, done = fn.new_label("block"), fn.new_label("done")
        before = fn.block
        fn.cond_br(fn.icmp("slt", start, stop), loop, done)
        fn.start(loop)
        first = fn.phi(INT, start, before)
        after = fn.add(first, const(INT, BLOCK))
        self.block = first, fn.smin(after, stop)
        self.chunks(body.fork(), run)
        self.block = None
        end(first)
        fn.phi_edge(first, after, fn.block)
        fn.cond_br(fn.icmp("slt", after, stop), loop, done)
        fn.start(done)

    def share(self, count: Reg) -> tuple[Reg, Reg]:
        """Return which of `count` elements of a reduction are folded here."""
        return const(INT, 0), count

    def mask_from(self, start: Reg, low: Reg | None, stop: Reg) -> Reg:
        """Return which lanes from `start` on are below `stop` (and not below `low`)."""
        fn, width = self.fn, self.width
        if width == 1:
            test = fn.icmp("slt", start, stop)
            return test if low is None else fn.and_(test, fn.icmp("sge", start, low))
        lanes = const_lanes(vec(INT, width), range(width))
        at = fn.add(fn.splat(start, width), lanes)
        test = fn.icmp("slt", at, fn.splat(stop, width))
        if low is not None:
            test = fn.and_(test, fn.icmp("sge", at, fn.splat(low, width)))
        return test

    def chunks(self, body: Body, run: Callable[[Body], None]) -> None:
        """Run `run` for every chunk of the vector axis; the tail is masked.

        A cheap body is emitted twice, without and with a mask; a dear one once.
        """
        fn, width = self.fn, self.width
        assert self.axis is not None
        extent = self.plan.space[self.axis]
        zero, stop = const(INT, 0), body.size(extent)

        def full(opened: Body) -> None:
            opened.emit_ready()
            run(opened)

        def masked(opened: Body) -> None:
            assert self.axis is not None
            opened.lane_mask = self.mask_from(opened.vars[self.axis], None, stop)
            full(opened)

        if width == 1 or (
            isinstance(extent, int)
            and extent % width == 0
            and (extent == width or self.heavy or not self.has_borders())
        ):
            if extent == width:
                single = body.fork()
                single.vars[self.axis] = zero
                full(single)
            elif extent != 0:
                self.loop(body, self.axis, zero, stop, width, full)
            return
        if not self.target.has_masks:
            self._with_scalar_tail(body, stop, full)
            return
        if isinstance(extent, int) and extent < width:
            single = body.fork()
            single.vars[self.axis] = zero
            masked(single)
            return
        if not self.heavy and self.has_borders():
            self._peeled(body, stop, full)
            return
        if self.heavy:
            self.loop(body, self.axis, zero, stop, width, masked)
            return
        whole = fn.and_(stop, const(INT, -width))
        if isinstance(extent, int):
            whole = const(INT, extent // width * width)
        self.loop(body, self.axis, zero, whole, width, full)
        self.tail(body, whole, stop, masked)

    def tail(
        self, body: Body, whole: Reg, stop: Reg, masked: Callable[[Body], None]
    ) -> None:
        """Run the chunk behind the whole ones, if there is one."""
        fn = self.fn
        assert self.axis is not None
        if self.block is not None:
            self.loop(body, self.axis, whole, stop, self.width, masked)
            return
        tail, after = fn.new_label("tail"), fn.new_label("after")
        if isinstance(self.plan.space[self.axis], int):
            fn.br(tail)
        else:
            fn.cond_br(fn.icmp("slt", whole, stop), tail, after)
        fn.start(tail)
        rest = body.fork()
        rest.vars[self.axis] = whole
        masked(rest)
        fn.br(after)
        fn.start(after)

    def _borders(self) -> list[tuple[Size, Size]]:
        """Return (first, end) of each condition on the vector axis plus a constant."""
        return [
            (-1 * index.constant, extent - index.constant)
            for step in self.plan.steps
            if isinstance(step, Inside)
            for index, extent in step.conditions
            if bounds_axis(index, self.axis)
        ]

    def has_borders(self) -> bool:
        """Return whether conditions on the vector axis hold in its inside alone."""
        return self.target.has_masks and bool(self._borders())

    def _peeled(self, body: Body, stop: Reg, full: Callable[[Body], None]) -> None:
        """Run the chunks where all borders are passed unmasked, the others masked.

        Chunks run in ascending order, as folds demand.
        """
        fn, width = self.fn, self.width
        assert self.axis is not None
        low, high = const(INT, 0), stop
        for first, beyond in dict.fromkeys(self._borders()):
            low = fn.smax(low, body.size(first))
            high = fn.smin(high, body.size(beyond))
        low = fn.and_(fn.add(low, const(INT, width - 1)), const(INT, -width))
        low = fn.smin(low, stop)
        high = fn.smax(fn.and_(high, const(INT, -width)), low)
        # chunks begin at multiples of the width, so a low at the end has no interior

        def masked(opened: Body) -> None:
            assert self.axis is not None
            opened.lane_mask = self.mask_from(opened.vars[self.axis], None, stop)
            full(opened)

        before = fn.block
        border, after = fn.new_label("border"), fn.new_label("after")
        fn.br(border)
        fn.start(border)
        side = fn.phi(INT, const(INT, 0), before)
        ahead = fn.icmp("eq", side, const(INT, 0))
        start = fn.select(ahead, const(INT, 0), high)
        end = fn.select(ahead, low, stop)
        self.loop(body, self.axis, start, end, width, masked)
        inside = body.fork()
        inside.interior = True
        last = fn.select(ahead, high, low)
        self.loop(inside, self.axis, low, last, width, full)
        following = fn.add(side, const(INT, 1))
        fn.phi_edge(side, following, fn.block)
        fn.cond_br(fn.icmp("slt", following, const(INT, 2)), border, after)
        fn.start(after)

    def _with_scalar_tail(
        self, body: Body, stop: Reg, full: Callable[[Body], None]
    ) -> None:
        assert self.axis is not None
        fn, width = self.fn, self.width
        whole = fn.and_(stop, const(INT, -width))
        self.loop(body, self.axis, const(INT, 0), whole, width, full)
        self.width = 1
        single = body.fork()
        single.width = 1
        self.loop(single, self.axis, whole, stop, 1, full)
        self.width = width

    # -- stores ------------------------------------------------------------------------

    def store_all(self, body: Body) -> None:
        """Store every result that is not folded (and folds of no axis)."""
        for out in self.plan.outputs:
            if out.monoid is None:
                self.store(body, out)
            elif not self.plan.space:
                single = Typed(body.regs[out.step], out.dtype)
                made = fold_one(body.scalar, out.monoid, single)
                self.store_reg(body, out, made, ())

    def store(self, body: Body, out: Output) -> None:
        """Store a result of the space's shape."""
        vector = self.axis is not None
        reg = body.lanes(out.step) if vector else body.regs[out.step]
        mask = body.mask(out.mask)
        if mask is None or width_of(reg.ty) > 1:
            self.store_reg(body, out, reg, tuple(range(len(self.plan.space))), mask)
            return
        some, joined = self.fn.new_label("some"), self.fn.new_label("joined")
        self.fn.cond_br(mask, some, joined)
        self.fn.start(some)
        self.store_reg(body, out, reg, tuple(range(len(self.plan.space))))
        self.fn.br(joined)
        self.fn.start(joined)

    def store_reg(
        self,
        body: Body,
        out: Output,
        reg: Reg,
        axes: tuple[int, ...],
        mask: Reg | None = None,
    ) -> None:
        """Store a register at the loop variables of `axes`, the result's own axes."""
        fn = self.fn
        address = self.place(body, out, axes)
        held = body.to_storage(reg, out.dtype)
        if width_of(held.ty) == 1 or mask is None:
            fn.store(held, address)
            return
        if not self.heavy:
            fn.masked_store(held, address, mask)
            return
        # one body serves whole chunks and the tail: whole chunks store unmasked
        whole, part = fn.new_label("whole"), fn.new_label("part")
        joined = fn.new_label("joined")
        bits = f"i{width_of(held.ty)}"
        every = fn.icmp("eq", fn.bitcast(mask, bits), const(bits, -1))
        fn.cond_br(every, whole, part, True)
        fn.start(whole)
        fn.store(held, address)
        fn.br(joined)
        fn.start(part)
        fn.masked_store(held, address, mask)
        fn.br(joined)
        fn.start(joined)

    def place(self, body: Body, out: Output, axes: tuple[int, ...]) -> Reg:
        """Return the address of an element at the loop variables of `axes`."""
        fn = self.fn
        shape: tuple[Size, ...] = tuple(self.plan.space[a] for a in axes)
        offset: Reg | None = None
        strides = strides_of(shape) if out.strides is None else out.strides
        for a, stride in zip(axes, strides, strict=True):
            term = body.vars[a]
            if stride != 1:
                term = fn.mul(term, body.size(stride))
            offset = term if offset is None else fn.add(offset, term)
        address = body.slots[out.slot]
        if offset is not None:
            address = fn.gep(address, offset, storage_type(out.dtype, 1))
        return address

    def whole(self, axis: int) -> bool:
        """Return whether all of an axis is this function's."""
        return True

    def folds(self) -> list[Output]:
        """Return the results that are folded."""
        return [o for o in self.plan.outputs if o.monoid is not None]

    def end_block(self, lanes: Lanes, first: Reg) -> None:
        """End a block; `first` is its first element."""
        lanes.flush()

    def finish(self, body: Body, lanes: Lanes, kept: tuple[int, ...]) -> None:
        """Fold the lanes of each result and store it at the loop variables `kept`."""
        for out, held in zip(lanes.folds, lanes.totals, strict=True):
            name = fold_function(
                self.module, out.monoid or "", out.dtype, self.width, 1
            )
            value = self.fn.call(name, register_type(out.dtype, 1), (held,))
            self.store_reg(body, out, value, kept)
