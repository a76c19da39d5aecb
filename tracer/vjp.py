"""`vjp`: a function's value, and its pullback for cotangents that come later.

Two programs are compiled: one returns the value and the residuals, the other takes
cotangents and residuals. Inside a decorated function both are nodes of its trace.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.adjoint import pullback
from ..ir.errors import ArgumentError, EscapedValue
from ..ir.graph import Graph, Node, Value
from ..ir.loc import traced_at, user_loc
from ..ir.log import log
from ..ir.passes.partition_vjp import VjpPair, split_vjp
from ..ir.passes.rebuild import with_inputs
from ..ir.sizes import SizeExpr
from ..ir.types import TensorType
from . import engine
from .array import TracedArray
from .function import Compiled, Function, function
from .signature import Call
from .state import STATE
from .trace import Trace, name_of, place_of
from .trees import (
    LEAF,
    NONE,
    Structure,
    canonical,
    flatten,
    paths,
    shown,
    unflatten,
)

Array = np.ndarray[Any, Any]


class Pullback:
    """Takes a cotangent of a value, gives those of the arguments it came from.

    May be called any number of times.
    """

    def __init__(
        self,
        name: str,
        result: Structure,
        floats: Sequence[bool],
        back: Callable[[list[Any]], list[Any]],
        arrange: Callable[[list[Any]], Any],
    ) -> None:
        self._name = name
        leaves = iter(floats)
        self._expected = _seeded(result, leaves)
        self._back = back
        self._arrange = arrange

    def __repr__(self) -> str:
        return f"<pullback of {self._name}>"

    def __call__(self, ct: Any) -> Any:
        """Return one cotangent for each argument, in its structure.

        Args:
            ct: the cotangent of the value, in its structure: for each float an array
                of its shape and dtype, None for everything else.

        Raises:
            ArgumentError: it has another structure, shape or dtype.
        """
        leaves, structure = flatten(ct)
        if canonical(structure) != canonical(self._expected):
            raise ArgumentError(
                f"pullback of {self._name}: the cotangent is {shown(structure)}, "
                f"the result {shown(self._expected)}"
            )
        return self._arrange(self._back(leaves))


def vjp(fun: Callable[..., Any], *args: Any) -> tuple[Any, Pullback]:
    """Return the value of a function, and its pullback there.

    Args:
        fun: a function over arrays, with any structure of results. A decorated one is
            traced once a signature, any other at every call.
        args: its arguments. Those the pullback reads again are copied.

    Returns:
        The value, and a callable that takes a cotangent of the value and returns a
        tuple of one cotangent an argument; None stands for what is not a float.

    Raises:
        ArgumentError: no argument has floats, or one is a tensor of a tape.
    """
    trace = STATE.trace
    if trace is not None:
        return _in_trace(trace, fun, args)
    made: Function = fun if isinstance(fun, Function) else function(fun)
    call = made._reader.read(args, {})
    if call.taped:
        raise ArgumentError(
            f"vjp of {name_of(fun)}: takes arrays: for tensors use "
            "tape.gradient(target, sources, output_gradients)"
        )
    made._check_types(call)
    compiled = made._traced(call)
    split = compiled.split
    if split is None:
        split = compiled.split = _split(compiled, name_of(fun), place_of(fun))
    return _run(made, split, compiled, call, name_of(fun))


# -- compiled --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Split:
    """The two programs of a pullback.

    `wrt` are the numbers of the inputs that have cotangents, `reads` of those that the
    backward program takes after seeds and residuals, `late` of those after these,
    for their sizes alone.
    """

    pair: VjpPair
    graph: Graph  # of the backward program
    forward: engine.Program
    backward: engine.Program
    wrt: tuple[int, ...]
    late: tuple[int, ...]


def _split(made: Compiled, name: str, place: str) -> Split:
    graph = made.graph
    wrt = tuple(
        k for k in range(len(made.arrays)) if graph.inputs[k].type.dtype.is_float
    )
    if not wrt:
        raise ArgumentError(f"vjp of {name}: no argument holds floats{place}")
    log("compile", lambda: f"vjp of {name}: {made.why}")
    pair = split_vjp(graph, wrt)
    backward, late = _with_sizes(pair.backward, graph, len(made.arrays))
    return Split(
        pair,
        backward,
        engine.compile_graph(pair.forward),
        engine.compile_graph(backward),
        wrt,
        late,
    )


def _with_sizes(
    backward: Graph, graph: Graph, count: int
) -> tuple[Graph, tuple[int, ...]]:
    """Return the backward program with inputs that show the sizes it cannot see."""
    seen = {str(d) for x in backward.inputs for d in x.type.shape}
    late: list[int] = []
    for size in backward.sizes:
        if size not in seen:
            shows = (k for k in range(count) if _shows(graph.inputs[k].type, size))
            late.append(next(shows))
            seen.update(str(d) for d in graph.inputs[late[-1]].type.shape)
    if not late:
        return backward, ()
    at = len(backward.inputs) - len(backward.captures)
    added = [Value(graph.inputs[k].type, None, at + i) for i, k in enumerate(late)]
    names = [graph.names[k] for k in late]
    return with_inputs(backward, at, added, names)[0], tuple(late)


def _shows(kind: TensorType, size: str) -> bool:
    return any(isinstance(d, SizeExpr) and str(d) == size for d in kind.shape)


def _run(
    made: Function, split: Split, compiled: Compiled, call: Call, name: str
) -> tuple[Any, Pullback]:
    graph, pair = compiled.graph, split.pair
    arrays = [
        np.asarray(call.leaves[at], x.type.dtype.numpy)
        for at, x in zip(compiled.arrays, graph.inputs, strict=False)
    ]
    results = split.forward.run(arrays)
    count = len(graph.outputs)
    results, residuals = results[:count], results[count:]
    made._examine(compiled, arrays, results)
    read = [np.array(arrays[k], order="C", copy=True) for k in pair.reads]
    late = [arrays[k] if k not in pair.reads else read[pair.reads.index(k)]
            for k in split.late]  # fmt: skip
    values = results[: count - len(compiled.checks)]
    floats = [r.dtype.kind == "f" for r in values]
    kinds = [(r.dtype, r.shape) for r in values if r.dtype.kind == "f"]
    where = _float_paths(compiled.result, floats)

    def back(leaves: list[Any]) -> list[Any]:
        seeds = [
            _seed(leaf, *kind, f"pullback of {name}: the cotangent of {path}")
            for leaf, kind, path in zip(leaves, kinds, where, strict=True)
        ]
        given = [*seeds, *read, *residuals, *late]
        found = split.backward.run(given)
        made._check(split.graph, given, found, [(0, len(split.graph.nodes))])
        return [ct if ct.ndim else ct[()] for ct in found]

    at = [compiled.arrays[k] for k in split.wrt]

    def arrange(found: list[Any]) -> Any:
        given: list[Any] = [None] * len(call.leaves)
        for k, ct in zip(at, found, strict=True):
            given[k] = ct
        return unflatten(call.structure, given)[0]

    value = unflatten(compiled.result, [r if r.ndim else r[()] for r in values])
    return value, Pullback(name, compiled.result, floats, back, arrange)


def _seed(leaf: Any, dtype: Any, shape: tuple[int, ...], what: str) -> Array:
    array = np.asarray(leaf, dtype if type(leaf) in (int, float) else None)
    if array.shape != shape or array.dtype != dtype:
        raise ArgumentError(
            f"{what} is {array.dtype}{list(array.shape)}, the result "
            f"{np.dtype(dtype)}{list(shape)}"
        )
    return array


# -- in a trace ------------------------------------------------------------------------


def _in_trace(
    trace: Trace, fun: Callable[..., Any], args: Sequence[Any]
) -> tuple[Any, Pullback]:
    name = name_of(fun)
    leaves, structure = flatten(tuple(args))
    given = list(leaves)
    at: list[int] = []
    wrt: list[Value] = []
    for k, leaf in enumerate(leaves):
        if isinstance(leaf, (bool, str, bytes)) or callable(leaf):
            continue
        array = trace.lift(leaf, f"vjp of {name}: an argument")
        if array._value.type.dtype.is_float:
            given[k] = trace.alias(array)
            at.append(k)
            wrt.append(given[k]._value)
    if not wrt:
        raise ArgumentError(f"vjp of {name}: no argument holds floats{place_of(fun)}")
    b = trace.builder
    start = len(b.nodes)
    found, result = flatten(fun(*unflatten(structure, given)))
    what = f"vjp of {name}: a result"
    values = [trace.lift(leaf, what)._value for leaf in found]
    nodes: list[Node] = b.nodes[start:]
    floats = [x.type.dtype.is_float for x in values]
    seeded = [x for x in values if x.type.dtype.is_float]
    where = _float_paths(result, floats)

    def back(cotangents: list[Any]) -> list[Any]:
        if trace.closed:
            raise EscapedValue(
                f"the pullback of {name} was used after the trace of {trace.name} "
                f"closed{traced_at(user_loc())}\n  use it in the function"
            )
        here = trace.innermost()
        b = here.builder
        cts: dict[Value, Value] = {}
        for x, leaf, path in zip(seeded, cotangents, where, strict=True):
            what = f"pullback of {name}: the cotangent of {path}"
            if type(leaf) in (int, float):
                leaf = np.asarray(leaf, x.type.dtype.numpy)
            ct = here.lift(leaf, what)._value
            if ct.type != x.type:
                raise ArgumentError(f"{what} is {ct.type}, the result {x.type}")
            cts[x] = b.op("add", cts[x], ct) if x in cts else ct
        first = len(b.nodes)
        made = pullback(b, nodes, cts, wrt, name=name)
        made = [
            b.zeros(x.type) if ct is None else ct
            for x, ct in zip(wrt, made, strict=True)
        ]
        here.adjoints.append((first, len(b.nodes)))
        return [TracedArray(here, ct) for ct in made if ct is not None]

    def arrange(cotangents: list[Any]) -> Any:
        filled: list[Any] = [None] * len(leaves)
        for k, ct in zip(at, cotangents, strict=True):
            filled[k] = ct
        return unflatten(structure, filled)

    value = unflatten(result, [TracedArray(trace, x) for x in values])
    return value, Pullback(name, result, floats, back, arrange)


# -- structures ------------------------------------------------------------------------


def _float_paths(structure: Structure, floats: Sequence[bool]) -> list[str]:
    where = paths(structure, "out")
    return [p for p, is_float in zip(where, floats, strict=True) if is_float]


def _seeded(structure: Structure, floats: Any) -> Structure:
    """Return a structure with None for the leaves that are not floats."""
    if structure == LEAF:
        return LEAF if next(floats) else NONE
    kind, made, keys, children = structure
    return kind, made, keys, tuple([_seeded(child, floats) for child in children])
