"""Read the axis and shape arguments of NumPy calls."""

import operator
from collections.abc import Sequence
from typing import Any

from ..builder import Builder
from ..graph import Value
from ..promote import Operand, cast_to, common_dtype, op_error
from ..sizes import SizeExpr
from ..types import Shape


def as_value(b: Builder, name: str, x: Operand) -> Value:
    """Return an operand as a Value of the dtype NumPy would give it."""
    return x if isinstance(x, Value) else cast_to(b, x, common_dtype(b, name, [x]))


def refuse_keywords(
    b: Builder, name: str, given: dict[str, Any], args: Sequence[Operand]
) -> None:
    """Refuse the keywords an op has no param for.

    Raises:
        OpTypeError: there are any.
    """
    if given:
        words = ", ".join(f"{key}=" for key in given)
        raise op_error(b, name, f"does not take {words}", args)


def one_axis(
    b: Builder, name: str, axis: Any, rank: int, args: Sequence[Operand]
) -> int:
    """Return one axis as a non-negative number.

    Any: what the caller wrote.

    Raises:
        OpTypeError: it is not an integer, or outside the rank.
    """
    try:
        at = operator.index(axis)
    except TypeError:
        raise op_error(b, name, f"axis {axis!r} is not an integer", args) from None
    if not -rank <= at < rank:
        raise op_error(b, name, f"axis {at} is out of range for rank {rank}", args)
    return at % rank


def many_axes(
    b: Builder, name: str, axis: Any, rank: int, args: Sequence[Operand]
) -> tuple[int, ...]:
    """Return the axes of an `axis` argument (None for all) in ascending order.

    Any: what the caller wrote, an integer or a sequence of them.

    Raises:
        OpTypeError: one is not an axis, or is there twice.
    """
    if axis is None:
        return tuple(range(rank))
    given = axis if isinstance(axis, (tuple, list)) else (axis,)
    axes = [one_axis(b, name, k, rank, args) for k in given]
    if len(set(axes)) != len(axes):
        raise op_error(b, name, f"axis {axis!r} names an axis twice", args)
    return tuple(sorted(axes))


def as_shape(b: Builder, name: str, shape: Any, args: Sequence[Operand]) -> Shape:
    """Return a `shape` argument as a tuple of sizes; -1 is left as it is.

    Any: what the caller wrote, a size or a sequence of them.

    Raises:
        OpTypeError: an entry is not a size.
    """
    given = shape if isinstance(shape, (tuple, list)) else (shape,)
    out: list[int | SizeExpr] = []
    for size in given:
        if isinstance(size, SizeExpr):
            out.append(size)
            continue
        try:
            out.append(operator.index(size))
        except TypeError:
            raise op_error(b, name, f"{size!r} is not a size", args) from None
    return tuple(out)


def shape_text(shape: Sequence[int | SizeExpr]) -> str:
    """Return a shape as it is written in messages: `(n, 3)`."""
    inner = ", ".join(map(str, shape))
    return f"({inner},)" if len(shape) == 1 else f"({inner})"


def agree(b: Builder, name: str, x: Value, shape: Shape) -> Value:
    """Return x in a shape of the same rank that its own shape is equal to.

    Sizes that are not the same expression become guards.
    """
    if x.type.shape == shape:
        return x
    for have, want in zip(x.type.shape, shape, strict=True):
        b.guard(have, want, f"{name}: sizes must agree")
    out: Value = b.op("reshape", x, shape=shape)
    return out
