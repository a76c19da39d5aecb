"""Roots and solutions whose derivatives do not come from the steps of a solver."""

from typing import Any

import numpy as np
import pullback as pb
import pytest

A = np.array([[3.0, 1.0, 0.0], [0.5, 2.0, 0.3], [0.0, 0.2, 4.0]])
B = np.array([1.0, 2.0, 3.0])


def newton(f: Any, x: Any) -> Any:
    for _ in range(6):
        x = x - f(x) / pb.grad(lambda y: f(y))(x)
    return x


def root(a: Any) -> Any:
    return pb.custom_root(lambda x: x * x - a, 1.0, newton, lambda g, y: y / g(1.0))


def dense(g: Any, y: Any) -> Any:
    return np.linalg.solve(pb.jacobian(g)(y), y)


def test_a_root_has_derivatives_of_any_order() -> None:
    first = pb.grad(root)
    second = pb.grad(first)
    third = pb.grad(second)
    np.testing.assert_allclose(pb.function(root)(2.0), 2**0.5, rtol=1e-15)
    np.testing.assert_allclose(first(2.0), 0.5 * 2**-0.5, rtol=1e-14)
    np.testing.assert_allclose(second(2.0), -0.25 * 2**-1.5, rtol=1e-14)
    np.testing.assert_allclose(third(2.0), 0.375 * 2**-2.5, rtol=1e-14)
    _, t = pb.jvp(root, (2.0,), (1.0,))
    np.testing.assert_allclose(t, 0.5 * 2**-0.5, rtol=1e-14)
    near = np.array([1.0, 2.0])
    np.testing.assert_allclose(pb.vmap(first)(near), 0.5 * near**-0.5, rtol=1e-14)
    outer = pb.grad(lambda a: np.sum(pb.vmap(root)(a)))
    np.testing.assert_allclose(outer(near), 0.5 * near**-0.5, rtol=1e-14)
    np.testing.assert_allclose(
        pb.custom_root(lambda x: x * x - 2.0, 1.0, newton, dense), 2**0.5, rtol=1e-15
    )


def test_the_steps_are_not_differentiated() -> None:
    def found(f: Any, guess: Any) -> Any:
        return pb.stop_gradient(guess) + 0.0  # the guess is the root

    def h(a: Any) -> Any:
        x = {"u": pb.stop_gradient(a[0] * 2.0), "v": np.array([1.0, 1.0])}
        made = pb.custom_root(
            lambda x: {"u": x["u"] - 2.0 * a[0], "v": x["v"] - 1.0},
            x,
            lambda f, x: {"u": found(f, x["u"]), "v": found(f, x["v"])},
            lambda g, y: y,  # the system is the identity
        )
        return made["u"] + np.sum(made["v"])

    np.testing.assert_array_equal(pb.grad(h)(np.array([3.0, 1.0])), [2.0, 0.0])


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_linear_solution_has_those_of_the_system(symmetric: bool) -> None:
    def made(a: Any, b: Any) -> Any:
        if symmetric:
            a = a + a.T
            x = pb.custom_linear_solve(lambda x: a @ x, b, dense, symmetric=True)
        else:
            x = pb.custom_linear_solve(lambda x: a @ x, b, dense, dense)
        return np.sum(x**2)

    def plain(a: Any, b: Any) -> Any:
        return np.sum(np.linalg.solve(a + a.T if symmetric else a, b) ** 2)

    for k in (0, 1):
        got = pb.grad(made, argnums=k)(A, B)
        np.testing.assert_allclose(got, pb.grad(plain, argnums=k)(A, B), rtol=1e-12)
        pushed = pb.jacobian(made, argnums=k, mode="forward")(A, B)
        np.testing.assert_allclose(pushed, got, rtol=1e-12, atol=1e-14)
        second = pb.hessian(made, argnums=k)(A, B)
        wanted = pb.hessian(plain, argnums=k)(A, B)
        np.testing.assert_allclose(second, wanted, rtol=1e-11, atol=1e-13)
    solved = pb.custom_linear_solve(lambda x: A @ x, B, dense)
    np.testing.assert_allclose(solved, np.linalg.solve(A, B), rtol=1e-14)


def test_roots_on_tapes() -> None:
    a = pb.Variable(2.0)
    decorated = pb.function(root)
    with pb.GradientTape() as tape:
        x = decorated(a)
    np.testing.assert_allclose(tape.gradient(x, a).numpy(), 0.5 * 2**-0.5, rtol=1e-14)


def test_what_is_no_equation() -> None:
    with pytest.raises(pb.ArgumentError, match=r"it returns f64\[\] for f64\[3\]"):
        pb.custom_root(np.sum, B, lambda f, x: x, dense)
    with pytest.raises(
        pb.ArgumentError, match="the root does not have the structure an"
    ):
        pb.custom_root(lambda x: x, B, lambda f, x: np.sum(x), dense)
    one_way = pb.grad(
        lambda b: np.sum(pb.custom_linear_solve(lambda x: A @ x, b, dense))
    )
    with pytest.raises(
        pb.ArgumentError, match="a cotangent needs transpose_solve, or a"
    ):
        one_way(B)


def test_an_argument_of_an_equation_does_not_leave_it() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        kept.append(x)
        return x * x - 2.0

    def leaking(guess: Any) -> Any:
        return pb.custom_root(f, guess, lambda _, x: x, dense) * kept[-1]

    with pytest.raises(pb.EscapedValue, match="used after the function it stands for"):
        pb.function(leaking)(1.0)


def test_an_array_first_met_in_an_equation_is_there_outside() -> None:
    two = np.array([2.0, 2.0])

    def h(a: Any) -> Any:
        guess = np.sqrt(2.0) * a
        x = pb.custom_root(
            lambda x: x * x - two * a * a,
            guess,
            lambda f, x: x,
            lambda g, y: y / g(1.0),
        )
        return np.sum(x * two)

    with pytest.raises(pb.ArgumentError, match="it returns"):
        pb.grad(h)(1.0)

    def fits(a: Any) -> Any:
        guess = np.sqrt(2.0) * a
        x = pb.custom_root(lambda x: x * x - two * a * a, guess, lambda f, x: x, dense)
        return np.sum(x * two)

    got = pb.grad(fits)(np.array([1.0, 3.0]))
    np.testing.assert_allclose(got, np.full(2, 2 * 2**0.5), rtol=1e-14)
