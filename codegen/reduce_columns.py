"""Reductions over earlier axes: the 32 lanes of each column, in memory.

Few columns run side by side, so that memory is read in the order it lies in; of many,
one chunk after the other. Of 32 rows or fewer each is a lane of its own, which begins
with it. `fold.py` has the law of the lanes.
"""

from collections.abc import Callable
from itertools import product as tuples

from ..ir.sizes import product
from . import llvm
from .body import Body
from .fold import LANES, combine, fold_elements, fold_function
from .lanes import Lanes, begins_block, has_blocks
from .llvm import I64 as INT
from .llvm import Reg, const, const_lanes, vec
from .nest import HEAVY, Nest
from .plan import Load, Output
from .scalar import Typed, register_type

HELD = 32 * 1024  # bytes of lanes of columns that run side by side
IN_REGISTERS = 16  # of 32 vectors: those that lanes stay in; of 16, half of it
LONG = 2 * LANES  # rows from which lanes stay in registers
NEAR = 1024 * 1024  # bytes of rows that are in the cache when they are passed again


class ColumnReduce:
    """Folds the reduced axes for a chunk of columns at a time."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest

    def emit(self, body: Body) -> None:
        """Fold the reduced axes for some columns at a time."""
        nest = self.nest
        rows = product([nest.plan.space[a] for a in nest.plan.reduced])
        if isinstance(rows, int) and 0 < rows <= LANES:
            nest.chunks(body, lambda chunk: self._few_rows(chunk, rows))
            return
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

    def _few_rows(self, body: Body, rows: int) -> None:
        """Fold rows that have a lane each: in registers, or by a loop of a dear body.

        Lanes that no row is in are not there.
        """
        nest = self.nest
        fn, width, folds = nest.fn, nest.width, nest.folds()
        mask = body.lane_mask
        held: list[list[Reg]] = [[] for _ in folds]
        if rows * nest.cost * len(folds) <= 4 * HEAVY:
            extents = [nest.plan.space[a] for a in nest.plan.reduced]
            for numbers in tuples(*[range(e) for e in extents if isinstance(e, int)]):
                row = body.fork()
                for axis, number in zip(nest.plan.reduced, numbers, strict=True):
                    row.vars[axis] = const(INT, number)
                row.emit_ready()
                for values, out in zip(held, folds, strict=True):
                    values.append(row.lanes(out.step))
                self._store_rest(row)
        else:
            types = [register_type(out.dtype, 1) for out in folds]
            memory = [fn.alloca(ty, rows * width) for ty in types]

            def keep(opened: Body, linear: Reg) -> None:
                at = fn.mul(linear, const(INT, width))
                for out, ty, start in zip(folds, types, memory, strict=True):
                    fn.store(opened.lanes(out.step), fn.gep(start, at, ty))
                self._store_rest(opened)

            self._loops(body, list(nest.plan.reduced), const(INT, 0), keep)
            for values, ty, start in zip(held, types, memory, strict=True):
                for k in range(0, rows * width, width):
                    at = fn.gep(start, const(INT, k), ty)
                    values.append(fn.load(at, vec(ty, width)))
        body.lane_mask = mask
        for out, values in zip(folds, held, strict=True):
            made = fold_elements(
                body.scalar, out.monoid or "", out.dtype, values, width
            )
            nest.store_reg(body, out, made, self._kept(), mask)

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

        group = self._group(columns)
        if group:
            self._in_groups(body, columns, lanes.memory, group, row)
        else:
            self._column_loops(body, lanes, row)
        nest.chunks(body, lambda chunk: self._finish(chunk, place(chunk, lanes.totals)))

    def _group(self, columns: int) -> int:
        """Return how many rows of 32 keep their lanes in registers, 0 for none."""
        nest = self.nest
        plan, last = nest.plan, len(nest.plan.space) - 1
        if len(plan.reduced) > 1 or not nest.whole(last):
            return 0
        if has_blocks([plan.space[plan.reduced[0]]]):
            return 0
        rows = plan.space[plan.reduced[0]]
        if not isinstance(rows, int) or rows < LONG or rows * self._row_bytes() > NEAR:
            return 0
        chunks = columns // nest.width
        room = IN_REGISTERS if nest.target.vector_bits >= 512 else IN_REGISTERS // 2
        group = LANES
        while group and (
            group * chunks * len(nest.folds()) > room
            or group * chunks * nest.cost > 4 * HEAVY
        ):
            group //= 2
        return group

    def _row_bytes(self) -> int:
        """Return how many bytes of a row are read and written."""
        plan = self.nest.plan
        both = {plan.reduced[0], len(plan.space) - 1}
        moved = {
            step.slot: step.dtype.bits
            for step in plan.steps
            if isinstance(step, Load) and both <= step.offset.axes
        }
        moved |= {o.slot: o.dtype.bits for o in plan.outputs if o.monoid is None}
        extent = plan.space[-1]
        assert isinstance(extent, int)
        return sum(moved.values()) * extent // 8

    def _in_groups(
        self,
        body: Body,
        columns: int,
        held: list[Reg],
        group: int,
        row: Callable[[Body, Reg], None],
    ) -> None:
        """Fold some rows of each 32 after the others, their lanes in registers.

        A lane takes its rows in order whichever other lanes there are. What is left of
        the last 32 rows goes through memory.
        """
        nest = self.nest
        fn, axis, width = nest.fn, nest.plan.reduced[0], nest.width
        last = len(nest.plan.space) - 1
        stop = body.size(nest.plan.space[axis])
        whole = fn.and_(stop, const(INT, -LANES))
        extent = nest.plan.space[-1]
        assert isinstance(extent, int)
        folds = nest.folds()
        places = [
            (out, memory, line, first)
            for line in range(group)
            for first in range(0, columns, width)
            for out, memory in zip(folds, held, strict=True)
        ]

        def lanes_of(opened: Body, at: Reg) -> None:
            """Fold rows at, at + 32, ... of a group."""

            def where(out: Output, memory: Reg, line: int, first: int) -> Reg:
                skip = fn.mul(fn.add(at, const(INT, line)), const(INT, width))
                skip = fn.add(skip, const(INT, first * LANES))
                return fn.gep(memory, skip, register_type(out.dtype, 1))

            at_places = [where(*x) for x in places]
            types = [vec(register_type(out.dtype, 1), width) for out, *_ in places]
            before = fn.block
            olds = [fn.load(p, ty) for p, ty in zip(at_places, types, strict=True)]
            turn, done = fn.new_label("rows"), fn.new_label("folded")
            fn.br(turn)
            fn.start(turn)
            base = fn.phi(INT, const(INT, 0), before)
            regs = [fn.phi(x.ty, x, before) for x in olds]
            phis = list(regs)
            for line in range(group):
                one = opened.fork()
                one.vars[axis] = fn.add(fn.add(base, at), const(INT, line))
                one.emit_ready()
                for number, first in enumerate(range(0, columns, width)):
                    chunk = one.fork()
                    chunk.vars[last] = const(INT, first)
                    if width > 1 and first + width > extent:
                        some = [int(first + k < extent) for k in range(width)]
                        chunk.lane_mask = const_lanes(vec(llvm.I1, width), some)
                    chunk.emit_ready()
                    start = (line * (columns // width) + number) * len(folds)
                    for k, out in enumerate(folds, start):
                        regs[k] = combine(
                            chunk.scalar, out.monoid or "", Typed(regs[k], out.dtype),
                            Typed(chunk.lanes(out.step), out.dtype),
                        ).reg  # fmt: skip
                    self._store_rest(chunk)
            following = fn.add(base, const(INT, LANES))
            fn.phi_edge(base, following, fn.block)
            for phi, reg in zip(phis, regs, strict=True):
                fn.phi_edge(phi, reg, fn.block)
            fn.cond_br(fn.icmp("slt", following, whole), turn, done)
            fn.start(done)
            for p, reg in zip(at_places, regs, strict=True):
                fn.store(reg, p)

        many, rest = fn.new_label("many"), fn.new_label("rest")
        fn.cond_br(fn.icmp("sgt", whole, const(INT, 0)), many, rest)
        fn.start(many)
        before = fn.block
        groups = fn.new_label("group")
        fn.br(groups)
        fn.start(groups)
        at = fn.phi(INT, const(INT, 0), before)
        lanes_of(body, at)
        after = fn.add(at, const(INT, group))
        fn.phi_edge(at, after, fn.block)
        fn.cond_br(fn.icmp("slt", after, const(INT, LANES)), groups, rest)
        fn.start(rest)

        def left(opened: Body) -> None:
            opened.emit_ready()
            row(opened, opened.vars[axis])

        nest.loop(body, axis, whole, stop, 1, left)

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
        self._store_rest(body)

    def _store_rest(self, body: Body) -> None:
        """Store what is not folded."""
        for out in self.nest.plan.outputs:
            if out.monoid is None:
                self.nest.store(body, out)

    def _kept(self) -> tuple[int, ...]:
        axes = range(len(self.nest.plan.space))
        return tuple(k for k in axes if k not in self.nest.plan.reduced)

    def _finish(self, body: Body, held: list[Reg]) -> None:
        """Fold the lanes of a chunk of columns and store the results."""
        for out, memory in zip(self.nest.folds(), held, strict=True):
            value = self._folded(out, memory)
            self.nest.store_reg(body, out, value, self._kept(), body.lane_mask)

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
