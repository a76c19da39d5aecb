"""Programs with loops and choices, each with the arrays it is called on."""

from collections.abc import Callable
from typing import Any

import numpy as np
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.sizes import named
from pullback.ir.types import F64, I64, parse_type
from regions import program, scan, switch, while_loop

Array = np.ndarray[Any, Any]
Case = tuple[Graph, list[Array]]

RNG = np.random.default_rng(7)


def numbers(*shape: int, dtype: str = "float64") -> Array:
    return np.asarray(RNG.uniform(-1.5, 1.5, shape), dtype)


def f64(value: float) -> Array:
    return np.asarray(value, np.float64)


def i64(value: int) -> Array:
    return np.asarray(value, np.int64)


# -- scans -----------------------------------------------------------------------------


def polynomial(steps: int, reverse: bool = False) -> Case:
    """A scalar carry, a sequence, an invariant, a stack."""
    b, (c, a, xs) = program("f64[]", "f64[]", f"f64[{steps}]")
    out = scan(
        b, [c], [xs], [a], lambda b, c, e, a: [b.add(b.mul(c, a), e), b.mul(c, e)],
        steps, reverse,
    )  # fmt: skip
    return b.finish("polynomial", out), [f64(0.5), f64(0.9), numbers(steps)]


def running(steps: int) -> Case:
    """Vector carries of named size; a stack of rows; a sequence of rows."""
    b, (c, xs) = program("f64[n]", "f64[m,n]")
    m = named("m")

    def body(b: Builder, c: Value, e: Value) -> list[Value]:
        made = b.add(b.mul(c, 0.5), b.sin(e))
        return [made, b.mul(made, made), b.sum(made, axes=(0,))]

    out = scan(b, [c], [xs], [], body, m)
    return b.finish("running", out), [numbers(5), numbers(steps, 5)]


def passed(steps: int) -> Case:
    """Carries that swap, carries that stay, stacks that are inputs."""
    b, (x, y, z, xs) = program("f64[3]", "f64[3]", "i64[]", f"f32[{steps}]")

    def body(b: Builder, x: Value, y: Value, z: Value, e: Value) -> list[Value]:
        return [y, x, z, x, x, e, z]

    out = scan(b, [x, y, z], [xs], [], body, steps)
    arrays = [numbers(3), numbers(3), i64(-4), numbers(steps, dtype="float32")]
    return b.finish("passed", out), arrays


def counted(steps: int, reverse: bool = False) -> Case:
    """Sequences that are positions, of two dtypes; they are not materialised."""
    b, (c,) = program("f64[2]")
    k = positions(b, steps)
    h = positions(b, steps, "f64")

    def body(b: Builder, c: Value, k: Value, h: Value) -> list[Value]:
        wide = b.broadcast(h, (2,))
        return [b.add(c, wide), b.mul(c, wide), b.add(k, 3)]

    out = scan(b, [c], [k, h], [], body, steps, reverse)
    return b.finish("counted", out), [numbers(2)]


def positions(b: Builder, size: Any, dtype: str = "i64") -> Value:

    return b.iota(type=parse_type(f"{dtype}[{size}]"), axis=0)


def matrices(steps: int) -> Case:
    """Contractions, a product of matrices as carry, workspace of its own."""
    b, (m, w, xs) = program("f64[4,4]", "f64[4,4]", f"f64[{steps},4]")

    def body(b: Builder, m: Value, e: Value, w: Value) -> list[Value]:
        made = b.contract(m, w, lhs="ij", rhs="jk", out="ik")
        v = b.contract(made, e, lhs="ij", rhs="j", out="i")
        rows = b.broadcast_to(b.expand_dims(b.tanh(v), axes=(1,)), shape=(4, 4))
        return [b.add(made, rows), b.sum(b.mul(v, v), axes=(0,))]

    out = scan(b, [m], [xs], [w], body, steps)
    return b.finish("matrices", out), [numbers(4, 4), numbers(4, 4), numbers(steps, 4)]


def flags(steps: int) -> Case:
    """bool and f32 and i32 carries."""
    b, (p, x, k, xs) = program("bool[3]", "f32[3]", "i32[]", f"f32[{steps},3]")

    def body(b: Builder, p: Value, x: Value, k: Value, e: Value) -> list[Value]:
        up = b.gt(e, x)
        return [
            b.logical_xor(p, up), b.select(up, e, x), b.add(k, 1), up,
            b.logical_and(p, up),
        ]  # fmt: skip

    out = scan(b, [p, x, k], [xs], [], body, steps)
    arrays = [
        np.array([True, False, True]), numbers(3, dtype="float32"),
        np.asarray(5, np.int32), numbers(steps, 3, dtype="float32"),
    ]  # fmt: skip
    return b.finish("flags", out), arrays


def empty() -> Case:
    """Values without elements."""
    b, (c, xs) = program("f64[0]", "f64[4,0]")
    out = scan(b, [c], [xs], [], lambda b, c, e: [b.add(c, e), c], 4)
    return b.finish("empty", out), [numbers(0), numbers(4, 0)]


def twice() -> Case:
    """Equal loops on other operands, and a result that is an outer output twice."""
    b, (c, d, xs) = program("f64[]", "f64[]", "f64[6]")

    def body(b: Builder, c: Value, e: Value) -> list[Value]:
        return [b.add(c, b.exp(e)), c]

    first = scan(b, [c], [xs], [], body, 6)
    second = scan(b, [d], [first[1]], [], body, 6)
    third = scan(b, [second[0]], [xs], [], body, 6)
    outs = [first[0], first[0], second[1], b.reshape(second[1], shape=(2, 3)), third[0]]
    return b.finish("twice", [*outs, b.mul(third[1], 2.0)]), [
        f64(0.25), f64(-1.0), numbers(6),
    ]  # fmt: skip


def large() -> Case:
    """Carries beyond any register, folded and looked up."""
    b, (c, xs, at) = program("f64[70]", "f64[5,70]", "i64[5,9]")

    def body(b: Builder, c: Value, e: Value, at: Value) -> list[Value]:
        made = b.fma(c, e, c)
        picked = b.take(made, at, axis=0)
        return [made, b.sum(made, axes=(0,)), b.max(picked, axes=(0,)), picked]

    out = scan(b, [c], [xs, at], [], body, 5)
    arrays = [numbers(70), numbers(5, 70), RNG.integers(-70, 70, (5, 9))]
    return b.finish("large", out), arrays


# -- while -----------------------------------------------------------------------------


def root() -> Case:
    """Newton's iteration."""
    b, (x, a) = program("f64[]", "f64[]")
    out = while_loop(
        b, [x], [a],
        lambda b, x, a: [b.gt(b.abs(b.sub(b.mul(x, x), a)), 1e-9)],
        lambda b, x, a: [b.mul(b.add(x, b.div(a, x)), 0.5)],
    )  # fmt: skip
    return b.finish("root", out), [f64(1.0), f64(2.0)]


def countdown(steps: int) -> Case:
    """Carries of two shapes through a given number of steps."""
    b, (k, x) = program("i64[]", "f64[n]")
    out = while_loop(
        b, [k, x], [],
        lambda b, k, x: [b.gt(k, 0)],
        lambda b, k, x: [b.sub(k, 1), b.add(b.mul(x, 0.75), 1.0)],
    )  # fmt: skip
    return b.finish("countdown", out), [i64(steps), numbers(6)]


def trail(steps: int) -> Case:
    """A late size: a loop that keeps what it saw, and what is made of that."""
    b, (k, x) = program("i64[]", "f64[3]")
    made = while_loop(
        b, [k, x], [],
        lambda b, k, x: [b.gt(k, 0)],
        lambda b, k, x: [
            b.sub(k, 1), b.add(b.mul(x, 0.75), 1.0), x, b.sum(x, axes=(0,)),
            b.gt(x, 0.0),
        ],
        trips="t0",
    )  # fmt: skip
    t = named("t0")
    _, x, rows, sums, signs = made
    scaled = b.mul(b.exp(b.neg(rows)), rows)
    total = b.sum(scaled, axes=(0,))
    spread = b.contract(rows, rows, lhs="ij", rhs="ik", out="jk")
    many = b.sum(b.constant(1.0, rows.type.dtype, (t,)), axes=(0,))
    size = b.cast(b.constant(t, None, ()), dtype=rows.type.dtype)
    back = scan(
        b, [x], [rows, sums, signs], [],
        lambda b, c, r, s, p: [
            b.select(p, b.fma(c, r, b.broadcast(s, (3,))), r), b.mul(c, r)
        ],
        t, True,
    )  # fmt: skip
    last = b.max(b.concatenate(back[1], rows, axis=0), axes=(0, 1)) if steps else x
    outs = [x, total, spread, many, size, back[0], last]
    return b.finish("trail", outs), [i64(steps), numbers(3)]


# -- switch ----------------------------------------------------------------------------


def choice(k: int, named_size: bool = False) -> Case:
    """Branches of four kinds, one of them a pass-through."""
    n = "n" if named_size else 4
    b, (index, x, y) = program("i64[]", f"f64[{n}]", f"f64[{n}]")
    out = switch(
        b, index, [x, y],
        lambda b, x, y: [b.add(x, y), b.sum(x, axes=(0,))],
        lambda b, x, y: [y, b.sum(b.mul(x, y), axes=(0,))],
        lambda b, x, y: [b.sin(x), b.constant(2.5)],
        lambda b, x, y: [b.cos(x), b.sum(b.sin(x), axes=(0,))],
    )  # fmt: skip
    return b.finish("choice", [*out, b.add(out[0], 1.0)]), [
        i64(k), numbers(4), numbers(4),
    ]  # fmt: skip


def searched() -> Case:
    """Loops and choices within a step in registers; what they share is not theirs."""
    b, (c, xs) = program("f64[]", "f64[6]")

    def body(b: Builder, c: Value, e: Value) -> list[Value]:
        halved = while_loop(
            b, [e, c], [],
            lambda b, e, c: [b.gt(b.abs(b.sin(e)), 0.2)],
            lambda b, e, c: [b.mul(b.sin(e), 0.5), b.add(c, b.cos(e))],
        )  # fmt: skip
        index = b.cast(b.gt(e, 0.0), dtype=I64)
        made = switch(
            b, index, halved,
            lambda b, e, c: [b.add(b.sin(c), b.cos(e))],
            lambda b, e, c: [b.sub(b.cos(c), b.sin(e))],
        )  # fmt: skip
        few = scan(
            b, [made[0]], [], [e],
            lambda b, c, e: [b.add(b.cos(c), b.sin(e)), c], 3, True,
        )  # fmt: skip
        return [few[0], b.add(b.sum(few[1], axes=(0,)), b.sin(e))]

    return b.finish("searched", scan(b, [c], [xs], [], body, 6)), [f64(0.5), numbers(6)]


def columns() -> Case:
    """Every kind of small op: looked up, placed, running, folded along either axis."""
    b, (c, xs, at) = program("f64[2,3]", "f32[4,3]", "i64[4,2]")

    def body(b: Builder, c: Value, e: Value, at: Value) -> list[Value]:
        wide = b.broadcast_to(b.cast(e, dtype=F64), shape=(2, 3))
        made = b.add(b.mul(c, 0.5), wide)
        picked = b.take(made, at, axis=1)
        running = b.cumsum(made, axis=1, reverse=True)
        turned = b.transpose(made, axes=(1, 0))
        square = b.contract(made, turned, lhs="ij", rhs="jk", out="ki")
        padded = b.place(
            b.slice(turned, start=(2, 0), step=(-2, 1), size=(2, 2)),
            start=(4, 1), step=(-2, 1), shape=(5, 4),
        )  # fmt: skip
        steps = b.cast(positions(b, 3), dtype=F64)
        return [
            b.add(made, b.broadcast_to(steps, shape=(2, 3))),
            picked, running, square, padded,
            b.max(made, axes=(0,)), b.prod(made, axes=(1,)), b.min(made, axes=(0, 1)),
            b.constant(np.array([-0.0, 3.0])), b.sum(b.mul(made, -0.0), axes=(0, 1)),
        ]  # fmt: skip

    out = scan(b, [c], [xs, at], [], body, 4)
    looked = RNG.integers(-3, 3, (4, 2))
    return b.finish("columns", out), [
        numbers(2, 3), numbers(4, 3, dtype="float32"), looked,
    ]  # fmt: skip


def wide_invariants() -> Case:
    """Working memory of a loop whose size another loop bound."""
    b, (k, x) = program("i64[]", "f64[3]")
    made = while_loop(
        b, [k, x], [],
        lambda b, k, x: [b.gt(k, 0)],
        lambda b, k, x: [b.sub(k, 1), b.mul(x, 0.75), x],
        trips="t2",
    )  # fmt: skip

    def body(b: Builder, c: Value, rows: Value) -> list[Value]:
        scores = b.contract(rows, c, lhs="ij", rhs="j", out="i")
        most = b.broadcast_to(b.max(scores, axes=(0,)), shape=scores.type.shape)
        weights = b.exp(b.sub(scores, most))
        mean = b.contract(weights, rows, lhs="i", rhs="ij", out="j")
        total = b.sum(weights, axes=(0,))
        return [b.div(mean, b.broadcast_to(total, shape=(3,))), total]

    out = scan(b, [made[1]], [], [made[2]], body, 5)
    return b.finish("wide", out), [i64(11), numbers(3)]


# -- nested ----------------------------------------------------------------------------


def nested(steps: int) -> Case:
    """A scan in a while in a switch in a scan; late sizes within."""
    b, (c, xs) = program("f64[2]", f"f64[{steps},2]")

    def inner(b: Builder, x: Value, e: Value) -> list[Value]:
        return [b.fma(x, e, x), b.mul(x, 0.5)]

    def walk(b: Builder, c: Value, e: Value) -> list[Value]:
        k = b.constant(3, None, ())
        loop = while_loop(
            b, [k, c], [e],
            lambda b, k, c, e: [b.gt(k, 0)],
            lambda b, k, c, e: [
                b.sub(k, 1),
                scan(b, [c], [e], [], lambda b, c, e: [
                    b.add(b.mul(c, 0.5), b.broadcast(e, (2,)))], 2)[0],
                b.sum(c, axes=(0,)),
            ],
            trips="t1",
        )  # fmt: skip
        kept = b.sum(loop[2], axes=(0,))
        return [b.add(loop[1], b.broadcast(kept, (2,)))]

    def outer(b: Builder, c: Value, e: Value, k: Value) -> list[Value]:
        index = b.bitwise_and(k, 1)
        made = switch(b, index, [c, e], walk, lambda b, c, e: [b.cos(b.mul(c, e))])
        return [made[0], b.sum(made[0], axes=(0,))]

    out = scan(b, [c], [xs, positions(b, steps)], [], outer, steps)
    return b.finish("nested", out), [numbers(2), numbers(steps, 2)]


CASES: dict[str, Callable[[], Case]] = {
    **{f"polynomial {n}": lambda n=n: polynomial(n) for n in (0, 1, 2, 3, 8)},
    "polynomial back": lambda: polynomial(5, True),
    **{f"running {n}": lambda n=n: running(n) for n in (0, 2, 3, 20)},
    **{f"passed {n}": lambda n=n: passed(n) for n in (0, 1, 2, 3, 6)},
    "counted": lambda: counted(7),
    "counted back": lambda: counted(4, True),
    **{f"matrices {n}": lambda n=n: matrices(n) for n in (1, 4)},
    "flags": lambda: flags(5),
    "empty": empty,
    "twice": twice,
    "large": large,
    "root": root,
    **{f"countdown {n}": lambda n=n: countdown(n) for n in (-1, 1, 2, 9)},
    **{f"trail {n}": lambda n=n: trail(n) for n in (0, 1, 2, 15, 16, 17, 100)},
    **{f"choice {k}": lambda k=k: choice(k) for k in range(4)},
    "choice of n": lambda: choice(2, True),
    "searched": searched,
    "columns": columns,
    "wide invariants": wide_invariants,
    **{f"nested {n}": lambda n=n: nested(n) for n in (1, 5)},
}
