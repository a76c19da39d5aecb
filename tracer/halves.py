"""A program in two: what it returns, and what takes tangents or cotangents later.

The first returns the value and the residuals, the second takes what comes later and the
residuals.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError
from ..ir.graph import Graph, Value
from ..ir.log import log
from ..ir.passes.partition_vjp import VjpPair
from ..ir.passes.rebuild import with_inputs
from ..ir.sizes import SizeExpr
from ..ir.types import TensorType
from . import engine
from .function import Compiled, Function
from .mode import MODE
from .signature import Call
from .trees import unflatten

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Halves:
    """The two programs.

    `wrt` are the numbers of the inputs that are differentiated, `reads` of those that
    the second program takes after what is late and the residuals, `late` of those after
    these, for their sizes alone.
    """

    pair: VjpPair
    graph: Graph  # of the second program
    forward: engine.Program
    second: engine.Program
    wrt: tuple[int, ...]
    late: tuple[int, ...]

    def run(self, made: Function, compiled: Compiled, call: Call) -> "Ran":
        """Run the first program."""
        graph, pair = compiled.graph, self.pair
        arrays = [
            np.asarray(call.leaves[at], x.type.dtype.numpy)
            for at, x in zip(compiled.arrays, graph.inputs, strict=False)
        ]
        results = MODE.run(self.forward, pair.forward, arrays)
        count = len(graph.outputs)
        results, residuals = results[:count], results[count:]
        made._examine(compiled, arrays, results)
        read = [np.array(arrays[k], order="C", copy=True) for k in pair.reads]
        late = [arrays[k] if k not in pair.reads else read[pair.reads.index(k)]
                for k in self.late]  # fmt: skip
        values = results[: count - len(compiled.checks)]
        floats = [r.dtype.kind == "f" for r in values]
        moving = [r for r in values if r.dtype.kind == "f"]
        value = unflatten(compiled.result, [r if r.ndim else r[()] for r in values])
        return Ran(
            self, made, value, floats, moving, arrays, [*read, *residuals, *late]
        )


@dataclass(frozen=True, slots=True)
class Ran:
    """What the first program left for the second.

    `value` is in its structure; `floats` says which leaves of it are floats, and
    `moving` has these; `arrays` are the inputs, `kept` what the second program reads.
    """

    halves: Halves
    made: Function
    value: Any
    floats: list[bool]
    moving: list[Array]
    arrays: list[Array]
    kept: list[Array]

    def again(self, seeds: Sequence[Array]) -> list[Any]:
        """Run the second program on what came later."""
        given = [*seeds, *self.kept]
        graph = self.halves.graph
        found = MODE.run(self.halves.second, graph, given)
        self.made._check(graph, given, found, [(0, len(graph.nodes))])
        return [x if x.ndim else x[()] for x in found]


def compile_halves(
    made: Compiled,
    split: Callable[[Graph, Sequence[int]], VjpPair],
    label: str,
    place: str,
    threads: "int | None" = None,
) -> Halves:
    """Return the two programs of a compiled signature; calls use so many threads.

    Raises:
        ArgumentError: no argument has floats.
    """
    graph = made.graph
    wrt = tuple(
        k for k in range(len(made.arrays)) if graph.inputs[k].type.dtype.is_float
    )
    if not wrt:
        raise ArgumentError(f"{label}: no argument holds floats{place}")
    log("compile", lambda: f"{label}: {made.why}")
    pair = split(graph, wrt)
    second, late = _with_sizes(pair.backward, graph, len(made.arrays))
    return Halves(
        pair,
        second,
        engine.compile_graph(pair.forward, threads),
        engine.compile_graph(second, threads),
        wrt,
        late,
    )


def _with_sizes(
    second: Graph, graph: Graph, count: int
) -> tuple[Graph, tuple[int, ...]]:
    """Return the second program with inputs that show the sizes it cannot see."""
    seen = {str(d) for x in second.inputs for d in x.type.shape}
    late: list[int] = []
    for size in second.sizes:
        if size not in seen:
            shows = (k for k in range(count) if _shows(graph.inputs[k].type, size))
            late.append(next(shows))
            seen.update(str(d) for d in graph.inputs[late[-1]].type.shape)
    if not late:
        return second, ()
    at = len(second.inputs) - len(second.captures)
    added = [Value(graph.inputs[k].type, None, at + i) for i, k in enumerate(late)]
    names = [graph.names[k] for k in late]
    return with_inputs(second, at, added, names)[0], tuple(late)


def _shows(kind: TensorType, size: str) -> bool:
    return any(isinstance(d, SizeExpr) and str(d) == size for d in kind.shape)


def seed_array(leaf: Any, like: Array, what: str, of: str = "argument") -> Array:
    """Return what came later as an array of the type of what it belongs to.

    Raises:
        ArgumentError: it has another shape or dtype.
    """
    if leaf is None:
        return np.zeros_like(like)
    array = np.asarray(leaf, like.dtype if type(leaf) in (int, float) else None)
    if array.shape != like.shape or array.dtype != like.dtype:
        raise ArgumentError(
            f"{what} is {array.dtype}{list(array.shape)}, the {of} "
            f"{like.dtype}{list(like.shape)}"
        )
    return array
