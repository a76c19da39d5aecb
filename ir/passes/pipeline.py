"""The passes in order, each verified."""

from collections.abc import Callable, Collection, Mapping

from ..custom import erase
from ..graph import Graph
from ..pause import collector_paused
from ..verify import verify as verify_graph
from .cse import cse
from .dce import dce
from .fold import fold
from .simplify import simplify

BY_NAME: Mapping[str, Callable[[Graph], Graph]] = {
    "dce": dce,
    "fold": fold,
    "simplify": simplify,
    "cse": cse,
}

# dce first: an adjoint leaves much that nobody needs; and last: rewrites leave more.
PASSES: tuple[str, ...] = ("dce", "fold", "simplify", "cse", "dce")


def run(
    graph: Graph, disable: Collection[str] = frozenset(), verify: bool = True
) -> Graph:
    """Return the graph after all passes, custom rules erased.

    Args:
        graph: a verified program.
        disable: names of passes to leave out; the results have the same bits.
        verify: whether to check the graph after each pass.

    Raises:
        ValueError: there is no pass of a name in `disable`.
        GraphError: a pass broke the graph; the message names it.
    """
    unknown = sorted(set(disable) - set(BY_NAME))
    if unknown:
        raise ValueError(
            f"there is no pass {unknown[0]!r}: use one of {', '.join(BY_NAME)}"
        )
    graph = erase(graph)
    for name in PASSES:
        if name in disable:
            continue
        before = graph
        with collector_paused(len(graph.nodes)):
            graph = BY_NAME[name](graph)
        if verify and graph is not before:
            verify_graph(graph, name)
    return graph
