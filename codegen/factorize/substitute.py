"""Triangular systems with many right sides, which are lanes.

A system solved from its last row is one solved from its first with all strides turned
round, so one kernel serves both triangles and their transposes.
"""

from ..contract import Part
from ..contract.flow import for_range, i64, lanes_below, when
from ..llvm import I1, I64, PTR, VOID, Function, Reg, const, vec, width_of
from .tools import BLOCK, Tools

_ROWS = 4  # of a tile: with three vectors, enough chains to hide the latency of fma
_VECTORS = 3
# Right sides up to which no multiplication is worth its packing.
_FEW = 4
_COLUMNS = 96  # solved as far as they are read, where not all of them are

WHOLE = Part()


def emit_substitute(tools: Tools) -> str:
    """Emit forward substitution once a module; return its name.

        void name(ptr t, i64 sti, i64 stk, ptr x, i64 sx, i64 n, i64 m, i1 unit)

    x (n, m), rows sx apart, holds the right sides negated and becomes the solution of
    t x = b, where t[i*sti + k*stk] is read for k <= i, or k < i if `unit`.
    """
    name = f"pb_substitute_{tools.dtype}"
    module = tools.module
    if name in module.functions:
        return name
    ints = (I64, "")
    params = [(PTR, ""), ints, ints, (PTR, ""), ints, ints, ints, (I1, "")]
    fn = module.function(name, VOID, params, attrs="noinline")
    m = fn.args[6]
    width = tools.width
    wide = vec(tools.elem, width)

    def panels(types: list[str], stop: Reg, start: Reg) -> None:
        def panel(j: Reg, _: list[Reg]) -> list[Reg]:
            _Panel(tools, fn, types, j, None).emit()
            return []

        step = sum(width_of(t) for t in types)
        for_range(fn, stop, i64(step), panel, start=start)

    big = _VECTORS * width
    many = fn.mul(fn.sdiv(m, i64(big)), i64(big))
    panels([wide] * _VECTORS, many, i64(0))
    whole = fn.and_(m, i64(-width))
    panels([wide], whole, many)
    if tools.cut.masks:

        def rest() -> None:
            mask = lanes_below(fn, fn.sub(m, whole), width)
            _Panel(tools, fn, [wide], whole, mask).emit()

        when(fn, fn.icmp("slt", whole, m), rest)
    elif width > 1:
        panels([tools.elem], m, whole)
    fn.ret()
    return name


class _Panel:
    """Some columns: all rows of them, a few rows at a time."""

    def __init__(
        self, tools: Tools, fn: Function, types: list[str], column: Reg,
        mask: Reg | None,
    ) -> None:  # fmt: skip
        self.tools, self.fn, self.types, self.mask = tools, fn, types, mask
        self.t, self.sti, self.stk, x, self.sx, self.n, _, self.unit = fn.args
        self.x = fn.gep(x, column, tools.elem)

    def emit(self) -> None:
        fn = self.fn
        whole = fn.and_(self.n, i64(-_ROWS))
        for count, start, stop in ((_ROWS, i64(0), whole), (1, whole, self.n)):

            def some(i: Reg, _: list[Reg], count: int = count) -> list[Reg]:
                self._rows(i, count)
                return []

            for_range(fn, stop, i64(count), some, start=start)

    def _line(self, row: Reg) -> list[Reg]:
        fn, elem = self.fn, self.tools.elem
        base = fn.gep(self.x, fn.mul(row, self.sx), elem)
        out, done = [], 0
        for ty in self.types:
            out.append(fn.gep(base, i64(done), elem) if done else base)
            done += width_of(ty)
        return out

    def _load(self, row: Reg) -> list[Reg]:
        fn = self.fn
        return [
            fn.masked_load(at, self.mask, ty, const(ty, 0.0))
            if self.mask
            else fn.load(at, ty)
            for at, ty in zip(self._line(row), self.types, strict=True)
        ]

    def _factor(self, base: Reg, column: Reg) -> Reg:
        fn = self.fn
        at = fn.gep(base, fn.mul(column, self.stk), self.tools.elem)
        return fn.load(at, self.tools.elem)

    def _rows(self, first: Reg, count: int) -> None:
        fn, tools = self.fn, self.tools
        rows = [fn.add(first, i64(r)) if r else first for r in range(count)]
        bases = [fn.gep(self.t, fn.mul(r, self.sti), tools.elem) for r in rows]
        lanes = [width_of(ty) for ty in self.types]
        held = [value for row in rows for value in self._load(row)]

        def step(k: Reg, state: list[Reg]) -> list[Reg]:
            xs = self._load(k)
            sums = list(state)
            for r, base in enumerate(bases):
                factor = self._factor(base, k)
                for v, x in enumerate(xs):
                    at = r * len(xs) + v
                    sums[at] = fn.fma(fn.splat(factor, lanes[v]), x, sums[at])
            return sums

        sums = for_range(fn, first, i64(1), step, held)
        solved: list[list[Reg]] = []
        for r, (row, base) in enumerate(zip(rows, bases, strict=True)):
            mine = sums[r * len(lanes) : (r + 1) * len(lanes)]
            for q, xs in enumerate(solved):
                factor = self._factor(base, rows[q])
                mine = [
                    fn.fma(fn.splat(factor, w), x, y)
                    for w, x, y in zip(lanes, xs, mine, strict=True)
                ]
            one = const(tools.elem, 1.0)
            pivot = fn.select(self.unit, one, self._factor(base, row))
            down = fn.fneg(pivot)
            mine = [
                fn.fdiv(y, fn.splat(down, w)) for w, y in zip(lanes, mine, strict=True)
            ]
            for at, y in zip(self._line(row), mine, strict=True):
                if self.mask:
                    fn.masked_store(y, at, self.mask)
                else:
                    fn.store(y, at)
            solved.append(mine)


def emit_solve(tools: Tools) -> str:
    """Emit the blocked solver once a module; return its name.

        void name(ptr t, i64 sti, i64 stk, ptr x, i64 sx, i64 n, i64 m, i1 unit,
                  ptr work)

    The parameters are those of `emit_substitute`, and `work` scratch for an update.
    """
    name = f"pb_triangular_{tools.dtype}"
    module = tools.module
    if name in module.functions:
        return name
    inner = emit_substitute(tools)
    ints = (I64, "")
    params = [(PTR, ""), ints, ints, (PTR, ""), *[ints] * 3, (I1, ""), (PTR, "")]
    fn = module.function(name, VOID, params, attrs="noinline")
    t, sti, stk, x, sx, n, m, unit, work = fn.args

    def alone() -> None:
        fn.call(inner, VOID, (t, sti, stk, x, sx, n, m, unit))

    def blocked() -> None:
        def block(k: Reg, _: list[Reg]) -> list[Reg]:
            depth = fn.smin(fn.sub(n, k), i64(BLOCK))
            here = tools.at(fn, t, (k, sti), (k, stk))
            right = tools.at(fn, x, (k, sx))
            fn.call(inner, VOID, (here, sti, stk, right, sx, depth, m, unit))
            rest = fn.sub(fn.sub(n, k), depth)

            def update() -> None:
                arrays = (
                    tools.at(fn, here, (depth, sti)),
                    right,
                    tools.at(fn, right, (depth, sx)),
                )
                strides = (sti, stk, sx, i64(1), sx)
                tools.update(fn, arrays, (rest, m, depth), strides, work)

            when(fn, fn.icmp("sgt", rest, i64(0)), update)
            return []

        for_range(fn, n, i64(BLOCK), block)

    when(fn, fn.icmp("sgt", m, i64(_FEW)), blocked, alone)
    fn.ret()
    return name


def solve(
    tools: Tools, fn: Function, matrix: Reg, x: Reg, n: Reg, m: Reg,
    lower: bool, transpose: bool, unit: bool, work: Reg,
    read: Part = WHOLE,
) -> None:  # fmt: skip
    """Emit a call that solves for negated right sides x (n, m), both contiguous.

    Of the solution `read` is needed: a row takes part in those that are solved after
    it, so columns end where nothing further is.
    """
    backward = lower == transpose
    bound = read.hi if backward else read.lo
    if bound is None:
        columns(tools, fn, matrix, x, n, n, m, m, lower, transpose, unit, work)
        return

    def block(j: Reg, _: list[Reg]) -> list[Reg]:
        width = fn.smin(fn.sub(m, j), i64(_COLUMNS))
        if backward:  # rows from j - hi on
            count = fn.sub(n, fn.sub(j, i64(bound)))
        else:  # rows up to the last column's less lo
            count = fn.sub(fn.add(j, width), i64(bound))
        count = fn.smax(fn.smin(count, n), i64(0))
        start = tools.at(fn, x, (j, None))
        columns(
            tools, fn, matrix, start, n, count, width, m, lower, transpose, unit, work
        )
        return []

    for_range(fn, m, i64(_COLUMNS), block)


def columns(
    tools: Tools, fn: Function, matrix: Reg, x: Reg, n: Reg, count: Reg, m: Reg,
    line: Reg, lower: bool, transpose: bool, unit: bool, work: Reg,
) -> None:  # fmt: skip
    """Emit solving for m columns, rows `line` apart, of the first `count` rows."""
    sti, stk = (i64(1), n) if transpose else (n, i64(1))
    sx = line
    if lower == transpose:
        # from the last row up: the same system with everything turned round
        last = fn.sub(n, i64(1))
        matrix = tools.at(fn, matrix, (last, sti), (last, stk))
        x = tools.at(fn, x, (last, sx))
        sti, stk, sx = (fn.sub(i64(0), s) for s in (sti, stk, sx))
    args = (matrix, sti, stk, x, sx, count, m, const(I1, int(unit)), work)
    fn.call(emit_solve(tools), VOID, args)


def emit_diagonal_zero(tools: Tools) -> str:
    """Emit `i64 name(ptr t, i64 n)`: the first i with t[i, i] == 0, or n."""
    name = f"pb_diagonal_zero_{tools.dtype}"
    module = tools.module
    if name not in module.functions:
        fn = module.function(name, I64, [(PTR, ""), (I64, "")], attrs="noinline")
        t, n = fn.args
        line = fn.add(n, i64(1))

        def step(i: Reg, _: list[Reg]) -> list[Reg]:
            value = fn.load(fn.gep(t, fn.mul(i, line), tools.elem), tools.elem)
            found, none = fn.new_label("zero"), fn.new_label("nonzero")
            fn.cond_br(fn.fcmp("oeq", value, tools.zero()), found, none, False)
            fn.start(found)
            fn.ret(i)
            fn.start(none)
            return []

        for_range(fn, n, i64(1), step)
        fn.ret(n)
    return name
