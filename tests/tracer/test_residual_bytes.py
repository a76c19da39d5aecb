"""Bytes of residuals of deep chains: what records say is read, what programs return.

Each is asserted three times: of the pair behind `vjp`, with and without recomputing; of
the arrays that the compiled forward half returns; of `explain` of the gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.ir.passes.partition import Fate
from pullback.ir.passes.partition_vjp import VjpPair, split_vjp
from pullback.tracer import engine

DEEP = 100
N = 64  # elements of a vector; rows and columns of a matrix are 8


@dataclass(frozen=True)
class Chain:
    """One kind: a step, the shape, what a value is read as, and how often.

    `values` are the residuals that the record's rule asks for: their number, and the
    bytes of an element where it is not the dtype's. `default` is the number where cheap
    ops are computed again, if that is fewer. `op` is what the residuals are results of.
    """

    step: Callable[[Any, Any], Any]
    shape: tuple[int, ...]
    values: int
    op: str
    bytes: int | None = None
    default: int | None = None


KINDS = {
    # the result is read
    "tanh": Chain(lambda y, w: np.tanh(y), (N,), DEEP, "tanh"),
    "exp": Chain(lambda y, w: np.exp(y), (N,), DEEP, "exp"),
    # the operand is read; the first is the argument
    "sin": Chain(lambda y, w: np.sin(y), (N,), DEEP - 1, "sin"),
    # the result would do, the mask is an eighth or a quarter of it; that of the
    # argument is made by the adjoint
    "relu": Chain(lambda y, w: np.maximum(y, 0), (N,), DEEP - 1, "ge", bytes=1),
    # nothing is read
    "sum": Chain(lambda y, w: y + np.sum(y), (N,), 0, ""),
    # both operands are read; `w` and the first `y` are arguments. Unless recomputing is
    # off, of 5 products in a row one is kept: that is less than what the rule reads.
    "mul": Chain(lambda y, w: y * w, (N,), DEEP - 1, "mul", default=(DEEP - 1) // 5),
    "matmul": Chain(lambda y, w: y @ w, (8, 8), DEEP - 1, "contract"),
}


def program(kind: Chain, dtype: str) -> tuple[Any, list[Any]]:
    def chain(x: Any, *ws: Any) -> Any:
        for w in ws:
            x = kind.step(x, w)
        return x

    rng = np.random.default_rng(0)
    count = 1 + DEEP
    arrays = [rng.random(kind.shape).astype(dtype) / 16 for _ in range(count)]
    return chain, arrays


def ops_of(pair: VjpPair) -> set[str]:
    nodes = [x.node for x in pair.partition.residuals]
    return {node.primitive.name for node in nodes if node is not None}


def returned(forward: Any, pair: VjpPair, arrays: list[Any]) -> int:
    """Return the bytes of residuals that the compiled forward half gives."""
    count = len(pair.forward.outputs) - pair.num_residuals
    given = forward.run(arrays)[count:]
    assert len(given) == pair.num_residuals
    return sum(array.nbytes for array in given)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", KINDS)
def test_of_a_deep_chain(name: str, dtype: str) -> None:
    kind = KINDS[name]
    chain, arrays = program(kind, dtype)
    size = N * (kind.bytes or np.dtype(dtype).itemsize)
    theory = kind.values * size
    expected = theory if kind.default is None else kind.default * size
    assert expected <= theory
    f = pb.function(chain)
    value, back = pb.vjp(f, *arrays)
    split = f._traced(f._reader.read(tuple(arrays), {})).made["vjp"]
    assert split.pair.partition.bytes == expected
    assert returned(split.forward, split.pair, arrays) == expected
    assert ops_of(split.pair) == ({kind.op} if kind.op else set())
    exact = split_vjp(f.graph(*arrays), range(len(arrays)), recompute=0)
    assert exact.partition.bytes == theory
    compiled = engine.compile_graph(exact.forward)
    assert returned(compiled, exact, arrays) == theory
    # and it is the derivative: of the sum of results, in the direction of x
    cts = back(np.ones_like(value))
    assert len(cts) == len(arrays)
    whole = pb.grad(lambda *args: np.sum(chain(*args)))
    np.testing.assert_allclose(cts[0], whole(*arrays), rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", KINDS)
def test_explain_says_the_same(name: str, dtype: str) -> None:
    kind = KINDS[name]
    chain, arrays = program(kind, dtype)
    every = tuple(range(len(arrays)))
    found = pb.grad(lambda *args: np.sum(chain(*args)), every).explain(*arrays)
    values = kind.values if kind.default is None else kind.default
    assert found.residual_bytes == values * N * (kind.bytes or np.dtype(dtype).itemsize)
    kept = found.of_fate(Fate.KEPT)
    assert {d.op for d in kept} == ({kind.op} if kind.op else set())
    assert sum(d.bytes for d in kept) == found.residual_bytes


LAYERS = 30


def network(x: Any, layers: Any) -> Any:
    for w, b in layers:
        x = np.maximum(x @ w + b, 0)
    return x


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_network_keeps_no_pre_activation(dtype: str) -> None:
    rng = np.random.default_rng(1)
    batch, width = 16, 8
    x = rng.standard_normal((batch, width)).astype(dtype)
    layers = [
        (rng.standard_normal((width, width)).astype(dtype),
         rng.standard_normal(width).astype(dtype))
        for _ in range(LAYERS)
    ]  # fmt: skip
    size = np.dtype(dtype).itemsize
    # what the next layer multiplies, and the mask; the last result is not read
    theory = batch * width * ((LAYERS - 1) * size + LAYERS)
    f = pb.function(network)
    value, back = pb.vjp(f, x, layers)
    split = f._traced(f._reader.read((x, layers), {})).made["vjp"]
    arrays = [x, *[array for layer in layers for array in layer]]
    assert split.pair.partition.bytes == theory
    assert returned(split.forward, split.pair, arrays) == theory
    assert ops_of(split.pair) == {"maximum", "ge"}, "neither contract nor add"
    exact = split_vjp(f.graph(x, layers), range(len(arrays)), recompute=0)
    assert exact.partition.bytes == theory
    assert ops_of(exact) == {"maximum", "ge"}
    gradient = pb.grad(lambda x, layers: np.sum(network(x, layers)), (0, 1))
    found = gradient.explain(x, layers)
    assert found.residual_bytes == theory
    assert {d.op for d in found.of_fate(Fate.KEPT)} == {"maximum", "ge"}
    by_x, by_layers = gradient(x, layers)
    cts = back(np.ones_like(value))
    np.testing.assert_allclose(cts[0], by_x, rtol=1e-4)
    np.testing.assert_allclose(cts[1][3][0], by_layers[3][0], rtol=1e-4)
