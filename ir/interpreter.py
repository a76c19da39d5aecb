"""Run a graph with the NumPy reference of each op: the oracle of the tests.

`interpret` is no fallback for users. What looks for the origin of a NaN in loops, and
who asks to be interpreted, calls it; `see` is then called with every node that ran, its
operands and results, those within regions too.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .errors import ArgumentError, GraphError, SizeError
from .graph import Graph, Node, Value
from .loc import traced_at
from .primitive import as_results
from .sizes import SizeExpr, evaluate_size, names_in
from .subgraph import SubGraph, late_size
from .types import TensorType

Array = np.ndarray[Any, np.dtype[Any]]
See = Callable[[Node, Sequence[Array], Sequence[Array]], None]


def bind_sizes(
    graph: Graph, shapes: Sequence[tuple[int, ...]], given: Mapping[str, int]
) -> dict[str, int]:
    """Return the values of the named sizes.

    Args:
        graph: the program.
        shapes: one an input.
        given: sizes that no axis of an input shows.

    Raises:
        SizeError: sizes disagree, are missing, or a guard does not hold.
    """
    env = dict(given)
    for x, name, shape in zip(graph.inputs, graph.names, shapes, strict=True):
        if len(shape) != x.type.rank:
            raise ArgumentError(
                f"{graph.name}: {name} has {len(shape)} axes, {x.type} expected"
            )
        for wanted, got in zip(x.type.shape, shape, strict=True):
            text = str(wanted)
            if isinstance(wanted, SizeExpr) and text in graph.sizes:
                env.setdefault(text, got)
    for size in graph.sizes:
        if size not in env:
            raise SizeError(f"{graph.name}: no input has an axis of size {size}")
        if env[size] == 1:
            raise SizeError(
                f"{graph.name}: size {size} is 1, which is always a constant"
            )
    for x, name, shape in zip(graph.inputs, graph.names, shapes, strict=True):
        for axis, (wanted, got) in enumerate(zip(x.type.shape, shape, strict=True)):
            value = evaluate_size(wanted, env)
            if value != got:
                what = f"{wanted} = {value}" if isinstance(wanted, SizeExpr) else value
                raise SizeError(
                    f"{graph.name}: axis {axis} of {name} is {got}, {what} expected"
                )
    for guard in graph.guards:
        left, right = evaluate_size(guard.left, env), evaluate_size(guard.right, env)
        if left != right:
            named = names_in(guard.left) | names_in(guard.right)
            where = ", ".join(f"{name} = {env[name]}" for name in sorted(named))
            raise SizeError(
                f"{guard.why}: {guard.left} is {left}, {guard.right} is {right}"
                f" ({where}){traced_at(guard.loc)}"
            )
    return env


class Region:
    """A region with numbers for its sizes: takes arrays and returns a list of them."""

    def __init__(
        self, held: SubGraph, env: Mapping[str, int], see: "See | None"
    ) -> None:
        self.graph = held.graph
        self.gives = held.gives
        self.sizes = dict(env)
        self.see = see

    def env(self, size: "int | SizeExpr") -> int:
        """Return the value of a size in the region."""
        return evaluate_size(size, self.sizes)

    def __call__(self, *arrays: Any) -> list[Array]:
        """Return the outputs of the region. Any: whatever NumPy makes an array of."""
        held = [np.asarray(a) for a in arrays]
        values = dict(zip(self.graph.inputs, held, strict=True))
        return _run(self.graph, values, dict(self.sizes), self.see)


def numbers_for(value: Any, env: Mapping[str, int], see: "See | None" = None) -> Any:
    """Return a param with numbers for sizes. Any: params are of any kind."""
    if isinstance(value, SubGraph):
        return Region(value, env, see)
    if isinstance(value, SizeExpr):
        return evaluate_size(value, env)
    if isinstance(value, TensorType):
        return value.with_shape(tuple(evaluate_size(d, env) for d in value.shape))
    if isinstance(value, tuple):
        return tuple(numbers_for(x, env, see) for x in value)
    return value


def _check(made: Array, x: Value, env: Mapping[str, int]) -> None:
    wanted = tuple(evaluate_size(d, env) for d in x.type.shape)
    if made.dtype != x.type.dtype.numpy or made.shape != wanted:
        name = x.node.primitive.name if x.node else "input"
        raise GraphError(
            f"the reference of {name} gave {made.dtype}{list(made.shape)},"
            f" its type rule {x.type.dtype.numpy}{list(wanted)}"
        )


def interpret(
    graph: Graph,
    arrays: Sequence[Any],
    sizes: Mapping[str, int] | None = None,
    see: See | None = None,
) -> list[Array]:
    """Return the outputs of a graph.

    Args:
        graph: the program.
        arrays: one an input; those for captures may be left out. Any: anything NumPy
            makes an array of the right dtype.
        sizes: named sizes that no axis of an input shows.
        see: called with every node that ran, its operands and results.

    Raises:
        ArgumentError: the arrays do not fit the inputs.
        SizeError: sizes disagree, are missing, or a guard does not hold.
        GraphError: a reference disagrees with the type rule of its op.
    """
    held = [np.asarray(a) for a in arrays]
    if len(held) == len(graph.inputs) - len(graph.captures):
        held += [np.asarray(a) for a in graph.captures]
    if len(held) != len(graph.inputs):
        raise ArgumentError(
            f"{graph.name} has {len(graph.inputs)} inputs, {len(arrays)} given"
        )
    for x, name, array in zip(graph.inputs, graph.names, held, strict=True):
        if array.dtype != x.type.dtype.numpy:
            raise ArgumentError(
                f"{graph.name}: {name} is {array.dtype}, {x.type} expected"
            )
    env = bind_sizes(graph, [a.shape for a in held], sizes or {})
    values: dict[Value, Array] = dict(zip(graph.inputs, held, strict=True))
    with np.errstate(all="ignore"):
        return _run(graph, values, env, see)


def _run(
    graph: Graph,
    values: dict[Value, Array],
    env: dict[str, int],
    see: "See | None" = None,
) -> list[Array]:
    """Return the outputs; `values` has the inputs, `env` the sizes. Both grow."""
    run_nodes(graph.nodes, values, env, see)
    return [values[x] for x in graph.outputs]


def run_nodes(
    nodes: Sequence[Node],
    values: dict[Value, Array],
    env: dict[str, int],
    see: "See | None" = None,
) -> None:
    """Add the results of nodes to `values`, and the sizes they bind to `env`."""
    for node in nodes:
        late = late_size(node) if node.params else None
        params = {
            k: v if k == "trips" else numbers_for(v, env, see)
            for k, v in node.params.items()
        }
        operands = [values[x] for x in node.operands]
        made = as_results(node.primitive.evaluate(*operands, **params))
        if late is not None:
            env[late] = len(made[-1])
        for x, array in zip(node.results, made, strict=True):
            _check(array, x, env)
            values[x] = array
        if see is not None:
            see(node, operands, made)
