"""Programs with loops and choices, built by hand."""

from collections.abc import Callable, Sequence
from typing import Any

from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.ops import OPS, new_builder
from pullback.ir.sizes import SizeExpr
from pullback.ir.subgraph import SubGraph, with_sizes
from pullback.ir.types import F64, I64, TensorType

SCALAR = TensorType(F64, ())
Make = Callable[..., Sequence[Value]]  # (builder, *inputs) -> outputs


def vector(n: "int | SizeExpr") -> TensorType:
    return TensorType(F64, (n,))


def region(kinds: Sequence[TensorType], make: Make) -> SubGraph:
    b = new_builder()
    inputs = [b.input(kind, f"r{k}") for k, kind in enumerate(kinds)]
    return SubGraph(with_sizes(b.finish("region", make(b, *inputs))))


def types(values: Sequence[Value]) -> list[TensorType]:
    return [x.type for x in values]


def while_loop(
    b: Builder,
    cond: Make,
    body: Make,
    carries: Sequence[Value],
    fixed: Sequence[Value] = (),
    trips: str | None = None,
) -> tuple[Value, ...]:
    operands = (*carries, *fixed)
    kinds = types(operands)
    params: dict[str, Any] = {
        "carries": len(carries),
        "cond": region(kinds, cond),
        "body": region(kinds, body),
        "trips": None if trips is None else b.fresh_size(trips),
        "extends": None,
    }
    return b.apply(OPS["while_loop"], operands, params)


def scan(
    b: Builder,
    body: Make,
    carries: Sequence[Value],
    xs: Sequence[Value] = (),
    fixed: Sequence[Value] = (),
    *,
    length: "int | SizeExpr",
    reverse: bool = False,
    checkpoints: int = 0,
) -> tuple[Value, ...]:
    operands = (*carries, *xs, *fixed)
    elements = [x.type.with_shape(x.type.shape[1:]) for x in xs]
    params = {
        "carries": len(carries),
        "xs": len(xs),
        "length": length,
        "reverse": reverse,
        "body": region([*types(carries), *elements, *types(fixed)], body),
        "extends": None,
    }
    if checkpoints:
        params["checkpoints"] = checkpoints
    return b.apply(OPS["scan"], operands, params)


def switch(
    b: Builder, index: Value, branches: Sequence[Make], operands: Sequence[Value]
) -> tuple[Value, ...]:
    made = tuple(region(types(operands), branch) for branch in branches)
    return b.apply(OPS["switch"], (index, *operands), {"branches": made})


# --- programs: floats in, a float scalar out ------------------------------------------


def newton(b: Builder, x: Value, a: Value) -> Value:
    """The square root of a: as many steps as it takes."""
    return while_loop(
        b,
        lambda b, x, a: [b.gt(b.abs(b.sub(b.mul(x, x), a)), 1e-13)],
        lambda b, x, a: [b.mul(b.add(x, b.div(a, x)), 0.5)],
        [x],
        [a],
    )[0]


def doubling(b: Builder, x: Value, a: Value) -> Value:
    """Doubles a vector until it is long; what each step stacks is summed too."""
    out, stack = while_loop(
        b,
        lambda b, y, c: [b.lt(b.sum(b.mul(y, y), axes=(0,)), 40.0)],
        lambda b, y, c: [
            b.mul(y, b.broadcast(b.add(c, 1.0), y.type.shape)),
            b.sum(b.sin(y), axes=(0,)),
        ],
        [b.broadcast(b.expand_dims(x, axes=(0,)), (3,))],
        [a],
        "trips",
    )
    return b.add(b.sum(out, axes=(0,)), b.sum(stack, axes=(0,)))


def recurrence(b: Builder, x: Value, a: Value) -> Value:
    """A scan with carries, a sequence, an invariant and a stack, from the end."""
    places = b.apply(OPS["iota"], (), {"axis": 0, "type": vector(5)})[0]
    xs = b.mul(places, b.broadcast(a, (5,)))
    h, s, ys = scan(
        b,
        lambda b, h, s, x, w: [
            b.tanh(b.fma(w, h, x)),
            b.add(s, b.mul(h, x)),
            b.sin(h),
        ],
        [x, b.mul(x, 0.25)],
        [xs],
        [a],
        length=5,
        reverse=True,
    )
    return b.add(b.add(h, s), b.sum(b.mul(ys, ys), axes=(0,)))


def choice(b: Builder, x: Value, a: Value) -> Value:
    """A choice among three, one of which ignores an operand."""
    index = b.cast(b.gt(x, a), dtype=I64)
    made = switch(
        b,
        index,
        [
            lambda b, x, a: [b.mul(b.sin(x), a)],
            lambda b, x, a: [b.exp(a)],
            lambda b, x, a: [b.log(x)],
        ],
        [x, a],
    )
    return b.mul(made[0], x)


def nested(b: Builder, x: Value, a: Value) -> Value:
    """A scan whose steps run a while loop and a choice."""

    def step(b: Builder, h: Value, w: Value) -> list[Value]:
        root = newton(b, b.add(h, 1.0), w)
        turned = switch(
            b,
            b.cast(b.gt(h, 1.0), dtype=I64),
            [lambda b, h, r: [b.mul(h, r)], lambda b, h, r: [b.sub(r, h)]],
            [h, root],
        )
        return [turned[0], root]

    h, ys = scan(b, step, [x], [], [a], length=4)
    return b.add(h, b.sum(ys, axes=(0,)))


def loop_in_loop(b: Builder, x: Value, a: Value) -> Value:
    """A while loop whose steps scan."""

    def step(b: Builder, h: Value, w: Value) -> list[Value]:
        inner = scan(
            b, lambda b, c, w: [b.mul(b.sin(c), w)], [b.mul(h, 0.5)], [], [w], length=3
        )
        return [b.add(h, b.fma(inner[0], inner[0], 0.2))]

    return while_loop(b, lambda b, h, w: [b.lt(h, 1.6)], step, [x], [a])[0]


def revolved(b: Builder, x: Value, a: Value) -> Value:
    """A scan as `recurrence` whose adjoint keeps two carries."""
    places = b.apply(OPS["iota"], (), {"axis": 0, "type": vector(7)})[0]
    xs = b.mul(places, b.broadcast(a, (7,)))
    h, n, ys = scan(
        b,
        lambda b, h, n, x, w: [b.tanh(b.fma(w, h, x)), b.add(n, 1), b.sin(h)],
        [x, b.constant(0)],
        [xs],
        [a],
        length=7,
        checkpoints=2,
    )
    total = b.add(h, b.sum(b.mul(ys, ys), axes=(0,)))
    return b.mul(total, b.cast(n, dtype=F64))


PROGRAMS: dict[str, Callable[[Builder, Value, Value], Value]] = {
    f.__name__: f
    for f in (newton, doubling, recurrence, choice, nested, loop_in_loop, revolved)
}


def program(name: str) -> Graph:
    """Return a program of x and a, whose values at (0.7, 1.3) are smooth."""
    b = new_builder()
    x, a = b.input(SCALAR, "x"), b.input(SCALAR, "a")
    return b.finish(name, [PROGRAMS[name](b, x, a)])
