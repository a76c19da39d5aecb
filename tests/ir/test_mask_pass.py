"""Masks of masks become one, and no bit changes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pullback.ir.adjoint import grad_graph
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.interpreter import interpret
from pullback.ir.ops import new_builder
from pullback.ir.passes import pipeline
from pullback.ir.passes.cse import cse
from pullback.ir.passes.dce import dce
from pullback.ir.passes.masks import masks
from pullback.ir.sizes import named
from pullback.ir.types import F64, I64, TensorType
from pullback.ir.verify import verify


def masked(b: Builder, x: Value, op: str, k: int, zero: float = 0.0) -> Value:
    """x where column - row compares to k, else zero."""
    places = TensorType(I64, x.type.shape)
    down, across = (b.op("iota", axis=axis, type=places) for axis in (0, 1))
    kept = b.op(op, b.op("sub", across, down), k)
    return b.select(kept, x, b.constant(zero, F64, x.type.shape))


def dropped(b: Builder, x: Value, op: str, k: int) -> Value:
    """0 where column - row compares to k, else x: as triu is written."""
    places = TensorType(I64, x.type.shape)
    down, across = (b.op("iota", axis=axis, type=places) for axis in (0, 1))
    gone = b.op(op, b.op("sub", across, down), k)
    return b.select(gone, b.zeros(x.type), x)


def program(make: Callable[[Builder, Value], Value]) -> Graph:
    b = new_builder()
    b.sizes.append("n")
    x = b.input(TensorType(F64, (named("n"), named("n"))), "x")
    return cse(b.finish("f", [make(b, x)]))


def count(graph: Graph) -> int:
    return sum(node.primitive.name == "select" for node in dce(graph).nodes)


JOINED: dict[str, Callable[[Builder, Value], Value]] = {
    "twice": lambda b, x: masked(b, masked(b, x, "le", 0), "le", 0),
    "wider inside": lambda b, x: masked(b, masked(b, x, "le", 2), "lt", 0),
    "wider outside": lambda b, x: masked(b, masked(b, x, "le", -1), "lt", 3),
    "three": lambda b, x: masked(
        b, masked(b, masked(b, x, "ge", -1), "ge", 1), "ge", 0
    ),
    "diagonal of a triangle": lambda b, x: masked(b, masked(b, x, "le", 0), "eq", 0),
    "triangle of a diagonal": lambda b, x: masked(b, masked(b, x, "eq", 0), "le", 0),
    "zeros first": lambda b, x: dropped(b, dropped(b, x, "lt", 0), "le", 0),
    "zeros first inside": lambda b, x: masked(b, dropped(b, x, "lt", 0), "ge", 1),
}
KEPT: dict[str, Callable[[Builder, Value], Value]] = {
    "two triangles": lambda b, x: masked(b, masked(b, x, "le", 1), "ge", -1),
    "negative zeros": lambda b, x: masked(b, masked(b, x, "le", 0, -0.0), "le", 0),
    "negative zeros outside": lambda b, x: masked(
        b, masked(b, x, "le", 0), "le", 0, -0.0
    ),
    "ones": lambda b, x: masked(b, masked(b, x, "le", 0, 1.0), "le", 0),
    "other masks": lambda b, x: b.select(
        b.op("gt", x, 0.0), masked(b, x, "le", 0), b.zeros(x.type)
    ),
    "something between": lambda b, x: masked(b, b.exp(masked(b, x, "le", 0)), "le", 0),
}


@pytest.mark.parametrize("name", [*JOINED, *KEPT])
def test_masks_of_masks(name: str) -> None:
    graph = program({**JOINED, **KEPT}[name])
    made = masks(graph)
    verify(made, "masks")
    assert (count(made) == 1) == (name in JOINED)
    if name in KEPT:
        assert made is graph
    x = np.random.default_rng(0).normal(size=(6, 6))
    x[1, 4], x[4, 1], x[2, 2] = np.inf, np.nan, -0.0
    (before,), (after,) = interpret(graph, [x]), interpret(made, [x])
    assert before.tobytes() == after.tobytes()


def test_the_adjoint_of_a_factorisation_has_fewer_masks() -> None:
    b = new_builder()
    x = b.input(TensorType(F64, (5, 5)), "x")
    factor = b.op("cholesky", x)
    loss: Any = b.sum(b.square(masked(b, factor, "le", 0)), axes=(0, 1))
    joint = grad_graph(b.finish("f", [loss]), [0])
    whole = pipeline.run(joint, disable={"masks"})
    made = pipeline.run(joint)
    assert count(made) < count(whole)
    a = np.random.default_rng(1).normal(size=(5, 5))
    a = a @ a.T + np.eye(5)
    for one, two in zip(interpret(made, [a]), interpret(whole, [a]), strict=True):
        assert one.tobytes() == two.tobytes()
