"""Loops and choices: meaning, adjoints of several orders, passes, text."""

import numpy as np
import pytest
from control_programs import PROGRAMS, SCALAR, program, region, scan, vector, while_loop
from pullback.ir.adjoint import grad_graph
from pullback.ir.batching import batch_graph
from pullback.ir.errors import OpTypeError
from pullback.ir.forward import jvp_graph
from pullback.ir.graph import Graph
from pullback.ir.interpreter import interpret
from pullback.ir.ops import OPS, new_builder
from pullback.ir.parse import parse_graph
from pullback.ir.passes import pipeline
from pullback.ir.passes.dce import dce
from pullback.ir.passes.rebuild import extend
from pullback.ir.sizes import named
from pullback.ir.text import graph_key, print_graph
from pullback.ir.verify import verify

AT = (0.7, 1.3)
STEP = 1e-5


def value(graph: Graph, x: float, a: float, output: int = -1) -> float:
    return float(interpret(graph, [np.float64(x), np.float64(a)])[output])


def slope(graph: Graph, wrt: int) -> float:
    """The central difference of the last output."""
    moved = []
    for sign in (1.0, -1.0):
        at = list(AT)
        at[wrt] += sign * STEP
        moved.append(value(graph, *at))
    return (moved[0] - moved[1]) / (2 * STEP)


@pytest.mark.parametrize("wrt", [0, 1])
@pytest.mark.parametrize("name", list(PROGRAMS))
def test_orders_1_to_3_agree_with_differences(name: str, wrt: int) -> None:
    graph = program(name)
    for order in range(3):
        wanted = slope(graph, wrt)
        graph = grad_graph(graph, [wrt], output=len(graph.outputs) - 1)
        verify(graph, "adjoint")
        got = value(graph, *AT)
        assert got == pytest.approx(wanted, rel=2e-5, abs=2e-5), f"order {order + 1}"


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_passes_change_no_bit(name: str) -> None:
    graph = grad_graph(grad_graph(program(name), [0, 1]), [1], output=2)
    plain = interpret(graph, [np.float64(v) for v in AT])
    for disable in (set(), {"merge"}, {"regions"}, {"dce"}, {"cse"}, {"hoist"}):
        after = pipeline.run(graph, disable=disable)
        got = interpret(after, [np.float64(v) for v in AT])
        for x, y in zip(plain, got, strict=True):
            assert x.tobytes() == y.tobytes(), disable


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_text_reads_back(name: str) -> None:
    graph = pipeline.run(grad_graph(program(name), [0, 1]))
    text = print_graph(graph)
    again = parse_graph(text, OPS)
    verify(again, "parse")
    assert print_graph(again) == text
    assert graph_key(again) == graph_key(graph)


def test_a_loop_and_its_residuals_are_one_loop() -> None:
    for name in ("newton", "recurrence"):
        graph = pipeline.run(grad_graph(program(name), [0, 1]))
        names = [node.primitive.name for node in graph.nodes]
        assert names.count("while_loop") + names.count("scan") == 2, names


def test_what_an_adjoint_reads_alone_is_stacked() -> None:
    """The sum over a scan keeps nothing; its tanh keeps its result."""
    b = new_builder()
    xs = b.input(vector(6), "xs")
    total = scan(b, lambda b, s, x: [b.add(s, x)], [b.constant(0.0)], [xs], length=6)
    graph = pipeline.run(grad_graph(b.finish("sum", [total[0]]), [0]))
    loops = [n for n in graph.nodes if n.primitive.name == "scan"]
    assert [len(n.results) for n in loops] == [1, 2]  # no stack; carry and gradients


def test_dead_carries_and_stacks_go() -> None:
    b = new_builder()
    x = b.input(SCALAR, "x")
    results = scan(
        b,
        lambda b, p, q: [b.mul(p, 2.0), b.mul(q, p), b.sin(p), b.cos(q)],
        [x, x],
        length=3,
    )
    graph = dce(b.finish("dead", [results[2]]))
    (node,) = graph.nodes
    assert node.params["carries"] == 1
    assert [str(r.type) for r in node.results] == ["f64[]", "f64[3]"]
    assert len(node.operands) == 1


def test_a_loop_of_no_steps_passes_cotangents_through() -> None:
    b = new_builder()
    x, a = b.input(SCALAR, "x"), b.input(SCALAR, "a")
    out = while_loop(
        b,
        lambda b, x, a: [b.gt(x, 100.0)],
        lambda b, x, a: [b.mul(x, a)],
        [x],
        [a],
    )
    graph = grad_graph(b.finish("none", [out[0]]), [0, 1])
    made = interpret(graph, [np.float64(3.0), np.float64(2.0)])
    assert [float(v) for v in made] == [3.0, 1.0, 0.0]


# --- type rules -----------------------------------------------------------------------


def test_type_errors_have_both_types() -> None:
    b = new_builder()
    x = b.input(SCALAR, "x")
    with pytest.raises(OpTypeError, match=r"carry 0 is f64\[3\], f64\[\] expected"):
        scan(b, lambda b, c: [b.broadcast(c, (3,))], [x], length=2)
    with pytest.raises(OpTypeError, match=r"the condition is one bool, got f64\[\]"):
        while_loop(b, lambda b, c: [c], lambda b, c: [c], [x])
    with pytest.raises(OpTypeError, match="needs a size for its trips"):
        while_loop(b, lambda b, c: [b.gt(c, 0.0)], lambda b, c: [c, c], [x])
    xs = b.input(vector(4), "xs")
    with pytest.raises(OpTypeError, match=r"sequence 0 is f64\[4\], 5 elements"):
        scan(b, lambda b, c, x: [c], [x], [xs], length=5)
    one = region([SCALAR], lambda b, c: [c])
    two = region([SCALAR], lambda b, c: [b.broadcast(c, (2,))])
    index = b.constant(0)
    with pytest.raises(OpTypeError, match=r"branch 1: result 0 is f64\[2\], f64\[\]"):
        b.apply(OPS["switch"], (index, x), {"branches": (one, two)})
    with pytest.raises(OpTypeError, match="at least one branch"):
        b.apply(OPS["switch"], (index, x), {"branches": ()})
    with pytest.raises(OpTypeError, match=r"the index is f64\[\], i64\[\] expected"):
        b.apply(OPS["switch"], (x, x), {"branches": (one,)})
    with pytest.raises(OpTypeError, match="built, not called"):
        OPS["scan"].accept(b, x)


def test_fresh_sizes_are_fresh() -> None:
    b = new_builder()
    b.input(vector(named("trips0")), "x")
    assert str(b.fresh_size("trips")) == "trips1"
    assert str(b.fresh_size("trips")) == "trips2"


# --- tangents -------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_tangents_agree_with_differences_and_gradients(name: str) -> None:
    graph = program(name)
    wanted = [slope(graph, k) for k in (0, 1)]
    moving = jvp_graph(graph, [0, 1])
    verify(moving, "tangents")
    direction = (0.6, -0.8)
    given = [np.float64(v) for v in (*AT, *direction)]
    for each in (moving, pipeline.run(moving)):
        value_, tangent = interpret(each, given)
        assert float(value_) == value(graph, *AT)
        assert float(tangent) == pytest.approx(np.dot(wanted, direction), rel=1e-6)
    # a gradient of the tangent by the direction is the gradient of the program
    ahead = grad_graph(moving, [2, 3], output=1)
    made = interpret(pipeline.run(ahead), given)[-2:]
    assert [float(v) for v in made] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_second_orders_agree_either_way(name: str) -> None:
    """Forward over reverse, reverse over forward, reverse over reverse."""
    graph = program(name)
    given = [np.float64(v) for v in (*AT, 1.0, 0.0)]
    over = jvp_graph(grad_graph(graph, [0, 1], keep_value=False), [0, 1])
    row = interpret(pipeline.run(over), given)[-2:]
    under = grad_graph(jvp_graph(graph, [0, 1]), [0, 1], output=1, keep_value=False)
    other = interpret(pipeline.run(under), given)
    twice = grad_graph(grad_graph(graph, [0]), [0, 1], output=1)
    third = interpret(pipeline.run(twice), given[:2])[-2:]
    first = [float(v) for v in row]
    assert [float(v) for v in other] == pytest.approx(first, rel=1e-9, abs=1e-12)
    assert [float(v) for v in third] == pytest.approx(first, rel=1e-9, abs=1e-12)


def test_a_loop_and_its_tangents_are_one_loop() -> None:
    for name in ("newton", "recurrence"):
        graph = pipeline.run(jvp_graph(program(name), [0, 1]))
        names = [node.primitive.name for node in graph.nodes]
        assert names.count("while_loop") + names.count("scan") == 1, names


# --- batching -------------------------------------------------------------------------

MANY = (np.array([0.7, 1.9, 0.4, 2.2]), np.array([1.3, 1.1, 0.9, 1.7]))


def one_by_one(graph: Graph, has: tuple[bool, bool]) -> list[np.ndarray]:
    rows = []
    for k in range(4):
        given = [v[k] if h else v[0] for v, h in zip(MANY, has, strict=True)]
        rows.append(interpret(graph, given))
    return [np.stack(column) for column in zip(*rows, strict=True)]


@pytest.mark.parametrize("has", [(True, True), (True, False), (False, True)])
@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", list(PROGRAMS))
def test_batched_is_one_by_one(name: str, order: int, has: tuple[bool, bool]) -> None:
    graph = program(name)
    for _ in range(order):
        graph = grad_graph(graph, [0, 1], output=len(graph.outputs) - 1)
    wanted = one_by_one(graph, has)
    wide = batch_graph(graph, has, 4)
    verify(wide, "batch")
    given = [v if h else v[0] for v, h in zip(MANY, has, strict=True)]
    for each in (wide, pipeline.run(wide)):
        got = interpret(each, given)
        for x, y in zip(got, wanted, strict=True):
            np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_gradient_of_batched_is_batched_gradient(name: str) -> None:
    graph = program(name)
    wanted = one_by_one(grad_graph(graph, [0, 1], keep_value=False), (True, True))
    wide = batch_graph(graph, (True, True), 4)
    b = extend(wide, OPS, strict=False)
    total = b.finish("total", [b.sum(wide.outputs[0], axes=(0,))])
    got = interpret(grad_graph(total, [0, 1], keep_value=False), MANY)
    for x, y in zip(got, wanted, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_batches_of_any_size(name: str) -> None:
    wide = batch_graph(grad_graph(program(name), [0, 1]), (True, True), named("n"))
    verify(wide, "batch")
    for count in (0, 2, 4):
        got = interpret(wide, [v[:count] for v in MANY], {"n": count})
        assert [x.shape for x in got] == [(count,)] * 3


# --- hoisting -------------------------------------------------------------------------


def test_what_is_the_same_in_every_step_is_computed_once() -> None:
    b = new_builder()
    x, a = b.input(SCALAR, "x"), b.input(SCALAR, "a")
    out = scan(
        b,
        lambda b, c, a: [b.fma(c, b.exp(b.mul(a, 2.0)), b.exp(b.mul(a, 3.0)))],
        [x],
        [],
        [a],
        length=3,
    )
    graph = pipeline.run(b.finish("steady", [out[0]]))
    (loop,) = [n for n in graph.nodes if n.primitive.name == "scan"]
    inner = [n.primitive.name for n in loop.params["body"].graph.nodes]
    assert inner == ["fma"]
    assert [n.primitive.name for n in graph.nodes].count("exp") == 2
    assert len(loop.operands) == 3


def test_cheap_ops_on_arrays_stay_in_the_loop() -> None:
    b = new_builder()
    x, a = b.input(vector(100), "x"), b.input(vector(100), "a")
    out = scan(b, lambda b, c, a: [b.mul(c, b.abs(a))], [x], [], [a], length=3)
    graph = pipeline.run(b.finish("cheap", [out[0]]))
    assert [n.primitive.name for n in graph.nodes] == ["scan"]
