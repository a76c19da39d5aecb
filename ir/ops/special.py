"""Error functions and the family of the gamma function."""

import math
import operator
from typing import Any

from ..builder import Builder
from ..graph import Value
from ..primitive import Cost, Domain, Sample
from ..promote import Operand, common_dtype, lift, op_error
from . import special_reference as reference
from .factory import accept_float, elementwise

SLOW = Cost.TRANSCENDENTAL
TWO_OVER_ROOT_PI = 2.0 / math.sqrt(math.pi)
BESIDE_POLES = Domain(0.3, 6.0)
AT_POLES = (
    "At 0 and the negative integers the cotangent is not finite, or 0 where the "
    "cotangent of the result is 0."
)


def _gauss(b: Builder, x: Value, factor: float) -> Value:
    return b.mul(b.exp(b.neg(b.square(x))), factor)  # type: ignore[no-any-return]


erf = elementwise(
    "erf",
    accept=accept_float("erf", 1),
    evaluate=reference.erf,
    scalar=lambda s, x: s.erf(x),
    partials=lambda b, y, x: (_gauss(b, x, TWO_OVER_ROOT_PI),),
    cost=SLOW,
    doc="Error function.",
)
erfc = elementwise(
    "erfc",
    accept=accept_float("erfc", 1),
    evaluate=reference.erfc,
    scalar=lambda s, x: s.erfc(x),
    partials=lambda b, y, x: (_gauss(b, x, -TWO_OVER_ROOT_PI),),
    cost=SLOW,
    doc="1 - erf(x), with all its digits where that is tiny.",
)
gammaln = elementwise(
    "gammaln",
    tf_name="lgamma",
    accept=accept_float("gammaln", 1),
    evaluate=reference.lgamma,
    scalar=lambda s, x: s.lgamma(x),
    partials=lambda b, y, x: (b.digamma(x),),
    singular=True,
    cost=SLOW,
    domain=BESIDE_POLES,
    kinks=AT_POLES,
    doc="Logarithm of the absolute value of the gamma function.",
)
digamma = elementwise(
    "digamma",
    accept=accept_float("digamma", 1),
    evaluate=reference.digamma,
    scalar=lambda s, x: s.digamma(x),
    partials=lambda b, y, x: (b.polygamma(x, n=1),),
    singular=True,
    cost=SLOW,
    domain=BESIDE_POLES,
    kinks=AT_POLES,
    doc="Derivative of gammaln.",
)


def _polygamma_accept(
    b: Builder, n: Any, x: Operand
) -> tuple[tuple[Value, ...], dict[str, Any]]:
    try:
        order = operator.index(n)
    except TypeError:
        raise op_error(
            b, "polygamma", f"order {n!r} is not a Python integer", [x]
        ) from None
    if order < 1:
        raise op_error(b, "polygamma", f"order {order} is not 1 or more", [x])
    dtype = common_dtype(b, "polygamma", [x, 0.0])
    return lift(b, "polygamma", [dtype], [x]), {"n": order}


# Bernoulli numbers B2, B4, ...
_BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510)


def _integer_power(s: Any, x: Any, n: int) -> Any:
    out, base = None, x
    while n:
        if n & 1:
            out = base if out is None else s.mul(out, base)
        n >>= 1
        if n:
            base = s.square(base)
    return out


def _zeta_body(s: Any, x: Any, order: int) -> Any:
    """Return the sum of (x + k)^-order over k >= 0, for x > 0.

    Terms one by one, then the rest of the sum by Euler and Maclaurin.
    """
    shift = 8 + order
    total = s.lit(0.0, x)
    for k in range(shift):
        moved = s.add(x, s.lit(float(k), x)) if k else x
        total = s.add(s.recip(_integer_power(s, moved, order)), total)
    inverse = s.recip(s.add(x, s.lit(float(shift), x)))
    z = s.square(inverse)
    coefs, factor = [], order / 2.0
    for k, bernoulli in enumerate(_BERNOULLI, 1):
        coefs.append(bernoulli * factor)
        factor *= (order + 2 * k - 1) * (order + 2 * k) / ((2 * k + 1) * (2 * k + 2))
    series = s.lit(coefs[-1], x)
    for c in coefs[-2::-1]:
        series = s.fma(series, z, s.lit(c, x))
    series = s.fma(s.fma(series, inverse, s.lit(0.5, x)), inverse,
                   s.lit(1.0 / (order - 1), x))  # fmt: skip
    return s.fma(series, _integer_power(s, inverse, order - 1), total)


def _polygamma_body(s: Any, x: Any, *, n: int) -> Any:
    one, zero = s.lit(1.0, x), s.lit(0.0, x)
    negative = s.le(x, zero)
    size = s.select(negative, s.sub(one, x), x)
    sign = 1.0 if n % 2 else -1.0
    made = s.mul(_zeta_body(s, size, n + 1), s.lit(sign * math.factorial(n), x))
    # reflection: the n-th derivative of pi cot(pi x), a polynomial in the cotangent
    sine, cosine = s.sincos(s.mul(s.sub(x, s.rint(x)), s.lit(math.pi, x)))
    cot = s.div(cosine, sine)
    first, *rest = reversed(reference.cot_derivative(n))
    turned = s.lit(float(first), x)  # 0 times the cotangent would be NaN at a pole
    for c in rest:
        turned = s.fma(turned, cot, s.lit(float(c), x))
    turned = s.mul(turned, s.lit(math.pi ** (n + 1), x))
    mirrored = s.sub(s.neg(made) if n % 2 else made, turned)
    return s.select(negative, mirrored, made)


polygamma = elementwise(
    "polygamma",
    accept=_polygamma_accept,
    evaluate=reference.polygamma,
    scalar=_polygamma_body,
    partials=lambda b, y, x, *, n: (b.polygamma(x, n=n + 1),),
    singular=True,
    cost=SLOW,
    domain=BESIDE_POLES,
    kinks=AT_POLES,
    samples=tuple(Sample(((None,),), {"n": n}) for n in (1, 2, 3)),
    doc="Derivative of digamma of an order known when traced, 1 or more.",
)
