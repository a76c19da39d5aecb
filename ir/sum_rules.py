"""What the record of an op says of sums: how a sum of its result is one of operands.

`ops/early_sum.py` takes the cotangents of what is shared apart by these rules, to sum
before it multiplies.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .graph import Node, Value

if TYPE_CHECKING:
    from .builder import Builder

Axes = tuple[int, ...]
# (builder, value, axes) -> the sum over axes, a factor all elements share taken out
Summed = Callable[["Builder", Value, Axes], Value]


@dataclass(frozen=True, slots=True, kw_only=True)
class SumRules:
    """The rules of one op.

    Fields:
        terms: (node, axes) -> the values whose sums, over axes of theirs, make up the
            sum of the result, all else of it left out.
        joined: (builder, node, axes, sums of the terms, how to sum the rest) -> the sum
            of the result.
        multiplies: the result is the product of the two operands.
        shared: (builder, node, axes) -> the operand without axes, where it is the same
            along all of them; None where it is not.
    """

    terms: Callable[[Node, Axes], list[tuple[Value, Axes]]] | None = None
    joined: Callable[["Builder", Node, Axes, Sequence[Value], Summed], Value] | None = (
        None
    )
    multiplies: bool = False
    shared: Callable[["Builder", Node, Axes], Value | None] | None = None
