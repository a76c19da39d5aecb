"""Decorated functions: signatures, structures, gradients, nesting."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pullback as pb
import pytest
from pullback.ir.interpreter import interpret
from pullback.ir.text import print_graph
from pullback.ir.types import parse_type
from pullback.tracer.trace import trace


class Pair(NamedTuple):
    w: Any
    b: Any


@dataclass(frozen=True)
class Layer:
    w: Any
    scale: float


X = np.arange(6.0).reshape(2, 3)


def test_one_compilation_a_signature(compiler: Any) -> None:
    f = pb.function(lambda x: x * 2)
    f(X)
    f(X + 1)
    assert f.compilations == compiler.made == 1
    f(X[0])
    f(X.astype(np.float32))
    assert f.compilations == 3
    assert f(3) == 6
    assert f(3.5) == 7.0
    assert f.compilations == 5


def test_scalars_are_numpy_scalars_and_arrays_are_fresh() -> None:
    f = pb.function(lambda x: (x.sum(), x))
    total, same = f(X)
    assert type(total) is np.float64
    assert same is not X
    same[0, 0] = 9
    assert X[0, 0] == 0


def test_structures_of_arguments_and_results() -> None:
    @pb.function
    def f(p: Any, q: Any) -> Any:
        return {
            "z": [p["b"], None],
            "a": Pair(p["a"][0] + q.w, q.b),
            "l": Layer(1.0, q.b),
        }

    made = f({"b": 1.0, "a": (X, X)}, Pair(X, 2.0))
    assert list(made) == ["z", "a", "l"]
    assert made["z"] == [1.0, None]
    assert type(made["a"]) is Pair
    np.testing.assert_array_equal(made["a"].w, 2 * X)
    assert made["l"] == Layer(1.0, 2.0)


def test_gradients_have_the_structure_of_the_argument() -> None:
    def loss(p: Any) -> Any:
        return (p["w"].w * p["w"].b).sum() + p["l"].w ** 2 * p["l"].scale

    g = pb.grad(loss)(OrderedDict(w=Pair(X, 2.0), l=Layer(3.0, 4.0)))
    assert type(g) is OrderedDict
    assert list(g) == ["w", "l"]
    np.testing.assert_array_equal(g["w"].w, np.full((2, 3), 2.0))
    assert g["w"].b == X.sum()
    assert g["l"] == Layer(24.0, 9.0)


def test_argnums_and_argnames() -> None:
    def f(x: Any, y: Any, z: Any = 1.0) -> Any:
        return x * y**2 * z

    assert pb.grad(f)(2.0, 3.0) == 9.0
    assert pb.grad(f, argnums=1)(2.0, 3.0) == 12.0
    assert pb.grad(f, argnums=(0, 1))(2.0, 3.0) == (9.0, 12.0)
    assert pb.grad(f, argnums=(1,))(2.0, 3.0) == (12.0,)
    assert pb.grad(f, argnums=-1)(2.0, 3.0, 1.0) == 18.0
    assert pb.grad(f, argnames="y")(2.0, 3.0) == 12.0
    assert pb.grad(f, argnames="z")(2.0, 3.0, z=1.0) == 18.0
    assert pb.grad(f, argnames=("x", "z"))(2.0, 3.0, z=1.0) == (9.0, 18.0)
    assert pb.value_and_grad(f)(2.0, 3.0) == (18.0, 9.0)


def test_others_beside_the_value() -> None:
    def f(x: Any, y: Any) -> Any:
        return (x * y).sum(), {"y": y, "n": 3, "none": None}

    others = {"y": 3.0, "n": 3, "none": None}
    assert pb.value_and_grad(f, has_aux=True)(2.0, 3.0) == ((6.0, others), 3.0)
    assert pb.grad(f, argnames="y", has_aux=True)(2.0, 3.0) == (2.0, others)
    assert pb.grad(f, argnums=(0, 1), has_aux=True)(2.0, 3.0) == ((3.0, 2.0), others)
    inner = pb.value_and_grad(has_aux=True)(f)
    outer = pb.grad(lambda x: inner(x, x)[0][0] + inner(x, 2.0)[1])
    assert outer(3.0) == 3.0 + 3.0


def test_others_are_not_differentiated_but_followed() -> None:
    def f(x: Any) -> Any:
        hidden = np.sin(x)
        return np.sum(hidden), hidden

    gradient, hidden = pb.grad(f, has_aux=True)(X)
    np.testing.assert_allclose(gradient, np.cos(X), rtol=1e-14)
    np.testing.assert_allclose(hidden, np.sin(X), rtol=1e-14)
    # a derivative of what comes beside the gradient
    outer = pb.grad(lambda x: np.sum(pb.grad(f, has_aux=True)(x)[1]))
    np.testing.assert_allclose(outer(X), np.cos(X), rtol=1e-14)


def test_others_have_to_be_there() -> None:
    def f(x: Any) -> Any:
        return x * 2

    text = r"grad of f: has_aux needs a function that returns \(value, others\), got a "
    with pytest.raises(pb.ArgumentError, match=text + "TracedArray\n  defined at"):
        pb.grad(f, has_aux=True)(1.0)
    with pytest.raises(pb.ArgumentError, match="got a tuple of 3"):
        pb.grad(lambda x: (x, x, x), has_aux=True)(1.0)


def test_as_decorators() -> None:
    @pb.value_and_grad(argnums=1)
    def f(x: Any, y: Any) -> Any:
        """Multiply."""
        return x * y

    @pb.function(static_argnames="n")
    def g(x: Any, n: int) -> Any:
        return sum([x] * n)

    assert f(2.0, 3.0) == (6.0, 2.0)
    assert f.__doc__ == "Multiply."
    assert g(2.0, n=3) == 6.0
    assert g(2.0, 4) == 8.0


def test_statics_are_compared_by_equality() -> None:
    @pb.function(static_argnums=1)
    def f(x: Any, n: int, mode: str = "a", flag: bool = False) -> Any:
        return x * n if mode == "a" and not flag else -x

    assert f(2.0, 3) == 6.0
    assert f(2.0, 4) == 8.0
    assert f(2.0, 4, "b") == -2.0
    assert f(2.0, 4, "a", True) == -2.0
    assert f(2.0, 4, flag=True) == -2.0
    f(3.0, 4)
    assert f.compilations == 5


def test_callables_and_none_are_static() -> None:
    f = pb.function(lambda x, act, bias: act(x) if bias is None else act(x) + bias)
    assert f(0.0, np.cos, None) == 1.0
    assert f(0.0, np.sin, 2.0) == 2.0


def test_captured_arrays_are_snapshots() -> None:
    big, small = np.ones(100), np.ones(3)
    f = pb.function(lambda x: x * big.sum() + (big * x).sum() + (small * x).sum())
    graph = f.graph(2.0)
    assert len(graph.captures) == 1
    assert graph.names[-1] == "captured0"
    assert f(2.0) == 200 + 200 + 6
    big[:] = 5
    small[:] = 7
    assert f(2.0) == 200 + 200 + 6


def test_a_captured_array_is_captured_once() -> None:
    big = np.ones(100)
    graph = pb.function(lambda x: (x * big + big).sum()).graph(1.0)
    assert len(graph.captures) == 1


def test_functions_inline_in_functions() -> None:
    inner = pb.function(lambda x: np.sin(x) * 2)
    outer = pb.function(lambda x: inner(x) + inner(x + 1))
    assert outer(0.5) == pytest.approx(2 * np.sin(0.5) + 2 * np.sin(1.5))
    assert inner.compilations == 0
    assert pb.grad(inner)(0.5) == pytest.approx(2 * np.cos(0.5))
    assert inner(0.5) == pytest.approx(2 * np.sin(0.5))
    assert outer(np.array([0.5, 1.0])).shape == (2,)


def test_nested_gradients() -> None:
    f = lambda x: np.sin(x) * x  # noqa: E731
    assert pb.grad(pb.grad(f))(0.7) == pytest.approx(
        2 * np.cos(0.7) - 0.7 * np.sin(0.7)
    )
    third = pb.grad(pb.grad(pb.grad(lambda x: x**4)))
    assert third(2.0) == 48.0
    value, (first, second) = pb.value_and_grad(
        lambda x, y: pb.grad(lambda u: u**2 * y)(x) * y, argnums=(0, 1)
    )(3.0, 2.0)
    assert (value, first, second) == (24.0, 8.0, 24.0)


def test_an_inner_gradient_does_not_see_the_closure() -> None:
    # d/dy (x*y) at y = x is x, whatever x is
    inner = lambda x: pb.grad(lambda y: x * y)(x)  # noqa: E731
    assert pb.function(inner)(3.0) == 3.0
    assert pb.grad(inner)(3.0) == 1.0


def test_each_argument_has_its_own_identity() -> None:
    f = pb.function(lambda x: pb.grad(lambda a, b: a * b**2, argnums=(0, 1))(x, x))
    assert f(3.0) == (9.0, 18.0)
    x = np.array(3.0)
    assert pb.grad(lambda a, b: a * b, argnums=(0, 1))(x, x) == (3.0, 3.0)


def test_gradients_of_hessian_vector_products_match() -> None:
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    f = lambda x: 0.5 * x @ (a @ x)  # noqa: E731
    hvp = pb.function(lambda x, v: pb.grad(lambda u: (pb.grad(f)(u) * v).sum())(x))
    v = np.array([1.0, -2.0])
    np.testing.assert_allclose(hvp(np.ones(2), v), a @ v)


def test_unconnected_gradients_are_zeros() -> None:
    g = pb.grad(lambda x, y: x * 2, argnums=(0, 1))(1.0, np.ones(3))
    assert g[0] == 2.0
    np.testing.assert_array_equal(g[1], np.zeros(3))


def test_norm_of_the_zero_vector_has_gradient_zero() -> None:
    g = pb.grad(lambda x: np.linalg.norm(x))(np.zeros(3))
    np.testing.assert_array_equal(g, np.zeros(3))


def test_functions_as_methods() -> None:
    class Model:
        scale = 3.0

        @pb.function(static_argnums=0)
        def call(self, x: Any) -> Any:
            return x * self.scale

    assert Model().call(2.0) == 6.0


def test_named_sizes_make_one_program(compiler: Any) -> None:
    f = pb.function(lambda x: np.mean(x, axis=0), shapes={"x": "n,3"})
    for n in (2, 5, 0):
        if n:
            np.testing.assert_allclose(f(np.ones((n, 3))), np.ones(3))
    assert f.compilations == 1
    f(np.ones((1, 3)))
    assert f.compilations == 2
    text = print_graph(f.graph(np.ones((4, 3))))
    assert 'in %0: f64[n,3] "x"' in text


def test_trace_of_types() -> None:
    graph = trace(
        lambda x, p: x[1:] @ p["w"],
        [parse_type("f64[n,3]"), {"w": parse_type("f64[3]")}], ["x", "p"],
    )  # fmt: skip
    assert graph.sizes == ["n"]
    assert graph.names == ["x", "p['w']"]
    assert str(graph.outputs[0].type) == "f64[max(n-1, 0)]"
    (made,) = interpret(graph, [np.ones((4, 3)), np.ones(3)])
    np.testing.assert_array_equal(made, np.full(3, 3.0))


@pytest.mark.parametrize(
    "index",
    [slice(1, None), slice(None, -1), slice(None, None, -1), slice(None, None, 2),
     slice(-2, None), slice(3, 1, -1), slice(1, 100), slice(-100, 2), -1, 0],
)  # fmt: skip
@pytest.mark.parametrize("n", [2, 3, 7])
def test_slices_of_named_sizes(index: Any, n: int) -> None:
    graph = trace(lambda x: x[index], [parse_type("f64[n]")], ["x"])
    x = np.arange(float(n))
    np.testing.assert_array_equal(interpret(graph, [x])[0], x[index])


def test_sizes_are_numbers_where_they_can_be() -> None:
    def f(x: Any) -> Any:
        n = x.shape[0]
        assert n == n
        assert n != 1
        assert n >= 0
        assert not n < 0
        assert n + 1 > n
        assert n - n == 0
        assert 2 * n // 2 == n
        assert x.size == n * 3
        assert hash(n) == hash(x.shape[0])
        return x.sum() / n + n * 2.0 + 1.0 / n, pb.zeros((n, 2)), x.reshape(n * 3)

    graph = trace(f, [parse_type("f64[n,3]")], ["x"])
    out = interpret(graph, [np.ones((4, 3))])
    assert out[0] == 3 + 8 + 0.25
    assert out[1].shape == (4, 2)
    assert out[2].shape == (12,)


def test_calls_on_tensors_are_recorded() -> None:
    f = pb.function(lambda x, y: {"a": np.sin(x) * y})
    x = pb.Variable(0.5)
    with pb.GradientTape() as tape:
        y = f(x, 3.0)["a"]
    assert isinstance(y, pb.Tensor)
    assert float(tape.gradient(y, x)) == pytest.approx(3 * np.cos(0.5))


def test_pb_functions_inside_functions() -> None:
    f = pb.function(lambda x: pb.sum(pb.sin(x)) + pb.zeros(())[()])
    np.testing.assert_allclose(f(X), np.sin(X).sum())


def test_tensors_are_constants_of_a_trace() -> None:
    t = pb.constant([1.0, 2.0])
    f = pb.function(lambda x: t * x + x * t)
    np.testing.assert_array_equal(f(2.0), [4.0, 8.0])


def test_graph_of_a_gradient() -> None:
    text = print_graph(pb.grad(lambda x: np.tanh(x)).graph(parse_type("f64[]")))
    assert "tanh" in text
    assert text.count("out ") == 1


def test_a_compiled_call_is_the_native_entry() -> None:
    f = pb.function(lambda x, y: (x * y, (x + y).sum()))
    g = pb.function(lambda x: -x)
    ones = np.ones(3)
    for _ in range(3):
        product, total = f(ones, 2.0)
        np.testing.assert_array_equal(product, [2.0, 2.0, 2.0])
        assert total == 9.0
    assert type(f).__call__ is not type(g).__call__
    np.testing.assert_array_equal(f(np.ones(6)[::2], np.float32(2))[0], product)
    np.testing.assert_array_equal(f(x=ones, y=2.0)[0], product)
    np.testing.assert_array_equal(f(ones.astype(">f8"), 2.0)[0], product)
    with pytest.raises(pb.ArgumentError, match="argument 'y' is missing"):
        f(ones)
    np.testing.assert_array_equal(f(ones, 2.0)[0], product)
    assert f(2.0, 3.0) == (6.0, 5.0)
    np.testing.assert_array_equal(f(ones, 2.0)[0], product)


def test_sizes_that_vary_become_named() -> None:
    f = pb.value_and_grad(lambda x, w: np.mean((x @ w) ** 2), argnums=1)
    w = np.array([1.0, -2.0])

    def check(n: int) -> None:
        x = np.arange(2.0 * n).reshape(n, 2)
        value, grad = f(x, w)
        np.testing.assert_allclose(value, np.mean((x @ w) ** 2))
        np.testing.assert_allclose(grad, 2 * x.T @ (x @ w) / n)

    for n in (5, 5, 7, 2, 30, 5):
        check(n)
    assert f.compilations == 2
    check(1)
    assert f.compilations == 3


def test_sizes_have_a_program_for_each_pattern_of_equality() -> None:
    f = pb.function(lambda x, y: (x * 2.0, y + 1.0))
    ones = np.ones
    for n, m in ((3, 3), (4, 4), (5, 5), (5, 6), (7, 2)):
        x, y = f(ones(n), ones(m))
        assert (x.shape, y.shape) == ((n,), (m,))
    assert f.compilations == 3


def test_a_function_that_counts_has_a_program_for_each_size() -> None:
    f = pb.function(lambda x: sum(x[k] * k for k in range(x.shape[0])))
    for n in (2, 3, 4):
        assert f(np.ones(n)) == sum(range(n))
    assert f.compilations == 3


def test_triangles_of_sizes_that_vary() -> None:
    f = pb.function(lambda x: np.tril(x) + np.triu(x, 1))
    for n in (2, 3, 4):
        x = np.arange(float(n * n)).reshape(n, n)
        np.testing.assert_array_equal(f(x), x)


def test_unequal_sizes_are_refused_however_they_vary() -> None:
    f = pb.function(lambda x, y: x + y)
    f(np.ones(3), np.ones(3))
    f(np.ones(4), np.ones(4))
    with pytest.raises(pb.OpTypeError, match="add: shapes do not broadcast: 5 and 6"):
        f(np.ones(5), np.ones(6))
