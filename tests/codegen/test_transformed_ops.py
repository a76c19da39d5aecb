"""Tangents and batches of every op, compiled: what the interpreter says."""

import sys
from pathlib import Path

import numpy as np
import pytest
from compare import PROGRAM, assert_close, largest
from pullback.ir.batching import batch_graph
from pullback.ir.builder import Builder
from pullback.ir.forward import jvp_graph
from pullback.ir.interpreter import interpret
from pullback.ir.ops import OPS
from pullback.ir.primitive import Primitive, Rule, Sample
from pullback.runtime.compile import compile_graph

sys.path.append(str(Path(__file__).parents[1] / "ir"))

from op_samples import named_samples, sample_arrays, type_of

SAMPLES = [pytest.param(op, sample, id=name) for name, op, sample in named_samples()]
ROWS = 3


@pytest.mark.parametrize(("op", "sample"), SAMPLES)
def test_batched_tangents_are_those_of_the_interpreter(
    op: Primitive, sample: Sample
) -> None:
    rng = np.random.default_rng(5)
    drawn = [sample_arrays(op, sample, 6, np.float64, rng) for _ in range(ROWS)]
    assert drawn[0] is not None
    arrays, params = drawn[0]
    b = Builder(OPS)
    inputs = [b.input(type_of(a), f"x{k}") for k, a in enumerate(arrays)]
    graph = b.finish("f", b.apply(op, tuple(inputs), params))
    wrt = [k for k, a in enumerate(arrays) if a.dtype.kind == "f"]
    given = [np.stack([d[0][k] for d in drawn if d]) for k in range(len(arrays))]
    if wrt and not isinstance(op.vjp, Rule):
        graph = jvp_graph(graph, wrt)
        given += [
            rng.standard_normal(given[k].shape).astype(given[k].dtype) for k in wrt
        ]
    graph = batch_graph(graph, [True] * len(given), ROWS)
    wanted = interpret(graph, given)
    got = compile_graph(graph).run(given)
    scale = largest([*given, *wanted])
    assert_close(got, wanted, op.name, PROGRAM, scale)
