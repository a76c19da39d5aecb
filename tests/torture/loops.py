"""Random programs with loops and choices in one another: reference against native code.

    python tests/torture/loops.py [--seconds S] [--seed K] [--count N]

A program is differentiated up to twice, pushed forward or batched, then run by the
interpreter and natively: as users get it, one op a kernel, with loops as functions, at
O0, quickly, and with narrow vectors. The first has to agree with the interpreter, the
others with the first, bit for bit. Steps are tame, so that rounding does not grow.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pullback.codegen.target import QUICK, host
from pullback.ir.adjoint import grad_graph
from pullback.ir.batching import batch_graph
from pullback.ir.builder import Builder
from pullback.ir.forward import jvp_graph
from pullback.ir.graph import Graph, Value
from pullback.ir.interpreter import interpret
from pullback.ir.ops import OPS, new_builder
from pullback.ir.ops.control import AUTO
from pullback.ir.sizes import SizeExpr, evaluate_size, named
from pullback.ir.text import print_graph
from pullback.ir.types import F32, F64, I64, TensorType
from pullback.ir.verify import verify

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / "codegen"), str(TESTS / "ir")]

from compare import PROGRAM, assert_close, largest  # noqa: E402
from control_programs import scan, switch, while_loop  # noqa: E402
from native import Fault, How, assert_same_bits, native  # noqa: E402

Array = np.ndarray[Any, Any]
SHAPES: tuple[tuple[int | SizeExpr, ...], ...] = (
    (), (), (3,), (2, 2), (40,), (named("n"),), (named("n"), 3),
)  # fmt: skip
DEEPEST = 2


class Generator:
    """A program being made; all its floats are of one type."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        dtype = F32 if rng.random() < 0.2 else F64
        self.kind = TensorType(dtype, rng.choice(SHAPES))
        self.env = {"n": rng.choice((0, 2, 3, 9, 33))}

    def tame(self, b: Builder, pool: Sequence[Value]) -> Value:
        """A value in [-1, 1] of some of the pool."""
        rng = self.rng
        x, y = rng.choice(pool), rng.choice(pool)
        made: Value = b.op(rng.choice(("add", "mul", "sub", "maximum")), x, y)
        if rng.random() < 0.3:
            made = b.op("fma", x, y, made)
        if rng.random() < 0.2 and made.type.rank:
            total = b.op("sum", b.op("tanh", made), axes=(made.type.rank - 1,))
            wide = b.op("expand_dims", total, axes=(made.type.rank - 1,))
            made = b.op("add", made, b.broadcast(wide, made.type.shape))
        if rng.random() < 0.1:
            made = b.op("log1p", b.op("square", made))
        return b.op(rng.choice(("sin", "tanh", "sigmoid", "cos")), made)  # type: ignore[no-any-return]

    def block(self, b: Builder, given: Sequence[Value], depth: int) -> list[Value]:
        """Some steps over floats; returns what they made."""
        pool = list(given)
        for _ in range(self.rng.randrange(1, 4)):
            kind = self.rng.random()
            if depth == DEEPEST or kind < 0.45:
                pool.append(self.tame(b, pool))
            elif kind < 0.65:
                pool += self.looped(b, pool, depth + 1)
            elif kind < 0.85:
                pool += self.repeated(b, pool, depth + 1)
            else:
                pool += self.chosen(b, pool, depth + 1)
        return pool[len(given) :]

    def _operands(self, pool: Sequence[Value]) -> tuple[list[Value], list[Value]]:
        carries = [self.rng.choice(pool) for _ in range(self.rng.randrange(1, 3))]
        fixed = [self.rng.choice(pool) for _ in range(self.rng.randrange(0, 3))]
        return carries, fixed

    def looped(self, b: Builder, pool: Sequence[Value], depth: int) -> list[Value]:
        """A scan, maybe over a sequence, whose stack is summed."""
        rng = self.rng
        carries, fixed = self._operands(pool)
        length = rng.choice((0, 1, 2, 3, 5))
        count = len(carries)
        xs = []
        if rng.random() < 0.5:
            wide = (length, *self.kind.shape)
            row = b.op("expand_dims", rng.choice(pool), axes=(0,))
            place = b.apply(
                OPS["iota"], (), {"axis": 0, "type": self.kind.with_shape(wide)}
            )[0]
            xs = [b.op("sin", b.op("add", b.broadcast(row, wide), place))]
        keeps = rng.random() < 0.5

        def body(b: Builder, *values: Value) -> list[Value]:
            made = self.block(b, values, depth)
            new = [rng.choice([*made, *values]) for _ in range(count)]
            return [*new, self.tame(b, [*made, *values])] if keeps else new

        made = scan(
            b, body, carries, xs, fixed, length=length, reverse=rng.random() < 0.3,
            checkpoints=rng.choice((0, 0, 0, AUTO, 1, 2)),
        )  # fmt: skip
        out = list(made[:count])
        if keeps:
            out.append(b.op("sin", b.op("sum", made[count], axes=(0,))))
        return out

    def repeated(self, b: Builder, pool: Sequence[Value], depth: int) -> list[Value]:
        """A while loop that stops by a counter or by what it carries."""
        rng = self.rng
        carries, fixed = self._operands(pool)
        count, most = len(carries), rng.choice((0, 1, 2, 4))
        early = rng.random() < 0.5
        keeps = rng.random() < 0.3

        def cond(b: Builder, *values: Value) -> list[Value]:
            on = b.op("lt", values[count], most)
            if early:
                total = values[0]
                if total.type.rank:
                    total = b.op("sum", total, axes=tuple(range(total.type.rank)))
                on = b.op("logical_and", on, b.op("lt", total, 0.7310585))
            return [on]

        def body(b: Builder, *values: Value) -> list[Value]:
            floats = [*values[:count], *values[count + 1 :]]
            made = self.block(b, floats, depth)
            new = [rng.choice([*made, *floats]) for _ in range(count)]
            new.append(b.op("add", values[count], 1))
            return [*new, self.tame(b, [*made, *floats])] if keeps else new

        start = [*carries, b.constant(0)]
        made = while_loop(b, cond, body, start, fixed, "trips" if keeps else None)
        out = list(made[:count])
        if keeps:
            out.append(b.op("sin", b.op("sum", made[count + 1], axes=(0,))))
        return out

    def chosen(self, b: Builder, pool: Sequence[Value], depth: int) -> list[Value]:
        """A choice by the sign of a sum."""
        rng = self.rng
        given = [rng.choice(pool) for _ in range(rng.randrange(1, 4))]
        total = rng.choice(pool)
        if total.type.rank:
            total = b.op("sum", total, axes=tuple(range(total.type.rank)))
        index = b.op("cast", b.op("gt", total, 0.11), dtype=I64)

        def branch(b: Builder, *values: Value) -> list[Value]:
            return [rng.choice([*self.block(b, values, depth), *values])]

        return list(switch(b, index, [branch, branch], given))

    def program(self) -> Graph:
        """Return the program: floats in, a float scalar out."""
        b = new_builder()
        if any(isinstance(d, SizeExpr) for d in self.kind.shape):
            b.sizes.append("n")
        inputs = [b.input(self.kind, f"x{k}") for k in range(self.rng.randrange(1, 4))]
        made = self.block(b, inputs, 0)
        loss = b.constant(0.0, self.kind.dtype)
        for x in [*made[-3:], *inputs[:1]]:
            axes = tuple(range(x.type.rank))
            loss = b.op("add", loss, b.op("sum", x, axes=axes) if axes else x)
        return b.finish("loops", [loss])

    def arrays(self, graph: Graph) -> list[Array]:
        """Draw the inputs."""
        draw = np.random.default_rng(self.rng.getrandbits(32))
        out = []
        for x in graph.inputs:
            shape = [evaluate_size(d, self.env) for d in x.type.shape]
            out.append(draw.uniform(-1.2, 1.2, shape).astype(x.type.dtype.numpy))
        return out


def derived(graph: Graph, rng: random.Random, counts: Counter[str]) -> Graph:
    """Differentiate, push forward or batch a program."""
    wrt = list(range(len(graph.inputs)))
    how = rng.choice(("value", "grad", "grad", "grad grad", "jvp", "jvp grad", "batch"))
    if rng.random() < 0.2:
        how += " batch"
    for word in reversed(how.split()):
        if word == "grad":
            last = next(k for k, y in enumerate(graph.outputs) if y.type.rank == 0)
            graph = grad_graph(graph, wrt, output=last)
        elif word == "jvp":
            graph = jvp_graph(graph, wrt)
        elif word == "batch" and all(y.type.rank == 0 for y in graph.outputs[:1]):
            size = 3
            if graph.outputs[0].type.rank == 0 and len(graph.outputs) == 1:
                graph = batch_graph(graph, [True] * len(graph.inputs), size)
                total = new_builder()
                total.inputs, total.names = list(graph.inputs), list(graph.names)
                total.nodes, total.sizes = list(graph.nodes), list(graph.sizes)
                loss = total.op("sum", graph.outputs[0], axes=(0,))
                graph = total.finish("loops", [loss])
    counts[how] += 1
    verify(graph, how)
    return graph


def ways() -> dict[str, How]:
    """The ways a program is compiled, each to the same bits."""
    narrow = replace(host(), vector_bits=128, has_masks=False)
    return {
        "one op a kernel": How(fuse=False),
        "functions": How(registers=False),
        "O0": How(level=0),
        "quick": How(level=QUICK),
        "narrow": How(target=narrow, level=1),
    }


def one(seed: int, counts: Counter[str]) -> None:
    """Make and check one program.

    Raises:
        AssertionError: it is wrong; the notes have the program.
    """
    rng = random.Random(seed)
    maker = Generator(rng)
    graph = derived(maker.program(), rng, counts)
    arrays = maker.arrays(graph)
    name = rng.choice(list(ways()))
    try:
        wanted = interpret(graph, arrays)
        got = native(graph).guarded(arrays)
        assert_close(got, wanted, "loops", PROGRAM, 10 * largest([*arrays, *wanted]))
        other = native(graph, ways()[name]).guarded(arrays)
        assert_same_bits(other, got, name)
    except (AssertionError, Fault) as error:
        error.add_note(f"seed {seed}, {name}\n{print_graph(graph)}")
        raise
    counts["programs"] += 1
    counts[name] += 1
    counts["nodes"] += len(graph.nodes)
    for node in graph.nodes:
        counts[f"op {node.primitive.name}"] += node.primitive.name in CONTROL


CONTROL = ("scan", "while_loop", "switch", "revolve")


def main() -> None:
    """Run random programs until the time is up; exit status 1 if one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1 << 30)
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    until = time.monotonic() + args.seconds
    seed, failures = args.seed, 0
    while time.monotonic() < until and seed < args.seed + args.count:
        try:
            one(seed, counts)
        except Exception as error:  # whatever goes wrong belongs to a seed
            failures += 1
            print(f"FAILED {seed}: {type(error).__name__}: {error}"[:3000], flush=True)
            print(*getattr(error, "__notes__", ())[:1], sep="\n", flush=True)
            if failures >= 5:
                break
        seed += 1
    print(f"seeds {args.seed} to {seed - 1}, {failures} failures")
    for key, count in sorted(counts.items()):
        if count:
            print(f"  {count:8} {key}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
