"""Adjoints, tangents and batches of loops as native code, against the reference."""

import sys
from pathlib import Path

import numpy as np
import pytest
from compare import PROGRAM, assert_close, largest
from native import native
from pullback.ir.adjoint import grad_graph
from pullback.ir.batching import batch_graph
from pullback.ir.forward import jvp_graph
from pullback.ir.graph import Graph
from pullback.ir.interpreter import interpret

sys.path.append(str(Path(__file__).parents[1] / "ir"))
from control_programs import PROGRAMS, program

AT = (0.7, 1.3)
MANY = (np.array([0.7, 1.9, 0.4, 2.2]), np.array([1.3, 1.1, 0.9, 1.7]))


def check(graph: Graph, given: list[np.ndarray]) -> None:
    wanted = interpret(graph, given)
    got = native(graph).guarded(given)
    assert_close(got, wanted, graph.name, PROGRAM, largest([*given, *wanted]))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("name", list(PROGRAMS))
def test_gradients(name: str, order: int) -> None:
    graph = program(name)
    for _ in range(order):
        graph = grad_graph(graph, [0, 1], output=len(graph.outputs) - 1)
    check(graph, [np.float64(v) for v in AT])


@pytest.mark.parametrize("name", list(PROGRAMS))
def test_tangents_of_gradients(name: str) -> None:
    graph = jvp_graph(grad_graph(program(name), [0, 1]), [0, 1])
    check(graph, [np.float64(v) for v in (*AT, 0.6, -0.8)])


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", list(PROGRAMS))
def test_batches(name: str, order: int) -> None:
    graph = program(name)
    for _ in range(order):
        graph = grad_graph(graph, [0, 1], output=len(graph.outputs) - 1)
    check(batch_graph(graph, (True, True), 4), list(MANY))
