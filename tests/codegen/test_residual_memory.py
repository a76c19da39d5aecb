"""What late kernels compute again, masks stored early, and orders: memory and bits."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from native import How, guarded, native
from pullback.codegen import apart, residual
from pullback.codegen.lower import Lowered, lower
from pullback.codegen.show import show_schedule
from pullback.codegen.target import host
from pullback.ir.adjoint import grad_graph
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.ops import new_builder
from pullback.ir.passes import pipeline
from pullback.ir.types import F64, TensorType

ROWS, SIDE = 96, 48
SHAPE = (ROWS, SIDE)
SEEDS = range(16)


@pytest.fixture(autouse=True)
def small_arrays_are_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residual, "LEAST", 1)
    monkeypatch.setattr(apart, "LARGE", 1)
    monkeypatch.setattr(apart, "LEAST", 1)


def along(b: Builder, column: Value) -> Value:
    return b.broadcast(b.expand_dims(column, axes=(1,)), SHAPE)


def softmax(b: Builder, x: Value, w: Value) -> Value:
    e = b.exp(b.sub(x, along(b, b.max(x, axes=(1,)))))
    return b.div(e, along(b, b.sum(e, axes=(1,))))


def normed(b: Builder, x: Value, w: Value) -> Value:
    low = b.sub(x, along(b, b.mul(b.sum(x, axes=(1,)), 1 / SIDE)))
    spread = b.mul(b.sum(b.square(low), axes=(1,)), 1 / SIDE)
    return b.div(low, along(b, b.sqrt(b.add(spread, 0.1))))


def layer(b: Builder, x: Value, w: Value) -> Value:
    y = b.add(b.contract(x, w, lhs="ik", rhs="kj", out="ij"), 0.05)
    return b.maximum(y, 0.0)


def leaky(b: Builder, x: Value, w: Value) -> Value:
    y = b.contract(x, w, lhs="ik", rhs="kj", out="ij")
    return b.select(b.gt(y, 0.0), y, b.mul(y, 0.1))


def linear(b: Builder, x: Value, w: Value) -> Value:
    return b.add(x, along(b, b.mul(b.sum(x, axes=(1,)), 1e-2)))


def running(b: Builder, x: Value, w: Value) -> Value:
    return b.mul(b.cumsum(x, axis=1, reverse=False), 0.1)


def waves(b: Builder, x: Value, w: Value) -> Value:
    return b.mul(b.sin(x), b.tanh(b.add(x, 1.0)))


STEPS: list[Callable[[Builder, Value, Value], Value]] = [
    softmax, normed, layer, leaky, linear, running, waves,
]  # fmt: skip


def graph_of(steps: list[Callable[[Builder, Value, Value], Value]]) -> Graph:
    b = new_builder()
    x = b.input(TensorType(F64, SHAPE), "x")
    w = b.input(TensorType(F64, (SIDE, SIDE)), "w")
    y = x
    for step in steps:
        y = step(b, y, w)
    loss = b.sum(b.square(y), axes=(0, 1))
    return grad_graph(b.finish("chain", [loss]), [0, 1])


def lowered(graph: Graph) -> Lowered:
    _, (made,) = lower([(pipeline.run(graph), "p")], host())
    return made


def at_random(seed: int) -> Graph:
    rng = random.Random(seed)
    return graph_of(rng.choices(STEPS, k=rng.randrange(4, 10)))


@pytest.mark.parametrize("seed", SEEDS)
def test_programs_have_the_bits_of_one_kernel_an_op(seed: int) -> None:
    graph = at_random(seed)
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal(x.type.shape) * 0.4 for x in graph.inputs]
    hows = [How(), How(fuse=False), How(threads=3)]
    wanted, *others = guarded([(native(graph, how), arrays) for how in hows])
    for got in others:
        for a, b in zip(got, wanted, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_less_lies_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    # softmax divides again and has a mask of the largest element, what is normed is
    # scaled again, a relu reads its mask and has six gradients of weights to add
    for steps, arrays in (([softmax] * 6, 8), ([normed] * 6, 7), ([layer] * 6, 10)):
        graph = graph_of(steps)
        less = lowered(graph)
        with monkeypatch.context() as plain:
            plain.setattr(residual, "LEAST", 1 << 60)
            more = lowered(graph)
        assert isinstance(less.workspace, int)
        assert isinstance(more.workspace, int)
        pieces = less.workspace - less.arena.scratch
        assert pieces < more.workspace - more.arena.scratch
        assert pieces <= arrays * ROWS * SIDE * 8, steps[0].__name__


def test_results_are_workspace_before_they_are_written() -> None:
    text = show_schedule(lowered(graph_of([running] * 3)))
    calls = [line.strip() for line in text.splitlines() if line.startswith("  k")]
    assert sum("output1!" in line for line in calls) > 1
    assert "output1!" in calls[-1]


def test_a_mask_is_stored_early() -> None:
    text = show_schedule(lowered(graph_of([layer, layer])))
    assert "bool = load" in text


def test_chains_that_share_nothing_take_turns() -> None:
    b = new_builder()
    kind = TensorType(F64, SHAPE)
    x, y = b.input(kind, "x"), b.input(kind, "y")
    results: list[Any] = []
    for start in (x, y):
        value = start
        for _ in range(4):
            value = running(b, value, start)
        results.append(b.sum(value, axes=(0, 1)))
    made = lowered(b.finish("two", results))
    assert made.workspace == 2 * ROWS * SIDE * 8
