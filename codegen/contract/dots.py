"""A matrix times one column: a row of the matrix a lane, so no chain is split.

Where the rows are contiguous in k they are loaded in pieces of 16 bytes and transposed
in registers; what is left of k, and any other stride, is collected element by element.
"""

from ..llvm import I64, PTR, VOID, Function, Module, Reg, const, undef, vec, width_of
from .blocking import Blocking
from .flow import for_range, i64
from .near import Near
from .pack import exchange

_PIECE_BYTES = 16


def emit_dots(module: Module, name: str, cut: Blocking) -> str:
    """Emit the function and return its name.

        void name(ptr x, i64 sxi, i64 sxk, ptr y, i64 syk, ptr c, i64 sci,
                  i64 m, i64 k, i64 goon)
        c[i*sci] = sum over q of x[i*sxi + q*sxk] * y[q*syk]

    All strides are free. `goon` not 0 continues the chains that `c` holds.

    The first eight rows of a strip have an address each, and eight more follow at one
    common distance, since more addresses would not fit the registers. In a last,
    partial strip rows occur twice, and compute and store the same bits.
    """
    ints = (I64, "")
    fn = module.function(
        name,
        VOID,
        [(PTR, ""), ints, ints, (PTR, ""), ints, (PTR, ""), *[ints] * 4],
        attrs="noinline",
    )
    x, sxi, sxk, y, syk, c, sci, m, k, goon = fn.args
    elem, width = cut.elem, cut.width
    ty = vec(elem, width)
    vectors = cut.size // 4
    piece = min(_PIECE_BYTES // cut.size, width)
    rows = vectors * width
    base = min(8, rows)
    last = fn.sub(m, i64(1))
    whole = fn.and_(k, i64(-piece))
    along = fn.icmp("eq", sxk, i64(1))
    whole = fn.select(along, whole, i64(0))
    fresh = fn.icmp("eq", goon, i64(0))

    def groups(items: list[Reg]) -> list[list[Reg]]:
        return [items[v * width : (v + 1) * width] for v in range(vectors)]

    def collect(lanes: list[Reg]) -> Reg:
        out = undef(ty)
        for lane, value in enumerate(lanes):
            out = fn.insert(out, value, lane)
        return out

    near = Near(module, fn, cut, m, fn.select(along, k, i64(0)), sxi)

    def strip(top: Reg, _: list[Reg]) -> list[Reg]:
        there = fn.smin(fn.sub(m, top), i64(rows))
        near.bring(fn.gep(x, fn.mul(top, sxi), elem), there)
        ids = [fn.smin(fn.add(top, i64(r)), last) for r in range(base)]
        lines = [_opaque(fn, fn.gep(x, fn.mul(row, sxi), elem)) for row in ids]
        goals = [fn.gep(c, fn.mul(row, sci), elem) for row in ids]
        beyond = fn.sub(fn.sub(m, top), i64(base))
        shifts = [
            fn.smax(fn.smin(beyond, i64(first)), i64(0))
            for first in range(0, rows, base)
        ]
        line_shifts = [fn.mul(shift, sxi) for shift in shifts]
        goal_shifts = [fn.mul(shift, sci) for shift in shifts]

        def spread(starts: list[Reg], offset: Reg, shifts: list[Reg]) -> list[Reg]:
            """Return the addresses `offset` after the start of each row."""
            far = [_opaque(fn, fn.add(offset, shift)) for shift in shifts[1:]]
            return [fn.gep(at, o, elem) for o in (offset, *far) for at in starts]

        def factor(q: Reg) -> Reg:
            at = fn.gep(y, fn.mul(q, syk), elem)
            return fn.splat(fn.load(at, elem), width)

        def together(q: Reg, acc: list[Reg]) -> list[Reg]:
            at = spread(lines, q, line_shifts)
            columns = [_columns(fn, group, vec(elem, piece)) for group in groups(at)]
            for t in range(piece):
                value = factor(fn.add(q, i64(t)))
                for v in range(vectors):
                    acc[v] = fn.fma(columns[v][t], value, acc[v])
            return acc

        def single(q: Reg, acc: list[Reg]) -> list[Reg]:
            at = spread(lines, fn.mul(q, sxk), line_shifts)
            lanes = [fn.load(line, elem) for line in at]
            value = factor(q)
            return [
                fn.fma(collect(group), value, acc[v])
                for v, group in enumerate(groups(lanes))
            ]

        goals = spread(goals, i64(0), goal_shifts)
        zero = const(ty, 0.0)
        start, held, begin = fn.block, fn.new_label("held"), fn.new_label("begin")
        fn.cond_br(fresh, begin, held)
        fn.start(held)
        old = [collect(g) for g in groups([fn.load(goal, elem) for goal in goals])]
        fn.br(begin)
        fn.start(begin)
        acc = [fn.merge(ty, [(zero, start), (o, held)]) for o in old]
        acc = for_range(fn, whole, i64(piece), together, acc)
        acc = for_range(fn, k, i64(1), single, acc, start=whole)
        for v, group in enumerate(groups(goals)):
            for lane, goal in enumerate(group):
                fn.store(fn.extract(acc[v], lane), goal)
        return []

    for_range(fn, m, i64(rows), strip)
    fn.ret()
    return name


def _opaque(fn: Function, value: Reg) -> Reg:
    """Return the value as one that LLVM knows nothing of, in a general register.

    Else loop strength reduction keeps an address for each of the rows, and spills.
    """
    return fn.emit(value.ty, f'call {value.ty} asm "", "=r,0"({value.ty} {value.ref})')


def _columns(fn: Function, lines: list[Reg], part: str) -> list[Reg]:
    """Load a piece of each line; return vectors of one element a line, in order."""
    piece = width_of(part)
    out = []
    for first in range(piece):
        parts = [fn.load(at, part) for at in lines[first::piece]]
        while len(parts) > 1:
            lanes = range(2 * width_of(parts[0].ty))
            pairs = zip(parts[::2], parts[1::2], strict=True)
            parts = [fn.shuffle(low, high, lanes) for low, high in pairs]
        out.append(parts[0])
    d = 1
    while d < piece:
        exchange(fn, out, d)
        d *= 2
    return out
