"""Copy a strided block into contiguous lines, transposing in registers."""

from ..llvm import I64, PTR, VOID, Function, Module, Reg, vec, width_of
from .blocking import Blocking
from .flow import for_range, i64, lanes_below, when


def exchange(fn: Function, lines: list[Reg], d: int) -> None:
    """Exchange the off-diagonal d by d blocks of lines d apart, in place."""
    width = width_of(lines[0].ty)
    low = [lane if not lane & d else width + lane - d for lane in range(width)]
    high = [lane + d if not lane & d else width + lane for lane in range(width)]
    for i in range(len(lines)):
        if not i & d:
            x, y = lines[i], lines[i + d]
            lines[i] = fn.shuffle(x, y, low)
            lines[i + d] = fn.shuffle(x, y, high)


def transpose(fn: Function, lines: list[Reg]) -> list[Reg]:
    """Transpose a square block held in as many vectors as a vector has lanes.

    log2(width) rounds of `exchange` (Eklundh, IEEE Trans. Computers 1972).
    """
    lines = list(lines)
    d = 1
    while d < len(lines):
        exchange(fn, lines, d)
        d *= 2
    return lines


def emit_pack(module: Module, name: str, cut: Blocking) -> str:
    """Emit the packing function and return its name.

        void name(ptr src, i64 s0, i64 s1, ptr dst, i64 d0, i64 n0, i64 n1)
        dst[a*d0 + b] = src[a*s0 + b*s1]   for a < n0, b < n1

    Where s0 is 1 and s1 is not, d0 must be a multiple of the vector width, and lines
    are filled up to such a multiple, or to 2 more than one.
    """
    ints = (I64, "")
    fn = module.function(
        name,
        VOID,
        [(PTR, ""), ints, ints, (PTR, "noalias"), *[ints] * 3],
        attrs="noinline",
    )
    src, s0, s1, dst, d0, n0, n1 = fn.args
    elem, width = cut.elem, cut.width

    def copies() -> None:
        _copy_lines(fn, cut)

    def strided() -> None:
        done = i64(0)
        if width > 1:
            whole = fn.and_(n0, i64(-width))
            done = fn.select(fn.icmp("eq", s0, i64(1)), whole, done)
            _transpose_blocks(fn, cut, done)

        def line(a: Reg, _: list[Reg]) -> list[Reg]:
            source = fn.gep(src, fn.mul(a, s0), elem)
            goal = fn.gep(dst, fn.mul(a, d0), elem)

            def one(b: Reg, _: list[Reg]) -> list[Reg]:
                value = fn.load(fn.gep(source, fn.mul(b, s1), elem), elem)
                fn.store(value, fn.gep(goal, b, elem))
                return []

            for_range(fn, n1, i64(1), one)
            return []

        for_range(fn, n0, i64(1), line, start=done)

    when(fn, fn.icmp("eq", s1, i64(1)), copies, strided)
    fn.ret()
    return name


def _copy_lines(fn: Function, cut: Blocking) -> None:
    src, s0, _, dst, d0, n0, n1 = fn.args
    elem, width = cut.elem, cut.width
    ty = vec(elem, width)
    whole = fn.and_(n1, i64(-width))
    rest = fn.sub(n1, whole)
    mask = lanes_below(fn, rest, width) if cut.masks else None

    def line(a: Reg, _: list[Reg]) -> list[Reg]:
        source = fn.gep(src, fn.mul(a, s0), elem)
        goal = fn.gep(dst, fn.mul(a, d0), elem)

        def some(b: Reg, _: list[Reg]) -> list[Reg]:
            fn.store(fn.load(fn.gep(source, b, elem), ty), fn.gep(goal, b, elem))
            return []

        def one(b: Reg, _: list[Reg]) -> list[Reg]:
            fn.store(fn.load(fn.gep(source, b, elem), elem), fn.gep(goal, b, elem))
            return []

        for_range(fn, whole, i64(width), some)
        if mask:
            at = fn.gep(source, whole, elem)
            value = fn.masked_load(at, mask, ty, Reg("zeroinitializer", ty))
            fn.masked_store(value, fn.gep(goal, whole, elem), mask)
        elif width > 1:
            for_range(fn, n1, i64(1), one, start=whole)
        return []

    for_range(fn, n0, i64(1), line)


def _transpose_blocks(fn: Function, cut: Blocking, whole: Reg) -> None:
    src, _, s1, dst, d0, _, n1 = fn.args
    elem, width = cut.elem, cut.width
    ty = vec(elem, width)
    last = fn.sub(n1, i64(1))
    stop = n1
    if width > 2:
        # one or two lines need no square: they are interleaved
        even = fn.and_(n1, i64(-width))
        few = fn.icmp("ult", fn.sub(fn.sub(n1, even), i64(1)), i64(2))
        stop = fn.select(few, even, n1)
        pairs = fn.select(few, whole, i64(0))
        lines = [fn.gep(src, fn.mul(row, s1), elem) for row in (even, last)]
        beside = fn.gep(dst, even, elem)

        def pair(a: Reg, _: list[Reg]) -> list[Reg]:
            x, y = (fn.load(fn.gep(line, a, elem), ty) for line in lines)
            at = fn.gep(beside, fn.mul(a, d0), elem)
            for k in range(width):
                fn.store(fn.shuffle(x, y, [k, width + k]), at)
                at = fn.gep(at, d0, elem)
            return []

        for_range(fn, pairs, i64(width), pair)

    def strip(b: Reg, _: list[Reg]) -> list[Reg]:
        ids = [fn.smin(fn.add(b, i64(t)), last) for t in range(width)]
        sources = [fn.gep(src, fn.mul(row, s1), elem) for row in ids]
        goal = fn.gep(dst, b, elem)

        def block(a: Reg, _: list[Reg]) -> list[Reg]:
            lines = transpose(fn, [fn.load(fn.gep(s, a, elem), ty) for s in sources])
            at = fn.gep(goal, fn.mul(a, d0), elem)
            for line in lines:
                fn.store(line, at)
                at = fn.gep(at, d0, elem)
            return []

        for_range(fn, whole, i64(width), block)
        return []

    for_range(fn, stop, i64(width), strip)
