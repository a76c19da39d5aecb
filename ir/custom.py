"""Results with a derivative of their own: what stands for custom rules in a graph.

`custom` gives its first operands back under other names, and a rule says how
derivatives pass from these to the operands after them. The nodes that made the values
stay outside, so a program is the same with the rule and without; derivatives do not
enter them. Before a program is compiled the op is erased.

A rule makes closed programs, once a derivative is asked for: what it calls may
have a rule too. They are appended there, so what a rule computes can be differentiated,
batched and fused like anything else.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from .adjoint import pullback
from .batching import batch_graph
from .builder import Builder
from .errors import OpTypeError
from .forms import View
from .graph import Graph, Node, Value
from .ops.leading import lead_all
from .passes.rebuild import renew, renewed
from .primitive import Cost, Domain, Primitive
from .sizes import SizeExpr
from .types import TensorType

Size = int | SizeExpr
Maybe = Sequence[Value | None]


class Custom(Protocol):
    """How derivatives pass. A rule is compared by identity: programs are looked up."""

    @property
    def results(self) -> int:
        """How many operands are results."""

    def vjp(self, b: Builder, cts: Sequence[Value], given: Sequence[Value]) -> Maybe:
        """Return cotangents of `given`, the operands after the results."""

    def jvp(self, b: Builder, tangents: Maybe, given: Sequence[Value]) -> Maybe:
        """Return tangents of float results; `tangents` are those of all operands."""

    def batched(self, size: Size) -> "Custom":
        """Return the rule of operands that all have one leading axis."""


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


def _placed(values: Sequence[Value], found: Maybe) -> list[Value | None]:
    """Return one entry a value: the next of `found` for floats, None for others."""
    rest = iter(found)
    return [next(rest) if x.type.dtype.is_float else None for x in values]


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
    seeds = _seeds(b, inline(b, graph, [*given, *zeros]), cts)
    return pullback(b, b.nodes[start:], seeds, zeros, zeros=list(seeds.values()))


def _of_rows(graph: Graph, size: Size) -> Graph:
    count = len(graph.inputs) - len(graph.captures)
    return batch_graph(graph, [True] * count, size)


@dataclass(frozen=True, slots=True, eq=False)
class Pulled:
    """A rule for cotangents.

    `back` makes a program, when first it is asked for: from the arguments, and
    cotangents of the float results, to cotangents of the arguments it numbers.
    """

    results: int
    back: Callable[[], tuple[Graph, tuple[int, ...]]]

    def vjp(self, b: Builder, cts: Sequence[Value], given: Sequence[Value]) -> Maybe:
        """Run the program."""
        graph, returns = self.back()
        out: list[Value | None] = [None] * len(given)
        for at, ct in zip(returns, inline(b, graph, [*given, *cts]), strict=True):
            out[at] = ct
        return out

    def jvp(self, b: Builder, tangents: Maybe, given: Sequence[Value]) -> Maybe:
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


@dataclass(frozen=True, slots=True, eq=False)
class Pushed:
    """A rule for tangents.

    `push` makes a program, when first it is asked for: from the arguments, and tangents
    of those that are floats, to tangents of the float results.
    """

    results: int
    push: Callable[[], Graph]

    def vjp(self, b: Builder, cts: Sequence[Value], given: Sequence[Value]) -> Maybe:
        """Run the transpose of the program, which is linear in tangents."""
        return _placed(given, _transposed(b, self.push(), given, cts))

    def jvp(self, b: Builder, tangents: Maybe, given: Sequence[Value]) -> Maybe:
        """Run the program."""
        moving = [
            b.zeros(x.type) if t is None else t
            for x, t in zip(given, tangents[self.results :], strict=True)
            if x.type.dtype.is_float
        ]
        return inline(b, self.push(), [*given, *moving])

    def batched(self, size: Size) -> "Pushed":
        """Return the rule of rows."""
        return Pushed(self.results, cache(lambda: _of_rows(self.push(), size)))


@dataclass(frozen=True, slots=True, eq=False)
class Again:
    """A rule that computes values again where cotangents pass.

    `program` makes a program from the arguments to the results. What it reads is held
    until the cotangents are there, so nothing of it is a residual.
    """

    results: int
    program: Callable[[], Graph]

    def vjp(self, b: Builder, cts: Sequence[Value], given: Sequence[Value]) -> Maybe:
        """Run the program again, and the adjoint of that."""
        token = _token(b, cts)
        held = [b.hold(x, b.broadcast(token, x.type.shape)) for x in given]
        start = len(b.nodes)
        made = inline(b, self.program(), held)
        floats = [y for y in made if y.type.dtype.is_float]
        seeds = _seeds(b, floats, cts)
        return pullback(b, b.nodes[start:], seeds, held, zeros=cts)

    def jvp(self, b: Builder, tangents: Maybe, given: Sequence[Value]) -> Maybe:
        """Return the tangents of the values as they were computed."""
        pairs = zip(self.program().outputs, tangents, strict=False)
        return [t for y, t in pairs if y.type.dtype.is_float]

    def batched(self, size: Size) -> "Again":
        """Return the rule of rows."""
        return Again(self.results, cache(lambda: _of_rows(self.program(), size)))


def _token(b: Builder, cts: Sequence[Value]) -> Value:
    """Return a scalar that is there when a cotangent is."""
    ct = next((ct for ct in cts if ct.type.shape == ()), cts[0])
    shape = ct.type.shape
    if all(isinstance(d, int) and d > 0 for d in shape):
        rank = len(shape)
        one = b.slice(ct, start=(0,) * rank, step=(1,) * rank, size=(1,) * rank)
        return b.reshape(one, shape=())  # type: ignore[no-any-return]
    return b.sum(ct, axes=tuple(range(len(shape))))  # type: ignore[no-any-return]


# -- the record ------------------------------------------------------------------------


def _infer(*types: TensorType, rule: Custom) -> tuple[TensorType, ...]:
    return types[: rule.results]


def _evaluate(*arrays: Any, rule: Custom) -> Any:
    return arrays[: rule.results]


def _no_call(b: Builder, *args: Any, **params: Any) -> Any:
    raise OpTypeError("custom rules are made by custom_vjp, custom_jvp and checkpoint")


def _vjp(
    b: Builder, cts: Any, made: Any, *operands: Value, rule: Custom
) -> list[Value | None]:
    # Any: a value, or a tuple of them
    held = (cts,) if isinstance(cts, Value) else cts
    results = operands[: rule.results]
    floats = [ct for ct, y in zip(held, results, strict=True) if y.type.dtype.is_float]
    found = rule.vjp(b, floats, operands[rule.results :])
    return [*[None] * rule.results, *found]


def _jvp(
    b: Builder, tangents: Maybe, made: Any, *operands: Value, rule: Custom
) -> "Value | Maybe | None":
    found = rule.jvp(b, tangents, operands[rule.results :])
    placed = _placed(operands[: rule.results], found)
    return placed[0] if len(placed) == 1 else placed


def _batch(
    b: Builder, size: Size, has: Sequence[bool], *operands: Value, rule: Custom
) -> tuple[Value, ...]:
    wide = lead_all(b, size, has, operands)
    return b.apply(custom, wide, {"rule": rule.batched(size)})


custom = Primitive(
    name="custom",
    mirrors=(),
    tf_name=None,
    accept=_no_call,
    infer=_infer,
    evaluate=_evaluate,
    form=View(lambda ix, out, *types, **params: out),
    vjp=_vjp,
    jvp=_jvp,
    batch=_batch,
    effects=frozenset(),
    cost=Cost.CHEAP,
    exact=True,
    sparsity="dense",
    domain=Domain(-1.0, 1.0),
    kinks="",
    samples=(),
    doc="Values whose derivatives a rule of the user makes.",
)


def erase(graph: Graph) -> Graph:
    """Return the graph without custom rules: values under the names they had."""
    if all(node.primitive is not custom for node in graph.nodes):
        return graph
    replaced: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.primitive is custom:
            for y, x in zip(node.results, node.operands, strict=False):
                replaced[y] = replaced.get(x, x)
            continue
        nodes.append(renew(node, replaced))
    return graph.replace(nodes, renewed(graph.outputs, replaced))
