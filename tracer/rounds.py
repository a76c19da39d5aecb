"""Where the ops of a tape repeat, and what its rounds take.

Ops that repeat are a stretch of equal ones; what a round reads decides whether it is a
round of a loop: a value of the round before, one that all read, or one of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..ir.graph import Node, Value
from .contracted import Contracted
from .pending import params_key

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


def ops_of(nodes: Sequence[Node]) -> list[Node] | None:
    """Return the ops that run, or None where one of them cannot be rolled."""
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


def find(ops: Sequence[Node]) -> Round | None:
    """Return the longest stretch of ops that repeats, where one is long enough."""
    codes = []
    for node in ops:
        code = (node.primitive, params_key(node.params), node.results[0].type)
        codes.append(_CODES.setdefault(code, len(_CODES)))
    best, where = _LEAST - 1, None
    count = len(codes)
    for period in range(1, min(_LONGEST, count // 2) + 1):
        if count // period * period <= best:
            continue  # though all were rounds of so many
        later = codes[period:]
        if codes[: count - period] == later:
            others = [count - period]
        else:
            others = [k for k, y in enumerate(later) if codes[k] != y]
            others.append(count - period)
        begin = 0
        for end in others:
            rounds = (end - begin) // period + 1
            if rounds > 1 and rounds * period > best:
                best = rounds * period
                where = Round(begin, period, rounds)
            begin = end + 1
    return where


def read(ops: Sequence[Node], round: Round) -> bool:
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


class Form:
    """What a rolled program follows from, and the values that it is of.

    Values from outside are numbered as they are met: `slots` has them, and for those
    that are stacked the list of them. Equal forms have equal programs.
    """

    def __init__(self, ops: Sequence[Node], round: Round) -> None:
        self.slots: list[Value | list[Value]] = []
        self.key: list[Any] = []
        self._refs: dict[Value, Any] = {}
        first, period = round.first, round.period
        for k, node in enumerate(ops[:first]):
            self._op(node, [self.ref(x) for x in node.operands])
            self._refs[node.results[0]] = "before", k
        for place, start in round.carried.items():
            self.key.append((place, None if start is None else self.ref(start)))
        stacks: dict[Value, Any] = {}
        for x, taken in round.stacked.items():
            stacks[x] = "stack", len(self.slots)
            self.key.append(x.type)
            self.slots.append(taken)
        made = ops[first : first + period]
        carry = {made[q].results[0]: ("carry", q) for q in round.carried}
        own: dict[Value, Any] = {}
        for k, node in enumerate(made):
            given = []
            later = ops[first + period + k].operands
            for x, next_one in zip(node.operands, later, strict=True):
                if x in own:
                    given.append(own[x])
                elif next_one is x:
                    given.append(self.ref(x))
                else:
                    given.append(carry.get(next_one) or stacks[x])
            self._op(node, given)
            own[node.results[0]] = "own", k
        for q, node in enumerate(ops[round.last : round.end]):
            self._refs[node.results[0]] = "last", q
        for k, node in enumerate(ops[round.end :]):
            self._op(node, [self.ref(x) for x in node.operands])
            self._refs[node.results[0]] = "after", k

    def _op(self, node: Node, refs: Sequence[Any]) -> None:
        params = params_key(node.params) if node.params else ()
        self.key.append((node.primitive, params, node.results[0].type, *refs))

    def ref(self, x: Value) -> Any:
        """Return what keys call a value."""
        found = self._refs.get(x)
        if found is None:
            if x.node is not None:
                found = x  # a literal: the builder has one of each
            else:
                found = "slot", len(self.slots)
                self.key.append(x.type)
                self.slots.append(x)
            self._refs[x] = found
        return found


__all__ = ["Form", "Round", "find", "ops_of", "read"]
