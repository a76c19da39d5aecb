"""Reduction of huge arguments modulo pi/2 (Payne and Hanek, SIGNUM 18, 1983).

x = m 2^e with a 53-bit integer m. Of 2/pi only a window of 192 bits matters: the bits
above contribute multiples of 4 to x 2/pi, the bits below less than 2^-139. The product
is taken in integers, so that nothing cancels. The function is written once a module and
type, out of line, and loops over the lanes; f32 goes through f64, which is exact.
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
    int_of,
    suffix_of,
    width_of,
)

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


def reduce_huge(fn: Function, x: Reg) -> tuple[Reg, Reg, Reg]:
    """Return r, minus the low part of r, and n with x = n pi/2 + r, |r| <= pi/4.

    Every lane must be finite and at least 2^15 in magnitude. n is an integer of the
    lane size of which the low two bits count.
    """
    int_ty = int_of(x.ty)
    ret_ty = f"{{ {x.ty}, {x.ty}, {int_ty} }}"
    name = f"pb_reduce_{suffix_of(x.ty)}"
    module = fn.module
    assert isinstance(module, Module), f"{fn.name} belongs to no module: {module!r}"
    if name not in module.functions:
        _write(module, name, x.ty, ret_ty)
    out = fn.call(name, ret_ty, (x,))
    r, low, n = (
        fn.emit(ty, f"extractvalue {ret_ty} {out.ref}, {k}")
        for k, ty in enumerate((x.ty, x.ty, int_ty))
    )
    return r, low, n


def _write(module: Module, name: str, ty: str, ret_ty: str) -> None:
    """Write the function that reduces each lane of its argument."""
    if not any(text.startswith(f"@{_TABLE} ") for text in module.globals):
        words = ", ".join(f"i64 {const(I64, w).ref}" for w in _WORDS)
        module.globals.append(
            f"@{_TABLE} = internal unnamed_addr constant "
            f"[{len(_WORDS)} x i64] [{words}], align 64"
        )
    attrs = "noinline cold memory(none) willreturn"
    fn = module.function(name, ret_ty, ((ty, ""),), attrs=attrs)
    width, elem, int_ty = width_of(ty), elem_of(ty), int_of(ty)
    x = fn.args[0]
    if width == 1:
        parts = _reduce_lane(fn, x)
    else:
        types = (ty, ty, int_ty)
        slots = [fn.alloca(t) for t in types]
        source = fn.alloca(ty)
        fn.store(x, source, 64)
        loop, done = fn.new_label("lane"), fn.new_label("done")
        before = fn.block
        fn.br(loop)
        fn.start(loop)
        index = fn.phi(I64, const(I64, 0), before)
        one = fn.load(fn.gep(source, index, elem), elem)
        for slot, part in zip(slots, _reduce_lane(fn, one), strict=True):
            fn.store(part, fn.gep(slot, index, part.ty))
        following = fn.add(index, const(I64, 1))
        fn.phi_edge(index, following, fn.block)
        fn.cond_br(fn.icmp("eq", following, const(I64, width)), done, loop)
        fn.start(done)
        parts = [fn.load(slot, t, 64) for slot, t in zip(slots, types, strict=True)]
    result = "poison"
    for k, part in enumerate(parts):
        result = fn.emit(
            ret_ty, f"insertvalue {ret_ty} {result}, {part.ty} {part.ref}, {k}"
        ).ref
    fn.ret(Reg(result, ret_ty))


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
