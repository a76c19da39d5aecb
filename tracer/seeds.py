"""What the rows and columns of a Jacobian begin with."""

from ..ir.graph import Value
from ..ir.sizes import product
from ..ir.types import I64, TensorType
from .builders import ArrayBuilder


def identity(b: ArrayBuilder, kind: TensorType) -> Value:
    """Return the identity of all arrays of a type: each has a 1 in one place."""
    count = product(kind.shape)
    shape = (count, *kind.shape)
    one = b.op("iota", axis=0, type=TensorType(I64, (count,)))
    places = b.broadcast(b.op("reshape", one, shape=kind.shape), shape)
    rows = b.op("iota", axis=0, type=TensorType(I64, shape))
    # made of bools, so that what is 0 in it masks poles
    return b.op("cast", b.op("eq", rows, places), dtype=kind.dtype)  # type: ignore[no-any-return]
