"""erf and erfc.

Near 0 erf(x) = x + x p(x^2). Far from it erf is 1 - exp(g(x)) with a polynomial g,
which needs no more digits than 1 leaves of it. erfc keeps its digits everywhere:

    erfc(x) = exp(-x^2) f(t) / (1 + 2x),  t = (x - 5/2) / (x + 5/2)

with f near 1 on the whole half-line (Shepherd and Laframboise, Math. Comp. 36, 1981)
and both factors carried as sums of two floats.
"""

from ..llvm import Function, Reg
from .coefficients import EXPM1_F64
from .exponential import exp_moderate, reduce
from .lanes import Lanes
from .special_coefficients import (
    ERF_F32,
    ERF_F64,
    ERF_FAR_F32,
    ERF_FAR_F64,
    ERFC_F32,
    ERFC_F64,
)

_SHIFT = 2.5
_LOG_ERFC_ONE = (-1.8496055603027344, 5.03694863596138e-08)  # in f32
# erfc rounds to 0 beyond, in f64; so it does in f32.
_ERFC_HIGH = 28.0
_ERFC_HIGH_F32 = 10.2


def erf(fn: Function, x: Reg) -> Reg:
    """Return the error function of x."""
    k = Lanes(fn, x.ty)
    wide = k.fmt.bits == 64
    one, size = k.num(1.0), fn.fabs(x)
    z = fn.fmul(size, size)
    z2 = fn.fmul(z, z)
    # The coefficient of z is the largest: its product is rounded once, with the sum.
    first, second, *others = ERF_F64 if wide else ERF_F32
    p = k.fma(z2, k.poly(z, others, z2), k.num(first))
    p = k.fma(z, k.num(second), p)
    y = k.fma(size, p, size)
    v = fn.fsub(k.at_most(size, 6.0 if wide else 4.0), one)
    far = fn.fsub(one, _far(k, v) if wide else _far_f32(k, v))
    # A NaN goes the near way.
    return fn.copysign(fn.select(fn.fcmp("ult", size, one), y, far), x)


def _far(k: Lanes, v: Reg) -> Reg:
    """Return erfc(1 + v), to be subtracted from 1."""
    return exp_moderate(k, k.poly(v, ERF_FAR_F64, k.fn.fmul(v, v)))


def _far_f32(k: Lanes, v: Reg) -> Reg:
    """Return the same; what the exponent loses comes in afterwards."""
    fn = k.fn
    start, start_low = (k.num(part) for part in _LOG_ERFC_ONE)
    q = k.poly(v, ERF_FAR_F32, fn.fmul(v, v))
    g = k.fma(v, q, start)
    low = fn.fadd(k.fma(v, q, fn.fsub(start, g)), start_low)
    y = exp_moderate(k, g)
    return k.fma(y, low, y)


def erfc(fn: Function, x: Reg) -> Reg:
    """Return 1 - erf(x), in full also where that is tiny."""
    k = Lanes(fn, x.ty)
    return k.through_f64(_erfc if k.fmt.bits == 64 else _erfc_short, x)


def _erfc_short(k: Lanes, x: Reg) -> Reg:
    """Return erfc(x) of a widened f32, accurate to f32."""
    fn = k.fn
    one, size = k.num(1.0), fn.fabs(x)
    a = k.at_most(size, _ERFC_HIGH_F32)
    plus, den = fn.fadd(a, k.num(_SHIFT)), k.fma(a, k.num(2.0), one)
    inverse = fn.fdiv(one, fn.fmul(plus, den))
    t = fn.fmul(fn.fsub(a, k.num(_SHIFT)), fn.fmul(den, inverse))
    f = k.poly(t, ERFC_F32, fn.fmul(t, t))
    scale = exp_moderate(k, fn.fneg(fn.fmul(a, a)))
    far = fn.fmul(fn.fmul(scale, f), fn.fmul(plus, inverse))
    return _choose(k, x, far, ERF_F32)


def _choose(k: Lanes, x: Reg, far: Reg, coefs: tuple[float, ...]) -> Reg:
    """Return erfc(x) from `far`, erfc(|x|) where |x| >= 1/2."""
    fn = k.fn
    z = fn.fmul(x, x)
    high, low = k.fast_two_sum(k.num(1.0), fn.fneg(x))
    y = fn.fadd(high, k.fnma(x, k.poly(z, coefs, fn.fmul(z, z)), low))
    mirrored = fn.fsub(k.num(2.0), far)
    far = fn.select(fn.fcmp("olt", x, k.num(0.0)), mirrored, far)
    return fn.select(fn.fcmp("ult", fn.fabs(x), k.num(0.5)), y, far)


def _erfc(k: Lanes, x: Reg) -> Reg:
    fn, fmt = k.fn, k.fmt
    one = k.num(1.0)
    a = k.at_most(fn.fabs(x), _ERFC_HIGH)
    plus, minus = fn.fadd(a, k.num(_SHIFT)), fn.fsub(a, k.num(_SHIFT))
    den = k.fma(a, k.num(2.0), one)
    den_low = fn.fsub(one, k.fnma(a, k.num(2.0), den))
    # One division for both quotients; t is corrected by its remainder.
    inverse = fn.fdiv(one, fn.fmul(plus, den))
    part, over_plus = fn.fmul(plus, inverse), fn.fmul(den, inverse)
    t = fn.fmul(minus, over_plus)
    t = k.fma(k.fnma(t, plus, minus), over_plus, t)
    first, *others = ERFC_F64
    q = k.poly(t, others, fn.fmul(t, t))
    f = k.fma(t, q, k.num(first))
    f_low = k.fma(t, q, fn.fsub(k.num(first), f))
    scale, scale_low, shifted = _gauss(k, a)
    num, num_low = k.two_prod(scale, f)
    num_low = k.fma(scale_low, f, k.fma(scale, f_low, num_low))
    y = fn.fmul(num, part)
    rest = fn.fadd(k.fnma(y, den, num), k.fnma(y, den_low, num_low))
    y = k.fma(rest, part, y)
    # The exponent is raised by 128 and lowered by a multiplication, which rounds once.
    raised = fn.add(k.bits(y), fn.add(k.exponent(shifted), k.word(128 << fmt.fraction)))
    far = fn.fmul(k.from_bits(raised), k.num(2.0**-128))
    return _choose(k, x, far, ERF_F64)


def _gauss(k: Lanes, a: Reg) -> tuple[Reg, Reg, Reg]:
    """Return s, s_low and n, whose low bits count, with exp(-a^2) = 2^n (s + s_low)."""
    fn = k.fn
    square, square_low = k.two_prod(a, a)
    red = reduce(k, fn.fneg(square))
    low = k.fma(red.n, k.num(-k.fmt.ln2[1]), fn.fneg(square_low))
    r = fn.fadd(red.r_high, low)
    r2 = fn.fmul(r, r)
    high, error = k.fast_two_sum(k.num(1.0), red.r_high)
    q = k.poly(r, EXPM1_F64, r2)
    return high, fn.fadd(error, k.fma(r2, q, low)), red.shifted
