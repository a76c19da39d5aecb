"""A walk along steps that were taken before.

Of an op that was met on the same numbers the step is noted, and nothing is checked
again. Nodes are made when somebody asks for them, which `settle` does. This file is
what each op of a tape runs through: what is odd in it is so for speed.
"""

import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any

import numpy as np

from ..ir.graph import NO_PARAMS, Node, Value
from ..ir.loc import USERS, Loc, is_ours, loc_of
from .cell import Array, Cell, leaf
from .contracted import Contracted
from .operators import Operators
from .steps import LITERALS, Made, Step, array_code, leaf_again, leaf_code

MOST_STEPS = 20_000


class Walk:
    """Where a tape is in the tree of steps, and the values that it met.

    `values` has None for what no node and no handle stands for yet.
    """

    __slots__ = (
        "_free_root",
        "_leaf_of",
        "_number",
        "_root",
        "_size",
        "ahead",
        "bound",
        "bytes",
        "end",
        "epoch",
        "free",
        "met",
        "nodes",
        "numbers",
        "segment",
        "start",
        "step",
        "taken",
        "tape",
        "touched",
        "values",
        "walks",
    )  # fmt: skip

    def __init__(self, nodes: list[Node], leaf_of: Callable[[Array], Value]) -> None:
        self._leaf_of = leaf_of
        self.walks = False
        self.free = False  # outside of tapes
        self._root, self._free_root = Step(), Step()
        self._size = 0
        self.nodes = nodes
        self.step: Step | None = None  # None: nothing is walked
        self.tape = 0  # which one records, by identity
        self.start = self.end = 0
        self.taken: list[Step] = []  # whose nodes are not made yet
        self.ahead = 0  # how many nodes those are
        self.bytes = 0  # of arrays that were copied since something ran
        self.bound = 0  # with more nodes than this, what is pending runs
        self.segment: list[Node] | None = None  # where nodes made late belong too
        self.touched = False
        self.values: list[Any] = []  # Any: a Value or None
        self.numbers: dict[Value, int] = {}
        self._number = 0.0  # that came along
        self.epoch = object()  # another whenever what is recorded changes
        self.met = 0  # how many values, about

    def begin(self, tape: object) -> None:
        """Walk from the root: a tape begins to record."""
        self.close()
        self._start(False)
        self.tape = id(tape)
        self.free = False

    def begin_free(self) -> None:
        """Walk outside of tapes, from one look to the next."""
        self._start(True)
        self.tape = 0
        self.free = True

    def _start(self, free: bool) -> None:
        if self._size > MOST_STEPS:
            self._root, self._free_root, self._size = Step(), Step(), 0
        self.step = self._free_root if free else self._root
        self.walks = True
        self.start = self.end = len(self.nodes)
        self.segment = None
        self.touched = False
        self.met += len(self.values)
        self.values = []
        self.numbers = {}

    def leave(self) -> None:
        """Walk no further, and hold nothing of what was recorded."""
        if self.step is not None:
            self.settle()
            self.step = None
            self.walks = self.free = False
            self.segment = None
            self.met += len(self.values)
            self.values = []
            self.numbers = {}

    def close(self) -> None:
        """Make the nodes that somebody can still ask for, if any can."""
        if self.taken:
            if self.segment is not None or self._is_pending():
                self.settle()
            else:
                self.drop()

    def abandon(self) -> None:
        """Go on without the tape, which is gone; what it gave may be asked for."""
        self.tape, self.walks, self.segment = 0, False, None
        if not (self.taken and self._is_pending()):
            self.drop()

    def _is_pending(self) -> bool:
        """Return whether a handle names what is not computed."""
        values = self.values
        return any(values[k].cell.array is None for k in alive(values))

    def drop(self) -> None:
        """Leave, and never make the nodes of what was walked: plans compute it."""
        self.taken.clear()
        self.ahead = 0
        self.leave()

    def knows(self, tape: object) -> bool:
        """Return whether all that a tape recorded was walked."""
        return (
            self.step is not None
            and self.tape == id(tape)
            and len(self.nodes) == self.end
        )

    def count(self) -> int:
        """Return how many nodes there are, those that are not made yet among them."""
        return len(self.nodes) + self.ahead

    # -- steps ---------------------------------------------------------------------

    def watch(self, value: Value) -> None:
        """Step on with a value that is watched from here on."""
        step = self.step
        if step is None or not self.walks:
            return
        number = self.numbers.get(value)
        if number is None:
            number = self._leaf(value)
            if number is None:
                return
        after = step.after.get(number)
        if after is None:
            after = step.after[number] = Step()
            self._size += 1
        self.step = after

    def _leaf(self, value: Value) -> int | None:
        """Number a value from outside; returns what keys call it."""
        code = self._outside(value)
        if code is None:
            self.leave()
            return None
        self.numbers[value] = len(self.values)
        self.values.append(value)
        return code

    def _outside(self, value: Value) -> int | None:
        """Return what keys call a value from outside; None where it has no place.

        Outside of tapes its array may be planned only. A product is another kind then,
        for what is added to it contracts; what else has a history has no place.
        """
        cell = value.cell
        if cell is None:
            return None
        planned = self.free and cell.plan is not None
        if value.node is None:
            known = cell.array is not None or planned
            return leaf_code(value.type) if known else None
        product = planned and value.node.primitive.name == "mul"
        return leaf_code((value.type,)) if product else None

    def pair(
        self, impl: Callable[..., Any], x: Any, y: Any, handle: type[Any], depth: int
    ) -> Any:
        """Return the result of a call that was met here; None where it was not.

        Args:
            impl: the function.
            x: its first argument, as the user passed it.
            y: its second.
            handle: the class of results.
            depth: of the user's frame, or of one inside it.
        """
        if len(self.nodes) != self.end:
            return None
        numbers = self.numbers
        k: Any = numbers.get(x._value) if type(x) is handle else None
        m: Any = numbers.get(y._value) if type(y) is handle else None
        if k is None or m is None:
            if k is None:
                k = self._code(impl, x)
            if m is None and k is not None:
                m = self._code(impl, y)
            if k is None or m is None or (k is float and m is float):
                return None
            if x is y and _is_fresh(k):
                return None  # one value from outside, which keys tell from two
            step = self.step
            if step is None:
                return None  # a tape died, whose last name a read of x or y was
            after = step.after.get((impl, k, m))
            if after is None:
                return None
            if _is_fresh(k):
                self._take(x, k)
            if _is_fresh(m):
                self._take(y, m)
        else:
            after = self.step.after.get((impl, k, m))  # type: ignore[union-attr]
            if after is None:
                return None
        return self._again(after, handle, _frame(depth))

    def alone(
        self, impl: Callable[..., Any], x: Any, handle: type[Any], depth: int
    ) -> Any:
        """Return the result of a call of one argument, as `pair` does."""
        if len(self.nodes) != self.end:
            return None
        k: Any = self.numbers.get(x._value) if type(x) is handle else None
        if k is None:
            k = self._code(impl, x)
            if k is None:
                return None
        step = self.step
        if step is None:
            return None  # as above
        after = step.after.get((impl, k))
        if after is None:
            return None
        if _is_fresh(k):
            self._take(x, k)
        return self._again(after, handle, _frame(depth))

    def _again(self, after: Step, handle: type[Any], frame: FrameType) -> Any:
        """Take a step from a line of the user's; returns a tensor."""
        code = frame.f_code
        while USERS.get(id(code)) is not code and is_ours(code):
            back = frame.f_back
            if back is None:
                break
            frame = back
            code = frame.f_code
        loc = after.loc
        if loc is None or loc[1] != frame.f_lasti or loc[0] is not code:
            after.loc = loc_of(code, frame.f_lasti)
        result: Value
        if after.dtype is not None or after.blank:
            result = self.follow(after, self._number)
        else:  # as `follow` does: most steps are of this kind
            result = _NEW(Value)
            result.type = after.kind  # type: ignore[assignment]  # a step has one
            result.node = None
            result.index = 0
            self.values.append(result)
            self.numbers[result] = after.out
            self.taken.append(after)
            self.ahead += 1
            self.step = after
        made = _NEW(handle)
        made._value = result
        cell = result.cell = _NEW(Cell)
        cell.array = cell.plan = None
        cell.handles = 1
        return made

    def _code(self, impl: Callable[..., Any], x: Any) -> Any:
        """Return what a key has of an argument, or None."""
        kind = type(x)
        if kind is int:
            return int, x
        if kind is float:
            if x in LITERALS:
                return float, x.hex()
            self._number = x
            return float if getattr(impl, "weak", False) else None
        if kind is np.ndarray:
            return array_code(impl, x)
        if not isinstance(x, Operators):
            return None
        value = x._value  # the read of a variable may be a step
        if not isinstance(value, Value):
            return None  # two parts of a complex tensor
        at = self.numbers.get(value)
        if at is not None:
            return at
        return self._outside(value)

    def _take(self, x: Any, code: int) -> None:
        """Number an argument that is a value from outside."""
        if type(x) is np.ndarray:
            value, nbytes = leaf_again(x, code)
            self.bytes += nbytes
        else:
            value = x._value
        self.numbers[value] = len(self.values)
        self.values.append(value)

    def follow(self, step: Step, number: "float | None") -> Value:
        """Take a step again; returns its result."""
        values = self.values
        if step.dtype is not None:
            held = leaf(np.array(number, step.dtype), copy=False)
            self.numbers[held] = len(values)
            values.append(held)
        result: Value = _NEW(Value)
        result.type = step.kind  # type: ignore[assignment]  # a step has one
        result.node = result.cell = None
        result.index = 0
        out = step.out
        if step.blank:
            values += step.blank
            values[out] = result
        else:
            values.append(result)
        self.numbers[result] = out
        self.taken.append(step)
        self.ahead += step.width
        self.step = step
        return result

    def settle(self) -> None:
        """Make the nodes of the steps that were taken."""
        if not self.taken:
            return
        values, numbers, nodes = self.values, self.numbers, self.nodes
        start = len(nodes)
        assert start == self.end, "nodes of others come after those of a trail"
        for step in self.taken:
            at, loc = step.base, step.loc
            for made in step.nodes:
                node = _node(made, values, loc)
                runs = node.fma if type(node) is Contracted else node
                results = []
                for k, kind in enumerate(made[3]):
                    value = values[at]
                    if value is None:
                        value = values[at] = Value(kind, None, 0)
                        numbers[value] = at
                    value.node, value.index = runs, k
                    results.append(value)
                    at += 1
                node.results = runs.results = tuple(results)
                nodes.append(node)
        self.taken.clear()
        self.ahead = 0
        self.end = len(nodes)
        if self.segment is not None:
            self.segment += nodes[start:]


def _is_fresh(code: Any) -> bool:
    return type(code) is int and code < 0


def _node(made: Made, values: list[Value], loc: Loc | None) -> Node:
    primitive, refs, params, _, sum_of = made
    operands = tuple([values[r] if type(r) is int else r for r in refs])
    if sum_of is not None:
        fma, inner, product = sum_of
        parts = tuple([values[r] if type(r) is int else r for r in inner])
        run = Node(fma, parts, NO_PARAMS, (), loc)
        run.checked = True
        factor = values[product] if type(product) is int else product
        return Contracted(primitive, operands, factor, run)
    node: Node = _NEW(Node)
    node.primitive = primitive
    node.operands = operands
    node.params = params
    node.loc = loc
    node.checked = True
    return node


_NEW: Any = object.__new__
_frame = sys._getframe


def alive(values: Sequence[Any]) -> list[int]:
    """Return the numbers of values that a handle names."""
    return [
        k
        for k, x in enumerate(values)
        if x is not None and (cell := x.cell) is not None and cell.handles
    ]


__all__ = ["MOST_STEPS", "Walk", "alive"]
