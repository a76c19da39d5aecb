"""Gradients of what repeats: from a long trail to a loop of any length.

A recurrent net under a tape is the same few ops again and again, as often as its
sequence is long. Here such a stretch becomes a scan: what each round reads of the one
before is carried, arrays that are other ones in each round are stacked, and the length
is a named size. So one program serves all lengths, and a length that is new compiles
nothing. What is rolled follows from the ops alone, so results do not depend on what was
recorded before: a gradient is the sum over rounds of what each contributes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ir.adjoint import pullback
from ..ir.builder import Builder
from ..ir.graph import Graph, Node, Value
from ..ir.ops import OPS
from ..ir.sizes import named
from ..ir.types import TensorType
from .contracted import Contracted
from .pending import params_key
from .plans import Known, Place, Program
from .regions import closed, free_values
from .trail import Trail, alive

_LEAST = 8  # ops that repeat
_LONGEST = 64  # ops of a round
_MOST_BYTES = 1 << 15  # of a value: longer loops over memory are better off fused

_CODES: dict[Any, int] = {}


@dataclass(slots=True)
class Round:
    """Where ops repeat, and what a round takes.

    `carried` has where a carry begins, by the place in the round of the op that makes
    the next one; `stacked` the arrays of a sequence, by that of the first round.
    """

    first: int
    period: int
    count: int
    carried: dict[int, Value | None] = field(default_factory=dict)
    stacked: dict[Value, list[Value]] = field(default_factory=dict)

    @property
    def last(self) -> int:
        """The number of the first op of the last round."""
        return self.first + (self.count - 1) * self.period

    @property
    def end(self) -> int:
        """The number of the first op after the rounds."""
        return self.first + self.count * self.period


def roll(
    trail: Trail,
    targets: Sequence[Value],
    sources: Sequence[Sequence[Value]],
    watched: Sequence[tuple[int, Value]],
) -> Known | None:
    """Return the gradients at the end of a trail by a loop, or None where none fits.

    Args:
        trail: that ends where the gradients belong.
        targets: values that are summed.
        sources: the values of each source.
        watched: the number of nodes before a value was watched, and the value.
    """
    ops = _ops(trail.nodes[trail.start :])
    if ops is None or len(ops) < 2:
        return None
    found = _find(ops)
    if found is None or found.period * found.count < _LEAST or not _read(ops, found):
        return None
    on = _watched_in_time(trail.nodes[trail.start :], watched)
    if any(len(own) != 1 or own[0] not in on for own in sources):
        return None
    return _Rolled(trail, ops, found).known(targets, [own[0] for own in sources])


def _ops(nodes: Sequence[Node]) -> list[Node] | None:
    ops: list[Node] = []
    for node in nodes:
        if type(node) is Contracted:
            node = node.fma
        if node.primitive.name == "constant":
            continue
        if len(node.results) != 1 or node.results[0].node is not node:
            return None
        kind = node.results[0].type
        size = kind.dtype.bits // 8
        for d in kind.shape:
            size *= d  # type: ignore[assignment]  # sizes on a tape are numbers
        if size > _MOST_BYTES:
            return None
        ops.append(node)
    return ops


def _find(ops: Sequence[Node]) -> Round | None:
    """Return the longest stretch of ops that repeats."""
    codes = []
    for node in ops:
        code = (node.primitive, params_key(node.params), node.results[0].type)
        codes.append(_CODES.setdefault(code, len(_CODES)))
    best, where = 0, None
    for period in range(1, min(_LONGEST, len(ops) // 2) + 1):
        run = 0
        for k, (x, y) in enumerate(zip(codes, codes[period:], strict=False)):
            if x != y:
                run = 0
                continue
            run += 1
            count = run // period + 1
            if count > 1 and count * period > best:
                best = count * period
                where = Round(k + 1 - run, period, count)
    return where


def _read(ops: Sequence[Node], round: Round) -> bool:
    """Read what rounds take; returns whether all take it alike."""
    made = {node.results[0]: k for k, node in enumerate(ops)}
    first, period, count = round.first, round.period, round.count
    leaves: set[Value] = set()
    for q in range(period):
        width = len(ops[first + q].operands)
        for slot in range(width):
            taken = [ops[first + r * period + q].operands[slot] for r in range(count)]
            x = taken[0]
            if all(y is x for y in taken):
                if made.get(x, -1) >= first:
                    return False
                leaves.add(x)
                continue
            places = [made.get(y, -1) - first - r * period for r, y in enumerate(taken)]
            if 0 <= places[0] < period:
                if any(p != places[0] for p in places):
                    return False
                continue
            place = places[1] + period
            if 0 <= place < period and all(p + period == place for p in places[1:]):
                if made.get(x, -1) >= first:
                    return False
                if round.carried.setdefault(place, x) is not x:
                    return False
                continue
            if any(y in made or y.node is not None for y in taken):
                return False
            if round.stacked.setdefault(x, taken) != taken:
                return False
    several = [y for taken in round.stacked.values() for y in taken]
    if len(set(several)) != len(several) or leaves & set(several):
        return False
    for node in ops[round.end :]:
        for x in node.operands:
            k = made.get(x, -1)
            if first <= k < round.last or x in several:
                return False
            if round.last <= k < round.end:
                round.carried.setdefault(k - round.last, None)
    return not any(x in several for node in ops[:first] for x in node.operands)


def _watched_in_time(
    nodes: Sequence[Node], watched: Sequence[tuple[int, Value]]
) -> set[Value]:
    """Return the values that were watched before an op read them."""
    read: dict[Value, int] = {}
    for k, node in enumerate(nodes):
        for x in node.operands:
            read.setdefault(x, k)
    return {x for at, x in watched if at <= read.get(x, at)}


class _Rolled:
    """The program of a trail with a loop in it."""

    def __init__(self, trail: Trail, ops: Sequence[Node], round: Round) -> None:
        self.trail, self.ops, self.round = trail, ops, round
        self.b = Builder(OPS)
        self.made: dict[Value, Value] = {}
        self.inputs: list[Any] = []

    def _new(self, x: Value) -> Value:
        found = self.made.get(x)
        if found is None:
            if x.node is not None and x.node.primitive.name == "constant":
                node = x.node
                results = self.b.apply(node.primitive, (), node.params)
                found = self.made[x] = results[0]
            else:
                found = self._input(x.type, self.trail.numbers.get(x, x.cell.array))
                self.made[x] = found
        return found

    def _input(self, kind: TensorType, source: Any) -> Value:
        self.inputs.append(source)
        return self.b.input(kind, f"x{len(self.b.inputs)}")

    def _run(self, nodes: Sequence[Node]) -> None:
        for node in nodes:
            self.b.loc = node.loc
            operands = tuple([self._new(x) for x in node.operands])
            results = self.b.apply(node.primitive, operands, node.params)
            self.made[node.results[0]] = results[0]

    def _loop(self) -> None:
        b, round, ops = self.b, self.round, self.ops
        places = list(round.carried)
        kinds = [ops[round.first + q].results[0].type for q in places]
        start = [
            b.zeros(kind) if x is None else self._new(x)
            for kind, x in zip(kinds, round.carried.values(), strict=True)
        ]
        length = named("n")
        b.sizes.append("n")
        stacks = []
        for x, taken in round.stacked.items():
            kind = x.type.with_shape((length, *x.type.shape))
            numbers = tuple([self.trail.numbers[y] for y in taken])
            stacks.append(self._input(kind, numbers))
        carries = [Value(kind, None, k) for k, kind in enumerate(kinds)]
        elements = [Value(x.type, None, k) for k, x in enumerate(round.stacked)]
        inside = dict(zip(round.stacked, elements, strict=True))
        nodes: list[Node] = []
        own: dict[Value, Value] = {}
        made = ops[round.first : round.first + round.period]
        carry = {made[q].results[0]: x for q, x in zip(places, carries, strict=True)}
        for k, node in enumerate(made):
            given: list[Value] = []
            later = ops[round.first + round.period + k].operands
            for x, next_one in zip(node.operands, later, strict=True):
                if x in own:
                    given.append(own[x])
                elif next_one is x:
                    given.append(self._new(x))
                elif next_one in carry:
                    given.append(carry[next_one])
                else:
                    given.append(inside[x])
            kinds = [node.results[0].type]
            copy = Node(node.primitive, tuple(given), node.params, kinds, node.loc)
            copy.checked = True
            nodes.append(copy)
            own[node.results[0]] = copy.results[0]
        last = [own[made[q].results[0]] for q in places]
        region = Graph("region", [*carries, *elements], nodes, last, [])
        free = free_values(region)
        results = b.apply(
            OPS["scan"],
            (*start, *stacks, *free),
            {
                "carries": len(start), "xs": len(stacks), "length": length,
                "reverse": False, "body": closed(region, free), "extends": None,
                "checkpoints": 0,
            },
        )  # fmt: skip
        for q, x in zip(places, results, strict=False):
            self.made[ops[round.last + q].results[0]] = x

    def known(self, targets: Sequence[Value], sources: Sequence[Value]) -> Known | None:
        """Return the gradients of targets by sources."""
        round, b, trail = self.round, self.b, self.trail
        if not round.stacked:
            return None  # nothing tells the length
        named_values = alive(trail.values)
        named_values = [k for k in named_values if trail.values[k].node is not None]
        self._run(self.ops[: round.first])
        before = {node.results[0] for node in self.ops[round.first : round.end]}
        self._loop()
        self._run(self.ops[round.end :])
        here = {node.results[0] for node in self.ops}
        outputs: list[Value] = []
        for k in named_values:
            x = trail.values[k]
            if x not in here or (x in before and x not in self.made):
                return None
            outputs.append(self.made[x])
        if any(x not in self.made for x in (*targets, *sources)):
            return None
        b.loc = None
        cts: dict[Value, Value] = {}
        for x in targets:
            if not x.type.dtype.is_float:
                return None
            seed = b.constant(1.0, x.type.dtype, x.type.shape)
            y = self.made[x]
            cts[y] = seed if y not in cts else b.op("add", cts[y], seed)
        wrt = [self.made[x] for x in sources]
        if any(x.node is not None for x in wrt):
            return None
        found = pullback(
            b, list(b.nodes), cts, list(dict.fromkeys(wrt)), None, "target"
        )
        by_value = dict(zip(dict.fromkeys(wrt), found, strict=True))
        grads = [by_value[x] for x in wrt]
        if len(set(grads)) != len(grads) or any(
            g is None or g.node is None or g.node.primitive.name == "constant"
            for g in grads
        ):
            return None
        gradients = [g for g in grads if g is not None]
        outputs += gradients
        return self._finish(named_values, outputs, gradients)

    def _finish(
        self, names: list[int], outputs: list[Value], gradients: list[Value]
    ) -> Known | None:
        numbers = {
            x: source
            for x, source in zip(self.b.inputs, self.inputs, strict=True)
            if isinstance(source, int)
        }
        beside: dict[Value, int] = {}
        products: dict[int, tuple[Any, tuple[Place, ...]]] = {}
        for k, x in enumerate(outputs):
            node = x.node
            if (
                node is None
                or node.primitive.name != "mul"
                or not x.type.dtype.is_float
            ):
                continue
            places: list[Place] = []
            for y in node.operands:
                if y in numbers:
                    places.append(_numbered(numbers[y]))
                elif y.node is None:
                    return None
                elif y.node.primitive.name == "constant":
                    places.append(_literal(y))
                else:
                    places.append(beside.setdefault(y, len(beside)))
            products[k] = node.primitive, tuple(places)
        results: list[Place | None] = [*range(len(gradients))]
        extra = self._program(list(beside)) if beside else None
        return Known(self._program(outputs), extra, names,
                     [g.type for g in gradients], results, products)  # fmt: skip

    def _program(self, outputs: Sequence[Value]) -> Program:
        return Program(self.b.finish("tape", outputs), self.inputs)


def _numbered(k: int) -> Place:
    return lambda values, made: values[k]


def _literal(x: Value) -> Place:
    return lambda values, made: x


__all__ = ["roll"]
