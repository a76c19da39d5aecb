"""Kernels that treat every outer index alone run slice by slice, with the same bits."""

from typing import Any

import numpy as np
import pytest
from native import PLAIN, How, assert_same_bits, guarded, native
from programs import Maker
from pullback.codegen.lower import Lowered, lower
from pullback.codegen.show import show_schedule
from pullback.codegen.target import host
from pullback.ir.adjoint import grad_graph
from pullback.ir.graph import Graph, Value
from pullback.ir.passes import pipeline
from pullback.ir.sizes import evaluate_size, named
from pullback.ir.types import F64

BATCH, ROWS, SIDE = 7, 500, 24


def quadratics(m: Maker) -> list[Value]:
    """Squares of batches of vectors times matrices, folded over all axes in turn."""
    b, x, y = m.b, m.input(m.n, ROWS, SIDE), m.input(m.n, SIDE, SIDE)
    centre = m.input(SIDE)
    z = b.contract(
        b.sub(x, m.over(centre, x, 0, 1)), y, lhs="brs", rhs="bst", out="brt"
    )
    near = b.exp(b.mul(m.sum(b.square(z), 2), -0.01))
    return [m.sum(b.log(m.sum(near, 0))), m.sum(z, 1)]


def shifted(m: Maker) -> list[Value]:
    """A slice reads the one before it: it cannot be alone."""
    b, x, y = m.b, m.input(m.n, ROWS, SIDE), m.input(m.n, SIDE, SIDE)
    z = b.contract(x, y, lhs="brs", rhs="bst", out="brt")
    rest = m.n - 1
    size = (rest, ROWS, SIDE)
    step = (1, 1, 1)
    steps = b.sub(
        b.slice(z, start=(1, 0, 0), step=step, size=size),
        b.slice(z, start=(0, 0, 0), step=step, size=size),
    )
    return [m.sum(b.square(steps)), m.sum(z, 1, 2)]


def picked(m: Maker) -> list[Value]:
    """Integers are checked before what gathers by them, in or out of a loop."""
    b, x, y = m.b, m.input(m.n, ROWS, SIDE), m.input(m.n, SIDE, SIDE)
    ids = m.integers(SIDE)
    z = b.contract(x, b.take(y, ids, axis=2), lhs="brs", rhs="bst", out="brt")
    return [m.sum(b.square(b.take(b.tanh(z), ids, axis=2))), m.sum(z, 1)]


def graph_of(make: Any, n: Any) -> Graph:
    m = Maker(named(n) if isinstance(n, str) else n, F64)
    graph = m.b.finish(make.__name__, make(m))
    wrt = [k for k, x in enumerate(graph.inputs) if x.type.dtype.is_float]
    return grad_graph(graph, wrt)


def lowered(graph: Graph) -> Lowered:
    _, (made,) = lower([(pipeline.run(graph), "p")], host())
    return made


def arrays_of(graph: Graph) -> list[Any]:
    rng = np.random.default_rng(1)
    out: list[Any] = []
    for x in graph.inputs:
        shape = tuple(d if isinstance(d, int) else BATCH for d in x.type.shape)
        if x.type.dtype.is_float:
            out.append(rng.standard_normal(shape))
        else:
            out.append(rng.integers(-SIDE, SIDE, shape))
    return out


@pytest.mark.parametrize("make", [quadratics, shifted, picked])
def test_slices_have_the_bits_of_whole_kernels(make: Any) -> None:
    known, unknown = graph_of(make, BATCH), graph_of(make, "n")
    assert any(x.loop for x in lowered(known).launches)
    assert not any(x.loop for x in lowered(unknown).launches)
    arrays = arrays_of(known)
    hows = [(unknown, PLAIN), (known, PLAIN), (known, How(fuse=False)),
            (known, How(level=0))]  # fmt: skip
    wanted, *others = guarded([(native(g, how), arrays) for g, how in hows])
    for got in others:
        assert_same_bits(got, wanted, make.__name__)


def test_what_only_a_loop_uses_is_one_slice_long() -> None:
    whole = evaluate_size(lowered(graph_of(quadratics, "n")).workspace, {"n": BATCH})
    made = lowered(graph_of(quadratics, BATCH))
    slice_bytes = ROWS * SIDE * 8
    assert isinstance(made.workspace, int)
    assert made.workspace <= whole - (BATCH - 1) * slice_bytes
    assert f" in {BATCH} slices" in show_schedule(made)


def test_what_reads_a_neighbour_stays_out_of_the_loop() -> None:
    made = lowered(graph_of(shifted, BATCH))
    loops = [x.loop for x in made.launches]
    text = show_schedule(made).split("\n\n")[0]
    assert 0 in loops, text


def test_small_batches_are_not_cut() -> None:
    m = Maker(40, F64)
    b, x, y = m.b, m.input(40, 6, 6), m.input(40, 6, 6)
    z = b.contract(x, y, lhs="brs", rhs="bst", out="brt")
    made = lowered(m.b.finish("small", [m.sum(b.square(z), 1, 2)]))
    assert not any(x.loop for x in made.launches)
