"""One row times a matrix whose rows are contiguous: eight of its rows at a time.

The result is swept once for eight steps of k, so the matrix is read in the order of its
memory; keeping the result in registers would jump through it.
"""

from collections.abc import Sequence

from ..llvm import I64, PTR, VOID, Module, Reg, const, vec
from .blocking import Blocking
from .flow import for_range, i64, lanes_below, when
from .near import Near

_STEPS = 8


def emit_row(module: Module, name: str, cut: Blocking) -> str:
    """Emit `void name(ptr x, i64 sxk, ptr y, i64 syk, ptr c, i64 n, i64 k)`.

    c[j] = sum over k of x[k*sxk] * y[k*syk + j]
    """
    ints = (I64, "")
    fn = module.function(
        name,
        VOID,
        [(PTR, ""), ints, (PTR, ""), ints, (PTR, ""), ints, ints],
        attrs="noinline",
    )
    x, sxk, y, syk, c, n, k = fn.args
    elem, width = cut.elem, cut.width
    ty = vec(elem, width)
    whole = fn.and_(n, i64(-width))
    mask = lanes_below(fn, fn.sub(n, whole), width) if cut.masks else None

    def chain(value: Reg, factors: Sequence[Reg], terms: Sequence[Reg]) -> Reg:
        for factor, term in zip(factors, terms, strict=True):
            value = fn.fma(factor, term, value)
        return value

    def sweep(at: Reg, steps: int, fresh: bool) -> None:
        ids = [fn.add(at, i64(t)) for t in range(steps)]
        scalars = [fn.load(fn.gep(x, fn.mul(t, sxk), elem), elem) for t in ids]
        rows = [fn.gep(y, fn.mul(t, syk), elem) for t in ids]
        wide = [fn.splat(s, width) for s in scalars]

        def some(j: Reg, _: list[Reg]) -> list[Reg]:
            goal = fn.gep(c, j, elem)
            value = const(ty, 0.0) if fresh else fn.load(goal, ty)
            terms = [fn.load(fn.gep(r, j, elem), ty) for r in rows]
            fn.store(chain(value, wide, terms), goal)
            return []

        def one(j: Reg, _: list[Reg]) -> list[Reg]:
            goal = fn.gep(c, j, elem)
            value = const(elem, 0.0) if fresh else fn.load(goal, elem)
            terms = [fn.load(fn.gep(r, j, elem), elem) for r in rows]
            fn.store(chain(value, scalars, terms), goal)
            return []

        def ragged(under: Reg) -> None:
            goal, zero = fn.gep(c, whole, elem), const(ty, 0.0)
            value = zero if fresh else fn.masked_load(goal, under, ty, zero)
            terms = [
                fn.masked_load(fn.gep(r, whole, elem), under, ty, zero) for r in rows
            ]
            fn.masked_store(chain(value, wide, terms), goal, under)

        for_range(fn, whole, i64(width), some)
        if mask:
            when(fn, fn.icmp("slt", whole, n), lambda: ragged(mask))
        elif width > 1:
            for_range(fn, n, i64(1), one, start=whole)

    near = Near(module, fn, cut, k, n, syk)

    def many(at: Reg, _: list[Reg]) -> list[Reg]:
        near.bring(fn.gep(y, fn.mul(at, syk), elem), i64(_STEPS))
        sweep(at, _STEPS, fresh=False)
        return []

    def single(at: Reg, _: list[Reg]) -> list[Reg]:
        sweep(at, 1, fresh=False)
        return []

    sweep(i64(0), 0, fresh=True)
    blocks = fn.and_(k, i64(-_STEPS))
    for_range(fn, blocks, i64(_STEPS), many)
    for_range(fn, k, i64(1), single, start=blocks)
    fn.ret()
    return name
