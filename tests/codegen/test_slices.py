"""Kernels that treat every outer index alone run slice by slice, with the same bits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from native import PLAIN, How, assert_same_bits, guarded, native
from programs import Maker
from pullback.codegen import again
from pullback.codegen import lower as lower_module
from pullback.codegen.lower import Lowered, lower
from pullback.codegen.nest import plan_cost
from pullback.codegen.plan import KernelPlan
from pullback.codegen.show import show_schedule
from pullback.codegen.target import host
from pullback.codegen.whole import ContractPlan
from pullback.ir.adjoint import grad_graph
from pullback.ir.graph import Graph, Value
from pullback.ir.passes import pipeline
from pullback.ir.sizes import evaluate_size, named
from pullback.ir.types import F64

BATCH, ROWS, SIDE = 9, 500, 24
NEAR = 5400  # rows whose products are too large to stay between loops


NARROW = How(target=replace(host(), vector_bits=256, has_masks=False))


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


def near(m: Maker) -> list[Value]:
    """Distances of rows to centres by a matrix each, weighed by all of a row's."""
    b, x, centres = m.b, m.input(NEAR, SIDE), m.input(m.n, SIDE)
    y = m.input(m.n, SIDE, SIDE)
    shape = (m.n, NEAR, SIDE)
    rows = b.broadcast(b.expand_dims(x, axes=(0,)), shape)
    apart = b.sub(rows, b.broadcast(b.expand_dims(centres, axes=(1,)), shape))
    z = b.contract(apart, y, lhs="brs", rhs="bst", out="brt")
    weight = b.exp(b.mul(m.sum(b.square(z), 2), -0.01))
    return [m.sum(b.log(m.sum(weight, 0)))]


def between(m: Maker) -> list[Value]:
    """The same with the axis of the centres between the other two."""
    b, x, centres = m.b, m.input(ROWS, SIDE), m.input(m.n, SIDE)
    y = m.input(m.n, SIDE, SIDE)
    shape = (ROWS, m.n, SIDE)
    rows = b.broadcast(b.expand_dims(x, axes=(1,)), shape)
    apart = b.sub(rows, b.broadcast(b.expand_dims(centres, axes=(0,)), shape))
    z = b.contract(apart, y, lhs="rbs", rhs="bst", out="rbt")
    weight = b.exp(b.mul(m.sum(b.square(z), 2), -0.01))
    return [m.sum(b.log(m.sum(weight, 1))), m.sum(z, 0), b.exp(z)]


def graph_of(make: Any, n: Any, skipped: int | None = None) -> Graph:
    m = Maker(named(n) if isinstance(n, str) else n, F64)
    graph = m.b.finish(make.__name__, make(m))
    wrt = [k for k, x in enumerate(graph.inputs) if x.type.dtype.is_float]
    return grad_graph(graph, [k for k in wrt if k != skipped])


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


@pytest.mark.parametrize("make", [quadratics, shifted, picked, near, between])
def test_slices_have_the_bits_of_whole_kernels(make: Any) -> None:
    known, unknown = graph_of(make, BATCH), graph_of(make, "n")
    assert any(x.loop for x in lowered(known).launches)
    assert not any(x.loop for x in lowered(unknown).launches)
    arrays = arrays_of(known)
    hows = [(unknown, PLAIN), (known, PLAIN), (known, How(fuse=False)),
            (known, How(level=0)), (known, How(threads=3)),
            (known, NARROW)]  # fmt: skip
    wanted, *others = guarded([(native(g, how), arrays) for g, how in hows])
    for got in others:
        assert_same_bits(got, wanted, make.__name__)


def test_what_only_a_loop_uses_is_one_slice_long() -> None:
    # of the three values of that size the first loop leaves two to the second; what the
    # third is made of is the second loop's own
    made = lowered(graph_of(quadratics, BATCH))
    count = dict(zip(made.arena.piece, made.arena.count, strict=True))
    assert count[BATCH * ROWS * SIDE * 8] == 2
    assert count[ROWS * SIDE * 8] == 1
    assert f" in {BATCH} slices" in show_schedule(made)


def test_loops_make_again_what_is_cheap() -> None:
    # the gradient by the rows would fold over slices: what it folds is there as a whole
    made = lowered(graph_of(near, BATCH, skipped=0))
    differences = [
        x
        for x in made.launches
        if isinstance(plan := made.plans[x.kernel], KernelPlan)
        and plan.space == (NEAR, SIDE)
        and not plan.reduced
        and plan_cost(plan) == 3
    ]
    assert [x.turns for x in differences] == [BATCH, BATCH]
    products = [x for x in made.launches if x.kernel == _first_product(made)]
    assert [x.turns for x in products] == [BATCH, BATCH]
    # no value of all rows for all centres lies in memory
    assert isinstance(made.workspace, int)
    assert made.workspace < 5 * NEAR * SIDE * 8


def test_an_axis_between_others_is_sliced_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(again, "LEAST_PRODUCT", 1 << 30)  # products are kept
    made = lowered(graph_of(between, BATCH, skipped=0))
    whole = evaluate_size(
        lowered(graph_of(between, "n", skipped=0)).workspace, {"n": BATCH}
    )
    text = show_schedule(made)
    # what the loop alone uses is one slice; what is read later lies as it did
    assert f"contract f64, batch 0\n  m: {ROWS}, strides lhs {SIDE}," in text
    assert f"out {BATCH * SIDE}\n" in text
    assert " in steps of " in text
    slice_bytes = ROWS * SIDE * 8
    assert isinstance(made.workspace, int)
    assert made.workspace <= whole - (BATCH - 1) * slice_bytes


def _first_product(made: Lowered) -> int:
    return next(
        x.kernel
        for x in made.launches
        if isinstance(made.plans[x.kernel], ContractPlan)
    )


def test_a_program_that_would_be_too_long_has_no_loops(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is made again must not turn straight calls into a table."""
    looped = lowered(graph_of(near, BATCH))
    monkeypatch.setattr(lower_module, "STRAIGHT", len(looped.launches))
    assert any(x.loop for x in lowered(graph_of(near, BATCH)).launches)
    monkeypatch.setattr(lower_module, "STRAIGHT", len(looped.launches) - 1)
    assert not any(x.loop for x in lowered(graph_of(near, BATCH)).launches)


def test_a_product_that_stays_in_the_cache_is_made_once() -> None:
    m = Maker(BATCH, F64)
    b, x, y = m.b, m.input(ROWS, SIDE), m.input(BATCH, SIDE, SIDE)
    rows = b.broadcast(b.expand_dims(x, axes=(0,)), (BATCH, ROWS, SIDE))
    z = b.contract(b.exp(rows), y, lhs="brs", rhs="bst", out="brt")
    near = b.exp(m.sum(b.square(z), 2))
    outputs = [m.sum(b.log(m.sum(near, 0)))]
    made = lowered(grad_graph(m.b.finish("once", outputs), [0, 1]))
    first = _first_product(made)
    assert len([x for x in made.launches if x.kernel == first]) == 1


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
