"""The passes in order, each verified."""

from collections.abc import Callable, Collection, Mapping
from functools import partial

from ..custom import erase
from ..graph import Graph
from ..pause import collector_paused
from ..verify import verify as verify_graph
from .cse import cse
from .dce import dce
from .fold import fold
from .hoist import hoist
from .masks import masks
from .merge import merge
from .regions import in_regions
from .simplify import simplify

BY_NAME: Mapping[str, Callable[[Graph], Graph]] = {
    "merge": merge,
    "dce": dce,
    "fold": fold,
    "simplify": simplify,
    "cse": cse,
    "masks": masks,
    "hoist": hoist,
}

# merge first: it looks for loops as they were traced. dce next: an adjoint leaves much
# that nobody needs; and last: rewrites leave more.
REGIONS = "regions"  # all of them, within the regions of control ops
PASSES: tuple[str, ...] = (
    "merge", "dce", REGIONS, "hoist", "fold", "simplify", "cse", "masks",
    "dce",
)  # fmt: skip
NAMES = frozenset({*BY_NAME, REGIONS})


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
    unknown = sorted(set(disable) - NAMES)
    if unknown:
        known = ", ".join([*BY_NAME, REGIONS])
        raise ValueError(f"there is no pass {unknown[0]!r}: use one of {known}")
    graph = erase(graph)
    for name in PASSES:
        if name in disable:
            continue
        before = graph
        with collector_paused(len(graph.nodes)):
            graph = step(graph, name, disable, verify)
        if verify and graph is not before:
            verify_graph(graph, name)
    return graph


def step(
    graph: Graph,
    name: str,
    disable: Collection[str] = frozenset(),
    verify: bool = True,
) -> Graph:
    """Return the graph after one of `PASSES`; the rest is for those within regions."""
    if name == REGIONS:
        return in_regions(graph, partial(run, disable=disable, verify=verify))
    return BY_NAME[name](graph)
