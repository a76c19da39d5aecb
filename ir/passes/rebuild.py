"""Put values in place of others: what every pass that rewrites needs."""

from collections.abc import Iterable, Mapping, Sequence

from ..builder import Builder
from ..graph import Graph, Node, Params, Value
from ..primitive import Primitive


def with_operands(node: Node, operands: tuple[Value, ...]) -> Node:
    """Return the node with other operands of the same types."""
    out = Node(
        node.primitive, operands, node.params, [x.type for x in node.results], node.loc
    )
    out.checked = node.checked
    return out


def made_in_place(
    node: Node,
    primitive: Primitive,
    operands: tuple[Value, ...],
    params: Params | None = None,
) -> Node:
    """Return an unchecked node that computes the result of `node` another way."""
    return Node(primitive, operands, params or {}, [node.results[0].type], node.loc)


def renew(node: Node, replaced: dict[Value, Value]) -> Node:
    """Return the node over replaced operands; itself where there are none.

    Results of a node that is made anew are entered in `replaced`.
    """
    for x in node.operands:
        if x in replaced:
            break
    else:
        return node
    out = with_operands(node, tuple([replaced.get(x, x) for x in node.operands]))
    replaced.update(zip(node.results, out.results, strict=True))
    return out


def renew_all(nodes: Iterable[Node], replaced: dict[Value, Value]) -> list[Node]:
    """Return the nodes, in order of definition, each as `renew` gives it.

    Most of the time of a pass that rewrites a big graph goes here, so objects are
    filled in without a call.
    """
    out: list[Node] = []
    get, add = replaced.get, out.append
    for node in nodes:
        operands = node.operands
        for x in operands:
            if x in replaced:
                break
        else:
            add(node)
            continue
        made = Node.__new__(Node)
        made.primitive = node.primitive
        made.operands = tuple([get(x, x) for x in operands])
        made.params = node.params
        made.loc = node.loc
        made.checked = node.checked
        results: list[Value] = []
        for old in node.results:
            x = Value.__new__(Value)
            x.type = old.type
            x.node = made
            x.index = old.index
            x.cell = None
            replaced[old] = x
            results.append(x)
        made.results = tuple(results)
        add(made)
    return out


def renewed(values: Sequence[Value], replaced: Mapping[Value, Value]) -> list[Value]:
    """Return the values with replacements."""
    return [replaced.get(x, x) for x in values]


def with_inputs(
    graph: Graph, at: int, added: Sequence[Value], names: Sequence[str]
) -> tuple[Graph, dict[Value, Value]]:
    """Return the program with more inputs, and what took the place of which value.

    Inputs from number `at` on are made anew, since they are renumbered; `added` are
    numbered already.
    """
    moved = [
        Value(x.type, None, at + len(added) + k)
        for k, x in enumerate(graph.inputs[at:])
    ]
    replaced = dict(zip(graph.inputs[at:], moved, strict=True))
    nodes = renew_all(graph.nodes, replaced) if moved else graph.nodes
    out = graph.replace(nodes, renewed(graph.outputs, replaced))
    out.inputs = [*graph.inputs[:at], *added, *moved]
    out.names = [*graph.names[:at], *names, *graph.names[at:]]
    return out, replaced


def inlined(graph: Graph, operands: Sequence[Value]) -> tuple[list[Node], list[Value]]:
    """Return the nodes and outputs of a program where its inputs are `operands`.

    All nodes are made anew: a program may be inlined several times into one.
    """
    replaced = dict(zip(graph.inputs, operands, strict=True))
    nodes: list[Node] = []
    for old in graph.nodes:
        node = with_operands(old, tuple([replaced.get(x, x) for x in old.operands]))
        replaced.update(zip(old.results, node.results, strict=True))
        nodes.append(node)
    return nodes, renewed(graph.outputs, replaced)


def extend(graph: Graph, table: Mapping[str, Primitive], strict: bool) -> Builder:
    """Return a builder that continues a graph."""
    b = Builder(table, strict)
    b.inputs = list(graph.inputs)
    b.names = list(graph.names)
    b.nodes = list(graph.nodes)
    b.sizes = list(graph.sizes)
    b.guards = list(graph.guards)
    b.captures = list(graph.captures)
    return b
