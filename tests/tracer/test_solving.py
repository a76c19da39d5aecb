"""Factorisations and systems of equations by NumPy's names."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
import pytest

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(5)


def matrix(*shape: int) -> Array:
    n = shape[-1]
    return RNG.standard_normal(shape) / max(n, 1) ** 0.5 + 2 * np.eye(n)


def definite(*shape: int) -> Array:
    x = matrix(*shape)
    return x @ np.swapaxes(x, -1, -2) + np.eye(shape[-1])


def integers() -> Array:
    return np.array([[4, 1, 0], [1, 3, 1], [0, 1, 5]])


CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "cholesky": (np.linalg.cholesky, (definite(5, 5),)),
    "cholesky of a batch": (np.linalg.cholesky, (definite(2, 3, 4, 4),)),
    "cholesky of integers": (np.linalg.cholesky, (integers(),)),
    "cholesky of nothing": (np.linalg.cholesky, (definite(0, 0),)),
    "cholesky of no matrix": (np.linalg.cholesky, (definite(0, 3, 3),)),
    "upper cholesky": (lambda x: np.linalg.cholesky(x, upper=True), (definite(4, 4),)),
    "solve": (np.linalg.solve, (matrix(6, 6), RNG.standard_normal((6, 2)))),
    "solve a vector": (np.linalg.solve, (matrix(6, 6), RNG.standard_normal(6))),
    "solve a batch": (
        np.linalg.solve,
        (matrix(3, 6, 6), RNG.standard_normal((3, 6, 2))),
    ),
    "solve a batch of one vector": (
        np.linalg.solve,
        (matrix(3, 6, 6), RNG.standard_normal(6)),
    ),
    "solve for a batch": (
        np.linalg.solve,
        (matrix(6, 6), RNG.standard_normal((4, 2, 6, 2))),
    ),
    "solve batches that broadcast": (
        np.linalg.solve,
        (matrix(3, 1, 2, 2), RNG.standard_normal((4, 2, 5))),
    ),
    "solve integers": (np.linalg.solve, (integers(), np.arange(3))),
    "solve nothing": (np.linalg.solve, (matrix(0, 0), np.ones(0))),
    "solve for no side": (np.linalg.solve, (matrix(3, 3), np.ones((3, 0)))),
    "solve in two widths": (
        np.linalg.solve,
        (matrix(3, 3).astype(np.float32), np.ones(3)),
    ),
    "inv": (np.linalg.inv, (matrix(5, 5),)),
    "inv of a batch": (np.linalg.inv, (matrix(2, 5, 5),)),
    "inv of integers": (np.linalg.inv, (integers(),)),
    "inv of nothing": (np.linalg.inv, (matrix(0, 0),)),
    "det": (np.linalg.det, (matrix(4, 4),)),
    "det of a batch": (np.linalg.det, (-matrix(3, 4, 4),)),
    "det of integers": (np.linalg.det, (integers(),)),
    "det of nothing": (np.linalg.det, (matrix(0, 0),)),
    "det of a singular matrix": (np.linalg.det, (np.ones((3, 3)),)),
    "slogdet": (np.linalg.slogdet, (matrix(4, 4),)),
    "slogdet of a batch": (np.linalg.slogdet, (-matrix(3, 5, 5),)),
    "slogdet of nothing": (np.linalg.slogdet, (matrix(2, 0, 0),)),
    "slogdet of a singular matrix": (np.linalg.slogdet, (np.ones((3, 3)),)),
    "solve of a NaN": (np.linalg.solve, (np.eye(2) * np.nan, np.ones(2))),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("narrow", [False, True], ids=["f64", "f32"])
def test_values_are_those_of_numpy(name: str, narrow: bool) -> None:
    function, args = CALLS[name]
    if narrow:
        args = tuple(a.astype(np.float32) if a.dtype.kind == "f" else a for a in args)
    with np.errstate(all="ignore"):
        wanted = function(*args)
    got = pb.function(function)(*args)
    several = isinstance(wanted, tuple)
    for x, y in zip(*(v if several else (v,) for v in (got, wanted)), strict=True):
        assert np.asarray(x).dtype == np.asarray(y).dtype
        tolerance = 2e-5 if np.asarray(y).dtype == np.float32 else 1e-12
        np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance)


def test_results_are_named_as_those_of_numpy() -> None:
    x = matrix(3, 3)

    def f(x: Any) -> Any:
        made = np.linalg.slogdet(x)
        return made.sign * made.logabsdet

    wanted = np.linalg.slogdet(x)
    assert pb.function(f)(x) == pytest.approx(wanted.sign * wanted.logabsdet)
    with pb.GradientTape():
        made = pb.linalg.slogdet(pb.constant(x))
        assert float(made.logabsdet) == pytest.approx(float(wanted.logabsdet))


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("unit", [False, True])
def test_triangular_solve(lower: bool, transpose: bool, unit: bool) -> None:
    x = matrix(6, 6)
    held = np.tril(x) if lower else np.triu(x)
    if unit:
        held = held - np.diag(np.diag(held)) + np.eye(6)
    held = held.T if transpose else held
    options = {"lower": lower, "transpose": transpose, "unit": unit}
    solve = pb.function(lambda x, y: pb.linalg.triangular_solve(x, y, **options))
    for y in (np.ones(6), RNG.standard_normal((6, 4)), RNG.standard_normal((2, 6, 3))):
        np.testing.assert_allclose(solve(x, y), np.linalg.solve(held, y), rtol=1e-12)


# --- derivatives ----------------------------------------------------------------------


def symmetric(x: Any) -> Any:
    return x @ x.T + 3 * np.eye(4)


W = RNG.standard_normal((4, 4))
V = RNG.standard_normal(4)
SMOOTH: dict[str, Callable[[Any], Any]] = {
    "cholesky": lambda x: np.sum(np.linalg.cholesky(symmetric(x)) * W),
    "upper": lambda x: np.sum(np.linalg.cholesky(symmetric(x), upper=True) * W),
    "solve": lambda x: np.sum(np.linalg.solve(x, W @ x) * W),
    "solve a vector": lambda x: np.linalg.solve(x, V * x[0]) @ V,
    "inv": lambda x: np.sum(np.linalg.inv(x) * W),
    "det": lambda x: np.linalg.det(x),
    "slogdet": lambda x: np.linalg.slogdet(x)[1],
    "twice": lambda x: np.sum(np.linalg.solve(np.stack([x, x.T]), V) * W[:2]),
    "gaussian": lambda x: (
        V @ np.linalg.solve(symmetric(x), V) + np.linalg.slogdet(symmetric(x))[1]
    ),
    "triangular": lambda x: np.sum(
        pb.linalg.triangular_solve(np.linalg.cholesky(symmetric(x)), W * x) * W
    ),
}


def central(f: Callable[[Any], Any], x: Array, move: Array) -> Any:
    step = 1e-5
    return (f(x + step * move) - f(x - step * move)) / (2 * step)


@pytest.mark.parametrize("name", SMOOTH)
def test_derivatives_of_both_orders(name: str) -> None:
    f = SMOOTH[name]
    x, move, other = matrix(4, 4), RNG.standard_normal((4, 4)), W + 1
    value, gradient = pb.function(f), pb.grad(f)
    wanted = central(value, x, move)
    assert np.sum(gradient(x) * move) == pytest.approx(wanted, rel=1e-6, abs=1e-8)
    second = pb.grad(lambda x: np.sum(pb.grad(f)(x) * other))
    wanted = central(lambda x: np.sum(gradient(x) * other), x, move)
    assert np.sum(second(x) * move) == pytest.approx(wanted, rel=1e-6, abs=1e-7)


def test_the_factors_of_a_matrix_are_computed_once() -> None:
    f = pb.value_and_grad(lambda x: np.sum(np.linalg.solve(x, V)))
    text = pb.adjoint_text(lambda x: np.sum(np.linalg.solve(x, V)), matrix(4, 4))
    assert len(re.findall(r"= lu ", text)) <= 1
    assert len(re.findall(r"= lu_solve ", text)) >= 1
    f(matrix(4, 4))


def test_sizes_that_vary_are_one_program() -> None:
    f = pb.value_and_grad(lambda x, y: np.linalg.solve(x, y) @ y)
    for n in (3, 5, 70, 0, 2):
        x, y = matrix(n, n), np.ones(n)
        value, gradient = f(x, y)
        solved = np.linalg.solve(x, y)
        assert value == pytest.approx(solved @ y)
        wanted = -np.outer(np.linalg.solve(x.T, y), solved)
        np.testing.assert_allclose(gradient, wanted, rtol=1e-9, atol=1e-12)


# --- texts ----------------------------------------------------------------------------


def message(kind: type[BaseException], call: Callable[[], Any]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


X = np.ones((3, 3))


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (np.linalg.cholesky, "cholesky: the matrix is not positive definite: its"),
        (lambda x: np.linalg.solve(x, V[:3]), "lu_solve: the matrix is singular: piv"),
        (np.linalg.inv, "lu_solve: the matrix is singular: pivot 1 is 0"),
        (
            lambda x: pb.linalg.triangular_solve(x - 1, V[:3]),
            "triangular_solve: the matrix is singular: pivot 0 is 0",
        ),
        (
            lambda x: np.linalg.inv(np.stack([np.eye(3), x])),
            "lu_solve: matrix 1 of the batch is singular: pivot 1 is 0",
        ),
        (pb.grad(np.linalg.det), "triangular_solve: the matrix is singular: pivot 1"),
        (
            pb.grad(lambda x: np.linalg.slogdet(x)[1]),
            "triangular_solve: the matrix is singular: pivot 1 is 0",
        ),
    ],
)
def test_a_matrix_that_cannot_be_solved_by(use: Callable[..., Any], text: str) -> None:
    # also what a user of NumPy catches
    got = message(np.linalg.LinAlgError, lambda: pb.function(use)(X))
    assert got.startswith(text)


def test_the_leading_minor_is_told() -> None:
    text = message(pb.NotPositiveDefinite, lambda: pb.function(np.linalg.cholesky)(X))
    assert "its leading minor of order 2 is not positive" in text
    text = message(pb.SingularMatrix, pb.linalg.inv(pb.constant(X)).numpy)
    assert "pivot 1 is 0" in text


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda x: np.linalg.inv(x[0]), "inv: needs a matrix, or a batch of them"),
        (lambda x: np.linalg.det(x[:2]), "det: a matrix of 2 by 3 is not square"),
        (lambda x: np.linalg.solve(x, V), "solve: 3 equations and 4 rows of right s"),
        (lambda x: np.linalg.solve(x, 1.0), "solve: the right sides are a scalar"),
        (
            lambda x: pb.linalg.triangular_solve(x, W),
            "triangular_solve: 3 equations and 4 rows of right sides",
        ),
        (
            lambda x: np.linalg.solve(np.stack([x, x]), np.ones((3, 3, 1))),
            "solve: shapes do not broadcast: 2 and 3 on one axis",
        ),
    ],
)
def test_a_call_that_does_not_fit(use: Callable[..., Any], text: str) -> None:
    got = message(pb.OpTypeError, lambda: pb.function(use)(X))
    assert got.startswith(text)
    assert re.search(r"traced at: .*test_solving\.py:\d+", got)
