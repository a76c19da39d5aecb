"""Questions about elements: whether, how many, which. They carry no cotangents."""

from typing import Any

from ...ir.graph import Value
from ...ir.promote import cast_to
from ...ir.types import I64, U8
from ..builders import ArrayBuilder
from ..operands import axes_of, axis_index, emit, floating, refuse, value
from .creation import positions
from .reductions import restore, wants_dims


def flags(b: ArrayBuilder, a: Any, name: str) -> Value:
    """Return whether elements are not 0."""
    held = value(b, a, name)
    return held if held.type.dtype.kind == "b" else b.op("ne", held, 0)


def _count(b: ArrayBuilder, held: Value, axis: Any, name: str, keepdims: Any) -> Value:
    axes = axes_of(axis, held.type.rank, name)
    made = b.op("sum", b.op("cast", held, dtype=I64), axes=axes)
    return restore(b, made, axes) if wants_dims(keepdims) else made


def count_nonzero(
    b: ArrayBuilder, a: Any, axis: Any = None, *, keepdims: Any = False
) -> Value:
    """Return how many elements are not 0."""
    return _count(b, flags(b, a, "count_nonzero"), axis, "count_nonzero", keepdims)


def any(
    b: ArrayBuilder,
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    **options: Any,
) -> Value:
    """Return whether some element over axes is not 0."""
    refuse("any", {"out": out, **options})
    count = _count(b, flags(b, a, "any"), axis, "any", keepdims)
    return b.op("ne", count, 0)  # type: ignore[no-any-return]


def all(
    b: ArrayBuilder,
    a: Any,
    axis: Any = None,
    out: Any = None,
    keepdims: Any = False,
    **options: Any,
) -> Value:
    """Return whether no element over axes is 0."""
    refuse("all", {"out": out, **options})
    zeros = b.op("logical_not", flags(b, a, "all"))
    count = _count(b, zeros, axis, "all", keepdims)
    return b.op("eq", count, 0)  # type: ignore[no-any-return]


def _where_best(
    b: ArrayBuilder, name: str, a: Any, axis: Any, out: Any, keepdims: Any
) -> Value:
    refuse(name, {"out": out})
    held = value(b, a, name)
    if held.type.dtype.kind == "b":
        held = cast_to(b, held, U8)
    rank = held.type.rank
    if axis is None:
        held, at = emit(b, "reshape", held, (-1,)), 0
    else:
        at = axis_index(axis, rank, name)
    best = b.op(name.removeprefix("arg"), held, axes=(at,))
    shape = held.type.shape
    hit = b.op("eq", held, b.broadcast(restore(b, best, (at,)), shape))
    if held.type.dtype.is_float:
        hit = b.op("logical_or", hit, b.op("isnan", held))  # the first NaN is the best
    beyond = b.constant(shape[at], I64, shape)
    found = b.op("select", hit, positions(b, shape, at), beyond)
    made = b.op("min", found, axes=(at,))
    if not wants_dims(keepdims):
        return made  # type: ignore[no-any-return]  # a Value
    lifted = tuple(range(rank)) if axis is None else (at,)
    return restore(b, made, lifted)


def argmax(
    b: ArrayBuilder, a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False
) -> Value:
    """Return the place of the first largest element, or of the first NaN."""
    return _where_best(b, "argmax", a, axis, out, keepdims)


def argmin(
    b: ArrayBuilder, a: Any, axis: Any = None, out: Any = None, *, keepdims: Any = False
) -> Value:
    """Return the place of the first smallest element, or of the first NaN."""
    return _where_best(b, "argmin", a, axis, out, keepdims)


def isclose(
    b: ArrayBuilder,
    a: Any,
    x: Any,
    rtol: Any = 1e-05,
    atol: Any = 1e-08,
    equal_nan: bool = False,
) -> Value:
    """Return whether |a - x| <= atol + rtol * |x|; equal infinities are close."""
    one, two = (floating(b, v, "isclose") for v in (a, x))
    room = emit(b, "add", atol, emit(b, "mul", rtol, emit(b, "abs", two)))
    near = emit(b, "le", emit(b, "abs", emit(b, "sub", one, two)), room)
    near = emit(b, "logical_and", near, emit(b, "isfinite", two))
    near = emit(b, "logical_or", near, emit(b, "eq", one, two))
    if equal_nan:
        both = emit(b, "logical_and", emit(b, "isnan", one), emit(b, "isnan", two))
        near = emit(b, "logical_or", near, both)
    return near  # type: ignore[no-any-return]  # a Value


def allclose(b: ArrayBuilder, a: Any, x: Any, *args: Any, **options: Any) -> Value:
    """Return whether all elements are close, as isclose says."""
    return all(b, isclose(b, a, x, *args, **options))


def array_equal(b: ArrayBuilder, a1: Any, a2: Any, equal_nan: bool = False) -> Value:
    """Return whether two arrays have one shape and equal elements."""
    one, two = value(b, a1, "array_equal"), value(b, a2, "array_equal")
    if one.type.rank != two.type.rank or unequal(one, two):
        return b.constant(False)
    same = emit(b, "eq", one, two)
    if equal_nan and one.type.dtype.is_float and two.type.dtype.is_float:
        nan = b.op("logical_and", b.op("isnan", one), b.op("isnan", two))
        same = b.op("logical_or", same, nan)
    return all(b, same)


def unequal(x: Value, y: Value) -> bool:
    """Return whether constant sizes of two values of one rank differ."""
    for one, two in zip(x.type.shape, y.type.shape, strict=True):
        if isinstance(one, int) and isinstance(two, int) and one != two:
            return True
    return False
