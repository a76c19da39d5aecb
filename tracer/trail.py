"""What a tape recorded before, so that recording it again is quick.

A trail is a tree of steps: an op on values that are numbered in the order in which they
came, what it appended, and what followed it. A tape that records what one recorded
before walks along: an op that was met on the same numbers appends the same nodes, and
nothing is checked again. Where a walk ends names what was recorded: programs
of gradients are kept there, so they are found without reading a node.

What is not of this form (a second tape, an array among a function's arguments, nodes
from elsewhere) ends the walk; what is recorded then is recorded as ever.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.graph import NO_PARAMS, Node, Value
from ..ir.loc import OURS, Loc
from ..ir.types import DType, TensorType, dtype_of
from .cell import Array, Cell, leaf
from .contracted import Contracted
from .operators import Operators

MOST_STEPS = 20_000
_MOST_WAYS = 64  # that go on from one step

# Python numbers that are part of a program; all others are inputs of it.
LITERALS = frozenset((0, 1, -1, 2, 0.5))

_TYPES: dict[TensorType, int] = {}
_ARRAYS: dict[tuple[np.dtype[Any], tuple[int, ...]], int] = {}
_PLAIN = (int, bool, str, type(None), type, type(Ellipsis))

# (op, operands: numbers or literals, params, result types, the product's number and the
# op, operands that run where the node is a sum of a product)
Made = tuple[Any, tuple[Any, ...], Any, tuple[TensorType, ...], Any]


class Step:
    """An op on numbered values: what it appended, and what was done next."""

    __slots__ = ("after", "dtype", "found", "loc", "nodes", "one", "out")

    def __init__(self) -> None:
        self.after: dict[Any, Step] = {}
        self.found: dict[Any, Any] = {}  # what is known of gradients at this end
        self.nodes: tuple[Made, ...] = ()
        self.one: tuple[Any, tuple[int, ...], Any, TensorType] | None = None
        self.out = -1
        self.dtype: np.dtype[Any] | None = None  # of a number that came along
        self.loc: Loc | None = None


class _Other(Exception):
    """An argument that has no place in a key."""


class Trail:
    """A walk along what was recorded, and the tree that it goes through."""

    __slots__ = (
        "_leaf_of",
        "_root",
        "_size",
        "end",
        "nodes",
        "numbers",
        "start",
        "step",
        "tape",
        "touched",
        "values",
        "walks",
    )  # fmt: skip

    def __init__(self, nodes: list[Node], leaf_of: Callable[[Array], Value]) -> None:
        self._leaf_of = leaf_of
        self.walks = False
        self._root = Step()
        self._size = 0
        self.nodes = nodes
        self.step: Step | None = None  # None: nothing is walked
        self.tape = 0  # which one records, by identity
        self.start = self.end = 0
        self.touched = False
        self.values: list[Value] = []
        self.numbers: dict[Value, int] = {}

    def begin(self, tape: object) -> None:
        """Walk from the root: a tape begins to record."""
        if self._size > MOST_STEPS:
            self._root, self._size = Step(), 0
        self.step = self._root
        self.walks = True
        self.tape = id(tape)
        self.start = self.end = len(self.nodes)
        self.touched = False
        self.values = []
        self.numbers = {}

    def leave(self) -> None:
        """Walk no further, and hold nothing of what was recorded."""
        if self.step is not None:
            self.step = None
            self.walks = False
            self.values = []
            self.numbers = {}

    def knows(self, tape: object) -> bool:
        """Return whether all that a tape recorded was walked."""
        return (
            self.step is not None
            and self.tape == id(tape)
            and len(self.nodes) == self.end
        )

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
        cell = value.cell
        if value.node is not None or cell is None or cell.array is None:
            self.leave()
            return None
        self.numbers[value] = len(self.values)
        self.values.append(value)
        kind = _TYPES.get(value.type)
        if kind is None:
            kind = _TYPES[value.type] = len(_TYPES)
        return -1 - kind

    def key(
        self, impl: Callable[..., Any], given: list[Any], options: dict[str, Any]
    ) -> tuple[tuple[Any, ...] | None, float | None]:
        """Return what this call is called, and the number that comes along.

        `given` are Values for tensors; arrays become Values where any array may stand.
        """
        if len(self.nodes) != self.end:
            self.leave()
            return None, None
        weak = getattr(impl, "weak", False)
        numbers = self.numbers
        key: list[Any] = [impl]
        number: float | None = None
        try:
            for k, x in enumerate(given):
                kind = type(x)
                if weak and kind is np.ndarray:
                    x = given[k] = self._leaf_of(x)
                    kind = Value
                if kind is Value:
                    at = numbers.get(x)
                    if at is None:
                        at = self._leaf(x)
                        if at is None:
                            return None, None
                    key.append(at)
                elif weak and kind is float and x not in LITERALS:
                    if number is not None:
                        raise _Other
                    number = x
                    key.append(float)
                else:
                    key.append(_static(x))
            if options:
                key += [(name, _static(x)) for name, x in options.items()]
        except _Other:
            self.leave()
            return None, None
        return tuple(key), number

    def learn(
        self, key: tuple[Any, ...], start: int, out: Any, number: float | None
    ) -> None:
        """Keep what a call appended, and step on."""
        step = self.step
        if step is None:
            return
        after = Step()
        made: list[Made] = []
        for node in self.nodes[start:]:
            if node.primitive.name == "constant":
                continue
            described = self._describe(node, after, number)
            if described is None:
                self.leave()
                return
            made.append(described)
        found = self.numbers.get(out._value) if isinstance(out, Operators) else None
        if found is None or not made or len(step.after) >= _MOST_WAYS:
            self.leave()
            return
        if number is not None and after.dtype is None:
            self.leave()
            return
        after.nodes = tuple(made)
        primitive, refs, params, kinds, sum_of = made[0]
        if len(made) == len(kinds) == 1 and sum_of is None and after.dtype is None:
            after.one = primitive, refs, params, kinds[0]
        after.out = found
        step.after[key] = after
        self._size += 1
        self.step = after
        self.end = len(self.nodes)

    def _describe(self, node: Node, step: Step, number: float | None) -> Made | None:
        sum_of = None
        if type(node) is Contracted:
            refs = [self._ref(x, step, number) for x in node.fma.operands]
            product = self._ref(node.product, step, number)
            if product is None or None in refs:
                return None
            sum_of = (node.fma.primitive, tuple(refs), product)
        operands = [self._ref(x, step, number) for x in node.operands]
        if None in operands or not node.results:
            return None
        if sum_of is None and node.results[0].node is not node:
            return None
        for result in node.results:
            self.numbers[result] = len(self.values)
            self.values.append(result)
        params = node.params or NO_PARAMS
        kinds = tuple([r.type for r in node.results])
        return node.primitive, tuple(operands), params, kinds, sum_of

    def _ref(self, x: Value, step: Step, number: float | None) -> Any:
        found = self.numbers.get(x)
        if found is not None:
            return found
        if x.node is not None:
            return x if x.node.primitive.name == "constant" else None
        if x.cell is None or x.cell.array is None:
            return None
        if number is None:
            return x  # it was made of what the key has
        if (
            step.dtype is not None
            or x.type.shape
            or x.cell.array != np.array(number, x.type.dtype.numpy)
        ):
            return None
        step.dtype = x.type.dtype.numpy
        self.numbers[x] = len(self.values)
        self.values.append(x)
        return self.numbers[x]

    def quick(
        self, impl: Callable[..., Any], args: Sequence[Any], handle: type[Any]
    ) -> Any:
        """Return the result of an op of one node on values that have numbers.

        None where it is another, or was not met here.
        """
        step, numbers, nodes = self.step, self.numbers, self.nodes
        if step is None or len(nodes) != self.end:
            return None
        x = args[0]
        if type(x) is handle:
            x = numbers.get(x._value)
        elif isinstance(x, Operators):
            x = numbers.get(x._value)
            step = self.step  # the read of a variable may be a step
        else:
            x = _scalar(x) if type(x) is not np.ndarray else _array_code(impl, x)
        if x is None or step is None:
            return None
        if len(args) == 1:
            after = step.after.get((impl, x))
        else:
            if len(args) != 2:
                return None
            y = args[1]
            if type(y) is handle:
                y = numbers.get(y._value)
            elif isinstance(y, Operators):
                y = numbers.get(y._value)
                step = self.step
            else:
                y = _scalar(y) if type(y) is not np.ndarray else _array_code(impl, y)
            if y is None or step is None:
                return None
            after = step.after.get((impl, x, y))
        if after is None or after.dtype is not None:
            return None
        for given in args:
            if type(given) is np.ndarray:
                self._leaf(self._leaf_of(given))
        frame = _frame(3)
        code = frame.f_code
        while OURS.get(code, True):
            back = frame.f_back
            if back is None:
                break
            frame = back
            code = frame.f_code
        loc = after.loc
        if loc is None or loc.code is not code or loc.lasti != frame.f_lasti:
            after.loc = loc = Loc(code, frame.f_lasti)
        if after.one is None:
            return handle(self.follow(after, None, loc))
        values = self.values
        node = _NEW(Node)
        node.primitive, refs, node.params, kind = after.one
        node.operands = tuple([values[r] if type(r) is int else r for r in refs])
        node.loc = loc
        node.checked = True
        result = _NEW(Value)
        result.type = kind
        result.node = node
        result.index = 0
        node.results = (result,)
        numbers[result] = len(values)
        values.append(result)
        nodes.append(node)
        self.step = after
        self.end += 1
        made = _NEW(handle)
        made._value = result
        cell = result.cell = _NEW(Cell)
        cell.array = cell.plan = None
        cell.handles = 1
        return made

    def follow(self, step: Step, number: float | None, loc: Loc | None) -> Value:
        """Append again what a step appended; returns its result."""
        values, numbers, nodes = self.values, self.numbers, self.nodes
        if step.dtype is not None:
            held = leaf(np.array(number, step.dtype), copy=False)
            numbers[held] = len(values)
            values.append(held)
        for primitive, refs, params, kinds, sum_of in step.nodes:
            operands = tuple([values[r] if type(r) is int else r for r in refs])
            if sum_of is not None:
                fma, inner, product = sum_of
                parts = tuple([values[r] if type(r) is int else r for r in inner])
                run = Node(fma, parts, NO_PARAMS, kinds, loc)
                run.checked = True
                node: Node = Contracted(primitive, operands, values[product], run)
                result = node.results[0]
            else:
                node = _NEW(Node)
                node.primitive = primitive
                node.operands = operands
                node.params = params
                node.loc = loc
                node.checked = True
                if len(kinds) != 1:
                    node.results = tuple(
                        [Value(kind, node, k) for k, kind in enumerate(kinds)]
                    )
                    for x in node.results:
                        numbers[x] = len(values)
                        values.append(x)
                    nodes.append(node)
                    continue
                result = _NEW(Value)
                result.type = kinds[0]
                result.node = node
                result.index = 0
                result.cell = None
                node.results = (result,)
            numbers[result] = len(values)
            values.append(result)
            nodes.append(node)
        self.step = step
        self.end = len(nodes)
        return values[step.out]


_NEW: Any = object.__new__
_frame = sys._getframe


def _array_code(impl: Callable[..., Any], x: Array) -> int | None:
    """Return what keys call an array that stands for a leaf, or None."""
    if not getattr(impl, "weak", False):
        return None
    at = x.dtype, x.shape
    code = _ARRAYS.get(at)
    if code is None:
        if x.dtype.kind not in "fiub":
            return None
        kind = TensorType(dtype_of(x.dtype), x.shape)
        if len(_ARRAYS) >= 10_000:
            _ARRAYS.clear()
        code = _ARRAYS[at] = -1 - _TYPES.setdefault(kind, len(_TYPES))
    return code


def _scalar(x: Any) -> Any:
    """Return what a key has of a Python number that is in the program, or None."""
    kind = type(x)
    if kind is int:
        return int, x
    return (float, x.hex()) if kind is float and x in LITERALS else None


def _static(x: Any) -> Any:
    """Return what a key has of an argument that is no array.

    Raises:
        _Other: it is something else.
    """
    kind = type(x)
    if kind in _PLAIN:
        return kind, x
    if kind is float:
        return float, x.hex()
    if kind is tuple or kind is list:
        return kind, *[_static(item) for item in x]
    if kind is slice:
        return kind, _static(x.start), _static(x.stop), _static(x.step)
    if kind is DType or isinstance(x, np.dtype):
        return x
    raise _Other


def alive(values: Sequence[Value]) -> list[int]:
    """Return the numbers of values that a handle names."""
    return [k for k, x in enumerate(values) if x.cell is not None and x.cell.handles]


__all__ = ["LITERALS", "Step", "Trail", "alive"]
