"""cbrt and hypot.

cbrt: x = 2^(3q) v with v = 2^e m, e in {-1, 0, 1}; a polynomial gives 20 bits of
cbrt(v), one step of Halley's iteration with an exact residual the rest. The start is
cut to 26 bits, so that its square is exact.
"""

from ..llvm import Function, Reg
from .lanes import Lanes
from .logarithm import split_any
from .special_coefficients import CBRT

_INF = float("inf")
_CBRT_TWO, _CBRT_HALF = 1.2599210498948732, 0.7937005259840998
_CUT = ~((1 << 27) - 1)


def cbrt(fn: Function, x: Reg) -> Reg:
    """Return the cube root of x."""
    return Lanes(fn, x.ty).through_f64(_cbrt, x)


def _cbrt(k: Lanes, x: Reg) -> Reg:
    fn = k.fn
    size = fn.fabs(x)
    power, m = split_any(k, size)
    shifted = k.fma(power, k.num(1.0 / 3.0), k.num(k.fmt.magic))
    rest = k.fma(fn.fsub(shifted, k.num(k.fmt.magic)), k.num(-3.0), power)
    above = fn.fcmp("ogt", rest, k.num(0.5))
    below = fn.fcmp("olt", rest, k.num(-0.5))
    root = fn.select(above, k.num(_CBRT_TWO), k.num(1.0))
    root = fn.select(below, k.num(_CBRT_HALF), root)
    unit = fn.select(above, k.num(2.0), k.num(1.0))
    v = fn.fmul(m, fn.select(below, k.num(0.5), unit))
    start = fn.fmul(k.poly(m, CBRT, fn.fmul(m, m)), root)
    start = k.from_bits(fn.and_(k.bits(start), k.word(_CUT)))
    square = fn.fmul(start, start)
    residual = k.fms(square, start, v)
    den = k.fma(fn.fmul(square, start), k.num(2.0), v)
    y = k.fnma(fn.fdiv(residual, den), start, start)
    y = k.from_bits(fn.add(k.bits(y), k.exponent(k.bits(shifted))))
    y = fn.copysign(y, x)
    fixed = fn.or_(
        fn.fcmp("oeq", x, k.num(0.0)), fn.not_(fn.fcmp("olt", size, k.num(_INF)))
    )
    return fn.select(fixed, fn.fadd(x, x), y)


def hypot(fn: Function, x: Reg, y: Reg) -> Reg:
    """Return sqrt(x^2 + y^2) without overflow on the way."""
    k = Lanes(fn, x.ty)
    length = k.through_f64(_hypot if k.fmt.bits == 64 else _hypot_short, x, y)
    length = k.nan_like(k.nan_like(length, x), y)
    inf = k.num(_INF)
    endless = fn.or_(fn.fcmp("oeq", fn.fabs(x), inf), fn.fcmp("oeq", fn.fabs(y), inf))
    return fn.select(endless, inf, length)


def _hypot_short(k: Lanes, x: Reg, y: Reg) -> Reg:
    """Return the length for widened f32, whose squares are exact and in range."""
    return k.fn.sqrt(k.fma(x, x, k.fn.fmul(y, y)))


def _hypot(k: Lanes, x: Reg, y: Reg) -> Reg:
    fn = k.fn
    x, y = fn.fabs(x), fn.fabs(y)
    more = fn.fcmp("ogt", y, x)
    larger, smaller = fn.select(more, y, x), fn.select(more, x, y)
    far = fn.fcmp("ogt", larger, k.num(2.0**500))
    near = fn.fcmp("olt", larger, k.num(2.0**-400))
    down, up, one = k.num(2.0**-600), k.num(2.0**600), k.num(1.0)
    scale = fn.select(far, down, fn.select(near, up, one))
    back = fn.select(far, up, fn.select(near, down, one))
    larger, smaller = fn.fmul(larger, scale), fn.fmul(smaller, scale)
    square = k.fma(larger, larger, fn.fmul(smaller, smaller))
    return fn.fmul(fn.sqrt(square), back)
