"""Jacobians of products: where all rows of an identity meet a contraction.

A product with a row of an identity picks elements of the other factor. So the rows of
all of them are the other factor, moved, with 0 where a label that stays is another;
nothing is multiplied or summed, and a pole elsewhere does not matter.
"""

from collections.abc import Sequence

from ..ir.builder import Builder
from ..ir.forms import Contract
from ..ir.graph import Node, Value
from ..ir.sizes import SizeExpr, product
from ..ir.types import I64, TensorType


def picked(
    b: Builder, nodes: Sequence[Node], stand_in: Value
) -> tuple[dict[Value, Value], list[Node]]:
    """Return what contractions of a stand-in are for all rows of its identity.

    Args:
        b: where they go.
        nodes: what was made of the stand-in, not in the builder.
        stand_in: a tangent or a cotangent.

    Returns:
        The rows of each such result, and the other nodes.
    """
    own = set(nodes)
    found: dict[Value, Value] = {}
    rest: list[Node] = []
    for node in nodes:
        at = [k for k, x in enumerate(node.operands) if x is stand_in]
        if isinstance(node.primitive.form, Contract) and len(at) == 1:
            other = node.operands[1 - at[0]]
            if other.node not in own:  # else it is not there yet
                found[node.results[0]] = _rows(b, node, at[0])
                continue
        rest.append(node)
    return found, rest


def _rows(b: Builder, node: Node, at: int) -> Value:
    sides = (node.params["lhs"], node.params["rhs"])
    mine, theirs, out = sides[at], sides[1 - at], node.params["out"]
    stand_in, other = node.operands[at], node.operands[1 - at]
    result = node.results[0].type
    shape: tuple[int | SizeExpr, ...] = (*stand_in.type.shape, *result.shape)
    after = len(mine)
    # axes of what is made: those of the identity's row, then those of the result
    where = [
        after + out.index(label) if label in out else mine.index(label)
        for label in theirs
    ]
    order = tuple(sorted(range(len(where)), key=where.__getitem__))
    moved = other
    if order != tuple(range(len(order))):
        moved = b.op("transpose", other, axes=order)
    missing = tuple(k for k in range(len(shape)) if k not in where)
    lifted = b.op("expand_dims", moved, axes=missing) if missing else moved
    wide = b.broadcast(lifted, shape)
    places = TensorType(I64, shape)
    for k, label in enumerate(mine):
        if label in out:
            row = b.op("iota", axis=k, type=places)
            column = b.op("iota", axis=after + out.index(label), type=places)
            zero = b.zeros(wide.type)
            wide = b.op("select", b.op("eq", row, column), wide, zero)
    count = product(stand_in.type.shape)
    return b.op("reshape", wide, shape=(count, *result.shape))  # type: ignore[no-any-return]
