"""sin, cos, both at once, and tan.

x is reduced to r, the sum of two floats within pi/4 of 0, and the number of quarter
turns; then both polynomials are evaluated, and the low bits of the number choose and
sign them. sin and cos alone are the halves of `sincos`, so that they have its bits;
LLVM removes what is not used.
"""

from typing import NamedTuple

from ..llvm import Function, Reg
from .coefficients import COS_F32, COS_F64, SIN_F32, SIN_F64
from .lanes import Lanes
from .reduction import reduce


class _Parts(NamedTuple):
    """Sine and cosine of r, r - s and w + c, with |s| < r and |c| < w."""

    r: Reg
    s: Reg
    w: Reg
    c: Reg
    quadrant: Reg


def _parts(k: Lanes, x: Reg) -> _Parts:
    """Reduce x to x = quadrant pi/2 + r and evaluate."""
    fn = k.fn
    wide = k.fmt.bits == 64
    r, low, quadrant = reduce(k, x)
    z = fn.fmul(r, r)
    z2 = fn.fmul(z, z)
    # w + e = 1 - r^2/2 exactly enough that cos keeps half an ulp.
    half = fn.fmul(r, k.num(-0.5))
    w = k.fma(half, r, k.num(1.0))
    e = k.fma(half, r, fn.fsub(k.num(1.0), w))
    c = k.fma(z2, k.poly(z, COS_F64 if wide else COS_F32, z2), k.fma(r, low, e))
    s = k.fma(
        fn.fmul(r, z), k.poly(z, SIN_F64 if wide else SIN_F32, z2), fn.fmul(low, w)
    )
    return _Parts(r, s, w, c, quadrant)


def sincos(fn: Function, x: Reg) -> tuple[Reg, Reg]:
    """Return the sine and the cosine of x (radians)."""
    k = Lanes(fn, x.ty)
    fmt = k.fmt
    r, s, w, c, quadrant = _parts(k, x)
    cosine, sine = fn.fadd(w, c), fn.fsub(r, s)
    odd = fn.icmp("ne", fn.and_(quadrant, k.word(1)), k.word(0))
    top, sign = k.word(fmt.bits - 2), k.word(fmt.sign)
    sin_sign = fn.and_(fn.shl(quadrant, top), sign)
    cos_sign = fn.and_(fn.shl(fn.add(quadrant, k.word(1)), top), sign)
    sin_out = fn.xor(k.bits(fn.select(odd, cosine, sine)), sin_sign)
    cos_out = fn.xor(k.bits(fn.select(odd, sine, cosine)), cos_sign)
    return k.from_bits(sin_out), k.from_bits(cos_out)


def tan(fn: Function, x: Reg) -> Reg:
    """Return the tangent of x (radians)."""
    k = Lanes(fn, x.ty)
    r, s, w, c, quadrant = _parts(k, x)
    sine, sine_low = k.fast_two_sum(r, fn.fneg(s))
    cosine, cosine_low = k.fast_two_sum(w, c)
    # tan(r + pi/2) = cos(r) / -sin(r)
    odd = fn.icmp("ne", fn.and_(quadrant, k.word(1)), k.word(0))
    num, num_low = fn.select(odd, cosine, sine), fn.select(odd, cosine_low, sine_low)
    den = fn.select(odd, fn.fneg(sine), cosine)
    den_low = fn.select(odd, fn.fneg(sine_low), cosine_low)
    inverse = fn.fdiv(k.num(1.0), den)
    y = fn.fmul(num, inverse)
    rest = fn.fadd(k.fnma(y, den, num), k.fnma(y, den_low, num_low))
    y = k.fma(rest, inverse, y)
    return fn.select(fn.fcmp("oeq", x, k.num(0.0)), x, y)


def sin(fn: Function, x: Reg) -> Reg:
    """Return the sine of x (radians)."""
    return sincos(fn, x)[0]


def cos(fn: Function, x: Reg) -> Reg:
    """Return the cosine of x (radians)."""
    return sincos(fn, x)[1]
