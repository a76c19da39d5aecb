"""LU factors with partial pivoting, and systems solved by them."""

from ..contract.flow import for_range, i64, when
from ..llvm import I1, I64, PTR, VOID, Function, Reg, const
from .substitute import emit_substitute, solve
from .tools import Tools
from .triangle import emit_triangle

_COLUMNS = 32  # eliminated before what is left is updated by a multiplication


def emit_lu(tools: Tools) -> str:
    """Emit the factorisation once a module; return its name.

        void name(ptr x, i64 n, ptr pivots, ptr order, ptr sign, ptr work)

    x (n, n) holds the matrix negated and becomes the packed factors. Row i was
    exchanged with row pivots[i]; order[i] is where it came from; sign is the parity of
    that. A column of zeros has a pivot of 0; a NaN counts as larger than any number.
    A triangle is its own factors, and no row is exchanged.
    """
    name = f"pb_lu_{tools.dtype}"
    module = tools.module
    if name in module.functions:
        return name
    substitute = emit_substitute(tools)
    column = _emit_column(tools)
    params = [(PTR, ""), (I64, ""), *[(PTR, "")] * 4]
    fn = module.function(name, VOID, params, attrs="noinline")
    x, n, pivots, order, sign, work = fn.args
    one, side = i64(1), i64(_COLUMNS)

    def count(i: Reg, _: list[Reg]) -> list[Reg]:
        fn.store(i, fn.gep(order, i, I64))
        return []

    fn.store(const(tools.elem, 1.0), sign)
    done, whole = fn.new_label("triangle"), fn.new_label("whole")
    held = fn.call(emit_triangle(tools), I1, (x, n, order))
    for_range(fn, n, one, count)
    fn.cond_br(held, done, whole, False)
    fn.start(done)

    def stay(i: Reg, _: list[Reg]) -> list[Reg]:
        fn.store(i, fn.gep(pivots, i, I64))
        return []

    for_range(fn, n, one, stay)
    fn.ret()
    fn.start(whole)

    def step(k: Reg, _: list[Reg]) -> list[Reg]:
        depth = fn.smin(fn.sub(n, k), side)
        after = fn.add(k, depth)

        def eliminate(j: Reg, _: list[Reg]) -> list[Reg]:
            fn.call(column, VOID, (x, n, j, after, pivots, order, sign))
            return []

        for_range(fn, after, one, eliminate, start=k)
        rest = fn.sub(n, after)

        def update() -> None:
            corner = tools.at(fn, x, (k, n), (k, None))
            right = tools.at(fn, corner, (depth, None))
            args = (corner, n, one, right, n, depth, rest, const(I1, 1))
            fn.call(substitute, VOID, args)
            below = tools.at(fn, corner, (depth, n))
            arrays = (below, right, tools.at(fn, below, (depth, None)))
            tools.update(fn, arrays, (rest, rest, depth), (n, one, n, one, n), work)

        when(fn, fn.icmp("sgt", rest, i64(0)), update)
        return []

    for_range(fn, n, side, step)
    fn.ret()
    return name


def _emit_exchange(tools: Tools) -> str:
    """Emit `void name(ptr x, ptr y, i64 count)`: exchange two lines."""
    name = f"pb_exchange_{tools.dtype}"
    if name not in tools.module.functions:
        params = [(PTR, ""), (PTR, ""), (I64, "")]
        fn = tools.module.function(name, VOID, params, attrs="noinline")
        x, y, count = fn.args

        def body(j: Reg, ty: str) -> None:
            left, right = tools.at(fn, x, (j, None)), tools.at(fn, y, (j, None))
            held, other = fn.load(left, ty), fn.load(right, ty)
            fn.store(other, left)
            fn.store(held, right)

        tools.lanes(fn, i64(0), count, body)
        fn.ret()
    return name


def _emit_column(tools: Tools) -> str:
    """Emit the elimination of column j from rows below, up to column `stop`.

    void name(ptr x, i64 n, i64 j, i64 stop, ptr pivots, ptr order, ptr sign)
    """
    exchange = _emit_exchange(tools)
    elem, one = tools.elem, i64(1)
    params = [(PTR, ""), *[(I64, "")] * 3, *[(PTR, "")] * 3]
    fn = tools.module.function(
        f"pb_lu_column_{tools.dtype}", VOID, params, attrs="noinline"
    )
    x, n, j, stop, pivots, order, sign = fn.args
    line = tools.at(fn, x, (j, n))
    corner = tools.at(fn, line, (j, None))
    under = fn.add(j, one)

    def larger(i: Reg, state: list[Reg]) -> list[Reg]:
        best, at = state
        value = fn.fabs(fn.load(tools.at(fn, x, (i, n), (j, None)), elem))
        more = fn.or_(fn.fcmp("ogt", value, best), fn.fcmp("une", value, value))
        # the first of several NaNs stays, as the first of several numbers does
        more = fn.and_(more, fn.fcmp("oeq", best, best))
        return [fn.select(more, value, best), fn.select(more, i, at)]

    first = fn.fabs(fn.load(corner, elem))
    _, found = for_range(fn, n, one, larger, [first, j], start=under)
    fn.store(found, fn.gep(pivots, j, I64))

    def move() -> None:
        fn.call(exchange, VOID, (line, tools.at(fn, x, (found, n)), n))
        here, there = fn.gep(order, j, I64), fn.gep(order, found, I64)
        held, other = fn.load(here, I64), fn.load(there, I64)
        fn.store(other, here)
        fn.store(held, there)
        fn.store(fn.fneg(fn.load(sign, elem)), sign)

    when(fn, fn.icmp("ne", found, j), move)
    pivot = fn.load(corner, elem)
    # a pivot of 0 has only zeros below it: any divisor leaves them
    zero = fn.fcmp("oeq", pivot, tools.zero())
    divisor = fn.select(zero, const(elem, 1.0), pivot)

    def finish(c: Reg, ty: str) -> None:
        at = tools.at(fn, line, (c, None))
        fn.store(fn.fneg(fn.load(at, ty)), at)

    tools.lanes(fn, j, stop, finish)

    def row(i: Reg, _: list[Reg]) -> list[Reg]:
        goal = tools.at(fn, x, (i, n))
        at = tools.at(fn, goal, (j, None))
        factor = fn.fdiv(fn.load(at, elem), divisor)
        fn.store(factor, at)

        def update(c: Reg, ty: str) -> None:
            at = tools.at(fn, goal, (c, None))
            held = fn.load(tools.at(fn, line, (c, None)), ty)
            wide = factor if ty == elem else fn.splat(factor, tools.width)
            fn.store(fn.fma(wide, held, fn.load(at, ty)), at)

        tools.lanes(fn, under, stop, update)
        return []

    for_range(fn, n, one, row, start=under)
    fn.ret()
    return f"pb_lu_column_{tools.dtype}"


def emit_lu_solve(
    tools: Tools, fn: Function, packed: Reg, pivots: Reg, x: Reg, n: Reg, m: Reg,
    transpose: bool, work: Reg,
) -> None:  # fmt: skip
    """Emit the solution of a system, or of its transpose, for right sides x (n, m).

    x holds the right sides negated. The pivots are in range: whoever calls has looked.
    """
    exchange = _emit_exchange(tools)
    negate = tools.negated()
    total = fn.mul(n, m)

    def exchanges(backward: bool) -> None:
        def one(k: Reg, _: list[Reg]) -> list[Reg]:
            i = fn.sub(fn.sub(n, i64(1)), k) if backward else k
            other = fn.load(fn.gep(pivots, i, I64), I64)
            pair = (tools.at(fn, x, (i, m)), tools.at(fn, x, (other, m)))

            def move() -> None:
                fn.call(exchange, VOID, (*pair, m))

            when(fn, fn.icmp("ne", i, other), move)
            return []

        for_range(fn, n, i64(1), one)

    if not transpose:
        exchanges(False)
    # a = p.T l u: l then u, or u.T then l.T
    first = not transpose
    solve(tools, fn, packed, x, n, m, first, transpose, first, work)
    fn.call(negate, VOID, (x, x, total))
    solve(tools, fn, packed, x, n, m, not first, transpose, not first, work)
    if transpose:
        exchanges(True)
