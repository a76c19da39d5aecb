"""Write a graph as text.

    pullback-ir 1
    graph loss
    sizes n
    in %0: f64[n,3] "params['w']"
    %1: f64[n,3] = mul %0, %0
    %2: f64[] = sum %1 {axes=(0, 1)}
    guard n = m "matmul: inner dimensions"
    out %2 "out0"
    end

Values are numbered within the graph, inputs first. Params are sorted by name. The text
is exact: `parse` reads back what was written, and equal graphs have equal text. An
array of more than `INLINE` elements is written by its hash; the reader is given it.
Regions of control ops stand before the graph, each under its hash, `region &HASH` to
`end`; those within others come first.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .constant import ArrayConstant
from .digest import sha256_hex
from .errors import GraphError
from .graph import Graph, Node, Value
from .opaque import Opaque
from .sizes import SizeExpr
from .subgraph import SubGraph, all_regions
from .types import DTYPES, DType, TensorType, dtype_of

HEADER = "pullback-ir 1"
INLINE = 16  # elements of an array that are written out
RESERVED = frozenset(DTYPES) | {"true", "false", "none", "nan", "inf", "max", "min"}
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")

Numbers = Mapping[Value, int]


def number_values(graph: Graph) -> dict[Value, int]:
    """Return the number of every value: inputs first, then results in order."""
    numbers = {x: k for k, x in enumerate(graph.inputs)}
    count = len(numbers)
    for node in graph.nodes:
        for result in node.results:
            numbers[result] = count
            count += 1
    return numbers


# -- params ----------------------------------------------------------------------------


def _float_text(value: float) -> str:
    return float.__repr__(value)


def _tuple_text(value: tuple[Any, ...]) -> str:
    inner = ", ".join([param_text(x) for x in value])
    return f"({inner},)" if len(value) == 1 else f"({inner})"


def _array_text(value: ArrayConstant) -> str:
    array = value.array
    kind = TensorType(dtype_of(array.dtype), array.shape)
    if array.size > INLINE:
        return f"@{value.key} {kind}"
    return f"[{', '.join([param_text(x) for x in array.ravel().tolist()])}] {kind}"


# Any: a param may be of each of these kinds.
_WRITERS: dict[type, Callable[[Any], str]] = {
    int: int.__repr__,
    bool: lambda value: "true" if value else "false",
    float: _float_text,
    str: json.dumps,
    tuple: _tuple_text,
    SizeExpr: str,
    TensorType: str,
    DType: repr,
    ArrayConstant: _array_text,
    SubGraph: repr,
    type(None): lambda value: "none",
}


def param_text(value: Any) -> str:
    """Return the text of a param.

    Any: a param is a number, string, size, dtype, type, array constant, None or a tuple
    of these.

    Raises:
        GraphError: it is of another kind.
    """
    writer = _WRITERS.get(type(value))
    if writer is not None:
        return writer(value)
    if isinstance(value, np.generic):
        return param_text(value.item())
    if isinstance(value, Opaque):
        return repr(value)
    raise GraphError(f"a param of type {type(value).__name__} cannot be written")


def params_text(params: Mapping[str, Any]) -> str:
    """Return the params of a node with a space before, or nothing."""
    if not params:
        return ""
    inner = ", ".join([f"{k}={param_text(params[k])}" for k in sorted(params)])
    return f" {{{inner}}}"


# -- lines -----------------------------------------------------------------------------


def value_text(value: Value, numbers: Numbers) -> str:
    """Return %NUMBER; `%?` for a value the graph does not define."""
    number = numbers.get(value)
    return "%?" if number is None else f"%{number}"


def node_text(node: Node, numbers: Numbers) -> str:
    """Return the line of a node."""
    results = ", ".join([f"{value_text(x, numbers)}: {x.type}" for x in node.results])
    operands = ", ".join([value_text(x, numbers) for x in node.operands])
    space = " " if operands else ""
    return (
        f"{results or '_'} = {node.primitive.name}{space}{operands}"
        f"{params_text(node.params)}"
    )


def _loc_text(node: Node) -> str:
    return f"  # {node.loc}" if node.loc is not None else ""


def name_text(name: str) -> str:
    """Return the name of a graph, quoted where it is not one word."""
    return name if NAME.match(name) else json.dumps(name)


def region_lines(graph: Graph) -> list[str]:
    """Return the lines of a region after the one that has its hash."""
    return [*_inputs(graph, False), *_body(graph, False)]


def _head(graph: Graph, captures: bool) -> list[str]:
    lines = [HEADER]
    for held in all_regions(graph):
        lines += [f"region {held!r}", *region_lines(held.graph)]
    return [*lines, f"graph {name_text(graph.name)}", *_inputs(graph, captures)]


def _inputs(graph: Graph, captures: bool) -> list[str]:
    lines = []
    if graph.sizes:
        lines.append(f"sizes {' '.join(graph.sizes)}")
    first = len(graph.inputs) - len(graph.captures)
    for k, (x, name) in enumerate(zip(graph.inputs, graph.names, strict=True)):
        line = f"in %{k}: {x.type} {json.dumps(name)}"
        if k >= first:
            line += " capture"
            if captures:
                line += f" @{ArrayConstant(graph.captures[k - first]).key}"
        lines.append(line)
    return lines


def _tail(graph: Graph, numbers: Numbers) -> list[str]:
    lines = [f"guard {g.left} = {g.right} {json.dumps(g.why)}" for g in graph.guards]
    lines += [
        f"out {value_text(x, numbers)} {json.dumps(name)}"
        for x, name in zip(graph.outputs, graph.output_names, strict=True)
    ]
    return [*lines, "end"]


def _lines(graph: Graph, locs: bool, captures: bool) -> list[str]:
    return _head(graph, captures) + _body(graph, locs)


def _body(graph: Graph, locs: bool) -> list[str]:
    numbers = number_values(graph)
    lines: list[str] = []
    types: dict[int, str] = {}  # by identity: rules hand the same type on
    add = lines.append
    for node in graph.nodes:
        results = node.results
        if len(results) != 1:
            line = node_text(node, numbers)
        else:
            kind = results[0].type
            shown = types.get(id(kind))
            if shown is None:
                shown = types[id(kind)] = str(kind)
            line = f"%{numbers[results[0]]}: {shown} = {node.primitive.name}"
            before = " "
            for x in node.operands:
                line += f"{before}{value_text(x, numbers)}"
                before = ", "
            if node.params:
                line += params_text(node.params)
        add(line + _loc_text(node) if locs else line)
    return lines + _tail(graph, numbers)


def print_graph(graph: Graph, locs: bool = False) -> str:
    """Return the text of a graph; with `locs`, source locations as comments.

    Raises:
        GraphError: a param is of a kind that cannot be written.

    Cost: O(nodes + edges).
    """
    return "\n".join(_lines(graph, locs, captures=True)) + "\n"


def graph_key(graph: Graph) -> str:
    """Return the key of a program: equal for graphs that compile to the same code.

    Array constants count by content. Captured arrays count by type alone: they are
    inputs of the code.
    """
    parts = ["\n".join(_lines(graph, False, captures=False)).encode()]
    held = [node for region in all_regions(graph) for node in region.graph.nodes]
    for node in [*graph.nodes, *held]:
        for name in sorted(node.params):
            held = node.params[name]
            if isinstance(held, ArrayConstant) and held.array.size > INLINE:
                parts.append(held.array.tobytes())
    return sha256_hex(parts)


# -- for people ------------------------------------------------------------------------


def _inline(node: Node) -> str | None:
    """Return a constant as it is written in place of an operand, or None."""
    if node.primitive.name != "constant":
        return None
    value = node.params["value"]
    return None if isinstance(value, ArrayConstant) else param_text(value)


def pretty(graph: Graph) -> str:
    """Return a graph for people: constants in place of operands, locations behind.

    Numbers are those of `print_graph`. Not meant to be read back.
    """
    regions = [(repr(held), held.graph) for held in all_regions(graph)]
    parts = [_pretty(held, name) for name, held in regions]
    return "\n".join([*parts, _pretty(graph, graph.name)])


def _pretty(graph: Graph, name: str) -> str:
    numbers = number_values(graph)
    shown = {x: f"%{k}" for x, k in numbers.items()}
    inputs = [
        f"%{k} {of}: {x.type}"
        for k, (x, of) in enumerate(zip(graph.inputs, graph.names, strict=True))
    ]
    lines = [f"{name}({', '.join(inputs)}):"]
    for node in graph.nodes:
        literal = _inline(node)
        if literal is not None:
            shown[node.results[0]] = literal
            continue
        results = ", ".join([f"{shown[x]}: {x.type}" for x in node.results])
        operands = ", ".join([shown.get(x, "%?") for x in node.operands])
        space = " " if operands else ""
        lines.append(
            f"  {results or '_'} = {node.primitive.name}{space}{operands}"
            f"{params_text(node.params)}{_loc_text(node)}"
        )
    lines += [f"  guard {g.left} = {g.right}  # {g.why}" for g in graph.guards]
    outputs = ", ".join([shown.get(x, "%?") for x in graph.outputs])
    return "\n".join([*lines, f"  return {outputs}"]) + "\n"
