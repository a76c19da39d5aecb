"""Values of short rows lie as long columns, with the same bits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from native import PLAIN, How, assert_same_bits, guarded, native
from programs import Maker
from pullback.codegen.lower import Lowered, lower
from pullback.codegen.rows import RowPlan
from pullback.codegen.show import show_schedule
from pullback.codegen.target import host
from pullback.ir.adjoint import grad_graph
from pullback.ir.graph import Graph, Value
from pullback.ir.passes import pipeline
from pullback.ir.sizes import named
from pullback.ir.types import F32, F64, DType

ROWS = 200
BATCH = 3


class RowsMaker(Maker):
    """A maker of programs over rows of one length."""

    side = 10


def mixed(m: RowsMaker) -> list[Value]:
    """Distances to centres by a matrix each; folds along rows and over them."""
    b, side = m.b, m.side
    x, centres = m.input(m.n, side), m.input(BATCH, side)
    y, scale = m.input(BATCH, side, side), m.input(BATCH, side)
    shape = (BATCH, m.n, side)
    rows = b.broadcast(b.expand_dims(x, axes=(0,)), shape)
    apart = b.sub(rows, b.broadcast(b.expand_dims(centres, axes=(1,)), shape))
    z = b.contract(apart, y, lhs="brs", rhs="bts", out="brt")
    z = b.fma(m.over(scale, z, 1), apart, z)
    weight = b.exp(b.mul(m.sum(b.square(z), 2), -0.01))
    far = b.max(apart, axes=(1,))
    return [m.sum(b.log(m.sum(weight, 0))), far, m.sum(b.mul(z, apart), 1)]


def written(m: RowsMaker) -> list[Value]:
    """What is multiplied is a result too, which lies in rows."""
    b, side = m.b, m.side
    x, y = m.input(BATCH, m.n, side), m.input(BATCH, side, side)
    made = b.tanh(x)
    z = b.contract(made, y, lhs="brs", rhs="bst", out="brt")
    return [made, m.sum(b.square(z), 2), m.sum(z, 1)]


def scanned(m: RowsMaker) -> list[Value]:
    """A running sum over the rows wants them as they are."""
    b, side = m.b, m.side
    x, y = m.input(BATCH, m.n, side), m.input(BATCH, side, side)
    z = b.contract(b.exp(x), y, lhs="brs", rhs="bst", out="brt")
    return [m.sum(b.square(z), 2), b.cumsum(z, axis=1, reverse=False)]


PROGRAMS = [mixed, written, scanned]


def graph_of(make: Any, n: Any, side: int, dtype: DType) -> Graph:
    """The program; of a mixture its gradient too."""
    m = RowsMaker(named(n) if isinstance(n, str) else n, dtype)
    m.side = side
    graph = m.b.finish(make.__name__, make(m))
    if make is mixed:
        return grad_graph(graph, range(1, len(graph.inputs)))
    return graph


def arrays_of(graph: Graph) -> list[Any]:
    rng = np.random.default_rng(2)
    out = []
    for x in graph.inputs:
        shape = tuple(d if isinstance(d, int) else ROWS for d in x.type.shape)
        array = rng.standard_normal(shape).astype(x.type.dtype.numpy)
        array.flat[3] = -0.0
        out.append(array)
    return out


def lowered(graph: Graph, wide: bool = True) -> Lowered:
    target = replace(host(), vector_bits=512 if wide else 128)
    _, (made,) = lower([(pipeline.run(graph), "p")], target)
    return made


@pytest.mark.parametrize("dtype", [F64, F32])
@pytest.mark.parametrize("side", [2, 3, 10, 17])
@pytest.mark.parametrize("make", PROGRAMS)
def test_turned_rows_have_the_bits_of_rows(make: Any, side: int, dtype: DType) -> None:
    hows = [PLAIN, How(fuse=False), How(level=0), How(threads=3),
            How(target=replace(host(), vector_bits=256, has_masks=False))]  # fmt: skip
    known = graph_of(make, ROWS, side, dtype)
    unknown = graph_of(make, "n", side, dtype)
    arrays = arrays_of(known)
    codes = [native(unknown), *[native(known, how) for how in hows]]
    wanted, *others = guarded([(code, arrays) for code in codes])
    for how, got in zip(hows, others, strict=True):
        assert_same_bits(got, wanted, f"{make.__name__}, {how}")


@pytest.mark.parametrize("side", [2, 10])
def test_a_mixture_is_computed_in_columns(side: int) -> None:
    made = lowered(graph_of(mixed, ROWS, side, F64))
    text = show_schedule(made)
    # the points are turned once, and no loop runs along a short row
    turns = [x for x in made.launches if isinstance(made.plans[x.kernel], RowPlan)]
    assert len(turns) == 1
    assert f"loop [{side}, {ROWS}]" in text or f"loop [{BATCH}, {side}, {ROWS}]" in text
    assert f"{ROWS}, {side}]" not in text


def test_what_fills_its_vectors_stays_as_it_is() -> None:
    graph = graph_of(mixed, ROWS, 10, F64)
    assert f"[{ROWS}, 10]" in show_schedule(lowered(graph, wide=False))
    even = show_schedule(lowered(graph_of(mixed, ROWS, 8, F64)))
    assert f"{ROWS}, 8]" in even


def test_only_what_all_can_read_in_columns_is_turned() -> None:
    text = show_schedule(lowered(graph_of(written, ROWS, 10, F64)))
    assert text.count(f"loop [{ROWS}, 10]") == 1  # what is a result
    assert f"loop [10, {ROWS}]" in text  # the folds of the product
    text = show_schedule(lowered(graph_of(scanned, ROWS, 10, F64)))
    assert f"10, {ROWS}]" not in text
