"""Products of arrays: all are one contraction."""

from collections.abc import Sequence
from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.loc import traced_at
from ..builders import ArrayBuilder
from ..operands import emit, refuse, value
from .elementwise import same_dtype

_LABELS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def matmul(b: ArrayBuilder, x1: Any, x2: Any, **options: Any) -> Value:
    """Return the matrix product, broadcast over leading axes."""
    refuse("matmul", options)
    one, two = same_dtype(b, "matmul", x1, x2)
    return emit(b, "contract", one, two)  # type: ignore[no-any-return]


def contracted(
    b: ArrayBuilder, name: str, x: Value, y: Value, lhs: str, rhs: str, out: str
) -> Value:
    """Return a contraction by labels; labels in one operand alone are summed first."""
    x, lhs = summed(b, x, lhs, rhs + out)
    y, rhs = summed(b, y, rhs, lhs + out)
    sizes = dict(zip(lhs, x.type.shape, strict=True))
    for label, d in zip(rhs, y.type.shape, strict=True):
        have = sizes.setdefault(label, d)
        if have != d and isinstance(have, int) and isinstance(d, int):
            raise OpTypeError(
                f"{name}: summed dimensions differ: {have} and {d}"
                f"\n  operands: a {x.type}, b {y.type}{traced_at(b.loc)}"
            )
        if have != d:
            b.guard(have, d, f"{name}: operands share an axis")
    y = emit(b, "reshape", y, tuple(sizes[label] for label in rhs))
    if out and set(out) <= set(lhs) & set(rhs):
        return _dots(b, x, y, lhs, rhs, out)
    return b.op("contract", x, y, lhs=lhs, rhs=rhs, out=out)  # type: ignore[no-any-return]


def _dots(b: ArrayBuilder, x: Value, y: Value, lhs: str, rhs: str, out: str) -> Value:
    """Return one dot product for each place of the result, by no matrix product."""
    order = out + "".join(label for label in lhs if label not in out)
    one = b.op("transpose", x, axes=tuple(lhs.index(label) for label in order))
    two = b.op("transpose", y, axes=tuple(rhs.index(label) for label in order))
    product = b.op("mul", one, two)
    axes = tuple(range(len(out), len(order)))
    return b.op("sum", product, axes=axes) if axes else product  # type: ignore[no-any-return]


def summed(b: ArrayBuilder, x: Value, labels: str, needed: str) -> tuple[Value, str]:
    """Return x summed over the labels that are not needed, and the labels left."""
    axes = tuple(k for k, label in enumerate(labels) if label not in needed)
    if not axes:
        return x, labels
    kept = "".join(label for label in labels if label in needed)
    return b.op("sum", x, axes=axes), kept


def dot(b: ArrayBuilder, a: Any, x: Any, out: Any = None) -> Value:
    """Return the sum over the last axis of a and the last but one of x."""
    refuse("dot", {"out": out})
    one, two = same_dtype(b, "dot", a, x)
    if one.type.rank == 0 or two.type.rank == 0:
        return emit(b, "mul", one, two)  # type: ignore[no-any-return]
    at = max(two.type.rank - 2, 0)
    return _product(b, "dot", one, two, [one.type.rank - 1], [at])


def _product(
    b: ArrayBuilder,
    name: str,
    x: Value,
    y: Value,
    left: Sequence[int],
    right: Sequence[int],
) -> Value:
    lhs = _LABELS[: x.type.rank]
    rhs = list(_LABELS[26 : 26 + y.type.rank])
    for at, to in zip(left, right, strict=True):
        rhs[to] = lhs[at]
    free = [label for k, label in enumerate(lhs) if k not in left]
    free += [label for k, label in enumerate(rhs) if k not in right]
    return contracted(b, name, x, y, lhs, "".join(rhs), "".join(free))


def inner(b: ArrayBuilder, a: Any, x: Any) -> Value:
    """Return the sum over the last axes of both."""
    one, two = same_dtype(b, "inner", a, x)
    if one.type.rank == 0 or two.type.rank == 0:
        return emit(b, "mul", one, two)  # type: ignore[no-any-return]
    return _product(b, "inner", one, two, [one.type.rank - 1], [two.type.rank - 1])


def vdot(b: ArrayBuilder, a: Any, x: Any) -> Value:
    """Return the sum of products of all elements."""
    one, two = (emit(b, "reshape", v, (-1,)) for v in same_dtype(b, "vdot", a, x))
    return _product(b, "vdot", one, two, [0], [0])


def outer(b: ArrayBuilder, a: Any, x: Any, out: Any = None) -> Value:
    """Return all products of an element of a and one of x."""
    refuse("outer", {"out": out})
    one, two = (emit(b, "reshape", v, (-1,)) for v in same_dtype(b, "outer", a, x))
    shape = (one.type.shape[0], two.type.shape[0])
    left = b.broadcast(b.op("expand_dims", one, axes=(1,)), shape)
    right = b.broadcast(b.op("expand_dims", two, axes=(0,)), shape)
    return b.op("mul", left, right)  # type: ignore[no-any-return]


def tensordot(b: ArrayBuilder, a: Any, x: Any, axes: Any = 2) -> Value:
    """Return the sum of products over pairs of axes."""
    one, two = same_dtype(b, "tensordot", a, x)
    left: list[int]
    right: list[int]
    if isinstance(axes, int):
        left = list(range(one.type.rank - axes, one.type.rank))
        right = list(range(axes))
    else:
        first, second = axes
        left = list(first) if isinstance(first, (tuple, list)) else [first]
        right = list(second) if isinstance(second, (tuple, list)) else [second]
    left = [k % one.type.rank for k in left]
    right = [k % two.type.rank for k in right]
    return _product(b, "tensordot", one, two, left, right)


def matrix_transpose(b: ArrayBuilder, x: Any) -> Value:
    """Return the last two axes exchanged."""
    held = value(b, x, "matrix_transpose")
    rank = held.type.rank
    if rank < 2:
        raise OpTypeError(f"matrix_transpose: {held.type} has fewer than two axes")
    order = (*range(rank - 2), rank - 1, rank - 2)
    return b.op("transpose", held, axes=order)  # type: ignore[no-any-return]
