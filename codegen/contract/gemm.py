"""Matrix multiplication of any strides, as one internal function of a module.

Every element of the result is the chain acc = fma(a_k, b_k, acc) from +0.0 in ascending
k. Whatever path is taken, a chain is never split, only paused in memory, so that shapes,
strides, packing and vector width change no bit.
"""

from ..llvm import I64, PTR, VOID, Function, Module, Reg
from ..target import Target
from .blocking import Blocking, blocking
from .flow import for_range, i64, when
from .pack import emit_pack
from .row import emit_row
from .tile import emit_tile

# Bytes of the second operand up to which it is read in place, if its rows are contiguous.
_IN_PLACE_BYTES = 160 * 1024
# Rows of the first operand for which packing a contiguous second operand pays.
_PACK_ROWS = 16
# Rows of an unpacked first operand that go through all panels together.
_STRIP_ROWS = 64


def gemm_work_bytes(target: Target, dtype: str) -> int:
    """Return the bytes of scratch, aligned to 64, that the function of `emit_gemm` needs."""
    return blocking(target, dtype).work_bytes


def emit_gemm(module: Module, target: Target, dtype: str) -> str:
    """Emit the multiplication for `dtype`, f64 or f32, once a module; return its name.

        void pb_gemm_f64(ptr a, ptr b, ptr c, i64 m, i64 n, i64 k, i64 sam, i64 sak,
                         i64 sbk, i64 sbn, i64 scm, i64 scn, ptr work)
        c[i*scm + j*scn] = sum over k of a[i*sam + k*sak] * b[k*sbk + j*sbn]

    Strides count elements; those of a and b may be 0, those of c are positive. m, n and k
    may be 0: k 0 writes zeros. c must not overlap a or b. `work` is `gemm_work_bytes`
    bytes aligned to 64.
    """
    name = f"pb_gemm_{dtype}"
    if name not in module.functions:
        _Gemm(module, blocking(target, dtype), dtype).emit(name)
    return name


def emit_batched_gemm(module: Module, target: Target, dtype: str) -> str:
    """Emit a loop of multiplications over one batch axis; return its name.

        void pb_gemm_batched_f64(i64 batch, i64 ba, i64 bb, i64 bc, ...)

    ba, bb, bc are the batch strides of a, b, c in elements, 0 where an operand is shared;
    the other parameters are those of `emit_gemm`.
    """
    inner = emit_gemm(module, target, dtype)
    name = f"pb_gemm_batched_{dtype}"
    if name in module.functions:
        return name
    elem = blocking(target, dtype).elem
    fn = module.function(
        name, VOID, [*[(I64, "")] * 4, *module.functions[inner].params], attrs="noinline"
    )
    batch, ba, bb, bc, a, b, c, *rest = fn.args

    def one(at: Reg, _: list[Reg]) -> list[Reg]:
        pairs = ((a, ba), (b, bb), (c, bc))
        bases = [fn.gep(p, fn.mul(at, s), elem) for p, s in pairs]
        fn.call(inner, VOID, [*bases, *rest])
        return []

    for_range(fn, batch, i64(1), one)
    fn.ret()
    return name


class _Gemm:
    """The functions of one dtype: tiles, packing, panels, and the choice among them."""

    def __init__(self, module: Module, cut: Blocking, dtype: str) -> None:
        self.module, self.cut, self.dtype = module, cut, dtype
        self.tiles = {
            (rows, v): self._tile(rows, v, cut.width)
            for rows in sorted({cut.tall, cut.short})
            for v in range(1, cut.vectors + 1)
        }
        self.scalars = self._tile(8, 1, 1)
        self.pack = emit_pack(module, f"pb_gemm_pack_{dtype}", cut)
        self.row = emit_row(module, f"pb_gemm_row_{dtype}", cut)
        self.panels = self._emit_panels(f"pb_gemm_panels_{dtype}")

    def _tile(self, rows: int, vectors: int, width: int) -> str:
        name = f"pb_gemm_{rows}x{vectors * width}_{self.dtype}"
        if name not in self.module.functions:
            emit_tile(self.module, name, self.cut, rows, vectors, width)
        return name

    # -- panels: all columns, unpacked or packed, of some rows ----------------------------

    def _emit_panels(self, name: str) -> str:
        """Emit the loop over tile-wide panels.

        void name(x, sxi, sxk, y, syk, c, sci, m, n, k, goon, i64 next)
        `next` is the distance between panels of y in elements.
        """
        cut = self.cut
        ints = (I64, "")
        fn = self.module.function(
            name,
            VOID,
            [(PTR, ""), ints, ints, (PTR, ""), ints, (PTR, ""), *[ints] * 6],
            attrs="noinline",
        )
        x, sxi, sxk, y, syk, c, sci, m, n, k, goon, following = fn.args
        # Rows of the tall tile; what is left, if anything, fits the short one.
        tail = fn.and_(m, i64(cut.tall - 1))
        high = fn.icmp("sgt", tail, i64(cut.short))
        tall = fn.select(high, m, fn.sub(m, tail))
        few = fn.sub(m, tall)

        def call(tile: str, line: Reg, goal: Reg, columns: Reg) -> None:
            args = [x, sxi, sxk, line, syk, goal, sci, m, columns, k, goon]
            fn.call(tile, VOID, args)

        def vectors(v: int, line: Reg, goal: Reg, columns: Reg) -> None:
            if cut.tall == cut.short:
                call(self.tiles[cut.tall, v], line, goal, columns)
                return
            for rows, count, first in (
                (cut.tall, tall, i64(0)),
                (cut.short, few, tall),
            ):
                args = [
                    fn.gep(x, fn.mul(first, sxi), cut.elem), sxi, sxk, line, syk,
                    fn.gep(goal, fn.mul(first, sci), cut.elem), sci,
                    count, columns, k, goon,
                ]  # fmt: skip
                tile = self.tiles[rows, v]
                when(
                    fn,
                    fn.icmp("sgt", count, i64(0)),
                    lambda t=tile, a=args: fn.call(t, VOID, a),
                )

        def panel(j: Reg, state: list[Reg]) -> list[Reg]:
            (line,) = state
            goal = fn.gep(c, j, cut.elem)
            columns = fn.smin(fn.sub(n, j), i64(cut.panel))
            full = columns
            if cut.masks:
                full = fn.add(columns, i64(cut.width - 1))
            count = fn.sdiv(full, i64(cut.width))
            for v in range(1, cut.vectors + 1):
                when(
                    fn,
                    fn.icmp("eq", count, i64(v)),
                    lambda v=v: vectors(v, line, goal, columns),
                )
            if not cut.masks and cut.width > 1:
                done = fn.mul(count, i64(cut.width))

                def one(col: Reg, _: list[Reg]) -> list[Reg]:
                    at, to = fn.gep(line, col, cut.elem), fn.gep(goal, col, cut.elem)
                    call(self.scalars, at, to, i64(1))
                    return []

                for_range(fn, columns, i64(1), one, start=done)
            return [fn.gep(line, following, cut.elem)]

        for_range(fn, n, i64(cut.panel), panel, [y])
        fn.ret()
        return name

    # -- the whole -----------------------------------------------------------------------

    def emit(self, name: str) -> None:
        """Emit the entry: orient the problem, then choose a path by sizes and strides."""
        fn = self.module.function(
            name, VOID, [*[(PTR, "")] * 3, *[(I64, "")] * 9, (PTR, "")], attrs="noinline"
        )
        a, b, c, m, n, k, sam, sak, sbk, sbn, scm, scn, work = fn.args
        one = i64(1)

        def is_one(value: Reg) -> Reg:
            return fn.icmp("eq", value, one)

        # Columns are the lanes. c.T = b.T a.T where that makes them contiguous.
        column, line = is_one(n), is_one(m)
        tall_ok = fn.and_(is_one(sam), is_one(scm))
        wide_ok = fn.and_(is_one(sbn), is_one(scn))
        general = fn.and_(fn.not_(is_one(scn)), is_one(scm))
        swap = fn.select(line, fn.not_(wide_ok), general)
        swap = fn.select(column, fn.and_(tall_ok, fn.not_(line)), swap)

        def pick(straight: Reg, swapped: Reg) -> Reg:
            return fn.select(swap, swapped, straight)

        x, y = pick(a, b), pick(b, a)
        rows, columns = pick(m, n), pick(n, m)
        sxi, sxk = pick(sam, sbn), pick(sak, sbk)
        syk, syj = pick(sbk, sak), pick(sbn, sam)
        sci, scj = pick(scm, scn), pick(scn, scm)

        def scalar_columns() -> None:
            def each(j: Reg, _: list[Reg]) -> list[Reg]:
                at = fn.gep(y, fn.mul(j, syj), self.cut.elem)
                to = fn.gep(c, fn.mul(j, scj), self.cut.elem)
                args = [x, sxi, sxk, at, syk, to, sci, rows, one, k, i64(0)]
                fn.call(self.scalars, VOID, args)
                return []

            for_range(fn, columns, one, each)

        def single_row() -> None:
            fn.call(self.row, VOID, [x, sxk, y, syk, c, columns, k])

        def blocked() -> None:
            args = (x, y, c, rows, columns, k, sxi, sxk, syk, syj, sci, work)
            self._blocked(fn, *args)

        def contiguous() -> None:
            many = fn.icmp("sgt", columns, i64(self.cut.width))
            alone = fn.and_(fn.and_(is_one(rows), is_one(syj)), many)
            when(fn, alone, single_row, blocked)

        odd = fn.or_(is_one(columns), fn.not_(is_one(scj)))
        when(fn, odd, scalar_columns, contiguous)
        fn.ret()

    def _blocked(
        self, fn: Function, x: Reg, y: Reg, c: Reg, m: Reg, n: Reg, k: Reg,
        sxi: Reg, sxk: Reg, syk: Reg, syj: Reg, sci: Reg, work: Reg,
    ) -> None:  # fmt: skip
        cut, one = self.cut, i64(1)
        panel = i64(cut.panel)
        strip_at = fn.gep(work, i64(cut.second_bytes))
        large = fn.icmp("sgt", fn.mul(k, n), i64(_IN_PLACE_BYTES // cut.size))
        reused = fn.icmp("sge", m, i64(_PACK_ROWS))
        scattered = fn.icmp("ne", syj, one)
        pack_y = fn.or_(scattered, fn.and_(large, reused))
        pack_y = fn.and_(pack_y, fn.icmp("sgt", k, i64(0)))
        wide = fn.icmp("sgt", n, i64(4 * cut.panel))
        pack_x = fn.and_(pack_y, fn.and_(wide, reused))
        deep = fn.smax(k, one)
        step_k = fn.select(pack_y, i64(cut.block_k), deep)
        step_m = fn.select(pack_x, i64(cut.tall), i64(_STRIP_ROWS))
        by_rows = fn.icmp("eq", sxk, one)

        def slab(p: Reg, _: list[Reg]) -> list[Reg]:
            depth = fn.smin(fn.sub(k, p), step_k)
            x_slab = fn.gep(x, fn.mul(p, sxk), cut.elem)
            y_slab = fn.gep(y, fn.mul(p, syk), cut.elem)

            def block(j: Reg, _: list[Reg]) -> list[Reg]:
                columns = fn.smin(fn.sub(n, j), i64(cut.block_n))
                origin = fn.gep(y_slab, fn.mul(j, syj), cut.elem)

                def pack_panels() -> None:
                    def each(q: Reg, _: list[Reg]) -> list[Reg]:
                        source = fn.gep(origin, fn.mul(q, syj), cut.elem)
                        goal = fn.gep(work, fn.mul(q, depth), cut.elem)
                        width = fn.smin(fn.sub(columns, q), panel)
                        args = [source, syk, syj, goal, panel, depth, width]
                        fn.call(self.pack, VOID, args)
                        return []

                    for_range(fn, columns, panel, each)

                when(fn, pack_y, pack_panels)
                y_at = fn.select(pack_y, work, origin)
                y_line = fn.select(pack_y, panel, syk)
                y_next = fn.select(pack_y, fn.mul(depth, panel), panel)

                def strip(i: Reg, _: list[Reg]) -> list[Reg]:
                    rows = fn.smin(fn.sub(m, i), step_m)
                    source = fn.gep(x_slab, fn.mul(i, sxi), cut.elem)
                    goal = fn.gep(c, fn.add(fn.mul(i, sci), j), cut.elem)

                    def pack_strip() -> None:
                        # Lines along k, or lines along the rows: whichever is a copy.
                        s0, s1 = fn.select(by_rows, sxi, sxk), fn.select(by_rows, sxk, sxi)
                        n0 = fn.select(by_rows, rows, depth)
                        n1 = fn.select(by_rows, depth, rows)
                        d0 = fn.select(by_rows, i64(cut.block_k), i64(cut.tall))
                        args = [source, s0, s1, strip_at, d0, n0, n1]
                        fn.call(self.pack, VOID, args)

                    when(fn, pack_x, pack_strip)
                    x_at = fn.select(pack_x, strip_at, source)
                    packed_i = fn.select(by_rows, i64(cut.block_k), one)
                    packed_k = fn.select(by_rows, one, i64(cut.tall))
                    args = [
                        x_at, fn.select(pack_x, packed_i, sxi),
                        fn.select(pack_x, packed_k, sxk),
                        y_at, y_line, goal, sci, rows, columns, depth, p, y_next,
                    ]  # fmt: skip
                    fn.call(self.panels, VOID, args)
                    return []

                for_range(fn, m, step_m, strip)
                return []

            for_range(fn, n, i64(cut.block_n), block)
            return []

        for_range(fn, deep, step_k, slab)
