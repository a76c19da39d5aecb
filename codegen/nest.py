"""The loops of a kernel: nests of scalar loops, and chunks of the vector axis.

The vector axis is the last axis of the space. What happens in a chunk is the caller's:
a map stores, a reduction folds. Tails and borders are masked.
"""

from collections.abc import Callable, Mapping, Sequence

from . import llvm
from .body import Body, bounds_axis, storage_type
from .collapse import collapse
from .cost import body_cost
from .fold import LANES, combine, fold_function, identity_of
from .index import Size, strides_of
from .llvm import I64 as INT
from .llvm import Function, Module, Reg, const, const_lanes, vec, width_of
from .plan import Apply, Inside, KernelPlan, Literally, Load, Output
from .ring import loop_in_registers
from .scalar import Typed, register_type
from .target import Target

HEAVY = 40  # a body above this cost is emitted once, masked, rather than with a tail
JOINED = 80  # the same for a body whose results have different extents
RING = 4  # vectors of lanes that stay in registers
LONG = 16  # chunks from which they do in a loop of known length
UNROLL = 8  # columns shorter than this are folded in registers


def plan_cost(plan: KernelPlan) -> int:
    """Return the cost of a body in cheap instructions."""
    return sum(
        body_cost(s.primitive, s.params, len(s.operands)) if isinstance(s, Apply) else 1
        for s in plan.steps
    )


def lane_bits(plan: KernelPlan) -> int:
    """Return the widest element a body computes with, in bits."""
    bits = 8
    for step in plan.steps:
        if (isinstance(step, Load | Apply) and step.dtype.kind != "b") or (
            isinstance(step, Literally) and step.dtype.is_float
        ):
            bits = max(bits, step.dtype.bits)
    for out in plan.outputs:
        if out.dtype.kind != "b":
            bits = max(bits, out.dtype.bits)
    return bits


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
        # of a reduction: the index its vector axis begins at, and where its lanes are
        self.row = const(INT, 0)
        self.memory: list[Reg] = []
        self.ring: list[list[Reg]] = []  # lanes in registers instead, by fold
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
        if self._is_ringed(body, axis, by):
            loop_in_registers(self, body, axis, start, stop, inner)
            return
        fn = self.fn
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
        following = self.following(axis, var, by)
        fn.phi_edge(var, following, fn.block)
        fn.cond_br(fn.icmp("slt", following, stop), loop, done)
        fn.start(done)

    def _is_ringed(self, body: Body, axis: int, by: int) -> bool:
        """Return whether the lanes of a fold stay in registers during a loop.

        They do where one fold takes its few vectors in turn, in a long loop over a body
        that leaves registers for them.
        """
        extent = self.plan.space[axis]
        return (
            bool(self.memory)
            and axis == self.axis
            and by == self.width > 1
            and len(self.folds()) * self.turns <= RING
            and not self.heavy
            and self.row.ref == "0"
            and (body.interior or not self._has_borders())
            and not (isinstance(extent, int) and extent < LONG * self.width)
        )

    @property
    def turns(self) -> int:
        """How many chunks there are before one has the lanes of the first again."""
        return LANES // self.width

    def following(self, axis: int, var: Reg, by: int) -> Reg:
        """Return what a loop variable is next."""
        return self.fn.add(var, const(INT, by))

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
            and (extent == width or self.heavy or not self._has_borders())
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
        if not self.heavy and self._has_borders():
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

    def _has_borders(self) -> bool:
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
                self.store_reg(body, out, self._single(body, out), ())

    def _single(self, body: Body, out: Output) -> Reg:
        """Return the fold of one element: the identity combined with it."""
        reg = body.regs[out.step]
        start = const(reg.ty, identity_of(out.monoid or "add", out.dtype))
        return combine(
            body.scalar, out.monoid or "add", Typed(start, out.dtype),
            Typed(reg, out.dtype),
        ).reg  # fmt: skip

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
        shape: tuple[Size, ...] = tuple(self.plan.space[a] for a in axes)
        offset: Reg | None = None
        for a, stride in zip(axes, strides_of(shape), strict=True):
            term = body.vars[a]
            if stride != 1:
                term = fn.mul(term, body.size(stride))
            offset = term if offset is None else fn.add(offset, term)
        address = body.slots[out.slot]
        if offset is not None:
            address = fn.gep(address, offset, storage_type(out.dtype, 1))
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

    def folds(self) -> list[Output]:
        """Return the results that are folded."""
        return [o for o in self.plan.outputs if o.monoid is not None]

    def keeps(self, body: Body, linear: Reg) -> bool:
        """Return whether the values of a chunk are kept instead of folded here."""
        return False

    def lanes_held(self, fold: int, at: Reg, ty: str) -> Reg:
        """Return what the lanes of a chunk have come to; `fold` is a number."""
        return self.ring[fold][0] if self.ring else self.fn.load(at, ty)

    def hold_lanes(self, fold: int, at: Reg, value: Reg) -> None:
        """Keep what the lanes of a chunk have come to."""
        if self.ring:
            self.ring[fold] = [*self.ring[fold][1:], value]
        else:
            self.fn.store(value, at)

    def finish(
        self, body: Body, folds: list[Output], lanes: list[Reg], kept: tuple[int, ...]
    ) -> None:
        """Fold the lanes of each result and store it at the loop variables `kept`."""
        for out, held in zip(folds, lanes, strict=True):
            name = fold_function(
                self.module, out.monoid or "", out.dtype, self.width, 1
            )
            value = self.fn.call(name, register_type(out.dtype, 1), (held,))
            self.store_reg(body, out, value, kept)
