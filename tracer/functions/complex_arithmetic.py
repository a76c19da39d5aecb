"""Arithmetic and comparisons of complex numbers, and their parts.

A real operand is no complex one without an imaginary part: what is multiplied by an
infinity stays what it is. Quotients are scaled by Smith's rule (R. L. Smith, Algorithm
116, 1962), so that they overflow where they must.
"""

from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.promote import cast_to
from ...ir.types import BOOL, dtype_of
from ..builders import ArrayBuilder
from ..operands import emit, refuse, value
from ..pair import Pair, part_dtype
from . import elementwise
from .complex_parts import Part, Parts, filled, one, pair, read, typed
from .elementwise import LARGEST_PRODUCT


def _sum(b: ArrayBuilder, name: str, x: Part, y: Part) -> Part:
    if x is None:
        return y if name == "add" or y is None else emit(b, "neg", y)
    return x if y is None else emit(b, name, x, y)


def plus(b: ArrayBuilder, x: Parts, y: Parts) -> Parts:
    """Return the parts of a sum."""
    return Parts(_sum(b, "add", x.re, y.re), _sum(b, "add", x.im, y.im))


def add(b: ArrayBuilder, x: Any, y: Any) -> Pair:
    """Return x + y."""
    return pair(b, *plus(b, *typed(b, "add", (x, y))))


def sub(b: ArrayBuilder, x: Any, y: Any) -> Pair:
    """Return x - y."""
    one, two = typed(b, "sub", (x, y))
    return pair(b, _sum(b, "sub", one.re, two.re), _sum(b, "sub", one.im, two.im))


def _product(b: ArrayBuilder, x: Part, y: Part) -> Part:
    if x is None or y is None:
        return None
    if isinstance(y, (int, float)):
        x, y = y, x
    if type(x) is float and abs(x) == 1.0 and isinstance(y, Value):
        return y if x == 1.0 else b.op("neg", y)
    return emit(b, "mul", x, y)  # type: ignore[no-any-return]


def times(b: ArrayBuilder, x: Parts, y: Parts) -> Parts:
    """Return the parts of a product."""
    re = _sum(b, "sub", _product(b, x.re, y.re), _product(b, x.im, y.im))
    im = _sum(b, "add", _product(b, x.re, y.im), _product(b, x.im, y.re))
    return Parts(re, im)


def mul(b: ArrayBuilder, x: Any, y: Any) -> Pair:
    """Return x * y."""
    return pair(b, *times(b, *typed(b, "mul", (x, y))))


def div(b: ArrayBuilder, x: Any, y: Any) -> Pair:
    """Return x / y."""
    top, bottom = typed(b, "div", (x, y))
    if bottom.im is None:
        made = [None if p is None else emit(b, "div", p, bottom.re) for p in top]
        return pair(b, *made)
    over, under = filled(b, "div", top, bottom)
    return quotient(b, over, under)


def quotient(b: ArrayBuilder, x: Pair, y: Pair) -> Pair:
    """Return x / y of one type, by Smith's rule."""
    wide = b.ge(b.abs(y.re), b.abs(y.im))
    big, small = b.select(wide, y.re, y.im), b.select(wide, y.im, y.re)
    one, two = b.select(wide, x.re, x.im), b.select(wide, x.im, x.re)
    zero = b.eq(big, 0.0)
    ratio = b.div(b.select(zero, 0.0, small), b.select(zero, 1.0, big))
    # at 0 what NumPy has: each part over plus 0
    scale = b.select(zero, b.abs(big), b.fma(small, ratio, big))
    re = b.div(b.fma(two, ratio, one), scale)
    im = b.div(b.sub(two, b.mul(one, ratio)), scale)
    return Pair(re, b.select(wide, im, b.neg(im)))


def neg(b: ArrayBuilder, x: Any) -> Pair:
    """Return -x."""
    held = one(b, x, "negative")
    return Pair(b.neg(held.re), b.neg(held.im))


def conjugate(b: ArrayBuilder, x: Any) -> Pair:
    """Return x with the imaginary part negated."""
    held = one(b, x, "conjugate")
    return Pair(held.re, b.neg(held.im))


def real(b: ArrayBuilder, val: Any) -> Value:
    """Return the real part."""
    return one(b, val, "real").re


def imag(b: ArrayBuilder, val: Any) -> Value:
    """Return the imaginary part."""
    return one(b, val, "imag").im


def absolute(b: ArrayBuilder, x: Any) -> Value:
    """Return the modulus; its derivative at 0 is 0."""
    held = one(b, x, "abs")
    return b.op("hypot", held.re, held.im)  # type: ignore[no-any-return]


def angle(b: ArrayBuilder, z: Any, deg: bool = False) -> Value:
    """Return the angle in radians, or in degrees."""
    held = one(b, z, "angle")
    made = b.op("atan2", held.im, held.re)
    return b.op("mul", made, 57.29577951308232) if deg else made  # type: ignore[no-any-return]


def reciprocal(b: ArrayBuilder, x: Any) -> Pair:
    """Return 1 / x."""
    return div(b, 1.0, x)


def squared(b: ArrayBuilder, x: Pair) -> Pair:
    """Return x * x in two products."""
    re = b.mul(b.sub(x.re, x.im), b.add(x.re, x.im))
    twice = b.mul(x.re, x.im)
    return Pair(re, b.add(twice, twice))


def square(b: ArrayBuilder, x: Any) -> Pair:
    """Return x * x."""
    return squared(b, one(b, x, "square"))


def whole_power(b: ArrayBuilder, x: Pair, n: int) -> Pair:
    """Return x**n by repeated products."""
    if n < 0:
        ones = Pair(
            b.constant(1.0, x.re.type.dtype, x.re.type.shape), b.zeros(x.re.type)
        )
        return quotient(b, ones, whole_power(b, x, -n))
    kind = x.re.type
    result: Pair | None = None
    while n:
        if n & 1:
            result = x if result is None else pair(
                b, *times(b, Parts(result.re, result.im), Parts(x.re, x.im))
            )  # fmt: skip
        n >>= 1
        x = squared(b, x) if n else x
    if result is None:
        return Pair(b.constant(1.0, kind.dtype, kind.shape), b.zeros(kind))
    return result


def is_small_whole(y: Any) -> bool:
    """Return whether a power is made of products."""
    return type(y) in (int, float) and y == int(y) and abs(y) <= LARGEST_PRODUCT


# -- comparisons -----------------------------------------------------------------------


def eq(b: ArrayBuilder, x: Any, y: Any) -> Value:
    """Return whether both parts are equal."""
    one, two = filled(b, "equal", x, y)
    return b.op("logical_and", b.eq(one.re, two.re), b.eq(one.im, two.im))  # type: ignore[no-any-return]


def ne(b: ArrayBuilder, x: Any, y: Any) -> Value:
    """Return whether a part differs."""
    one, two = filled(b, "not_equal", x, y)
    return b.op("logical_or", b.ne(one.re, two.re), b.ne(one.im, two.im))  # type: ignore[no-any-return]


def truth(b: ArrayBuilder, x: Any) -> Value:
    """Return whether elements are not 0."""
    return ne(b, x, 0.0)


def isnan(b: ArrayBuilder, x: Any) -> Value:
    """Return whether a part is NaN."""
    held = one(b, x, "isnan")
    return b.op("logical_or", b.isnan(held.re), b.isnan(held.im))  # type: ignore[no-any-return]


def isfinite(b: ArrayBuilder, x: Any) -> Value:
    """Return whether both parts are finite."""
    held = one(b, x, "isfinite")
    return b.op("logical_and", b.isfinite(held.re), b.isfinite(held.im))  # type: ignore[no-any-return]


def isinf(b: ArrayBuilder, x: Any) -> Value:
    """Return whether a part is infinite."""
    held = one(b, x, "isinf")
    parts = [elementwise.isinf(b, p) for p in (held.re, held.im)]
    return b.op("logical_or", *parts)  # type: ignore[no-any-return]


def iscomplex(b: ArrayBuilder, x: Any) -> Value:
    """Return whether the imaginary part is not 0."""
    return b.op("ne", one(b, x, "iscomplex").im, 0.0)  # type: ignore[no-any-return]


def isreal(b: ArrayBuilder, x: Any) -> Value:
    """Return whether the imaginary part is 0."""
    return b.op("eq", one(b, x, "isreal").im, 0.0)  # type: ignore[no-any-return]


def isclose(
    b: ArrayBuilder,
    x: Any,
    y: Any,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
) -> Value:
    """Return whether elements differ by no more than atol + rtol * |y|."""
    refuse("isclose", {"equal_nan": equal_nan or None})
    apart = absolute(b, sub(b, x, y))
    allowed = emit(b, "add", emit(b, "mul", absolute(b, y), rtol), atol)
    near = emit(b, "logical_and", emit(b, "le", apart, allowed), isfinite(b, y))
    return b.op("logical_or", near, eq(b, x, y))  # type: ignore[no-any-return]


# -- dtypes and choices ----------------------------------------------------------------


def astype(b: ArrayBuilder, x: Any, dtype: Any, **options: Any) -> "Pair | Value":
    """Return x in another dtype.

    Raises:
        OpTypeError: a real dtype has no room for an imaginary part.
    """
    options.pop("copy", None)
    refuse("astype", options)
    parts = read(b, x, "astype")
    wanted = part_dtype(dtype)
    if wanted is not None:
        made = [None if p is None else cast_to(b, p, wanted) for p in parts]
        return pair(b, *made)
    kind = dtype_of(dtype)
    if kind is BOOL:
        return truth(b, x)
    held = one(b, x, "astype")
    raise OpTypeError(
        f"astype: {held.type} as {kind} would drop the imaginary part: use .real, "
        "or np.abs"
    )


def array(b: ArrayBuilder, x: Any, dtype: Any = None) -> "Pair | Value":
    """Return numbers, lists, arrays and complex values as one array."""
    held = one(b, x, "array")
    return held if dtype is None else astype(b, held, dtype)


def where(b: ArrayBuilder, condition: Any, *branches: Any) -> Any:
    """Return x where the condition holds, else y."""
    test = read(b, condition, "where")
    held = truth(b, condition) if test.im is not None else value(b, test.re, "where")
    if len(branches) != 2:
        return elementwise.where(b, held, *branches)
    one, two = typed(b, "where", branches)
    if one.im is None and two.im is None:
        return elementwise.where(b, held, one.re, two.re)
    found = []
    for x, y in zip(one, two, strict=True):
        parts = [0.0 if p is None else p for p in (x, y)]
        found.append(elementwise.where(b, held, *parts))
    return pair(b, *found)


def make_complex(b: ArrayBuilder, real: Any, imag: Any) -> Pair:
    """Return the complex numbers of real and imaginary parts."""
    parts = [read(b, x, "complex") for x in (real, imag)]
    if any(x.im is not None for x in parts):
        raise OpTypeError("complex: its parts are real")
    return pair(b, *[x.re for x in parts])
