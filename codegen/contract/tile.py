"""The register tile: some rows times some vectors of the result, over all of k.

Both operands are read through strides, so the tile serves packed and unpacked memory
alike. Rows beyond the last are the last one again: the copies compute and store the same
bits, which costs less than a branch a row.
"""

from ..llvm import I64, PTR, VOID, Function, Module, Reg, const, vec
from .blocking import Blocking
from .flow import for_range, i64, lanes_below


def emit_tile(
    module: Module, name: str, cut: Blocking, rows: int, vectors: int
) -> str:
    """Emit a tile function and return its name.

        void name(ptr x, i64 sxi, i64 sxk, ptr y, i64 syk, ptr c, i64 sci,
                  i64 m, i64 n, i64 k, i64 goon)

    It computes all `m` rows of at most `vectors` vectors of columns; the columns of `y` and
    `c` are contiguous. With masks `n` may be less than a whole tile, by less than one
    vector. `goon` not 0 continues the chains that `c` holds, 0 starts them.
    """
    ints = (I64, "")
    fn = module.function(
        name,
        VOID,
        [(PTR, ""), ints, ints, (PTR, ""), ints, (PTR, ""), *[ints] * 5],
        attrs="noinline",
    )
    x, sxi, sxk, y, syk, c, sci, m, n, k, goon = fn.args
    unit, width = i64(cut.size), cut.width
    sxi, sxk, syk, sci = (fn.mul(s, unit) for s in (sxi, sxk, syk, sci))
    ty = vec(cut.elem, width)
    mask = None
    if cut.masks:
        mask = lanes_below(fn, fn.sub(n, i64((vectors - 1) * width)), width)
    lines = _Lines(fn, cut, ty, vectors, mask)
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
        zero = const(ty, 0.0)
        acc = [fn.merge(ty, [(zero, start), (h, load)]) for h in held]

        def step(_: Reg, state: list[Reg]) -> list[Reg]:
            at, line, *sums = state
            ys = lines.load(line)
            for r, x_row in enumerate(x_rows):
                value = fn.load(fn.gep(x_row, at), cut.elem)
                value = fn.splat(value, width)
                for v in range(vectors):
                    slot = r * vectors + v
                    sums[slot] = fn.fma(value, ys[v], sums[slot])
            return [fn.add(at, sxk), fn.gep(line, syk), *sums]

        _, _, *sums = for_range(fn, k, i64(1), step, [i64(0), y, *acc])
        for r, row in enumerate(c_rows):
            lines.store(row, sums[r * vectors : (r + 1) * vectors])
        return []

    for_range(fn, m, i64(rows), strip)
    fn.ret()
    return name


class _Lines:
    """Loads and stores of one tile-wide line; the last vector under the mask."""

    def __init__(
        self, fn: Function, cut: Blocking, ty: str, vectors: int, mask: Reg | None
    ) -> None:
        self.fn, self.ty, self.vectors, self.mask = fn, ty, vectors, mask
        self.elem = cut.elem

    def _address(self, line: Reg, v: int) -> Reg:
        return self.fn.gep(line, i64(v), self.ty) if v else line

    def load(self, line: Reg) -> list[Reg]:
        fn, last = self.fn, self.vectors - 1
        out = []
        for v in range(self.vectors):
            at = self._address(line, v)
            if v == last and self.mask:
                zero = const(self.ty, 0.0)
                out.append(fn.masked_load(at, self.mask, self.ty, zero))
            else:
                out.append(fn.load(at, self.ty))
        return out

    def store(self, line: Reg, values: list[Reg]) -> None:
        fn, last = self.fn, self.vectors - 1
        for v, value in enumerate(values):
            at = self._address(line, v)
            if v == last and self.mask:
                fn.masked_store(value, at, self.mask)
            else:
                fn.store(value, at)
