"""Every op inside loops, branches and batches: its derivatives hold there too.

The dot-product identity <ct, J v> = <J^T ct, v>, and the symmetry of the second
derivative of a scalar, of programs that run an op in a region of a control op or over a
batch.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from control_programs import region, types
from op_samples import named_samples, sample_arrays, type_of
from pullback.ir.adjoint import grad_graph, vjp_graph
from pullback.ir.batching import batch_graph
from pullback.ir.builder import Builder
from pullback.ir.forward import jvp_graph
from pullback.ir.graph import Graph, Value
from pullback.ir.interpreter import interpret
from pullback.ir.ops import OPS, new_builder
from pullback.ir.primitive import Primitive, Rule
from pullback.ir.types import BOOL

Array = np.ndarray[Any, Any]
Body = Callable[[Builder, Sequence[Value]], Sequence[Value]]

SAMPLES = [
    pytest.param(op, sample, id=name)
    for name, op, sample in named_samples()
    if not isinstance(op.vjp, Rule)
]


def in_scan(b: Builder, body: Body, given: Sequence[Value]) -> Sequence[Value]:
    """Two steps that stack what the op gives."""
    held = region(types(given), lambda b, *xs: body(b, xs))
    return b.apply(
        OPS["scan"],
        tuple(given),
        {
            "carries": 0, "xs": 0, "length": 2, "reverse": False, "body": held,
            "extends": None,
        },
    )  # fmt: skip


def in_while(b: Builder, body: Body, given: Sequence[Value]) -> Sequence[Value]:
    """Steps that run once, and carry what the op gives."""
    made = body(b, given)
    going = b.constant(True, BOOL)
    carries = [going, *[b.zeros(y.type) for y in made]]
    kinds = types([*carries, *given])
    count = len(carries)
    results = b.apply(
        OPS["while_loop"],
        (*carries, *given),
        {
            "carries": count,
            "cond": region(kinds, lambda b, *xs: [xs[0]]),
            "body": region(
                kinds,
                lambda b, *xs: [b.constant(False, BOOL), *body(b, xs[count:])],
            ),
            "trips": None,
            "extends": None,
        },
    )
    return results[1:]


def in_switch(b: Builder, body: Body, given: Sequence[Value]) -> Sequence[Value]:
    """The second of two branches; the first gives zeros."""
    kinds = types(given)
    held = region(kinds, lambda b, *xs: body(b, xs))
    none = region(kinds, lambda b, *xs: [b.zeros(kind) for kind in held.gives])
    return b.apply(OPS["switch"], (b.constant(1), *given), {"branches": (none, held)})


WRAPS = {"scan": in_scan, "while": in_while, "switch": in_switch}


def program(
    op: Primitive, params: dict[str, Any], arrays: Sequence[Array], within: str
) -> Graph:
    """An op inside something; its float results alone."""

    def body(b: Builder, xs: Sequence[Value]) -> Sequence[Value]:
        made = b.apply(op, tuple(xs), params)
        return [y for y in made if y.type.dtype.is_float]

    b = new_builder()
    given = [b.input(type_of(a), f"x{k}") for k, a in enumerate(arrays)]
    if within == "batch":
        graph = b.finish(op.name, body(b, given))
        return batch_graph(graph, [True] * len(given), 2)
    return b.finish(op.name, WRAPS[within](b, body, given))


def total(graph: Graph, rng: np.random.Generator) -> Graph:
    """A scalar: what a program gives, weighted."""
    b = new_builder()
    b.inputs, b.names = list(graph.inputs), list(graph.names)
    b.nodes = list(graph.nodes)
    terms = []
    for y in graph.outputs:
        weight = b.constant(np.asarray(rng.uniform(0.5, 1.5, shape_of(y))))
        weight = b.cast(weight, dtype=y.type.dtype) if y.type.rank else weight
        term = b.mul(y, weight) if y.type.rank else b.mul(y, 0.75)
        square = b.mul(term, y)
        terms.append(
            b.sum(square, axes=tuple(range(y.type.rank))) if y.type.rank else square
        )
    out = terms[0]
    for term in terms[1:]:
        out = b.add(out, b.cast(term, dtype=out.type.dtype))
    return b.finish("total", [out])


def shape_of(x: Value) -> tuple[int, ...]:
    return tuple(d for d in x.type.shape if isinstance(d, int))


def drawn(x: Value, rng: np.random.Generator) -> Array:
    return np.asarray(rng.standard_normal(shape_of(x)), x.type.dtype.numpy)


def dot(xs: Sequence[Array], ys: Sequence[Array]) -> tuple[float, float]:
    """The product, and that of magnitudes."""
    terms = [np.sum(x * y) for x, y in zip(xs, ys, strict=True)]
    sizes = [np.sum(np.abs(x * y)) for x, y in zip(xs, ys, strict=True)]
    return float(sum(terms)), float(sum(sizes))


@pytest.mark.parametrize("within", ["scan", "while", "switch", "batch"])
@pytest.mark.parametrize(("op", "sample"), SAMPLES)
def test_derivatives_hold_inside(op: Primitive, sample: Any, within: str) -> None:
    rng = np.random.default_rng(3)
    made = sample_arrays(op, sample, 3, np.float64, rng)
    if made is None:
        return
    arrays, params = made
    graph = program(op, params, arrays, within)
    if within == "batch":
        arrays = [np.stack([a, a]) for a in arrays]
    wrt = [k for k, x in enumerate(graph.inputs) if x.type.dtype.is_float]
    moved = [graph.inputs[k] for k in wrt]
    if any(x.type.dtype.bits == 32 for x in [*moved, *graph.outputs]):
        return  # casts between widths: their digits are few
    if not moved or not graph.outputs:
        return  # a sample of integers
    along = [drawn(x, rng) for x in moved]
    seeds = [drawn(y, rng) for y in graph.outputs]
    count = len(graph.outputs)
    tangents = interpret(jvp_graph(graph, wrt), [*arrays, *along])[count:]
    cts = interpret(vjp_graph(graph, wrt), [*arrays, *seeds])[count:]
    left, size = dot(seeds, tangents)
    right, other = dot(cts, along)
    assert abs(left - right) <= 1e-10 * (1 + size + other), (left, right)

    scalar = grad_graph(total(graph, rng), wrt, keep_value=False)
    across = [drawn(x, rng) for x in moved]
    second = jvp_graph(scalar, wrt)
    n = len(wrt)
    row = interpret(second, [*arrays, *along])[n:]
    column = interpret(second, [*arrays, *across])[n:]
    left, size = dot(row, across)
    right, other = dot(column, along)
    assert abs(left - right) <= 1e-8 * (1 + size + other), (left, right)
