"""lgamma and digamma.

For a = |x| beyond 15/2 the asymptotic series serve (Abramowitz and Stegun 6.1.41 and
6.3.18). Below, the recurrence moves a to an interval of length 1 where there is a
polynomial, with the zero of the function inside it split off. Where x is negative the
reflection formulas 6.1.17 and 6.3.7 follow, behind a branch that is rarely taken.
Results are sums of two floats until then, as the parts may cancel. f32 is computed in
f64 lanes.
"""

from collections.abc import Callable

from ..llvm import Function, Reg
from .lanes import Lanes
from .logarithm import log_pair
from .special_coefficients import (
    COT_PI,
    DIGAMMA_FAR,
    DIGAMMA_NEAR,
    GAMMA_FAR,
    GAMMA_NEAR,
    SIN_PI,
)

Pair = tuple[Reg, Reg]

_INF = float("inf")
_FAR = 7.5
_STEPS = 6  # from below _FAR to below 2
_HALF_LOG_TWO_PI = (0.9189385332046728, -3.8782941580672414e-17)
_LGAMMA_HIGH = 2.5599833278516383e305  # lgamma overflows above
_DIGAMMA_ROOT = (1.4616321449683622, 9.549995429965697e-17)


def lgamma(fn: Function, x: Reg) -> Reg:
    """Return the logarithm of |gamma(x)|."""
    return Lanes(fn, x.ty).through_f64(_lgamma, x)


def digamma(fn: Function, x: Reg) -> Reg:
    """Return the derivative of the logarithm of gamma(x)."""
    return Lanes(fn, x.ty).through_f64(_digamma, x)


def _reflected(
    k: Lanes, x: Reg, value: Pair, reflect: Callable[[Reg, Reg], Pair]
) -> Pair:
    """Return `value`, replaced where x < 0 by reflect(a, d) with a = |x|.

    d is a less the nearest integer. The code of `reflect` is jumped over where no lane
    needs it.
    """
    fn = k.fn
    negative = fn.fcmp("olt", x, k.num(0.0))
    before, rare, join = fn.block, fn.new_label("negative"), fn.new_label("reflected")
    fn.cond_br(fn.any_lane(negative), rare, join, likely=False)
    fn.start(rare)
    size = fn.fabs(x)
    made = reflect(size, fn.fsub(size, fn.rint(size)))
    made = (
        fn.select(negative, made[0], value[0]),
        fn.select(negative, made[1], value[1]),
    )
    end = fn.block
    fn.br(join)
    fn.start(join)
    return (
        fn.merge(k.ty, ((value[0], before), (made[0], end))),
        fn.merge(k.ty, ((value[1], before), (made[1], end))),
    )


def _pole(k: Lanes, x: Reg) -> Reg:
    """Return the mask of 0 and of the negative integers."""
    fn = k.fn
    whole = fn.fcmp("oeq", fn.rint(x), x)
    return fn.and_(whole, fn.fcmp("ole", x, k.num(0.0)))


def _lgamma(k: Lanes, x: Reg) -> Reg:
    fn = k.fn
    zero, one, size = k.num(0.0), k.num(1.0), fn.fabs(x)
    far = fn.fcmp("oge", size, k.num(_FAR))
    # lgamma(a) = lgamma(2 + w) +- log(product)
    y, product = size, one
    for _ in range(_STEPS - 1):
        above = fn.fcmp("ogt", y, k.num(2.5))
        y = fn.select(above, fn.fsub(y, one), y)
        product = fn.select(above, fn.fmul(product, y), product)
    w = fn.fsub(y, k.num(2.0))
    low, lowest = fn.fcmp("olt", size, k.num(1.5)), fn.fcmp("olt", size, k.num(0.5))
    w = fn.select(lowest, size, fn.select(low, fn.fsub(size, one), w))
    both = k.fma(size, size, size)
    product = fn.select(lowest, both, fn.select(low, size, product))
    product_low = k.fma(size, size, fn.fsub(size, both))
    product_low = fn.select(lowest, product_low, zero)
    log, log_low = log_pair(
        k, fn.select(far, size, product), fn.select(far, zero, product_low)
    )
    near = _lgamma_near(k, w)
    sign = fn.select(low, k.num(-1.0), one)
    high, error = k.two_sum(fn.fmul(sign, log), near[0])
    low_part = fn.fadd(k.fma(sign, log_low, error), near[1])
    # (a - 1/2) log(a) - a + log(2 pi)/2 + s(a)/a, beginning with a (log(a) - 1)
    main, main_low = k.two_prod(size, fn.fsub(log, one))
    inverse = fn.fdiv(one, size)
    z = fn.fmul(inverse, inverse)
    rest = k.fma(size, log_low, main_low)
    rest = k.fma(inverse, k.poly(z, GAMMA_FAR), rest)
    rest = fn.fadd(k.fma(log, k.num(-0.5), k.num(_HALF_LOG_TWO_PI[0])), rest)
    value = fn.select(far, main, high), fn.select(far, rest, low_part)

    def reflect(a: Reg, d: Reg) -> Pair:
        # lgamma(-a) = -log(a |sin(pi a)| / pi) - lgamma(a)
        z = fn.fmul(d, d)
        ratio = k.fnma(z, k.poly(z, SIN_PI, fn.fmul(z, z)), one)
        m, m_low = k.two_prod(a, fn.fabs(d))
        u, u_low = k.two_prod(m, ratio)
        log, log_low = log_pair(k, u, k.fma(m_low, ratio, u_low))
        high, error = k.two_sum(log, value[0])
        # Near 0 the two sides are the same, and a d may underflow.
        tiny = fn.fcmp("olt", a, k.num(2.0**-100))
        rest = fn.fadd(error, fn.fadd(log_low, value[1]))
        return (
            fn.select(tiny, value[0], fn.fneg(high)),
            fn.select(tiny, value[1], fn.fneg(rest)),
        )

    result = fn.fadd(*_reflected(k, x, value, reflect))
    endless = fn.or_(_pole(k, x), fn.fcmp("ogt", size, k.num(_LGAMMA_HIGH)))
    return k.nan_like(fn.select(endless, k.num(_INF), result), x)


def _lgamma_near(k: Lanes, w: Reg) -> Pair:
    """Return lgamma(2 + w) for |w| <= 1/2."""
    fn = k.fn
    first, *others = GAMMA_NEAR
    q = k.poly(w, others, fn.fmul(w, w))
    high = k.fma(w, q, k.num(first))
    low = k.fma(w, q, fn.fsub(k.num(first), high))
    value, value_low = k.two_prod(w, high)
    return value, k.fma(w, low, value_low)


def _reciprocals(k: Lanes, size: Reg, far: Reg) -> tuple[Reg, Reg, Reg]:
    """Return y in [1, 2) and what digamma(y) lacks to digamma(size), as a pair.

    It is 1/(size - 1) + ... + 1/y as one quotient, whose parts are carried as pairs, or
    -1/size below 1. Where `far` holds it is 1/size, and y is nothing.
    """
    fn = k.fn
    zero, one = k.num(0.0), k.num(1.0)
    y, num, num_low, den, den_low = size, zero, zero, one, zero
    for _ in range(_STEPS):
        above = fn.fcmp("oge", y, k.num(2.0))
        less = fn.fsub(y, one)
        product, product_low = k.two_prod(num, less)
        more, error = k.two_sum(product, den)
        error = fn.fadd(fn.fadd(error, product_low), k.fma(num_low, less, den_low))
        scaled, scaled_low = k.two_prod(den, less)
        scaled_low = k.fma(den_low, less, scaled_low)
        y = fn.select(above, less, y)
        num, num_low = fn.select(above, more, num), fn.select(above, error, num_low)
        den, den_low = (
            fn.select(above, scaled, den),
            fn.select(above, scaled_low, den_low),
        )
    low = fn.fcmp("olt", size, one)
    outside = fn.or_(low, far)
    num = fn.select(far, one, fn.select(low, k.num(-1.0), num))
    den = fn.select(outside, size, den)
    num_low, den_low = (fn.select(outside, zero, v) for v in (num_low, den_low))
    inverse = fn.fdiv(one, den)
    quotient = fn.fmul(num, inverse)
    rest = fn.fadd(k.fnma(quotient, den, num), k.fnma(quotient, den_low, num_low))
    y = fn.select(low, fn.fadd(size, one), y)
    return y, quotient, fn.fmul(rest, inverse)


def _digamma(k: Lanes, x: Reg) -> Reg:
    fn = k.fn
    zero, one, size = k.num(0.0), k.num(1.0), fn.fabs(x)
    far = fn.fcmp("oge", size, k.num(_FAR))
    y, quotient, quotient_low = _reciprocals(k, size, far)
    low = fn.fcmp("olt", size, one)
    root, root_low = (k.num(part) for part in _DIGAMMA_ROOT)
    distance = fn.fsub(fn.fsub(y, root), root_low)
    w = fn.fsub(y, k.num(1.5))
    near = fn.fmul(distance, k.poly(w, DIGAMMA_NEAR, fn.fmul(w, w)))
    high, error = k.two_sum(near, quotient)
    # Where the quotient is infinite its error is no number.
    error = fn.fadd(error, quotient_low)
    error = fn.select(fn.fcmp("olt", fn.fabs(high), k.num(_INF)), error, zero)
    # log(a) - 1/(2a) - z t(z), where quotient is 1/a
    log, log_low = log_pair(k, fn.select(far, size, one), zero)
    z = fn.fmul(quotient, quotient)
    rest = k.fma(quotient, k.num(-0.5), k.fnma(z, k.poly(z, DIGAMMA_FAR), log_low))
    value = fn.select(far, log, high), fn.select(far, rest, error)

    def reflect(a: Reg, d: Reg) -> Pair:
        # digamma(-a) = digamma(a) + 1/a + pi cot(pi a); below 1, of digamma(1 + a)
        high, error = k.two_sum(value[0], fn.fdiv(one, a))
        base = fn.select(low, near, high)
        base_low = fn.select(low, zero, fn.fadd(error, value[1]))
        z = fn.fmul(d, d)
        cot = fn.fdiv(one, d)
        cot_low = fn.fmul(k.fnma(cot, d, one), cot)
        cot_low = k.fnma(d, k.poly(z, COT_PI, fn.fmul(z, z)), cot_low)
        high, error = k.two_sum(cot, base)
        # Beside a pole nothing but the pole counts, and the errors are no numbers.
        beside = fn.fcmp("ogt", fn.fabs(cot), k.num(2.0**1000))
        rest = fn.fadd(error, fn.fadd(base_low, cot_low))
        return fn.select(beside, cot, high), fn.select(beside, zero, rest)

    result = fn.fadd(*_reflected(k, x, value, reflect))
    result = fn.select(fn.fcmp("oeq", size, k.num(_INF)), x, result)
    at_zero = fn.copysign(k.num(_INF), fn.fneg(x))
    pole = fn.select(fn.fcmp("oeq", x, zero), at_zero, k.num(float("nan")))
    result = fn.select(_pole(k, x), pole, result)
    return k.nan_like(result, x)
