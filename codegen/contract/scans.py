"""Ask whether any element of a part of a matrix is of a kind: one pass over memory."""

from ..llvm import (
    I1,
    I64,
    PTR,
    Function,
    Module,
    Reg,
    bits_of,
    const,
    int_of,
    vec,
)
from .blocking import Blocking
from .flow import for_range, i64

NOT_FINITE, NOT_ZERO, NEGATIVE_ZERO = "not_finite", "not_zero", "negative_zero"


def emit_any(module: Module, cut: Blocking, dtype: str, kind: str) -> str:
    """Emit a scan once a module; return its name.

        i1 name(ptr x, i64 n0, i64 n1, i64 s0, i64 s1, i64 lo, i64 hi)
        any of x[a*s0 + b*s1] with lo <= b - a <= hi, for a < n0, b < n1

    `kind` is what is looked for; a NaN is not finite and not zero.
    """
    name = f"pb_any_{kind}_{dtype}"
    if name in module.functions:
        return name
    ints = (I64, "")
    fn = module.function(name, I1, [(PTR, ""), *[ints] * 6], attrs="noinline")
    x, n0, n1, s0, s1, lo, hi = fn.args
    # lanes run along the axis that is contiguous
    swap = fn.and_(fn.icmp("eq", s0, i64(1)), fn.icmp("ne", s1, i64(1)))
    zero = i64(0)
    n0, n1 = fn.select(swap, n1, n0), fn.select(swap, n0, n1)
    s0, s1 = fn.select(swap, s1, s0), fn.select(swap, s0, s1)
    low, high = fn.sub(zero, hi), fn.sub(zero, lo)
    lo, hi = fn.select(swap, low, lo), fn.select(swap, high, hi)
    wide = vec(cut.elem, cut.width)
    lanes = fn.icmp("eq", s1, i64(1))

    def found(at: Reg, ty: str) -> Reg:
        return _found(fn, fn.load(at, ty), kind)

    def line(a: Reg, held: list[Reg]) -> list[Reg]:
        start = fn.smin(fn.smax(fn.add(a, lo), zero), n1)
        stop = fn.smin(fn.smax(fn.add(fn.add(a, hi), i64(1)), start), n1)
        row = fn.gep(x, fn.mul(a, s0), cut.elem)
        whole = fn.and_(fn.sub(stop, start), i64(-cut.width))
        whole = fn.add(start, fn.select(lanes, whole, zero))

        def some(b: Reg, held: list[Reg]) -> list[Reg]:
            return [fn.or_(held[0], found(fn.gep(row, b, cut.elem), wide)), held[1]]

        def one(b: Reg, held: list[Reg]) -> list[Reg]:
            at = fn.gep(row, fn.mul(b, s1), cut.elem)
            return [held[0], fn.or_(held[1], found(at, cut.elem))]

        held = for_range(fn, whole, i64(cut.width), some, held, start=start)
        return for_range(fn, stop, i64(1), one, held, start=whole)

    none = [const(int_of(wide), 0), const(int_of(cut.elem), 0)]
    many, single = for_range(fn, n0, i64(1), line, none)
    some = fn.any_lane(fn.icmp("ne", many, const(many.ty, 0)))
    fn.ret(fn.or_(some, fn.icmp("ne", single, const(single.ty, 0))))
    return name


def _found(fn: Function, value: Reg, kind: str) -> Reg:
    """Return bits that are not all 0 where a value is of the kind."""
    ty = int_of(value.ty)
    sign = 1 << (bits_of(ty) - 1)
    if kind == NOT_FINITE:  # what times 0 is NaN
        value = fn.fmul(value, const(value.ty, 0.0))
    bits = fn.bitcast(value, ty)
    if kind == NEGATIVE_ZERO:
        return fn.convert("sext", fn.icmp("eq", bits, const(ty, sign)), ty)
    return fn.and_(bits, const(ty, sign - 1))
