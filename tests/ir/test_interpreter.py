import numpy as np
import pytest
from pullback.ir.errors import ArgumentError, GraphError, SizeError
from pullback.ir.graph import Graph, Node
from pullback.ir.interpreter import interpret
from pullback.ir.ops import OPS, new_builder
from pullback.ir.parse import parse_graph
from pullback.ir.types import F64, TensorType, parse_type
from random_graph import read

ROWS = parse_graph(
    read("""
    graph rows
    sizes n m
    in %0: f64[n,3] "x"
    in %1: f64[m] "y"
    in %2: f64[max(n-1, 0)] "z"
    %3: f64[3] = sum %0 {axes=(0,)}
    %4: f64[max(n-1, 0),3] = slice %0 {size=(max(n-1, 0), 3), start=(1, 0), step=(1, 1)}
    %5: f64[n] = constant {type=f64[n], value=2.5}
    %6: i64[] = constant {type=i64[], value=n*m}
    guard n = 2*m "rows: halves"
    out %3 "sum"
    out %4 "tail"
    out %5 "filled"
    out %6 "size"
    end
    """),
    OPS,
)


def arrays(n, m, k=None):
    x = np.arange(3.0 * n).reshape(n, 3)
    return [x, np.zeros(m), np.zeros(max(n - 1, 0) if k is None else k)]


@pytest.mark.parametrize("n", [0, 4, 6])
def test_sizes_are_bound_from_shapes(n):
    given = arrays(n, n // 2)
    total, tail, filled, size = interpret(ROWS, given)
    np.testing.assert_array_equal(total, given[0].sum(0))
    np.testing.assert_array_equal(tail, given[0][1:])
    np.testing.assert_array_equal(filled, np.full(n, 2.5))
    assert size == n * (n // 2)
    assert size.dtype == np.int64


def test_sizes_that_disagree():
    with pytest.raises(SizeError, match="rows: axis 0 of z is 5, max\\(n-1, 0\\) = 3"):
        interpret(ROWS, arrays(4, 2, 5))
    with pytest.raises(
        SizeError, match=r"^rows: halves: n is 4, 2\*m is 6 \(m = 3, n = 4\)"
    ):
        interpret(ROWS, arrays(4, 3))
    with pytest.raises(SizeError, match="rows: size m is 1, which is always a const"):
        interpret(ROWS, arrays(2, 1))
    given = arrays(4, 2)
    given[0] = np.zeros((4, 5))
    with pytest.raises(SizeError, match="rows: axis 1 of x is 5, 3 expected"):
        interpret(ROWS, given)
    with pytest.raises(ArgumentError, match="rows: x has 1 axes, f64\\[n,3\\] expec"):
        interpret(ROWS, [np.zeros(3), *given[1:]])
    with pytest.raises(ArgumentError, match="rows has 3 inputs, 1 given"):
        interpret(ROWS, given[:1])
    with pytest.raises(ArgumentError, match="rows: y is int64, f64\\[m\\] expected"):
        interpret(ROWS, [given[0], np.zeros(2, int), given[2]])


def test_sizes_no_input_shows():
    b = new_builder()
    b.sizes.append("n")
    x = b.input(parse_type("f64[2*n]"), "x")
    graph = b.finish("f", [b.sum(x, axes=(0,))])
    with pytest.raises(SizeError, match="f: no input has an axis of size n"):
        interpret(graph, [np.ones(6)])
    assert interpret(graph, [np.ones(6)], {"n": 3}) == [6.0]
    with pytest.raises(SizeError, match="axis 0 of x is 6, 2\\*n = 4 expected"):
        interpret(graph, [np.ones(6)], {"n": 2})


def test_captures_are_bound():
    b = new_builder()
    x, c = b.input(parse_type("f64[2]"), "x"), b.input(parse_type("f64[2]"), "c")
    b.captures.append(np.array([1.0, 2.0]))
    graph = b.finish("f", [b.mul(x, c)])
    np.testing.assert_array_equal(interpret(graph, [np.array([3.0, 4.0])])[0], [3, 8])
    np.testing.assert_array_equal(interpret(graph, [np.ones(2), np.ones(2)])[0], [1, 1])


def test_a_reference_that_contradicts_the_type_rule():
    b = new_builder()
    x = b.input(parse_type("f64[2]"), "x")
    wrong = Node(OPS["sin"], (x,), {}, [TensorType(F64, (3,))], None)
    graph = Graph("f", [x], [wrong], list(wrong.results), ["x"], output_names=["y"])
    with pytest.raises(
        GraphError,
        match="the reference of sin gave float64\\[2\\], its type rule float64\\[3\\]",
    ):
        interpret(graph, [np.ones(2)])
