"""LU factors of matrices that turn out to be triangles: no pivots, no elimination."""

from dataclasses import replace
from typing import Any

import numpy as np
import pullback as pb
import pytest
from native import How, Native, assert_same_bits, guarded, native
from pullback.codegen.target import host
from pullback.ir.errors import SingularMatrix
from pullback.ir.interpreter import interpret
from pullback.ir.ops import OPS, new_builder
from pullback.ir.types import TensorType, dtype_of

Array = np.ndarray[Any, Any]

SIZES = (1, 2, 3, 7, 31, 33, 64, 70)
KINDS = {"lower": np.tril, "upper": np.triu, "diagonal": lambda x: x * np.eye(len(x))}
HOWS = {
    "host": How(),
    "128 bits": How(target=replace(host(), vector_bits=128, has_masks=False)),
}


def matrix(kind: str, n: int, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    made: Array = KINDS[kind](rng.normal(size=(n, n)))
    # small pivots: a triangle that pivoting would reorder
    np.fill_diagonal(made, rng.choice([-1.0, 1.0], n) * rng.uniform(0.2, 1, n))
    return made


def factored(x: Array, how: How = HOWS["host"]) -> tuple[Native, list[Array]]:
    b = new_builder()
    held = b.input(TensorType(dtype_of(x.dtype), x.shape), "x")
    code = native(b.finish("f", list(b.apply(OPS["lu"], (held,), {}))), how)
    return code, guarded([(code, [x])])[0]


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_factors_are_quotients(kind: str, how: str, dtype: Any) -> None:
    for n in SIZES:
        x = matrix(kind, n).astype(dtype)
        code, got = factored(x, HOWS[how])
        pivot = np.diagonal(x)
        wanted = x if kind != "lower" else np.tril(x / pivot, -1) + np.diag(pivot)
        assert_same_bits(got[:1], [(wanted + 0.0).astype(dtype)], n)
        assert_same_bits(got[1:3], [np.arange(n)] * 2, n)
        assert got[3] == 1
        assert_same_bits(got, interpret(code.graph, [x]), n)


def packs(x: Array, got: list[Array]) -> bool:
    """Whether factors multiply to the rows in their order, and rows were exchanged."""
    packed, _, order, _ = got
    lower, upper = np.tril(packed, -1) + np.eye(len(x)), np.triu(packed)
    np.testing.assert_allclose(lower @ upper, x[order], rtol=1e-12, atol=1e-12)
    return not np.array_equal(order, np.arange(len(x)))


def test_what_is_nearly_a_triangle_is_pivoted() -> None:
    for at in ((0, 30), (3, 4), (29, 30)):
        x = matrix("lower", 31)
        x[at] = 1e-3
        assert packs(x, factored(x)[1])
    x = matrix("upper", 31)
    x[30, 0] = x[5, 4] = 3.0
    assert packs(x, factored(x)[1])


def test_a_quotient_that_overflows_is_pivoted() -> None:
    x = matrix("lower", 20)
    x[3, 3], x[9, 3] = 1e-200, 1e200
    _, order = factored(x)[1][1:3]
    assert order[3] == 9


@pytest.mark.parametrize("value", [np.inf, np.nan])
@pytest.mark.parametrize("at", [(9, 3), (3, 3), (3, 9)])
def test_what_is_not_finite_goes_the_way_of_all_matrices(
    value: float, at: tuple[int, int]
) -> None:
    x = matrix("lower" if at[0] >= at[1] else "upper", 20)
    x[at] = value
    code, got = factored(x)
    with np.errstate(all="ignore"):
        wanted = interpret(code.graph, [x])
    assert_same_bits(got[1:], wanted[1:], at)
    assert (np.isfinite(got[0]) == np.isfinite(wanted[0])).all()


@pytest.mark.parametrize("kind", KINDS)
def test_systems_and_determinants_are_numpys(kind: str) -> None:
    def f(a: Any, y: Any) -> Any:
        sign, size = np.linalg.slogdet(a)
        return np.linalg.solve(a, y), np.linalg.inv(a), np.linalg.det(a), sign, size

    for n in (1, 2, 5, 40):
        rng = np.random.default_rng(n)
        a = matrix(kind, n) * 0.3 + np.diag(rng.uniform(1, 2, n))
        y = rng.normal(size=(n, 3))
        wanted = f(a, y)
        for got, want in zip(pb.function(f)(a, y), wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-12)


def test_a_batch_has_matrices_of_each_kind() -> None:
    n = 12
    x = np.stack([matrix(kind, n) for kind in KINDS])
    x = np.concatenate([x, np.random.default_rng(0).normal(size=(1, n, n))])
    _, got = factored(x)
    for k in range(len(x)):
        assert_same_bits([g[k] for g in got], factored(x[k])[1], k)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_systems(kind: str) -> None:
    """By differences in a direction that leaves the triangle, where rows do move."""
    n = 9
    rng = np.random.default_rng(3)
    a = matrix(kind, n) * 0.2 + np.diag(rng.uniform(1, 2, n))
    y, move = rng.normal(size=n), rng.normal(size=(n, n))

    def loss(np_: Any, x: Any) -> Any:
        return np_.sum(np_.linalg.solve(x, y) ** 2) + np_.linalg.slogdet(x)[1]

    value, slope = pb.value_and_grad(lambda x: loss(np, x))(a)
    np.testing.assert_allclose(value, loss(np, a), rtol=1e-12)
    step = 1e-6
    ends = [loss(np, a + by * move) for by in (step, -step)]
    wanted = (ends[0] - ends[1]) / (2 * step)
    np.testing.assert_allclose(np.sum(slope * move), wanted, rtol=1e-6)


def test_a_triangle_without_a_pivot_is_singular() -> None:
    f = pb.function(lambda a, y: np.linalg.solve(a, y))
    for kind in ("lower", "upper"):
        for at in (0, 4, 8):
            a = matrix(kind, 9)
            a[at, at] = 0
            if kind == "lower" and at < 8:
                a[at:, at] = 0  # else another row of the column is a pivot
            with pytest.raises(SingularMatrix, match=r"pivot \d is 0"):
                f(a, np.ones(9))
            assert pb.function(lambda x: np.linalg.det(x))(a) == 0
