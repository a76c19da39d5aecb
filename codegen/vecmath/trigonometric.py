"""sin, cos and both at once.

n = round(x 2/pi) and r = x - n pi/2 as a sum of two floats, by a three-part pi/2 with
FMA (Cody and Waite) where |x| is moderate and by exact integer arithmetic elsewhere;
then both polynomials, and the low bits of n choose and sign them. sin and cos alone are
the halves of `sincos`, so that they have its bits; LLVM removes what is not used.
"""

from ..llvm import Function, Reg
from .coefficients import COS_F32, COS_F64, SIN_F32, SIN_F64
from .lanes import Lanes
from .reduction import reduce_huge


def _reduce(k: Lanes, x: Reg) -> tuple[Reg, Reg, Reg]:
    """Return r, minus the low part of r, and n as integers (the low two bits count)."""
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
    quadrant = k.bits(shifted)

    magnitude = fn.fabs(x)
    huge = fn.fcmp("oge", magnitude, k.num(fmt.trig_high))
    before, rare, join = fn.block, fn.new_label("huge"), fn.new_label("reduced")
    fn.cond_br(fn.any_lane(huge), rare, join, likely=False)
    fn.start(rare)
    finite = fn.fcmp("olt", magnitude, k.num(float("inf")))
    chosen = fn.and_(huge, finite)
    safe = fn.select(chosen, x, k.num(fmt.trig_high))
    parts = reduce_huge(fn, safe)
    fixed = [
        fn.select(chosen, new, old)
        for new, old in zip(parts, (r, low, quadrant), strict=True)
    ]
    end = fn.block
    fn.br(join)
    fn.start(join)
    r, low, quadrant = (
        fn.merge(old.ty, ((old, before), (new, end)))
        for old, new in zip((r, low, quadrant), fixed, strict=True)
    )
    return r, low, quadrant


def sincos(fn: Function, x: Reg) -> tuple[Reg, Reg]:
    """Return the sine and the cosine of x (radians)."""
    k = Lanes(fn, x.ty)
    fmt = k.fmt
    wide = fmt.bits == 64
    r, low, quadrant = _reduce(k, x)
    z = fn.fmul(r, r)
    z2 = fn.fmul(z, z)
    # w + e = 1 - r^2/2 exactly enough that cos keeps half an ulp.
    half = fn.fmul(r, k.num(-0.5))
    w = k.fma(half, r, k.num(1.0))
    e = k.fma(half, r, fn.fsub(k.num(1.0), w))
    c = k.fma(z2, k.poly(z, COS_F64 if wide else COS_F32, z2), k.fma(r, low, e))
    cosine = fn.fadd(w, c)
    s = k.fma(
        fn.fmul(r, z), k.poly(z, SIN_F64 if wide else SIN_F32, z2), fn.fmul(low, w)
    )
    sine = fn.fsub(r, s)

    odd = fn.icmp("ne", fn.and_(quadrant, k.word(1)), k.word(0))
    top, sign = k.word(fmt.bits - 2), k.word(fmt.sign)
    sin_sign = fn.and_(fn.shl(quadrant, top), sign)
    cos_sign = fn.and_(fn.shl(fn.add(quadrant, k.word(1)), top), sign)
    sin_out = fn.xor(k.bits(fn.select(odd, cosine, sine)), sin_sign)
    cos_out = fn.xor(k.bits(fn.select(odd, sine, cosine)), cos_sign)
    return k.from_bits(sin_out), k.from_bits(cos_out)


def sin(fn: Function, x: Reg) -> Reg:
    """Return the sine of x (radians)."""
    return sincos(fn, x)[0]


def cos(fn: Function, x: Reg) -> Reg:
    """Return the cosine of x (radians)."""
    return sincos(fn, x)[1]
