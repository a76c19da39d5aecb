"""Memory of gradients of deep chains, under a tape and decorated.

What a chain must keep follows from the records: the result where a rule reads it, else
the operand, else nothing. A program has that, and what flows: what a step reads and
what it makes. The chain and its adjoint take turns at that, so it counts once, and the
memory of a result is used before the result is there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.runtime import compile as native
from pullback.runtime.compile import Options
from pullback.tracer import engine

ROWS, COLUMNS = 1024, 64
ARRAY = ROWS * COLUMNS * 8
COLUMN = 1 / COLUMNS  # a number a row, in arrays
MASK = 1 / 8
SQUARE, ROW = COLUMNS / ROWS, 1 / ROWS  # a matrix of weights, and a bias
RNG = np.random.default_rng(5)
WEIGHT = np.eye(COLUMNS) * 0.5
ORDER = RNG.integers(0, ROWS, ROWS)


@dataclass(frozen=True)
class Chain:
    """A step, and the theory of what its chain takes, in arrays.

    `kept` is what each step keeps and `first` what the first keeps less than others;
    `flow` is what there is beside: 2 where a step cannot write over what it reads, the
    gradient among them. `weights` are the shapes of a step's own sources, whose
    gradients are results.
    """

    step: Callable[..., Any]
    kept: float = 0
    flow: float = 2
    first: float = 0
    weights: tuple[tuple[int, ...], ...] = ()

    def theory(self, depth: int) -> float:
        results = depth * sum(np.prod(shape) for shape in self.weights)
        kept = depth * self.kept - self.first
        return kept + self.flow + float(results) / (ROWS * COLUMNS)


def by_parts(x: Any) -> Any:
    """Softmax of which the largest element has a gradient too."""
    e = pb.exp(x - pb.max(x, axis=-1, keepdims=True))
    return e / pb.sum(e, axis=-1, keepdims=True)


def normed(x: Any) -> Any:
    apart = x - pb.mean(x, axis=-1, keepdims=True)
    return apart / pb.sqrt(pb.mean(apart * apart, axis=-1, keepdims=True) + 1e-3)


FULL, SIDE, BIAS = (ROWS, COLUMNS), (COLUMNS, COLUMNS), (COLUMNS,)
CHAINS = {
    # the mask is made again of the argument; the gradient alone flows
    "relu": Chain(lambda x: pb.relu(x), flow=1),
    "reshape": Chain(lambda x: pb.reshape(x, x.shape[::-1]), flow=1),
    "transpose": Chain(lambda x: pb.transpose(x), flow=1),
    # the result is read
    "tanh": Chain(lambda x: pb.tanh(x), kept=1, flow=0),
    "exp": Chain(lambda x: pb.exp(x * 0.1), kept=1, flow=0),
    "tanh of the transposed": Chain(lambda x: pb.tanh(pb.transpose(x)), kept=1, flow=1),
    "tanh and a sum": Chain(
        lambda x: pb.tanh(x) + pb.sum(x) * 1e-6, kept=1, flow=1
    ),
    # the operand is read; the first is the argument
    "sin": Chain(lambda x: pb.sin(x), kept=1, flow=1, first=1),
    "mul by itself": Chain(lambda x: x * x, kept=1, flow=1, first=1),
    # nothing is read
    "sum": Chain(lambda x: x + pb.sum(x) * 1e-9),
    "sums of rows": Chain(lambda x: x + pb.sum(x, axis=1, keepdims=True) * 1e-3),
    "sums of columns": Chain(lambda x: x + pb.sum(x, axis=0, keepdims=True) * 1e-6),
    "cumsum": Chain(lambda x: pb.cumsum(x, axis=1) * 0.05),
    "roll": Chain(lambda x: pb.roll(x, 1, axis=0)),
    "take": Chain(lambda x: pb.take(x, ORDER, axis=0)),
    "matmul": Chain(lambda x: x @ WEIGHT),
    # exp(x), of which the result is made again by its sum; a top and a sum a row
    "softmax": Chain(pb.nn.softmax, kept=1 + 2 * COLUMN, flow=1),
    # and which element is the largest, and how many are
    "softmax by parts": Chain(by_parts, kept=1 + MASK + 3 * COLUMN, flow=1),
    # the operand, of which what is normed is made again by a mean and a scale a row
    "layer norm": Chain(normed, kept=1 + 2 * COLUMN, first=1),
    # the products are computed again in registers
    "mul by weights": Chain(lambda x, w: x * w, flow=1, weights=(FULL,)),
    # the operand is read; the first is the argument
    "matmul by weights": Chain(
        lambda x, w: x @ w, kept=1, first=1, weights=(SIDE,)
    ),
    # the result, which both rules read
    "tanh layers": Chain(
        lambda x, w, b: pb.tanh(x @ w + b), kept=1, weights=(SIDE, BIAS)
    ),
    # the result, which the next product reads, and the mask
    "relu layers": Chain(
        lambda x, w, b: pb.maximum(x @ w + b, 0),
        kept=1 + MASK, first=1, weights=(SIDE, BIAS),
    ),
}  # fmt: skip


def numbers_of(kind: Chain, depth: int) -> list[Any]:
    """Return the argument and the weights."""
    weights = [
        np.eye(*shape) + 0.25 if len(shape) == 2 else np.zeros(shape)
        for _ in range(depth)
        for shape in kind.weights
    ]
    return [RNG.normal(size=FULL) * 0.1, *weights]


def chain(kind: Chain, depth: int, arrays: Any) -> Any:
    x, *weights = arrays
    count = len(kind.weights)
    for k in range(depth):
        x = kind.step(x, *weights[k * count : (k + 1) * count])
    return pb.sum(x)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The programs that are compiled."""
    found: list[Any] = []

    def compiled(graph: Any, threads: int | None = None) -> Any:
        found.append(native.compile_graph(graph))
        return found[-1]

    monkeypatch.setattr(engine, "_compiler", [compiled])
    return found


def taken(program: Any) -> float:
    """Return workspace and results of a program, less what products pack, in arrays."""
    outputs = [x.type for x in program.graph.outputs]
    results = sum(int(np.prod(t.shape)) * t.dtype.bits // 8 for t in outputs)
    scratch = program.lowered.arena.scratch
    return float(program.report().workspace - scratch + results) / ARRAY


@pytest.mark.parametrize("depth", [25, 100])
@pytest.mark.parametrize("name", CHAINS)
def test_a_deep_chain_takes_what_its_records_keep(
    name: str, depth: int, made: list[Any]
) -> None:
    kind = CHAINS[name]
    sources = [pb.constant(a) for a in numbers_of(kind, depth)]
    with pb.GradientTape() as tape:
        tape.watch(sources)
        loss = chain(kind, depth, sources)
    found = tape.gradient(loss, sources)
    del tape
    assert np.isfinite(found[0].numpy()).all()
    (program,) = made
    assert len(program.graph.outputs) == 1 + len(found)
    assert taken(program) <= 1.1 * kind.theory(depth)


@pytest.mark.parametrize("name", CHAINS)
def test_a_decorated_chain_takes_the_same(name: str, made: list[Any]) -> None:
    kind, depth = CHAINS[name], 25
    arrays = numbers_of(kind, depth)
    whole = pb.value_and_grad(lambda arrays: chain(kind, depth, arrays))
    value, found = whole(arrays)
    assert np.isfinite(found[0]).all()
    (program,) = made
    assert taken(program) <= 1.1 * kind.theory(depth)
    # what is kept, split, ordered and computed again changes no bit
    apart = native.compile_graph(program.graph, Options(fuse=False))
    inputs = [np.asarray(a) for a in arrays][: program.arguments]
    if len(inputs) == program.arguments:
        for got, want in zip((value, *found), apart.run(inputs), strict=True):
            assert got.tobytes() == want.tobytes()


@pytest.mark.parametrize("name", ["tanh", "sum", "matmul", "softmax", "relu layers"])
def test_a_chain_takes_no_more_where_its_value_is_looked_at_first(
    name: str, made: list[Any]
) -> None:
    kind, depth = CHAINS[name], 25
    sources = [pb.constant(a) for a in numbers_of(kind, depth)]
    with pb.GradientTape() as tape:
        tape.watch(sources)
        loss = chain(kind, depth, sources)
    assert np.isfinite(float(loss))
    found = tape.gradient(loss, sources)
    assert np.isfinite(found[0].numpy()).all()
    for program in made:
        # the value alone has no result that lends its memory
        assert taken(program) <= 1.1 * max(kind.theory(depth), 2)
