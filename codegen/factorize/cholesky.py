"""Cholesky factors: blocks of columns, each followed by an update of what is left."""

from ..contract.flow import for_range, i64
from ..llvm import I1, I64, PTR, VOID, Reg, const, vec
from .substitute import emit_substitute
from .tools import BLOCK, Tools


def emit_cholesky(tools: Tools) -> str:
    """Emit the factorisation once a module; return its name.

        i64 name(ptr x, i64 n, ptr work)

    x (n, n) holds the lower triangle negated and becomes the factor, zeros above its
    diagonal; what was above is not read. Returns 0, or the first leading minor, counted
    from 1, that is not positive, as one with a NaN is not.
    """
    name = f"pb_cholesky_{tools.dtype}"
    module = tools.module
    if name in module.functions:
        return name
    block = _emit_block(tools)
    substitute = emit_substitute(tools)
    fn = module.function(name, I64, [(PTR, ""), (I64, ""), (PTR, "")], attrs="noinline")
    x, n, work = fn.args
    square = fn.gep(work, i64(tools.gemm_bytes))
    panel = fn.gep(square, i64(tools.square_bytes))
    one, side = i64(1), i64(BLOCK)
    columns = i64(tools.cut.panel * 3)

    def step(k: Reg, _: list[Reg]) -> list[Reg]:
        depth = fn.smin(fn.sub(n, k), side)
        here = tools.at(fn, x, (k, n), (k, None))
        # the block's columns as lines
        tools.pack(fn, here, (one, n), square, side, (depth, depth))
        minor = fn.call(block, I64, (square, depth))
        bad, good = fn.new_label("bad"), fn.new_label("good")
        fn.cond_br(fn.icmp("ne", minor, i64(0)), bad, good, False)
        fn.start(bad)
        fn.ret(fn.add(k, minor))
        fn.start(good)

        def write(i: Reg, _: list[Reg]) -> list[Reg]:
            line = tools.at(fn, here, (i, n))

            def element(j: Reg, _: list[Reg]) -> list[Reg]:
                value = fn.load(tools.at(fn, square, (j, side), (i, None)), tools.elem)
                fn.store(value, tools.at(fn, line, (j, None)))
                return []

            for_range(fn, fn.add(i, one), one, element)
            return []

        for_range(fn, depth, one, write)
        first = fn.add(k, depth)

        def below(r: Reg, _: list[Reg]) -> list[Reg]:
            rows = fn.smin(fn.sub(n, r), side)
            source = tools.at(fn, x, (r, n), (k, None))
            tools.pack(fn, source, (one, n), panel, side, (side, rows))
            args = (square, one, side, panel, side, side, rows, const(I1, 0))
            fn.call(substitute, VOID, args)
            tools.pack(fn, panel, (one, side), source, n, (rows, side))
            return []

        for_range(fn, n, side, below, start=first)

        def update(c: Reg, _: list[Reg]) -> list[Reg]:
            left = tools.at(fn, x, (c, n), (k, None))
            arrays = (left, left, tools.at(fn, x, (c, n), (c, None)))
            width = fn.smin(fn.sub(n, c), columns)
            strides = (n, one, one, n, n)
            tools.update(fn, arrays, (fn.sub(n, c), width, depth), strides, work)
            return []

        for_range(fn, n, columns, update, start=first)
        return []

    for_range(fn, n, side, step)

    def clear(i: Reg, _: list[Reg]) -> list[Reg]:
        line = tools.at(fn, x, (i, n))
        tools.lanes(
            fn,
            fn.add(i, one),
            n,
            lambda j, ty: fn.store(const(ty, 0.0), tools.at(fn, line, (j, None))),
        )
        return []

    for_range(fn, n, one, clear)
    fn.ret(i64(0))
    return name


def cholesky_work_bytes(tools: Tools) -> int:
    """Return the bytes of scratch that `emit_cholesky`'s function needs."""
    return tools.gemm_bytes + 2 * tools.square_bytes


def _emit_block(tools: Tools) -> str:
    """Emit the factorisation of one block, whose columns are lines of `BLOCK`.

        i64 name(ptr x, i64 n)

    Lines are computed in whole vectors; lanes outside the triangle hold anything.
    """
    name = f"pb_cholesky_block_{tools.dtype}"
    fn = tools.module.function(name, I64, [(PTR, ""), (I64, "")], attrs="noinline")
    x, n = fn.args
    one, side, width = i64(1), i64(BLOCK), tools.width
    elem, ty = tools.elem, vec(tools.elem, tools.width)
    stop = fn.and_(fn.add(n, i64(width - 1)), i64(-width))

    def column(j: Reg, _: list[Reg]) -> list[Reg]:
        line = tools.at(fn, x, (j, side))
        corner = tools.at(fn, line, (j, None))
        pivot = fn.fneg(fn.load(corner, elem))
        good, bad = fn.new_label("good"), fn.new_label("bad")
        fn.cond_br(fn.fcmp("ogt", pivot, tools.zero()), good, bad, True)
        fn.start(bad)
        fn.ret(fn.add(j, one))
        fn.start(good)
        root = fn.sqrt(pivot)
        down = fn.splat(fn.fneg(root), width)

        def scale(i: Reg, _: list[Reg]) -> list[Reg]:
            at = tools.at(fn, line, (i, None))
            fn.store(fn.fdiv(fn.load(at, ty), down), at)
            return []

        for_range(fn, stop, i64(width), scale, start=fn.and_(j, i64(-width)))
        fn.store(root, corner)

        def update(k: Reg, _: list[Reg]) -> list[Reg]:
            factor = fn.splat(fn.load(tools.at(fn, line, (k, None)), elem), width)
            goal = tools.at(fn, x, (k, side))

            def some(i: Reg, _: list[Reg]) -> list[Reg]:
                at = tools.at(fn, goal, (i, None))
                held = fn.load(tools.at(fn, line, (i, None)), ty)
                fn.store(fn.fma(factor, held, fn.load(at, ty)), at)
                return []

            for_range(fn, stop, i64(width), some, start=fn.and_(k, i64(-width)))
            return []

        for_range(fn, n, one, update, start=fn.add(j, one))
        return []

    for_range(fn, n, one, column)
    fn.ret(i64(0))
    return name
