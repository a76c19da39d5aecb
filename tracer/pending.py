"""Run what is pending: from values to the program that computes them.

The sub-graph that values need is cut out of the history, numbered from its inputs, and
looked up by that numbered form; so a loop that records the same ops again runs the same
program. Every value that a handle names and the program computes is stored.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ..ir.errors import EscapedValue, GraphError
from ..ir.forms import Control
from ..ir.graph import Graph, Node, Value
from . import engine
from .cell import Array, Cell, Unknown, leaf
from .mode import MODE
from .numerics import examine

# numbered form -> program
_PROGRAMS: dict[Any, engine.Program] = {}
_MOST_PROGRAMS = 4096


def programs() -> int:
    """Return how many programs of tapes are compiled."""
    return len(_PROGRAMS)


def run(roots: Iterable[Value]) -> None:
    """Compute values and store their arrays."""
    wanted = list(dict.fromkeys([v for v in roots if not is_ready(v.cell)]))
    if not wanted:
        return
    nodes = history(wanted)
    inputs: list[Value] = []
    numbers: dict[Value, int] = {}
    key, arrays = numbered(nodes, inputs, numbers)
    outputs = outputs_of(nodes, wanted)
    form = (tuple(key), tuple([numbers[v] for v in outputs]))
    program = _PROGRAMS.get(form)
    if program is None:
        program = compiled(form, graph_of(nodes, inputs, outputs, arrays))
    if MODE.interpreters:
        graph = graph_of(nodes, inputs, outputs, arrays)
        results = MODE.run(program, graph, arrays)
    else:
        results = program.run(arrays)
    if MODE.users:
        graph = graph_of(nodes, inputs, outputs, arrays)
        examine(graph, arrays, results, every=MODE.every > 0)
    for value, array in zip(outputs, results, strict=True):
        array.setflags(write=False)
        value.cell.array = array
    for value in outputs:
        forget(value)


def compiled(form: Any, graph: Graph) -> engine.Program:
    """Return the program of a numbered form, which says all of the graph."""
    program = _PROGRAMS.get(form)
    if program is None:
        program = engine.compile_graph(graph)
        if len(_PROGRAMS) >= _MOST_PROGRAMS:
            del _PROGRAMS[next(iter(_PROGRAMS))]
        _PROGRAMS[form] = program
    return program


def is_ready(cell: Cell) -> bool:
    """Return whether a value has its array, by its plan where it has one."""
    if cell.array is None and cell.plan is not None:
        cell.plan.run()
    return cell.array is not None


def run_alone(node: Node) -> None:
    """Run a node without results, and what its operands need."""
    run_all([x for x in node.operands if not _is_literal(x)])
    arrays = [_array_of(x) for x in node.operands]
    if not isinstance(node.primitive.form, Control):
        node.primitive.evaluate(*arrays, **node.params)
        return
    inputs = [leaf(a, copy=False) for a in arrays]
    alone = Node(node.primitive, tuple(inputs), node.params, (), node.loc)
    held = [x.cell.array for x in inputs]
    graph = graph_of([alone], inputs, [], held)
    MODE.run(engine.compile_graph(graph), graph, held)


def run_all(values: Sequence[Value]) -> None:
    """Compute values, those that no handle ever named too."""
    for x in values:
        if x.cell is None:
            x.cell = Cell()
    run(values)


def _is_literal(x: Value) -> bool:
    return x.node is not None and not x.node.operands


def _array_of(x: Value) -> Array:
    if x.node is not None and _is_literal(x):
        return np.asarray(x.node.primitive.evaluate(**x.node.params))
    array: Array = x.cell.array
    return array


def run_factors(product: Node) -> None:
    """Compute the operands of a product that have no arrays."""
    factors = [
        x
        for x in product.operands
        if x.node is None or x.node.primitive.name != "constant"
    ]
    run_all(factors)


def forget(value: Value) -> None:
    """Drop the history of a value that has its array.

    A product of floats keeps it while a handle lives: what is added to the handle must
    contract to fma whether the product was looked at or not.
    """
    node = value.node
    if node is None:
        return
    product = node.primitive.name == "mul" and value.type.dtype.is_float
    if not product or value.cell.handles == 0:
        value.node = None


def history(roots: Sequence[Value]) -> list[Node]:
    """Return the nodes that values need, operands first."""
    done: set[Node] = set()
    order: list[Node] = []
    stack: list[Node | tuple[Node]] = []
    for root in reversed(roots):
        if root.node is None:
            raise _lost(root)
        stack.append(root.node)
    while stack:
        top = stack.pop()
        if type(top) is tuple:
            order.append(top[0])
            continue
        assert isinstance(top, Node)
        if top in done:
            continue
        done.add(top)
        stack.append((top,))
        for x in reversed(top.operands):
            cell = x.cell
            if cell is not None and (cell.array is not None or is_ready(cell)):
                continue
            node = x.node
            if node is None:
                raise _lost(x, f" of {top.primitive.name}")
            if node not in done:
                stack.append(node)
    return order


def _lost(x: Value, of: str = "") -> Exception:
    if isinstance(x.cell, Unknown):
        name = x.cell.function
        return EscapedValue(
            f"a tensor of {name} was used after {name} was recorded: return it from "
            "the function"
        )
    return GraphError(f"a value of {x.type}{of} has neither array nor history")


def numbered(
    nodes: Sequence[Node], inputs: list[Value], numbers: dict[Value, int]
) -> tuple[list[Any], list[Array]]:
    """Number inputs and results; returns the numbered form and the input arrays.

    Equal array objects are one input.
    """
    key: list[Any] = []
    arrays: list[Array] = []
    by_array: dict[int, int] = {}
    count = 0
    for node in nodes:
        part: list[Any] = [node.primitive]
        for x in node.operands:
            number = numbers.get(x)
            if number is None:
                array = x.cell.array
                number = by_array.get(id(array))
                if number is None:
                    number = by_array[id(array)] = count
                    count += 1
                    inputs.append(x)
                    arrays.append(array)
                    key.append(x.type)
                numbers[x] = number
            part.append(number)
        if node.params:
            part.append(params_key(node.params))
        key.append(tuple(part))
        for result in node.results:
            numbers[result] = count
            count += 1
    return key, arrays


def params_key(params: Any) -> tuple[Any, ...]:
    """Return params as something hashable, the sign of zero and NaN kept apart."""
    return tuple(
        [
            (name, item.hex() if type(item) is float else item, type(item))
            for name, item in sorted(params.items())
        ]
    )


def outputs_of(nodes: Sequence[Node], wanted: Sequence[Value]) -> list[Value]:
    """Return the values to store: those wanted, and all that a handle names."""
    outputs = dict.fromkeys(wanted)
    for node in nodes:
        for result in node.results:
            cell = result.cell
            if cell is not None and cell.handles and cell.array is None:
                outputs[result] = None
    return list(outputs)


def graph_of(
    nodes: Sequence[Node],
    inputs: Sequence[Value],
    outputs: Sequence[Value],
    arrays: Sequence[Array],
) -> Graph:
    """Return the sub-graph as a program of its own."""
    by_array: dict[int, Value] = {}
    made: dict[Value, Value] = {}
    fresh: list[Value] = []
    for x, array in zip(inputs, arrays, strict=True):
        fresh.append(Value(x.type, None, len(fresh)))
        by_array[id(array)] = fresh[-1]
    copies: list[Node] = []
    for node in nodes:
        operands = []
        for x in node.operands:
            new = made.get(x)
            if new is None:
                new = made[x] = by_array[id(x.cell.array)]
            operands.append(new)
        copy = Node(
            node.primitive, tuple(operands), node.params,
            [r.type for r in node.results], node.loc,
        )  # fmt: skip
        copy.checked = True
        copies.append(copy)
        made.update(zip(node.results, copy.results, strict=True))
    return Graph(
        "tape",
        fresh,
        copies,
        [made[v] for v in outputs],
        [f"x{k}" for k in range(len(fresh))],
        output_names=[f"out{k}" for k in range(len(outputs))],
    )


__all__ = ["Cell", "forget", "history", "outputs_of", "params_key", "programs", "run"]
