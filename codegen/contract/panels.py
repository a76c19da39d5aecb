"""All columns of some rows: a loop over tile-wide panels of the second operand."""

from ..llvm import I64, PTR, VOID, Function, Module, Reg
from .blocking import Blocking
from .dots import emit_dots
from .flow import Ints, for_range, i64, known, when
from .pack import emit_pack
from .row import emit_row
from .tile import emit_tile


class Kernels:
    """The kernels of one dtype in a module, each emitted when it is first asked for."""

    def __init__(self, module: Module, cut: Blocking, dtype: str) -> None:
        self.module, self.cut, self.dtype = module, cut, dtype

    def tile(self, rows: int, vectors: int) -> str:
        """Return the name of a register tile."""
        name = f"pb_gemm_{rows}x{vectors * self.cut.width}_{self.dtype}"
        if name not in self.module.functions:
            emit_tile(self.module, name, self.cut, rows, vectors)
        return name

    def dots(self) -> str:
        """Return the name of the kernel for one column."""
        name = f"pb_gemm_dots_{self.dtype}"
        if name not in self.module.functions:
            emit_dots(self.module, name, self.cut)
        return name

    def row(self) -> str:
        """Return the name of the kernel for one row."""
        name = f"pb_gemm_row_{self.dtype}"
        if name not in self.module.functions:
            emit_row(self.module, name, self.cut)
        return name

    def pack(self) -> str:
        """Return the name of the packing function."""
        name = f"pb_gemm_pack_{self.dtype}"
        if name not in self.module.functions:
            emit_pack(self.module, name, self.cut)
        return name

    def panels(self, m: Reg, n: Reg) -> str:
        """Return the name of the loop over panels for so many rows and columns.

            void name(ptr x, i64 sxi, i64 sxk, ptr y, i64 syk, ptr c, i64 sci,
                      i64 m, i64 n, i64 k, i64 goon, i64 next)

        `next` is the distance between panels of y in elements. Where m or n is a
        constant the function is good for that value alone, and emits no other tile.
        """
        rows, columns = known(m), known(n)
        name = f"pb_gemm_panels_{self.dtype}"
        for label, value in (("m", rows), ("n", columns)):
            name += "" if value is None else f"_{label}{value}"
        if name not in self.module.functions:
            ints = (I64, "")
            fn = self.module.function(
                name,
                VOID,
                [(PTR, ""), ints, ints, (PTR, ""), ints, (PTR, ""), *[ints] * 6],
                attrs="noinline",
            )
            _Panels(self, fn, m if known(m) else fn.args[7], n if known(n) else fn.args[8])
            fn.ret()
        return name


class _Panels:
    def __init__(self, kernels: Kernels, fn: Function, m: Reg, n: Reg) -> None:
        self.kernels, self.cut, self.fn = kernels, kernels.cut, fn
        self.ints = ints = Ints(fn)
        self.x, self.sxi, self.sxk, y, self.syk, c, self.sci, *_ = fn.args
        self.k, self.goon, following = fn.args[9:]
        cut = self.cut
        # Rows of the tall tile; what is left, if anything, fits the short one.
        tail = ints.mask(m, cut.tall - 1)
        if cut.tall == cut.short:
            tail = i64(0)
            self.tall = m
        else:
            high = ints.above(tail, cut.short)
            self.tall = ints.select(high, m, ints.sub(m, tail))
        self.few = ints.sub(m, self.tall) if cut.tall != cut.short else i64(0)

        def full(j: Reg, state: list[Reg]) -> list[Reg]:
            (line,) = state
            self._rows(cut.vectors, line, fn.gep(c, j, cut.elem), i64(cut.panel))
            return [fn.gep(line, following, cut.elem)]

        count = ints.quotient(n, cut.panel)
        whole = ints.mul(count, i64(cut.panel))
        (line,) = for_range(fn, whole, i64(cut.panel), full, [y])
        rest = ints.sub(n, whole)
        self._ragged(line, fn.gep(c, whole, cut.elem), rest)

    def _ragged(self, line: Reg, goal: Reg, columns: Reg) -> None:
        fn, cut, ints = self.fn, self.cut, self.ints
        rounding = cut.width - 1 if cut.masks else 0
        count = ints.quotient(ints.add(columns, i64(rounding)), cut.width)
        most = cut.vectors if cut.masks else cut.vectors - 1
        for v in range(1, most + 1):

            def some(v: int = v) -> None:
                self._rows(v, line, goal, columns)

            when(fn, ints.equal(count, v), some)
        if cut.masks:
            return

        def single(j: Reg, _: list[Reg]) -> list[Reg]:
            at, to = fn.gep(line, j, cut.elem), fn.gep(goal, j, cut.elem)
            args = [self.x, self.sxi, self.sxk, at, self.syk, to, self.sci]
            rows = ints.add(self.tall, self.few)
            fn.call(self.kernels.dots(), VOID, [*args, rows, self.k, self.goon])
            return []

        done = ints.mul(count, i64(cut.width))
        for_range(fn, columns, i64(1), single, start=done)

    def _rows(self, vectors: int, line: Reg, goal: Reg, columns: Reg) -> None:
        """Call the tiles for all rows of one panel."""
        fn, cut = self.fn, self.cut

        def call(rows: int, v: int, skip: int, first: Reg, count: Reg) -> None:
            lanes = i64(skip * cut.width)
            x = fn.gep(self.x, self.ints.mul(first, self.sxi), cut.elem)
            c = fn.gep(goal, self.ints.mul(first, self.sci), cut.elem)
            args = [
                x, self.sxi, self.sxk, fn.gep(line, lanes, cut.elem), self.syk,
                fn.gep(c, lanes, cut.elem), self.sci,
                count, self.ints.sub(columns, lanes), self.k, self.goon,
            ]  # fmt: skip
            fn.call(self.kernels.tile(rows, v), VOID, args)

        def tall() -> None:
            call(cut.tall, vectors, 0, i64(0), self.tall)

        def few() -> None:
            # At most two vectors at a time: a third short tile would hardly be used.
            for skip in range(0, vectors, 2):
                call(cut.short, min(2, vectors - skip), skip, self.tall, self.few)

        when(fn, self.ints.above(self.tall, 0), tall)
        when(fn, self.ints.above(self.few, 0), few)
