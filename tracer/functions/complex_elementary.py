"""Exponentials, logarithms, roots, powers and circular functions of complex numbers.

Branch cuts are those of C99 (Annex G), which are NumPy's; so are the sides that signs
of zeros choose. Formulas choose by comparison where one with |x| would have a wrong
second derivative at x = 0.
"""

import math
from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.types import F64
from ..builders import ArrayBuilder
from ..operands import emit
from ..pair import Pair
from .complex_arithmetic import is_small_whole, plus, times, whole_power
from .complex_parts import Parts, filled, one, pair, typed
from .shaping import item

_INF = float("inf")


def _times(b: ArrayBuilder, x: Value, y: Value) -> Value:
    """Return x * y, and 0 where one is 0 and the other is not finite."""
    made = b.mul(x, y)
    at_x = b.eq(x, 0.0)
    zero = b.select(at_x, b.mul(x, _side(b, y)), b.mul(y, _side(b, x)))
    lost = b.logical_and(b.isnan(made), b.logical_or(at_x, b.eq(y, 0.0)))
    return b.op("select", lost, zero, made)  # type: ignore[no-any-return]


def _side(b: ArrayBuilder, x: Value) -> Value:
    ones = b.constant(1.0, x.type.dtype, x.type.shape)
    return b.op("select", b.lt(x, 0.0), -1.0, ones)  # type: ignore[no-any-return]


def _signbit(b: ArrayBuilder, x: Value) -> Value:
    """Return whether the sign of x is minus: that of a zero, too."""
    return b.op("logical_or", b.lt(x, 0.0), b.lt(b.div(1.0, x), 0.0))  # type: ignore[no-any-return]


def _polar(b: ArrayBuilder, size: Value, turn: Value) -> Pair:
    """Return the numbers of a modulus and an angle."""
    return Pair(_times(b, size, b.cos(turn)), _times(b, size, b.sin(turn)))


def exp(b: ArrayBuilder, x: Any) -> Pair:
    """Return e**x."""
    held = one(b, x, "exp")
    return _polar(b, b.exp(held.re), held.im)


def _log_size(b: ArrayBuilder, z: Pair) -> Value:
    """Return log|z|, exact to the last bits where |z| is near 1 as well."""
    size = b.hypot(z.re, z.im)
    wide = b.ge(b.abs(z.re), b.abs(z.im))
    big = b.abs(b.select(wide, z.re, z.im))
    small = b.select(wide, z.im, z.re)
    near = b.logical_and(b.gt(size, 0.5), b.lt(size, 2.0))
    big, small = b.select(near, big, 1.0), b.select(near, small, 0.0)
    rest = b.fma(small, small, b.mul(b.sub(big, 1.0), b.add(big, 1.0)))
    return b.select(near, b.mul(0.5, b.log1p(rest)), b.log(size))  # type: ignore[no-any-return]


def _log(b: ArrayBuilder, z: Pair) -> Pair:
    return Pair(_log_size(b, z), b.atan2(z.im, z.re))


def log(b: ArrayBuilder, x: Any) -> Pair:
    """Return the logarithm, whose angle is from -pi to pi."""
    return _log(b, one(b, x, "log"))


def _scaled_log(b: ArrayBuilder, x: Any, name: str, base: float) -> Pair:
    made = _log(b, one(b, x, name))
    return Pair(*[b.mul(p, 1.0 / math.log(base)) for p in (made.re, made.im)])


def log10(b: ArrayBuilder, x: Any) -> Pair:
    """Return the logarithm to the base 10."""
    return _scaled_log(b, x, "log10", 10.0)


def log2(b: ArrayBuilder, x: Any) -> Pair:
    """Return the logarithm to the base 2."""
    return _scaled_log(b, x, "log2", 2.0)


def sqrt(b: ArrayBuilder, x: Any) -> Pair:
    """Return the root whose real part is not negative (Kahan, 1987)."""
    z = one(b, x, "sqrt")
    right = b.ge(z.re, 0.0)
    ones = b.constant(1.0, z.re.type.dtype, z.re.type.shape)
    side = b.select(right, ones, -1.0)
    half, other = b.mul(z.re, 0.5), b.mul(z.im, 0.5)
    root = b.sqrt(b.add(b.mul(side, half), b.hypot(half, other)))
    zero = b.eq(root, 0.0)
    rest = b.select(zero, z.im, b.div(other, b.select(zero, 1.0, root)))
    turn = b.select(_signbit(b, z.im), -1.0, ones)
    re = b.select(right, root, b.mul(turn, rest))
    im = b.select(right, rest, b.mul(turn, root))
    endless = b.eq(b.abs(z.im), _INF)
    return Pair(b.select(endless, _INF, re), b.select(endless, z.im, im))


def sign(b: ArrayBuilder, x: Any) -> Pair:
    """Return x / |x|, and 0 at 0."""
    z = one(b, x, "sign")
    size = b.hypot(z.re, z.im)
    size = b.select(b.eq(size, 0.0), 1.0, size)
    return Pair(b.div(z.re, size), b.div(z.im, size))


# -- powers ----------------------------------------------------------------------------


def power(b: ArrayBuilder, x: Any, y: Any) -> Pair:
    """Return x**y: products where y is a small whole Python number.

    Of 0 it is 0 where the real part of y is positive.
    """
    if is_small_whole(y):
        return whole_power(b, one(b, x, "power"), int(y))
    base, exponent = typed(b, "power", (x, y))
    if exponent.im is None:
        if type(exponent.re) is float and exponent.re == 0.5:
            return sqrt(b, filled(b, "power", base)[0])
        z, w = filled(b, "power", base, exponent)
        size = emit(b, "pow", b.hypot(z.re, z.im), w.re)
        return _polar(b, size, b.mul(w.re, b.atan2(z.im, z.re)))
    z, w = filled(b, "power", base, exponent)
    if base.im is None and isinstance(base.re, (int, float)) and base.re > 0:
        scale = math.log(base.re)
        return _polar(b, b.exp(b.mul(w.re, scale)), b.mul(w.im, scale))
    high = _log(b, z)
    grown = b.sub(_times(b, w.re, high.re), _times(b, w.im, high.im))
    turned = b.add(_times(b, w.re, high.im), _times(b, w.im, high.re))
    return _polar(b, b.exp(grown), turned)


# -- circular and hyperbolic functions -------------------------------------------------


def _turned(b: ArrayBuilder, x: Any, name: str) -> Pair:
    """Return 1j * x."""
    z = one(b, x, name)
    return Pair(b.neg(z.im), z.re)


def sinh(b: ArrayBuilder, x: Any) -> Pair:
    """Return the hyperbolic sine."""
    z = one(b, x, "sinh")
    return Pair(
        _times(b, b.sinh(z.re), b.cos(z.im)), _times(b, b.cosh(z.re), b.sin(z.im))
    )


def cosh(b: ArrayBuilder, x: Any) -> Pair:
    """Return the hyperbolic cosine."""
    z = one(b, x, "cosh")
    return Pair(
        _times(b, b.cosh(z.re), b.cos(z.im)), _times(b, b.sinh(z.re), b.sin(z.im))
    )


def tanh(b: ArrayBuilder, x: Any) -> Pair:
    """Return the hyperbolic tangent.

    With T = tanh a and S = 1 / cosh(a)**2 it is (T + i S sin b cos b) over
    T**2 + S cos(b)**2, which never overflows.
    """
    z = one(b, x, "tanh")
    most = 350.0 if z.re.type.dtype is F64 else 43.0
    near = b.minimum(b.maximum(z.re, -most), most)
    narrow = b.square(b.div(1.0, b.cosh(near)))
    narrow = b.select(b.lt(b.abs(z.re), most), narrow, 0.0)
    high, turn = b.tanh(z.re), b.cos(z.im)
    under = b.fma(b.mul(narrow, turn), turn, b.square(high))
    return Pair(
        b.div(high, under), b.div(_times(b, b.mul(narrow, b.sin(z.im)), turn), under)
    )


def sin(b: ArrayBuilder, x: Any) -> Pair:
    """Return the sine."""
    made = sinh(b, _turned(b, x, "sin"))
    return Pair(made.im, b.neg(made.re))


def cos(b: ArrayBuilder, x: Any) -> Pair:
    """Return the cosine."""
    return cosh(b, _turned(b, x, "cos"))


def tan(b: ArrayBuilder, x: Any) -> Pair:
    """Return the tangent."""
    made = tanh(b, _turned(b, x, "tan"))
    return Pair(made.im, b.neg(made.re))


def polyval(b: ArrayBuilder, p: Any, x: Any) -> Pair:
    """Return a polynomial's value; coefficients from the highest power down."""
    held, at = typed(b, "polyval", (p, x))
    like = held.im if isinstance(held.im, Value) else held.re
    if not isinstance(like, Value) or like.type.rank != 1:
        raise OpTypeError("polyval: coefficients are on one axis")
    count = like.type.shape[0]
    if not isinstance(count, int) or not count:
        raise OpTypeError(f"polyval: {count} coefficients: expected a number of them")
    total: Parts | None = None
    for k in range(count):
        own = Parts(*[item(b, q, k) if isinstance(q, Value) else q for q in held])
        total = own if total is None else plus(b, times(b, total, at), own)
    assert total is not None, "there is a coefficient"
    return pair(b, *total)
