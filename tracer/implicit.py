"""`custom_root` and `custom_linear_solve`: derivatives of what solves equations.

How a solution is found does not matter to its derivatives: where f(x, p) = 0, a change
of p changes x by the solution of a linear system in f's derivatives. So the steps of a
solver are neither kept nor differentiated, at any order.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from ..ir.custom import custom
from ..ir.custom_rules import Implicit, inline
from ..ir.errors import ArgumentError
from ..ir.graph import Graph, Value
from .array import TracedArray
from .custom import closed_trace
from .function import function
from .pushing import jvp
from .state import STATE
from .trace import Trace, name_of, place_of
from .trees import Structure, flatten, unflatten
from .vjp import vjp

Solve = Callable[[Callable[[Any], Any], Any], Any]


def custom_root(
    f: Callable[[Any], Any],
    initial_guess: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    tangent_solve: Solve,
) -> Any:
    """Return a root of a function, with the derivatives that every root has.

    Args:
        f: takes arrays and returns arrays of their structure and types; 0 at the root.
            It may read traced arrays around it: the root has derivatives by these.
        initial_guess: arrays of floats; the root has no derivative by them.
        solve: takes f and the guess, and returns the root.
        tangent_solve: takes a linear function g and y, and returns the x of g(x) = y.

    Raises:
        ArgumentError: f returns something else than it takes.
    """
    if STATE.trace is None:
        alone = function(lambda guess: custom_root(f, guess, solve, tangent_solve))
        return alone(initial_guess)
    return _rooted(STATE.trace, f, initial_guess, solve, tangent_solve, tangent_solve)


def custom_linear_solve(
    matvec: Callable[[Any], Any],
    b: Any,
    solve: Solve,
    transpose_solve: "Solve | None" = None,
    symmetric: bool = False,
) -> Any:
    """Return the solution of a linear system, with the derivatives it has.

    Args:
        matvec: the linear function; it may read traced arrays around it.
        b: the right side.
        solve: takes matvec and a right side, and returns the solution.
        transpose_solve: so for the transpose of matvec; what cotangents pass by.
        symmetric: whether matvec is its own transpose, so that `solve` serves both.

    Raises:
        ArgumentError: matvec returns something else than it takes.
    """
    if STATE.trace is None:
        alone = function(
            lambda b: custom_linear_solve(matvec, b, solve, transpose_solve, symmetric)
        )
        return alone(b)
    trace = STATE.trace
    leaves, structure = flatten(b)
    what = "custom_linear_solve: the right side"
    held = [trace.lift(leaf, what) for leaf in leaves]

    def residual(x: Any) -> Any:
        got, _ = flatten(matvec(x))
        pairs = zip(got, held, strict=True)
        return unflatten(structure, [y - wanted for y, wanted in pairs])

    def back(g: Callable[[Any], Any], y: Any) -> Any:
        if symmetric:
            return solve(g, y)
        if transpose_solve is None:
            raise ArgumentError(
                "custom_linear_solve: a cotangent needs transpose_solve, or a matvec "
                f"that is symmetric{place_of(matvec)}"
            )
        return transpose_solve(g, y)

    guess = unflatten(structure, held)
    return _rooted(trace, residual, guess, lambda _, y: solve(matvec, y), solve, back)


# -- in a trace ------------------------------------------------------------------------


def _rooted(
    trace: Trace,
    f: Callable[[Any], Any],
    guess: Any,
    solve: Callable[[Callable[[Any], Any], Any], Any],
    forward: Solve,
    back: Solve,
) -> Any:
    name = f"custom_root of {name_of(f)}"
    leaves, structure = flatten(guess)
    what = f"{name}: the guess"
    start = [trace.lift(leaf, what) for leaf in leaves]
    root, found = flatten(solve(f, unflatten(structure, start)))
    values = [trace.lift(leaf, f"{name}: the root")._value for leaf in root]
    kinds = [a._value.type for a in start]
    if found != structure or [x.type for x in values] != kinds:
        raise ArgumentError(
            f"{name}: the root does not have the structure and types of the guess"
            f"{place_of(f)}"
        )
    graph, free = _closed_over(trace, f, values, structure, name)
    count = len(values)

    def evaluated(x: Any, rest: Sequence[Any]) -> Any:
        inner = STATE.trace
        assert inner is not None, "a rule is being traced"
        given = [inner.lift(leaf, name)._value for leaf in [*flatten(x)[0], *rest]]
        made = inline(inner.builder, graph, given)
        return unflatten(structure, [TracedArray(inner, y) for y in made])

    def split(arrays: Sequence[Any]) -> tuple[Any, list[Any], list[Any]]:
        x = unflatten(structure, arrays[:count])
        return (
            x,
            list(arrays[count : count + len(free)]),
            list(arrays[count + len(free) :]),
        )

    def push() -> Graph:
        def run(inner: Trace, arrays: list[TracedArray]) -> Any:
            x, rest, moving = split(arrays)
            late = iter(moving)
            along = [next(late) if y.type.dtype.is_float else None for y in free]
            _, r = jvp(lambda *p: evaluated(x, p), rest, along)
            system = _minus(r)
            return forward(
                lambda v: jvp(lambda y: evaluated(y, rest), (x,), (v,))[1], system
            )

        late = [y.type for y in free if y.type.dtype.is_float]
        return closed_trace(name, [*kinds, *[y.type for y in free], *late], run)

    def pull() -> Graph:
        def run(inner: Trace, arrays: list[TracedArray]) -> Any:
            x, rest, moving = split(arrays)
            ct = unflatten(structure, moving)
            _, by_x = vjp(lambda y: evaluated(y, rest), x)
            w = back(lambda v: by_x(v)[0], _minus(ct))
            _, by_rest = vjp(lambda *p: evaluated(x, p), *rest)
            return [t for t in by_rest(w) if t is not None]

        return closed_trace(name, [*kinds, *[y.type for y in free], *kinds], run)

    if not any(y.type.dtype.is_float for y in free):
        return unflatten(structure, [TracedArray(trace, x) for x in values])
    rule = Implicit(count, cache(pull), cache(push))
    made = trace.builder.apply(custom, (*values, *free), {"rule": rule})
    return unflatten(structure, [TracedArray(trace, x) for x in made])


def _minus(tree: Any) -> Any:
    leaves, structure = flatten(tree)
    return unflatten(structure, [-leaf for leaf in leaves])


def _closed_over(
    trace: Trace,
    f: Callable[[Any], Any],
    like: Sequence[Value],
    structure: Structure,
    name: str,
) -> tuple[Graph, list[Value]]:
    """Return f as a closed program: of its arguments, then of what it reads around it.

    The values it reads come with it. A number is not read: it is in the program.
    """
    b = trace.builder
    start = len(b.nodes)
    inputs = [Value(x.type, None, k) for k, x in enumerate(like)]
    given = unflatten(structure, [TracedArray(trace, x) for x in inputs])
    leaves, got = flatten(f(given))
    outputs = [trace.lift(leaf, f"{name}: a result")._value for leaf in leaves]
    if got != structure or [y.type for y in outputs] != [x.type for x in like]:
        raise ArgumentError(
            f"{name}: it returns {', '.join(str(y.type) for y in outputs)} for "
            f"{', '.join(str(x.type) for x in like)}{place_of(f)}"
        )
    nodes = b.take_back(start)
    known = {*inputs, *[y for node in nodes for y in node.results]}
    trace.leave(known)
    read = [x for node in nodes for x in node.operands] + outputs
    free = list(dict.fromkeys(x for x in read if x not in known))
    names = [f"x{k}" for k in range(len(inputs) + len(free))]
    graph = Graph(name, [*inputs, *free], nodes, outputs, names)
    graph.output_names = [f"out{k}" for k in range(len(outputs))]
    return graph, free
