"""Masks of masks: a triangle of a triangle is one mask, or nothing is left to mask.

Rules of factorisations mask what is masked already. Zeros must be +0 on both sides, so
no bit changes.
"""

import math

from ..band import Band
from ..graph import Graph, Node, Value
from ..structure import find_masks
from .rebuild import made_in_place, renew, renewed


def _is_zero(x: Value) -> bool:
    """Return whether x is +0 everywhere."""
    node = x.node
    if node is None or node.primitive.name != "constant":
        return False
    value = node.params["value"]
    if not isinstance(value, (int, float)) or value != 0:
        return False
    return math.copysign(1.0, value) == 1.0


def _masked(node: Node | None) -> int | None:
    """Return which operand of a select is kept, where the other is 0; else None."""
    if node is None or node.primitive.name != "select":
        return None
    _, x, y = node.operands
    if _is_zero(y):
        return 1
    return 2 if _is_zero(x) else None


def _kept(node: Node, at: int, masks: dict[Value, Band]) -> Band | None:
    """Return the band a mask keeps, if it is exactly one."""
    band = masks.get(node.operands[0])
    if band is None or at == 1:
        return band
    return band.outside() if None in band[:2] else None


def _within(small: Band, large: Band) -> bool:
    """Return whether one band lies in another, whatever the size."""
    low = large.lo is None or (small.lo is not None and small.lo >= large.lo)
    high = large.hi is None or (small.hi is not None and small.hi <= large.hi)
    return low and high


def masks(graph: Graph) -> Graph:
    """Return the program with masks of masks joined.

    Cost: O(nodes + edges); where no mask is masked, a look at every node.
    """
    nested = set()
    for node in graph.nodes:
        at = _masked(node)
        if at is not None and _masked(node.operands[at].node) is not None:
            nested.add(node)
    if not nested:
        return graph
    bands = find_masks(graph)
    replaced: dict[Value, Value] = {}
    nodes: list[Node] = []
    for old in graph.nodes:
        node = renew(old, replaced) if replaced else old
        at = _masked(node) if old in nested else None
        if at is not None:
            made = _joined(node, at, bands)
            if isinstance(made, Value):
                replaced[old.results[0]] = made
                continue
            if made is not node:
                replaced[old.results[0]] = made.results[0]
            node = made
        nodes.append(node)
    if not replaced:
        return graph
    return graph.replace(nodes, renewed(graph.outputs, replaced))


def _joined(node: Node, at: int, bands: dict[Value, Band]) -> Node | Value:
    """Return what stands for a mask: itself, what it masks, or one mask of both."""
    inner = node.operands[at].node
    within = _masked(inner)
    if inner is None or within is None:
        return node
    outer_band, inner_band = _kept(node, at, bands), _kept(inner, within, bands)
    if outer_band is None or inner_band is None:
        return node
    if _within(inner_band, outer_band):
        return node.operands[at]
    if not _within(outer_band, inner_band):
        return node
    operands = list(node.operands)
    operands[at] = inner.operands[within]
    return made_in_place(node, node.primitive, tuple(operands))
