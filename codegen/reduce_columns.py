"""Reductions over earlier axes: the 32 lanes of a chunk of columns, in memory.

`fold.py` has the law of the lanes.
"""

from collections.abc import Callable

from . import llvm
from .body import Body
from .fold import LANES, combine, fold_function, identity_of
from .llvm import I64 as INT
from .llvm import Reg, const, vec, width_of
from .nest import Nest
from .scalar import Typed, register_type


class ColumnReduce:
    """Folds the reduced axes for a chunk of columns at a time."""

    def __init__(self, nest: Nest) -> None:
        self.nest = nest

    def emit(self, body: Body) -> None:
        """Fold the reduced axes for a chunk of columns at a time."""
        self.nest.chunks(body, self._column)

    def _column(self, body: Body) -> None:
        fn, reduced = self.nest.fn, list(self.nest.plan.reduced)
        folds = self.nest.folds()
        width = self.nest.width
        mask = body.lane_mask
        kept = tuple(k for k in range(len(self.nest.plan.space)) if k not in reduced)
        held = []
        for out in folds:
            elem = register_type(out.dtype, 1)
            memory = fn.alloca(elem, LANES * width)
            self._fill(
                memory, vec(elem, width), identity_of(out.monoid or "", out.dtype)
            )
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
            for out in self.nest.plan.outputs:
                if out.monoid is None:
                    self.nest.store(opened, out)

        self._column_loops(body, reduced, const(INT, 0), accumulate)
        for out, memory in zip(folds, held, strict=True):
            elem = register_type(out.dtype, 1)
            if width == 1:
                name = fold_function(
                    self.nest.module, out.monoid or "", out.dtype, 1, 1
                )
                value = fn.call(name, elem, (memory,))
            else:
                name = fold_function(
                    self.nest.module, out.monoid or "", out.dtype, 1, width
                )
                fn.call(name, llvm.VOID, (memory,))
                value = fn.load(memory, vec(elem, width))
            self.nest.store_reg(body, out, value, kept, mask)

    def _column_loops(
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
            self._column_loops(opened, rest, linear, run)

        extent = body.size(self.nest.plan.space[axis])
        self.nest.loop(body, axis, const(INT, 0), extent, 1, inner)

    def _fill(self, memory: Reg, ty: str, value: float) -> None:
        """Set 32 vectors to a constant."""
        fn, width = self.nest.fn, width_of(ty)
        before = fn.block
        loop, done = fn.new_label("fill"), fn.new_label("filled")
        fn.br(loop)
        fn.start(loop)
        lane = fn.phi(INT, const(INT, 0), before)
        fn.store(
            const(ty, value),
            fn.gep(memory, fn.mul(lane, const(INT, width)), llvm.elem_of(ty)),
        )
        following = fn.add(lane, const(INT, 1))
        fn.phi_edge(lane, following, fn.block)
        fn.cond_br(fn.icmp("slt", following, const(INT, LANES)), loop, done)
        fn.start(done)
