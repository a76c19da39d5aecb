"""Find the op that made a NaN or an infinity.

What runs is the program as ever, so results have the bits they always have. Where one
of them is not finite, the same graph is run again on the same arguments, in pieces that
give every value, and the first op that made such a number is named. Values that a
`where` masks out do not count, unless every op is asked about. Programs with loops or
branches are run again by NumPy, op by op, so that ops in a body are seen at each step.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import numpy as np

from ..ir.errors import NonFiniteError
from ..ir.forms import Control, Literal, Map
from ..ir.graph import Graph, Node, Value
from ..ir.interpreter import bind_sizes, interpret, numbers_for
from ..ir.loc import traced_at
from ..ir.ops.printing import silenced
from ..ir.passes.dce import dce
from ..ir.subgraph import all_regions
from ..ir.types import TensorType
from . import engine
from .signature import quoted
from .trace import Check

Array = np.ndarray[Any, Any]
PIECE = 64  # nodes of a program that returns all their results


# -- finding ---------------------------------------------------------------------------


def raise_failed(
    graph: Graph, arrays: Sequence[Any], checks: Sequence[Check], counts: Sequence[Any]
) -> None:
    """Raise the error of the first check whose count is not 0."""
    for check, count in zip(checks, counts, strict=True):
        if not int(count):
            continue
        if check.value is None:
            what = f"{check.message or 'check_numerics'}: {int(count)} not finite"
            raise NonFiniteError(f"{what}, over all steps{traced_at(check.loc)}")
        held = _values(graph, arrays, [check.value])[check.value]
        raise NonFiniteError(f"{said(check.message, held)}{traced_at(check.loc)}")


def examine(
    graph: Graph,
    arrays: Sequence[Any],
    results: Sequence[Any],
    adjoints: Iterable[tuple[int, int]] = (),
    every: bool = False,
    name: str = "",
) -> None:
    """Raise NonFiniteError if a result is not finite, or if an op made such a number.

    Args:
        graph: what was computed.
        arrays: its inputs but the captures.
        results: its outputs, those of checks left out.
        adjoints: which of its nodes are adjoint ones, by number.
        every: whether numbers count that no result holds.
        name: what the message calls the program.
    """
    bad = [
        x
        for x, r in zip(graph.outputs, results, strict=False)
        if x.type.dtype.is_float and not np.isfinite(r).all()
    ]
    if not bad and not every:
        return
    adjoint = {n for first, last in adjoints for n in graph.nodes[first:last]}
    if not _has_control(graph):
        graph = dce(graph)  # which makes loops anew
    made = [x for n in graph.nodes for x in n.results if x.type.dtype.is_float]
    values = _values(graph, arrays, made)
    finite = {x: bool(np.isfinite(a).all()) for x, a in values.items()}
    counted = None if every else _behind(bad, finite)
    found = _origin(graph, finite, values, counted)
    if found is not None and type(found.primitive.form) is Control:
        raise _error_within(graph, arrays, found, name) from None
    if found is not None:
        where = "its adjoint" if found in adjoint else "the program"
        raise _error(found, values, f"{name}, in {where}" if name else "")
    if bad:
        _blame_inputs(graph, values, finite, bad, name)


def _is_computed(x: Value) -> bool:
    node = x.node
    return (
        x.type.dtype.is_float
        and node is not None
        and not isinstance(node.primitive.form, Literal)
    )


@silenced()
def _values(
    graph: Graph, arrays: Sequence[Any], wanted: Sequence[Value]
) -> dict[Value, Array]:
    """Return the arrays of values, and of all inputs and literals.

    The graph is run in pieces of a few nodes, with numbers for its sizes: machine code
    that returns thousands of values takes minutes to make.
    """
    if _has_control(graph):
        return _interpreted(graph, arrays)
    graph = dce(graph.replace(graph.nodes, wanted))
    given = [
        np.asarray(a, x.type.dtype.numpy)
        for a, x in zip(arrays, graph.inputs, strict=False)
    ]
    held: dict[Value, Array] = dict(
        zip(graph.inputs, [*given, *graph.captures], strict=True)
    )
    env = bind_sizes(graph, [held[x].shape for x in graph.inputs], {})
    pieces = [graph.nodes[k : k + PIECE] for k in range(0, len(graph.nodes), PIECE)]
    piece_of = {n: k for k, piece in enumerate(pieces) for n in piece}
    shared = set(wanted)
    for k, piece in enumerate(pieces):
        for node in piece:
            shared.update(
                x for x in node.operands if x.node is not None and piece_of[x.node] != k
            )
    for piece in pieces:
        _run_piece(piece, shared, held, env)
    return held


def _has_control(graph: Graph) -> bool:
    return any(type(node.primitive.form) is Control for node in graph.nodes)


def _interpreted(graph: Graph, arrays: Sequence[Any]) -> dict[Value, Array]:
    """Return the arrays of all values outside of regions."""
    outer = {x for node in graph.nodes for x in node.results}
    held: dict[Value, Array] = {}

    def see(node: Node, operands: Sequence[Array], made: Sequence[Array]) -> None:
        pairs = zip(node.results, made, strict=True)
        held.update([(x, array) for x, array in pairs if x in outer])

    taken = [*arrays, *graph.captures]
    given = [np.asarray(a, x.type.dtype.numpy)
             for a, x in zip(taken, graph.inputs, strict=True)]  # fmt: skip
    interpret(graph, given, see=see)
    return {**dict(zip(graph.inputs, given, strict=True)), **held}


@silenced()
def _error_within(
    graph: Graph, arrays: Sequence[Any], loop: Node, name: str
) -> NonFiniteError:
    """Return the error of the first op in a loop's regions that made such a number."""
    runs: dict[Node, int] = {}
    errors: list[NonFiniteError] = []
    inside = {n for held in all_regions(graph) for n in held.graph.nodes}

    def see(node: Node, operands: Sequence[Array], made: Sequence[Array]) -> None:
        runs[node] = runs.get(node, 0) + 1
        if errors or node not in inside or not _makes_bad(operands, made):
            return
        held = dict(zip(node.operands, operands, strict=True))
        held.update(zip(node.results, made, strict=True))
        count = runs[node]
        which = ", the first time it ran" if count == 1 else f", run {count} of it"
        errors.append(_error(node, held, f"{name or graph.name}{which}"))

    taken = [*arrays, *graph.captures]
    given = [np.asarray(a, x.type.dtype.numpy)
             for a, x in zip(taken, graph.inputs, strict=True)]  # fmt: skip
    interpret(graph.replace(graph.nodes, loop.results), given, see=see)
    assert errors, "a loop makes such a number where an op of it does"
    return errors[0]


def _makes_bad(operands: Sequence[Array], made: Sequence[Array]) -> bool:
    return not _all_finite(made) and _all_finite(operands)


def _all_finite(arrays: Sequence[Array]) -> bool:
    return all(a.dtype.kind != "f" or bool(np.isfinite(a).all()) for a in arrays)


def _run_piece(
    piece: Sequence[Node],
    shared: set[Value],
    held: dict[Value, Array],
    env: dict[str, int],
) -> None:
    """Compute those values of some nodes that are shared, from those held."""
    inputs: list[Value] = []
    made: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in piece:
        for x in node.operands:
            if x not in made:
                inputs.append(x)
                kind = TensorType(x.type.dtype, held[x].shape)
                made[x] = Value(kind, None, len(inputs) - 1)
        types = [numbers_for(x.type, env) for x in node.results]
        params = {name: numbers_for(p, env) for name, p in node.params.items()}
        operands = tuple([made[x] for x in node.operands])
        nodes.append(Node(node.primitive, operands, params, types, node.loc))
        made.update(zip(node.results, nodes[-1].results, strict=True))
    outputs = [x for node in piece for x in node.results if x in shared]
    program = engine.compile_apart(
        Graph(
            "values",
            [made[x] for x in inputs],
            nodes,
            [made[x] for x in outputs],
            [f"x{k}" for k in range(len(inputs))],
            output_names=[f"out{k}" for k in range(len(outputs))],
        )
    )
    found = program.run([held[x] for x in inputs])
    held.update(zip(outputs, found, strict=True))


def _behind(bad: Sequence[Value], finite: dict[Value, bool]) -> set[Value]:
    """Return values that are not finite and lead, by such values, to a result."""
    found = set(bad)
    stack = list(bad)
    while stack:
        node = stack.pop().node
        for x in node.operands if node is not None else ():
            if x not in found and not finite.get(x, True):
                found.add(x)
                stack.append(x)
    return found


def _origin(
    graph: Graph,
    finite: dict[Value, bool],
    values: dict[Value, Array],
    counted: "set[Value] | None",
) -> Node | None:
    """Return the first node that makes what is not finite of operands that are.

    Where there is none: the first that makes a NaN of infinities.
    """
    second = None
    for node in graph.nodes:
        bad = [
            x
            for x in node.results
            if _is_computed(x) and not finite[x] and (counted is None or x in counted)
        ]
        if not bad:
            continue
        if all(finite.get(x, True) for x in node.operands):
            return node
        if second is None and any(np.isnan(values[x]).any() for x in bad):
            operands = [values[x] for x in node.operands if not finite.get(x, True)]
            if not any(np.isnan(a).any() for a in operands):
                second = node
    return second


# -- messages --------------------------------------------------------------------------


def said(message: str, held: Array) -> str:
    """Return what a check says of an array that has numbers that are not finite."""
    return f"{message or 'check_numerics'}: {_counted(held)}"


def _first(held: Array) -> tuple[int, ...]:
    at = int(np.argmin(np.isfinite(held)))
    return tuple(int(k) for k in np.unravel_index(at, held.shape))


def _counted(held: Array) -> str:
    if not held.ndim:
        return f"{float(held)}"
    count = held.size - int(np.isfinite(held).sum())
    first = _first(held)
    return f"{float(held[first])} at {list(first)}, {count} of {held.size} not finite"


def _error(node: Node, values: dict[Value, Array], where: str) -> NonFiniteError:
    bad = next(x for x in node.results if not np.isfinite(values[x]).all())
    held = values[bad]
    kinds = [_kind(x, values) for x in node.operands]
    named = ", ".join(f"{chr(ord('a') + k)} {kind}" for k, kind in enumerate(kinds))
    there = ""
    if isinstance(node.primitive.form, Map) and all(x in values for x in node.operands):
        first = _first(held)
        numbers = [np.broadcast_to(values[x], held.shape) for x in node.operands]
        there = f"\n  operands there: {', '.join(str(a[first]) for a in numbers)}"
    return NonFiniteError(
        f"{node.primitive.name} made {_counted(held)}"
        + (f"\n  operands: {named}" if named else "")
        + there
        + (f"\n  of: {where}" if where else "")
        + traced_at(node.loc)
    )


def _kind(x: Value, values: dict[Value, Array]) -> TensorType:
    held = values.get(x)
    same = held is not None and held.ndim == len(x.type.shape)
    return x.type.with_shape(held.shape) if held is not None and same else x.type


def _blame_inputs(
    graph: Graph,
    values: dict[Value, Array],
    finite: dict[Value, bool],
    bad: Sequence[Value],
    name: str,
) -> NoReturn:
    behind = _behind(bad, finite)
    for x, path in zip(graph.inputs, graph.names, strict=True):
        if x in behind:
            raise NonFiniteError(
                f"{name or graph.name}: argument {quoted(path)} {_kind(x, values)} "
                f"has {_counted(values[x])}, and it reaches a result"
            )
    raise NonFiniteError(
        f"{name or graph.name}: a constant that is not finite reaches a result"
    )


__all__ = ["examine", "raise_failed", "said"]
