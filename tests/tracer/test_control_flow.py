"""Loops and branches against the same written in Python, nested and around closures."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pullback as pb
import pytest
from pullback.ir.graph import Graph
from pullback.ir.subgraph import SubGraph, regions_of
from pullback.ir.verify import verify
from pullback.tracer.tensor import Tensor

RNG = np.random.default_rng(7)
A = RNG.normal(size=(4, 4)) / 4


def ops(graph: "Graph | SubGraph") -> list[str]:
    nodes = graph.graph.nodes if isinstance(graph, SubGraph) else graph.nodes
    return [node.primitive.name for node in nodes]


def body_of(graph: "Graph | SubGraph", name: str, k: int = -1) -> SubGraph:
    """Region k of the one node of a name."""
    nodes = graph.graph.nodes if isinstance(graph, SubGraph) else graph.nodes
    (node,) = [n for n in nodes if n.primitive.name == name]
    return list(regions_of(node))[k]


def traced(fun: Callable[..., Any], *args: Any) -> Graph:
    graph: Graph = pb.function(fun).graph(*args)
    verify(graph, "trace")
    return graph


def newton(a: Any) -> Any:
    return pb.while_loop(
        lambda x: np.abs(x * x - a) > 1e-12, lambda x: 0.5 * (x + a / x), 1.0
    )


# -- while_loop ------------------------------------------------------------------------


def test_a_while_loop_runs_while_its_condition_holds() -> None:
    assert pb.function(newton)(2.0) == pytest.approx(np.sqrt(2.0), rel=1e-14)
    assert newton(2.0) == pytest.approx(np.sqrt(2.0), rel=1e-14)


def test_a_while_loop_may_not_run_at_all() -> None:
    x = np.array([1.0, 2.0])
    got = pb.while_loop(lambda c: np.sum(c) < 0, lambda c: c * 2, x)
    np.testing.assert_array_equal(got, x)


class Pair(NamedTuple):
    first: Any
    second: Any


@dataclass
class State:
    x: Any
    parts: Any


def test_carries_are_nested_as_they_began() -> None:
    def step(c: Any) -> Any:
        made = {"n": c["n"] + 1, "s": State(c["s"].x * 2, Pair(c["s"].parts[1], 0.5))}
        return {"s": made["s"], "n": made["n"]}  # keys in another order

    init = {"n": 0, "s": State(np.ones(3), Pair(1.0, 2.0))}
    got = pb.while_loop(lambda c: c["n"] < 3, step, init)
    assert list(got) == ["n", "s"]
    assert isinstance(got["s"], State)
    assert isinstance(got["s"].parts, Pair)
    assert got["n"] == 3
    np.testing.assert_array_equal(got["s"].x, np.full(3, 8.0))
    assert got["s"].parts == (0.5, 0.5)


# -- fori_loop -------------------------------------------------------------------------


@pytest.mark.parametrize(("lower", "upper"), [(0, 5), (-2, 3), (3, 3), (4, 1)])
def test_a_fori_loop_counts(lower: int, upper: int) -> None:
    def f(low: Any, high: Any) -> Any:
        return pb.fori_loop(low, high, lambda i, c: 2 * c + i, 1)

    wanted = 1
    for i in range(lower, upper):
        wanted = 2 * wanted + i
    assert f(lower, upper) == wanted
    assert pb.function(f)(lower, upper) == wanted
    assert pb.function(f, static_argnums=(0, 1))(lower, upper) == wanted


def test_known_bounds_make_a_scan_and_traced_ones_a_while_loop() -> None:
    def f(n: Any, x: Any) -> Any:
        return pb.fori_loop(0, n, lambda i, c: c * x, 1.0)

    assert "while_loop" in ops(traced(f, 3, 2.0))
    assert "scan" in ops(traced(lambda x: f(3, x), 2.0))
    assert f(np.int64(3), 2.0) == 8.0


def test_a_bound_may_be_a_named_size() -> None:
    def f(x: Any) -> Any:
        return pb.fori_loop(1, x.shape[0], lambda i, c: c + i, 0)

    g = pb.function(f, shapes={"x": "n"})
    assert [g(np.ones(n)) for n in (4, 7, 2)] == [6, 21, 1]
    assert g.compilations == 1


# -- scan and map ----------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_returns_the_last_carry_and_the_stack(reverse: bool) -> None:
    xs = {"a": RNG.normal(size=(5, 2)), "b": np.arange(5)}

    def step(c: Any, x: Any) -> Any:
        c = c * 0.5 + x["a"]
        return c, (c * x["b"], x["b"])

    got, (stack, numbers) = pb.scan(step, np.zeros(2), xs, reverse=reverse)
    c, wanted = np.zeros(2), np.zeros((5, 2))
    for k in reversed(range(5)) if reverse else range(5):
        c, (wanted[k], _) = step(c, {"a": xs["a"][k], "b": xs["b"][k]})
    np.testing.assert_allclose(got, c, rtol=1e-14)
    np.testing.assert_allclose(stack, wanted, rtol=1e-14)
    np.testing.assert_array_equal(numbers, xs["b"])


def test_a_scan_without_sequences_has_a_length() -> None:
    got, stack = pb.scan(lambda c, x: (c * 2, c), 1, length=4)
    assert got == 16
    np.testing.assert_array_equal(stack, [1, 2, 4, 8])


def test_a_scan_of_no_steps_has_empty_stacks() -> None:
    got, stack = pb.scan(lambda c, x: (c + x, x * 2), 3.0, np.zeros((0,)))
    assert got == 3.0
    assert stack.shape == (0,)


def test_a_scan_over_a_named_size_is_one_program() -> None:
    def f(x: Any) -> Any:
        return pb.scan(lambda c, v: (c + v, c * v), 0.0, x, length=x.shape[0])

    g = pb.function(f, shapes={"x": "n,2"})
    with pytest.raises(pb.OpTypeError, match="carry init is f64"):
        g(np.ones((3, 2)))
    h = pb.function(lambda x: f(x[:, 0]), shapes={"x": "n,2"})
    for n in (3, 6):
        x = RNG.normal(size=(n, 2))
        got, stack = h(x)
        np.testing.assert_allclose(got, x[:, 0].sum())
        assert stack.shape == (n,)
    assert h.compilations == 1


def test_named_sizes_of_sequences_are_guarded_to_be_equal() -> None:
    def f(x: Any, y: Any) -> Any:
        return pb.scan(lambda c, v: (c + v[0] * v[1], None), 0.0, (x, y))[0]

    graph = pb.function(f, shapes={"x": "n", "y": "m"}).graph(np.ones(3), np.ones(3))
    (guard,) = graph.guards
    assert f"{guard.left} {guard.right}" == "m n"
    assert guard.why == "scan: xs[1] and xs[0] share a first axis"


def test_a_map_stacks_results() -> None:
    x = RNG.normal(size=(3, 4))
    got = pb.map(lambda v: {"n": v @ v, "v": np.sin(v)}, x)
    np.testing.assert_allclose(got["n"], (x * x).sum(1))
    np.testing.assert_allclose(got["v"], np.sin(x), rtol=1e-15)


# -- cond and switch -------------------------------------------------------------------


def test_a_cond_runs_one_of_two_functions() -> None:
    def f(x: Any) -> Any:
        return pb.cond(x > 0, lambda v: {"y": np.log(v)}, lambda v: {"y": 0}, x)

    g = pb.function(f)
    assert g(2.0)["y"] == np.log(2.0)
    assert g(-2.0)["y"] == 0.0
    (node,) = [n for n in traced(f, 2.0).nodes if n.primitive.name == "switch"]
    assert [ops(r) for r in regions_of(node)] == [["constant"], ["log"]]


def test_what_is_known_when_tracing_chooses_at_once() -> None:
    called: list[str] = []

    def branch(name: str) -> Callable[[Any], Any]:
        def fun(x: Any) -> Any:
            called.append(name)
            return x * 2

        return fun

    for pred in (True, np.bool_(True), np.array(True), np.float64(2.0) > 1):
        graph = traced(lambda x, p=pred: pb.cond(p, branch("t"), branch("f"), x), 1.0)
        assert ops(graph)[-1] == "mul"
    assert set(called) == {"t"}
    called.clear()
    assert pb.switch(np.int64(1), [branch("0"), branch("1")], 4.0) == 8.0
    assert called == ["1"]


def test_a_switch_runs_the_branch_of_its_index() -> None:
    def f(k: Any, x: Any) -> Any:
        return pb.switch(k, [np.sin, np.cos, lambda v: v], x)

    g = pb.function(f)
    x = RNG.normal(size=3)
    for k, wanted in enumerate((np.sin(x), np.cos(x), x)):
        np.testing.assert_allclose(g(k, x), wanted, rtol=1e-15)
        np.testing.assert_allclose(g(np.int32(k), x), wanted, rtol=1e-15)
    with pytest.raises(IndexError, match="3"):
        g(3, x)


def test_operands_that_are_no_arrays_are_passed_as_they_are() -> None:
    def f(x: Any) -> Any:
        return pb.cond(x > 0, lambda g, v: g(v), lambda g, v: v, np.sin, x)

    assert pb.function(f)(2.0) == np.sin(2.0)


# -- closures and nesting --------------------------------------------------------------


def test_what_a_body_reads_from_around_is_an_operand_once() -> None:
    def f(x: Any, a: Any) -> Any:
        return pb.fori_loop(0, 3, lambda i, c: c * a + a - x, x)

    graph = traced(f, 2.0, 0.5)
    (node,) = [n for n in graph.nodes if n.primitive.name == "scan"]
    assert len(node.operands) == 4  # carry, counter, a, x
    assert pb.function(f)(2.0, 0.5) == pytest.approx(-2.375)


def test_nested_regions_read_through_every_level() -> None:
    big = RNG.normal(size=(80,))

    def f(x: Any, y: Any) -> Any:
        def outer(i: Any, c: Any) -> Any:
            def inner(d: Any, v: Any) -> Any:
                picked = pb.cond(d > c, lambda: d * y, lambda: v + x)
                return picked * 0.5 + pb.take(big, i, axis=0), picked

            last, stack = pb.scan(inner, c, np.ones(3) * x)
            return last + np.sum(stack)

        return pb.fori_loop(0, 4, outer, y)

    def plain(x: float, y: float) -> float:
        c = y
        for i in range(4):
            d, total = c, 0.0
            for _ in range(3):
                picked = d * y if d > c else x + x
                d = picked * 0.5 + big[i]
                total += picked
            c = d + total
        return c

    graph = traced(f, 0.3, -0.2)
    assert len(graph.captures) == 1
    for x, y in ((0.3, -0.2), (-1.0, 2.0)):
        assert pb.function(f)(x, y) == pytest.approx(plain(x, y), rel=1e-12)
        assert f(x, y) == pytest.approx(plain(x, y), rel=1e-12)


def test_what_does_not_depend_on_the_step_moves_out_of_loops() -> None:
    def f(x: Any) -> Any:
        def outer(i: Any, c: Any) -> Any:
            return pb.fori_loop(0, 2, lambda j, d: d * np.sin(x) + np.exp(c), c)

        return pb.fori_loop(0, 3, outer, x)

    graph = traced(f, 0.5)
    assert "sin" in ops(graph)
    middle = body_of(graph, "scan")
    assert ops(middle) == ["exp", "scan"]
    assert ops(body_of(middle, "scan")) == ["fma"]


def test_nothing_moves_out_of_a_branch() -> None:
    def f(x: Any) -> Any:
        return pb.cond(x > 0, lambda: np.log(x), lambda: x)

    assert "log" not in ops(traced(f, 1.0))


def test_views_stay_where_they_are_read() -> None:
    def f(x: Any, s: Any) -> Any:
        return pb.fori_loop(0, 3, lambda i, c: c * s + x.T, x)

    graph = traced(f, A, 2.0)
    assert "transpose" not in ops(graph)
    assert "transpose" in ops(body_of(graph, "scan"))


def test_equal_loops_are_one_region() -> None:
    def f(x: Any) -> Any:
        y = pb.fori_loop(0, 3, lambda i, c: c * 2.0, x)
        return pb.fori_loop(0, 3, lambda i, c: c * 2.0, y)

    graph = traced(f, 1.0)
    first, second = [n for n in graph.nodes if n.primitive.name == "scan"]
    assert first.params["body"] == second.params["body"]


def test_gradients_are_taken_inside_a_body() -> None:
    def loss(x: Any, a: Any) -> Any:
        return np.sum((x - a) ** 2)

    @pb.function
    def descend(x: Any, a: Any) -> Any:
        return pb.fori_loop(0, 50, lambda i, c: c - 0.1 * pb.grad(loss)(c, a), x)

    a = np.array([1.0, -2.0])
    np.testing.assert_allclose(descend(np.zeros(2), a), a, rtol=1e-3)

    @pb.function
    def pulled(x: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            value, back = pb.vjp(np.sin, c)
            total, gradient = pb.value_and_grad(loss)(c, value)
            return back(total)[0] + gradient

        return pb.fori_loop(0, 2, body, x)

    c = np.float64(0.7)
    for _ in range(2):
        d = c - np.sin(c)
        c = d * d * np.cos(c) + 2 * d
    assert pulled(0.7) == pytest.approx(c, rel=1e-14)


def test_a_pullback_from_around_is_called_inside() -> None:
    @pb.function
    def f(x: Any) -> Any:
        _, back = pb.vjp(lambda v: v * v * v, x)
        return pb.fori_loop(0, 3, lambda i, c: c + back(c)[0], 1.0)

    assert f(2.0) == pytest.approx(13.0**3)


def test_decorated_functions_are_called_inside() -> None:
    double = pb.function(lambda v: v * 2)
    assert pb.function(lambda x: pb.fori_loop(0, 3, lambda i, c: double(c), x))(1) == 8
    assert pb.fori_loop(0, 3, lambda i, c: double(c), 1.5) == 12.0


# -- types of numbers ------------------------------------------------------------------

F32 = np.float32


@pytest.mark.parametrize(
    ("init", "x", "dtype"),
    [
        (0, np.int32(2), np.int32),
        (0, F32(2), F32),
        (0.0, F32(2), F32),
        (0, 2.0, np.float64),
        (0.0, np.int32(2), np.float64),
        (0, np.float64(2), np.float64),
        (F32(0), 2.0, F32),
    ],
)
def test_a_number_takes_the_dtype_that_numpy_gives_it(
    init: Any, x: Any, dtype: Any
) -> None:
    def step(i: Any, c: Any) -> Any:
        return c + x

    got = pb.fori_loop(0, 3, step, init)
    assert got.dtype == dtype
    assert got == 6
    inside = pb.function(lambda: pb.while_loop(lambda c: c < 5, lambda c: c + x, init))
    assert inside().dtype == dtype


def test_a_body_may_return_numbers() -> None:
    got = pb.fori_loop(0, 3, lambda i, c: (c[1], 2), (0.5, 1.5))
    assert [x.dtype for x in got] == [np.float64, np.float64]
    assert got == (2.0, 2.0)
    assert pb.fori_loop(0, 1, lambda i, c: 1.5, 0) == 1.5


def test_a_number_of_a_branch_takes_the_dtype_of_the_others() -> None:
    def f(k: Any, x: Any) -> Any:
        return pb.switch(k, [lambda: 0, lambda: x, lambda: 1.5])

    assert pb.function(f)(0, F32(2)).dtype == F32
    assert pb.function(lambda p: pb.cond(p > 0, lambda: 1, lambda: 0.5))(1.0) == 1.0


# -- outside of a trace, and tapes -----------------------------------------------------


def test_calls_that_trace_to_one_graph_are_compiled_once(compiler: Any) -> None:
    for k in range(3):
        assert pb.while_loop(lambda c: c < 9.0, lambda c: c * 2.0, k + 1.0) >= 9.0
    assert isinstance(pb.map(np.sin, np.ones(3)), np.ndarray)


def test_tensors_make_a_node_of_the_tape(compiler: Any) -> None:
    v = pb.Variable([1.0, 2.0])
    x = pb.constant(3.0)
    with pb.GradientTape() as tape:
        y = pb.fori_loop(0, 3, lambda i, c: c * v + x, np.ones(2))
        z = pb.sum(y)
    assert compiler.made == 0
    assert isinstance(y, Tensor)
    c = np.ones(2)
    for _ in range(3):
        c = c * np.array([1.0, 2.0]) + 3.0
    np.testing.assert_allclose(y.numpy(), c)
    assert z.numpy() == pytest.approx(c.sum())
    assert tape.watched_variables() == (v,)


def test_branches_and_loops_take_tensors() -> None:
    x = pb.constant(2.0)
    assert pb.cond(x > 1, lambda v: v * 3, lambda v: v, x).numpy() == 6.0
    assert pb.while_loop(lambda c: c < 10, lambda c: c * 2, x).numpy() == 16.0
    got, stack = pb.scan(lambda c, v: (c + v, c), x, pb.constant([1.0, 2.0]))
    assert got.numpy() == 5.0
    np.testing.assert_array_equal(stack.numpy(), [2.0, 3.0])
    assert pb.fori_loop(0, pb.constant(3), lambda i, c: c + i, 0).numpy() == 3


# -- numbers that are checked ----------------------------------------------------------


def test_numbers_are_checked_inside_bodies() -> None:
    def f(x: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            return pb.check_numerics(np.log(c), "in the body")

        return pb.fori_loop(0, 2, body, x)

    message = r"in the body: 2 not finite, over all steps\n  traced at: .*in body"
    assert pb.function(f)(np.array([3.0])) == pytest.approx(np.log(np.log(3.0)))
    with pytest.raises(pb.NonFiniteError, match=message):
        pb.function(f)(np.array([0.0, 3.0]))
    with pytest.raises(pb.NonFiniteError, match=message):
        f(np.array([0.0, 3.0]))


def test_numbers_are_checked_inside_while_loops_and_branches() -> None:
    def f(x: Any) -> Any:
        def body(c: Any) -> Any:
            return pb.cond(
                c[0] > 2, lambda: (c[0] - 1, pb.check_numerics(1 / c[1])), lambda: c
            )

        return pb.while_loop(
            lambda c: c[0] > 0, lambda c: (c[0] - 1, body(c)[1]), (4, x)
        )

    assert pb.function(f)(2.0) == (0, 2.0)
    with pytest.raises(pb.NonFiniteError, match="check_numerics: 1 not finite"):
        pb.function(f)(0.0)


def test_the_op_of_a_body_that_made_a_nan_is_named() -> None:
    def f(x: Any) -> Any:
        def body(i: Any, c: Any) -> Any:
            return np.log(c) * 2

        return pb.fori_loop(0, 3, body, np.exp(x)) + 1

    for call in (
        lambda x: pb.function(f, check_numerics=True)(x),
        lambda x: pb.value_and_grad(lambda v: f(v)[0], check_numerics=True)(x),
    ):
        with pytest.raises(pb.NonFiniteError) as caught:
            call(np.array([0.3, 9.0]))
        text = str(caught.value)
        assert text.startswith("log made nan at [0], 1 of 2 not finite\n")
        assert "\n  operands there: -1.02165" in text
        assert ", run 3 of it\n  traced at: " in text
        assert text.endswith("in body\n      return np.log(c) * 2")
    with pb.check_numerics(), pytest.raises(pb.NonFiniteError, match="first time it"):
        pb.while_loop(lambda c: c < 5, lambda c: np.log(c) + 6, -1.0)
