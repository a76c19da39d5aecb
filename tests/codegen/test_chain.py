"""Long chains of small ops: cut into kernels, run from a table, with the same bits."""

from typing import Any

import numpy as np
import pytest
from compare import assert_close
from native import How, assert_same_bits, guarded, native
from pullback.ir.adjoint import grad_graph
from pullback.ir.graph import Graph
from pullback.ir.interpreter import interpret
from pullback.ir.ops import new_builder
from pullback.ir.passes import pipeline
from pullback.ir.types import parse_type

UNFUSED = How(fuse=False)
NO_PASS = How(disable=frozenset(pipeline.BY_NAME))
ARRAYS = [[np.linspace(-1.0, 1.0, n)] for n in (0, 7, 64)]


def chain(steps: int, kind: str) -> Graph:
    b = new_builder()
    b.sizes.append("n")
    x = b.input(parse_type("f64[n]"), "x")
    y: Any = x
    kept: list[Any] = [x]
    for k in range(steps):
        if kind == "sines":
            y = b.sin(b.mul(y, 1.5))
        elif kind == "reuse":  # every step reads one from far behind
            y = b.tanh(b.add(y, kept[max(k - 40, 0)]))
        elif kind == "folds":
            total = b.sum(b.square(y), axes=(0,))
            y = b.div(y, b.broadcast(b.add(total, 1.0), x.type.shape))
        elif kind == "changing":
            y = b.op(("sin", "cos", "tanh", "neg", "square")[k * k % 5], y)
        else:
            assert kind == "wide"  # one kernel reads all of it
            y = b.add(b.mul(x, float(k % 7) - 3.0), b.mul(y, 0.5))
        kept.append(y)
    loss = b.sum(y, axes=(0,))
    return grad_graph(b.finish(kind, [loss, y, kept[steps // 2]]), [0])


@pytest.mark.parametrize("steps", [1, 5, 40, pytest.param(300, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["sines", "reuse", "folds", "changing", "wide"])
def test_chain(kind: str, steps: int) -> None:
    graph = chain(steps, kind)
    code = native(graph)
    found = guarded([(code, arrays) for arrays in ARRAYS])
    for arrays, got in zip(ARRAYS, found, strict=True):
        assert_close(got, interpret(graph, arrays), kind, 50.0 * steps, 1.0)
    for how in (UNFUSED, NO_PASS):
        again = guarded([(native(graph, how), arrays) for arrays in ARRAYS])
        for got, wanted in zip(again, found, strict=True):
            assert_same_bits(got, wanted, f"{kind} {steps} {how}")


def test_a_table_of_launches_gives_the_bits_of_straight_calls() -> None:
    """The first half of a long chain is the whole of a shorter one."""
    graph = chain(3000, "sines")
    code = native(graph)
    assert "_launches" in code.text
    arrays = [np.linspace(-1.0, 1.0, 67)]
    (got,) = guarded([(code, arrays)])
    (unfused,) = guarded([(native(graph, UNFUSED), arrays)])
    assert_same_bits(unfused, got, "unfused")
    short = chain(1500, "sines")
    (half,) = guarded([(native(short), arrays)])
    assert_same_bits([got[2]], [half[1]], "the first half")


def test_repeated_steps_are_few_kernels_and_little_memory() -> None:
    code = native(chain(3000, "sines"))
    assert code.lowered.kernels <= 10
    assert len(code.text) < 500_000
