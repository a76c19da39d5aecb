"""Arrays from nothing: constants whose shape may have named sizes."""

from typing import Any

import numpy as np

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.promote import cast_to
from ...ir.types import DType, dtype_of
from ..builders import ArrayBuilder
from ..operands import operand, refuse, shape_of, value


def _dtype(dtype: Any, default: DType) -> DType:
    return default if dtype is None else dtype_of(dtype)


def zeros(b: ArrayBuilder, shape: Any, dtype: Any = float) -> Value:
    """Return zeros."""
    return b.constant(0, _dtype(dtype, dtype_of(float)), shape_of(shape, "zeros"))


def ones(b: ArrayBuilder, shape: Any, dtype: Any = float) -> Value:
    """Return ones."""
    return b.constant(1, _dtype(dtype, dtype_of(float)), shape_of(shape, "ones"))


def full(b: ArrayBuilder, shape: Any, fill_value: Any, dtype: Any = None) -> Value:
    """Return a number in every element."""
    held = value(b, fill_value, "full")
    held = cast_to(b, held, _dtype(dtype, held.type.dtype))
    return b.broadcast(held, shape_of(shape, "full"))


def _like(
    b: ArrayBuilder, name: str, a: Any, fill: Any, dtype: Any, options: dict[str, Any]
) -> Value:
    shape = options.pop("shape", None)
    refuse(name, options)
    like = value(b, a, name)
    wanted = like.type.shape if shape is None else shape_of(shape, name)
    kind = _dtype(dtype, like.type.dtype)
    held = operand(b, fill, name)
    if not isinstance(held, Value):
        return b.constant(held, kind, wanted)
    return b.broadcast(cast_to(b, held, kind), wanted)


def zeros_like(b: ArrayBuilder, a: Any, dtype: Any = None, **options: Any) -> Value:
    """Return zeros of the shape and dtype of `a`."""
    return _like(b, "zeros_like", a, 0, dtype, options)


def ones_like(b: ArrayBuilder, a: Any, dtype: Any = None, **options: Any) -> Value:
    """Return ones of the shape and dtype of `a`."""
    return _like(b, "ones_like", a, 1, dtype, options)


def full_like(
    b: ArrayBuilder, a: Any, fill_value: Any, dtype: Any = None, **options: Any
) -> Value:
    """Return a number in every element, of the shape and dtype of `a`."""
    return _like(b, "full_like", a, fill_value, dtype, options)


def eye(
    b: ArrayBuilder, N: int, M: Any = None, k: int = 0, dtype: Any = float
) -> Value:
    """Return ones on a diagonal."""
    return b.array(np.eye(N, M, k, dtype))


def arange(b: ArrayBuilder, *args: Any, **options: Any) -> Value:
    """Return evenly spaced numbers, as np.arange of Python numbers."""
    return b.array(np.arange(*args, **options))


def linspace(b: ArrayBuilder, *args: Any, **options: Any) -> Value:
    """Return evenly spaced numbers between two ends, as np.linspace."""
    return b.array(np.linspace(*args, **options))


def tril(b: ArrayBuilder, m: Any, k: int = 0) -> Value:
    """Return the part on and below a diagonal; zeros above."""
    return _triangle(b, m, np.tri, k, "tril", False)


def triu(b: ArrayBuilder, m: Any, k: int = 0) -> Value:
    """Return the part on and above a diagonal; zeros below."""
    return _triangle(b, m, np.tri, k - 1, "triu", True)


def _triangle(
    b: ArrayBuilder, m: Any, tri: Any, k: int, name: str, upper: bool
) -> Value:
    held = value(b, m, name)
    if held.type.rank < 2:
        raise OpTypeError(f"{name}: {held.type} has fewer than two axes")
    rows, columns = held.type.shape[-2:]
    if not isinstance(rows, int) or not isinstance(columns, int):
        raise OpTypeError(f"{name}: needs sizes that are numbers, not {held.type}")
    mask = tri(rows, columns, k, dtype=bool)
    keep = b.broadcast(b.array(~mask if upper else mask), held.type.shape)
    return b.op("select", keep, held, 0)  # type: ignore[no-any-return]
