"""Gradients of what repeats: from a long trail to a loop of any length.

A recurrent net under a tape is the same few ops again and again, as often as its
sequence is long. Here such a stretch becomes a scan: what each round reads of the one
before is carried, arrays that are other ones in each round are stacked, and the length
is a named size. So one program serves all lengths, and a length that is new compiles
nothing. What is rolled follows from the ops alone, so results do not depend on what was
recorded before: a gradient is the sum over rounds of what each contributes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.adjoint import pullback
from ..ir.builder import Builder
from ..ir.graph import Graph, Node, Value
from ..ir.ops import OPS
from ..ir.sizes import named
from ..ir.types import TensorType
from .plans import At, Known, Place, Program, Source
from .regions import closed, free_values
from .rounds import Form, Round, find, ops_of, read
from .trail import Trail, alive

_KNOWN: dict[Any, "_Template"] = {}
_MOST_KNOWN = 256


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
    ops = ops_of(trail.nodes[trail.start :])
    if ops is None or len(ops) < 2:
        return None
    found = find(ops)
    if found is None or not read(ops, found) or not found.stacked:
        return None  # nothing repeats, or nothing tells the length
    on = _watched_in_time(trail.nodes[trail.start :], watched)
    if any(len(own) != 1 or own[0] not in on for own in sources):
        return None
    values = trail.values
    names = [k for k in alive(values) if values[k].node is not None]
    wrt = [own[0] for own in sources]
    form = Form(ops, found)
    for x in (*targets, None, *wrt, None, *[values[k] for k in names]):
        form.key.append(None if x is None else form.ref(x))
    key = tuple(form.key)
    stacks = [x for x in form.slots if isinstance(x, list)]
    if any(y not in trail.numbers for stack in stacks for y in stack):
        return None  # a number that fma took over: no trail knows it
    slots = [_source(trail, x) for x in form.slots]
    made = _KNOWN.get(key)
    if made is not None:
        return made.known(slots, names)
    known = _Rolled(trail, ops, found).known(targets, wrt, names)
    if known is not None:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        _KNOWN[key] = _Template(known, slots)
    return known


def _source(trail: Trail, x: Value | list[Value]) -> Source:
    """Return where a program takes a slot from."""
    if isinstance(x, list):
        return tuple([trail.numbers[y] for y in x])
    found = trail.numbers.get(x)
    return x.cell.array if found is None else found


class _Template:
    """A rolled program, for the ends of all trails of its form."""

    def __init__(self, known: Known, slots: Sequence[Source]) -> None:
        self._known, self._slots = known, slots

    def known(self, slots: Sequence[Source], named: list[int]) -> Known:
        """Return it by the numbers of another trail."""
        old = self._known
        moved = {_name(x): y for x, y in zip(self._slots, slots, strict=True)}
        moved.update(zip(old.named, named, strict=True))
        return old.moved(lambda x: moved[_name(x)])


def _name(source: Source) -> Any:
    return ("array", id(source)) if isinstance(source, np.ndarray) else source


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
                found = self._input(x.type, _source(self.trail, x))
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
            stacks.append(self._input(kind, _source(self.trail, taken)))
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

    def known(
        self,
        targets: Sequence[Value],
        sources: Sequence[Value],
        named_values: list[int],
    ) -> Known | None:
        """Return the gradients of targets by sources; named values come with them."""
        round, b, trail = self.round, self.b, self.trail
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
                    places.append(At(numbers[y]))
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


def _literal(x: Value) -> Place:
    return lambda values, made: x


__all__ = ["roll"]
