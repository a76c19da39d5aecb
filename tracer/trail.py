"""What a tape recorded before, so that recording it again is quick.

A trail is a tree of steps: an op on values that are numbered in the order in which they
came, what it appended, and what followed it. A tape that records what one recorded
before walks along: of an op that was met on the same numbers the step is noted, and
nothing is checked again. Nodes are made when somebody asks for them, which `settle`
does. Where a walk ends names what was recorded: programs of gradients are kept there,
so they are found without a node.

What is not of this form (a second tape, an array among a function's arguments, nodes
from elsewhere) ends the walk; what is recorded then is recorded as ever.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.errors import OpTypeError
from ..ir.graph import NO_PARAMS, Node, Value
from .contracted import Contracted
from .operators import Operators
from .steps import LITERALS, Made, Other, Step, static
from .walk import Walk, alive

_MOST_WAYS = 64  # that go on from one step


class Trail(Walk):
    """A walk, and how the tree grows where it leads nowhere yet."""

    __slots__ = ()

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
                        raise Other
                    number = x
                    key.append(float)
                else:
                    key.append(static(x))
            if options:
                key += [(name, static(x)) for name, x in options.items()]
        except (Other, OpTypeError):  # such a dtype is refused where it is recorded
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
        if number is not None:  # it is numbered first, wherever it is read
            self.values.append(None)
        after.base = len(self.values)
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
        if found is None or found < after.base or len(step.after) >= _MOST_WAYS:
            self.leave()
            return
        if number is not None and after.dtype is None:
            self.leave()
            return
        after.nodes, after.width = tuple(made), len(made)
        if len(self.values) > after.base + 1:
            after.blank = (None,) * (len(self.values) - after.base)
        after.out = found
        after.kind = out._value.type
        after.loc = self.nodes[-1].loc
        step.after[key] = after
        self._size += 1
        self.step = after
        self.end = len(self.nodes)

    def _describe(self, node: Node, step: Step, number: float | None) -> Made | None:
        sum_of = None
        if node.primitive.name in ("add", "sub") and any(
            map(_is_product, node.operands)
        ):
            return None  # factors of others come next time
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
        self.numbers[x] = step.base - 1
        self.values[step.base - 1] = x
        return step.base - 1


def _is_product(x: Value) -> bool:
    """Return whether a value is a product that was recorded before, and planned."""
    return x.node is not None and x.cell is not None and x.cell.plan is not None


__all__ = ["Trail", "alive"]
