"""Run every test of the tracer twice: interpreted, by NumPy, and compiled."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from pullback.ir.graph import Graph
from pullback.ir.report import ProgramReport
from pullback.ir.verify import verify
from pullback.runtime.compile import compile_graph
from pullback.tracer import engine, left_tape, pending, rolling
from pullback.tracer.mode import interpreted
from pullback.tracer.state import STATE


class Interpreted:
    """A program that is interpreted."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def run(self, arrays: Sequence[np.ndarray[Any, Any]]) -> list[Any]:
        return interpreted(self.graph, arrays)

    def report(self) -> ProgramReport:
        return ProgramReport(len(self.graph.nodes), (), 0, "interpreted", {})

    def entry(self, tree: Any, miss: Callable[..., Any]) -> Callable[..., Any]:
        def arranged(part: Any, results: list[Any]) -> Any:
            if isinstance(part, tuple):
                return tuple([arranged(p, results) for p in part])
            return results[part][()] if results[part].ndim == 0 else results[part]

        class Entry:  # not a function, so it does not bind: as a builtin does not
            def __call__(entry, *args: Any, **options: Any) -> Any:
                fits = not options and len(args) == len(self.graph.inputs) - len(
                    self.graph.captures
                )
                fits = fits and all(
                    isinstance(a, np.ndarray)
                    and a.dtype == x.type.dtype.numpy
                    and a.shape == x.type.shape
                    for a, x in zip(args, self.graph.inputs, strict=False)
                )
                if not fits:
                    return miss(*args, **options)
                return arranged(tree, self.run(args))

        return Entry()


class Compiler:
    """Compiles one way, and counts."""

    def __init__(self, make: Callable[[Graph], Any]) -> None:
        self.make = make
        self.made = 0

    def __call__(self, graph: Graph) -> Any:
        verify(graph, "the trace")
        self.made += 1
        return self.make(graph)


@pytest.fixture(autouse=True, params=["interpreted", "native"])
def compiler(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Compiler]:
    made = Compiler(Interpreted if request.param == "interpreted" else compile_graph)
    monkeypatch.setattr(engine, "_compiler", [made])
    monkeypatch.setattr(pending, "_PROGRAMS", {})
    monkeypatch.setattr(rolling, "_KNOWN", {})
    monkeypatch.setattr(left_tape, "_TOLD", set())
    monkeypatch.setattr(STATE, "recorder", None)
    yield made
    assert STATE.trace is None
