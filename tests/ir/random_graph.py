"""Small random programs for the tests of the tools of ir."""

import random

import numpy as np
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.ops import new_builder
from pullback.ir.sizes import smax
from pullback.ir.types import TensorType, parse_type

UNARY = ("neg", "sin", "cos", "tanh", "exp", "square", "abs", "sigmoid", "sign")
BINARY = ("add", "sub", "mul", "maximum", "minimum")
TYPES = ("f64[]", "f64[3]", "f64[n]", "f64[2,3]", "f64[n,3]")


def read(text: str) -> str:
    """Return text IR as it is written in a test: with a header, without indentation."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return "\n".join(["pullback-ir 1", *lines]) + "\n"


def _viewed(b: Builder, x: Value, rng: random.Random) -> Value:
    kind = rng.randrange(6)
    rank = x.type.rank
    if kind == 0:
        return b.transpose(x, axes=tuple(rng.sample(range(rank), rank)))
    if kind == 1:
        return b.expand_dims(x, axes=(rng.randrange(rank + 1),))
    if kind == 2:
        axes = tuple(k for k, d in enumerate(x.type.shape) if d == 1)
        return b.squeeze(x, axes=axes)
    if kind == 3 and rank < 3:
        return b.broadcast(x, (2, *x.type.shape))
    if kind == 4 and rank:
        return b.sum(x, axes=(rng.randrange(rank),))
    if kind == 5 and rank and rng.random() < 0.7:
        return _moved(b, x, rng)
    return b.reshape(x, shape=x.type.shape)


def _moved(b: Builder, x: Value, rng: random.Random) -> Value:
    axis, kind, rank = rng.randrange(x.type.rank), rng.randrange(4), x.type.rank
    shape = x.type.shape
    if kind == 0:
        idx = b.constant(np.array([[0], [0]]))
        y = b.concatenate(
            x,
            b.sin(x),
            b.zeros(x.type.with_shape((*shape[:axis], 1, *shape[axis + 1 :]))),
            axis=axis,
        )
        return b.take(y, idx, axis=axis)
    if kind == 1:
        start = tuple(1 if k == axis else 0 for k in range(rank))
        size = tuple(smax(d - 1, 0) if k == axis else d for k, d in enumerate(shape))
        return b.slice(x, start=start, step=(1,) * rank, size=size)
    if kind == 2:
        return b.concatenate(x, x, axis=axis)
    labels = "abcd"[:rank]
    out = labels.replace(labels[axis], "")
    return b.contract(x, b.cos(x), lhs=labels, rhs=labels, out=out)


def _guarded(b: Builder, x: Value, rng: random.Random) -> Value:
    """Return a singular op in a branch that keeps it from its pole."""
    inner = b.op(rng.choice(("sqrt", "log", "exp")), x)
    other = rng.choice((inner, b.div(inner, x), b.mul(inner, x)))
    return b.select(b.gt(x, 0.25), other, 0.0)


def _step(b: Builder, values: list[Value], rng: random.Random) -> Value:
    x = rng.choice(values)
    kind = rng.randrange(11)
    if kind == 10:
        return _guarded(b, x, rng)
    if kind < 3:
        return b.op(rng.choice(UNARY), x)
    if kind < 6:
        y = rng.choice([v for v in values if v.type == x.type])
        return b.op(rng.choice(BINARY), x, y)
    if kind < 7:
        number = rng.choice([0.0, -0.0, 1.0, -1.0, 2.0])
        return b.op(rng.choice(("add", "sub", "mul")), x, number)
    if kind < 8:
        y = rng.choice([v for v in values if v.type == x.type])
        return b.select(b.gt(x, y), b.mul(x, y), 0.0)
    if kind < 9:
        return b.integer_pow(x, n=rng.choice([0, 1, 2, 3]))
    return _viewed(b, x, rng)


def random_graph(seed: int, steps: int = 25) -> Graph:
    """Return a program of smooth and kinked ops with a scalar output and two others."""
    rng = random.Random(seed)
    b = new_builder(strict=rng.random() < 0.3)
    b.sizes.append("n")
    values = [
        b.input(parse_type(text), f"x{k}")
        for k, text in enumerate([*rng.sample(TYPES, 3), "f64[n]"])
    ]
    for _ in range(steps):
        values.append(_step(b, values, rng))
    loss = b.constant(0.0)
    for x in values[-4:]:
        bounded = b.sin(x)
        total = b.sum(bounded, axes=tuple(range(x.type.rank)))
        loss = b.add(loss, total)
    return b.finish("random", [loss, values[-1], values[-6]])


def random_arrays(graph: Graph, n: int, seed: int) -> list[np.ndarray]:
    """Return arrays for the inputs of a random program."""
    rng = np.random.default_rng(seed)

    def shape(kind: TensorType) -> list[int]:
        return [d if isinstance(d, int) else n for d in kind.shape]

    return [rng.normal(size=shape(x.type)) for x in graph.inputs]
