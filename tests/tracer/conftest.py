"""Run the tests of the tracer on the interpreter: the meaning of every op, by NumPy."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from pullback.ir.graph import Graph
from pullback.ir.interpreter import interpret
from pullback.ir.verify import verify
from pullback.tracer import engine, pending
from pullback.tracer.state import STATE


class Interpreted:
    """A program that is interpreted."""

    made = 0

    def __init__(self, graph: Graph) -> None:
        verify(graph, "the trace")
        self.graph = graph
        Interpreted.made += 1

    def run(self, arrays: Sequence[np.ndarray[Any, Any]]) -> list[Any]:
        found = interpret(self.graph, [*arrays, *self.graph.captures])
        return [np.array(x) for x in found]

    def entry(self, tree: Any, miss: Callable[..., Any]) -> Callable[..., Any]:
        class Entry:  # not a function, so it does not bind: as a builtin does not
            def __call__(self, *args: Any, **options: Any) -> Any:
                return miss(*args, **options)

        return Entry()


@pytest.fixture(autouse=True)
def interpreted(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Interpreted]]:
    monkeypatch.setattr(engine, "_compiler", [Interpreted])
    monkeypatch.setattr(pending, "_PROGRAMS", {})
    monkeypatch.setattr(STATE, "recorder", None)
    monkeypatch.setattr(Interpreted, "made", 0)
    yield Interpreted
    assert STATE.trace is None
