"""Products of banded matrices, and products of which a band is read.

What zeros would add is left out: a chain of fma begins at the first index of k where
neither operand is known to be zero, and ends at the last. That is the chain of the
whole product as long as zeros meet finite numbers only, so the kernel looks first, and
after for a negative zero, which a sum of zeros behind it might have turned positive.
Where it finds one it multiplies as if nothing were known: no bit ever differs.
"""

from typing import NamedTuple

from ..llvm import I1, I64, PTR, VOID, Function, Module, Reg
from ..target import Target
from .blocking import blocking
from .flow import Ints, for_range, i64, truth, when
from .gemm import IN_PLACE_BYTES, PACK_ROWS
from .mirror import emit_mirror
from .panels import Kernels
from .scans import NEGATIVE_ZERO, NOT_FINITE, NOT_ZERO, emit_any

_ROWS = 16  # of a strip whose range of k is one
_FAR = 1 << 40  # a diagonal beyond all matrices


class Part(NamedTuple):
    """Where a matrix may differ from zero: lo <= column - row <= hi, None no bound.

    Elements outside are zero; unless `sure` the kernel looks whether they are.
    """

    lo: int | None = None
    hi: int | None = None
    sure: bool = True

    @property
    def bounded(self) -> bool:
        """Whether there is anything outside."""
        return self.lo is not None or self.hi is not None

    def __str__(self) -> str:
        known = {(None, 0): "lower", (0, None): "upper", (0, 0): "diagonal"}
        if (self.lo, self.hi) in known:
            return known[self.lo, self.hi]
        ends = ["" if d is None else str(d) for d in (self.lo, self.hi)]
        return "..".join(["band " + ends[0], ends[1]])


class Parts(NamedTuple):
    """What is known of a product c = a b.

    Attributes:
        a, b: where the operands may differ from zero.
        c: what is read of the result; the rest is left as it is.
        mirror: c is symmetric: its lower half is computed, and copied.
    """

    a: Part = Part()
    b: Part = Part()
    c: Part = Part()
    mirror: bool = False

    @property
    def computed(self) -> Part:
        """The part of c that is computed."""
        return Part(None, 0) if self.mirror else self.c

    def __str__(self) -> str:
        sides = zip(("lhs", "rhs"), (self.a, self.b), strict=True)
        said = [f"{side} {part}" for side, part in sides if part.bounded]
        if self.c.bounded:
            said.append(f"result read in {self.c}")
        return ", ".join([*said, *["result symmetric"] * self.mirror])


def emit_banded_gemm(module: Module, target: Target, dtype: str, parts: Parts) -> str:
    """Emit the multiplication for one set of parts once a module; return its name.

        void name(ptr a, ptr b, ptr c, i64 m, i64 n, i64 k, i64 sam, i64 sak,
                  i64 sbk, i64 sbn, i64 scm, i64 scn, ptr work)

    The parameters and the scratch are those of `emit_gemm`; scn is 1. With `mirror`
    m is n.
    """
    text = "_".join(_text(part) for part in parts[:3]) + "_m" * parts.mirror
    name = f"pb_gemm_{dtype}_{text}"
    if name in module.functions:
        return name
    kernels = Kernels(module, blocking(target, dtype), dtype)
    params = [*[(PTR, "")] * 3, *[(I64, "")] * 9, (PTR, "")]
    inner = f"{name}_product"
    product = module.function(inner, VOID, [*params, (I1, "")], attrs="noinline")
    _Product(kernels, product, parts).emit()
    fn = module.function(name, VOID, params, attrs="noinline")
    _emit_checked(kernels, fn, parts, inner)
    return name


def _text(part: Part) -> str:
    if not part.bounded:
        return "x"
    ends = ["" if d is None else str(d).replace("-", "n") for d in part[:2]]
    return f"{ends[0]}t{ends[1]}" + "q" * (not part.sure)


def _emit_checked(kernels: Kernels, fn: Function, parts: Parts, product: str) -> None:
    """Emit looking for doubt, the product, and looking for negative zeros."""
    ints = Ints(fn)
    a, b, c, m, n, k, sam, sak, sbk, sbn, scm, _, _ = fn.args

    def any_of(
        kind: str, x: Reg, sizes: tuple[Reg, Reg], strides: tuple[Reg, Reg], part: Part
    ) -> Reg:
        name = emit_any(kernels.module, kernels.cut, kernels.dtype, kind)
        lo = i64(-_FAR if part.lo is None else part.lo)
        hi = i64(_FAR if part.hi is None else part.hi)
        return fn.call(name, I1, (x, *sizes, *strides, lo, hi))

    doubt = truth(False)
    left = (a, (m, k), (sam, sak))
    right = (b, (k, n), (sbk, sbn))
    for part, own, other in ((parts.a, left, right), (parts.b, right, left)):
        if not part.bounded:
            continue
        doubt = ints.either(doubt, any_of(NOT_FINITE, *other, Part()))
        if not part.sure and part.lo is not None:
            below = any_of(NOT_ZERO, *own, Part(None, part.lo - 1))
            doubt = ints.either(doubt, below)
        if not part.sure and part.hi is not None:
            above = any_of(NOT_ZERO, *own, Part(part.hi + 1, None))
            doubt = ints.either(doubt, above)
    fn.call(product, VOID, (*fn.args, doubt))
    if parts.a.hi is not None or parts.b.lo is not None:
        # zeros are left out behind the last product

        def again() -> None:
            fn.call(product, VOID, (*fn.args, truth(True)))

        def look() -> None:
            found = any_of(NEGATIVE_ZERO, c, (m, n), (scm, i64(1)), parts.computed)
            when(fn, found, again)

        when(fn, ints.invert(doubt), look)
    if parts.mirror:
        mirror = emit_mirror(kernels.module, kernels.cut, kernels.dtype)
        fn.call(mirror, VOID, (c, n, scm))
    fn.ret()


class _Product:
    """The product: strips of rows times blocks of columns, each of its own k."""

    def __init__(self, kernels: Kernels, fn: Function, parts: Parts) -> None:
        self.kernels, self.cut, self.fn = kernels, kernels.cut, fn
        self.parts, self.ints = parts, Ints(fn)
        self.a, self.b, self.c, self.m, self.n, self.k = fn.args[:6]
        self.sam, self.sak, self.sbk, self.sbn, self.scm = fn.args[6:11]
        self.work, self.doubt = fn.args[12:]

    def _clip(self, value: Reg, stop: Reg) -> Reg:
        return self.ints.smin(self.ints.smax(value, i64(0)), stop)

    def _moved(self, value: Reg, by: int | None, other: Reg) -> Reg:
        """Return value + by within 0 and k, or `other` where there is no bound."""
        if by is None:
            return other
        moved = self._clip(self.ints.add(value, i64(by)), self.k)
        return self.fn.select(self.doubt, other, moved)

    def emit(self) -> None:
        """Write the function; `doubt` says to take zeros for any numbers."""
        cut, ints, fn = self.cut, self.ints, self.fn
        large = ints.above(ints.mul(self.k, self.n), IN_PLACE_BYTES // cut.size)
        reused = ints.above(self.m, PACK_ROWS - 1)
        scattered = ints.invert(ints.equal(self.sbn, 1))
        pack = ints.either(scattered, ints.both(large, reused))
        self.pack_b = ints.both(pack, ints.above(self.k, 0))
        across = ints.invert(ints.equal(self.sak, 1))
        wide = ints.above(self.n, 4 * cut.panel)
        self.pack_a = ints.both(ints.both(self.pack_b, across), wide)
        self.strip_at = fn.gep(self.work, i64(cut.second_bytes()))
        self.step_i = ints.select(self.pack_a, i64(cut.tall), i64(_ROWS))
        deep = ints.smax(self.k, i64(1))
        step_k = ints.select(self.pack_b, i64(cut.block_k), deep)
        columns = cut.block_n
        if self.parts.b.bounded:
            narrow = None not in self.parts.b[:2]
            columns = cut.panel if narrow else 2 * cut.panel

        def slab(p: Reg, _: list[Reg]) -> list[Reg]:
            end = ints.smin(ints.add(p, step_k), self.k)

            def block(j: Reg, _: list[Reg]) -> list[Reg]:
                self._block(p, end, j, ints.smin(ints.sub(self.n, j), i64(columns)))
                return []

            for_range(fn, self.n, i64(columns), block)
            return []

        for_range(fn, deep, step_k, slab)
        fn.ret()

    def _block(self, p: Reg, end: Reg, j: Reg, columns: Reg) -> None:
        """Multiply by columns from j on, for k from p to end."""
        cut, ints, fn, part = self.cut, self.ints, self.fn, self.parts.b
        panel = i64(cut.panel)
        # row k of b reaches columns k + lo to k + hi
        first = self._moved(j, None if part.hi is None else -part.hi, i64(0))
        last = ints.add(j, columns)
        stop = self._moved(last, None if part.lo is None else -part.lo, self.k)
        low = ints.smax(p, first)
        depth = ints.smax(ints.sub(ints.smin(end, stop), low), i64(0))
        row = fn.gep(self.b, ints.mul(low, self.sbk), cut.elem)
        origin = fn.gep(row, ints.mul(j, self.sbn), cut.elem)

        def pack() -> None:
            def each(q: Reg, _: list[Reg]) -> list[Reg]:
                source = fn.gep(origin, ints.mul(q, self.sbn), cut.elem)
                goal = fn.gep(self.work, ints.mul(q, depth), cut.elem)
                width = ints.smin(ints.sub(columns, q), panel)
                args = [source, self.sbk, self.sbn, goal, panel, depth, width]
                fn.call(self.kernels.pack(), VOID, args)
                return []

            for_range(fn, columns, panel, each)

        when(fn, self.pack_b, pack)
        lines = (
            ints.select(self.pack_b, self.work, origin),
            ints.select(self.pack_b, panel, self.sbk),
            ints.select(self.pack_b, ints.mul(depth, panel), panel),
            ints.select(self.pack_b, depth, i64(1)),
        )

        def strip(i: Reg, _: list[Reg]) -> list[Reg]:
            rows = ints.smin(ints.sub(self.m, i), self.step_i)
            a = self.parts.a
            begin = ints.smax(self._moved(i, a.lo, i64(0)), first)
            below = ints.add(i, rows)
            finish = ints.smin(self._moved(below, a.hi, self.k), stop)
            at = ints.smax(low, begin)
            some = ints.sub(ints.smin(finish, ints.add(low, depth)), at)
            # what has no product at all is written once, as zeros
            none = ints.invert(self._less(begin, finish))
            alone = ints.both(none, ints.equal(p, 0))
            work = ints.either(ints.above(some, 0), alone)
            left, right = self._columns(i, below, j, columns)
            work = ints.both(work, self._less(left, right))
            some = ints.smax(some, i64(0))
            goon = ints.select(none, i64(0), ints.sub(at, begin))

            def run() -> None:
                self._strip(i, rows, j, (left, right), (low, at, some), goon, lines)

            when(fn, work, run)
            return []

        for_range(fn, self.m, self.step_i, strip)

    def _less(self, x: Reg, y: Reg) -> Reg:
        return self.ints.above(self.ints.sub(y, x), 0)

    def _columns(self, top: Reg, below: Reg, j: Reg, columns: Reg) -> tuple[Reg, Reg]:
        """Return the first and the last column of a block to compute in a strip."""
        ints, part, panel = self.ints, self.parts.computed, self.cut.panel
        left, right = i64(0), columns
        if part.lo is not None:
            at = self._clip(ints.sub(ints.add(top, i64(part.lo)), j), columns)
            left = ints.mul(ints.quotient(at, panel), i64(panel))
        if part.hi is not None:
            right = self._clip(ints.sub(ints.add(below, i64(part.hi)), j), columns)
        return left, right

    def _strip(
        self, i: Reg, rows: Reg, j: Reg, columns: tuple[Reg, Reg],
        depths: tuple[Reg, Reg, Reg], goon: Reg, lines: tuple[Reg, Reg, Reg, Reg],
    ) -> None:  # fmt: skip
        cut, ints, fn = self.cut, self.ints, self.fn
        left, right = columns
        low, at, depth = depths
        start, line_k, following, stretch = lines
        x = fn.gep(self.a, ints.mul(i, self.sam), cut.elem)
        x = fn.gep(x, ints.mul(at, self.sak), cut.elem)

        def pack() -> None:
            args = [
                x, self.sak, self.sam, self.strip_at, i64(cut.tall), depth, rows,
            ]  # fmt: skip
            fn.call(self.kernels.pack(), VOID, args)

        when(fn, self.pack_a, pack)
        # panels lie side by side, each with its lines of k; unpacked they are one
        line = fn.gep(start, ints.mul(left, stretch), cut.elem)
        line = fn.gep(line, ints.mul(ints.sub(at, low), line_k), cut.elem)
        goal = fn.gep(self.c, ints.mul(i, self.scm), cut.elem)
        goal = fn.gep(goal, ints.add(j, left), cut.elem)
        count = ints.sub(right, left)
        args = [
            ints.select(self.pack_a, self.strip_at, x),
            ints.select(self.pack_a, i64(1), self.sam),
            ints.select(self.pack_a, i64(cut.tall), self.sak),
            line, line_k, goal, self.scm, rows, count, depth, goon, following,
        ]  # fmt: skip
        fn.call(self.kernels.panels(rows, count), VOID, args)
