"""Reduction modulo pi/2, for every finite argument.

n = round(x 2/pi) and r = x - n pi/2 as a sum of two floats: by a three-part pi/2 with
FMA (Cody and Waite) where |x| is moderate, else by integers (Payne and Hanek, SIGNUM
18, 1983). There x = m 2^e with a 53-bit m, and of 2/pi only a window of 192 bits
matters: the bits above contribute multiples of 4 to x 2/pi, the bits below less than
2^-139.

The integer part is a function written once a module and type, out of line. It does all
lanes of its argument, moderate ones included, so that nothing but the argument is live
around the call; f32 goes through f64, which is exact.
"""

from itertools import pairwise

from ..llvm import (
    F64,
    I1,
    I32,
    I64,
    PTR,
    Function,
    Module,
    Reg,
    const,
    elem_of,
    suffix_of,
    width_of,
)
from .lanes import Lanes

_TABLE = "pb_two_over_pi"
_I128 = "i128"

# 2/pi in words of 64 bits, after one word of zeros for the smallest exponents.
_WORDS = (
    0x0000000000000000, 0xA2F9836E4E441529, 0xFC2757D1F534DDC0, 0xDB6295993C439041,
    0xFE5163ABDEBBC561, 0xB7246E3A424DD2E0, 0x06492EEA09D1921C, 0xFE1DEB1CB129A73E,
    0xE88235F52EBB4484, 0xE99C7026B45F7E41, 0x3991D639835339F4, 0x9C845F8BBDF9283B,
    0x1FF897FFDE05980F, 0xEF2F118B5A0A6D1F, 0x6D367ECF27CB09B7, 0x4F463F669E5FEA2D,
    0x7527BAC7EBE5F17B, 0x3D0739F78A5292EA, 0x6BFB5FB11F8D5D08, 0x56033046FC7B6BAB,
)  # fmt: skip

_TWO_PI = (6.283185307179586, 2.4492935982947064e-16)


def reduce(k: Lanes, x: Reg) -> tuple[Reg, Reg, Reg]:
    """Return r, minus the low part of r, and n, with x = n pi/2 + r.

    n is an integer of the lane size of which the low two bits count.
    """
    fn = k.fn
    quick = _moderate(k, x)
    huge = fn.fcmp("oge", fn.fabs(x), k.num(k.fmt.trig_high))
    before, rare, join = fn.block, fn.new_label("huge"), fn.new_label("reduced")
    fn.cond_br(fn.any_lane(huge), rare, join, likely=False)
    fn.start(rare)
    module = fn.module
    assert isinstance(module, Module), f"{fn.name} belongs to no module: {module!r}"
    ret_ty = f"{{ {x.ty}, {x.ty}, {k.ity} }}"
    name = f"pb_reduce_{suffix_of(x.ty)}"
    if name not in module.functions:
        _write(module, name, x.ty, ret_ty)
    out = fn.call(name, ret_ty, (x,))
    slow = [
        fn.emit(old.ty, f"extractvalue {ret_ty} {out.ref}, {at}")
        for at, old in enumerate(quick)
    ]
    fn.br(join)
    fn.start(join)
    r, low, n = (
        fn.merge(old.ty, ((old, before), (new, rare)))
        for old, new in zip(quick, slow, strict=True)
    )
    return r, low, n


def _moderate(k: Lanes, x: Reg) -> tuple[Reg, Reg, Reg]:
    """Reduce lanes below `trig_high`; NaN for infinities and NaN."""
    fn, fmt = k.fn, k.fmt
    first, second, third = fmt.half_pi
    shifted = k.fma(x, k.num(fmt.two_over_pi), k.num(fmt.magic))
    n = fn.fsub(shifted, k.num(fmt.magic))
    # Exact: x and n * first are multiples of one unit, and their difference is small.
    a = k.fma(n, k.num(-first), x)
    # The product is rounded before it is subtracted: then r - a is exact however small
    # r comes out, as a is a multiple of more than the last place of the product.
    r = fn.fsub(a, fn.fmul(n, k.num(second)))
    # The negated low part is +0 where n = 0, which keeps sin(-0) = -0.
    low = k.fma(n, k.num(second), fn.fsub(r, a))
    low = k.fma(n, k.num(third), low)
    return r, low, k.bits(shifted)


def _write(module: Module, name: str, ty: str, ret_ty: str) -> None:
    """Write the function that reduces every lane of its argument."""
    if not any(text.startswith(f"@{_TABLE} ") for text in module.globals):
        words = ", ".join(f"i64 {const(I64, w).ref}" for w in _WORDS)
        module.globals.append(
            f"@{_TABLE} = internal unnamed_addr constant "
            f"[{len(_WORDS)} x i64] [{words}], align 64"
        )
    attrs = "noinline cold memory(none) willreturn"
    fn = module.function(name, ret_ty, ((ty, ""),), attrs=attrs)
    k, x = Lanes(fn, ty), fn.args[0]
    size = fn.fabs(x)
    chosen = fn.and_(
        fn.fcmp("oge", size, k.num(k.fmt.trig_high)),
        fn.fcmp("olt", size, k.num(float("inf"))),
    )
    parts = _each_lane(k, fn.select(chosen, x, k.num(k.fmt.trig_high)))
    parts = [
        fn.select(chosen, new, old)
        for new, old in zip(parts, _moderate(k, x), strict=True)
    ]
    result = "poison"
    for at, part in enumerate(parts):
        result = fn.emit(
            ret_ty, f"insertvalue {ret_ty} {result}, {part.ty} {part.ref}, {at}"
        ).ref
    fn.ret(Reg(result, ret_ty))


def _each_lane(k: Lanes, x: Reg) -> list[Reg]:
    """Reduce the lanes one after the other, in a loop through memory."""
    fn = k.fn
    if width_of(x.ty) == 1:
        return _reduce_lane(fn, x)
    types = (x.ty, x.ty, k.ity)
    source, slots = fn.alloca(x.ty), [fn.alloca(t) for t in types]
    fn.store(x, source, 64)
    loop, done = fn.new_label("lane"), fn.new_label("done")
    before = fn.block
    fn.br(loop)
    fn.start(loop)
    index = fn.phi(I64, const(I64, 0), before)
    elem = elem_of(x.ty)
    one = fn.load(fn.gep(source, index, elem), elem)
    for slot, part in zip(slots, _reduce_lane(fn, one), strict=True):
        fn.store(part, fn.gep(slot, index, part.ty))
    following = fn.add(index, const(I64, 1))
    fn.phi_edge(index, following, fn.block)
    last = fn.icmp("eq", following, const(I64, width_of(x.ty)))
    fn.cond_br(last, done, loop)
    fn.start(done)
    return [fn.load(slot, t, 64) for slot, t in zip(slots, types, strict=True)]


def _reduce_lane(fn: Function, x: Reg) -> list[Reg]:
    """Reduce one scalar."""
    if x.ty == F64:
        return list(_reduce_f64(fn, x))
    r, low, n = _reduce_f64(fn, fn.convert("fpext", x, F64))
    short = fn.convert("fptrunc", r, x.ty)
    rest = fn.fadd(fn.fsub(fn.convert("fpext", short, F64), r), low)
    return [short, fn.convert("fptrunc", rest, x.ty), fn.convert("trunc", n, I32)]


def _wide(fn: Function, x: Reg) -> Reg:
    return fn.convert("zext", x, _I128)


def _reduce_f64(fn: Function, x: Reg) -> tuple[Reg, Reg, Reg]:
    bits = fn.bitcast(x, I64)
    biased = fn.and_(fn.lshr(bits, const(I64, 52)), const(I64, 0x7FF))
    m = fn.or_(fn.and_(bits, const(I64, (1 << 52) - 1)), const(I64, 1 << 52))
    # e = biased - 1075; the window starts at bit e - 2 of 2/pi, 64 later in the table.
    start = fn.sub(biased, const(I64, 1075 + 2 - 64))
    table = Reg(f"@{_TABLE}", PTR)
    base = fn.gep(table, fn.lshr(start, const(I64, 6)), I64)
    words = [fn.load(fn.gep(base, const(I64, k), I64), I64) for k in range(4)]
    shift = fn.and_(start, const(I64, 63))
    w = [fn.intrinsic("fshl", I64, (high, low, shift)) for high, low in pairwise(words)]
    # The upper 128 bits of m w modulo 2^192: the fraction of a turn.
    m_wide = _wide(fn, m)
    upper = fn.shl(_wide(fn, fn.mul(m, w[0])), const(_I128, 64))
    middle = fn.mul(m_wide, _wide(fn, w[1]))
    lower = fn.lshr(fn.mul(m_wide, _wide(fn, w[2])), const(_I128, 64))
    turn = fn.add(fn.add(upper, middle), lower)
    n = fn.lshr(fn.add(turn, const(_I128, 1 << 125)), const(_I128, 126))
    rest = fn.sub(turn, fn.shl(n, const(_I128, 126)))
    negative = fn.icmp("slt", rest, const(_I128, 0))
    size = fn.select(negative, fn.sub(const(_I128, 0), rest), rest)
    # Two doubles of 53 bits each from the leading one on.
    zeros = fn.intrinsic("ctlz", _I128, (size, const(I1, 0)))
    size = fn.shl(size, zeros)
    high = fn.convert("trunc", fn.lshr(size, const(_I128, 75)), I64)
    low = fn.convert("trunc", fn.lshr(size, const(_I128, 22)), I64)
    low = fn.and_(low, const(I64, (1 << 53) - 1))
    count = fn.convert("trunc", zeros, I64)
    scale = fn.shl(fn.sub(const(I64, 1023 - 53), count), const(I64, 52))
    x_sign = fn.and_(bits, const(I64, 1 << 63))
    r_sign = fn.shl(fn.convert("zext", negative, I64), const(I64, 63))
    scale = fn.bitcast(fn.xor(scale, fn.xor(x_sign, r_sign)), F64)
    h = fn.fmul(fn.convert("sitofp", high, F64), scale)
    tail = fn.fmul(fn.convert("sitofp", low, F64), const(F64, 2.0**-53))
    tail = fn.fmul(tail, scale)
    # Turns to radians.
    pi_high, pi_low = (const(F64, part) for part in _TWO_PI)
    r = fn.fmul(h, pi_high)
    error = fn.fma(h, pi_high, fn.fneg(r))
    error = fn.fma(tail, pi_high, fn.fma(h, pi_low, error))
    quadrant = fn.convert("trunc", n, I64)
    backwards = fn.icmp("ne", x_sign, const(I64, 0))
    quadrant = fn.select(backwards, fn.sub(const(I64, 0), quadrant), quadrant)
    return r, fn.fneg(error), quadrant
