"""Programs of the kind users write, for the tests of native code.

Each is a function of a builder and an axis `n`, a number or a name, and returns the
outputs, a scalar loss first: gradients are taken of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from pullback.ir.adjoint import grad_graph
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.ops import new_builder
from pullback.ir.sizes import floordiv, named, smax
from pullback.ir.types import F32, F64, I64, DType, TensorType

Array = np.ndarray[Any, Any]
Make = Callable[["Maker"], list[Value]]


class Maker:
    """A builder with inputs of one float dtype and shorthand that broadcasts."""

    def __init__(self, n: Any, dtype: DType) -> None:
        self.b: Builder = new_builder()
        self.n = n
        self.dtype = dtype
        if not isinstance(n, int):
            self.b.sizes.append(str(n))

    def input(self, *shape: Any) -> Value:
        return self.b.input(TensorType(self.dtype, shape), f"x{len(self.b.inputs)}")

    def integers(self, *shape: Any) -> Value:
        return self.b.input(TensorType(I64, shape), f"i{len(self.b.inputs)}")

    def sum(self, x: Value, *axes: int) -> Value:
        out: Value = self.b.sum(x, axes=axes or tuple(range(x.type.rank)))
        return out

    def over(self, x: Value, like: Value, *axes: int) -> Value:
        """x with new axes, broadcast to the shape of `like`."""
        return self.b.broadcast(self.b.expand_dims(x, axes=axes), like.type.shape)


def cross_entropy(m: Maker) -> list[Value]:
    b, x, t = m.b, m.input(m.n, 5), m.input(m.n, 5)
    top = b.max(x, axes=(1,))
    e = b.exp(b.sub(x, m.over(top, x, 1)))
    logz = b.add(b.log(b.sum(e, axes=(1,))), top)
    loss = b.sub(m.sum(logz), m.sum(b.mul(t, x)))
    return [loss, logz]


def logsumexp_rows(m: Maker) -> list[Value]:
    b, x = m.b, m.input(3, m.n)
    return [m.sum(b.log(b.sum(b.exp(x), axes=(1,))))]


def logsumexp_columns(m: Maker) -> list[Value]:
    b, x = m.b, m.input(m.n, 11)
    return [m.sum(b.log(b.sum(b.exp(x), axes=(0,))))]


def mlp(m: Maker) -> list[Value]:
    b, x = m.b, m.input(m.n, 6)
    w1, c1, w2, c2 = m.input(6, 9), m.input(9), m.input(9, 2), m.input(2)
    h = b.contract(x, w1, lhs="ik", rhs="kj", out="ij")
    h = b.tanh(b.add(h, m.over(c1, h, 0)))
    y = b.contract(h, w2, lhs="ik", rhs="kj", out="ij")
    y = b.add(y, m.over(c2, y, 0))
    return [m.sum(b.square(y)), y]


def rosenbrock(m: Maker) -> list[Value]:
    b, x = m.b, m.input(m.n)
    rest = smax(m.n - 1, 0)
    tail = b.slice(x, start=(1,), step=(1,), size=(rest,))
    head = b.slice(x, start=(0,), step=(1,), size=(rest,))
    valley = b.square(b.sub(tail, b.square(head)))
    away = b.square(b.sub(1.0, head))
    return [m.sum(b.add(b.mul(valley, 100.0), away))]


def embedding(m: Maker) -> list[Value]:
    b, table, w, ids = m.b, m.input(7, 4), m.input(4), m.integers(m.n)
    rows = b.take(table, ids, axis=0)
    score = b.contract(rows, w, lhs="ik", rhs="k", out="i")
    return [m.sum(b.square(b.sub(score, 0.5))), rows]


def column_gather(m: Maker) -> list[Value]:
    b, x, ids = m.b, m.input(m.n, 7), m.integers(3)
    picked = b.take(x, ids, axis=1)
    return [m.sum(b.sin(b.mul(picked, picked)))]


def joined(m: Maker) -> list[Value]:
    b, x, y = m.b, m.input(m.n), m.input(3)
    both = b.concatenate(x, y, b.sin(x), axis=0)
    flipped = b.slice(
        both, start=(both.type.shape[0] - 1,), step=(-1,), size=both.type.shape
    )
    return [m.sum(b.mul(both, flipped)), both]


def stacked(m: Maker) -> list[Value]:
    b, x, y = m.b, m.input(m.n), m.input(m.n)
    pair = b.concatenate(
        b.expand_dims(x, axes=(1,)), b.expand_dims(y, axes=(1,)), axis=1
    )
    norm = b.sqrt(b.sum(b.square(pair), axes=(1,)))
    return [m.sum(norm), pair]


def placed(m: Maker) -> list[Value]:
    b, x = m.b, m.input(m.n, 3)
    wide = b.place(x, start=(1, 2), step=(2, 1), shape=(2 * m.n + 2, 7))
    return [m.sum(b.square(b.sin(wide))), wide]


def energy(m: Maker) -> list[Value]:
    b, x = m.b, m.input(m.n)
    square = (m.n, m.n)
    rows = b.broadcast(b.expand_dims(x, axes=(1,)), square)
    columns = b.broadcast(b.expand_dims(x, axes=(0,)), square)
    return [m.sum(b.square(b.sub(rows, columns)))]


def many_sums(m: Maker) -> list[Value]:
    b, x = m.b, m.input(2, m.n, 3)
    parts = [m.sum(x, *axes) for axes in ((0,), (1,), (2,), (0, 2), (1, 2), (0, 1))]
    loss = m.sum(b.tanh(x))
    for part in parts:
        loss = b.add(loss, m.sum(b.mul(part, part)))
    return [loss, *parts]


def folds(m: Maker) -> list[Value]:
    b, x = m.b, m.input(4, m.n)
    high, low = b.max(x, axes=(0,)), b.min(x, axes=(0,))
    spread = b.sub(high, low)
    return [m.sum(spread), high, low]


def reversed_steps(m: Maker) -> list[Value]:
    b, x = m.b, m.input(m.n, 7)
    picked = b.slice(x, start=(m.n - 1, 6), step=(-1, -3), size=(m.n, 3))
    every = b.slice(x, start=(0, 1), step=(2, 2), size=(floordiv(m.n + 1, 2), 3))
    return [b.add(m.sum(b.exp(picked)), m.sum(b.sin(every))), picked]


def mixed_views(m: Maker) -> list[Value]:
    b, x = m.b, m.input(m.n, 6)
    y = b.reshape(b.transpose(b.sin(x), axes=(1, 0)), shape=(3, 2 * m.n))
    z = b.transpose(b.reshape(y, shape=(3, 2, m.n)), axes=(2, 0, 1))
    w = b.reshape(z, shape=(m.n, 6))
    return [m.sum(b.mul(w, x)), z]


def batched(m: Maker) -> list[Value]:
    b, x, y = m.b, m.input(m.n, 3, 4), m.input(m.n, 4, 5)
    z = b.contract(x, y, lhs="aik", rhs="akj", out="aij")
    total = b.contract(z, b.cos(z), lhs="aij", rhs="aij", out="")
    return [b.tanh(total), z]


def branches(m: Maker) -> list[Value]:
    b, x = m.b, m.input(m.n)
    safe = b.select(b.gt(x, 0.0), b.sqrt(b.abs(x)), b.exp(x))
    return [m.sum(b.log1p(b.square(safe))), safe]


def normalised(m: Maker) -> list[Value]:
    b, x = m.b, m.input(m.n, 4)
    mean = b.mul(b.sum(x, axes=(1,)), 0.25)
    centred = b.sub(x, m.over(mean, x, 1))
    var = b.mul(b.sum(b.square(centred), axes=(1,)), 0.25)
    scale = b.div(1.0, b.sqrt(b.add(var, 1e-5)))
    y = b.mul(centred, m.over(scale, x, 1))
    return [m.sum(b.sin(y)), y]


def triangles(m: Maker) -> list[Value]:
    b, x, y = m.b, m.input(m.n, m.n), m.input(m.n, 3)
    places = TensorType(I64, x.type.shape)
    below = b.op(
        "ge", b.op("iota", axis=0, type=places), b.op("iota", axis=1, type=places)
    )
    zero = b.zeros(x.type)
    lower = b.select(below, x, zero)
    moved = b.contract(lower, y, lhs="ik", rhs="kj", out="ij")
    part = b.select(below, b.contract(moved, y, lhs="ik", rhs="jk", out="ij"), zero)
    whole = b.contract(y, y, lhs="ik", rhs="jk", out="ij")
    return [m.sum(b.mul(part, b.add(whole, x))), moved]


ALL: dict[str, Make] = {
    f.__name__: f
    for f in (
        cross_entropy, logsumexp_rows, logsumexp_columns, mlp, rosenbrock, embedding,
        column_gather, joined, stacked, placed, energy, many_sums, folds,
        reversed_steps, mixed_views, batched, branches, normalised, triangles,
    )
}  # fmt: skip
CANNOT_BE_EMPTY = ("cross_entropy",)  # a maximum over no element


@dataclass
class Case:
    """A program, and one of its arrays' makers."""

    name: str
    graph: Graph

    def arrays(self, n: int, seed: int = 0) -> list[Array]:
        rng = np.random.default_rng(seed)
        out = []
        for x in self.graph.inputs:
            shape = tuple(d if isinstance(d, int) else n for d in x.type.shape)
            if x.type.dtype.is_float:
                out.append(rng.normal(size=shape).astype(x.type.dtype.numpy))
            else:
                out.append(rng.integers(-7, 7, shape))
        return out


def program(name: str, n: int | str, order: int = 1, dtype: DType = F64) -> Case:
    """A program with its gradient; order 0 without, order 2 with that of the gradient.

    The function whose gradient order 2 takes is the sum of squares of the gradients.
    """
    m = Maker(named(n) if isinstance(n, str) else n, dtype)
    graph = m.b.finish(name, ALL[name](m))
    wrt = [k for k, x in enumerate(graph.inputs) if x.type.dtype.is_float]
    if order:
        graph = grad_graph(graph, wrt)
    if order == 2:
        graph = grad_graph(_squared(graph, len(wrt)), wrt)
    return Case(f"{name} order {order}", graph)


def _squared(graph: Graph, grads: int) -> Graph:
    b = new_builder()
    b.inputs, b.names = list(graph.inputs), list(graph.names)
    b.nodes, b.sizes = list(graph.nodes), list(graph.sizes)
    b.guards = list(graph.guards)
    loss: Any = b.constant(0.0, graph.outputs[0].type.dtype)
    for g in graph.outputs[-grads:]:
        loss = b.add(loss, b.sum(b.square(g), axes=tuple(range(g.type.rank))))
    return b.finish(graph.name, [loss, *graph.outputs])


__all__ = ["ALL", "CANNOT_BE_EMPTY", "F32", "F64", "Case", "program"]
