"""Steps of a tape whose gradient is the user's own, or nobody's.

What such a step computes is recorded as ever, behind a `stop_gradient`. Beside it
stands one node of no program, from the inputs to these results: a sweep for gradients
meets it and its rule, and whatever runs is computed without it.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..ir.adjoint import Rules, pullback
from ..ir.graph import Node, Value
from ..ir.ops import OPS
from ..ir.primitive import UNREGISTERED, Primitive, Rule, VjpRule
from .cell import Cell, leaf
from .recorder import Recorder
from .state import WATCHERS
from .variable import Variable

# name of a step -> the rule that was registered for it
REGISTERED: dict[str, VjpRule | Rule] = {}


def registered() -> Rules:
    """Return the rules that were registered, by the name of the step."""
    return REGISTERED


class Reads:
    """A watcher that notes which variables are read while it is open."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._outer: Any = ()
        self.found: dict[int, tuple[Variable, Value]] = {}

    def __enter__(self) -> "Reads":
        self._outer = WATCHERS.get()
        WATCHERS.set((*self._outer, self))
        return self

    def __exit__(self, *exc: object) -> None:
        WATCHERS.set(tuple([w for w in WATCHERS.get() if w is not self]))

    def _note_read(self, variable: Variable, read: Value) -> None:
        self.found.setdefault(id(variable), (variable, read))


def step(name: str, rule: "VjpRule | Rule" = UNREGISTERED) -> Primitive:
    """Return the record of a step: what a gradient sees of it."""
    push = transposed(rule) if callable(rule) else rule
    return replace(OPS["stop_gradient"], name=name, vjp=rule, jvp=push)


def transposed(rule: VjpRule) -> Callable[..., Any]:
    """Return the tangent rule of a VJP rule: that is linear, so its own transpose."""

    def push(
        b: Any, tangents: Sequence["Value | None"], out: Any, *at: Value, **params: Any
    ) -> Any:
        several = isinstance(out, tuple)
        results = out if several else (out,)
        # where a linear map is transposed does not matter: at zeros
        seeds = [leaf(np.zeros(y.type.shape, y.type.dtype.numpy)) for y in results]
        start = len(b.nodes)
        cts = rule(b, tuple(seeds) if several else seeds[0], out, *at, **params)
        nodes = b.nodes[start:]
        targets: dict[Value, Value] = {}
        for ct, tangent in zip(cts, tangents, strict=True):
            if ct is not None and tangent is not None:
                held = targets.get(ct)
                targets[ct] = tangent if held is None else b.op("add", held, tangent)
        found = pullback(b, nodes, targets, seeds, REGISTERED)
        return found if several else found[0]

    return push


def record_step(
    recorder: Recorder,
    record: Primitive,
    operands: Sequence[Value],
    results: Sequence[Value],
    params: "dict[str, Any] | None" = None,
) -> list[Value]:
    """Record a step from operands to results that are computed already.

    Returns:
        The results as values of their own: cotangents reach the rule through them.
    """
    b = recorder.builder
    own: list[Value] = []
    for x in results:
        value: Value = b.op("stop_gradient", x)
        value.cell = Cell()
        own.append(value)
    node = Node(record, tuple(operands), params or {}, (), b.loc)
    node.results = tuple(own)
    node.checked = True
    b.nodes.append(node)
    return own


Backward = Callable[..., Any]

__all__ = ["REGISTERED", "Backward", "Reads", "record_step", "registered", "step"]
