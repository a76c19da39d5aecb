import re

import numpy as np
import pytest
from pullback.ir.errors import GraphError
from pullback.ir.graph import Graph, Guard, Node, Value
from pullback.ir.ops import OPS, new_builder
from pullback.ir.sizes import named
from pullback.ir.types import F64, I64, TensorType, parse_type
from pullback.ir.verify import verify
from random_graph import random_graph

SCALAR = TensorType(F64, ())


def chain(count=12):
    b = new_builder()
    y = b.input(SCALAR, "x")
    for _ in range(count):
        y = b.sin(y)
    return b.finish("f", [y])


def fails(graph, message):
    with pytest.raises(GraphError, match=message) as caught:
        verify(graph, "cse")
    return str(caught.value)


@pytest.mark.parametrize("seed", range(10))
def test_programs_of_the_builder_are_well_formed(seed):
    graph = random_graph(seed)
    for node in graph.nodes:
        node.checked = False
    verify(graph, "trace")
    assert all(node.checked for node in graph.nodes)


def test_a_use_before_the_definition_shows_ten_lines():
    graph = chain()
    graph.nodes[5:7] = reversed(graph.nodes[5:7])
    message = fails(graph, "^f after cse: operand 0 is used before it is defined\n")
    assert message.splitlines()[1:] == [
        "   %1: f64[] = sin %0",
        "   %2: f64[] = sin %1",
        "   %3: f64[] = sin %2",
        "   %4: f64[] = sin %3",
        "   %5: f64[] = sin %4",
        "-> %6: f64[] = sin %7",
        "   %7: f64[] = sin %5",
        "   %8: f64[] = sin %6",
        "   %9: f64[] = sin %8",
        "   %10: f64[] = sin %9",
    ]


def test_a_value_of_another_graph_is_shown_as_unknown():
    graph = chain(1)
    stranger = Value(SCALAR, None, 0)
    graph.nodes.append(Node(OPS["sin"], (stranger,), {}, [SCALAR], None))
    assert "-> %2: f64[] = sin %?" in fails(graph, "operand 0 is used before")


def test_a_node_listed_twice():
    graph = chain(3)
    graph.nodes.append(graph.nodes[0])
    fails(graph, "a result is defined twice")


def test_types_are_inferred_again():
    graph = chain(1)
    wrong = Node(OPS["sin"], (graph.inputs[0],), {}, [TensorType(F64, (3,))], None)
    graph.nodes.append(wrong)
    fails(graph, re.escape("result 0 of sin is f64[3], its type rule says f64[]"))
    graph.nodes[-1] = Node(OPS["sin"], (graph.inputs[0],) * 2, {}, [SCALAR] * 2, None)
    fails(graph, "sin has 2 results, its type rule 1")
    graph.nodes[-1] = Node(OPS["sin"], (graph.inputs[0],), {"a": 1}, [], None)
    fails(graph, "sin has 0 results")
    other = Value(TensorType(F64, (3,)), None, 0)
    graph.inputs.append(Value(other.type, None, 1))
    graph.names.append("y")
    graph.nodes[-1] = Node(OPS["add"], tuple(graph.inputs), {}, [SCALAR], None)
    fails(graph, "add does not take these operands: add: operands differ")
    graph.nodes[-1] = Node(OPS["sum"], (graph.inputs[1],), {}, [SCALAR], None)
    fails(graph, "sum does not take these operands: .*missing.*'axes'")


def test_results_point_back():
    graph = chain(1)
    node = Node(OPS["sin"], (graph.inputs[0],), {}, [SCALAR], None)
    node.results = (Value(SCALAR, None, 0),)
    graph.nodes.append(node)
    fails(graph, "result 0 of sin does not point back to it")


def test_outputs_are_defined():
    graph = chain(2)
    fails(graph.replace(graph.nodes[:1]), "^f after cse: output 0 is not defined$")


def test_sizes_are_declared():
    n = named("n")
    b = new_builder()
    x = b.input(parse_type("f64[n]"), "x")
    graph = b.finish("f", [b.sin(x)])
    fails(graph, "input 0 has size n: not declared")
    graph.sizes = ["n"]
    verify(graph, "trace")
    b = new_builder()
    graph = b.finish("f", [b.broadcast(b.input(SCALAR, "x"), (n,))])
    fails(graph, "size n is not declared\n-> %1: f64")
    b = new_builder()
    graph = b.finish("f", [b.constant(n)])
    fails(graph, "size n is not declared\n-> %0: i64")
    graph = chain(1)
    graph.guards.append(Guard(n, 3, "why"))
    fails(graph, "a guard has size n: not declared")
    for name in ("nan", "f64", "a b"):
        graph = chain(1)
        graph.sizes = [name]
        fails(graph, f"a size cannot be called '{name}'")
    graph.sizes = ["n", "n"]
    fails(graph, "a size is listed twice")


def test_the_head():
    def broken(**fields):
        graph = chain(1)
        for name, value in fields.items():
            setattr(graph, name, value)
        return graph

    x = Value(SCALAR, None, 0)
    fails(broken(names=[]), "1 inputs, 0 names")
    fails(broken(output_names=[]), "1 outputs, 0 names")
    fails(broken(captures=[1, 2]), "2 captures, 1 inputs")
    fails(broken(captures=[np.zeros(3)]), r"capture x is float64\[3\], its input f64")
    fails(broken(inputs=[Value(SCALAR, None, 1)]), "input 0 says it is input 1")
    fails(broken(inputs=[x, x], names=["x", "y"]), "input 1 says it is input 0")
    made = chain(1).nodes[0].results[0]
    fails(broken(inputs=[made]), "input 0 is the result of sin")


def test_an_empty_program():
    verify(Graph("f", [Value(TensorType(I64, ()), None, 0)], [], [], ["x"]), "trace")
