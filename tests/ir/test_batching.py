"""Batching of every op: the results of a batch are the stacked results of its rows."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from op_samples import named_samples, params_of, sample_arrays, type_of, types_of
from pullback.ir.batching import batch, batch_graph
from pullback.ir.builder import Builder
from pullback.ir.errors import GraphError, IndexOutOfRange, OpTypeError
from pullback.ir.interpreter import interpret
from pullback.ir.ops import OPS
from pullback.ir.primitive import DERIVED, as_results
from pullback.ir.sizes import named
from pullback.ir.types import F64
from pullback.ir.verify import verify

SAMPLES = [pytest.param(op, sample, id=name) for name, op, sample in named_samples()]


def one(op, types, params):
    b = Builder(OPS)
    inputs = [b.input(t, f"x{k}") for k, t in enumerate(types)]
    return b.finish("f", b.apply(op, tuple(inputs), params))


def check(op, sample, size, rows, symbolic):
    rng = np.random.default_rng(size + rows)
    drawn = [sample_arrays(op, sample, size, np.float64, rng) for _ in range(rows + 1)]
    if drawn[0] is None:
        return
    params = drawn[0][1]
    graph = one(op, [type_of(a) for a in drawn[0][0]], params)
    count = len(graph.inputs)
    for has in product([False, True], repeat=count):
        if not any(has):
            continue
        arrays = [
            np.stack([d[0][k] for d in drawn[:rows]])
            if with_axis and rows
            else np.empty((0, *a.shape), a.dtype)
            if with_axis
            else a
            for k, (with_axis, a) in enumerate(zip(has, drawn[-1][0], strict=True))
        ]
        if op.name == "lu_solve" and any(has[:3]) and not all(has[:3]):
            continue  # a matrix and its factors come together
        extent = named("rows") if symbolic else rows
        made = batch_graph(graph, has, extent)
        verify(made, "batch")
        got = interpret(made, arrays)
        with np.errstate(all="ignore"):
            wanted = [
                as_results(
                    op.evaluate(
                        *[a[r] if h else a for h, a in zip(has, arrays, strict=True)],
                        **params,
                    )
                )
                for r in range(rows)
            ]
        for k, found in enumerate(got):
            assert found.shape == (rows, *graph.outputs[k].type.shape)
            if rows:
                np.testing.assert_allclose(
                    found, np.stack([w[k] for w in wanted]), rtol=1e-12, atol=1e-12
                )


@pytest.mark.parametrize("rows", [0, 1, 3])
@pytest.mark.parametrize("size", [0, 1, 4])
@pytest.mark.parametrize(("op", "sample"), SAMPLES)
def test_a_batch_is_its_rows(op, sample, size, rows):
    check(op, sample, size, rows, symbolic=False)


@pytest.mark.parametrize(("op", "sample"), SAMPLES)
def test_the_size_of_a_batch_may_be_symbolic(op, sample):
    check(op, sample, 4, 3, symbolic=True)


@pytest.mark.parametrize(("op", "sample"), SAMPLES)
def test_all_sizes_may_be_symbolic(op, sample):
    n = named("n")
    graph = one(op, types_of(sample, n, F64), params_of(sample, n))
    graph.sizes[:] = ["n"]
    made = batch_graph(graph, [True] * len(graph.inputs), named("rows"))
    for y, wide in zip(graph.outputs, made.outputs, strict=True):
        assert wide.type == y.type.with_shape((named("rows"), *y.type.shape))


@pytest.mark.parametrize("index", [4, -5])
def test_an_index_outside_raises_in_any_row(index):
    b = Builder(OPS)
    x = b.input(type_of(np.ones(4)), "x")
    at = b.input(type_of(np.ones(2, int)), "at")
    graph = b.finish("f", [b.take(x, at, axis=0)])
    made = batch_graph(graph, [True, True], 3)
    places = np.zeros((3, 2), int)
    interpret(made, [np.ones((3, 4)), places])
    places[1, 1] = index
    with pytest.raises(IndexOutOfRange, match="out of range for axis 0 with size 12"):
        interpret(made, [np.ones((3, 4)), places])


def test_a_rule_that_does_not_fit_is_named():
    table = {
        **OPS,
        "reshape": replace(OPS["reshape"], batch=lambda b, n, has, x, **p: x),
    }
    b = Builder(table)
    x = b.input(type_of(np.ones((2, 3))), "x")
    graph = b.finish("f", [b.reshape(x, shape=(6,))])
    said = r"batching rule of reshape: f64\[4,2,3\] for f64\[4,6\]"
    with pytest.raises(OpTypeError, match=said):
        batch_graph(graph, [True], 4, table=table)
    with pytest.raises(
        OpTypeError, match=r"batch: f64\[2,3\] is not 4 times f64\[2,3\]"
    ):
        batch(b, graph.nodes, {x: x}, 4)
    bare = {**OPS, "reshape": replace(OPS["reshape"], batch=DERIVED)}
    b = Builder(bare)
    x = b.input(type_of(np.ones((2, 3))), "x")
    graph = b.finish("f", [b.reshape(x, shape=(6,))])
    with pytest.raises(
        GraphError, match="reshape has no batching rule, and none follo"
    ):
        batch_graph(graph, [True], 4, table=bare)


def test_what_does_not_depend_on_the_batch_stays():
    b = Builder(OPS)
    x, y = (b.input(type_of(np.ones(3)), name) for name in "xy")
    once = b.sin(y)
    graph = b.finish("f", [b.mul(x, once), once])
    made = batch_graph(graph, [True, False], 4)
    assert graph.nodes[0] in made.nodes
    assert [str(z.type) for z in made.outputs] == ["f64[4,3]", "f64[4,3]"]
