"""x to the power y.

|x|^y = 2^(y log2|x|). In f64 the logarithm carries about 68 bits as a sum of two
floats: s = f / (2 + f) and the first two terms of its series are double-double, the
rest is a polynomial. f32 is computed in f64 lanes, where a plain logarithm serves.
The special cases are those of C99 Annex F.9.4.4.
"""

from ..llvm import F64, Function, Reg, elem_of
from .coefficients import POW_EXP_F32, POW_EXP_F64, POW_LOG_F32, POW_LOG_F64
from .lanes import Lanes
from .logarithm import split_any

_INF = float("inf")
_TWO_OVER_LN2 = (2.8853900817779268, 4.0710547481862066e-17)
_TWO_THIRDS_OVER_LN2 = (0.9617966939259756, 5.0577616648125907e-17)
# Beyond this power of two the result overflows or rounds to zero.
_FAR = 1100.0


def pow(fn: Function, x: Reg, y: Reg) -> Reg:
    """Return x to the power y."""
    if elem_of(x.ty) == F64:
        return _power(Lanes(fn, x.ty), x, y, long=True)
    k = Lanes(fn, x.ty).like(F64)
    base, exponent = (fn.convert("fpext", v, k.ty) for v in (x, y))
    return fn.convert("fptrunc", _power(k, base, exponent, long=False), x.ty)


def _power(k: Lanes, x: Reg, y: Reg, long: bool) -> Reg:
    """Return x^y in f64 lanes; `long` for all of its digits, else those of f32."""
    fn = k.fn
    size = fn.fabs(x)
    high, low = _log2_long(k, size) if long else _log2_short(k, size)
    # log2 of 0, of infinity and of NaN.
    high = fn.select(fn.fcmp("oeq", size, k.num(0.0)), k.num(-_INF), high)
    high = fn.select(fn.fcmp("uge", size, k.num(_INF)), size, high)
    w, w_low = k.two_prod(y, high)
    if low is not None:
        w_low = k.fma(y, low, w_low)
    result = _exp2(k, w, w_low, long)
    near = fn.fcmp("olt", fn.fabs(w), k.num(_FAR))
    far = fn.fmul(w, k.num(k.fmt.largest))
    far = fn.select(fn.fcmp("olt", w, k.num(0.0)), k.num(0.0), far)
    return _signed(k, fn.select(near, result, far), x, y, size)


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


def _log2_short(k: Lanes, x: Reg) -> tuple[Reg, None]:
    """Return log2(x) of a widened f32 with a relative error near 2^-44."""
    fn = k.fn
    power, m = split_any(k, x)
    one = k.num(1.0)
    s = fn.fdiv(fn.fsub(m, one), fn.fadd(m, one))
    z = fn.fmul(s, s)
    tail = fn.fmul(z, k.poly(z, POW_LOG_F32))
    v = fn.fadd(k.num(_TWO_OVER_LN2[0]), tail)
    return k.fma(s, v, power), None


def _exp2(k: Lanes, w: Reg, w_low: Reg, long: bool) -> Reg:
    """Return 2^(w + w_low), for |w| below `_FAR`."""
    fn, fmt = k.fn, k.fmt
    shifted = fn.fadd(w, k.num(fmt.magic))
    n = fn.fsub(shifted, k.num(fmt.magic))
    g = fn.fadd(fn.fsub(w, n), w_low)
    g2 = fn.fmul(g, g)
    q = k.poly(g, POW_EXP_F64 if long else POW_EXP_F32, g2)
    p = k.fma(g, k.num(fmt.ln2[0]), fn.fmul(g2, q))
    y = k.bits(fn.fadd(k.num(1.0), p))
    # The exponent is brought inside the normal range, and a multiplication, which
    # overflows, rounds or underflows as it must, takes the result where it belongs.
    low = fn.fcmp("olt", w, k.num(0.0))
    shift = fn.select(low, k.int(128 << fmt.fraction), k.int(-128 << fmt.fraction))
    factor = fn.select(low, k.num(2.0**-128), k.num(2.0**128))
    scaled = fn.add(fn.add(y, shift), k.exponent(k.bits(shifted)))
    return fn.fmul(k.float(scaled), factor)


def _is_integer(k: Lanes, size: Reg) -> Reg:
    """Return the mask of integers among values that are not negative."""
    fn = k.fn
    unit = k.num(2.0**52)
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
    sign = fn.and_(k.bits(x), k.int(k.fmt.sign))
    sign = fn.select(odd, sign, k.int(0))
    result = k.float(fn.xor(k.bits(power), sign))
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
