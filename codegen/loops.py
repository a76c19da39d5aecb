"""Emit a kernel plan as a loop nest.

The vector axis is the last axis of the space. Three nests: no reduction; a reduction
that includes the last axis (32 lanes of one result, in memory between chunks); and a
reduction over earlier axes (32 lanes of a column of results). `fold.py` has the law of
the lanes.
"""

from collections.abc import Callable, Mapping, Sequence

from . import llvm
from .body import Body, storage_type
from .collapse import collapse
from .cost import body_cost
from .fold import LANES, combine, fold_function, fold_vectors, identity_of
from .index import Size, strides_of
from .llvm import I64 as INT
from .llvm import Function, Module, Reg, const, const_lanes, vec, width_of
from .plan import Apply, KernelPlan, Literally, Load, Output
from .scalar import Typed, register_type
from .target import Target

HEAVY = 40  # a body above this cost is emitted once, masked, rather than with a tail
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
        if isinstance(step, Load | Apply) and step.dtype.kind != "b":
            bits = max(bits, step.dtype.bits)
        elif isinstance(step, Literally) and step.dtype.is_float:
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
        self, module: Module, target: Target, plan: KernelPlan, size_names: Sequence[str]
    ) -> None:
        self.module = module
        self.target = target
        self.plan = collapse(plan)
        self.cost = plan_cost(self.plan)
        self.width = vector_width(self.plan, target)
        rank = len(self.plan.space)
        self.axis = rank - 1 if rank else None
        self.names = size_names

    def emit(self, name: str) -> None:
        """Write the function `i32 name(ptr ctx, ptr buffers, ptr sizes)`."""
        params = [(llvm.PTR, ""), (llvm.PTR, "noalias"), (llvm.PTR, "noalias")]
        fn = self.fn = self.module.function(name, llvm.I32, params)
        slots = [
            fn.load(fn.gep(fn.args[1], const(INT, k), llvm.PTR), llvm.PTR)
            for k in range(len(self.plan.slots))
        ]
        sizes: Mapping[str, Reg] = {
            n: fn.load(fn.gep(fn.args[2], const(INT, k), INT), INT)
            for k, n in enumerate(self.names)
        }
        body = Body(fn, self.plan, self.width, self.axis, slots, sizes)
        body.emit_ready()
        space, reduced = self.plan.space, self.plan.reduced
        if not space:
            self._store_all(body)
        elif not reduced:
            self._loops(body, list(range(len(space) - 1)), self._map_row)
        elif len(space) - 1 in reduced:
            kept = [k for k in range(len(space)) if k not in reduced]
            self._loops(body, kept, self._reduce_row)
        else:
            kept = [k for k in range(len(space) - 1) if k not in reduced]
            self._loops(body, kept, self._reduce_columns)
        fn.ret(const(llvm.I32, 0))

    # -- loops -------------------------------------------------------------------------

    def _loops(self, body: Body, axes: list[int], inner: Callable[[Body], None]) -> None:
        """Open scalar loops over `axes`, outermost first, and run `inner` inside."""
        if not axes:
            inner(body)
            return
        axis, rest = axes[0], axes[1:]

        def step(opened: Body) -> None:
            opened.emit_ready()
            self._loops(opened, rest, inner)

        extent = body.size(self.plan.space[axis])
        self._loop(body, axis, const(INT, 0), extent, 1, step)

    def _loop(
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

    def _lane_mask(self, start: Reg, low: Reg | None, stop: Reg) -> Reg:
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

    def _chunks(self, body: Body, run: Callable[[Body], None]) -> None:
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
            opened.lane_mask = self._lane_mask(opened.vars[self.axis], None, stop)
            full(opened)

        if width == 1 or (isinstance(extent, int) and extent % width == 0):
            if extent == width:
                single = body.fork()
                single.vars[self.axis] = zero
                full(single)
            elif extent != 0:
                self._loop(body, self.axis, zero, stop, width, full)
            return
        if not self.target.has_masks:
            self._with_scalar_tail(body, stop, full)
            return
        if isinstance(extent, int) and extent < width:
            single = body.fork()
            single.vars[self.axis] = zero
            masked(single)
            return
        if self.cost > HEAVY:
            self._loop(body, self.axis, zero, stop, width, masked)
            return
        whole = fn.and_(stop, const(INT, -width))
        if isinstance(extent, int):
            whole = const(INT, extent // width * width)
        self._loop(body, self.axis, zero, whole, width, full)
        tail, after = fn.new_label("tail"), fn.new_label("after")
        if isinstance(extent, int):
            fn.br(tail)
        else:
            fn.cond_br(fn.icmp("slt", whole, stop), tail, after)
        fn.start(tail)
        rest = body.fork()
        rest.vars[self.axis] = whole
        masked(rest)
        fn.br(after)
        fn.start(after)

    def _with_scalar_tail(
        self, body: Body, stop: Reg, full: Callable[[Body], None]
    ) -> None:
        assert self.axis is not None
        fn, width = self.fn, self.width
        whole = fn.and_(stop, const(INT, -width))
        self._loop(body, self.axis, const(INT, 0), whole, width, full)
        self.width = 1
        single = body.fork()
        single.width = 1
        self._loop(single, self.axis, whole, stop, 1, full)
        self.width = width

    # -- stores ------------------------------------------------------------------------

    def _store_all(self, body: Body) -> None:
        for out in self.plan.outputs:
            if out.monoid is None:
                self._store(body, out)
            elif not self.plan.space:
                self._store_reg(body, out, self._single(body, out), ())

    def _single(self, body: Body, out: Output) -> Reg:
        """Return the fold of one element: the identity combined with it."""
        reg = body.regs[out.step]
        start = const(reg.ty, identity_of(out.monoid or "add", out.dtype))
        return combine(
            body.scalar, out.monoid or "add", Typed(start, out.dtype),
            Typed(reg, out.dtype),
        ).reg  # fmt: skip

    def _store(self, body: Body, out: Output) -> None:
        vector = self.axis is not None
        reg = body.lanes(out.step) if vector else body.regs[out.step]
        self._store_reg(body, out, reg, tuple(range(len(self.plan.space))))

    def _store_reg(
        self, body: Body, out: Output, reg: Reg, axes: tuple[int, ...]
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
        if width_of(held.ty) == 1 or body.lane_mask is None:
            fn.store(held, address)
            return
        if self.cost <= HEAVY:
            fn.masked_store(held, address, body.lane_mask)
            return
        # one body serves whole chunks and the tail: whole chunks store unmasked
        whole, part = fn.new_label("whole"), fn.new_label("part")
        joined = fn.new_label("joined")
        bits = f"i{width_of(held.ty)}"
        every = fn.icmp("eq", fn.bitcast(body.lane_mask, bits), const(bits, -1))
        fn.cond_br(every, whole, part, True)
        fn.start(whole)
        fn.store(held, address)
        fn.br(joined)
        fn.start(part)
        fn.masked_store(held, address, body.lane_mask)
        fn.br(joined)
        fn.start(joined)

    def _map_row(self, body: Body) -> None:
        self._chunks(body, self._store_all)

    # -- reductions over the last axis ---------------------------------------------------

    def _folds(self) -> list[Output]:
        return [o for o in self.plan.outputs if o.monoid is not None]

    def _reduce_row(self, body: Body) -> None:
        """Fold all reduced axes of one kept index; the last axis is among them."""
        reduced = self.plan.reduced
        extent = self.plan.space[-1]
        short = (
            len(reduced) == 1
            and isinstance(extent, int)
            and 0 < extent <= LANES
            and self.cost * -(-extent // self.width) <= 2 * HEAVY
            and (self.target.has_masks or self.width == 1)
        )
        if short:
            assert isinstance(extent, int)
            self._short_row(body, extent)
            return
        fn = self.fn
        folds = self._folds()
        lanes = []
        for out in folds:
            elem = register_type(out.dtype, 1)
            held = fn.alloca(elem, LANES)
            start = const(vec(elem, self.width), identity_of(out.monoid or "", out.dtype))
            for k in range(0, LANES, self.width):
                fn.store(start, fn.gep(held, const(INT, k), elem))
            lanes.append(held)
        self._reduced_loops(body, list(reduced[:-1]), const(INT, 0), folds, lanes)
        kept = tuple(k for k in range(len(self.plan.space)) if k not in reduced)
        for out, held in zip(folds, lanes, strict=True):
            name = fold_function(self.module, out.monoid or "", out.dtype, self.width, 1)
            value = fn.call(name, register_type(out.dtype, 1), (held,))
            self._store_reg(body, out, value, kept)

    def _reduced_loops(
        self, body: Body, axes: list[int], base: Reg, folds: list[Output], lanes: list[Reg]
    ) -> None:
        """Loop over outer reduced axes; `base` is the row-major index so far."""
        fn = self.fn
        if axes:
            axis, rest = axes[0], axes[1:]

            def inner(opened: Body) -> None:
                opened.emit_ready()
                extent = opened.size(self.plan.space[axis])
                linear = fn.add(fn.mul(base, extent), opened.vars[axis])
                self._reduced_loops(opened, rest, linear, folds, lanes)

            extent = body.size(self.plan.space[axis])
            self._loop(body, axis, const(INT, 0), extent, 1, inner)
            return
        assert self.axis is not None
        extent = self.plan.space[-1]
        if base.ref == "0":
            self._chunks(body, lambda b: self._accumulate(b, b.vars[-1 + len(self.plan.space)], folds, lanes))
            return
        row = fn.mul(base, body.size(extent))
        if isinstance(extent, int) and extent % self.width == 0:
            self._chunks(
                body,
                lambda b: self._accumulate(
                    b, fn.add(row, b.vars[len(self.plan.space) - 1]), folds, lanes
                ),
            )
            return
        self._aligned_row(body, row, folds, lanes)

    def _aligned_row(
        self, body: Body, row: Reg, folds: list[Output], lanes: list[Reg]
    ) -> None:
        """Run a row whose first element is not lane 0 in chunks that keep to the lanes."""
        fn, axis = self.fn, len(self.plan.space) - 1
        stop = body.size(self.plan.space[-1])
        width = self.width
        if not self.target.has_masks:
            self.width = 1
            body = body.fork()
            body.width = 1
        lead = fn.and_(row, const(INT, self.width - 1))
        start = fn.sub(const(INT, 0), lead)

        def chunk(opened: Body) -> None:
            at = opened.vars[axis]
            if self.width > 1:
                opened.lane_mask = self._lane_mask(at, const(INT, 0), stop)
            opened.emit_ready()
            self._accumulate(opened, fn.add(row, at), folds, lanes)

        empty, some = fn.new_label("empty"), fn.new_label("some")
        fn.cond_br(fn.icmp("sgt", stop, const(INT, 0)), some, empty)
        fn.start(some)
        self._loop(body, axis, start, stop, self.width, chunk)
        fn.br(empty)
        fn.start(empty)
        self.width = width

    def _accumulate(
        self, body: Body, linear: Reg, folds: list[Output], lanes: list[Reg]
    ) -> None:
        """Combine one chunk into its lanes; `linear` is the chunk's first element."""
        fn = self.fn
        lane = fn.and_(linear, const(INT, LANES - 1))
        for out, held in zip(folds, lanes, strict=True):
            elem = register_type(out.dtype, 1)
            value = body.lanes(out.step)
            at = fn.gep(held, lane, elem)
            old = fn.load(at, value.ty)
            new = combine(
                body.scalar, out.monoid or "", Typed(old, out.dtype),
                Typed(value, out.dtype),
            ).reg  # fmt: skip
            if body.lane_mask is not None:
                new = fn.select(body.lane_mask, new, old)
            fn.store(new, at)
        for out in self.plan.outputs:
            if out.monoid is None:
                self._store(body, out)

    def _short_row(self, body: Body, extent: int) -> None:
        """Fold a short last axis in registers, chunk by chunk."""
        axis = len(self.plan.space) - 1
        folds = self._folds()
        parts: list[list[Reg | None]] = [[] for _ in folds]
        for first in range(0, LANES, self.width):
            if first >= extent:
                for p in parts:
                    p.append(None)
                continue
            chunk = body.fork()
            chunk.vars[axis] = const(INT, first)
            whole = first + self.width <= extent
            if not whole:
                lanes = [int(first + k < extent) for k in range(self.width)]
                chunk.lane_mask = const_lanes(vec(llvm.I1, self.width), lanes)
            chunk.emit_ready()
            for p, out in zip(parts, folds, strict=True):
                value = chunk.lanes(out.step)
                start = const(value.ty, identity_of(out.monoid or "", out.dtype))
                new = combine(
                    chunk.scalar, out.monoid or "", Typed(start, out.dtype),
                    Typed(value, out.dtype),
                ).reg  # fmt: skip
                if chunk.lane_mask is not None:
                    new = self.fn.select(chunk.lane_mask, new, start)
                p.append(new)
            for out in self.plan.outputs:
                if out.monoid is None:
                    self._store(chunk, out)
        kept = tuple(k for k in range(axis) if k not in self.plan.reduced)
        for p, out in zip(parts, folds, strict=True):
            value = fold_vectors(body.scalar, out.monoid or "", out.dtype, p)
            self._store_reg(body, out, value, kept)

    # -- reductions over earlier axes -----------------------------------------------------

    def _reduce_columns(self, body: Body) -> None:
        """Fold the reduced axes for a chunk of columns at a time."""
        self._chunks(body, self._column)

    def _column(self, body: Body) -> None:
        fn, reduced = self.fn, list(self.plan.reduced)
        folds = self._folds()
        width = self.width
        mask = body.lane_mask
        kept = tuple(k for k in range(len(self.plan.space)) if k not in reduced)
        held = []
        for out in folds:
            elem = register_type(out.dtype, 1)
            memory = fn.alloca(elem, LANES * width)
            self._fill(memory, vec(elem, width), identity_of(out.monoid or "", out.dtype))
            held.append(memory)

        def accumulate(opened: Body, linear: Reg) -> None:
            lane = fn.mul(fn.and_(linear, const(INT, LANES - 1)), const(INT, width))
            for out, memory in zip(folds, held, strict=True):
                value = opened.lanes(out.step)
                at = fn.gep(memory, lane, register_type(out.dtype, 1))
                old = fn.load(at, value.ty)
                new = combine(
                    opened.scalar, out.monoid or "", Typed(old, out.dtype),
                    Typed(value, out.dtype),
                ).reg  # fmt: skip
                fn.store(new, at)
            for out in self.plan.outputs:
                if out.monoid is None:
                    self._store(opened, out)

        self._column_loops(body, reduced, const(INT, 0), accumulate)
        for out, memory in zip(folds, held, strict=True):
            elem = register_type(out.dtype, 1)
            if width == 1:
                name = fold_function(self.module, out.monoid or "", out.dtype, 1, 1)
                value = fn.call(name, elem, (memory,))
            else:
                name = fold_function(self.module, out.monoid or "", out.dtype, 1, width)
                fn.call(name, llvm.VOID, (memory,))
                value = fn.load(memory, vec(elem, width))
            body.lane_mask = mask
            self._store_reg(body, out, value, kept)

    def _column_loops(
        self,
        body: Body,
        axes: list[int],
        base: Reg,
        run: Callable[[Body, Reg], None],
    ) -> None:
        fn = self.fn
        if not axes:
            run(body, base)
            return
        axis, rest = axes[0], axes[1:]

        def inner(opened: Body) -> None:
            opened.emit_ready()
            extent = opened.size(self.plan.space[axis])
            linear = opened.vars[axis]
            if base.ref != "0":
                linear = fn.add(fn.mul(base, extent), linear)
            self._column_loops(opened, rest, linear, run)

        extent = body.size(self.plan.space[axis])
        self._loop(body, axis, const(INT, 0), extent, 1, inner)

    def _fill(self, memory: Reg, ty: str, value: float) -> None:
        """Set 32 vectors to a constant."""
        fn, width = self.fn, width_of(ty)
        before = fn.block
        loop, done = fn.new_label("fill"), fn.new_label("filled")
        fn.br(loop)
        fn.start(loop)
        lane = fn.phi(INT, const(INT, 0), before)
        fn.store(const(ty, value), fn.gep(memory, fn.mul(lane, const(INT, width)), llvm.elem_of(ty)))
        following = fn.add(lane, const(INT, 1))
        fn.phi_edge(lane, following, fn.block)
        fn.cond_br(fn.icmp("slt", following, const(INT, LANES)), loop, done)
        fn.start(done)


def emit_kernel(
    module: Module,
    target: Target,
    name: str,
    plan: KernelPlan,
    size_names: Sequence[str],
) -> None:
    """Write the function of a kernel plan."""
    Nest(module, target, plan, size_names).emit(name)

