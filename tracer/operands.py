"""Turn what a call holds into operands and params.

A call reaches the functions with Values where the user had traced values; the rest is
as the user wrote it: Python numbers stay numbers (they are weak), NumPy scalars and
arrays become Values, lists are arrays or stacks.
"""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.errors import OpTypeError
from ..ir.graph import Value
from ..ir.promote import Operand, cast_to, common_dtype
from ..ir.sizes import SizeExpr, product
from ..ir.types import F64, Shape
from .builders import ArrayBuilder
from .dim import Dim
from .pair import is_complex

_NUMBERS = (float, int, bool)


def operand(b: ArrayBuilder, x: Any, name: str) -> Operand:
    """Return a Value, or a Python number as it is.

    Any: whatever the user passed.

    Raises:
        OpTypeError: x is not an array, a number or a list of them.
    """
    if type(x) is Value or type(x) in _NUMBERS:
        return x  # type: ignore[no-any-return]  # one of Operand, just seen
    if isinstance(x, np.generic):
        return b.number(x)
    if isinstance(x, np.ndarray):
        return b.array(x)
    if isinstance(x, Dim):
        return b.constant(x.size)
    if isinstance(x, (list, tuple)):
        return listed(b, x, name)
    if isinstance(x, _NUMBERS):
        return x  # a subclass, as an IntEnum
    made = getattr(x, "__array__", None)
    if made is not None:
        return b.array(np.asarray(x))
    if is_complex((x,)):
        raise OpTypeError(f"{name}: complex numbers are not supported here")
    raise OpTypeError(
        f"{name}: an operand is a {type(x).__name__}, not an array or a number: {x!r}"
    )


def operands(b: ArrayBuilder, args: Sequence[Any], name: str) -> list[Operand]:
    """Return all operands of a call; sizes take the dtype of the floats beside them."""
    out = [
        x if type(x) is Value or type(x) in _NUMBERS else operand(b, x, name)
        for x in args
    ]
    for k, x in enumerate(args):
        if isinstance(x, Dim):
            beside = [v for v in out if isinstance(v, Value) and v.type.dtype.is_float]
            if beside:
                out[k] = b.constant(x.size, beside[0].type.dtype)
    return out


def value(b: ArrayBuilder, x: Any, name: str) -> Value:
    """Return an operand as a Value; a Python number has NumPy's default dtype."""
    got = operand(b, x, name)
    if isinstance(got, Value):
        return got
    return cast_to(b, got, common_dtype(b, name, [got]))


def floating(b: ArrayBuilder, x: Any, name: str) -> Value:
    """Return an operand as a Value of a float dtype; integers become f64."""
    got = value(b, x, name)
    return got if got.type.dtype.is_float else cast_to(b, got, F64)


def has_value(x: Any) -> bool:
    """Return whether something traced is in a list, at any depth."""
    return isinstance(x, (Value, Dim)) or (
        isinstance(x, (list, tuple)) and any(has_value(item) for item in x)
    )


def listed(b: ArrayBuilder, items: Sequence[Any], name: str) -> Value:
    """Return nested lists as one Value: an array, or a stack of traced values."""
    if not has_value(items):
        try:
            array = np.asarray(items)
        except ValueError as error:
            raise OpTypeError(f"{name}: {error}") from None
        if array.dtype.kind not in "fiub":
            raise OpTypeError(
                f"{name}: a list of {array.dtype} is not an array of numbers"
            )
        return b.array(array)
    return stack_values(b, [value(b, item, name) for item in items], 0, name)


def emit(b: ArrayBuilder, name: str, *args: Any, **params: Any) -> Any:
    """Append op `name` to operands that its record accepts.

    Any: operands, and NumPy's keywords; one result or a tuple.
    """
    values, made = b.table[name].accept(b, *args, **params)
    return b.op(name, *values, **made)


def stack_values(
    b: ArrayBuilder, parts: Sequence[Value], axis: int, name: str
) -> Value:
    """Stack values along a new axis, after NumPy's promotion."""
    if not parts:
        raise OpTypeError(f"{name}: needs at least one array")
    dtype = common_dtype(b, name, parts)
    shape = parts[0].type.shape
    for part in parts:
        if part.type.shape != shape:
            raise OpTypeError(
                f"{name}: all arrays must have one shape: "
                + ", ".join(str(p.type) for p in parts)
            )
    at = axis_index(axis, len(shape) + 1, name)
    lifted = [b.op("expand_dims", cast_to(b, p, dtype), axes=(at,)) for p in parts]
    if len(lifted) == 1:
        return lifted[0]  # type: ignore[no-any-return]  # a Value
    return b.op("concatenate", *lifted, axis=at)  # type: ignore[no-any-return]


def axis_index(axis: Any, rank: int, name: str) -> int:
    """Return an axis as a number from 0.

    Raises:
        OpTypeError: there is no such axis.
    """
    try:
        k = operator.index(axis)
    except TypeError:
        raise OpTypeError(f"{name}: an axis is an integer, got {axis!r}") from None
    if not -rank <= k < rank:
        raise OpTypeError(f"{name}: axis {k} is out of bounds for {rank} dimensions")
    return k % rank if rank else k


def axes_of(axis: Any, rank: int, name: str) -> tuple[int, ...]:
    """Return the axes a reduction names, sorted; None is all."""
    if axis is None:
        return tuple(range(rank))
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    found = sorted({axis_index(a, rank, name) for a in given})
    if len(found) != len(given):
        raise OpTypeError(f"{name}: an axis is named twice: {axis}")
    return tuple(found)


def shape_of(shape: Any, name: str) -> Shape:
    """Return a shape as the user wrote it: an int, a Dim, or a sequence of them."""
    given = shape if isinstance(shape, (tuple, list, np.ndarray)) else (shape,)
    out: list[int | SizeExpr] = []
    for d in given:
        if isinstance(d, Value):
            raise OpTypeError(
                f"{name}: a shape must be known when tracing, got {d.type}"
            )
        try:
            out.append(d.size if isinstance(d, Dim) else operator.index(d))
        except TypeError:
            raise OpTypeError(f"{name}: a shape holds integers, got {d!r}") from None
    return tuple(out)


def refuse(name: str, options: "dict[str, Any]") -> None:
    """Refuse NumPy options that are not at their defaults.

    Raises:
        OpTypeError: an option was given; the message names it.
    """
    for option, given in options.items():
        if given is None or given is np._NoValue or given is True:
            continue  # True is the default of where= and subok=
        if isinstance(given, str) and given in _DEFAULTS.get(option, ()):
            continue
        raise OpTypeError(f"{name}: {_WHY.get(option, f'{option}= is not supported')}")


_DEFAULTS = {"casting": ("same_kind",), "order": ("C", "K")}
_WHY = {
    "out": "out= writes into an array, and traced values are never written to; "
    "use the result",
    "where": "where= leaves elements unwritten; use np.where on the result",
    "dtype": "dtype= is not supported here; use .astype before",
}


def count_of(shape: Shape, axes: Sequence[int]) -> "int | SizeExpr":
    """Return how many elements a reduction over `axes` takes together."""
    return product([shape[k] for k in axes])
