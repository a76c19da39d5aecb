"""Tangents of control ops, made of control ops: a loop whose carries move.

A loop with tangents computes the values again beside them; the pass `merge` makes one
loop of both. Which carries move is a fixed point: a carry moves if its tangent does, or
if what a step makes of it depends on something that does.
"""

from collections.abc import Callable, Sequence
from typing import Any

from .builder import Builder
from .graph import Node, Value
from .ops import OPS
from .passes.merge import extension_over
from .passes.rebuild import inlined
from .prints import quiet_region
from .subgraph import SubGraph, with_sizes
from .types import TensorType

# forward.pushforward
Push = Callable[..., "list[Value | None]"]
Tangents = Sequence[Value | None]


def _moving(
    region: Builder, held: SubGraph, moves: Sequence[int], push: Push
) -> tuple[list[Value], list[Value], list[Value], list[Value | None]]:
    """Append a region and its tangents to a builder.

    Returns:
        Inputs, tangents of those that move, outputs, and tangents of these.
    """
    kinds = held.takes
    inputs = [Value(kind, None, k) for k, kind in enumerate(kinds)]
    tangents = [Value(kinds[k], None, 0) for k in moves]
    nodes, outputs = inlined(held.graph, inputs)
    region.nodes += nodes
    given = {inputs[k]: t for k, t in zip(moves, tangents, strict=True)}
    return inputs, tangents, outputs, push(region, nodes, given, outputs)


def _close(
    region: Builder, inputs: Sequence[Value], outputs: Sequence[Value]
) -> SubGraph:
    for k, x in enumerate(inputs):
        x.index = k
    region.inputs = list(inputs)
    region.names = [f"r{k}" for k in range(len(inputs))]
    return SubGraph(with_sizes(region.finish("region", outputs)))


def loop_jvp(b: Builder, node: Node, tangents: Tangents, push: Push) -> Tangents:
    """Return the tangents of a loop's results."""
    params = node.params
    body: SubGraph = params["body"]
    carries: int = params["carries"]
    xs: int = params.get("xs", 0)
    outer = [k for k, t in enumerate(tangents) if t is not None and k >= carries]
    moves = {k for k in range(carries) if tangents[k] is not None}
    while True:
        region = Builder(OPS)
        inputs, ts, outputs, made = _moving(
            region, body, [*sorted(moves), *outer], push
        )
        more = {k for k in range(carries) if made[k] is not None} - moves
        if not more:
            break
        moves |= more
    moved = sorted(moves)
    through = [k for k in outer if k < carries + xs]
    fixed = [k for k in outer if k >= carries + xs]
    of = dict(zip([*moved, *outer], ts, strict=True))

    def grouped(values: Sequence[Any], beside: Callable[[int], Any]) -> list[Any]:
        return [
            *values[:carries], *[beside(k) for k in moved],
            *values[carries : carries + xs], *[beside(k) for k in through],
            *values[carries + xs :], *[beside(k) for k in fixed],
        ]  # fmt: skip

    def tangent(k: int) -> Value:
        found = tangents[k]
        return b.zeros(node.operands[k].type) if found is None else found

    stacks = [k for k in range(carries, len(outputs)) if made[k] is not None]
    results: list[Value] = list(outputs[:carries])
    results += [_or_zero(region, made[k], body.takes[k]) for k in moved]
    first = len(results)
    results += outputs[carries:]
    results += [t for t in made[carries:] if t is not None]
    operands = grouped(node.operands, tangent)
    taken = grouped(inputs, of.__getitem__)
    kept = tuple([taken.index(x) for x in inputs])
    same = (*range(carries), *range(first, first + len(outputs) - carries))
    changed: dict[str, Any] = {
        **params,
        "carries": carries + len(moved),
        "extends": extension_over(node, kept, same),
    }
    if xs or "xs" in params:
        changed["xs"] = xs + len(through)
    if "cond" in params:
        asked = Builder(OPS)
        kinds = [x.type for x in taken]
        given = [Value(kind, None, 0) for kind in kinds]
        nodes, said = inlined(params["cond"].graph, [given[k] for k in kept])
        asked.nodes += nodes
        changed["cond"] = _close(asked, given, said)
        if len(outputs) > carries:
            changed["trips"] = params["trips"]
    changed["body"] = _close(region, taken, results)
    produced = b.apply(node.primitive, tuple(operands), changed)
    entries: list[Value | None] = [None] * len(node.results)
    for j, k in enumerate(moved):
        entries[k] = produced[carries + j]
    for j, k in enumerate(stacks):
        entries[k] = produced[first + len(outputs) - carries + j]
    return entries


def _or_zero(region: Builder, t: Value | None, kind: TensorType) -> Value:
    return region.zeros(kind) if t is None else t


def switch_jvp(b: Builder, node: Node, tangents: Tangents, push: Push) -> Tangents:
    """Return the tangents of a choice's results: the branch taken runs once more."""
    branches: tuple[SubGraph, ...] = node.params["branches"]
    index, *operands = node.operands
    moves = [k for k in range(len(operands)) if tangents[1 + k] is not None]
    found = []
    for branch in branches:
        region = Builder(OPS)
        found.append((region, *_moving(region, quiet_region(branch), moves, push)))
    count = len(node.results)
    wanted = [k for k in range(count) if any(f[4][k] is not None for f in found)]
    if not wanted:
        return [None] * count
    made = []
    for region, inputs, ts, outputs, out in found:
        results = [_or_zero(region, out[k], outputs[k].type) for k in wanted]
        made.append(_close(region, [*inputs, *ts], results))
    given = [t for t in tangents[1:] if t is not None]
    produced = b.apply(
        node.primitive, (index, *operands, *given), {"branches": tuple(made)}
    )
    entries: list[Value | None] = [None] * count
    for k, t in zip(wanted, produced, strict=True):
        entries[k] = t
    return entries
