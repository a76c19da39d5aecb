"""Gradients through loops and branches, against finite differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
import pytest

RNG = np.random.default_rng(11)
A = RNG.normal(size=(3, 3)) / 3
XS = RNG.normal(size=(5, 3)) / 3


def by_while(x: Any, a: Any) -> Any:
    def step(c: Any) -> Any:
        return c[0] + 1, np.tanh(a @ c[1]) + x

    return np.sum(pb.while_loop(lambda c: c[0] < 4, step, (0, x))[1] ** 2)


def by_count(x: Any, a: Any) -> Any:
    return np.sum(pb.fori_loop(0, 4, lambda i, c: np.tanh(a @ c) * i + x, x))


def by_scan(x: Any, a: Any) -> Any:
    def step(c: Any, v: Any) -> Any:
        c = np.tanh(a @ c + v * x)
        return c, c[0] * v

    last, stack = pb.scan(step, x, XS)
    return np.sum(last) + np.sum(stack**2)


def with_few_checkpoints(x: Any, a: Any) -> Any:
    def step(c: Any, v: Any) -> Any:
        return np.tanh(a @ c + v * x), None

    return np.sum(pb.scan(step, x, XS, checkpoints=2)[0])


def by_map(x: Any, a: Any) -> Any:
    return np.sum(pb.map(lambda row: np.sin(row @ x), a) ** 2)


def by_branch(x: Any, a: Any) -> Any:
    return pb.cond(x[0] > 0, lambda: np.sum(np.sin(a @ x)), lambda: np.sum(x * x))


def nested(x: Any, a: Any) -> Any:
    def outer(c: Any, v: Any) -> Any:
        def inner(i: Any, d: Any) -> Any:
            return pb.cond(
                d[0] * c[0] > 0, lambda: np.sin(a @ d) + v, lambda: d * x + c
            )

        return pb.fori_loop(0, 2, inner, c), np.sum(c)

    last, stack = pb.scan(outer, x, XS, reverse=True)
    return np.sum(last) * np.mean(stack)


PROGRAMS = [
    by_while, by_count, by_scan, with_few_checkpoints, by_map, by_branch, nested,
]  # fmt: skip


@pytest.mark.parametrize("f", PROGRAMS)
def test_a_gradient_is_that_of_finite_differences(f: Callable[..., Any]) -> None:
    for x in (np.array([0.3, -0.2, 0.5]), np.array([-0.4, 0.1, 0.2])):
        pb.check_grads(f, x, A)


@pytest.mark.parametrize("f", PROGRAMS)
def test_a_tape_has_the_gradient_of_a_decorated_function(f: Callable[..., Any]) -> None:
    x = np.array([0.3, -0.2, 0.5])
    wanted = pb.grad(f, argnums=(0, 1))(x, A)
    v, w = pb.Variable(x), pb.Variable(A)
    with pb.GradientTape() as tape:
        # sum, mean, sin: NumPy's would leave the tape
        y = on_tape(f, v, w)
    got = tape.gradient(y, [v, w])
    for g, expected in zip(got, wanted, strict=True):
        np.testing.assert_allclose(g.numpy(), expected, rtol=1e-12, atol=1e-14)


def on_tape(f: Callable[..., Any], v: Any, w: Any) -> Any:
    """Run a program on variables that its bodies close over."""
    return pb.fori_loop(0, 1, lambda i, c: c + f(v * 1.0, w), 0.0)


def test_a_gradient_goes_through_what_a_body_closes_over() -> None:
    v = pb.Variable(2.0)
    with pb.GradientTape() as tape:
        y = pb.fori_loop(0, 3, lambda i, c: c * v, 1.0)
    assert tape.gradient(y, v).numpy() == 12.0
    assert y.numpy() == 8.0


def test_gradients_nest_in_loops_and_loops_in_gradients() -> None:
    def inner(w: Any, x: Any) -> Any:
        return np.sum(pb.fori_loop(0, 2, lambda i, c: np.sin(c * w), x))

    def trained(w: Any, x: Any) -> Any:
        def step(i: Any, w: Any) -> Any:
            return w - 0.1 * pb.grad(inner)(w, x)

        return inner(pb.fori_loop(0, 3, step, w), x)

    pb.check_grads(trained, 0.7, XS[0])


def test_rows_are_mapped_inside_and_outside_of_loops() -> None:
    def f(x: Any) -> Any:
        return pb.fori_loop(0, 3, lambda i, c: np.sin(c) * x[0], x[1])

    wanted = np.array([f(row) for row in XS])
    np.testing.assert_allclose(pb.vmap(f)(XS), wanted, rtol=1e-14)

    def inside(x: Any) -> Any:
        step = pb.vmap(lambda row: np.sin(row) * x[0, 0])
        return pb.fori_loop(0, 3, lambda i, c: step(c), x)

    c = XS
    for _ in range(3):
        c = np.sin(c) * XS[0, 0]
    np.testing.assert_allclose(pb.function(inside)(XS), c, rtol=1e-14)


def test_tangents_are_pushed_inside_of_loops() -> None:
    def f(x: Any) -> Any:
        def step(i: Any, c: Any) -> Any:
            value, tangent = pb.jvp(np.sin, (c,), (x,))
            return value + tangent

        return pb.fori_loop(0, 2, step, x)

    c = np.float64(0.7)
    for _ in range(2):
        c = np.sin(c) + np.cos(c) * 0.7
    assert pb.function(f)(0.7) == pytest.approx(c, rel=1e-14)


def halve(x: Any) -> Any:
    """Return x / 8 by a loop whose adjoint reads nothing but how long it was."""
    return pb.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] * 0.5), (0, x))[
        1
    ]


@pytest.mark.parametrize(
    ("f", "wanted"),
    [
        (halve, 1 / 8),
        (lambda x: pb.fori_loop(0, 2, lambda i, d: halve(d), x), 1 / 64),
        (
            lambda x: pb.while_loop(
                lambda e: e[0] < 2, lambda e: (e[0] + 1, halve(e[1])), (0, x)
            )[1],
            1 / 64,
        ),
        (lambda x: pb.cond(x > 0, lambda: halve(x), lambda: x), 1 / 8),
    ],
)
def test_a_loop_of_which_only_its_length_is_read(
    f: Callable[..., Any], wanted: float
) -> None:
    assert pb.grad(f)(0.3) == wanted


def test_branches_share_no_registers() -> None:
    def f(x: Any) -> Any:
        one = pb.cond(x > 0, lambda: np.sin(x) * x, lambda: np.cos(x))
        return one * x + pb.cond(x > 0.5, lambda: np.sin(x) * x, lambda: np.cos(x))

    wanted = np.sin(0.3) * 0.3 * 0.3 + np.cos(0.3)
    assert pb.function(f)(0.3) == pytest.approx(wanted, rel=1e-14)
    pb.check_grads(f, 0.3)
