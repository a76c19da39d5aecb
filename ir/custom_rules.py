"""The rules that a `custom` op may hold: for cotangents, for tangents, to run again.

Each makes its program once a derivative is asked for, and runs it, its transpose or its
adjoint there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from .adjoint import pullback
from .batching import batch_graph
from .builder import Builder
from .custom import Maybe, Size, placed
from .graph import Graph, Value
from .opaque import Opaque
from .prints import quiet_graph
from .types import TensorType

Values = Sequence[Value]


def inline(b: Builder, graph: Graph, given: Sequence[Value]) -> list[Value]:
    """Append a program over values in place of its arguments; returns its outputs."""
    held = [b.capture(array) for array in graph.captures]
    made = dict(zip(graph.inputs, [*given, *held], strict=True))
    outer = b.loc
    for node in graph.nodes:
        b.loc = node.loc
        operands = tuple([made[x] for x in node.operands])
        results = b.apply(node.primitive, operands, node.params)
        made.update(zip(node.results, results, strict=True))
    b.loc = outer
    b.guards += graph.guards
    return [made[y] for y in graph.outputs]


def _alone(b: Builder, kind: TensorType) -> Value:
    """Return zeros that are a value of their own."""
    return b.op("reshape", b.zeros(kind), shape=kind.shape)  # type: ignore[no-any-return]


def _seeds(b: Builder, made: Sequence[Value], cts: Maybe) -> dict[Value, Value]:
    seeds: dict[Value, Value] = {}
    for y, ct in zip(made, cts, strict=True):
        if ct is not None:
            seeds[y] = b.op("add", seeds[y], ct) if y in seeds else ct
    return seeds


def _transposed(
    b: Builder, graph: Graph, given: Sequence[Value], cts: Maybe
) -> list[Value | None]:
    """Return what the transpose of a program takes cotangents of its outputs to.

    The program is linear in its arguments after the given ones, and is differentiated
    at 0.
    """
    last = len(graph.inputs) - len(graph.captures)
    zeros = [_alone(b, x.type) for x in graph.inputs[len(given) : last]]
    start = len(b.nodes)
    seeds = _seeds(b, inline(b, quiet_graph(graph), [*given, *zeros]), cts)
    return pullback(b, b.nodes[start:], seeds, zeros, zeros=list(seeds.values()))


def _of_rows(graph: Graph, size: Size) -> Graph:
    count = len(graph.inputs) - len(graph.captures)
    return batch_graph(graph, [True] * count, size)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pulled(Opaque):
    """A rule for cotangents.

    `back` makes a program, when first it is asked for: from the arguments, and
    cotangents of the float results, to cotangents of the arguments it numbers.
    """

    results: int
    back: Callable[[], tuple[Graph, tuple[int, ...]]]

    def vjp(self, b: Builder, cts: Values, made: Values, given: Values) -> Maybe:
        """Run the program."""
        graph, returns = self.back()
        out: list[Value | None] = [None] * len(given)
        for at, ct in zip(returns, inline(b, graph, [*given, *cts]), strict=True):
            out[at] = ct
        return out

    def jvp(self, b: Builder, tangents: Maybe, made: Values, given: Values) -> Maybe:
        """Run the transpose of the program, which is linear in cotangents."""
        graph, returns = self.back()
        moving = tangents[self.results :]
        return _transposed(b, graph, given, [moving[at] for at in returns])

    def batched(self, size: Size) -> "Pulled":
        """Return the rule of rows."""

        def back() -> tuple[Graph, tuple[int, ...]]:
            graph, returns = self.back()
            return _of_rows(graph, size), returns

        return Pulled(self.results, cache(back))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Pushed(Opaque):
    """A rule for tangents.

    `push` makes a program, when first it is asked for: from the arguments, and tangents
    of those that are floats, to tangents of the float results.
    """

    results: int
    push: Callable[[], Graph]

    def vjp(self, b: Builder, cts: Values, made: Values, given: Values) -> Maybe:
        """Run the transpose of the program, which is linear in tangents."""
        return placed(given, _transposed(b, self.push(), given, cts))

    def jvp(self, b: Builder, tangents: Maybe, made: Values, given: Values) -> Maybe:
        """Run the program."""
        moving = _moving(b, given, tangents[self.results :])
        return inline(b, quiet_graph(self.push()), [*given, *moving])

    def batched(self, size: Size) -> "Pushed":
        """Return the rule of rows."""
        return Pushed(self.results, cache(lambda: _of_rows(self.push(), size)))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Again(Opaque):
    """A rule that computes values again where cotangents pass.

    `program` makes a program from the arguments to the results. What it reads is held
    until the cotangents are there, so nothing of it is a residual.
    """

    results: int
    program: Callable[[], Graph]

    def vjp(self, b: Builder, cts: Values, made: Values, given: Values) -> Maybe:
        """Run the program again, and the adjoint of that."""
        token = _token(b, cts)
        held = [b.hold(x, b.broadcast(token, x.type.shape)) for x in given]
        start = len(b.nodes)
        again = inline(b, quiet_graph(self.program()), held)
        floats = [y for y in again if y.type.dtype.is_float]
        seeds = _seeds(b, floats, cts)
        return pullback(b, b.nodes[start:], seeds, held, zeros=cts)

    def jvp(self, b: Builder, tangents: Maybe, made: Values, given: Values) -> Maybe:
        """Return the tangents of the values as they were computed."""
        pairs = zip(self.program().outputs, tangents, strict=False)
        return [t for y, t in pairs if y.type.dtype.is_float]

    def batched(self, size: Size) -> "Again":
        """Return the rule of rows."""
        return Again(self.results, cache(lambda: _of_rows(self.program(), size)))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Implicit(Opaque):
    """A rule for results that solve an equation, read by derivatives of any order.

    Programs take the results, then the operands after them: `pull` cotangents of the
    results to cotangents of the float operands, `push` tangents of these to those of
    the results.
    """

    results: int
    pull: Callable[[], Graph]
    push: Callable[[], Graph]

    def vjp(self, b: Builder, cts: Values, made: Values, given: Values) -> Maybe:
        """Run the program of cotangents."""
        pull = quiet_graph(self.pull())
        return placed(given, inline(b, pull, [*made, *given, *cts]))

    def jvp(self, b: Builder, tangents: Maybe, made: Values, given: Values) -> Maybe:
        """Run the program of tangents."""
        moving = _moving(b, given, tangents[self.results :])
        return inline(b, quiet_graph(self.push()), [*made, *given, *moving])

    def batched(self, size: Size) -> "Implicit":
        """Return the rule of rows."""
        return Implicit(
            self.results,
            cache(lambda: _of_rows(self.pull(), size)),
            cache(lambda: _of_rows(self.push(), size)),
        )


def _moving(b: Builder, given: Values, tangents: Maybe) -> list[Value]:
    """Return the tangents of floats, zeros where there are none."""
    return [
        b.zeros(x.type) if t is None else t
        for x, t in zip(given, tangents, strict=True)
        if x.type.dtype.is_float
    ]


def _token(b: Builder, cts: Sequence[Value]) -> Value:
    """Return a scalar that is there when a cotangent is."""
    ct = next((ct for ct in cts if ct.type.shape == ()), cts[0])
    shape = ct.type.shape
    if all(isinstance(d, int) and d > 0 for d in shape):
        rank = len(shape)
        one = b.slice(ct, start=(0,) * rank, step=(1,) * rank, size=(1,) * rank)
        return b.reshape(one, shape=())  # type: ignore[no-any-return]
    return b.sum(ct, axes=tuple(range(len(shape))))  # type: ignore[no-any-return]
