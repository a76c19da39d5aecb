"""`vjp`: values, cotangents, what is checked, and what is compiled."""

from typing import Any

import numpy as np
import pullback as pb
import pytest

W = np.array([0.3, -0.7, 1.1])


def model(p: Any, k: int = 2) -> Any:
    hidden = np.tanh(p["w"])
    return {"h": hidden * p["s"], "n": 3, "sum": (np.sum(p["w"] ** k),)}


def test_value_and_cotangents_have_the_structures() -> None:
    value, back = pb.vjp(model, {"w": W, "s": 2.0, "name": "x"}, 2)
    np.testing.assert_allclose(value["h"], np.tanh(W) * 2)
    assert value["n"] == 3
    ct, none = back({"h": np.ones(3), "n": None, "sum": (0.5,)})
    assert none is None
    assert ct["name"] is None
    np.testing.assert_allclose(ct["w"], 2 * (1 - np.tanh(W) ** 2) + W, rtol=1e-15)
    np.testing.assert_allclose(ct["s"], np.tanh(W).sum(), rtol=1e-15)
    assert repr(back) == "<pullback of model>"


def test_the_pullback_is_linear_and_can_be_called_again() -> None:
    _, back = pb.vjp(lambda x: x**3, W)
    one = back(np.ones(3))[0]
    np.testing.assert_array_equal(back(np.full(3, 2.0))[0], 2 * one)
    np.testing.assert_array_equal(back(np.ones(3))[0], one)


def test_arguments_may_change_after_the_value() -> None:
    x = W.copy()
    y, back = pb.vjp(lambda x: x * x, x)
    x[:] = 100
    y[:] = 100
    np.testing.assert_allclose(back(np.ones(3))[0], 2 * W)


def test_results_may_change_before_the_pullback() -> None:
    y, back = pb.vjp(np.tanh, W)
    y[:] = 100
    np.testing.assert_allclose(back(np.ones(3))[0], 1 - np.tanh(W) ** 2)


def test_a_decorated_function_is_compiled_once_a_signature(compiler: Any) -> None:
    f = pb.function(lambda x: np.sum(x * 2.0))
    for _ in range(3):
        _, back = pb.vjp(f, W)
        np.testing.assert_array_equal(back(1.0)[0], [2, 2, 2])
    assert compiler.made == 2
    for n in (4, 5, 6):
        x = np.ones(n)
        value, back = pb.vjp(f, x)
        assert value == 2 * n
        np.testing.assert_array_equal(back(1.5)[0], np.full(n, 3.0))
    assert compiler.made == 4, "one pair for all sizes, seeds alone do not show them"


def test_a_plain_function_is_traced_at_every_call() -> None:
    factor = 2.0

    def f(x: Any) -> Any:
        return x * factor

    assert pb.vjp(f, 1.0)[0] == 2.0
    factor = 3.0
    assert pb.vjp(f, 1.0)[0] == 3.0


def test_captured_arrays() -> None:
    big = np.arange(100.0)
    f = pb.function(lambda x: big * x)
    for n in (1, 100, 100):
        ct = pb.vjp(f, np.ones(n))[1](np.ones(100))[0]
        np.testing.assert_array_equal(ct, big if n == 100 else [big.sum()])


def test_in_a_decorated_function_and_differentiated() -> None:
    def row(x: Any) -> Any:
        value, back = pb.vjp(lambda z, k: [z**k, np.sum(z)], x, 3)
        ct, none = back([value[0], 1.0])
        assert none is None
        return ct

    np.testing.assert_allclose(pb.function(row)(W), 3 * W**5 + 1)
    # the derivative of sum(3 z^2 v + 1) where v = z^3 is 15 z^4
    gradient = pb.grad(lambda x: np.sum(row(x)))
    np.testing.assert_allclose(gradient(W), 15 * W**4)
    pb.check_grads(row, W)


def test_of_a_gradient() -> None:
    _, back = pb.vjp(pb.grad(lambda x: np.sum(x**3)), W)
    np.testing.assert_allclose(back(np.ones(3))[0], 6 * W)


def test_one_value_returned_twice() -> None:
    def f(x: Any) -> Any:
        y = np.sin(x)
        return y, y

    _, back = pb.vjp(f, W)
    np.testing.assert_allclose(back((np.ones(3), np.ones(3)))[0], 2 * np.cos(W))


def test_an_argument_without_a_path_gets_zeros() -> None:
    ct = pb.vjp(lambda x, y: y * 1.0, W, 2.0)[1](1.0)
    np.testing.assert_array_equal(ct[0], np.zeros(3))


def test_keys_in_another_order_are_the_same_structure() -> None:
    _, back = pb.vjp(lambda x: {"a": x, "b": 2 * x}, 1.0)
    assert back({"b": 1.0, "a": 1.0}) == (3.0,)


def both(f: Any, ct: Any) -> Any:
    """Call a pullback outside and inside a trace."""
    return (
        lambda: pb.vjp(f, W)[1](ct),
        lambda: pb.function(lambda x: pb.vjp(f, x)[1](ct))(W),
    )


@pytest.mark.parametrize("k", [0, 1])
def test_cotangents_are_checked(k: int) -> None:
    def f(x: Any) -> Any:
        return [x, np.sum(x)]

    shape = both(f, [np.ones(2), 1.0])[k]
    text = r"pullback of f: the cotangent of out\[0\] is f.*\[2\], the result f.*\[3\]"
    with pytest.raises(pb.ArgumentError, match=text):
        shape()
    dtype = both(f, [np.ones(3, np.float32), 1.0])[k]
    text = r"cotangent of out\[0\] is f(loat)?32\[3\], the result f(loat)?64\[3\]"
    with pytest.raises(pb.ArgumentError, match=text):
        dtype()
    structure = both(f, (np.ones(3), {"a": 1.0}, [None]))[k]
    text = (
        r"pullback of f: the cotangent is \(\*, {'a': \*}, \[None\]\), "
        r"the result \[\*, \*\]"
    )
    with pytest.raises(pb.ArgumentError, match=text):
        structure()


def test_what_has_no_pullback() -> None:
    def f(x: Any) -> Any:
        return x * 2

    with pytest.raises(pb.ArgumentError, match="vjp of f: no argument holds floats\n"):
        pb.vjp(f, 3)
    with pytest.raises(pb.ArgumentError, match="vjp of f: no argument holds floats\n"):
        pb.function(lambda x: pb.vjp(f, 3)[0] + x)(1.0)
    with pytest.raises(pb.ArgumentError, match="vjp of f: takes arrays: for tensors"):
        pb.vjp(f, pb.constant(1.0))


def test_a_pullback_that_escaped() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(pb.vjp(np.sin, x)[1])
        return x

    pb.function(f)(W)
    with pytest.raises(pb.EscapedValue, match="the pullback of sin was used after"):
        kept[0](np.ones(3))
