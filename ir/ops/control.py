"""Loops and choices: ops whose params hold closed regions.

`while_loop` runs `body` while `cond` holds, `scan` runs it a number of times known
before it starts, `switch` runs one of several regions. Operands come in groups:

    while_loop  carries, invariants
    scan        carries, sequences, invariants
    switch      index, what the branches take
    revolve     carries, cotangents of the last carries, sums, sequences,
                cotangents of stacks, invariants

A region takes the same in the same order, with one element of each sequence in place of
it. A body returns the next carries, then what a loop stacks: result [k] of the stack
is what step k returned. A `while_loop` that stacks binds a size, `trips`, when it runs:
how many steps it took.

`extends` names another loop, body and condition, over some of the operands, whose
results are some of the results: how an adjoint asks for residuals of a loop, and a
tangent for its values. It is (body, condition or None, operands, results), by number.

`revolve` is the adjoint of a scan that keeps few carries. `body` returns the next
carries; `back` takes cotangents of carries, sums, the carries before a step, elements
of sequences and of cotangents of stacks, and invariants, and returns cotangents of
carries, sums and cotangents of elements. At most `checkpoints` carries are held at a
time; steps between them are run again.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..builder import Builder
from ..errors import OpTypeError
from ..forms import Control
from ..primitive import DERIVED, Cost, Domain, Effect, Primitive
from ..promote import Operand
from ..sizes import SizeExpr
from ..subgraph import SubGraph
from ..types import BOOL, I64, TensorType

Types = tuple[TensorType, ...]
Arrays = list[Any]  # of NumPy arrays
AUTO = -1  # checkpoints: as many as let every step run at most twice more
Extends = tuple[SubGraph, SubGraph | None, tuple[int, ...], tuple[int, ...]]


class Region(Protocol):
    """What a reference has for a SubGraph."""

    gives: Types

    def __call__(self, *arrays: Any) -> Arrays:
        """Return the results of the region."""

    def env(self, size: "int | SizeExpr") -> int:
        """Return the value of a size."""


def _no_call(b: Builder, *args: Operand, **params: Any) -> Any:
    raise OpTypeError("control ops hold regions: they are built, not called")


def _demand(name: str, what: str, wanted: Sequence[Any], got: Sequence[Any]) -> None:
    """Demand that types agree.

    Raises:
        OpTypeError: they do not; the message has the first two that differ.
    """
    if len(wanted) != len(got):
        raise OpTypeError(f"{name}: {what}: {len(wanted)} expected, got {len(got)}")
    for k, (x, y) in enumerate(zip(wanted, got, strict=True)):
        if x != y:
            raise OpTypeError(f"{name}: {what} {k} is {y}, {x} expected")


# --- while_loop -----------------------------------------------------------------------


def _stacked(kind: TensorType, length: "int | SizeExpr") -> TensorType:
    return kind.with_shape((length, *kind.shape))


def _while_infer(
    *types: TensorType,
    carries: int,
    cond: SubGraph,
    body: SubGraph,
    trips: SizeExpr | None,
    extends: Extends | None,
) -> Types:
    name = "while_loop"
    _demand(name, "input of the condition", types, cond.takes)
    _demand(name, "input of the body", types, body.takes)
    if cond.gives != (TensorType(BOOL, ()),):
        shown = ", ".join(map(str, cond.gives))
        raise OpTypeError(f"{name}: the condition is one bool, got {shown}")
    _demand(name, "carry", types[:carries], body.gives[:carries])
    kept = body.gives[carries:]
    if kept and trips is None:
        raise OpTypeError(f"{name}: a body that stacks needs a size for its trips")
    stacks = [] if trips is None else [_stacked(kind, trips) for kind in kept]
    return (*types[:carries], *stacks)


def _while_evaluate(
    *arrays: Any, carries: int, cond: Region, body: Region, trips: Any, extends: Any
) -> tuple[Any, ...]:
    held, fixed = list(arrays[:carries]), arrays[carries:]
    steps: list[Arrays] = []
    while bool(cond(*held, *fixed)[0]):
        made = body(*held, *fixed)
        held = made[:carries]
        steps.append(made[carries:])
    return (*held, *_stacks(steps, body, carries))


def _stacks(steps: list[Arrays], body: Region, carries: int) -> Arrays:
    if steps:
        return [np.stack(column) for column in zip(*steps, strict=True)]
    return [
        np.zeros((0, *(body.env(d) for d in kind.shape)), kind.dtype.numpy)
        for kind in body.gives[carries:]
    ]


# --- scan -----------------------------------------------------------------------------


def _scan_infer(
    *types: TensorType,
    carries: int,
    xs: int,
    length: "int | SizeExpr",
    reverse: bool,
    body: SubGraph,
    extends: Extends | None,
    checkpoints: int = 0,
) -> Types:
    name = "scan"
    if checkpoints < AUTO:
        raise OpTypeError(f"{name}: {checkpoints} checkpoints: at least 1 are needed")
    sequences = types[carries : carries + xs]
    for k, kind in enumerate(sequences):
        if not kind.shape or kind.shape[0] != length:
            raise OpTypeError(
                f"{name}: sequence {k} is {kind}, {length} elements expected"
            )
    elements = [kind.with_shape(kind.shape[1:]) for kind in sequences]
    taken = (*types[:carries], *elements, *types[carries + xs :])
    _demand(name, "input of the body", taken, body.takes)
    _demand(name, "carry", types[:carries], body.gives[:carries])
    stacks = [_stacked(kind, length) for kind in body.gives[carries:]]
    return (*types[:carries], *stacks)


def _scan_evaluate(
    *arrays: Any,
    carries: int,
    xs: int,
    length: int,
    reverse: bool,
    body: Region,
    extends: Any,
    checkpoints: int = 0,
) -> tuple[Any, ...]:
    held = list(arrays[:carries])
    sequences, fixed = arrays[carries : carries + xs], arrays[carries + xs :]
    steps: list[Arrays] = []
    order = range(length)
    for k in reversed(order) if reverse else order:
        made = body(*held, *[x[k] for x in sequences], *fixed)
        held = made[:carries]
        steps.append(made[carries:])
    if reverse:
        steps.reverse()
    return (*held, *_stacks(steps, body, carries))


# --- revolve --------------------------------------------------------------------------


def revolve_groups(
    values: Sequence[Any], carries: int, floats: int, sums: int, xs: int, ys: int
) -> tuple[Sequence[Any], ...]:
    """Return the operands of a revolve by group, invariants last."""
    out, at = [], 0
    for count in (carries, floats, sums, xs, ys):
        out.append(values[at : at + count])
        at += count
    return (*out, values[at:])


def _revolve_infer(
    *types: TensorType,
    carries: int,
    floats: int,
    sums: int,
    xs: int,
    ys: int,
    length: "int | SizeExpr",
    reverse: bool,
    checkpoints: int,
    body: SubGraph,
    back: SubGraph,
) -> Types:
    name = "revolve"
    held, cts, summed, through, stacks, fixed = revolve_groups(
        types, carries, floats, sums, xs, ys
    )
    if checkpoints != AUTO and checkpoints < 1:
        raise OpTypeError(f"{name}: {checkpoints} checkpoints: at least 1 are needed")
    for k, kind in enumerate([*through, *stacks]):
        if not kind.shape or kind.shape[0] != length:
            raise OpTypeError(
                f"{name}: sequence {k} is {kind}, {length} elements expected"
            )
    elements = [kind.with_shape(kind.shape[1:]) for kind in through]
    seeds = [kind.with_shape(kind.shape[1:]) for kind in stacks]
    _demand(name, "input of the body", (*held, *elements, *fixed), body.takes)
    _demand(name, "carry", held, body.gives)
    taken = (*cts, *summed, *held, *elements, *seeds, *fixed)
    _demand(name, "input of the adjoint", taken, back.takes)
    _demand(name, "carry of the adjoint", (*cts, *summed), back.gives[: floats + sums])
    rest = [_stacked(kind, length) for kind in back.gives[floats + sums :]]
    return (*cts, *summed, *rest)


def _revolve_evaluate(
    *arrays: Any,
    carries: int,
    floats: int,
    sums: int,
    xs: int,
    ys: int,
    length: int,
    reverse: bool,
    checkpoints: int,
    body: Region,
    back: Region,
) -> tuple[Any, ...]:
    groups = revolve_groups(arrays, carries, floats, sums, xs, ys)
    held, cts, summed, through, stacks, fixed = groups
    order = list(range(length))
    if reverse:
        order.reverse()
    before: list[Sequence[Any]] = []
    for k in order:
        before.append(held)
        held = body(*held, *[x[k] for x in through], *fixed)
    moving = [*cts, *summed]
    steps: dict[int, Arrays] = {}
    for k, state in zip(reversed(order), reversed(before), strict=True):
        elements = [x[k] for x in through]
        seeds = [y[k] for y in stacks]
        made = back(*moving, *state, *elements, *seeds, *fixed)
        moving, steps[k] = made[: floats + sums], made[floats + sums :]
    rows = [steps[k] for k in range(length)]
    return (*moving, *_stacks(rows, back, floats + sums))


# --- switch ---------------------------------------------------------------------------


def _switch_infer(
    index: TensorType, *types: TensorType, branches: tuple[SubGraph, ...]
) -> Types:
    name = "switch"
    if index != TensorType(I64, ()):
        raise OpTypeError(f"{name}: the index is {index}, i64[] expected")
    if not branches:
        raise OpTypeError(f"{name}: needs at least one branch")
    for k, branch in enumerate(branches):
        _demand(name, f"branch {k}: input", types, branch.takes)
        _demand(name, f"branch {k}: result", branches[0].gives, branch.gives)
    return branches[0].gives


def _switch_evaluate(
    index: Any, *arrays: Any, branches: tuple[Region, ...]
) -> tuple[Any, ...]:
    k = int(index)
    if not 0 <= k < len(branches):
        raise IndexError(f"switch: branch {k} of {len(branches)}")
    return tuple(branches[k](*arrays))


def _record(
    name: str,
    infer: Any,
    evaluate: Any,
    kind: str,
    effects: frozenset[Effect],
    doc: str,
) -> Primitive:
    # Any: rules with keywords of their own
    return Primitive(
        name=name,
        mirrors=(),
        tf_name=None,
        accept=_no_call,
        infer=infer,
        evaluate=evaluate,
        form=Control(kind),
        vjp=DERIVED,
        jvp=DERIVED,
        batch=DERIVED,
        effects=effects,
        cost=Cost.KEEP,
        exact=False,
        sparsity="dense",
        domain=Domain(-1, 1),
        kinks="Those of the regions that run.",
        matrix=None,
        sums=None,
        samples=(),
        doc=doc,
    )


RAISING = frozenset({Effect.RAISES})

while_loop = _record(
    "while_loop",
    _while_infer,
    _while_evaluate,
    "while",
    RAISING,
    "Runs a region while another one holds.",
)
scan = _record(
    "scan",
    _scan_infer,
    _scan_evaluate,
    "scan",
    RAISING,
    "Runs a region once for each element of its sequences.",
)
switch = _record(
    "switch",
    _switch_infer,
    _switch_evaluate,
    "switch",
    RAISING,
    "Runs one of several regions.",
)
revolve = _record(
    "revolve",
    _revolve_infer,
    _revolve_evaluate,
    "revolve",
    RAISING,
    "Runs the adjoint of a scan from few of its carries.",
)
