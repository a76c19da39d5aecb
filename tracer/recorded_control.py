"""Choices and loops in a function that is recorded: regions cut out of its recorder.

A branch or a body is recorded where it stands, with placeholders for what it takes; its
nodes are then taken back and are a closed region. Variables that it reads are read
before it. The adjoint is that of any choice or loop.
"""

from collections.abc import Callable, Sequence

from ..ir.errors import ArgumentError
from ..ir.graph import Graph, Node, Value
from ..ir.loc import traced_at, user_loc
from ..ir.ops import OPS
from ..ir.passes.dce import dce
from ..ir.promote import cast_to
from ..ir.subgraph import SubGraph
from ..ir.types import I64, TensorType
from .contracted import Contracted
from .regions import closed, free_values
from .symbolic import SymbolicRecorder, is_custom

Branch = Callable[[], Sequence[Value]]
Body = Callable[[list[Value]], Sequence[Value]]


def switch(
    recorder: SymbolicRecorder,
    name: str,
    index: Value,
    branches: Sequence[Branch],
) -> list[Value]:
    """Record a choice between functions; the last serves numbers beyond.

    Raises:
        ArgumentError: results of the functions differ in type.
    """
    graphs: list[Graph] = []
    for branch in branches:

        def body(_: list[Value], run: Branch = branch) -> Sequence[Value]:
            return run()

        graphs.append(_region(recorder, name, (), body))
    wanted = [x.type for x in graphs[0].outputs]
    for graph in graphs[1:]:
        given = [x.type for x in graph.outputs]
        if given != wanted:
            raise ArgumentError(
                f"{name}: branches return {_listed(wanted)} and {_listed(given)}"
                f"{traced_at(user_loc())}"
            )
    around, regions = _close(graphs)
    b = recorder.builder
    b.loc = user_loc()
    chosen = cast_to(b, index, I64)
    return list(b.apply(OPS["switch"], (chosen, *around), {"branches": tuple(regions)}))


def loop(
    recorder: SymbolicRecorder,
    name: str,
    start: Sequence[Value],
    goes_on: Callable[[list[Value]], Value],
    body: Body,
) -> list[Value]:
    """Record a loop over values.

    Raises:
        ArgumentError: the body changes the type of one.
    """
    kinds = [x.type for x in start]
    test = _region(recorder, name, kinds, lambda held: (goes_on(held),))
    step = _region(recorder, name, kinds, body)
    given = [x.type for x in step.outputs]
    if given != kinds:
        raise ArgumentError(
            f"{name}: the body takes {_listed(kinds)} and returns {_listed(given)}"
            f"{traced_at(user_loc())}"
        )
    around, (cond, inner) = _close([test, step])
    b = recorder.builder
    b.loc = user_loc()
    params = {"carries": len(start), "cond": cond, "body": inner, "trips": None,
              "extends": None}  # fmt: skip
    return list(b.apply(OPS["while_loop"], (*start, *around), params))


def _listed(kinds: Sequence[TensorType]) -> str:
    return "(" + ", ".join(map(str, kinds)) + ")"


def _region(
    recorder: SymbolicRecorder, name: str, kinds: Sequence[TensorType], body: Body
) -> Graph:
    """Record a function and take its nodes back, as a program that may read more."""
    place = recorder.here()
    inputs = [recorder.placeholder(kind) for kind in kinds]
    try:
        outputs = list(body(list(inputs)))
    finally:
        taken, assigned = recorder.take_back(place)
    if assigned:
        raise ArgumentError(
            f"{name}: variable '{assigned[0].variable.name}' is assigned in a branch "
            f"or a body of {recorder.name}; return the value and assign it after"
            f"{traced_at(user_loc())}"
        )
    nodes: list[Node] = []
    for node in taken:
        if is_custom(node):
            raise ArgumentError(
                f"{name}: {node.primitive.name} has a gradient of its own, which a "
                f"branch or a body of {recorder.name} cannot hold"
                f"{traced_at(node.loc)}"
            )
        nodes.append(node.fma if isinstance(node, Contracted) else node)
    return dce(Graph("region", inputs, nodes, outputs, []))


def _close(graphs: Sequence[Graph]) -> tuple[list[Value], list[SubGraph]]:
    """Return what regions read of what is around them, and the regions."""
    free: dict[Value, None] = {}
    for graph in graphs:
        free.update(dict.fromkeys(free_values(graph)))
    return list(free), [closed(graph, list(free)) for graph in graphs]


__all__ = ["loop", "switch"]
