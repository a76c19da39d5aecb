"""exp, exp2, expm1 and tanh.

With n = round(x / ln2) and r = x - n ln2, |r| <= ln2/2:

    exp(x)   = 2^n (1 + p),  p = expm1(r) = r + r^2 q(r)
    expm1(x) = 2^n p + (2^n - 1)
    tanh(x)  = E / (E + 2),  E = expm1(2 |x|)   in f64

r is kept as `r_high`, the exact x - n ln2_high, and n ln2_low. The method is that of
Tang (ACM TOMS 15, 1989) and Muller (Elementary Functions, chapter 11) with FMA.
"""

from typing import NamedTuple

from ..llvm import Function, Reg
from .coefficients import EXP_F32, EXP_F64, EXPM1_F32, EXPM1_F64, POW_EXP_F64
from .lanes import Lanes
from .special_coefficients import EXP2_F32, TANH_EXP_F32, TANH_F32

_TANH_NEAR = 0.9  # where tanh leaves the polynomial, in f32


class Reduced(NamedTuple):
    """x = n ln2 + r; `shifted` is n + magic, whose low bits are n as an integer."""

    shifted: Reg
    n: Reg
    r_high: Reg
    r: Reg
    r2: Reg


def reduce(k: Lanes, x: Reg) -> Reduced:
    """Split x; exact but for the rounding of r. |x| must stay below 2^fraction."""
    fmt, fn = k.fmt, k.fn
    shifted = k.fma(x, k.num(fmt.inv_ln2[0]), k.num(fmt.magic))
    n = fn.fsub(shifted, k.num(fmt.magic))
    r_high = k.fma(n, k.num(-fmt.ln2[0]), x)
    r = k.fma(n, k.num(-fmt.ln2[1]), r_high)
    return Reduced(k.bits(shifted), n, r_high, r, fn.fmul(r, r))


def exp(fn: Function, x: Reg) -> Reg:
    """Return e^x."""
    k = Lanes(fn, x.ty)
    fmt = k.fmt
    red = reduce(k, k.at_least(x, fmt.exp_low))
    q = k.poly(red.r, EXP_F64 if fmt.bits == 64 else EXP_F32, red.r2)
    # r_high is exact: its low part joins the small term, not r, which would be rounded.
    tail = k.fma(red.n, k.num(-fmt.ln2[1]), fn.fmul(red.r2, q))
    y = fn.fadd(k.num(1.0), fn.fadd(red.r_high, tail))
    return _scale(k, y, red.shifted, x, (fmt.exp_normal, fmt.exp_high))


def _scale(k: Lanes, y: Reg, shifted: Reg, x: Reg, limits: tuple[float, float]) -> Reg:
    """Return 2^n y for an exponential of x; `limits` are where it leaves the normals.

    2^n goes to the exponent field. Where the result is subnormal the exponent is raised
    first and a multiplication lowers and rounds it, once.
    """
    fn, fmt = k.fn, k.fmt
    scaled = fn.add(k.bits(y), k.exponent(shifted))
    raised = fn.add(scaled, k.word(64 << fmt.fraction))
    lowered = fn.fmul(k.from_bits(raised), k.num(2.0**-64))
    small = fn.fcmp("olt", x, k.num(limits[0]))
    y = fn.select(small, lowered, k.from_bits(scaled))
    # Above the largest result, and for NaN: x + inf is inf or that NaN.
    over = fn.fcmp("ugt", x, k.num(limits[1]))
    return fn.select(over, fn.fadd(x, k.num(float("inf"))), y)


def exp2(fn: Function, x: Reg) -> Reg:
    """Return 2^x; exact for integers."""
    k = Lanes(fn, x.ty)
    fmt = k.fmt
    wide = fmt.bits == 64
    top, low = float(fmt.bias + 1), -float(fmt.bias + fmt.fraction + 1)
    bounded = k.at_least(x, low)
    shifted = fn.fadd(bounded, k.num(fmt.magic))
    g = fn.fsub(bounded, fn.fsub(shifted, k.num(fmt.magic)))
    g2 = fn.fmul(g, g)
    q = k.poly(g, POW_EXP_F64 if wide else EXP2_F32, g2)
    # The low part of ln2 costs an operation and saves a sixteenth of an ulp.
    tail = k.fma(g, k.num(fmt.ln2[1]), fn.fmul(g2, q))
    y = fn.fadd(k.num(1.0), k.fma(g, k.num(fmt.ln2[0]), tail))
    # The largest float below `top` has a finite power.
    largest = top * (1.0 - 2.0 ** -(fmt.fraction + 1))
    return _scale(k, y, k.bits(shifted), x, (2.0 - fmt.bias, largest))


def exp_moderate(k: Lanes, x: Reg) -> Reg:
    """Return e^x where that is a normal number; anything for NaN."""
    fn, fmt = k.fn, k.fmt
    red = reduce(k, x)
    q = k.poly(red.r, EXP_F64 if fmt.bits == 64 else EXP_F32, red.r2)
    tail = k.fma(red.n, k.num(-fmt.ln2[1]), fn.fmul(red.r2, q))
    y = fn.fadd(k.num(1.0), fn.fadd(red.r_high, tail))
    return k.from_bits(fn.add(k.bits(y), k.exponent(red.shifted)))


def _expm1_sum(k: Lanes, red: Reduced, power: Reg) -> tuple[Reg, Reg, Reg]:
    """Return expm1 as (high, low), unnormalised, and power - 1 rounded.

    `power` is 2^n. high = power r + (power - 1); low is what that leaves out but
    for the rounding of power - 1.
    """
    fn = k.fn
    half, *rest = EXPM1_F64 if k.fmt.bits == 64 else EXPM1_F32
    q = k.poly(red.r, rest, red.r2)
    # What r lost when it was rounded, times exp(r) to first order.
    lost = k.fma(red.n, k.num(-k.fmt.ln2[1]), fn.fsub(red.r_high, red.r))
    lost = k.fma(lost, red.r, lost)
    # The square, the largest part of the low sum, comes in last and is rounded once.
    cube = k.fma(fn.fmul(red.r2, red.r), q, lost)
    base = fn.fsub(power, k.num(1.0))
    high = k.fma(power, red.r, base)
    error = k.fma(power, red.r, fn.fsub(base, high))
    low = k.fma(power, cube, error)
    return high, k.fma(power, fn.fmul(red.r2, k.num(half)), low), base


def expm1(fn: Function, x: Reg) -> Reg:
    """Return e^x - 1."""
    k = Lanes(fn, x.ty)
    fmt = k.fmt
    bounded = k.at_most(k.at_least(x, fmt.expm1_low), fmt.exp_high + 0.25)
    red = reduce(k, bounded)
    # 2^(bias + 1) is not representable: near the top half the power is used, then
    # the result doubled.
    top = fn.fcmp("ogt", x, k.num(fmt.exp_high - 0.75))
    n = fn.select(top, fn.sub(red.shifted, k.word(1)), red.shifted)
    power = k.from_bits(fn.add(k.exponent(n), k.word(fmt.one)))
    high, low, base = _expm1_sum(k, red, power)
    # power - 1 is rounded once power has more bits than the format.
    lost = fn.fsub(fn.fsub(power, base), k.num(1.0))
    y = fn.fadd(high, fn.fadd(low, lost))
    y = fn.select(top, fn.fadd(y, y), y)
    return fn.copysign(y, x)


def tanh(fn: Function, x: Reg) -> Reg:
    """Return the hyperbolic tangent of x."""
    k = Lanes(fn, x.ty)
    if k.fmt.bits == 32:
        return _tanh_f32(k, x)
    half = k.at_most(fn.fabs(x), k.fmt.tanh_high)
    red = reduce(k, fn.fadd(half, half))
    power = k.from_bits(fn.add(k.exponent(red.shifted), k.word(k.fmt.one)))
    high, low, _ = _expm1_sum(k, red, power)
    num, num_low = k.fast_two_sum(high, low)
    # The error of num + 2 is exact in this order also where num > 2: the integer 2 is
    # a multiple of the last place of the sum until the result is within an ulp of 1.
    den, den_low = k.fast_two_sum(k.num(2.0), num)
    den_low = fn.fadd(den_low, num_low)
    inverse = fn.fdiv(k.num(1.0), den)
    y = fn.fmul(num, inverse)
    rest = fn.fadd(k.fnma(y, den, num), k.fnma(y, den_low, num_low))
    return fn.copysign(k.fma(rest, inverse, y), x)


def _tanh_f32(k: Lanes, x: Reg) -> Reg:
    """Return tanh(x) as a - b/c: |x| - |x|^3/p(x^2) near 0, else 1 - 2/(exp(2|x|) + 1).

    What exp(2 |x|) is off by counts only 1/sinh(2 |x|) of it in the result, so where
    the first form ends a third and less: no low part is kept. exp(2r) has a factor that
    makes its last coefficient 1, which saves a multiplication.
    """
    fn, fmt = k.fn, k.fmt
    size = fn.fabs(x)
    z = fn.fmul(size, size)
    # |x| = n ln2/2 + r; the low bits of `shifted` are the exponent field of 2^n
    magic = k.num(fmt.magic + fmt.bias)
    bounded = k.at_most(size, fmt.tanh_high)
    shifted = k.fma(bounded, k.num(2.0 * fmt.inv_ln2[0]), magic)
    r = k.fma(fn.fsub(shifted, magic), k.num(-0.5 * fmt.ln2[0]), bounded)
    power = k.from_bits(k.exponent(k.bits(shifted)))
    *rest, last = TANH_EXP_F32
    acc = fn.fadd(r, k.num(last))
    for coefficient in reversed(rest):
        acc = k.fma(acc, r, k.num(coefficient))
    near = fn.fcmp("olt", size, k.num(_TANH_NEAR))
    factor = TANH_EXP_F32[0]
    a = fn.select(near, size, k.num(1.0))
    b = fn.select(near, fn.fmul(size, z), k.num(2.0 * factor))
    c = fn.select(near, k.poly(z, TANH_F32), k.fma(power, acc, k.num(factor)))
    return fn.copysign(fn.fsub(a, fn.fdiv(b, c)), x)
