"""What batching rules share: one new leading axis, and shapes and axes after it."""

from collections.abc import Sequence

from ..builder import Builder
from ..graph import Value
from ..sizes import SizeExpr, product
from ..types import I64, Shape, TensorType

Size = int | SizeExpr


def lead(b: Builder, size: Size, has: bool, x: Value) -> Value:
    """Return x with the new axis; repeated along it where it does not have it yet."""
    return x if has else b.broadcast(x, (size, *x.type.shape))


def lead_all(
    b: Builder, size: Size, batched: Sequence[bool], operands: Sequence[Value]
) -> tuple[Value, ...]:
    """Return operands that all have the new axis."""
    pairs = zip(batched, operands, strict=True)
    return tuple([lead(b, size, has, x) for has, x in pairs])


def moved(axes: Sequence[int]) -> tuple[int, ...]:
    """Return axes as they are numbered after the new one."""
    return tuple([k + 1 for k in axes])


def front(b: Builder, x: Value, first: int, count: int, to: int) -> Value:
    """Return x with `count` axes from `first` on moved to be axes `to` on."""
    rank = x.type.rank
    some = list(range(first, first + count))
    rest = [k for k in range(rank) if k not in some]
    order = (*rest[:to], *some, *rest[to:])
    if order == tuple(range(rank)):
        return x
    return b.op("transpose", x, axes=order)  # type: ignore[no-any-return]


def rows(b: Builder, x: Value, axis: int) -> tuple[Value, Shape]:
    """Return batched x with `axis` joined to the new axis in front, and its old shape.

    `axis` is numbered without the new one: (size, ..., n, ...) becomes (size * n, ...).
    """
    laid = front(b, x, axis + 1, 1, 1)
    shape = laid.type.shape
    flat = (product(shape[:2]), *shape[2:])
    return b.op("reshape", laid, shape=flat), shape


def from_rows(b: Builder, x: Value, shape: Shape, axis: int) -> Value:
    """Undo `rows`."""
    return front(b, b.op("reshape", x, shape=shape), 1, 1, axis + 1)


def row_numbers(b: Builder, idx: Value, extent: Size) -> Value:
    """Return batched indices of an axis as indices of `rows`, those outside as outside.

    Args:
        b: the builder.
        idx: (size, ...), from -extent to extent - 1 where it is in range.
        extent: the size of the axis.
    """
    kind: TensorType = idx.type
    size = kind.shape[0]
    whole = b.constant(extent, I64, kind.shape)
    total = product((size, extent))
    start = b.op("mul", b.op("iota", axis=0, type=kind), whole)
    counted = b.op("select", b.op("lt", idx, 0), b.op("add", idx, whole), idx)
    inside = b.op("logical_and", b.op("ge", counted, 0), b.op("lt", counted, whole))
    outside = b.constant(total, I64, kind.shape)
    return b.op("select", inside, b.op("add", start, counted), outside)  # type: ignore[no-any-return]
