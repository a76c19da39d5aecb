"""Elementwise functions that round, replace, scale, or tell special floats apart."""

import math
from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.promote import cast_to
from ...ir.types import BOOL, F64
from ..builders import ArrayBuilder
from ..operands import emit, floating, operand, refuse, value
from ..pair import Pair

_INF = float("inf")


def round(b: ArrayBuilder, a: Any, decimals: Any = 0, out: Any = None) -> Value:
    """Return elements rounded to a number of decimals, ties to even."""
    refuse("round", {"out": out})
    held = value(b, a, "round")
    if not isinstance(decimals, int):
        raise OpTypeError(f"round: decimals is an integer, got {decimals!r}")
    if not held.type.dtype.is_float:
        if decimals < 0 or held.type.dtype.kind == "b":
            raise OpTypeError(f"round: {held.type} to {decimals} decimals: cast first")
        return b.op("reshape", held, shape=held.type.shape)  # type: ignore[no-any-return]
    if decimals == 0:
        return b.op("rint", held)  # type: ignore[no-any-return]
    scale = 10.0 ** abs(decimals)
    up, down = ("mul", "div") if decimals > 0 else ("div", "mul")
    return b.op(down, b.op("rint", b.op(up, held, scale)), scale)  # type: ignore[no-any-return]


def fix(b: ArrayBuilder, x: Any, out: Any = None) -> Value:
    """Return elements without their fractions."""
    refuse("fix", {"out": out})
    held = value(b, x, "fix")
    return held if not held.type.dtype.is_float else b.op("trunc", held)


def nan_to_num(
    b: ArrayBuilder,
    x: Any,
    copy: bool = True,
    nan: Any = 0.0,
    posinf: Any = None,
    neginf: Any = None,
) -> Value:
    """Return finite numbers in place of NaN and infinities."""
    held = value(b, x, "nan_to_num")
    kind = held.type.dtype
    if not kind.is_float:
        return b.op("reshape", held, shape=held.type.shape)  # type: ignore[no-any-return]
    most = _largest(kind.bits)
    high, low = (
        (most if posinf is None else posinf),
        (-most if neginf is None else neginf),
    )
    out = b.op("select", b.op("eq", held, _INF), float(high), held)
    out = b.op("select", b.op("eq", held, -_INF), float(low), out)
    return b.op("select", b.op("isnan", held), float(nan), out)  # type: ignore[no-any-return]


def _largest(bits: int) -> float:
    return 1.7976931348623157e308 if bits == 64 else 3.4028234663852886e38


def isposinf(b: ArrayBuilder, x: Any, out: Any = None) -> Value:
    """Return whether elements are plus infinity."""
    refuse("isposinf", {"out": out})
    return b.op("eq", floating(b, x, "isposinf"), _INF)  # type: ignore[no-any-return]


def isneginf(b: ArrayBuilder, x: Any, out: Any = None) -> Value:
    """Return whether elements are minus infinity."""
    refuse("isneginf", {"out": out})
    return b.op("eq", floating(b, x, "isneginf"), -_INF)  # type: ignore[no-any-return]


def _pair(b: ArrayBuilder, x: Any, y: Any, name: str) -> tuple[Value, Value]:
    """Return two operands in their common dtype and shape."""
    one, two = b.table["add"].accept(b, *[operand(b, v, name) for v in (x, y)])[0]
    return one, two


def fmax(b: ArrayBuilder, x: Any, y: Any) -> Value:
    """Return the larger of two elements; of NaN and a number the number."""
    one, two = _pair(b, x, y, "fmax")
    return _ignoring(b, "maximum", one, two)


def fmin(b: ArrayBuilder, x: Any, y: Any) -> Value:
    """Return the smaller of two elements; of NaN and a number the number."""
    one, two = _pair(b, x, y, "fmin")
    return _ignoring(b, "minimum", one, two)


def _ignoring(b: ArrayBuilder, name: str, x: Value, y: Value) -> Value:
    best = b.op(name, x, y)
    if not x.type.dtype.is_float:
        return best  # type: ignore[no-any-return]  # a Value
    best = b.op("select", b.op("isnan", y), x, best)
    return b.op("select", b.op("isnan", x), y, best)  # type: ignore[no-any-return]


def heaviside(b: ArrayBuilder, x1: Any, x2: Any) -> Value:
    """Return 0 below 0, 1 above, x2 at 0; NaN of NaN."""
    one, two = _pair(b, x1, x2, "heaviside")
    one, two = floating(b, one, "heaviside"), floating(b, two, "heaviside")
    still = b.op("stop_gradient", one)  # a step: its derivative by x1 is 0
    above = b.constant(1, one.type.dtype, one.type.shape)
    out = b.op("select", b.op("lt", still, 0.0), 0.0, above)
    out = b.op("select", b.op("eq", still, 0.0), two, out)
    return b.op("select", b.op("isnan", still), still, out)  # type: ignore[no-any-return]


def degrees(b: ArrayBuilder, x: Any) -> Value:
    """Return radians as degrees."""
    return b.op("mul", floating(b, x, "degrees"), 180.0 / math.pi)  # type: ignore[no-any-return]


def radians(b: ArrayBuilder, x: Any) -> Value:
    """Return degrees as radians."""
    return b.op("mul", floating(b, x, "radians"), math.pi / 180.0)  # type: ignore[no-any-return]


def divmod(b: ArrayBuilder, x: Any, y: Any) -> tuple[Value, Value]:
    """Return the floor of the quotient, and the rest."""
    one, two = operand(b, x, "divmod"), operand(b, y, "divmod")
    return emit(b, "floor_divide", one, two), emit(b, "mod", one, two)


def float_power(b: ArrayBuilder, x: Any, y: Any) -> Value:
    """Return x**y in 64-bit floats."""
    one, two = (emit(b, "cast", value(b, v, "float_power"), float) for v in (x, y))
    return emit(b, "pow", one, two)  # type: ignore[no-any-return]


def fabs(b: ArrayBuilder, x: Any) -> Value:
    """Return absolute values, as floats."""
    return b.op("abs", floating(b, x, "fabs"))  # type: ignore[no-any-return]


def real(b: ArrayBuilder, val: Any) -> Value:
    """Return the real part: of a real array, the array itself."""
    held = value(b, val, "real")
    return b.op("reshape", held, shape=held.type.shape)  # type: ignore[no-any-return]


def imag(b: ArrayBuilder, val: Any) -> Value:
    """Return the imaginary part: of a real array, zeros."""
    return b.zeros(value(b, val, "imag").type)


def conjugate(b: ArrayBuilder, x: Any) -> Value:
    """Return the complex conjugate: of a real array, the array itself."""
    return real(b, x)


def angle(b: ArrayBuilder, z: Any, deg: bool = False) -> Value:
    """Return the angle of complex numbers: of real ones, 0 or pi."""
    held = floating(b, z, "angle")
    half = 180.0 if deg else math.pi
    turned = b.constant(half, held.type.dtype, held.type.shape)
    made = b.op("select", b.op("lt", held, 0.0), turned, 0.0)
    return b.op("select", b.op("isnan", held), float("nan"), made)  # type: ignore[no-any-return]


def isreal(b: ArrayBuilder, x: Any) -> Value:
    """Return whether the imaginary part is 0: of a real array, it is."""
    return b.constant(True, BOOL, value(b, x, "isreal").type.shape)


def iscomplex(b: ArrayBuilder, x: Any) -> Value:
    """Return whether the imaginary part is not 0: of a real array, it is 0."""
    return b.constant(False, BOOL, value(b, x, "iscomplex").type.shape)


def iscomplexobj(b: ArrayBuilder, x: Any) -> bool:
    """Return whether an array is one of complex numbers."""
    value(b, x, "iscomplexobj")
    return False


def isrealobj(b: ArrayBuilder, x: Any) -> bool:
    """Return whether an array is one of real numbers."""
    value(b, x, "isrealobj")
    return True


def make_complex(b: ArrayBuilder, real: Any, imag: Any) -> Pair:
    """Return the complex numbers of real and imaginary parts."""
    one, two = _pair(b, real, imag, "complex")
    one, two = (x if x.type.dtype.is_float else cast_to(b, x, F64) for x in (one, two))
    return Pair(one, two)
