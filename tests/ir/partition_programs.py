"""Programs and helpers for the tests of the partition."""

from collections.abc import Callable, Sequence

import numpy as np
from pullback.ir.adjoint import vjp_graph
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.interpreter import Array, interpret
from pullback.ir.ops import new_builder
from pullback.ir.passes.partition import Partition, partition
from pullback.ir.passes.partition_problem import NEVER, RECOMPUTE, Problem
from pullback.ir.passes.pipeline import run
from pullback.ir.types import parse_type
from pullback.ir.verify import verify

Step = Callable[[Builder, Value, Value], Value]


def chain(step: Step, length: int, kind: str = "f64[1000]") -> Graph:
    """Return y = step(... step(x, w0) ..., w_last), each w an input of its own."""
    b = new_builder()
    if "n" in kind:
        b.sizes.append("n")
    y = b.input(parse_type(kind), "x")
    for k in range(length):
        y = step(b, y, b.input(parse_type(kind), f"w{k}"))
    return b.finish("chain", [y])


def split(graph: Graph, recompute: int = RECOMPUTE) -> Partition:
    """Return the verified halves of the program's pullback by all inputs."""
    joint = run(vjp_graph(graph, range(len(graph.inputs))))
    seeds = len(joint.inputs) - len(graph.inputs)
    part = partition(joint, len(graph.outputs), seeds, recompute=recompute)
    verify(part.forward, "partition")
    verify(part.adjoint, "partition")
    return part


def run_halves(
    part: Partition,
    joint: Graph,
    arrays: Sequence[Array],
    sizes: dict[str, int],
    num_seeds: int = 0,
) -> list[Array]:
    """Return what the halves give, one after the other."""
    first = len(joint.inputs) - len(joint.captures) - num_seeds
    outputs = len(part.forward.outputs) - len(part.residuals)
    forward = interpret(part.forward, arrays[:first], sizes)
    given = [arrays[k] for k in part.reads] + forward[outputs:]
    return forward[:outputs] + interpret(part.adjoint, given, sizes)


def same_bits(left: Sequence[Array], right: Sequence[Array]) -> None:
    assert len(left) == len(right)
    for a, b in zip(left, right, strict=True):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        nan = np.isnan(a) if a.dtype.kind == "f" else np.zeros(a.shape, bool)
        if a.dtype.kind == "f":
            np.testing.assert_array_equal(nan, np.isnan(b))
        clean = np.where(nan, 0, a), np.where(nan, 0, b)
        assert clean[0].tobytes() == clean[1].tobytes()


def cost_of(problem: Problem, kept: set[int]) -> int | None:
    """Return what it costs to keep these values; None if they do not do."""
    total = sum(problem.keep[k] for k in kept)
    again: set[int] = set()
    stack = [k for k, read in enumerate(problem.read) if read]
    while stack:
        k = stack.pop()
        if k in kept or k in again:
            continue
        if problem.price[k] == NEVER:
            return None
        again.add(k)
        total += problem.price[k]
        stack += problem.needs[k]
    return total
