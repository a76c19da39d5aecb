"""Time the partition of joint graphs of 100,000 nodes of several kinds.

    python benchmarks/partition.py [--nodes 100000] [--rounds 5]

Every figure is the median of the rounds, in seconds of processor time; making and
differentiating the program is not counted. The last column is what is kept, in bytes.
"""

import argparse
import random
import statistics
import time
from collections.abc import Callable

from pullback.ir.adjoint import vjp_graph
from pullback.ir.graph import Graph
from pullback.ir.ops import new_builder
from pullback.ir.passes.partition import partition
from pullback.ir.types import parse_type

VECTOR, MATRIX = parse_type("f64[64]"), parse_type("f64[8,8]")


def chain(times: int) -> Graph:
    """A chain of y = sin(y) * a + y."""
    b = new_builder()
    y = b.input(VECTOR, "x")
    for k in range(times):
        y = b.add(b.mul(b.sin(y), b.input(VECTOR, f"a{k}")), y)
    return b.finish("chain", [y])


def dag(times: int) -> Graph:
    """Random operands among the last 50 values."""
    rng = random.Random(0)
    b = new_builder()
    values = [b.input(VECTOR, f"x{k}") for k in range(20)]
    for _ in range(times):
        x, y = rng.choice(values[-50:]), rng.choice(values[-50:])
        values.append(
            rng.choice(
                (b.sin, b.tanh, b.exp, b.neg)
                if rng.random() < 0.4
                else (lambda x, y=y: b.mul(x, y), lambda x, y=y: b.add(x, y))
            )(x)
        )
    out = values[-1]
    for x in values[-50:-1]:
        out = b.add(out, x)
    return b.finish("dag", [out])


def layers(times: int) -> Graph:
    """Dense layers: product, bias, the larger of that and 0."""
    b = new_builder()
    y = b.input(MATRIX, "x")
    for k in range(times):
        w, bias = b.input(MATRIX, f"w{k}"), b.input(parse_type("f64[8]"), f"b{k}")
        z = b.contract(y, w, lhs="ik", rhs="kj", out="ij")
        y = b.maximum(b.add(z, b.broadcast(bias, (8, 8))), 0.0)
    return b.finish("layers", [y])


def pieces(times: int) -> Graph:
    """Many small programs side by side; each has something to cut."""
    b = new_builder()
    x = b.input(VECTOR, "x")
    out = b.sin(x)
    for k in range(times):
        y = b.mul(b.input(VECTOR, f"y{k}"), out if k % 100 == 0 else x)
        z = b.add(y, x)
        left, right = b.mul(y, z), b.sub(z, y)
        both = b.mul(b.sin(left), b.mul(right, b.mul(left, right)))
        out = b.add(out, b.exp(b.mul(both, b.neg(right))))
    return b.finish("pieces", [out])


def reductions(times: int) -> Graph:
    """Rows that are summed, normalised by the sum and scaled."""
    b = new_builder()
    y = b.input(MATRIX, "x")
    for _ in range(times):
        total = b.reshape(b.sum(b.mul(y, y), axes=(1,)), shape=(8, 1))
        y = b.div(y, b.broadcast(b.sqrt(b.add(total, 1.0)), (8, 8)))
    return b.finish("reductions", [y])


KINDS: tuple[Callable[[int], Graph], ...] = (chain, dag, layers, pieces, reductions)


def differentiated(graph: Graph) -> Graph:
    return vjp_graph(graph, range(len(graph.inputs)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for make in KINDS:
        each = len(differentiated(make(4_000)).nodes) / 4_000
        graph = make(round(options.nodes / each))
        joint = differentiated(graph)
        seeds = len(joint.inputs) - len(graph.inputs)
        took = []
        for _ in range(options.rounds):
            start = time.process_time()
            part = partition(joint, len(graph.outputs), seeds)
            took.append(time.process_time() - start)
        print(
            f"{make.__name__:<12} {len(joint.nodes):>8,} nodes"
            f"  {statistics.median(took):.3f} s  {part.bytes:>12,} bytes"
        )


if __name__ == "__main__":
    main()
