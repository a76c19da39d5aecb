"""Merge loops: one that extends another over the same operands replaces it.

An adjoint asks for residuals by running a loop again that stacks them, a tangent by
running one that moves. Where the loop proper is in the same program, both are one: it
stands where the first stood, or where its operands are known.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..forms import Control
from ..graph import Graph, Node, Value
from ..prints import prints, quiet_node
from .order import ordered
from .rebuild import renew, renewed


def extension(node: Node) -> Any:
    """Return what a loop has for `extends` that goes on from all of `node`.

    Any: as `extends` in `ops/control.py`.
    """
    given = tuple(range(len(node.operands)))
    return extension_over(node, given, tuple(range(len(node.results))))


def extension_over(
    node: Node, operands: tuple[int, ...], results: tuple[int, ...]
) -> Any:
    """As `extension`, of a loop that has those of `node` under other numbers."""
    return node.params["body"], node.params.get("cond"), operands, results


def _rest(node: Node) -> tuple[Any, ...]:
    return node.primitive, node.params.get("length"), node.params.get("reverse")


def find_extended(
    nodes: Sequence[Node], kinds: Sequence[str], same_operands: bool = False
) -> dict[Node, Node]:
    """Return loop -> the next later loop that extends it.

    Args:
        nodes: in order of definition.
        kinds: the kinds of control ops looked at.
        same_operands: whether only loops count that have no operands beyond those.
    """
    known: dict[Any, Node] = {}
    found: dict[Node, Node] = {}
    for node in nodes:
        form = node.primitive.form
        if type(form) is not Control or form.kind not in kinds:
            continue
        extends = node.params["extends"]
        if extends is not None:
            body, cond, operands, _ = extends
            if not same_operands or len(operands) == len(node.operands):
                given = tuple([node.operands[k] for k in operands])
                first = known.get((given, body, cond, _rest(node)))
                if first is not None and first not in found:
                    found[first] = node
        params = node.params
        key = (node.operands, params["body"], params.get("cond"), _rest(node))
        known.setdefault(key, node)
    return found


def _without(node: Node) -> Node:
    """Return a loop that extends nothing."""
    params = {**node.params, "extends": None}
    types = [x.type for x in node.results]
    out = Node(node.primitive, node.operands, params, types, node.loc)
    out.checked = True
    return out


def _merge(graph: Graph, kinds: Sequence[str], forget: bool) -> Graph:
    extended = find_extended(graph.nodes, kinds)
    control = any(
        node.params.get("extends") is not None
        for node in graph.nodes
        if type(node.primitive.form) is Control
    )
    if not extended and not (forget and control):
        return graph
    same: dict[Value, Value] = {}  # results of loops that go -> of those that stay
    for first, longer in extended.items():
        results = longer.params["extends"][3]
        for x, k in zip(first.results, results, strict=True):
            same[x] = longer.results[k]
    for x in list(same):
        last = same[x]
        while last in same:
            last = same[last]
        same[x] = last
    gone: dict[Value, list[Value]] = {}
    for x, last in same.items():
        gone.setdefault(last, []).append(x)
    replaced = dict(same)
    loud = any(prints(node) for node in graph.nodes)
    begun = _last_of(extended, first_only=True)
    if loud:  # what prints does so in the order of the program
        ends = _last_of(extended)
        rest = [ends.get(node, node) for node in graph.nodes]
    else:
        rest = [node for node in graph.nodes if node not in extended]
    nodes: list[Node] = []
    for old in ordered(rest, same):
        node = renew(old, replaced)
        if node.params.get("extends") is not None and (forget or loud):
            if loud and prints(old) and old not in begun.values():
                # it goes on from a loop that ran elsewhere, and printed there
                node = (quiet_node(node) if forget else None) or node
            if forget or old in begun.values():
                node = _without(node)
            if node is not old:
                replaced.update(zip(old.results, node.results, strict=True))
        nodes.append(node)
        if node is not old:
            for before, after in zip(old.results, node.results, strict=True):
                for x in gone.get(before, ()):
                    replaced[x] = after
    return graph.replace(nodes, renewed(graph.outputs, replaced))


def _last_of(
    extended: Mapping[Node, Node], first_only: bool = False
) -> dict[Node, Node]:
    """Return loop -> the last that extends it; with `first_only`, of proper loops."""
    out: dict[Node, Node] = {}
    for first in extended:
        last = first
        while last in extended:
            last = extended[last]
        if not first_only or first.params["extends"] is None:
            out[first] = last
    return out


def merge(graph: Graph) -> Graph:
    """Return the program without loops that others extend.

    Cost: O(nodes + edges), and the text of every loop's regions.
    """
    return _merge(graph, ("while", "scan"), forget=True)


def merge_scans(graph: Graph) -> Graph:
    """As `merge`, of loops of known length alone.

    What others stack has a size that no residual can have.
    """
    return _merge(graph, ("scan",), forget=False)
