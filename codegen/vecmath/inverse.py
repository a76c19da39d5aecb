"""asin, acos, atan and atan2.

asin(x) is x + x^3 p(x^2) below 1/2; above it is pi/2 - 2 asin(w) with
w = sqrt((1 - |x|)/2), and acos follows from the same numbers. atan turns its argument
by 0, pi/4 or pi/2, whichever leaves it within tan(pi/8) of 0; atan2 turns a point.
"""

from ..llvm import Function, Reg
from .lanes import Lanes
from .special_coefficients import ASIN_F32, ASIN_F64, ATAN_F32, ATAN_F64

_TAN_EIGHTH = 0.41421356237309503
_TAN_THREE_EIGHTHS = 2.414213562373095
_INF = float("inf")
_THREE_QUARTERS_PI = {
    64: (2.356194490192345, 9.184850993605148e-17),
    32: (2.356194496154785, -5.962440319251527e-09),
}
# Points nearer to the origin are moved away by the factor.
_SMALL = {64: (2.0**-800, 2.0**200), 32: (2.0**-60, 2.0**50)}


def _arc(k: Lanes, size: Reg) -> tuple[Reg, Reg, Reg]:
    """Return the mask size <= 1/2, w, and asin(w) - w."""
    fn = k.fn
    small = fn.fcmp("ole", size, k.num(0.5))
    # Exact where it is used.
    other = k.fma(size, k.num(-0.5), k.num(0.5))
    z = fn.select(small, fn.fmul(size, size), other)
    root = fn.sqrt(z)
    w = fn.select(small, size, root)
    twice = k.at_least(fn.fadd(root, root), k.fmt.smallest_normal)
    lost = fn.fdiv(k.fnma(root, root, z), twice)
    lost = fn.select(small, k.num(0.0), lost)
    p = k.poly(z, ASIN_F64 if k.fmt.bits == 64 else ASIN_F32, fn.fmul(z, z))
    return small, w, k.fma(fn.fmul(w, z), p, lost)


def _turned(k: Lanes, base: Reg, base_low: Reg, factor: Reg, w: Reg, tail: Reg) -> Reg:
    """Return base + factor (w + tail), where the product with w is exact."""
    high = k.fma(factor, w, base)
    error = k.fma(factor, w, k.fn.fsub(base, high))
    return k.fn.fadd(high, k.fma(factor, tail, k.fn.fadd(error, base_low)))


def asin(fn: Function, x: Reg) -> Reg:
    """Return the arc sine of x."""
    k = Lanes(fn, x.ty)
    zero = k.num(0.0)
    quarter, quarter_low, _ = (k.num(part) for part in k.fmt.half_pi)
    small, w, tail = _arc(k, fn.fabs(x))
    base = fn.select(small, zero, quarter)
    base_low = fn.select(small, zero, quarter_low)
    factor = fn.select(small, k.num(1.0), k.num(-2.0))
    return fn.copysign(_turned(k, base, base_low, factor, w, tail), x)


def acos(fn: Function, x: Reg) -> Reg:
    """Return the arc cosine of x."""
    k = Lanes(fn, x.ty)
    zero = k.num(0.0)
    quarter, quarter_low, _ = k.fmt.half_pi
    small, w, tail = _arc(k, fn.fabs(x))
    negative = fn.fcmp("olt", x, zero)
    base = fn.select(negative, k.num(2.0 * quarter), zero)
    base = fn.select(small, k.num(quarter), base)
    base_low = fn.select(negative, k.num(2.0 * quarter_low), zero)
    base_low = fn.select(small, k.num(quarter_low), base_low)
    factor = fn.select(small, k.num(-1.0), k.num(2.0))
    factor = fn.select(negative, fn.fneg(factor), factor)
    return _turned(k, base, base_low, factor, w, tail)


def _base(k: Lanes, part: int, middle: Reg, steep: Reg, left: Reg | None) -> Reg:
    """Return the angle that was turned by, or its low part."""
    fn = k.fn
    quarter = k.fmt.half_pi[part]
    none, half = k.num(0.0), k.num(quarter / 2)
    if left is not None:
        none = fn.select(left, k.num(2.0 * quarter), none)
        half = fn.select(left, k.num(_THREE_QUARTERS_PI[k.fmt.bits][part]), half)
    return fn.select(steep, k.num(quarter), fn.select(middle, half, none))


def _angle(k: Lanes, y: Reg, x: Reg, left: Reg | None) -> Reg:
    """Return the angle of the point (x, y), x and y >= 0, mirrored where `left`."""
    fn = k.fn
    wide = k.fmt.bits == 64
    zero = k.num(0.0)
    middle = fn.fcmp("ogt", y, fn.fmul(x, k.num(_TAN_EIGHTH)))
    steep = fn.fcmp("ogt", y, fn.fmul(x, k.num(_TAN_THREE_EIGHTHS)))
    less, less_low = k.two_sum(y, fn.fneg(x))
    more, more_low = k.two_sum(y, x)
    num = fn.select(steep, fn.fneg(x), fn.select(middle, less, y))
    den = fn.select(steep, y, fn.select(middle, more, x))
    between = fn.and_(middle, fn.not_(steep))
    num_low = fn.select(between, less_low, zero)
    den_low = fn.select(between, more_low, zero)
    inverse = fn.fdiv(k.num(1.0), den)
    t = fn.fmul(num, inverse)
    rest = fn.fadd(k.fnma(t, den, num), k.fnma(t, den_low, num_low))
    z = fn.fmul(t, t)
    p = k.poly(z, ATAN_F64 if wide else ATAN_F32, fn.fmul(z, z))
    # atan(t + rest/den), without t
    tail = k.fnma(fn.fmul(t, z), p, fn.fmul(rest, inverse))
    sign = k.num(1.0)
    if left is not None:
        sign = fn.select(left, k.num(-1.0), sign)
    base, base_low = (_base(k, part, middle, steep, left) for part in (0, 1))
    return _turned(k, base, base_low, sign, t, tail)


def atan(fn: Function, x: Reg) -> Reg:
    """Return the arc tangent of x."""
    k = Lanes(fn, x.ty)
    # Beyond, the angle rounds as there.
    size = k.at_most(fn.fabs(x), 2.0 ** (k.fmt.fraction + 8))
    return fn.copysign(_angle(k, size, k.num(1.0), None), x)


def atan2(fn: Function, y: Reg, x: Reg) -> Reg:
    """Return the angle of the point (x, y), as C99 Annex F.9.1.4 has it."""
    k = Lanes(fn, x.ty)
    zero, one, inf = k.num(0.0), k.num(1.0), k.num(_INF)
    height, width = fn.fabs(y), fn.fabs(x)
    # Infinite lengths are 1 beside 0, or beside each other.
    tall, broad = fn.fcmp("oeq", height, inf), fn.fcmp("oeq", width, inf)
    endless = fn.or_(tall, broad)
    height = fn.select(endless, fn.select(tall, one, zero), height)
    width = fn.select(endless, fn.select(broad, one, zero), width)
    # Sums stay finite; remainders of divisions, and most lengths, are not subnormal.
    larger = fn.select(fn.fcmp("ogt", height, width), height, width)
    fmt = k.fmt
    top = k.num(2.0 ** (fmt.bias - fmt.fraction - 4))
    bottom, raised = _SMALL[fmt.bits]
    up = k.num(2.0 ** (fmt.fraction + 1))
    scale = fn.select(fn.fcmp("ogt", larger, top), k.num(2.0**-4), up)
    scale = fn.select(fn.fcmp("olt", larger, k.num(bottom)), k.num(raised), scale)
    height, width = fn.fmul(height, scale), fn.fmul(width, scale)
    nothing = fn.fcmp("oeq", larger, zero)
    width = fn.select(nothing, one, width)
    left = fn.icmp("slt", k.bits(x), k.word(0))
    angle = fn.copysign(_angle(k, height, width, left), y)
    return k.nan_like(k.nan_like(angle, x), y)
