"""Rows that are alike but near diagonals are copied, with the same bits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from native import PLAIN, How, assert_same_bits, guarded, native
from programs import Maker
from pullback.codegen.band import Band, find_band, windows
from pullback.codegen.collapse import collapse
from pullback.codegen.lower import lower
from pullback.codegen.plan import KernelPlan
from pullback.codegen.target import host
from pullback.ir.graph import Graph, Value
from pullback.ir.sizes import named
from pullback.ir.types import BOOL, F32, F64, I64, DType, TensorType

ROWS = 41


def on(m: Maker, shape: Any, offset: int) -> Value:
    """Whether the column is the row plus an offset."""
    places = TensorType(I64, shape)
    at = len(shape) - 2
    down = m.b.op("iota", axis=at, type=places)
    across = m.b.op("iota", axis=at + 1, type=places)
    return m.b.eq(down, m.b.sub(across, offset)) if offset else m.b.eq(across, down)


def along(m: Maker, shape: Any, offset: int) -> Value:
    """The same of what is shifted, so that the comparison is of moved columns."""
    made: Value = m.b.cast(on(m, (*shape[:-1], shape[-1] + 3), 0), dtype=m.dtype)
    start = (0,) * (len(shape) - 1)
    return m.b.slice(
        made, start=(*start, offset), step=(1,) * len(shape), size=tuple(shape)
    )


def tridiagonal(m: Maker) -> list[Value]:
    """Three diagonals of products: what is off them is 0 times a number."""
    b, x = m.b, m.input(m.n)
    shape = (ROWS, m.n)
    total = b.mul(along(m, shape, 0), m.over(b.exp(x), on(m, shape, 0), 0))
    for offset in (1, 2):
        factor = b.mul(m.over(x, total, 0), float(offset) - 0.5)
        total = b.add(total, b.mul(along(m, shape, offset), factor))
    return [total, b.add(total, m.over(x, total, 0))]


def chosen(m: Maker) -> list[Value]:
    """A choice on the diagonal, its negation, and rows of a stack of matrices."""
    b, x = m.b, m.input(5, m.n)
    shape = (5, ROWS, m.n)
    mask = on(m, shape, 0)
    wide = m.over(x, mask, 1)
    return [b.select(mask, b.exp(wide), wide), b.logical_not(mask)]


MAKES = [tridiagonal, chosen]


def graph_of(make: Any, n: Any, dtype: DType = F64) -> Graph:
    m = Maker(named(n) if isinstance(n, str) else n, dtype)
    return m.b.finish(make.__name__, make(m))


def bands(graph: Graph) -> list[Band | None]:
    _, (made,) = lower([(graph, "p")], host())
    return [find_band(collapse(x)) for x in made.plans if isinstance(x, KernelPlan)]


def arrays_of(graph: Graph, n: int) -> list[Any]:
    rng = np.random.default_rng(n)
    out = []
    for x in graph.inputs:
        shape = tuple(d if isinstance(d, int) else n for d in x.type.shape)
        held = rng.standard_normal(shape).astype(x.type.dtype.numpy)
        # what is 0 times these is not 0 everywhere off the diagonals
        flat = held.reshape(-1)
        flat[:: max(n // 5, 1)] = [np.inf, -np.inf, np.nan, -0.0, 1e308][n % 5]
        out.append(held)
    return out


@pytest.mark.filterwarnings("ignore:overflow encountered in cast:RuntimeWarning")
@pytest.mark.parametrize("dtype", [F64, F32])
@pytest.mark.parametrize("make", MAKES)
def test_rows_that_are_copied_have_the_same_bits(make: Any, dtype: DType) -> None:
    unknown = graph_of(make, "n", dtype)
    plain = native(unknown, How(target=replace(host(), has_masks=False)))
    for n in (16, 17, 39, 41, 43, 100, 2048, 2049):
        graph = graph_of(make, n, dtype)
        arrays = arrays_of(graph, n)
        hows = [PLAIN, How(threads=3), How(fuse=False), How(level=0)]
        hows.append(How(target=replace(host(), vector_bits=256)))
        codes = [plain, *[native(graph, how) for how in hows]]
        wanted, *others = guarded([(code, arrays) for code in codes])
        for how, got in zip(hows, others, strict=True):
            assert_same_bits(got, wanted, f"{make.__name__} at {n}, {how}")


def test_diagonals_are_found() -> None:
    assert bands(graph_of(tridiagonal, 100))[-1:] == [Band(0, (-2, -1, 0))]
    assert bands(graph_of(chosen, 100)) == [Band(1, (0,))]
    assert bands(graph_of(chosen, 100, F32)) == [Band(1, (0,))]


def below(m: Maker) -> Value:
    places = TensorType(I64, (ROWS, m.n))
    down, across = (m.b.op("iota", axis=k, type=places) for k in (0, 1))
    out: Value = m.b.cast(m.b.lt(across, down), dtype=F64)
    return out


def numbered(m: Maker) -> Value:
    places = TensorType(F64, (ROWS, m.n))
    mask = m.b.cast(on(m, (ROWS, m.n), 0), dtype=F64)
    out: Value = m.b.add(mask, m.b.op("iota", axis=0, type=places))
    return out


def read_by_row(m: Maker) -> Value:
    x = m.input(ROWS)
    mask = m.b.cast(on(m, (ROWS, m.n), 0), dtype=F64)
    out: Value = m.b.add(mask, m.over(x, mask, 1))
    return out


@pytest.mark.parametrize("make", [below, numbered, read_by_row])
def test_rows_that_differ_everywhere_are_computed(make: Any) -> None:
    m = Maker(100, F64)
    assert bands(m.b.finish("rows", [make(m)])) == [None]


def test_vectors_cover_the_diagonals() -> None:
    assert windows((-1, 0, 1), 8) == [-1]
    assert windows((-20, -1, 0, 7, 8), 8) == [-20, -1, 7]


def test_masks_are_stored_as_bytes() -> None:
    m = Maker(50, F64)
    graph = m.b.finish("mask", [on(m, (ROWS, 50), 1)])
    assert graph.outputs[0].type.dtype is BOOL
    (got,) = native(graph).guarded([])
    np.testing.assert_array_equal(got, np.eye(ROWS, 50, 1, dtype=bool))
