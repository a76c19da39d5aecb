"""Reductions that include the last axis: the 32 lanes of one result.

The lanes lie in memory between chunks; a short axis of known length folds in registers.
`fold.py` has the law of the lanes. Blocks of one axis are a loop; where several axes
are folded, each chunk looks whether it is in the block of the chunk before.
"""

from ..ir.sizes import product
from . import llvm
from .body import Body
from .fold import BLOCK, LANES, combine, fold_vectors, identity_of
from .lanes import Lanes, block_of, has_blocks
from .llvm import I64 as INT
from .llvm import Reg, const, const_lanes, vec
from .nest import HEAVY, Nest
from .scalar import Typed, register_type


class RowReduce:
    """Folds rows: all reduced axes of one kept index."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest
        self.within: Reg | None = None  # where the number of the block is held

    def emit(self, body: Body) -> None:
        """Fold all reduced axes of one kept index; the last axis is among them."""
        reduced = self.nest.plan.reduced
        extent = self.nest.plan.space[-1]
        short = (
            len(reduced) == 1
            and isinstance(extent, int)
            and 0 < extent <= LANES
            and self.nest.cost * -(-extent // self.nest.width) <= 2 * HEAVY
            and (self.nest.target.has_masks or self.nest.width == 1)
        )
        if short:
            assert isinstance(extent, int)
            self._short_row(body, extent)
            return
        nest = self.nest
        blocks = has_blocks([nest.plan.space[a] for a in reduced])
        lanes = Lanes(nest.fn, nest.module, nest.folds(), nest.width, blocks)
        kept = tuple(k for k in range(len(nest.plan.space)) if k not in reduced)
        nest.lanes = lanes if len(reduced) == 1 else None
        if blocks and len(reduced) == 1:
            axis = reduced[0]
            nest.blocks(
                body,
                lambda b: self._accumulate(b, b.vars[axis], lanes),
                lambda first: nest.end_block(lanes, first),
            )
        elif blocks:
            self._several_axes(body, list(reduced), lanes)
        else:
            self._reduced_loops(body, list(reduced[:-1]), const(INT, 0), lanes)
        nest.lanes = None
        nest.finish(body, lanes, kept)

    def _several_axes(self, body: Body, reduced: list[int], lanes: Lanes) -> None:
        """Fold several axes, whose blocks begin anywhere in a row."""
        nest = self.nest
        fn = nest.fn
        count = body.size(product([nest.plan.space[a] for a in reduced]))
        start, stop = nest.share(count)
        self.within = fn.alloca(INT, 1, 8)
        some, done = fn.new_label("some"), fn.new_label("done")
        fn.cond_br(fn.icmp("slt", start, stop), some, done)
        fn.start(some)
        fn.store(block_of(fn, start), self.within)
        self._reduced_loops(body.fork(), reduced[:-1], const(INT, 0), lanes)
        self._end_block(lanes)
        fn.br(done)
        fn.start(done)

    def _reduced_loops(
        self,
        body: Body,
        axes: list[int],
        base: Reg,
        lanes: Lanes,
    ) -> None:
        """Loop over outer reduced axes; `base` is the row-major index so far."""
        fn = self.nest.fn
        if axes:
            axis, rest = axes[0], axes[1:]

            def inner(opened: Body) -> None:
                opened.emit_ready()
                extent = opened.size(self.nest.plan.space[axis])
                linear = fn.add(fn.mul(base, extent), opened.vars[axis])
                self._reduced_loops(opened, rest, linear, lanes)

            outer = body.size(self.nest.plan.space[axis])
            self.nest.loop(body, axis, const(INT, 0), outer, 1, inner)
            return
        assert self.nest.axis is not None
        extent = self.nest.plan.space[-1]
        if base.ref == "0":
            self.nest.chunks(
                body,
                lambda b: self._accumulate(
                    b, b.vars[-1 + len(self.nest.plan.space)], lanes
                ),
            )
            return
        row = self.nest.row = fn.mul(base, body.size(extent))
        if isinstance(extent, int) and extent % self.nest.width == 0:
            self.nest.chunks(
                body,
                lambda b: self._accumulate(
                    b,
                    fn.add(row, b.vars[len(self.nest.plan.space) - 1]),
                    lanes,
                ),
            )
            return
        self._aligned_row(body, row, lanes)

    def _aligned_row(self, body: Body, row: Reg, lanes: Lanes) -> None:
        """Run a row that does not begin at lane 0 in chunks that keep to the lanes."""
        fn, axis = self.nest.fn, len(self.nest.plan.space) - 1
        stop = body.size(self.nest.plan.space[-1])
        width = self.nest.width
        if not self.nest.target.has_masks:
            self.nest.width = 1
            body = body.fork()
            body.width = 1
        lead = fn.and_(row, const(INT, self.nest.width - 1))
        start = fn.sub(const(INT, 0), lead)

        def chunk(opened: Body) -> None:
            at = opened.vars[axis]
            if self.nest.width > 1:
                opened.lane_mask = self.nest.mask_from(at, const(INT, 0), stop)
            opened.emit_ready()
            self._accumulate(opened, fn.add(row, at), lanes)

        empty, some = fn.new_label("empty"), fn.new_label("some")
        fn.cond_br(fn.icmp("sgt", stop, const(INT, 0)), some, empty)
        fn.start(some)
        self.nest.loop(body, axis, start, stop, self.nest.width, chunk)
        fn.br(empty)
        fn.start(empty)
        self.nest.width = width

    def _end_block(self, lanes: Lanes) -> None:
        """End the block that the chunks so far belong to."""
        fn = self.nest.fn
        assert self.within is not None
        block = fn.load(self.within, INT)
        self.nest.end_block(lanes, fn.mul(block, const(INT, BLOCK)))

    def _enter(self, linear: Reg, lanes: Lanes) -> None:
        """Enter the block of a chunk, where the chunk before was in another one."""
        fn = self.nest.fn
        assert self.within is not None
        block = block_of(fn, linear)
        other, same = fn.new_label("other"), fn.new_label("same")
        before = fn.load(self.within, INT)
        fn.cond_br(fn.icmp("ne", block, before), other, same, False)
        fn.start(other)
        self._end_block(lanes)
        fn.store(block, self.within)
        fn.br(same)
        fn.start(same)

    def _accumulate(self, body: Body, linear: Reg, lanes: Lanes) -> None:
        """Combine one chunk into its lanes; `linear` is the chunk's first element."""
        fn = self.nest.fn
        if self.within is not None:
            self._enter(linear, lanes)
        lane = fn.and_(linear, const(INT, LANES - 1))
        for k, (out, held) in enumerate(zip(lanes.folds, lanes.memory, strict=True)):
            value = body.lanes(out.step)
            at = fn.gep(held, lane, register_type(out.dtype, 1))
            ring = self.nest.ring[k] if self.nest.ring else None
            old = ring[0] if ring else fn.load(at, value.ty)
            new = combine(
                body.scalar, out.monoid or "", Typed(old, out.dtype),
                Typed(value, out.dtype),
            ).reg  # fmt: skip
            mask = body.mask(out.mask)
            if mask is not None:
                new = fn.select(mask, new, old)
            if ring:
                self.nest.ring[k] = [*ring[1:], new]
            else:
                fn.store(new, at)
        for out in self.nest.plan.outputs:
            if out.monoid is None:
                self.nest.store(body, out)

    def _short_row(self, body: Body, extent: int) -> None:
        """Fold a short last axis in registers, chunk by chunk."""
        axis = len(self.nest.plan.space) - 1
        folds = self.nest.folds()
        parts: list[list[Reg | None]] = [[] for _ in folds]
        for first in range(0, LANES, self.nest.width):
            if first >= extent:
                for p in parts:
                    p.append(None)
                continue
            chunk = body.fork()
            chunk.vars[axis] = const(INT, first)
            whole = first + self.nest.width <= extent
            if not whole:
                lanes = [int(first + k < extent) for k in range(self.nest.width)]
                chunk.lane_mask = const_lanes(vec(llvm.I1, self.nest.width), lanes)
            chunk.emit_ready()
            for p, out in zip(parts, folds, strict=True):
                value = chunk.lanes(out.step)
                start = const(value.ty, identity_of(out.monoid or "", out.dtype))
                new = combine(
                    chunk.scalar, out.monoid or "", Typed(start, out.dtype),
                    Typed(value, out.dtype),
                ).reg  # fmt: skip
                mask = chunk.mask(out.mask)
                if mask is not None:
                    new = self.nest.fn.select(mask, new, start)
                p.append(new)
            for out in self.nest.plan.outputs:
                if out.monoid is None:
                    self.nest.store(chunk, out)
        kept = tuple(k for k in range(axis) if k not in self.nest.plan.reduced)
        for p, out in zip(parts, folds, strict=True):
            value = fold_vectors(body.scalar, out.monoid or "", out.dtype, p)
            self.nest.store_reg(body, out, value, kept)
