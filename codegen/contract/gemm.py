"""Matrix multiplication of any strides, as one internal function of a module.

Every element of the result is the chain acc = fma(a_k, b_k, acc) from +0.0 in ascending
k. Whatever path is taken, a chain is never split, only paused in memory, so that
shapes, strides, packing and vector width change no bit.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..llvm import I64, PTR, VOID, Function, Module, Reg
from ..target import Target
from .blocking import blocking
from .flow import Ints, for_range, i64, known, when
from .near import Near
from .panels import Kernels

# Bytes of the second operand up to which its contiguous rows are read in place.
IN_PLACE_BYTES = 160 * 1024
# Rows of the first operand from which packing a contiguous second operand pays.
PACK_ROWS = 16
# Bytes from which a first operand with contiguous rows is packed: it spans many pages.
_FAR_BYTES = 6 * 1024 * 1024
# Bytes of a line of an unpacked first operand, of which each row reads a piece.
_DOWN_BYTES = 4096
# Rows of an unpacked first operand that go through all panels together.
_STRIP_ROWS = 64


class StaticGemm(NamedTuple):
    """A multiplication of known sizes.

    Attributes:
        name: of the function `void name(ptr a, ptr b, ptr c, ptr work)`.
        work_bytes: scratch it needs, aligned to 64; `work` may be null where 0.
    """

    name: str
    work_bytes: int


def gemm_work_bytes(target: Target, dtype: str) -> int:
    """Return the bytes of scratch, aligned to 64, that `emit_gemm`'s function needs."""
    cut = blocking(target, dtype)
    return cut.second_bytes() + cut.strip_bytes


def emit_gemm(module: Module, target: Target, dtype: str) -> str:
    """Emit the multiplication for `dtype`, f64 or f32, once a module; return its name.

        void pb_gemm_f64(ptr a, ptr b, ptr c, i64 m, i64 n, i64 k, i64 sam, i64 sak,
                         i64 sbk, i64 sbn, i64 scm, i64 scn, ptr work)
        c[i*scm + j*scn] = sum over q of a[i*sam + q*sak] * b[q*sbk + j*sbn]

    Strides count elements; those of a and b may be 0, those of c are positive. m, n and
    k may be 0: k 0 writes zeros. c must not overlap a or b. `work` is `gemm_work_bytes`
    bytes aligned to 64.
    """
    name = f"pb_gemm_{dtype}"
    if name not in module.functions:
        fn = module.function(
            name,
            VOID,
            [*[(PTR, "")] * 3, *[(I64, "")] * 9, (PTR, "")],
            attrs="noinline",
        )
        a, b, c, *numbers, work = fn.args
        gemm = _Gemm(Kernels(module, blocking(target, dtype), dtype), fn)
        gemm.emit((a, b, c), numbers, work)
    return name


def emit_accumulate(module: Module, target: Target, dtype: str) -> str:
    """Emit c += a b as `pb_gemm_add_f64`, with the parameters of `emit_gemm`.

    The chains that c holds go on: each is the same chain as of one multiplication.
    scn is 1; all other strides are of any sign.
    """
    name = f"pb_gemm_add_{dtype}"
    if name not in module.functions:
        fn = module.function(
            name,
            VOID,
            [*[(PTR, "")] * 3, *[(I64, "")] * 9, (PTR, "")],
            attrs="noinline",
        )
        a, b, c, *numbers, work = fn.args
        gemm = _Gemm(Kernels(module, blocking(target, dtype), dtype), fn)
        gemm.accumulate((a, b, c), numbers, work)
    return name


def emit_static_gemm(
    module: Module,
    target: Target,
    dtype: str,
    sizes: tuple[int, int, int],
    strides: tuple[int, int, int, int, int, int],
) -> StaticGemm:
    """Emit the multiplication for known sizes (m, n, k) and strides, once a module.

    The strides are those of `emit_gemm`, in its order, and the bits are the same. Only
    the kernels that the sizes reach are emitted; they are shared by all of the module.
    """
    cut = blocking(target, dtype)
    text = "_".join(str(v) for v in (*sizes, *strides))
    name = f"pb_gemm_{dtype}_{text}"
    if name in module.functions:
        # The scratch is decided while emitting: do that once more, and drop the text.
        module = target.module()
    fn = module.function(name, VOID, [(PTR, "")] * 4, attrs="noinline")
    a, b, c, work = fn.args
    numbers = [i64(v) for v in (*sizes, *strides)]
    gemm = _Gemm(Kernels(module, cut, dtype), fn)
    gemm.emit((a, b, c), numbers, work)
    return StaticGemm(name, gemm.work_bytes)


def emit_batched_gemm(module: Module, target: Target, dtype: str) -> str:
    """Emit a loop of multiplications over one batch axis; return its name.

        void pb_gemm_batched_f64(i64 batch, i64 ba, i64 bb, i64 bc, ...)

    ba, bb, bc are the batch strides of a, b, c in elements, 0 where an operand is
    shared; the other parameters are those of `emit_gemm`.
    """
    inner = emit_gemm(module, target, dtype)
    name = f"pb_gemm_batched_{dtype}"
    if name in module.functions:
        return name
    elem = blocking(target, dtype).elem
    fn = module.function(
        name,
        VOID,
        [*[(I64, "")] * 4, *module.functions[inner].params],
        attrs="noinline",
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
    """The body of one entry: orient the problem, then choose a path."""

    def __init__(self, kernels: Kernels, fn: Function) -> None:
        self.kernels, self.cut, self.fn = kernels, kernels.cut, fn
        self.ints = Ints(fn)
        self.work_bytes = 0
        self.before = 0  # whether chains go on that c holds

    def emit(
        self, arrays: tuple[Reg, Reg, Reg], numbers: Sequence[Reg], work: Reg
    ) -> None:
        """Emit the body. Columns are lanes; c.T = b.T a.T where that suits better.

        `numbers` are m, n, k and the strides in the order of `emit_gemm`.
        """
        a, b, c = arrays
        m, n, k, sam, sak, sbk, sbn, scm, scn = numbers
        fn, ints = self.fn, self.ints

        def one(value: Reg) -> Reg:
            return ints.equal(value, 1)

        column, line = one(n), one(m)
        down = ints.both(one(sam), one(scm))
        across = ints.both(one(sbn), one(scn))
        swap = ints.select(
            line, ints.invert(across), ints.both(ints.invert(one(scn)), one(scm))
        )
        swap = ints.select(column, ints.both(down, ints.invert(line)), swap)

        def pick(straight: Reg, swapped: Reg) -> Reg:
            return ints.select(swap, swapped, straight)

        self.x, self.y, self.c, self.work = pick(a, b), pick(b, a), c, work
        self.m, self.n, self.k = pick(m, n), pick(n, m), k
        self.sxi, self.sxk = pick(sam, sbn), pick(sak, sbk)
        self.syk, self.syj = pick(sbk, sak), pick(sbn, sam)
        self.sci, self.scj = pick(scm, scn), pick(scn, scm)

        def contiguous() -> None:
            alone = ints.both(one(self.m), one(self.syj))
            alone = ints.both(alone, ints.above(self.n, self.cut.width))
            when(fn, alone, self._row, self._blocked)

        scattered = ints.invert(one(self.scj))
        when(fn, ints.either(one(self.n), scattered), self._columns, contiguous)
        fn.ret()

    def accumulate(
        self, arrays: tuple[Reg, Reg, Reg], numbers: Sequence[Reg], work: Reg
    ) -> None:
        """Emit the body of `emit_accumulate`: columns of c are lanes as they are."""
        self.x, self.y, self.c = arrays
        self.work, self.before = work, 1
        self.m, self.n, self.k, self.sxi, self.sxk = numbers[:5]
        self.syk, self.syj, self.sci, self.scj = numbers[5:]
        self._blocked()
        self.fn.ret()

    def _columns(self) -> None:
        fn, elem = self.fn, self.cut.elem

        def each(j: Reg, _: list[Reg]) -> list[Reg]:
            at = fn.gep(self.y, fn.mul(j, self.syj), elem)
            to = fn.gep(self.c, fn.mul(j, self.scj), elem)
            args = [self.x, self.sxi, self.sxk, at, self.syk, to, self.sci]
            fn.call(self.kernels.dots(), VOID, [*args, self.m, self.k, i64(0)])
            return []

        for_range(fn, self.n, i64(1), each)

    def _row(self) -> None:
        args = [self.x, self.sxk, self.y, self.syk, self.c, self.n, self.k]
        self.fn.call(self.kernels.row(), VOID, args)

    def _blocked(self) -> None:
        cut, ints, fn = self.cut, self.ints, self.fn
        large = ints.above(ints.mul(self.k, self.n), IN_PLACE_BYTES // cut.size)
        reused = ints.above(self.m, PACK_ROWS - 1)
        scattered = ints.invert(ints.equal(self.syj, 1))
        pack_y = ints.either(scattered, ints.both(large, reused))
        self.pack_y = ints.both(pack_y, ints.above(self.k, 0))
        wide = ints.above(self.n, 4 * cut.panel)
        far = ints.above(ints.mul(self.m, self.k), _FAR_BYTES // cut.size)
        far = ints.either(far, ints.invert(ints.equal(self.sxk, 1)))
        self.pack_x = ints.both(ints.both(self.pack_y, far), ints.both(wide, reused))
        second = cut.second_bytes(known(self.n), known(self.k))
        self.strip_at = fn.gep(self.work, i64(second))
        if known(self.pack_y) != 0:
            self.work_bytes = second
        if known(self.pack_x) != 0:
            self.work_bytes += cut.strip_bytes
        deep = ints.smax(self.k, i64(1))
        step_k = ints.select(self.pack_y, i64(cut.block_k), deep)

        loose = ints.invert(self.pack_x)
        across = ints.both(loose, ints.equal(self.sxk, 1))
        zero, module = i64(0), self.kernels.module
        self.near = Near(
            module, fn, cut, self.m, ints.select(across, self.k, zero), self.sxi
        )
        down = ints.both(ints.both(loose, self.pack_y), ints.equal(self.sxi, 1))
        down_by = ints.select(down, self.m, zero)
        lines = Near(module, fn, cut, self.k, down_by, self.sxk, _DOWN_BYTES)

        def slab(p: Reg, _: list[Reg]) -> list[Reg]:
            depth = ints.smin(ints.sub(self.k, p), step_k)
            x = fn.gep(self.x, ints.mul(p, self.sxk), cut.elem)
            lines.bring(x, depth)
            y = fn.gep(self.y, ints.mul(p, self.syk), cut.elem)

            def block(j: Reg, _: list[Reg]) -> list[Reg]:
                columns = ints.smin(ints.sub(self.n, j), i64(cut.block_n))
                origin = fn.gep(y, ints.mul(j, self.syj), cut.elem)
                goal = fn.gep(self.c, j, cut.elem)
                goon = ints.add(p, i64(self.before)) if self.before else p
                self._block(x, origin, goal, columns, depth, goon)
                return []

            for_range(fn, self.n, i64(cut.block_n), block)
            return []

        for_range(fn, deep, step_k, slab)

    def _block(
        self, x: Reg, y: Reg, c: Reg, columns: Reg, depth: Reg, goon: Reg
    ) -> None:
        """Multiply all rows by one block of y; `goon` is 0 where chains start."""
        cut, ints, fn = self.cut, self.ints, self.fn
        panel = i64(cut.columns(known(self.n)))

        def pack_panels() -> None:
            def each(q: Reg, _: list[Reg]) -> list[Reg]:
                source = fn.gep(y, ints.mul(q, self.syj), cut.elem)
                goal = fn.gep(self.work, ints.mul(q, depth), cut.elem)
                width = ints.smin(ints.sub(columns, q), panel)
                args = [source, self.syk, self.syj, goal, panel, depth, width]
                fn.call(self.kernels.pack(), VOID, args)
                return []

            for_range(fn, columns, panel, each)

        when(fn, self.pack_y, pack_panels)
        packed = self.pack_y
        lines = (
            ints.select(packed, self.work, y),
            ints.select(packed, panel, self.syk),
            ints.select(packed, ints.mul(depth, panel), panel),
        )

        def strip(i: Reg, rows: Reg) -> None:
            source = fn.gep(x, ints.mul(i, self.sxi), cut.elem)
            goal = fn.gep(c, ints.mul(i, self.sci), cut.elem)
            self._strip(source, goal, rows, lines, columns, depth, goon)

        step = ints.select(self.pack_x, i64(cut.tall), i64(_STRIP_ROWS))
        even = known(self.m), known(step)
        if even[0] is None or even[1] is None:

            def some(i: Reg, _: list[Reg]) -> list[Reg]:
                strip(i, ints.smin(ints.sub(self.m, i), step))
                return []

            for_range(fn, self.m, step, some)
            return
        # Rows are known: strips of one known height, and a last one of another.
        whole = even[0] // even[1] * even[1]

        def same(i: Reg, _: list[Reg]) -> list[Reg]:
            strip(i, step)
            return []

        for_range(fn, i64(whole), step, same)
        if even[0] > whole:
            strip(i64(whole), i64(even[0] - whole))

    def _strip(
        self, x: Reg, c: Reg, rows: Reg, lines: tuple[Reg, Reg, Reg],
        columns: Reg, depth: Reg, goon: Reg,
    ) -> None:  # fmt: skip
        cut, ints, fn = self.cut, self.ints, self.fn
        along = ints.equal(self.sxk, 1)

        def pack_strip() -> None:
            # Lines along k, or lines along the rows: whichever is a copy.
            s0 = ints.select(along, self.sxi, self.sxk)
            s1 = ints.select(along, self.sxk, self.sxi)
            n0, n1 = ints.select(along, rows, depth), ints.select(along, depth, rows)
            d0 = ints.select(along, i64(cut.block_k), i64(cut.tall))
            args = [x, s0, s1, self.strip_at, d0, n0, n1]
            fn.call(self.kernels.pack(), VOID, args)

        when(fn, self.pack_x, pack_strip)
        self.near.bring(x, rows, depth)
        packed = self.pack_x
        line, line_k, following = lines
        args = [
            ints.select(packed, self.strip_at, x),
            ints.select(packed, ints.select(along, i64(cut.block_k), i64(1)), self.sxi),
            ints.select(packed, ints.select(along, i64(1), i64(cut.tall)), self.sxk),
            line, line_k, c, self.sci, rows, columns, depth, goon, following,
        ]  # fmt: skip
        fn.call(self.kernels.panels(rows, columns), VOID, args)
