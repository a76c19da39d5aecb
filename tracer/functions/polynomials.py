"""Polynomials, convolutions, integrals by trapezoids."""

from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.sizes import smax
from ..builders import ArrayBuilder
from ..operands import axis_index, emit, floating, operand, value
from .elementwise import same_dtype
from .shaping import atleast_1d, diff, flip, item, span


def polyval(b: ArrayBuilder, p: Any, x: Any) -> Value:
    """Return a polynomial at x by Horner's rule; the highest power comes first."""
    held = atleast_1d(b, value(b, p, "polyval"))
    count = held.type.shape[0]
    if not isinstance(count, int):
        raise OpTypeError(f"polyval: the number of coefficients is only named: {count}")
    at = operand(b, x, "polyval")
    made: Any = emit(b, "mul", at, 0)
    for k in range(count):
        made = emit(b, "add", emit(b, "mul", made, at), item(b, held, k))
    return made  # type: ignore[no-any-return]  # a Value


def vander(b: ArrayBuilder, x: Any, N: Any = None, increasing: bool = False) -> Value:
    """Return the powers of a vector's elements, one row each."""
    held = value(b, x, "vander")
    if held.type.rank != 1:
        raise OpTypeError(f"vander: takes a vector, not {held.type}")
    count = held.type.shape[0] if N is None else N
    if not isinstance(count, int):
        raise OpTypeError(f"vander: give N= where the size is {count}")
    if count == 0:
        return b.constant(0, held.type.dtype, (held.type.shape[0], 0))
    wide = b.op("expand_dims", held, axes=(1,))
    shape = wide.type.shape
    columns = [b.constant(1, held.type.dtype, shape)]
    if count > 1:
        columns.append(wide)
    while len(columns) < count:
        columns.append(b.op("mul", columns[-1], wide))
    ordered = columns if increasing else columns[::-1]
    return b.op("concatenate", *ordered, axis=1)  # type: ignore[no-any-return]


def convolve(b: ArrayBuilder, a: Any, v: Any, mode: str = "full") -> Value:
    """Return the discrete convolution of two vectors.

    All products are laid out so that row k is moved k places, and added up.
    """
    one, two = (atleast_1d(b, x) for x in same_dtype(b, "convolve", a, v))
    if one.type.rank != 1 or two.type.rank != 1:
        raise OpTypeError(f"convolve: takes vectors, not {one.type} and {two.type}")
    if mode not in ("full", "same", "valid"):
        raise OpTypeError(f"convolve: mode is full, same or valid, not {mode!r}")
    n, m = one.type.shape[0], two.type.shape[0]
    if n == 0 or m == 0:
        raise OpTypeError("convolve: a vector is empty")
    if isinstance(n, int) and isinstance(m, int) and m > n:
        one, two, n, m = two, one, m, n
    rows = b.broadcast(b.op("expand_dims", two, axes=(1,)), (m, n))
    columns = b.broadcast(b.op("expand_dims", one, axes=(0,)), (m, n))
    products = b.op("mul", rows, columns)
    # m rows of n + m, read again as rows of n + m - 1: each begins one place later
    wide = b.op("place", products, start=(0, 0), step=(1, 1), shape=(m, n + m))
    flat = b.op("reshape", wide, shape=(m * (n + m),))
    cut = span(b, flat, 0, 0, m * (n + m - 1))
    full: Value = b.op("reshape", cut, shape=(m, n + m - 1))
    full = b.op("sum", full, axes=(0,))
    if mode == "full":
        return full
    if not (isinstance(n, int) and isinstance(m, int)):
        raise OpTypeError(f"convolve: mode {mode!r} needs constant sizes")
    if mode == "same":
        return span(b, full, 0, (m - 1) // 2, n)
    return span(b, full, 0, m - 1, n - m + 1)


def correlate(b: ArrayBuilder, a: Any, v: Any, mode: str = "valid") -> Value:
    """Return the discrete correlation of two vectors."""
    one, two = (atleast_1d(b, x) for x in same_dtype(b, "correlate", a, v))
    n, m = one.type.shape[0], two.type.shape[0]
    shorter = isinstance(n, int) and isinstance(m, int) and n < m
    if mode == "same" and shorter:  # the middle is counted from the other end
        return flip(b, convolve(b, two, flip(b, one), mode))
    return convolve(b, one, flip(b, two), mode)


def trapezoid(
    b: ArrayBuilder, y: Any, x: Any = None, dx: Any = 1.0, axis: Any = -1
) -> Value:
    """Return the integral along an axis by trapezoids."""
    held = floating(b, y, "trapezoid")
    at = axis_index(axis, held.type.rank, "trapezoid")
    size = smax(held.type.shape[at] - 1, 0)
    middle = b.op("add", span(b, held, at, 1, size), span(b, held, at, 0, size))
    if x is None:
        step = operand(b, dx, "trapezoid")
    else:
        places = value(b, x, "trapezoid")
        if places.type.rank == 1:
            step = diff(b, places)
            later = tuple(range(1, held.type.rank - at))
            step = b.op("expand_dims", step, axes=later) if later else step
        else:
            step = diff(b, places, axis=at)
    parts = b.op("mul", emit(b, "mul", middle, step), 0.5)
    return emit(b, "sum", parts, axis=at)  # type: ignore[no-any-return]
