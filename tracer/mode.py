"""How programs run now: natively, checked, or op by op; and who is in the way of it.

In every thread: a class whose calls are native entries has them taken away while calls
are checked or interpreted.
"""

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..ir.custom import erase
from ..ir.graph import Graph, Node
from ..ir.interpreter import interpret as interpret_graph
from ..ir.passes.merge import merge
from ..ir.passes.regions import in_regions
from ..ir.prints import graph_prints
from .engine import Program

Array = np.ndarray[Any, Any]


class Step(NamedTuple):
    """An operation that was interpreted: its op, its line, what it took and gave."""

    op: str
    where: str
    operands: tuple[Array, ...]
    results: tuple[Array, ...]

    def __str__(self) -> str:
        given = ", ".join(map(str, self.operands))
        made = ", ".join(map(str, self.results))
        return f"{self.where}: {self.op}({given}) -> {made}"


See = Callable[[Step], None]


class Mode:
    """Who checks or interprets all calls now, and the classes with native entries."""

    def __init__(self) -> None:
        self.users = 0
        self.every = 0
        self.interpreters: list[See | None] = []
        self._fast: weakref.WeakSet[type] = weakref.WeakSet()
        self._lock = threading.Lock()

    @property
    def is_native(self) -> bool:
        """Whether calls may go to native entries."""
        return not (self.users or self.interpreters)

    def install(self, owner: type, entry: Callable[..., Any]) -> None:
        """Make calls of a class's instances calls of a native entry, where they may."""
        with self._lock:
            if self.is_native:
                owner.__call__ = entry  # type: ignore[method-assign]  # one class each
                self._fast.add(owner)

    def enter(self, every: bool) -> None:
        """Have all calls checked; native entries give way to calls through Python."""
        with self._lock:
            self.users += 1
            self.every += every
            self._slow_down()

    def leave(self, every: bool) -> None:
        """End what `enter` began."""
        with self._lock:
            self.users -= 1
            self.every -= every

    def enter_interpreted(self, see: See | None) -> None:
        """Have all programs interpreted."""
        with self._lock:
            self.interpreters.append(see)
            self._slow_down()

    def leave_interpreted(self, see: See | None) -> None:
        """End what `enter_interpreted` began."""
        with self._lock:
            self.interpreters.remove(see)

    def _slow_down(self) -> None:
        for owner in self._fast:
            if "__call__" in vars(owner):
                del owner.__call__
        self._fast.clear()

    def run(
        self, program: Program, graph: Graph, arrays: Sequence[Array]
    ) -> list[Array]:
        """Return the outputs of a program, from native code or op by op."""
        if self.interpreters:
            return interpreted(graph, arrays, self.interpreters[-1])
        return program.run(arrays)


MODE = Mode()


class Interpreting:
    """The context in which programs are interpreted."""

    def __init__(self, see: See | None) -> None:
        self._see = see

    def __enter__(self) -> "Interpreting":
        MODE.enter_interpreted(self._see)
        return self

    def __exit__(self, *exc: object) -> None:
        MODE.leave_interpreted(self._see)


def interpret(see: See | None = None) -> Interpreting:
    """Return a context in which all that is called runs op by op, by NumPy.

    For looking, not for speed: a debugger stops in it, and `see` is called after every
    operation, those in bodies of loops at each step. Results may differ from native
    ones in their last bits.

    Args:
        see: takes a step: the op, its line, its operands and results; `print` shows it.
    """
    return Interpreting(see)


def _printing_once(graph: Graph) -> Graph:
    """Return the graph where loops that derivatives run again are one with the first.

    As they are where they are compiled, in regions too.
    """
    return in_regions(merge(graph), _printing_once)


def interpreted(
    graph: Graph, arrays: Sequence[Any], see: See | None = None
) -> list[Array]:
    """Return the outputs of a graph, computed op by op."""

    def seen(node: Node, operands: Sequence[Array], made: Sequence[Array]) -> None:
        if see is not None and node.operands:
            where = str(node.loc) if node.loc is not None else "its adjoint"
            see(Step(node.primitive.name, where, tuple(operands), tuple(made)))

    if graph_prints(graph):
        graph = _printing_once(erase(graph))
    given = [
        np.asarray(a, x.type.dtype.numpy)
        for a, x in zip([*arrays, *graph.captures], graph.inputs, strict=True)
    ]
    return [np.array(r) for r in interpret_graph(graph, given, see=seen)]


__all__ = ["MODE", "Interpreting", "Step", "interpret", "interpreted"]
