"""Loops and branches outside of any trace: on plain arrays, or on tensors of a tape.

Each call is traced. On plain arrays it is compiled and run at once; the program of a
call that was traced to the same graph before is used again. Where a tensor is passed,
or a body reads one, the nodes are recorded on the tape like any other operation.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.graph import Value
from ..ir.types import TensorType, dtype_of
from . import engine
from .array import TracedArray
from .mode import MODE, interpreted
from .numerics import examine, raise_failed
from .operators import Operators
from .pair import Pair
from .tensor import Tensor, current_recorder
from .trace import Trace, finish
from .trees import flatten, paths, unflatten


class Outside(Trace):
    """A trace of one call, whose inputs are the arrays and tensors it meets."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.leaves: list[Any] = []  # what the inputs stand for
        self._inputs: list[Value] = []
        self._tensors: dict[Value, Value] = {}

    @property
    def taped(self) -> bool:
        """Whether a tensor is among the inputs."""
        return bool(self._tensors)

    def take(self, leaf: Any, path: str) -> Any:
        """Return a leaf of an argument as a traced array, where it has numbers."""
        if isinstance(leaf, TracedArray):
            return leaf  # it has escaped, and says so where it is used
        if isinstance(leaf, Operators):
            return TracedArray(self, self.tensor(leaf))
        if isinstance(leaf, np.ndarray | np.generic) or type(leaf) in (int, float):
            array = np.asarray(leaf)
            if array.dtype.kind not in "fiub":
                return leaf
            value = self._input(TensorType(dtype_of(array.dtype), array.shape), path)
            self.leaves.append(array)
            if type(leaf) in (int, float):
                self.weak[value] = leaf
            return TracedArray(self, value)
        return leaf

    def tensor(self, x: Any) -> Any:
        """Return the input that stands for a tensor, or both of a complex one."""
        held = x._value
        if type(held) is Pair:
            return Pair(self.tensor(x.real), self.tensor(x.imag))
        found = self._tensors.get(held)
        if found is None:
            found = self._tensors[held] = self._input(held.type, "tensor")
            self.leaves.append(Tensor(held))
        return found

    def _input(self, kind: TensorType, name: str) -> Value:
        value = self.builder.input(kind, name)
        self._inputs.append(value)
        return value

    def order(self) -> None:
        """Put the inputs before what was captured on the way."""
        b = self.builder
        own = set(self._inputs)
        named = dict(zip(b.inputs, b.names, strict=True))
        b.inputs = [*self._inputs, *[x for x in b.inputs if x not in own]]
        b.names = [named[x] for x in b.inputs]
        for k, x in enumerate(b.inputs):
            x.index = k


def run(name: str, build: Callable[[Trace, Any], Any], tree: Any) -> Any:
    """Trace a call, and run or record it.

    Args:
        name: what messages call it.
        build: takes the trace, and the arguments as traced arrays; returns results.
        tree: the arguments.

    Returns:
        Arrays, or tensors where one is among the inputs.
    """
    session = Outside(name)
    with session:
        leaves, structure = flatten(tree)
        where = paths(structure, name)
        given = [session.take(x, p) for x, p in zip(leaves, where, strict=True)]
        result = build(session, unflatten(structure, given))
        session.order()
        graph, arranged = finish(session, result, checked=True)
    checks = session.checks
    if session.taped:
        found = current_recorder().replay(graph, session.leaves)
        if checks:
            held = [x._array() for x in found]
            arrays = [
                x._array() if isinstance(x, Tensor) else x for x in session.leaves
            ]
            raise_failed(graph, arrays, checks, held[len(held) - len(checks) :])
        return unflatten(arranged, found)
    arrays = [np.array(x, order="C", copy=None) for x in session.leaves]
    if MODE.interpreters:
        results = interpreted(graph, arrays, MODE.interpreters[-1])
    else:
        results = engine.compile_graph(graph).run(arrays)
    count = len(results) - len(checks)
    raise_failed(graph, arrays, checks, results[count:])
    if MODE.users:
        every = MODE.every > 0
        examine(graph, arrays, results[:count], every=every, name=name)
    return unflatten(arranged, [r if r.ndim else r[()] for r in results[:count]])
