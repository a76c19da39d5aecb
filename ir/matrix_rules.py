"""What the record of an op says of matrices: where zeros go, and what is read.

A matrix is the last two axes of a value. `structure.py` walks a program and asks these
rules; an op that has none hands nothing on, and a map reads of its operands what is
read of its result.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from .band import Band
from .forms import Literal
from .graph import Node, Value

Ramp = tuple[int, int, int]  # of an integer: a row + b column + c


class Known(Protocol):
    """What is known of the values before a node.

    `masks` are bools that hold in a band and nowhere else; rules may add to them.
    """

    masks: dict[Value, Band]

    def of(self, x: Value) -> Band:
        """Return where a value may differ from 0."""

    def ramp(self, x: Value) -> Ramp | None:
        """Return an integer that grows along rows and columns, if that is known."""


# (what is known, node) -> where its result may differ from 0, None for anywhere
ZeroRule = Callable[[Known, Node], Band | None]
# (what is read of the result, node, masks) -> what is read of each operand
ReadRule = Callable[[Band, Node, Mapping[Value, Band]], list[Band]]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatrixRules:
    """The rules of one op.

    Fields:
        zeros: the band outside of which its result is zero.
        reads: the part of each operand that it reads.
        ramp: the result's ramp from those of the operands, of integers.
        permutes: it exchanges axes, as its param `axes` says, and does nothing else.
    """

    zeros: ZeroRule | None = None
    reads: ReadRule | None = None
    ramp: Callable[..., Ramp] | None = None
    permutes: bool = False


def number_of(x: Value) -> int | float | None:
    """Return the number a value is everywhere; None of any other."""
    node = x.node
    if node is None or not isinstance(node.primitive.form, Literal):
        return None
    value = node.params["value"]
    return value if isinstance(value, (bool, int, float)) else None
