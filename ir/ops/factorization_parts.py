"""What the rules of factorisations are made of: triangles, products, solves."""

from ..builder import Builder
from ..graph import Value
from ..types import I64


def part(b: Builder, x: Value, lower: bool, unit: bool) -> Value:
    """Return a triangle of x, without its diagonal if `unit`; zeros elsewhere."""
    places = x.type.with_dtype(I64)
    rank = x.type.rank
    down = b.op("iota", axis=rank - 2, type=places)
    across = b.op("iota", axis=rank - 1, type=places)
    if not lower:
        down, across = across, down
    kept = b.op("gt" if unit else "ge", down, across)
    return b.op("select", kept, x, b.zeros(x.type))  # type: ignore[no-any-return]


def on_diagonal(b: Builder, x: Value) -> Value:
    """Return which elements of a matrix are on its diagonal, as bools."""
    places = x.type.with_dtype(I64)
    rank = x.type.rank
    down = b.op("iota", axis=rank - 2, type=places)
    across = b.op("iota", axis=rank - 1, type=places)
    return b.op("eq", down, across)  # type: ignore[no-any-return]


def turned(b: Builder, x: Value) -> Value:
    """Return matrices transposed."""
    rank = x.type.rank
    order = (*range(rank - 2), rank - 1, rank - 2)
    return b.op("transpose", x, axes=order)  # type: ignore[no-any-return]


def times(b: Builder, x: Value, y: Value, labels: str) -> Value:
    """Contract the last two axes of both; batch axes stay."""
    batch = "abcdefghlmnopqrstuvwxyz"[: x.type.rank - 2]
    lhs, rhs, out = (batch + part for part in labels.replace("->", ",").split(","))
    return b.op("contract", x, y, lhs=lhs, rhs=rhs, out=out)  # type: ignore[no-any-return]


def solve(
    b: Builder, x: Value, y: Value, lower: bool, transpose: bool, unit: bool = False
) -> Value:
    """Return the solution of triangular systems."""
    return b.op(  # type: ignore[no-any-return]
        "triangular_solve", x, y, lower=lower, transpose=transpose, unit=unit
    )


def less(b: Builder, x: Value | None, y: Value) -> Value:
    """Return x - y, where None is zero."""
    return b.op("neg", y) if x is None else b.op("sub", x, y)  # type: ignore[no-any-return]
