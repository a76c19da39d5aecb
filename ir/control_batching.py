"""Control ops over a new leading axis, made of control ops.

A scan runs all elements at once. So does a while loop whose condition has no axis; one
whose condition has it runs while any element goes on, and those that are done stay as
they are. How many steps an element took is then a number an element, where without the
axis it was a size: a scan of that size stops each element after its own steps. What it
stacks beyond them is 0. A choice by an index with the axis runs every branch.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .builder import Builder
from .graph import Node, Value
from .ops import OPS
from .ops.leading import lead
from .passes.rebuild import inlined
from .prints import loose
from .sizes import SizeExpr, names_in
from .subgraph import SubGraph, with_sizes
from .types import I64, TensorType

Size = int | SizeExpr
# batching.batch
Batch = Callable[..., Any]
# name of a size that a loop binds -> how many steps each element took
Steps = dict[str, Value]


def _wide(kind: TensorType, size: Size) -> TensorType:
    return kind.with_shape((size, *kind.shape))


@dataclass(frozen=True, slots=True)
class Call:
    """A control op to be run over the new axis.

    Fields:
        b: where its nodes go.
        node: the op.
        size: that of the axis.
        has: whether each operand has it.
        given: the operands, with the axis where they have it.
        run: `batching.batch`.
        steps: of loops that were batched before, what their sizes became.
    """

    b: Builder
    node: Node
    size: Size
    has: tuple[bool, ...]
    given: tuple[Value, ...]
    run: Batch
    steps: Steps


class _Region:
    """A region being batched: inputs in order, some with the axis."""

    def __init__(
        self, held: SubGraph, has: Sequence[bool], size: Size, run: Batch, steps: Steps
    ) -> None:
        self.b = Builder(OPS)
        self.size = size
        self.inputs: list[Value] = []
        wide: dict[Value, Value] = {}
        plain: list[Value] = []
        for k, (kind, wanted) in enumerate(zip(held.takes, has, strict=True)):
            given = self.b.input(_wide(kind, size) if wanted else kind, f"r{k}")
            self.inputs.append(given)
            inner = Value(kind, None, k) if wanted else given
            plain.append(inner)
            if wanted:
                wide[inner] = given
        nodes, outputs = inlined(held.graph, plain)
        made = run(self.b, nodes, wide, size, steps).values
        self.has = [y in made for y in outputs]
        self.outputs = [made.get(y, y) for y in outputs]

    def led(self, k: int) -> Value:
        """Return output k with the axis."""
        return lead(self.b, self.size, self.has[k], self.outputs[k])

    def close(self, outputs: Sequence[Value]) -> SubGraph:
        """Return the region."""
        return SubGraph(with_sizes(self.b.finish("region", outputs)))


def _swapped(b: Builder, x: Value) -> Value:
    """Return x with its first two axes exchanged."""
    axes = (1, 0, *range(2, x.type.rank))
    out: Value = b.op("transpose", x, axes=axes)
    return out


def _select(b: Builder, mask: Value, x: Value, y: Value) -> Value:
    """Return x or y by a mask of the leading axis."""
    wide = mask
    if x.type.rank > 1:
        wide = b.op("expand_dims", mask, axes=tuple(range(1, x.type.rank)))
    out: Value = b.op("select", b.broadcast(wide, x.type.shape), x, y)
    return out


def _fixed_point(
    body: SubGraph,
    carries: int,
    has: Sequence[bool],
    size: Size,
    run: Batch,
) -> tuple[bool, ...]:
    """Return which operands of a loop have the axis once its carries agree."""
    now = tuple(has)
    while True:
        region = _Region(body, now, size, run, {})
        more = tuple(
            [now[k] or (k < carries and region.has[k]) for k in range(len(now))]
        )
        if more == now:
            return now
        now = more


def loop_batch(call: Call) -> Sequence[Value]:
    """Return the results of a loop over the new axis, which all of them have."""
    call = replace(call, node=loose(call.node))
    return _while(call) if "cond" in call.node.params else _scan(call)


def _operands(
    b: Builder, size: Size, before: Sequence[bool], after: Sequence[bool], given: Any
) -> list[Value]:
    triples = zip(before, after, given, strict=True)
    return [lead(b, size, old, x) if new else x for old, new, x in triples]


def ragged(node: Node, steps: Mapping[str, Value]) -> Value | None:
    """Return how many steps each element takes, or None where all take as many."""
    length = node.params.get("length", 0)
    found = [steps[n] for n in names_in(length) if n in steps]
    return found[0] if found else None


def _scan(call: Call) -> Sequence[Value]:
    b, node, size, has = call.b, call.node, call.size, call.has
    params = node.params
    body: SubGraph = params["body"]
    carries, xs = params["carries"], params["xs"]
    length = params["length"]
    counts = ragged(node, call.steps)
    if counts is not None:
        has_ = tuple([h or k < carries for k, h in enumerate(has)])
    else:
        has_ = has
    wide = _fixed_point(body, carries, has_, size, call.run)
    operands = _operands(b, size, has, wide, call.given)
    for k in range(carries, carries + xs):
        if wide[k]:
            operands[k] = _swapped(b, operands[k])
    region = _Region(body, wide, size, call.run, {})
    outputs = [
        region.led(k) if k >= carries or wide[k] else region.outputs[k]
        for k in range(len(region.outputs))
    ]
    if counts is not None:
        # the number of the step, and how many steps each element takes
        place = Value(TensorType(I64, ()), None, 0)
        count = Value(counts.type, None, 0)
        at = carries + xs
        region.b.inputs = [*region.inputs[:at], place, *region.inputs[at:], count]
        region.b.names = [f"r{k}" for k in range(len(region.b.inputs))]
        for k, x in enumerate(region.b.inputs):
            x.index = k
        on = region.b.op("lt", region.b.broadcast(place, (size,)), count)
        outputs = [
            _select(
                region.b,
                on,
                y,
                region.inputs[k] if k < carries else region.b.zeros(y.type),
            )
            for k, y in enumerate(outputs)
        ]
        places = b.apply(
            OPS["iota"], (), {"axis": 0, "type": TensorType(I64, (length,))}
        )
        operands = [*operands[:at], places[0], *operands[at:], counts]
        xs += 1
    results = b.apply(
        node.primitive,
        tuple(operands),
        {**params, "xs": xs, "body": region.close(outputs), "extends": None},
    )
    return [
        _swapped(b, y) if k >= carries else lead(b, size, wide[k], y)
        for k, y in enumerate(results)
    ]


def _while(call: Call) -> Sequence[Value]:
    b, node, size, has = call.b, call.node, call.size, call.has
    params = node.params
    body: SubGraph = params["body"]
    cond: SubGraph = params["cond"]
    carries, trips = params["carries"], params["trips"]
    wide = _fixed_point(body, carries, has, size, call.run)
    asked = _Region(cond, wide, size, call.run, {})
    each = asked.has[0]
    if each:
        # carries differ as soon as one element stops before another
        wide = tuple([h or k < carries for k, h in enumerate(wide)])
        asked = _Region(cond, wide, size, call.run, {})
    operands = _operands(b, size, has, wide, call.given)
    region = _Region(body, wide, size, call.run, {})
    outputs = [
        region.led(k) if k >= carries or wide[k] else region.outputs[k]
        for k in range(len(region.outputs))
    ]
    if not each:
        changed = {**params, "body": region.close(outputs), "extends": None}
        changed["cond"] = asked.close(asked.outputs)
        results = b.apply(node.primitive, tuple(operands), changed)
        return [
            _swapped(b, y) if k >= carries else lead(b, size, wide[k], y)
            for k, y in enumerate(results)
        ]
    # another carry says which elements go on, one more how many steps they took
    nodes, said = inlined(asked.close(asked.outputs).graph, operands)
    b.nodes += nodes
    going = Value(said[0].type, None, 0)
    count = Value(TensorType(I64, (size,)), None, 0)
    inner = region.b
    inner.inputs = [
        *region.inputs[:carries], going, count, *region.inputs[carries:],
    ]  # fmt: skip
    for k, x in enumerate(inner.inputs):
        x.index = k
    inner.names = [f"r{k}" for k in range(len(inner.inputs))]
    kept = [
        _select(inner, going, y, region.inputs[k])
        for k, y in enumerate(outputs[:carries])
    ]
    again, goes = inlined(
        asked.close(asked.outputs).graph, [*kept, *region.inputs[carries:]]
    )
    inner.nodes += again
    on = inner.op("logical_and", going, goes[0])
    taken = inner.op("add", count, inner.op("cast", going, dtype=I64))
    stacked = [_select(inner, going, y, inner.zeros(y.type)) for y in outputs[carries:]]
    test = Builder(OPS)
    inputs = [test.input(x.type, f"r{k}") for k, x in enumerate(inner.inputs)]
    left = test.op("sum", test.op("cast", inputs[carries], dtype=I64), axes=(0,))
    any_ = test.op("gt", left, 0)
    changed = {
        **params,
        "carries": carries + 2,
        "body": region.close([*kept, on, taken, *stacked]),
        "cond": SubGraph(with_sizes(test.finish("region", [any_]))),
        "extends": None,
    }
    none = b.constant(0, I64, (size,))
    results = b.apply(
        node.primitive,
        (*operands[:carries], said[0], none, *operands[carries:]),
        changed,
    )
    if trips is not None:
        call.steps[str(trips)] = results[carries + 1]
    stacks = [_swapped(b, y) for y in results[carries + 2 :]]
    return [*results[:carries], *stacks]


def switch_batch(call: Call) -> Sequence[Value]:
    """Return the results of a choice over the new axis, which all of them have."""
    b, node, size, has = call.b, call.node, call.size, call.has
    branches: tuple[SubGraph, ...] = node.params["branches"]
    index, *operands = call.given
    if not has[0]:
        regions = [_Region(branch, has[1:], size, call.run, {}) for branch in branches]
        made = [
            region.close([region.led(k) for k in range(len(region.outputs))])
            for region in regions
        ]
        return b.apply(node.primitive, call.given, {"branches": tuple(made)})
    # an index outside raises where the place of each branch is read
    places = b.apply(
        OPS["iota"], (), {"axis": 0, "type": TensorType(I64, (len(branches),))}
    )[0]
    chosen = b.op("take", places, index, axis=0)
    results: list[Value] = []
    for number, branch in enumerate(branches):
        region = _Region(branch, has[1:], size, call.run, {})
        held = region.close([region.led(k) for k in range(len(region.outputs))])
        nodes, outputs = inlined(held.graph, operands)
        b.nodes += nodes
        if number == 0:
            results = outputs
            continue
        here = b.op("eq", chosen, b.constant(number, I64, (size,)))
        results = [
            _select(b, here, y, before)
            for y, before in zip(outputs, results, strict=True)
        ]
    return results
