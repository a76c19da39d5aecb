"""Folds of columns whose lanes stay in registers have the bits of those in memory."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from native import PLAIN, How, Native, assert_same_bits, guarded, native
from programs import Maker
from pullback.codegen.target import host
from pullback.ir.graph import Graph
from pullback.ir.sizes import named
from pullback.ir.types import F32, F64, DType

ROWS = (63, 64, 65, 95, 97, 1000)
COLUMNS = (9, 10, 16, 33)
GROUPS = "rows"  # the label of a loop over rows a group at a time


def folds(n: Any, columns: int, dtype: DType) -> Graph:
    """Two folds of columns, of what is stored and of more, for each of two matrices."""
    m = Maker(named(n) if isinstance(n, str) else n, dtype)
    b, x, y = m.b, m.input(2, m.n, columns), m.input(m.n)
    scale = m.input(columns)
    weight = m.over(y, x, 0, 2)
    made = b.mul(b.sub(x, m.over(scale, x, 0, 1)), weight)
    outputs = [b.sum(made, axes=(1,)), b.max(b.mul(made, x), axes=(1,)), made]
    return m.b.finish("folds", outputs)


def few(n: Any, columns: int, dtype: DType) -> Graph:
    """Folds of n by 3 rows: of a cheap body and of a dear one, with what is stored."""
    m = Maker(named(n) if isinstance(n, str) else n, dtype)
    b, x, y = m.b, m.input(2, m.n, 3, columns), m.input(columns)
    made = b.mul(x, m.over(y, x, 0, 1, 2))
    dear = b.exp(b.mul(b.sin(x), b.tanh(x)))
    every = [b.sum(made, axes=(1, 2)), b.max(made, axes=(1, 2))]
    one = [b.sum(dear, axes=(1,)), b.min(dear, axes=(2,)), dear]
    return m.b.finish("few", [*every, b.sum(x, axes=(1,)), *one])


def arrays_of(graph: Graph, n: int) -> list[Any]:
    rng = np.random.default_rng(n)
    shapes = [
        tuple(d if isinstance(d, int) else n for d in x.type.shape)
        for x in graph.inputs
    ]
    kinds = [x.type.dtype.numpy for x in graph.inputs]
    return [
        rng.standard_normal(s).astype(k) for s, k in zip(shapes, kinds, strict=True)
    ]


def grouped(code: Native) -> bool:
    return f"\n{GROUPS}" in code.text


@pytest.mark.parametrize("dtype", [F64, F32])
@pytest.mark.parametrize("columns", COLUMNS)
def test_lanes_in_registers_change_no_bit(columns: int, dtype: DType) -> None:
    unknown = native(folds("n", columns, dtype))
    hows = [PLAIN, How(threads=3), How(target=replace(host(), vector_bits=256))]
    for n in ROWS:
        graph = folds(n, columns, dtype)
        arrays = arrays_of(graph, n)
        codes = [unknown, *[native(graph, how) for how in hows]]
        wanted, *others = guarded([(code, arrays) for code in codes])
        for how, got in zip(hows, others, strict=True):
            assert_same_bits(got, wanted, f"{n} rows, {how}")


@pytest.mark.parametrize(
    ("rows", "columns", "held"),
    [(1000, 16, True), (63, 16, False), (20_000, 16, False), ("n", 16, False)],
)
def test_lanes_stay_in_registers_where_rows_stay_in_the_cache(
    rows: Any, columns: int, held: bool
) -> None:
    assert grouped(native(folds(rows, columns, F64))) is held


@pytest.mark.parametrize("dtype", [F64, F32])
@pytest.mark.parametrize("columns", [5, 9, 33])
def test_few_rows_have_the_bits_of_many(columns: int, dtype: DType) -> None:
    unknown = native(few("n", columns, dtype))
    hows = [PLAIN, How(threads=3), How(target=replace(host(), vector_bits=256)),
            How(target=replace(host(), vector_bits=128, has_masks=False))]  # fmt: skip
    for n in (2, 5, 10, 11, 31, 32, 33):
        graph = few(n, columns, dtype)
        arrays = arrays_of(graph, n)
        arrays[0][:, 0, 0, :2] = (-0.0, np.nan)
        arrays[0][:, :, :, 2] = -0.0
        codes = [unknown, *[native(graph, how) for how in hows]]
        wanted, *others = guarded([(code, arrays) for code in codes])
        for how, got in zip(hows, others, strict=True):
            assert_same_bits(got, wanted, f"{n} rows, {how}")
