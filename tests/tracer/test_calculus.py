"""The calculus as a whole: loops, transforms and sizes in one another."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
import pytest

Array = np.ndarray[Any, Any]


# --- a root, three ways ---------------------------------------------------------------


def residual(x: Any, a: Any) -> Any:
    """x with x e^x = a: Lambert's W."""
    return x * np.exp(x) - a


def step(x: Any, a: Any) -> Any:
    return x - residual(x, a) / (np.exp(x) * (1 + x))


def by_while(a: Any) -> Any:
    def going(state: Any) -> Any:
        x, before = state
        return np.abs(x - before) > 1e-15 * np.abs(x)

    def body(state: Any) -> Any:
        x, _ = state
        return step(x, a), x

    return pb.while_loop(going, body, (np.log1p(a), 0.0 * a + 10.0))[0]


def unrolled(a: Any) -> Any:
    x = np.log1p(a)
    for _ in range(8):
        x = step(x, a)
    return x


def implicit(a: Any) -> Any:
    def solve(f: Any, start: Any) -> Any:
        return pb.stop_gradient(unrolled(a))

    def solve_tangent(g: Any, y: Any) -> Any:
        return y / g(np.ones_like(y))

    return pb.custom_root(lambda x: residual(x, a), np.log1p(a), solve, solve_tangent)


def exactly(a: float) -> tuple[float, float, float]:
    """W and its first two derivatives, from W' = W / (a (1 + W))."""
    w = unrolled(np.float64(a))
    first = w / (a * (1 + w))
    second = -(first**2) * (w + 2) / (1 + w)
    return float(w), float(first), float(second)


@pytest.mark.parametrize("way", [by_while, unrolled, implicit])
def test_a_newton_solve_has_one_derivative(way: Callable[..., Any]) -> None:
    for a in (0.3, 1.0, 2.7, 40.0):
        w, first, second = exactly(a)
        assert pb.function(way)(a) == pytest.approx(w, rel=1e-13)
        assert pb.grad(way)(a) == pytest.approx(first, rel=1e-12)
        assert pb.grad(pb.grad(way))(a) == pytest.approx(second, rel=1e-11)


# --- a loop that turns as often as its data says --------------------------------------


def turning(x: Any) -> Any:
    """Doubles the sine of what is carried until their sum is long."""

    def body(state: Any) -> Any:
        y, total, turns = state
        y = np.sin(y) * 1.9
        return y, total + y * y, turns + 1

    start = (x, 0.0 * x, 0)
    y, total, turns = pb.while_loop(lambda s: s[1] < 4.0, body, start)
    return total * np.cos(y), turns


def test_a_loop_turns_as_often_as_its_data_says() -> None:
    counts = {int(pb.function(turning)(x)[1]) for x in (0.05, 0.3, 1.2, 2.9)}
    assert len(counts) > 1
    f = pb.function(lambda x: turning(x)[0])
    derivative: Any = lambda x: turning(x)[0]  # noqa: E731
    for order in range(3):
        before, derivative = pb.function(derivative), pb.grad(derivative)
        for x in (0.05, 0.3, 1.2):
            h = 1e-5
            wanted = (before(x + h) - before(x - h)) / (2 * h)
            assert derivative(x) == pytest.approx(wanted, rel=1e-4, abs=1e-4), order
    assert np.isfinite(f(0.3))


# --- order 4, inside everything -------------------------------------------------------


def smooth(x: Any) -> Any:
    return np.sin(x) * np.exp(x)


def fourth(x: Any) -> Any:
    """The fourth derivative, by differentiating four times: -4 sin(x) e^x."""
    made: Any = smooth
    for _ in range(4):
        made = pb.grad(made)
    return made(x)


def in_scan(x: Any) -> Any:
    return pb.scan(lambda c, e: (c + fourth(e), None), 0.0 * x, np.stack([x]))[0]


def in_while(x: Any) -> Any:
    def body(state: Any) -> Any:
        return fourth(x), state[1] + 1

    return pb.while_loop(lambda s: s[1] < 2, body, (0.0 * x, 0))[0]


def in_cond(x: Any) -> Any:
    return pb.cond(x > 0, fourth, lambda x: 0.0 * x, x)


@pytest.mark.parametrize("inside", [fourth, in_scan, in_while, in_cond])
def test_order_4_inside(inside: Callable[..., Any]) -> None:
    at = np.array([0.2, 0.7, 1.9])
    wanted = -4 * smooth(at)
    got = [pb.function(inside)(x) for x in at]
    np.testing.assert_allclose(got, wanted, rtol=1e-13)
    np.testing.assert_allclose(pb.vmap(inside)(at), wanted, rtol=1e-13)
    slope = -4 * (np.cos(at) + np.sin(at)) * np.exp(at)
    np.testing.assert_allclose(pb.vmap(pb.grad(inside))(at), slope, rtol=1e-13)


def test_loops_differentiated_four_times() -> None:
    """x -> x^8 by repeated squaring, in a loop of known and of unknown length."""

    def known(x: Any) -> Any:
        return pb.fori_loop(0, 3, lambda i, c: c * c, x)

    def unknown(x: Any) -> Any:
        start = (x, 0)
        return pb.while_loop(
            lambda s: s[1] < 3, lambda s: (s[0] ** 2, s[1] + 1), start
        )[0]

    for f in (known, unknown):
        derivative: Any = f
        for _ in range(4):
            derivative = pb.grad(derivative)
        assert derivative(1.1) == pytest.approx(8 * 7 * 6 * 5 * 1.1**4, rel=1e-12)


# --- sizes ----------------------------------------------------------------------------


def test_a_thousand_batch_sizes_are_few_compilations() -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((5, 3))

    @pb.value_and_grad(argnums=(0, 1))
    def loss(w: Any, x: Any) -> Any:
        return np.sum(np.tanh(x @ w) ** 2)

    sizes = [0, 1, *rng.integers(0, 200, 998).tolist()]
    for size in sizes:
        x = rng.standard_normal((size, 5))
        value, (dw, dx) = loss(w, x)
        h = np.tanh(x @ w)
        ct = 2 * h * (1 - h * h)
        np.testing.assert_allclose(value, np.sum(h**2), rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(dw, x.T @ ct, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(dx, ct @ w.T, rtol=1e-10, atol=1e-12)
    assert loss.compilations <= 4


def test_sizes_that_were_equal_may_differ_later() -> None:
    @pb.function
    def f(x: Any, y: Any) -> Any:
        return np.sum(x) * np.outer(x, y)

    rng = np.random.default_rng(1)
    for m, n in ((3, 3), (4, 4), (5, 5), (5, 2), (1, 7), (7, 1), (0, 4), (6, 6)):
        x, y = rng.standard_normal(m), rng.standard_normal(n)
        np.testing.assert_allclose(f(x, y), x.sum() * np.outer(x, y), rtol=1e-13)


def test_loops_and_maps_take_sizes_that_vary() -> None:
    @pb.value_and_grad
    def total(x: Any) -> Any:
        last, ys = pb.scan(lambda c, e: (np.tanh(c + e), c * e), np.zeros(3), x)
        rows = pb.vmap(lambda e: np.sum(e * e))(x)
        return np.sum(last) + np.sum(ys) + np.sum(rows)

    rng = np.random.default_rng(2)
    for size in (4, 7, 2, 30, 5, 11, 0, 1):
        x = rng.standard_normal((size, 3))
        value, grad = total(x)
        flat = np.zeros_like(x)
        for k in np.ndindex(x.shape):
            moved = [x.copy(), x.copy()]
            moved[0][k] += 1e-6
            moved[1][k] -= 1e-6
            ahead, behind = (total(m)[0] for m in moved)
            flat[k] = (ahead - behind) / 2e-6
        np.testing.assert_allclose(grad, flat, rtol=1e-6, atol=1e-7)
        assert np.isfinite(value)
    assert total.compilations <= 5


def test_a_loop_is_linearized() -> None:
    def f(x: Any) -> Any:
        last, ys = pb.scan(lambda c, _: (np.sin(c) * 1.1, c * c), x, None, length=4)
        turned = pb.while_loop(
            lambda c: np.sum(c) < 9.0, lambda c: 1.5 * c, 1 + last**2
        )
        return np.sum(last) + np.sum(ys) + np.sum(turned)

    x, t = np.array([0.3, 0.4]), np.array([1.0, -2.0])
    value, linear = pb.linearize(f, x)
    wanted = pb.jvp(f, (x,), (t,))
    assert value == wanted[0]
    assert linear(t) == pytest.approx(wanted[1], rel=1e-14)
    assert linear(2 * t) == pytest.approx(2 * wanted[1], rel=1e-14)


def test_a_tape_sees_a_loop_of_which_only_the_length_is_read() -> None:
    x = pb.Variable(np.float64(2.0))
    with pb.GradientTape() as tape:
        start = (x * 1.0, 0)
        y = pb.while_loop(lambda s: s[1] < 5, lambda s: (s[0] * 0.5, s[1] + 1), start)[
            0
        ]
    assert float(tape.gradient(y, x)) == 0.5**5
