"""The register tile: some rows times some vectors of the result, over all of k.

Both operands are read through strides, so the tile serves packed and unpacked memory
alike. Rows beyond the last are the last one again: the copies compute and store the
same bits, which costs less than a branch a row.
"""

from ..llvm import (
    I64,
    PTR,
    VOID,
    Function,
    Module,
    Reg,
    bits_of,
    const,
    vec,
    width_of,
)
from .blocking import Blocking
from .flow import for_range, i64, lanes_below

XMM = 128  # bits of the smallest vector register of x86-64


def emit_tile(
    module: Module,
    name: str,
    cut: Blocking,
    rows: int,
    lanes: tuple[int, ...],
    masked: bool,
) -> str:
    """Emit a tile function and return its name.

        void name(ptr x, i64 sxi, i64 sxk, ptr y, i64 syk, ptr c, i64 sci,
                  i64 m, i64 n, i64 k, i64 goon)

    It computes all `m` rows, `rows` at a time, of sum(lanes) columns: a vector of so
    many lanes each, the widest first. The columns of `y` and `c` are contiguous. If
    `masked`, `n` may be less than a whole tile, by less than the last vector. `goon`
    not 0 continues the chains that `c` holds, 0 starts them.
    """
    ints = (I64, "")
    fn = module.function(
        name,
        VOID,
        [(PTR, ""), ints, ints, (PTR, ""), ints, (PTR, ""), *[ints] * 5],
        attrs="noinline",
    )
    x, sxi, sxk, y, syk, c, sci, m, n, k, goon = fn.args
    unit, vectors = i64(cut.size), len(lanes)
    sxi, sxk, syk, sci = (fn.mul(s, unit) for s in (sxi, sxk, syk, sci))
    mask = None
    if masked:
        mask = lanes_below(fn, fn.sub(n, i64(sum(lanes[:-1]))), lanes[-1])
    lines = _Lines(fn, cut.elem, lanes, mask)
    fresh = fn.icmp("eq", goon, i64(0))
    last = fn.sub(m, i64(1))

    def strip(top: Reg, _: list[Reg]) -> list[Reg]:
        row_ids = [fn.smin(fn.add(top, i64(r)), last) for r in range(rows)]
        x_rows = [fn.gep(x, fn.mul(row, sxi)) for row in row_ids]
        c_rows = [fn.gep(c, fn.mul(row, sci)) for row in row_ids]
        start = fn.block
        load, begin = fn.new_label("load"), fn.new_label("begin")
        fn.cond_br(fresh, begin, load)
        fn.start(load)
        held = [value for row in c_rows for value in lines.load(row)]
        fn.br(begin)
        fn.start(begin)
        acc = [fn.merge(h.ty, [(const(h.ty, 0.0), start), (h, load)]) for h in held]

        def step(_: Reg, state: list[Reg]) -> list[Reg]:
            at, line, *sums = state
            ys = lines.load(line)
            for r, x_row in enumerate(x_rows):
                value = fn.load(fn.gep(x_row, at), cut.elem)
                wide = fn.splat(value, lanes[0])
                for v, count in enumerate(lanes):
                    slot = r * vectors + v
                    factor = _low_lanes(fn, wide, count, cut.x86)
                    sums[slot] = fn.fma(factor, ys[v], sums[slot])
            return [fn.add(at, sxk), fn.gep(line, syk), *sums]

        sums = for_range(fn, k, i64(1), step, [i64(0), y, *acc])[2:]
        for r, row in enumerate(c_rows):
            lines.store(row, sums[r * vectors : (r + 1) * vectors])
        return []

    for_range(fn, m, i64(rows), strip)
    fn.ret()
    return name


def _low_lanes(fn: Function, value: Reg, count: int, x86: bool) -> Reg:
    """Return the first lanes of a splat."""
    if width_of(value.ty) == count:
        return value
    if x86 and width_of(value.ty) * bits_of(value.ty) >= XMM:
        # Else LLVM widens the narrow splat by a shuffle, which costs what a fma costs,
        # instead of narrowing the wide one, which a load gives for nothing. A vector
        # of less than a register is no operand of an assembler statement.
        value = fn.emit(
            value.ty, f'call {value.ty} asm "", "=v,0"({value.ty} {value.ref})'
        )
    if count == 1:
        return fn.extract(value, 0)
    return fn.shuffle(value, value, range(count))


class _Lines:
    """Loads and stores of one tile-wide line; the last vector may be under a mask."""

    def __init__(
        self, fn: Function, elem: str, lanes: tuple[int, ...], mask: Reg | None
    ) -> None:
        self.fn, self.elem, self.mask = fn, elem, mask
        self.types = [vec(elem, count) for count in lanes]
        self.starts = [sum(lanes[:v]) for v in range(len(lanes))]

    def _parts(self, line: Reg) -> list[tuple[Reg, str, Reg | None]]:
        masks = [None] * (len(self.types) - 1) + [self.mask]
        return [
            (self.fn.gep(line, i64(start), self.elem) if start else line, ty, mask)
            for start, ty, mask in zip(self.starts, self.types, masks, strict=True)
        ]

    def load(self, line: Reg) -> list[Reg]:
        fn = self.fn
        return [
            fn.masked_load(at, mask, ty, const(ty, 0.0)) if mask else fn.load(at, ty)
            for at, ty, mask in self._parts(line)
        ]

    def store(self, line: Reg, values: list[Reg]) -> None:
        for value, (at, _, mask) in zip(values, self._parts(line), strict=True):
            if mask:
                self.fn.masked_store(value, at, mask)
            else:
                self.fn.store(value, at)
