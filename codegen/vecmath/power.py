"""x to the power y.

|x|^y = 2^(y log2|x|). In f64 the logarithm carries about 68 bits as a sum of two
floats: s = f / (2 + f) and the first two terms of its series are double-double, the
rest is a polynomial. f32 is computed in f64 lanes, where a plain logarithm serves.
The special cases are those of C99 Annex F.9.4.4.
"""

from ..llvm import F64, Function, Reg, elem_of
from .coefficients import POW_EXP_F32, POW_EXP_F64, POW_LOG_F32, POW_LOG_F64
from .lanes import Lanes
from .logarithm import split, split_any

_INF = float("inf")
_TWO_OVER_LN2 = (2.8853900817779268, 4.0710547481862066e-17)
_TWO_THIRDS_OVER_LN2 = (0.9617966939259756, 5.0577616648125907e-17)
# Beyond this power of two the result overflows or rounds to zero.
_FAR = 1100.0
_FAR_F32 = 1000.0


def pow(fn: Function, x: Reg, y: Reg) -> Reg:
    """Return x to the power y."""
    k = Lanes(fn, x.ty)
    size = fn.fabs(x)
    power = _power_f64 if elem_of(x.ty) == F64 else _power_f32
    return _signed(k, power(k, size, y), x, y, size)


def _at_ends(k: Lanes, log: Reg, size: Reg) -> Reg:
    """Return log2(size) right also at 0, at infinity and for NaN."""
    fn = k.fn
    log = fn.select(fn.fcmp("oeq", size, k.num(0.0)), k.num(-_INF), log)
    return fn.select(fn.fcmp("uge", size, k.num(_INF)), size, log)


def _power_f64(k: Lanes, size: Reg, y: Reg) -> Reg:
    """Return size^y for size >= 0, but for the cases of `_signed`."""
    fn, fmt = k.fn, k.fmt
    high, low = _log2_long(k, size)
    high = _at_ends(k, high, size)
    w, w_low = k.two_prod(y, high)
    n, p = _exp2(k, w, k.fma(y, low, w_low), POW_EXP_F64)
    # The exponent is brought inside the normal range, and a multiplication, which
    # overflows, rounds or underflows as it must, takes the result where it belongs.
    below = fn.fcmp("olt", w, k.num(0.0))
    shift = fn.select(below, k.word(128 << fmt.fraction), k.word(-128 << fmt.fraction))
    factor = fn.select(below, k.num(2.0**-128), k.num(2.0**128))
    scaled = fn.add(fn.add(k.bits(p), shift), k.exponent(n))
    result = fn.fmul(k.from_bits(scaled), factor)
    # 2^w where it is 0, infinity or NaN.
    near = fn.fcmp("olt", fn.fabs(w), k.num(_FAR))
    far = fn.select(below, k.num(0.0), fn.fadd(w, k.num(_INF)))
    return fn.select(near, result, far)


def _power_f32(k: Lanes, size: Reg, y: Reg) -> Reg:
    """Return size^y for size >= 0, but for the cases of `_signed`."""
    fn = k.fn
    wide = k.like(F64)
    x, exponent = (fn.convert("fpext", v, wide.ty) for v in (size, y))
    w = fn.fmul(exponent, _at_ends(wide, _log2_short(wide, x), x))
    # Far from what f32 can hold, and not beyond what f64 can.
    w = wide.at_most(wide.at_least(w, -_FAR_F32), _FAR_F32)
    n, p = _exp2(wide, w, None, POW_EXP_F32)
    scale = wide.from_bits(fn.add(wide.exponent(n), wide.word(wide.fmt.one)))
    return fn.convert("fptrunc", fn.fmul(p, scale), k.ty)


def _log2_long(k: Lanes, x: Reg) -> tuple[Reg, Reg]:
    """Return log2(x) as two floats with a relative error near 2^-67."""
    fn = k.fn
    power, m = split_any(k, x)
    one = k.num(1.0)
    f = fn.fsub(m, one)
    den = fn.fadd(m, one)
    den_low = fn.fsub(m, fn.fsub(den, one))
    inverse = fn.fdiv(one, den)
    s = fn.fmul(f, inverse)
    s_low = fn.fmul(inverse, k.fnma(s, den_low, k.fnma(s, den, f)))
    z, z_low = k.two_prod(s, s)
    z_low = k.fma(fn.fadd(s, s), s_low, z_low)
    tail = fn.fmul(z, k.poly(z, POW_LOG_F64, fn.fmul(z, z)))
    a, a_low = k.fast_two_sum(k.num(_TWO_THIRDS_OVER_LN2[0]), tail)
    a_low = fn.fadd(a_low, k.num(_TWO_THIRDS_OVER_LN2[1]))
    u, u_low = k.two_prod(z, a)
    u_low = k.fma(z_low, a, k.fma(z, a_low, u_low))
    v, v_low = k.fast_two_sum(k.num(_TWO_OVER_LN2[0]), u)
    v_low = fn.fadd(v_low, fn.fadd(u_low, k.num(_TWO_OVER_LN2[1])))
    log, log_low = k.two_prod(s, v)
    log_low = k.fma(s_low, v, k.fma(s, v_low, log_low))
    high, error = k.fast_two_sum(power, log)
    return high, fn.fadd(error, log_low)


def _log2_short(k: Lanes, x: Reg) -> Reg:
    """Return log2(x) of a widened f32, never subnormal, with an error near 2^-44."""
    fn = k.fn
    power, _, m = split(k, x, k.num(k.fmt.magic))
    one = k.num(1.0)
    s = fn.fdiv(fn.fsub(m, one), fn.fadd(m, one))
    z = fn.fmul(s, s)
    v = k.fma(z, k.poly(z, POW_LOG_F32), k.num(_TWO_OVER_LN2[0]))
    return k.fma(s, v, power)


def _exp2(
    k: Lanes, w: Reg, w_low: Reg | None, coefs: tuple[float, ...]
) -> tuple[Reg, Reg]:
    """Return n, whose low bits count, and p with 2^(w + w_low) = 2^n p."""
    fn, fmt = k.fn, k.fmt
    shifted = fn.fadd(w, k.num(fmt.magic))
    g = fn.fsub(w, fn.fsub(shifted, k.num(fmt.magic)))
    if w_low is not None:
        g = fn.fadd(g, w_low)
    g2 = fn.fmul(g, g)
    p = k.fma(g, k.num(fmt.ln2[0]), fn.fmul(g2, k.poly(g, coefs, g2)))
    return k.bits(shifted), fn.fadd(k.num(1.0), p)


def _is_integer(k: Lanes, size: Reg) -> Reg:
    """Return the mask of integers among values that are not negative."""
    fn = k.fn
    unit = k.num(2.0**k.fmt.fraction)
    whole = fn.fsub(fn.fadd(size, unit), unit)
    return fn.or_(fn.fcmp("oeq", whole, size), fn.fcmp("oge", size, unit))


def _signed(k: Lanes, power: Reg, x: Reg, y: Reg, size: Reg) -> Reg:
    """Put the sign and the special cases on |x|^y."""
    fn = k.fn
    one, inf = k.num(1.0), k.num(_INF)
    y_size = fn.fabs(y)
    whole = _is_integer(k, y_size)
    even = _is_integer(k, fn.fmul(y_size, k.num(0.5)))
    odd = fn.and_(whole, fn.not_(even))
    sign = fn.and_(k.bits(x), k.word(k.fmt.sign))
    sign = fn.select(odd, sign, k.word(0))
    result = k.from_bits(fn.xor(k.bits(power), sign))
    # A negative finite base has no real power that is not an integer.
    negative = fn.and_(fn.fcmp("olt", x, k.num(0.0)), fn.fcmp("olt", size, inf))
    undefined = fn.and_(negative, fn.not_(whole))
    undefined = fn.or_(undefined, fn.fcmp("uno", y, y))
    result = fn.select(undefined, k.num(float("nan")), result)
    # 1 to any power, anything to the power 0, and -1 to an infinite power.
    unit = fn.and_(fn.fcmp("oeq", size, one), fn.fcmp("oeq", y_size, inf))
    unit = fn.or_(unit, fn.fcmp("oeq", x, one))
    unit = fn.or_(unit, fn.fcmp("oeq", y, k.num(0.0)))
    return fn.select(unit, one, result)
