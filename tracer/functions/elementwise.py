"""Elementwise functions that are compositions of records, and the power family."""

from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.promote import cast_to, common_dtype
from ...ir.types import F64, dtype_of
from ..builders import ArrayBuilder
from ..operands import emit, floating, operand, operands, refuse, value

# Integer exponents up to this are repeated products; beyond it pow is more accurate.
LARGEST_PRODUCT = 64


def positive(b: ArrayBuilder, x: Any) -> Value:
    """Return +x: the same elements, as a value of its own."""
    held = value(b, x, "positive")
    return b.op("reshape", held, shape=held.type.shape)  # type: ignore[no-any-return]


def reciprocal(b: ArrayBuilder, x: Any) -> Value:
    """Return 1/x of floats."""
    held = value(b, x, "reciprocal")
    if not held.type.dtype.is_float:
        raise OpTypeError(f"reciprocal: 1/x of {held.type} is 0 or 1: use 1.0 / x")
    return b.op("div", 1.0, held)  # type: ignore[no-any-return]


def power(b: ArrayBuilder, x: Any, y: Any) -> Value:
    """Return x**y; a Python integer y is a product, 0.5 is a square root."""
    base = operand(b, x, "power")
    if isinstance(base, Value) and type(y) in (int, float):
        kind = base.type.dtype
        if type(y) is float and not kind.is_float:
            base, kind = cast_to(b, base, F64), F64
        if y == 0.5 and kind.is_float:
            return b.op("sqrt", base)  # type: ignore[no-any-return]
        if y == int(y) and abs(y) <= LARGEST_PRODUCT and kind.name != "bool":
            n = int(y)
            if n == 2:
                return b.op("square", base)  # type: ignore[no-any-return]
            return b.op("integer_pow", base, n=n)  # type: ignore[no-any-return]
    exponent = operand(b, y, "power")
    return emit(b, "pow", base, exponent)  # type: ignore[no-any-return]


def clip(
    b: ArrayBuilder,
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    *,
    min: Any = None,
    max: Any = None,
    **options: Any,
) -> Value:
    """Return elements moved into [a_min, a_max]; a bound of None is none."""
    refuse("clip", options)
    low = a_min if min is None else min
    high = a_max if max is None else max
    out: Any = value(b, a, "clip")
    if low is not None:
        out = emit(b, "maximum", out, operand(b, low, "clip"))
    if high is not None:
        out = emit(b, "minimum", out, operand(b, high, "clip"))
    return out  # type: ignore[no-any-return]  # a Value


def astype(b: ArrayBuilder, x: Any, dtype: Any, **options: Any) -> Value:
    """Return x in another dtype."""
    options.pop("copy", None)
    refuse("astype", options)
    held = value(b, x, "astype")
    return emit(b, "cast", held, dtype)  # type: ignore[no-any-return]


def where(b: ArrayBuilder, condition: Any, *branches: Any) -> Value:
    """Return x where the condition holds, else y."""
    if len(branches) != 2:
        raise OpTypeError(
            "where: with the condition alone its shape depends on values; "
            "give both branches, np.where(condition, x, y)"
        )
    held = value(b, condition, "where")
    if held.type.dtype.kind != "b":
        held = emit(b, "ne", held, 0)
    one, two = operands(b, branches, "where")
    return emit(b, "select", held, one, two)  # type: ignore[no-any-return]


def isinf(b: ArrayBuilder, x: Any) -> Value:
    """Return whether elements are infinite."""
    held = floating(b, x, "isinf")
    return b.op("eq", b.op("abs", held), float("inf"))  # type: ignore[no-any-return]


def relu(b: ArrayBuilder, x: Any) -> Value:
    """Return max(x, 0); its derivative at 0 is 0."""
    held = value(b, x, "relu")
    return emit(b, "maximum", 0, held)  # type: ignore[no-any-return]


def stop_gradient(b: ArrayBuilder, x: Any) -> Value:
    """Return x; no cotangent flows through."""
    return emit(b, "stop_gradient", value(b, x, "stop_gradient"))  # type: ignore[no-any-return]


def array(b: ArrayBuilder, x: Any, dtype: Any = None) -> Value:
    """Return numbers, lists, arrays and traced values as one array."""
    held = value(b, x, "array")
    if dtype is not None:
        held = cast_to(b, held, dtype_of(dtype))
    return held


def same_dtype(b: ArrayBuilder, name: str, *args: Any) -> list[Value]:
    """Return operands cast to their common dtype, in their own shapes."""
    held = operands(b, args, name)
    dtype = common_dtype(b, name, held)
    return [cast_to(b, x, dtype) for x in held]
