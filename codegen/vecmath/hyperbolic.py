"""sinh, cosh and their inverses, and the inverse of tanh.

With x = n ln2 + r as for exp, a = (2^n - 2^-n)/2 and b = (2^n + 2^-n)/2:

    sinh(x) = a cosh(r) + b sinh(r)
    cosh(x) = b cosh(r) + a sinh(r)

without a division. The inverses are logarithms of a sum of two floats u + c, which also
where it is near 1 has all the digits of u + c - 1; below `_TINY` they are x.
"""

from ..llvm import Function, Reg
from .exponential import reduce
from .lanes import Lanes
from .logarithm import log_of_sum, special
from .special_coefficients import COSH_F32, COSH_F64, SINH_F32, SINH_F64

_TINY = {64: 2.0**-28, 32: 2.0**-12}
# From here on x^2 + 1 and x^2 - 1 are x^2.
_LARGE = {64: 2.0**30, 32: 2.0**14}
# The exponent is lowered by so much near overflow, and a multiplication raises it.
_LOWER = 8


def _combine(k: Lanes, x: Reg, odd: bool) -> Reg:
    """Return sinh(|x|) if `odd`, else cosh(x)."""
    fn, fmt = k.fn, k.fmt
    wide = fmt.bits == 64
    size = k.at_most(fn.fabs(x), fmt.exp_high + 2.0)
    red = reduce(k, size)
    top = fn.fcmp("ogt", size, k.num(fmt.exp_high - 10.0))
    n = fn.select(top, fn.sub(red.shifted, k.word(_LOWER)), red.shifted)
    half = k.word(fmt.one - (1 << fmt.fraction))
    up = k.from_bits(fn.add(half, k.exponent(n)))
    down = k.from_bits(fn.sub(half, k.exponent(n)))
    a, b = fn.fsub(up, down), fn.fadd(up, down)
    a_low = fn.fsub(fn.fsub(up, a), down)
    b_low = fn.fadd(fn.fsub(up, b), down)
    p, p_low, q, q_low = (a, a_low, b, b_low) if odd else (b, b_low, a, a_low)
    # cosh(r) = 1 + even, sinh(r) = r + rest; what r lost goes to both.
    z = red.r2
    lost = k.fma(red.n, k.num(-fmt.ln2[1]), fn.fsub(red.r_high, red.r))
    even = k.fma(z, k.poly(z, COSH_F64 if wide else COSH_F32), k.num(0.5))
    even = k.fma(lost, red.r, fn.fmul(z, even))
    series = k.poly(z, SINH_F64 if wide else SINH_F32, fn.fmul(z, z))
    rest = k.fma(fn.fmul(z, red.r), series, lost)
    # p is 0 or above q r.
    high = k.fma(q, red.r, p)
    low = k.fma(q, red.r, fn.fsub(p, high))
    low = fn.fadd(low, k.fma(q_low, red.r, p_low))
    low = k.fma(p, even, k.fma(q, rest, low))
    y = fn.fadd(high, low)
    return fn.fmul(y, fn.select(top, k.num(2.0**_LOWER), k.num(1.0)))


def sinh(fn: Function, x: Reg) -> Reg:
    """Return the hyperbolic sine of x."""
    return fn.copysign(_combine(Lanes(fn, x.ty), x, True), x)


def cosh(fn: Function, x: Reg) -> Reg:
    """Return the hyperbolic cosine of x."""
    return _combine(Lanes(fn, x.ty), x, False)


def _root_rest(k: Lanes, square: Reg, low: Reg, root: Reg) -> Reg:
    """Return sqrt(square + low) - root, where root is sqrt(square) rounded."""
    fn = k.fn
    rest = fn.fadd(k.fnma(root, root, square), low)
    # 0 over 0 is 0 here.
    return fn.fdiv(rest, k.at_least(fn.fadd(root, root), k.fmt.smallest_normal))


def asinh(fn: Function, x: Reg) -> Reg:
    """Return the inverse hyperbolic sine of x."""
    return fn.copysign(Lanes(fn, x.ty).through_f64(_asinh, x), x)


def _asinh(k: Lanes, x: Reg) -> Reg:
    fn = k.fn
    size = fn.fabs(x)
    large = fn.fcmp("ogt", size, k.num(_LARGE[k.fmt.bits]))
    # u + c = |x| + sqrt(x^2 + 1), or |x| alone, to be doubled
    moderate = fn.select(large, k.num(1.0), size)
    square, low = k.two_prod(moderate, moderate)
    more, error = k.two_sum(square, k.num(1.0))
    root = fn.sqrt(more)
    u, c = k.fast_two_sum(root, moderate)
    c = fn.fadd(c, _root_rest(k, more, fn.fadd(error, low), root))
    u, c = fn.select(large, size, u), fn.select(large, k.num(0.0), c)
    y = special(k, log_of_sum(k, u, c, large), u)
    return fn.select(fn.fcmp("olt", size, k.num(_TINY[k.fmt.bits])), size, y)


def acosh(fn: Function, x: Reg) -> Reg:
    """Return the inverse hyperbolic cosine of x, which is not negative."""
    return Lanes(fn, x.ty).through_f64(_acosh, x)


def _acosh(k: Lanes, x: Reg) -> Reg:
    fn = k.fn
    one = k.num(1.0)
    large = fn.fcmp("ogt", x, k.num(_LARGE[k.fmt.bits]))
    # u + c = x + sqrt(x^2 - 1), or x alone, to be doubled
    moderate = fn.select(large, one, x)
    square, low = k.two_prod(moderate, moderate)
    less, error = k.two_sum(square, fn.fneg(one))
    less, error = k.fast_two_sum(less, fn.fadd(error, low))
    root = fn.sqrt(less)
    u, c = k.fast_two_sum(moderate, root)
    c = fn.fadd(c, _root_rest(k, less, error, root))
    u, c = fn.select(large, x, u), fn.select(large, k.num(0.0), c)
    y = special(k, log_of_sum(k, u, c, large), u)
    return fn.select(fn.fcmp("olt", x, one), k.num(float("nan")), y)


def atanh(fn: Function, x: Reg) -> Reg:
    """Return the inverse hyperbolic tangent of x."""
    return fn.copysign(Lanes(fn, x.ty).through_f64(_atanh, x), x)


def _atanh(k: Lanes, x: Reg) -> Reg:
    fn = k.fn
    one, size = k.num(1.0), fn.fabs(x)
    # u + c = (1 + |x|) / (1 - |x|)
    num, num_low = k.fast_two_sum(one, size)
    den, den_low = k.fast_two_sum(one, fn.fneg(size))
    inverse = fn.fdiv(one, den)
    u = fn.fmul(num, inverse)
    rest = fn.fadd(k.fnma(u, den, num), k.fnma(u, den_low, num_low))
    y = special(k, log_of_sum(k, u, fn.fmul(rest, inverse)), u)
    y = fn.fmul(y, k.num(0.5))
    return fn.select(fn.fcmp("olt", size, k.num(_TINY[k.fmt.bits])), size, y)
