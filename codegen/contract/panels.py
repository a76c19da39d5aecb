"""All columns of some rows: a loop over tile-wide panels of the second operand."""

from ..llvm import I64, PTR, VOID, Function, Module, Reg
from .blocking import Blocking
from .dots import emit_dots
from .flow import Ints, for_range, i64, known, when
from .pack import emit_pack
from .row import emit_row
from .tile import emit_tile

# Rows of a tile for few rows: each needs an address, and addresses have 16 registers.
_MOST_ROWS = 12


class Kernels:
    """The kernels of one dtype in a module, each emitted when it is first asked for."""

    def __init__(self, module: Module, cut: Blocking, dtype: str) -> None:
        self.module, self.cut, self.dtype = module, cut, dtype

    def tile(self, rows: int, lanes: tuple[int, ...], masked: bool) -> str:
        """Return the name of a register tile of vectors of so many lanes."""
        shape = "_".join(map(str, lanes)) + "m" * masked
        name = f"pb_gemm_{rows}x{shape}_{self.dtype}"
        if name not in self.module.functions:
            emit_tile(self.module, name, self.cut, rows, lanes, masked)
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
            _Panels(
                self, fn, m if known(m) else fn.args[7], n if known(n) else fn.args[8]
            )
            fn.ret()
        return name


class _Panels:
    def __init__(self, kernels: Kernels, fn: Function, m: Reg, n: Reg) -> None:
        self.kernels, self.cut, self.fn = kernels, kernels.cut, fn
        self.ints = ints = Ints(fn)
        self.m = m
        self.x, self.sxi, self.sxk, y, self.syk, c, self.sci, *_ = fn.args
        self.k, self.goon, following = fn.args[9:]
        cut = self.cut

        def full(j: Reg, state: list[Reg]) -> list[Reg]:
            (line,) = state
            lanes = (cut.width,) * cut.vectors
            # At run-time sizes the masked tile is there anyhow.
            masked = cut.masks and known(n) is None
            self._rows(lanes, masked, line, fn.gep(c, j, cut.elem), i64(cut.panel))
            return [fn.gep(line, following, cut.elem)]

        whole = ints.mul(ints.quotient(n, cut.panel), i64(cut.panel))
        (line,) = for_range(fn, whole, i64(cut.panel), full, [y])
        goal, rest = fn.gep(c, whole, cut.elem), ints.sub(n, whole)
        count = known(rest)
        if count is None:
            self._ragged(line, goal, rest)
        else:
            self._exact(line, goal, count)

    def _exact(self, line: Reg, goal: Reg, columns: int) -> None:
        """Compute a known number of columns below a panel, in narrower vectors."""
        cut, fn = self.cut, self.fn
        lanes = [cut.width] * (columns // cut.width)
        rest, width, masked = columns % cut.width, cut.width, False
        if cut.masks and rest:
            lanes.append(1 << (rest - 1).bit_length())
            masked = lanes[-1] != rest
        while rest and not cut.masks:
            width //= 2
            if rest >= width:
                lanes.append(width)
                rest -= width
        done = 0
        while lanes:
            part, lanes = tuple(lanes[: cut.vectors]), lanes[cut.vectors :]
            at, to = (fn.gep(p, i64(done), cut.elem) for p in (line, goal))
            last = masked and not lanes
            self._rows(part, last, at, to, i64(columns - done))
            done += sum(part)

    def _ragged(self, line: Reg, goal: Reg, columns: Reg) -> None:
        """Compute less than a panel of columns: whole vectors, and a mask or dots."""
        fn, cut, ints = self.fn, self.cut, self.ints
        rounding = cut.width - 1 if cut.masks else 0
        count = ints.quotient(ints.add(columns, i64(rounding)), cut.width)
        most = cut.vectors if cut.masks else cut.vectors - 1
        for v in range(1, most + 1):

            def some(lanes: tuple[int, ...] = (cut.width,) * v) -> None:
                self._rows(lanes, cut.masks, line, goal, columns)

            when(fn, ints.equal(count, v), some)
        if cut.masks:
            return

        def single(j: Reg, _: list[Reg]) -> list[Reg]:
            at, to = fn.gep(line, j, cut.elem), fn.gep(goal, j, cut.elem)
            args = [self.x, self.sxi, self.sxk, at, self.syk, to, self.sci]
            fn.call(self.kernels.dots(), VOID, [*args, self.m, self.k, self.goon])
            return []

        done = ints.mul(count, i64(cut.width))
        for_range(fn, columns, i64(1), single, start=done)

    def _rows(
        self, lanes: tuple[int, ...], masked: bool, line: Reg, goal: Reg, columns: Reg
    ) -> None:
        """Call the tiles for all rows of some columns of one panel."""
        fn, cut, ints = self.fn, self.cut, self.ints
        m = known(self.m)

        def call(
            rows: int,
            first: Reg,
            count: Reg,
            lanes: tuple[int, ...] = lanes,
            skip: int = 0,
        ) -> None:
            done = i64(skip)
            x = fn.gep(self.x, ints.mul(first, self.sxi), cut.elem)
            c = fn.gep(goal, ints.mul(first, self.sci), cut.elem)
            args = [
                x, self.sxi, self.sxk, fn.gep(line, done, cut.elem), self.syk,
                fn.gep(c, done, cut.elem), self.sci,
                count, ints.sub(columns, done), self.k, self.goon,
            ]  # fmt: skip
            fn.call(self.kernels.tile(rows, lanes, masked), VOID, args)

        if m is not None:
            if m <= _MOST_ROWS and m * len(lanes) <= cut.accumulators:
                call(m, i64(0), i64(m))
                return
            tail = m % cut.tall
            few = tail if tail <= cut.short else 0
            call(cut.tall, i64(0), i64(m - few))
            if few:
                call(few, i64(m - few), i64(few))
            return
        if cut.tall == cut.short:
            call(cut.tall, i64(0), self.m)
            return
        # Rows of the tall tile; what is left, if anything, fits the short one.
        left = ints.mask(self.m, cut.tall - 1)
        high = ints.above(left, cut.short)
        tall = ints.select(high, self.m, ints.sub(self.m, left))
        few_rows = ints.sub(self.m, tall)

        def short() -> None:
            # At most two vectors at a time: a third short tile would hardly be used.
            for v in range(0, len(lanes), 2):
                call(cut.short, tall, few_rows, lanes[v : v + 2], sum(lanes[:v]))

        when(fn, ints.above(tall, 0), lambda: call(cut.tall, i64(0), tall))
        when(fn, ints.above(few_rows, 0), short)
