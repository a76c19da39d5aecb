"""Trees as vectors, and optimisers that take them."""

from typing import Any, NamedTuple

import numpy as np
import pullback as pb
import pytest


class Pair(NamedTuple):
    w: Any
    b: Any


TREE = {"layer": Pair(np.arange(6.0).reshape(2, 3), 2.0), "rest": [np.zeros(0), None]}


def test_there_and_back() -> None:
    vector, unravel = pb.ravel_tree(TREE)
    np.testing.assert_array_equal(vector, [0, 1, 2, 3, 4, 5, 2])
    tree = unravel(vector)
    np.testing.assert_array_equal(tree["layer"].w, TREE["layer"].w)
    assert type(tree["layer"].b) is np.float64
    assert tree["rest"][0].shape == (0,)
    assert tree["rest"][1] is None
    tree["layer"].w[:] = 9
    assert vector[0] == 0, "the tree holds copies"


def test_a_float32_tree() -> None:
    vector, unravel = pb.ravel_tree([np.float32(1), np.ones(2, np.float32)])
    assert vector.dtype == np.float32
    assert unravel(vector)[0].dtype == np.float32
    assert pb.ravel_tree({})[0].shape == (0,)


def test_inside_a_function() -> None:
    vector, unravel = pb.ravel_tree(TREE)

    def loss(v: Any) -> Any:
        p = unravel(v)["layer"]
        return np.sum(p.w**2) * p.b

    value, gradient = pb.value_and_grad(loss)(vector)
    assert value == 110
    np.testing.assert_array_equal(gradient, [0, 4, 8, 12, 16, 20, 55])
    pb.check_grads(loss, vector)


def test_ravel_of_traced_values() -> None:
    f = pb.function(lambda w, b: pb.ravel_tree([w, {"b": b}])[0])
    np.testing.assert_array_equal(f(np.ones((2, 2)), 3.0), [1, 1, 1, 1, 3])


def test_under_a_tape() -> None:
    vector, unravel = pb.ravel_tree(TREE)
    with pb.GradientTape() as tape:
        v = pb.constant(vector)
        tape.watch(v)
        p = unravel(v)["layer"]
        loss = pb.sum(p.w) * p.b
    np.testing.assert_array_equal(tape.gradient(loss, v).numpy(), [2] * 6 + [15])


def test_what_is_no_vector() -> None:
    with pytest.raises(pb.ArgumentError, match=r"'tree'\['n'\] is int64\[\]: a vector"):
        pb.ravel_tree({"n": 3})
    with pytest.raises(pb.ArgumentError, match=r"'tree'\['n'\] is a str: a vector"):
        pb.ravel_tree({"n": "x"})
    text = r"'tree'\[1\] is float32, 'tree'\[0\] is float64: a vector has one dtype"
    with pytest.raises(pb.ArgumentError, match=text):
        pb.ravel_tree([1.0, np.float32(1)])
    _, unravel = pb.ravel_tree([1.0, 2.0])
    text = r"takes a vector of 2 elements, got shape \(3,\)"
    with pytest.raises(pb.ArgumentError, match=text):
        unravel(np.ones(3))
    with pytest.raises(pb.ArgumentError, match="takes a vector of float64, got int64"):
        unravel(np.ones(2, np.int64))


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B"])
def test_scipy_takes_value_and_grad_as_it_is(method: str) -> None:
    optimize = pytest.importorskip("scipy.optimize", reason="SciPy is not installed")
    rng = np.random.default_rng(0)
    x = rng.standard_normal((30, 3))
    y = x @ np.array([1.0, -2.0, 0.5]) + 0.25
    start, unravel = pb.ravel_tree({"w": np.zeros(3), "b": 0.0})

    @pb.value_and_grad
    def loss(v: Any, x: Any, y: Any) -> Any:
        p = unravel(v)
        return np.mean((x @ p["w"] + p["b"] - y) ** 2)

    found = optimize.minimize(loss, start, args=(x, y), jac=True, method=method)
    assert found.success, found.message
    np.testing.assert_allclose(unravel(found.x)["w"], [1, -2, 0.5], atol=1e-4)
    np.testing.assert_allclose(unravel(found.x)["b"], 0.25, atol=1e-4)
    assert loss.compilations == 1
