"""References of the special functions, by series in NumPy's widest float.

Nothing here knows of records. The formulas are not those of codegen: what they agree on
is neither's mistake.
"""

import math
from functools import cache
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
Wide = np.longdouble

_SHIFT = 24  # the asymptotic series serve from here on
_PI = Wide("3.14159265358979323846264338327950288")
_EULER = Wide("0.57721566490153286060651209008240243")
# the zero of digamma, as a sum
_ROOT = (Wide(1.4616321449683622), Wide("9.549995429965697715184199e-17"))
_HALF_LOG_TWO_PI = Wide("0.91893853320467274178032973640561764")
# Bernoulli numbers B2, B4, ... as (numerator, denominator)
_BERNOULLI = (
    (1, 6), (-1, 30), (1, 42), (-1, 30), (5, 66), (-691, 2730), (7, 6), (-3617, 510),
    (43867, 798), (-174611, 330),
)  # fmt: skip


def _bernoulli(k: int) -> Any:  # Any: a scalar of the widest float
    over, under = _BERNOULLI[k - 1]
    return Wide(over) / Wide(under)


def _each(scalar: Any, x: Any) -> Array:
    """Apply a function of Python floats; the dtype stays."""
    x = np.asarray(x)
    made = [scalar(v) for v in x.astype(np.float64).ravel().tolist()]
    return np.array(made, np.float64).reshape(x.shape).astype(x.dtype)


def erf(x: Any) -> Array:
    """Return the error function."""
    return _each(math.erf, x)


def erfc(x: Any) -> Array:
    """Return 1 - erf(x)."""
    return _each(math.erfc, x)


def _hurwitz(s: int, x: Array) -> Array:
    """Return the sum of (x + k)^-s over k >= 0, for x > 0, by Euler and Maclaurin."""
    total = np.zeros_like(x)
    for k in range(_SHIFT):
        total = total + (x + k) ** -Wide(s)
    far = x + _SHIFT
    tail = far ** Wide(1 - s) / (s - 1) + far ** -Wide(s) / 2
    factor = Wide(s) / 2  # s (s + 1) ... (s + 2k - 2) / (2k)!
    for k in range(1, len(_BERNOULLI) + 1):
        tail = tail + _bernoulli(k) * factor * far ** -Wide(s + 2 * k - 1)
        factor = factor * (s + 2 * k - 1) * (s + 2 * k)
        factor = factor / ((2 * k + 1) * (2 * k + 2))
    return total + tail


@cache
def _zeta_less_one(k: int) -> Any:  # Any: a scalar of the widest float
    return _hurwitz(k, np.array(2, Wide))[()]


def _split(x: Any) -> tuple[Array, Array, Array]:
    """Return x in the widest float, where it is negative, and x less its integer."""
    wide = np.asarray(x).astype(Wide)
    return wide, wide <= 0, wide - np.rint(wide)


def lgamma(x: Any) -> Array:
    """Return the logarithm of |gamma(x)|."""
    dtype = np.asarray(x).dtype
    with np.errstate(all="ignore"):
        wide, negative, rest = _split(x)
        made = _lgamma_positive(np.abs(wide))
        mirrored = -np.log(np.abs(wide * np.sin(_PI * rest) / _PI)) - made
        made = np.where(negative, mirrored, made)
        pole = negative & ((rest == 0) | np.isinf(wide))
        made = np.where(pole | (wide == np.inf), np.inf, made)
        return np.asarray(made).astype(dtype)


def _lgamma_positive(x: Array) -> Array:
    # near the zeros at 1 and 2 by the series around 2, elsewhere by Stirling's
    low = x < 1.5
    w = np.where(low, x - 1, x - 2)
    w = np.where(np.abs(w) <= 0.5, w, 0)
    near = (1 - _EULER) * w
    for k in range(2, 36):
        near = near + (-w) ** k * _zeta_less_one(k) / k
    near = np.where(low, near - np.log1p(w), near)
    product = np.ones_like(x)
    for k in range(_SHIFT):
        product = product * np.where(x < _SHIFT, x + k, 1)
    far = np.where(x < _SHIFT, x + _SHIFT, x)
    main = (far - Wide(0.5)) * np.log(far) - far + _HALF_LOG_TWO_PI
    for k in range(1, len(_BERNOULLI) + 1):
        main = main + _bernoulli(k) / (2 * k * (2 * k - 1)) * far ** Wide(1 - 2 * k)
    return np.where((x >= 0.5) & (x <= 2.5), near, main - np.log(product))


def digamma(x: Any) -> Array:
    """Return the derivative of `lgamma`."""
    dtype = np.asarray(x).dtype
    with np.errstate(all="ignore"):
        wide, negative, rest = _split(x)
        far = np.where(negative, 1 - wide, wide)
        total = np.zeros_like(far)
        for _ in range(_SHIFT):
            below = far < _SHIFT
            total = total - np.where(below, 1 / far, 0)
            far = np.where(below, far + 1, far)
        total = total + np.log(far) - Wide(0.5) / far
        for k in range(1, len(_BERNOULLI) + 1):
            total = total - _bernoulli(k) / (2 * k) * far ** -Wide(2 * k)
        near = np.abs(wide - _ROOT[0]) < 0.01
        total = np.where(near, _near_root(np.where(near, wide, _ROOT[0])), total)
        made = np.where(negative, total - _PI / np.tan(_PI * rest), total)
        made = np.where(negative & (rest == 0), np.nan, made)
        made = np.where(wide == 0, np.copysign(np.inf, -wide), made)
        return np.asarray(made).astype(dtype)


def _near_root(x: Array) -> Array:
    """Return digamma(x) beside its zero, by Taylor's series there."""
    step = (x - _ROOT[0]) - _ROOT[1]
    total = np.zeros_like(x)
    for k in range(10, 0, -1):
        total = (total - (-1) ** k * _hurwitz(k + 1, np.asarray(_ROOT[0]))) * step
    return total


def cot_derivative(n: int) -> list[int]:
    """Return the n-th derivative of cot(u) as a polynomial in cot(u)."""
    poly = [0, 1]
    for _ in range(n):
        slope = [k * c for k, c in enumerate(poly)][1:]
        poly = [0] * (len(slope) + 2)
        for k, c in enumerate(slope):
            poly[k] -= c
            poly[k + 2] -= c
    return poly


def polygamma(x: Any, *, n: int) -> Array:
    """Return the n-th derivative of `digamma`, n >= 1."""
    dtype = np.asarray(x).dtype
    with np.errstate(all="ignore"):
        wide, negative, rest = _split(x)
        sum_ = _hurwitz(n + 1, np.where(negative, 1 - wide, wide))
        made = Wide((-1) ** (n + 1) * math.factorial(n)) * sum_
        cot = 1 / np.tan(_PI * rest)
        first, *others = reversed(cot_derivative(n))
        turned = np.full_like(wide, first)
        for c in others:
            turned = turned * cot + c
        mirrored = Wide((-1) ** n) * made - _PI ** Wide(n + 1) * turned
        return np.asarray(np.where(negative, mirrored, made)).astype(dtype)
