"""Reductions that include the last axis: the 32 lanes of one result.

The lanes lie in memory between chunks; a short axis of known length folds in registers.
`fold.py` has the law of the lanes.
"""

from . import llvm
from .body import Body
from .fold import LANES, combine, fold_function, fold_vectors, identity_of
from .llvm import I64 as INT
from .llvm import Reg, const, const_lanes, vec
from .nest import HEAVY, Nest
from .plan import Output
from .scalar import Typed, register_type


class RowReduce:
    """Folds rows: all reduced axes of one kept index."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest

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
        fn = self.nest.fn
        folds = self.nest.folds()
        lanes = []
        for out in folds:
            elem = register_type(out.dtype, 1)
            held = fn.alloca(elem, LANES)
            start = const(
                vec(elem, self.nest.width),
                identity_of(out.monoid or "", out.dtype),
            )
            for k in range(0, LANES, self.nest.width):
                fn.store(start, fn.gep(held, const(INT, k), elem))
            lanes.append(held)
        self._reduced_loops(body, list(reduced[:-1]), const(INT, 0), folds, lanes)
        kept = tuple(k for k in range(len(self.nest.plan.space)) if k not in reduced)
        for out, held in zip(folds, lanes, strict=True):
            name = fold_function(
                self.nest.module,
                out.monoid or "",
                out.dtype,
                self.nest.width,
                1,
            )
            value = fn.call(name, register_type(out.dtype, 1), (held,))
            self.nest.store_reg(body, out, value, kept)

    def _reduced_loops(
        self,
        body: Body,
        axes: list[int],
        base: Reg,
        folds: list[Output],
        lanes: list[Reg],
    ) -> None:
        """Loop over outer reduced axes; `base` is the row-major index so far."""
        fn = self.nest.fn
        if axes:
            axis, rest = axes[0], axes[1:]

            def inner(opened: Body) -> None:
                opened.emit_ready()
                extent = opened.size(self.nest.plan.space[axis])
                linear = fn.add(fn.mul(base, extent), opened.vars[axis])
                self._reduced_loops(opened, rest, linear, folds, lanes)

            outer = body.size(self.nest.plan.space[axis])
            self.nest.loop(body, axis, const(INT, 0), outer, 1, inner)
            return
        assert self.nest.axis is not None
        extent = self.nest.plan.space[-1]
        if base.ref == "0":
            self.nest.chunks(
                body,
                lambda b: self._accumulate(
                    b, b.vars[-1 + len(self.nest.plan.space)], folds, lanes
                ),
            )
            return
        row = fn.mul(base, body.size(extent))
        if isinstance(extent, int) and extent % self.nest.width == 0:
            self.nest.chunks(
                body,
                lambda b: self._accumulate(
                    b,
                    fn.add(row, b.vars[len(self.nest.plan.space) - 1]),
                    folds,
                    lanes,
                ),
            )
            return
        self._aligned_row(body, row, folds, lanes)

    def _aligned_row(
        self, body: Body, row: Reg, folds: list[Output], lanes: list[Reg]
    ) -> None:
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
            self._accumulate(opened, fn.add(row, at), folds, lanes)

        empty, some = fn.new_label("empty"), fn.new_label("some")
        fn.cond_br(fn.icmp("sgt", stop, const(INT, 0)), some, empty)
        fn.start(some)
        self.nest.loop(body, axis, start, stop, self.nest.width, chunk)
        fn.br(empty)
        fn.start(empty)
        self.nest.width = width

    def _accumulate(
        self, body: Body, linear: Reg, folds: list[Output], lanes: list[Reg]
    ) -> None:
        """Combine one chunk into its lanes; `linear` is the chunk's first element."""
        fn = self.nest.fn
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
            mask = body.mask(out.mask)
            if mask is not None:
                new = fn.select(mask, new, old)
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
