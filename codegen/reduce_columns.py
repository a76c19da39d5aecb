"""Reductions over earlier axes: the 32 lanes of each column, in memory.

Few columns run side by side, so that memory is read in the order it lies in; of many,
one chunk after the other. `fold.py` has the law of the lanes.
"""

from collections.abc import Callable

from . import llvm
from .body import Body
from .fold import LANES, combine, fold_function
from .lanes import Lanes, begins_block, has_blocks
from .llvm import I64 as INT
from .llvm import Reg, const, const_lanes, vec
from .nest import HEAVY, Nest
from .plan import Output
from .scalar import Typed, register_type

HELD = 32 * 1024  # bytes of lanes of columns that run side by side


class ColumnReduce:
    """Folds the reduced axes for a chunk of columns at a time."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest

    def emit(self, body: Body) -> None:
        """Fold the reduced axes for some columns at a time."""
        nest = self.nest
        count = nest.plan.space[-1]
        if isinstance(count, int) and nest.width < count:
            count = -(-count // nest.width) * nest.width
            bits = sum(LANES * count * out.dtype.bits for out in nest.folds())
            if bits <= 8 * HELD and (nest.target.has_masks or nest.width == 1):
                self._side_by_side(body, count)
                return
        nest.chunks(body, self._column)

    def _column(self, body: Body) -> None:
        """Fold one chunk of columns."""
        mask = body.lane_mask
        lanes = self._lanes(self.nest.width)

        def row(opened: Body, linear: Reg) -> None:
            self._accumulate(opened, linear, lanes.memory)

        self._column_loops(body, lanes, row)
        body.lane_mask = mask
        self._finish(body, lanes.totals)

    def _side_by_side(self, body: Body, columns: int) -> None:
        """Fold all columns at once; the last may be there for the lanes alone."""
        nest = self.nest
        fn, axis, width = nest.fn, len(nest.plan.space) - 1, nest.width
        lanes = self._lanes(columns)

        def place(opened: Body, held: list[Reg]) -> list[Reg]:
            skip = fn.mul(opened.vars[axis], const(INT, LANES))
            return [
                fn.gep(memory, skip, register_type(out.dtype, 1))
                for out, memory in zip(nest.folds(), held, strict=True)
            ]

        def row(opened: Body, linear: Reg) -> None:
            held = lanes.memory
            if nest.cost * (columns // width) > 4 * HEAVY:
                nest.chunks(
                    opened, lambda c: self._accumulate(c, linear, place(c, held))
                )
                return
            extent = nest.plan.space[-1]
            assert isinstance(extent, int)
            for first in range(0, columns, width):
                chunk = opened.fork()
                chunk.vars[axis] = const(INT, first)
                if width > 1 and first + width > extent:
                    there = [int(first + k < extent) for k in range(width)]
                    chunk.lane_mask = const_lanes(vec(llvm.I1, width), there)
                chunk.emit_ready()
                self._accumulate(chunk, linear, place(chunk, held))

        self._column_loops(body, lanes, row)
        nest.chunks(body, lambda chunk: self._finish(chunk, place(chunk, lanes.totals)))

    def _lanes(self, columns: int) -> Lanes:
        """Return the lanes of each fold: 32 vectors a chunk, chunk after chunk."""
        nest = self.nest
        blocks = has_blocks([nest.plan.space[a] for a in nest.plan.reduced])
        fn, module = nest.fn, nest.module
        return Lanes(fn, module, nest.folds(), nest.width, blocks, columns)

    def _accumulate(self, body: Body, linear: Reg, held: list[Reg]) -> None:
        """Combine a row's chunk into its lanes, and store what is not folded."""
        fn, width = self.nest.fn, self.nest.width
        lane = fn.mul(fn.and_(linear, const(INT, LANES - 1)), const(INT, width))
        for out, memory in zip(self.nest.folds(), held, strict=True):
            value = body.lanes(out.step)
            at = fn.gep(memory, lane, register_type(out.dtype, 1))
            old = fn.load(at, value.ty)
            new = combine(
                body.scalar, out.monoid or "", Typed(old, out.dtype),
                Typed(value, out.dtype),
            ).reg  # fmt: skip
            fn.store(new, at)
        for out in self.nest.plan.outputs:
            if out.monoid is None:
                self.nest.store(body, out)

    def _finish(self, body: Body, held: list[Reg]) -> None:
        """Fold the lanes of a chunk of columns and store the results."""
        reduced = self.nest.plan.reduced
        kept = tuple(k for k in range(len(self.nest.plan.space)) if k not in reduced)
        for out, memory in zip(self.nest.folds(), held, strict=True):
            value = self._folded(out, memory)
            self.nest.store_reg(body, out, value, kept, body.lane_mask)

    def _folded(self, out: Output, memory: Reg) -> Reg:
        nest = self.nest
        fn, width = nest.fn, nest.width
        elem, monoid = register_type(out.dtype, 1), out.monoid or ""
        name = fold_function(nest.module, monoid, out.dtype, 1, width)
        if width == 1:
            return fn.call(name, elem, (memory,))
        fn.call(name, llvm.VOID, (memory,))
        return fn.load(memory, vec(elem, width))

    def _column_loops(
        self, body: Body, lanes: Lanes, run: Callable[[Body, Reg], None]
    ) -> None:
        """Run `run` for every element of the reduction, and end its blocks."""
        if lanes.totals is lanes.memory:
            self._loops(body, list(self.nest.plan.reduced), const(INT, 0), run)
            return
        fn = self.nest.fn

        def row(opened: Body, linear: Reg) -> None:
            other, same = fn.new_label("other"), fn.new_label("same")
            fn.cond_br(begins_block(fn, linear), other, same, False)
            fn.start(other)
            lanes.flush()
            fn.br(same)
            fn.start(same)
            run(opened, linear)

        self._loops(body, list(self.nest.plan.reduced), const(INT, 0), row)
        lanes.flush()

    def _loops(
        self,
        body: Body,
        axes: list[int],
        base: Reg,
        run: Callable[[Body, Reg], None],
    ) -> None:
        fn = self.nest.fn
        if not axes:
            run(body, base)
            return
        axis, rest = axes[0], axes[1:]

        def inner(opened: Body) -> None:
            opened.emit_ready()
            extent = opened.size(self.nest.plan.space[axis])
            linear = opened.vars[axis]
            if base.ref != "0":
                linear = fn.add(fn.mul(base, extent), linear)
            self._loops(opened, rest, linear, run)

        extent = body.size(self.nest.plan.space[axis])
        self.nest.loop(body, axis, const(INT, 0), extent, 1, inner)
