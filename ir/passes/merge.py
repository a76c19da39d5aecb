"""Merge loops: one that extends another over the same operands replaces it.

An adjoint asks for residuals by running a loop again that stacks them. Where the loop
proper is in the same program, both are one: it stands where the first stood.
"""

from collections.abc import Sequence

from ..forms import Control
from ..graph import Graph, Node, Value
from .rebuild import renew, renewed


def find_extended(nodes: Sequence[Node], kinds: Sequence[str]) -> dict[Node, Node]:
    """Return loop -> the last later loop that extends it, over the same operands.

    `kinds` are the kinds of control ops looked at.
    """
    known: dict[object, Node] = {}
    found: dict[Node, Node] = {}
    for node in nodes:
        form = node.primitive.form
        if not isinstance(form, Control) or form.kind not in kinds:
            continue
        rest = tuple(
            (k, node.params[k])
            for k in sorted(node.params)
            if k not in ("body", "extends", "trips")
        )
        extends = node.params["extends"]
        if extends is not None:
            first = known.get((node.operands, extends, rest))
            if first is not None and first not in found:
                found[first] = node
        known.setdefault((node.operands, node.params["body"], rest), node)
    return found


def _last(node: Node, extended: dict[Node, Node]) -> Node:
    while node in extended:
        node = extended[node]
    return node


def _merge(graph: Graph, kinds: Sequence[str], forget: bool) -> Graph:
    extended = find_extended(graph.nodes, kinds)
    if not extended and not forget:
        return graph
    dropped = set(extended.values())
    replaced: dict[Value, Value] = {}
    nodes: list[Node] = []
    changed = False
    for old in graph.nodes:
        if old in dropped:
            continue
        if old in extended:
            last = _last(old, extended)
            node = Node(
                last.primitive,
                tuple([replaced.get(x, x) for x in old.operands]),
                {**last.params, "extends": None},
                [x.type for x in last.results],
                old.loc,
            )
            node.checked = True
            each: Node | None = old
            while each is not None:
                replaced.update(zip(each.results, node.results, strict=False))
                each = extended.get(each)
            nodes.append(node)
            changed = True
            continue
        node = renew(old, replaced)
        if forget and node.params.get("extends") is not None:
            fresh = Node(
                node.primitive,
                node.operands,
                {**node.params, "extends": None},
                [x.type for x in node.results],
                node.loc,
            )
            fresh.checked = True
            replaced.update(zip(old.results, fresh.results, strict=True))
            node, changed = fresh, True
        nodes.append(node)
    if not changed:
        return graph
    return graph.replace(nodes, renewed(graph.outputs, replaced))


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
