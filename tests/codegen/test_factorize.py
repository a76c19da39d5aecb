"""Native factorisations: sizes about the blocks, the law of the bits, failures."""

import importlib
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pullback as pb
import pytest
from compare import assert_close
from native import How, Native, assert_same_bits, natives
from pullback.codegen.plan_text import plan_text
from pullback.codegen.show import show_schedule
from pullback.codegen.target import host
from pullback.ir.errors import (
    GraphError,
    IndexOutOfRange,
    NotPositiveDefinite,
    SingularMatrix,
)
from pullback.ir.graph import Graph
from pullback.ir.interpreter import interpret
from pullback.ir.ops import OPS, new_builder
from pullback.ir.types import TensorType, dtype_of, parse_type
from pullback.runtime.aot import compile_ahead
from pullback.runtime.compile import compile_graph

sys.path.append(str(Path(__file__).parents[1] / "ir"))

from op_samples import sample_arrays

Arrays = list[np.ndarray[Any, Any]]
KINDS = ("cholesky", "lu", "triangular_solve", "lu_solve")
SIZES = (0, 1, 2, 3, 7, 31, 33, 63, 64, 65, 129)


def call(name: str, arrays: Arrays, **params: Any) -> Graph:
    """One op applied to inputs of these types."""
    b = new_builder()
    xs = [
        b.input(TensorType(dtype_of(a.dtype), a.shape), f"x{k}")
        for k, a in enumerate(arrays)
    ]
    return b.finish(name, list(b.apply(OPS[name], tuple(xs), params)))


def calls(name: str, dtype: str) -> list[tuple[Graph, Arrays]]:
    rng = np.random.default_rng(11)
    found = []
    for sample in OPS[name].samples:
        for size in SIZES:
            made = sample_arrays(OPS[name], sample, size, dtype, rng)
            assert made is not None
            found.append((call(name, made[0], **made[1]), made[0]))
    return found


WIDE = host()
NARROW = How(target=replace(WIDE, vector_bits=128, has_masks=False))
MIDDLE = How(target=replace(WIDE, vector_bits=256, has_masks=False))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", KINDS)
def test_sizes_about_the_blocks(name: str, dtype: str) -> None:
    found = calls(name, dtype)
    codes = natives([graph for graph, _ in found])
    for code, (graph, arrays) in zip(codes, found, strict=True):
        shapes = [a.shape for a in arrays]
        wanted = interpret(graph, arrays)
        assert_close(code(arrays), wanted, (name, shapes), 64.0, 8.0)


@pytest.mark.parametrize("how", [NARROW, MIDDLE], ids=str)
@pytest.mark.parametrize("name", KINDS)
def test_the_width_of_vectors_changes_no_bit(name: str, how: How) -> None:
    found = calls(name, "float64")
    graphs = [graph for graph, _ in found]
    pairs = zip(natives(graphs), natives(graphs, how), found, strict=True)
    for code, other, (_, arrays) in pairs:
        assert_same_bits(other(arrays), code(arrays), (name, arrays[0].shape))


def one(name: str, arrays: Arrays, **params: Any) -> Native:
    return natives([call(name, arrays, **params)])[0]


def test_a_leading_block_has_the_factor_of_the_block() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((200, 200))
    x = x @ x.T + 200 * np.eye(200)
    (whole,) = one("cholesky", [x])([x])
    for n in (3, 64, 65, 130):
        part = x[:n, :n].copy()
        (factor,) = one("cholesky", [part])([part])
        assert_same_bits([whole[:n, :n].copy()], [factor], n)


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("transpose", [False, True])
def test_a_right_side_alone_has_the_bits_it_has_among_others(
    lower: bool, transpose: bool
) -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((150, 150)) * 0.05 + np.eye(150)
    y = rng.standard_normal((150, 70))
    params = {"lower": lower, "transpose": transpose, "unit": False}
    (whole,) = one("triangular_solve", [x, y], **params)([x, y])
    for k in (0, 31, 69):
        alone = y[:, k : k + 1].copy()
        (got,) = one("triangular_solve", [x, alone], **params)([x, alone])
        assert_same_bits([whole[:, k : k + 1].copy()], [got], k)


def test_rows_are_exchanged_as_the_largest_element_says() -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((97, 97))
    packed, pivots, order, sign = one("lu", [x])([x])
    lower = np.tril(packed, -1) + np.eye(97)
    np.testing.assert_allclose(lower @ np.triu(packed), x[order], atol=1e-12)
    assert np.all(np.abs(np.tril(packed, -1)) <= 1)
    rows = list(range(97))
    for k, p in enumerate(pivots):
        rows[k], rows[p] = rows[p], rows[k]
    assert rows == order.tolist()
    assert sign == np.linalg.det(np.eye(97)[order])


def test_a_column_of_zeros_is_a_pivot_of_zero() -> None:
    x = np.array([[0.0, 1.0, 2.0], [0.0, 3.0, 4.0], [0.0, 5.0, 6.0]])
    packed, *_ = one("lu", [x])([x])
    assert packed[0, 0] == 0
    assert np.all(np.isfinite(packed))


def test_a_nan_is_a_pivot_before_any_number() -> None:
    x = np.array([[0.0, 1.0], [np.nan, 2.0]])
    packed, pivots, *_ = one("lu", [x])([x])
    assert pivots.tolist() == [1, 1]
    assert np.isnan(packed[0, 0])


# --- failures -------------------------------------------------------------------------


def run(name: str, arrays: Arrays, **params: Any) -> Arrays:
    return compile_graph(call(name, arrays, **params)).run(arrays)


@pytest.mark.parametrize("minor", [1, 2, 64, 65, 100])
@pytest.mark.parametrize("bad", [-1.0, 0.0, np.nan])
def test_the_minor_that_is_not_positive(minor: int, bad: float) -> None:
    x = np.eye(100) * 4
    x[minor - 1, minor - 1] = bad
    with pytest.raises(NotPositiveDefinite, match=f"minor of order {minor} is not"):
        run("cholesky", [x])
    with pytest.raises(NotPositiveDefinite, match=f"minor of order {minor} is not"):
        interpret(call("cholesky", [x]), [x])


def test_a_nan_below_the_diagonal_is_not_positive_definite() -> None:
    x = np.eye(70)
    x[69, 3] = np.nan
    with pytest.raises(NotPositiveDefinite, match="minor of order 70 is not"):
        run("cholesky", [x])


def test_what_is_above_the_diagonal_is_not_read() -> None:
    x = np.where(np.tri(70, dtype=bool), np.eye(70), np.nan)
    (factor,) = run("cholesky", [x])
    assert np.array_equal(factor, np.eye(70))


def test_the_matrix_of_a_batch_that_fails() -> None:
    x = np.stack([np.eye(3)] * 6).reshape(2, 3, 3, 3)
    x[1, 1, 2, 2] = -1
    with pytest.raises(NotPositiveDefinite, match="matrix 4 of the batch is not"):
        run("cholesky", [x])


@pytest.mark.parametrize("lower", [False, True])
def test_a_zero_on_the_diagonal_is_singular(lower: bool) -> None:
    x, y = np.eye(5) + np.ones((5, 5)), np.ones((5, 2))
    x[3, 3] = 0
    params = {"lower": lower, "transpose": False}
    with pytest.raises(SingularMatrix, match="the matrix is singular: pivot 3 is 0"):
        run("triangular_solve", [x, y], unit=False, **params)
    with pytest.raises(SingularMatrix, match="pivot 3 is 0"):
        interpret(call("triangular_solve", [x, y], unit=False, **params), [x, y])
    (got,) = run("triangular_solve", [x, y], unit=True, **params)
    assert np.all(np.isfinite(got))


def test_an_error_has_the_types_and_the_line() -> None:
    f = pb.function(lambda x: np.linalg.cholesky(x))
    with pytest.raises(NotPositiveDefinite) as caught:
        f(-np.eye(3))
    first, operands, where, source = str(caught.value).split("\n")
    assert first == (
        "cholesky: the matrix is not positive definite: "
        "its leading minor of order 1 is not positive"
    )
    assert operands == "  operands: a f64[3,3]"
    assert re.search(r"traced at: .*test_factorize\.py:\d+ in ", where)
    assert "np.linalg.cholesky(x)" in source


def test_pivots_out_of_range_are_refused() -> None:
    x, y = np.eye(3), np.ones((3, 1))
    for bad in (3, -1):
        pivots = np.array([0, bad, 2])
        with pytest.raises(IndexOutOfRange, match=f"lu_solve: index {bad} is out of"):
            run("lu_solve", [x, x, pivots, y], transpose=False)


def test_a_kind_without_a_kernel() -> None:
    strange = replace(OPS["cholesky"], form=replace(OPS["cholesky"].form, kind="qr"))
    b = new_builder()
    x = b.input(TensorType(dtype_of("float64"), (2, 2)), "x")
    graph = b.finish("strange", list(b.apply(strange, (x,), {})))
    with pytest.raises(GraphError, match="no kernel factorises by 'qr'"):
        natives([graph])


# --- around the kernels ---------------------------------------------------------------


def test_a_factorisation_is_shown() -> None:
    x = np.eye(4)
    lowered = one("cholesky", [x]).lowered
    assert "k0: cholesky f64, batch 1, n 4, m 4" in show_schedule(lowered).splitlines()
    assert plan_text(lowered.plans[0]) == "cholesky of 1 matrices of 4 rows"


def test_ahead_of_time_the_errors_are_those_of_numpy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    b = new_builder()
    b.sizes += ["batch", "n"]
    x = b.input(parse_type("f64[batch,n,n]"), "x")
    y = b.input(parse_type("f64[batch,n,1]"), "y")
    factor = b.cholesky(x)
    solved = b.triangular_solve(factor, y, lower=True, transpose=False, unit=False)
    packed, pivots, _, _ = b.lu(b.sub(x, 1.0))
    other = b.lu_solve(b.sub(x, 1.0), packed, pivots, y, transpose=False)
    graph = b.finish("factored", [solved, other], ["solved", "other"])
    compile_ahead(graph, None, "factored", tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    module = importlib.import_module("factored")
    rng = np.random.default_rng(9)
    x_, y_ = np.stack([np.eye(70) * 3] * 2), rng.standard_normal((2, 70, 1))
    solved_, other_ = module.factored(x_, y_)
    np.testing.assert_allclose(solved_, y_ / 3**0.5, rtol=1e-15)
    np.testing.assert_allclose(other_, np.linalg.solve(x_ - 1, y_), rtol=1e-12)
    bad = x_.copy()
    bad[1, 68, 68] = -1
    with pytest.raises(np.linalg.LinAlgError, match="matrix 1 of a batch is not posit"):
        module.factored(bad, y_)
    single = np.full((1, 2, 2), 0.0) + np.eye(2) * 2
    with pytest.raises(np.linalg.LinAlgError, match="singular: pivot 1 is 0"):
        module.factored(single, np.ones((1, 2, 1)))
