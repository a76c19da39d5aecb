"""Copy the lower half of a square matrix to the upper one, in place."""

from ..llvm import I64, PTR, VOID, Module, Reg, vec
from .blocking import Blocking
from .flow import for_range, i64
from .pack import transpose


def emit_mirror(module: Module, cut: Blocking, dtype: str) -> str:
    """Emit the copy once a module; return its name.

        void name(ptr c, i64 n, i64 sc)
        c[i*sc + j] = c[j*sc + i]   for i < j < n

    Square blocks of a vector's lanes are transposed in registers.
    """
    name = f"pb_mirror_{dtype}"
    if name in module.functions:
        return name
    ints = (I64, "")
    fn = module.function(name, VOID, [(PTR, ""), ints, ints], attrs="noinline")
    c, n, sc = fn.args
    width = cut.width
    whole = fn.and_(n, i64(-width))
    wide = vec(cut.elem, width)

    def at(i: Reg, j: Reg) -> Reg:
        return fn.gep(fn.gep(c, fn.mul(i, sc), cut.elem), j, cut.elem)

    def single(i: Reg, start: Reg) -> None:
        def one(j: Reg, _: list[Reg]) -> list[Reg]:
            fn.store(fn.load(at(j, i), cut.elem), at(i, j))
            return []

        for_range(fn, n, i64(1), one, start=start)

    def band(i: Reg, _: list[Reg]) -> list[Reg]:
        below = fn.add(i, i64(width))

        def block(j: Reg, _: list[Reg]) -> list[Reg]:
            rows = [fn.load(at(fn.add(j, i64(r)), i), wide) for r in range(width)]
            for r, row in enumerate(transpose(fn, rows)):
                fn.store(row, at(fn.add(i, i64(r)), j))
            return []

        for_range(fn, whole, i64(width), block, start=below)

        def corner(r: Reg, _: list[Reg]) -> list[Reg]:
            def one(j: Reg, _: list[Reg]) -> list[Reg]:
                fn.store(fn.load(at(j, r), cut.elem), at(r, j))
                return []

            for_range(fn, below, i64(1), one, start=fn.add(r, i64(1)))
            single(r, whole)
            return []

        for_range(fn, below, i64(1), corner, start=i)
        return []

    for_range(fn, whole, i64(width), band)

    def last(i: Reg, _: list[Reg]) -> list[Reg]:
        single(i, fn.add(i, i64(1)))
        return []

    for_range(fn, n, i64(1), last, start=whole)
    fn.ret()
    return name
