"""The op record: everything pullback knows of one op, in one place.

A record is data. What it needs of the world it receives: rules get a builder. Every
field is required, so "what does tanh have?" is answered by one look.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from .forms import Form
from .graph import Value
from .matrix_rules import MatrixRules
from .sum_rules import SumRules
from .types import TensorType


class Rule(Enum):
    """What stands in a record's rule field when it is not a function."""

    NON_DIFFERENTIABLE = "non-differentiable"  # its gradient is None, always
    UNREGISTERED = "unregistered"  # a gradient may exist, nobody wrote it
    DERIVED = "derived"  # follows from the form


NON_DIFFERENTIABLE = Rule.NON_DIFFERENTIABLE
UNREGISTERED = Rule.UNREGISTERED
DERIVED = Rule.DERIVED


class Cost(Enum):
    """What it costs to compute an element again."""

    CHEAP = "cheap"
    TRANSCENDENTAL = "transcendental"
    KEEP = "keep"  # never computed twice: contractions, reductions, draws


class Effect(Enum):
    """What an op does beside its results."""

    RAISES = "raises"  # may be dropped if unused, never speculated
    PRINTS = "prints"


@dataclass(frozen=True, slots=True)
class Domain:
    """Where an op is smooth: test inputs come from [low, high], one pair an operand.

    `away` lists points to keep clear of by 0.05: kinks and poles inside the interval.
    """

    low: float
    high: float
    away: tuple[float, ...] = ()


# (builder, the call's operands and keywords) -> operands, params. Any: a call may hold
# Python scalars, arrays, axes and traced values.
Accept = Callable[..., tuple[tuple[Value, ...], dict[str, Any]]]
# (*operand types, **params) -> result types; raises OpTypeError
TypeRule = Callable[..., tuple[TensorType, ...]]
# (*arrays, **params) -> array or tuple of arrays, by NumPy: the meaning of the op
Evaluate = Callable[..., Any]
# (builder, cotangents, results, *operands, **params) -> one cotangent an operand; one
# result passes its cotangent and itself without a tuple
VjpRule = Callable[..., "Sequence[Value | None]"]
# (builder, tangents of the operands, results, *operands, **params) -> one tangent a
# result, None for zero; one result passes itself and its tangent without a tuple
JvpRule = Callable[..., "Value | Sequence[Value | None] | None"]
# (builder, size of the new axis, whether each operand has it, *operands, **params) ->
# results, which all have it; one result comes without a tuple
BatchRule = Callable[..., "Value | Sequence[Value]"]
# (shapes of the operands, random generator) -> the operands, in f64. Any: NumPy arrays.
# The generator by name: NumPy loads its module, and hashlib, for whoever asks for it.
MakeOperands = Callable[
    [Sequence[tuple[int, ...]], "np.random.Generator"], Sequence[Any]
]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Primitive:
    """An op the IR knows. Compared by identity; every field is required.

    Fields:
        name: the op's name in text IR and messages.
        mirrors: NumPy callables that mean this op; the first is its reference.
        tf_name: TensorFlow's name for it, or None.
        accept: turns a call into operands and params.
        infer: the type rule; a tuple of result types.
        evaluate: the NumPy reference.
        form: how it iterates; what codegen sees of it.
        vjp, jvp, batch: a rule, or a `Rule`.
        effects: what it does beside its results.
        cost: what computing it again costs.
        exact: its reference is correctly rounded, so it may be folded bit for bit.
        sparsity: how its Jacobian is filled: diagonal, linear, dense or selection.
        domain: where it is smooth; one for all operands or one each.
        kinks: the convention at points where it is not, in words.
        matrix: where zeros of matrices go and what of them is read, or None.
        sums: how a sum of its result is one of its operands, or None.
        samples: calls for the generated tests, beyond those the form implies.
        doc: one sentence for the user.
    """

    name: str
    mirrors: tuple[Callable[..., Any], ...]
    tf_name: str | None
    accept: Accept
    infer: TypeRule
    evaluate: Evaluate
    form: Form
    vjp: VjpRule | Rule
    jvp: JvpRule | Rule
    batch: BatchRule | Rule
    effects: frozenset[Effect]
    cost: Cost
    exact: bool
    sparsity: str
    domain: Domain | tuple[Domain, ...]
    kinks: str
    matrix: MatrixRules | None
    sums: SumRules | None
    samples: "tuple[Sample, ...]"
    doc: str

    def __repr__(self) -> str:
        return f"<Primitive {self.name}>"


@dataclass(frozen=True, slots=True)
class Sample:
    """A call of an op for the generated tests.

    `shapes` are the operands' shapes, where None stands for the size under test; a
    param that is a function is called with that size; `dtypes` the operands' dtypes
    ("f" is the float type under test); `integers` has (operand, low, high) for each
    operand of integers, high exclusive. `make` draws the operands where independent
    numbers from the domain are not what the op takes, as matrices it can factor.
    """

    shapes: tuple[tuple[int | None, ...], ...]
    params: dict[str, Any]  # Any: params of any kind
    dtypes: tuple[str, ...] = ()
    integers: tuple[tuple[int, int, int], ...] = ()
    make: "MakeOperands | None" = None


def as_results(made: Any) -> tuple[np.ndarray[Any, Any], ...]:
    """Return a reference's answer as a tuple of arrays.

    Any: a reference may return an array, a NumPy scalar or a tuple.
    """
    if isinstance(made, tuple):
        return tuple(np.asarray(m) for m in made)
    return (np.asarray(made),)
