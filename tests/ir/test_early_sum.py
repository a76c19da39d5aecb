"""Cotangents that are summed over rows are summed before products with matrices."""

from typing import Any

import numpy as np
import pytest
from pullback.ir.adjoint import grad_graph
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.interpreter import interpret
from pullback.ir.ops import OPS, new_builder
from pullback.ir.ops.early_sum import MOST_TERMS, early_sum
from pullback.ir.passes.pipeline import run
from pullback.ir.passes.rebuild import extend
from pullback.ir.types import parse_type

Make = Any  # a function of a builder and its inputs to a scalar


def loss(b: Builder, z: Value) -> Value:
    out: Value = b.sum(b.log(b.add(b.square(z), 1.0)), axes=tuple(range(z.type.rank)))
    return out


def rows(b: Builder, x: Value, like: Value) -> Value:
    """x as each row of `like`, with an axis of size 1 or without."""
    if x.type.rank + 1 == like.type.rank and like.type.rank > 2:
        x = b.expand_dims(x, axes=(1,))
    return b.broadcast(x, like.type.shape)


def centred(b: Builder, x: Value, mu: Value, w: Value) -> Value:
    return loss(
        b, b.contract(b.sub(x, rows(b, mu, x)), w, lhs="nk", rhs="kj", out="nj")
    )


def on_the_right(b: Builder, x: Value, mu: Value, w: Value) -> Value:
    moved = b.add(rows(b, mu, x), b.neg(x))
    return loss(b, b.contract(w, moved, lhs="jk", rhs="nk", out="jn"))


def scaled(b: Builder, x: Value, mu: Value, w: Value, q: Value) -> Value:
    apart = b.sub(x, rows(b, mu, x))
    z = b.contract(apart, w, lhs="nk", rhs="kj", out="nj")
    return loss(b, b.add(b.mul(rows(b, q, x), apart), z))


def weighed(b: Builder, x: Value, mu: Value, w: Value, q: Value) -> Value:
    """Like `scaled`, with a factor that differs from row to row."""
    apart = b.sub(x, rows(b, mu, x))
    z = b.contract(apart, w, lhs="nk", rhs="kj", out="nj")
    own = b.mul(b.mul(apart, b.exp(x)), rows(b, q, x))
    return loss(b, b.sub(own, z))


def batched(b: Builder, x: Value, mu: Value, w: Value, q: Value) -> Value:
    apart = b.sub(x, rows(b, mu, x))
    z = b.contract(apart, w, lhs="bnk", rhs="bkj", out="bnj")
    return loss(b, b.add(b.mul(rows(b, q, x), apart), z))


def moved(b: Builder, x: Value, mu: Value, w: Value) -> Value:
    """The rows come last, and what is multiplied is a view of them."""
    apart = b.transpose(b.sub(x, rows(b, mu, x)), axes=(1, 0))
    flat = b.reshape(apart, shape=apart.type.shape)
    return loss(b, b.contract(w, flat, lhs="kj", rhs="kn", out="jn"))


def turned(b: Builder, x: Value, mu: Value, w: Value) -> Value:
    """Axes that are kept change places."""
    apart = b.sub(x, b.broadcast(mu, x.type.shape))
    view = b.transpose(apart, axes=(2, 0, 1))
    return loss(b, b.contract(view, w, lhs="knc", rhs="ckj", out="cnj"))


def both_ways(b: Builder, x: Value, mu: Value, w: Value) -> Value:
    """The summed label is in both operands: nothing can be summed first."""
    apart = b.sub(x, rows(b, mu, x))
    return loss(b, b.contract(apart, w, lhs="nk", rhs="nkj", out="nj"))


# to more: cotangents of two numbers are made of five, so the sum of five is more work
CASES: dict[str, tuple[Make, tuple[str, ...], bool]] = {
    "centred": (centred, ("f64[9,4]", "f64[4]", "f64[4,4]"), True),
    "to fewer": (centred, ("f64[9,4]", "f64[4]", "f64[4,3]"), True),
    "on the right": (on_the_right, ("f64[9,4]", "f64[4]", "f64[4,4]"), True),
    "scaled": (scaled, ("f64[9,4]", "f64[4]", "f64[4,4]", "f64[4]"), True),
    "weighed": (weighed, ("f64[9,4]", "f64[4]", "f64[4,4]", "f64[4]"), True),
    "batched": (batched, ("f64[3,9,4]", "f64[3,4]", "f64[3,4,4]", "f64[3,4]"), True),
    "moved": (moved, ("f64[9,4]", "f64[4]", "f64[4,4]"), True),
    "turned": (turned, ("f64[9,3,4]", "f64[3,4]", "f64[3,4,4]"), True),
    "both ways": (both_ways, ("f64[9,4]", "f64[4]", "f64[9,4,4]"), False),
    "to more": (centred, ("f64[9,2]", "f64[2]", "f64[2,5]"), False),
}
CASE = pytest.mark.parametrize("name", CASES)


def program(name: str) -> tuple[Graph, bool]:
    make, types, early = CASES[name]
    b = new_builder()
    held = [b.input(parse_type(t), f"x{k}") for k, t in enumerate(types)]
    return b.finish("f", [make(b, *held)]), early


def arrays_of(graph: Graph) -> list[Any]:
    rng = np.random.default_rng(4)
    return [rng.standard_normal(x.type.shape) for x in graph.inputs]


@CASE
def test_gradients_are_those_of_differences(name: str) -> None:
    graph, _ = program(name)
    arrays = arrays_of(graph)
    _, *grads = interpret(grad_graph(graph, range(len(arrays))), arrays)
    rng = np.random.default_rng(5)
    for k, grad in enumerate(grads):
        along = rng.standard_normal(arrays[k].shape)
        ends = []
        for h in (1e-5, -1e-5):
            moved = [a + h * along if j == k else a for j, a in enumerate(arrays)]
            ends.append(interpret(graph, moved)[0])
        slope = (ends[0] - ends[1]) / 2e-5
        np.testing.assert_allclose(np.sum(grad * along), slope, rtol=1e-7)


@CASE
def test_no_product_has_a_row_for_each_that_is_summed(name: str) -> None:
    graph, early = program(name)
    # of the centre alone: nobody needs the cotangents of single rows
    joint = run(grad_graph(graph, [1], keep_value=False))
    shapes = [
        node.results[0].type.shape
        for node in joint.nodes
        if node.primitive.name == "contract"
    ]
    large = [s for s in shapes if 9 in s]
    assert len(large) == (1 if early else 2), shapes


def test_a_factor_that_rows_share_is_taken_out() -> None:
    """So the rows are summed once, for it and for the product."""
    graph, _ = program("batched")
    joint = run(grad_graph(graph, [1], keep_value=False))
    sums = [n for n in joint.nodes if n.primitive.name == "sum"]
    assert [n.operands[0].type.shape for n in sums] == [(3, 9, 4)]


def test_the_second_derivative_is_that_of_differences() -> None:
    graph, _ = program("batched")
    arrays = arrays_of(graph)
    first = grad_graph(graph, [1], keep_value=False)
    along = np.random.default_rng(6).standard_normal(arrays[1].shape)
    b = extend(first, OPS, False)
    inner = b.mul(first.outputs[0], b.capture(along))
    slope = b.finish("slope", [b.sum(inner, axes=(0, 1))])
    (grad,) = interpret(grad_graph(slope, [1], keep_value=False), arrays)
    ends = []
    for h in (1e-5, -1e-5):
        moved = [a + h * along if j == 1 else a for j, a in enumerate(arrays)]
        ends.append(interpret(first, moved)[0])
    np.testing.assert_allclose(grad, (ends[0] - ends[1]) / 2e-5, atol=1e-8)


def test_a_long_sum_is_summed_as_it_is() -> None:
    """What is looked through is bounded, however long a sum is."""
    b = new_builder()
    x, w = (b.input(parse_type(t), t) for t in ("f64[9,4]", "f64[4,4]"))
    total = b.contract(x, w, lhs="nk", rhs="kj", out="nj")
    near = total
    for k in range(2 * MOST_TERMS):
        near = b.neg(near)
        if k == 2:
            assert early_sum(b, near, (0,)).node.primitive.name == "neg"
    assert early_sum(b, near, (0,)).node.primitive.name == "sum"
