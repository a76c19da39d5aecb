"""Forms: how an op iterates over its operands.

An op is data, a form is code. Codegen knows these classes and the scalar vocabulary of
`scalar.py`, never the name of an op. To add a form is to add an emitter.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from .sizes import SizeExpr

# A scalar body: (scalar builder, one scalar an operand, **params) -> scalar(s).
# Any: the scalars belong to whoever implements the builder.
ScalarBody = Callable[..., Any]

# An index rule: (index builder, index of the result, operand type, result type,
# **params) -> index of the operand. Any: indices belong to the builder.
IndexRule = Callable[..., Sequence[Any]]


class _Plain:
    """A form that its name says all of."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    def __hash__(self) -> int:
        return hash(type(self))


@dataclass(frozen=True, slots=True)
class Region:
    """Where an operand lies in a result: start and step along every axis."""

    start: tuple[int | SizeExpr, ...]
    step: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Map:
    """Every operand has the result's shape; one scalar body an element."""

    scalar: ScalarBody


@dataclass(frozen=True, slots=True)
class Reduce:
    """Fold the axes of param `axes` with a monoid: "add", "max", "min" or "mul"."""

    monoid: str


class Contract(_Plain):
    """Sum of products over shared labels; params lhs, rhs, out are label strings."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class View:
    """Each result element is one operand element, found by an index rule."""

    index: IndexRule


@dataclass(frozen=True, slots=True)
class Place:
    """Operands lie in disjoint regions of the result; everything else is 0.

    `regions(operand types, result type, **params)` says where, one region an operand;
    steps may be negative. What of a region is outside the result is left out.
    """

    regions: Callable[..., tuple[Region, ...]]


class Gather(_Plain):
    """Operand 0 read at the integers of operand 1 along param `axis`; may raise."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Scatter:
    """Operand 0 folded into an array at the integers of operand 1 along param `axis`.

    The array is operand 2, or zeros where there is none; `monoid` is as in `Reduce`, or
    "last": what is there is replaced, and the last of several stays.
    """

    monoid: str = "add"


@dataclass(frozen=True, slots=True)
class Scan:
    """Running values along param `axis`, from its end where param `reverse` holds.

    `first(scalar builder, *operands)` is the value where the walk begins; each later
    one is `step(scalar builder, value before, *operands)`.
    """

    first: ScalarBody
    step: ScalarBody


@dataclass(frozen=True, slots=True)
class Factorize:
    """Matrices of the last two axes factored, or systems of them solved; may raise.

    `kind` is "cholesky", "lu", "triangular_solve" or "lu_solve"; the axes before are
    a batch, and each matrix is on its own.
    """

    kind: str


@dataclass(frozen=True, slots=True)
class Control:
    """Regions run in turn or by choice; `kind` is "while", "scan" or "switch".

    What each operand and result is to the regions is said in `ops/control.py`.
    """

    kind: str


class Print(_Plain):
    """Operands are shown to the caller, who makes text of them; no results."""

    __slots__ = ()


class Literal(_Plain):
    """No operands; param `value` is a scalar or a size everywhere, or an array."""

    __slots__ = ()


class Iota(_Plain):
    """No operands; each element is its position along param `axis`."""

    __slots__ = ()


class Rows(_Plain):
    """Every row of the results from that row of the operands; param `plan` says how.

    Part of a program that is being lowered: no pass meets it, no op has it.
    """

    __slots__ = ()


Form = (
    Map
    | Reduce
    | Scan
    | Contract
    | View
    | Place
    | Gather
    | Scatter
    | Factorize
    | Control
    | Print
    | Literal
    | Iota
    | Rows
)


def reduced_shape(
    shape: Sequence[int | SizeExpr], axes: Sequence[int]
) -> tuple[int | SizeExpr, ...]:
    """Return the shape without `axes`."""
    return tuple(d for k, d in enumerate(shape) if k not in axes)
