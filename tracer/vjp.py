"""`vjp`: a function's value, and its pullback for cotangents that come later.

Two programs are compiled: one returns the value and the residuals, the other takes
cotangents and residuals. Inside a decorated function both are nodes of its trace.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.adjoint import pullback
from ..ir.errors import ArgumentError, EscapedValue
from ..ir.graph import Node, Value
from ..ir.loc import traced_at, user_loc
from ..ir.passes.partition_vjp import split_vjp
from .array import TracedArray
from .function import Compiled, Function, function
from .halves import Halves, compile_halves, seed_array
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
        views: bool,
    ) -> None:
        self._name = name
        self._views = views
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
        leaves, structure = flatten(ct, self._views)
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
    halves: Halves | None = compiled.made.get("vjp")
    if halves is None:
        label = f"vjp of {name_of(fun)}"
        halves = compile_halves(
            compiled, split_vjp, label, place_of(fun), made._threads
        )
        compiled.made["vjp"] = halves
    return _run(made, halves, compiled, call, name_of(fun))


# -- compiled --------------------------------------------------------------------------


def _run(
    made: Function, halves: Halves, compiled: Compiled, call: Call, name: str
) -> tuple[Any, Pullback]:
    ran = halves.run(made, compiled, call)
    where = _float_paths(compiled.result, ran.floats)

    def back(leaves: list[Any]) -> list[Any]:
        seeds = [
            seed_array(
                leaf, x, f"pullback of {name}: the cotangent of {path}", "result"
            )
            for leaf, x, path in zip(leaves, ran.moving, where, strict=True)
        ]
        return ran.again(seeds)

    at = [compiled.arrays[k] for k in halves.wrt]

    def arrange(found: list[Any]) -> Any:
        given: list[Any] = [None] * len(call.leaves)
        for k, ct in zip(at, found, strict=True):
            given[k] = ct
        return unflatten(call.structure, given)[0]

    return ran.value, Pullback(name, compiled.result, ran.floats, back, arrange, True)


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
    return value, Pullback(name, result, floats, back, arrange, False)


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
