"""The way down to the compiler, taken when the first program is compiled.

Nothing else of the tracer imports the runtime: `import pullback` must not cost what
LLVM costs. This module is the one place with imports inside functions.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ..ir.graph import Graph

if TYPE_CHECKING:
    from ..ir.report import ProgramReport
    from .explain import Explanation

Array = np.ndarray[Any, Any]


class Program(Protocol):
    """A compiled graph."""

    def run(
        self, arrays: Sequence[Array], out: "Sequence[Array | None] | None" = None
    ) -> list[Array]:
        """Return the outputs for the inputs that are not captures.

        Where `out` has an array for an output, it is written into that.
        """

    def report(self) -> "ProgramReport":
        """Return launches, memory and times."""

    def entry(
        self,
        tree: "int | tuple[Any, ...]",
        miss: Callable[..., Any],
        into: bool = False,
    ) -> Callable[..., Any]:
        """Return a native callable; `miss` takes the calls that do not fit.

        With `into` it takes `out=`.
        """


Compiler = Callable[..., Program]  # of a graph, and of a number of threads if asked

_compiler: list[Compiler] = []


def compile_graph(graph: Graph, threads: "int | None" = None) -> Program:
    """Compile a graph to native code; `threads` is how many a call may use."""
    if not _compiler:
        _compiler.append(_load())
    compiler = _compiler[0]
    return compiler(graph) if threads is None else compiler(graph, threads)


def make_recording(*args: Any) -> Any:
    """Return native recording. Any: as `runtime.recording` has it."""
    from ..runtime.recording import make_recording as made  # lazy: costs LLVM

    return made(*args)


def recording_spec() -> Any:
    """Return the classes that describe it. Any: as `runtime.recording` has them."""
    from ..runtime.recording import Face, Operator, Spec  # lazy: costs LLVM

    return Spec, Operator, Face


def compile_apart(graph: Graph) -> Program:
    """Compile a graph that returns many of its values, one kernel an op."""
    from ..runtime.compile import compile_apart as native  # lazy: costs LLVM

    return native(graph)


def _load() -> Compiler:
    from ..runtime.compile import compile_threaded as native  # lazy: costs LLVM

    return native


def call_into(*args: Any) -> Any:
    """Run a call with `out=`. Any: the arguments are those of `into.call_into`."""
    from .into import call_into as called  # lazy: few calls have it

    return called(*args)


def explain(*args: Any) -> "Explanation":
    """Explain a compiled signature. Any: the arguments are those of `explain`."""
    from .explain import explain as explained  # lazy: few programs ask

    return explained(*args)
