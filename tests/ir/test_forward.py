"""Tangents of every op: against differences, and against its cotangents."""

from dataclasses import replace

import numpy as np
import pytest
from op_samples import (
    Program,
    differentiate,
    named_samples,
    normal_like,
    one_op,
    params_of,
    sample_arrays,
    type_of,
    types_of,
)
from pullback.ir.builder import Builder
from pullback.ir.errors import GradientLookupError, OpTypeError
from pullback.ir.forward import jvp_graph, pushforward
from pullback.ir.ops import OPS
from pullback.ir.primitive import NON_DIFFERENTIABLE, UNREGISTERED, Rule
from pullback.ir.sizes import named
from pullback.ir.types import F64

SAMPLES = [
    pytest.param(op, sample, id=name)
    for name, op, sample in named_samples()
    if not isinstance(op.vjp, Rule)
]


def push(program):
    """The program of the tangents of float outputs; inputs, then their tangents."""
    b = program.builder
    wrt = [x for x in program.inputs if x.type.dtype.is_float]
    seeds = [b.input(x.type, f"t{k}") for k, x in enumerate(wrt)]
    floats = [y for y in program.outputs if y.type.dtype.is_float]
    tangents = dict(zip(wrt, seeds, strict=True))
    made = pushforward(b, b.nodes, tangents, floats)
    outputs = [
        b.zeros(y.type) if t is None else t for y, t in zip(floats, made, strict=True)
    ]
    return Program(b, [*program.inputs, *seeds], outputs)


def drawn(program, rng):
    wrt = [x for x in program.inputs if x.type.dtype.is_float]
    return [normal_like(x, rng) for x in wrt]


def dot(xs, ys):
    pairs = zip(xs, ys, strict=True)
    return sum(float(np.sum(x.astype(float) * y.astype(float))) for x, y in pairs)


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize(("op", "sample"), SAMPLES)
def test_tangents_are_differences(op, sample, size):
    rng = np.random.default_rng(size)
    made = sample_arrays(op, sample, size, np.float64, rng)
    if made is None:
        return
    arrays, params = made
    program = one_op(op, arrays, params)
    pushed = push(one_op(op, arrays, params))
    along = drawn(program, rng)
    got = pushed([*arrays, *along])
    rough = any(x.type.dtype.name == "f32" for x in [*program.inputs, *program.outputs])
    step = 0.05 if rough else 1e-5

    def at(h):
        moves = iter(along)
        moved = [
            np.asarray(a + h * next(moves), a.dtype) if a.dtype.kind == "f" else a
            for a in arrays
        ]
        found = program(moved)
        return [y for y in found if y.dtype.kind == "f"]

    for t, ahead, behind in zip(got, at(step), at(-step), strict=True):
        wanted = (ahead.astype(float) - behind) / (2 * step)
        scale = 1 + np.abs(wanted).max(initial=0.0)
        np.testing.assert_allclose(t, wanted, rtol=1e-4, atol=1e-4 * scale)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize(("op", "sample"), SAMPLES)
def test_tangents_are_transposed_cotangents(op, sample, size, dtype):
    rng = np.random.default_rng(size)
    made = sample_arrays(op, sample, size, dtype, rng)
    if made is None:
        return
    arrays, params = made
    program = one_op(op, arrays, params)
    along = drawn(program, rng)
    floats = [y for y in program.outputs if y.type.dtype.is_float]
    seeds = [normal_like(y, rng) for y in floats]
    tangents = push(one_op(op, arrays, params))([*arrays, *along])
    cts = differentiate(one_op(op, arrays, params))([*arrays, *seeds])
    left, right = dot(seeds, tangents), dot(cts, along)
    scale = 1 + sum(
        float(np.abs(t.astype(float) * s).sum())
        for t, s in zip(tangents, seeds, strict=True)
    )
    room = 1e-10 if dtype == np.float64 and not _narrow(program) else 3e-4
    assert abs(left - right) <= room * scale


def _narrow(program):
    return any(x.type.dtype.name == "f32" for x in [*program.inputs, *program.outputs])


@pytest.mark.parametrize(("op", "sample"), SAMPLES)
def test_both_mixed_second_orders_are_transposed(op, sample):
    # u . (tangent of the pullback along v) = (pullback of the tangent along u) . v
    rng = np.random.default_rng(3)
    made = sample_arrays(op, sample, 5, np.float64, rng)
    if made is None:
        return
    arrays, params = made
    first = one_op(op, arrays, params)
    floats = [y for y in first.outputs if y.type.dtype.is_float]
    seeds = [normal_like(y, rng) for y in floats]
    u, v = drawn(first, rng), drawn(first, rng)
    zeros = [np.zeros_like(s) for s in seeds]
    over = push(differentiate(one_op(op, arrays, params)))
    forward_over_reverse = over([*arrays, *seeds, *v, *zeros])
    under = differentiate(push(one_op(op, arrays, params)))
    count = len(v)
    reverse_over_forward = under([*arrays, *u, *seeds])[:count]
    left, right = dot(u, forward_over_reverse), dot(v, reverse_over_forward)
    room = 1e-3 if _narrow(first) else 1e-9
    assert np.isfinite(left)
    assert abs(left - right) <= room * (1 + abs(left) + abs(right))


@pytest.mark.parametrize(("op", "sample"), SAMPLES)
def test_sizes_may_be_symbolic(op, sample):
    b = Builder(OPS)
    n = named("n")
    types = types_of(sample, n, F64)
    inputs = [b.input(t, f"x{k}") for k, t in enumerate(types)]
    results = b.apply(op, tuple(inputs), params_of(sample, n))
    moving = {x: b.input(x.type, "t") for x in inputs if x.type.dtype.is_float}
    made = pushforward(b, b.nodes, moving, results)
    for y, t in zip(results, made, strict=True):
        assert t is None or t.type == y.type


def test_what_has_no_derivative_has_no_tangent():
    for op in OPS.values():
        assert (op.jvp is NON_DIFFERENTIABLE) == (op.vjp is NON_DIFFERENTIABLE), op


# --- what rules must not do -----------------------------------------------------------


def planted(name, **changes):
    return {**OPS, name: replace(OPS[name], **changes)}


def pushed_through(table, name):
    b = Builder(table)
    x = b.input(type_of(np.ones(3)), "x")
    y = b.op(name, x)
    return pushforward(b, b.nodes, {x: b.input(x.type, "t")}, [y])


def test_an_op_without_a_rule_is_named():
    for changes in ({"jvp": UNREGISTERED}, {"vjp": UNREGISTERED}):
        with pytest.raises(GradientLookupError, match="no entry for: sin") as caught:
            pushed_through(planted("sin", **changes), "sin")
        assert caught.value.__notes__ == ["  a tangent reaches it"]


def test_a_rule_that_does_not_fit_is_named():
    table = planted("sin", jvp=lambda b, ts, y, x: b.sum(ts[0], axes=(0,)))
    said = r"jvp rule of sin: tangent of result 0 is f64\[\], the result f64\[3\]"
    with pytest.raises(OpTypeError, match=said):
        pushed_through(table, "sin")
    b = Builder(planted("lu", jvp=lambda b, ts, out, x: [None]))
    x = b.input(type_of(np.ones((2, 2))), "x")
    b.lu(x)
    with pytest.raises(OpTypeError, match="jvp rule of lu: 1 tangents for 4 results"):
        pushforward(b, b.nodes, {x: b.input(x.type, "t")}, [])


def test_programs_with_tangents():
    b = Builder(OPS)
    x, k = b.input(type_of(np.ones(3)), "x"), b.input(type_of(np.ones(3, int)), "k")
    graph = b.finish("f", [b.sin(x), k, b.constant(1.0)], ["y", "k", "one"])
    made = jvp_graph(graph, [0])
    assert made.names == ["x", "k", "tangent of x"]
    assert made.output_names == ["y", "k", "one", "tangent of y", "tangent of one"]
    with pytest.raises(
        OpTypeError, match=r"f: no tangent of k, i64\[3\] is not a float"
    ):
        jvp_graph(graph, [1])


def test_tangents_of_values_in_the_middle():
    b = Builder(OPS)
    x = b.input(type_of(np.ones(3)), "x")
    y = b.sin(x)
    z = b.mul(y, y)
    t = b.input(x.type, "t")
    dx, dy, dz = pushforward(b, b.nodes, {y: t}, [x, y, z])
    assert dx is None
    assert dy is t
    found = Program(b, [x, t], [dz])([np.ones(3), np.ones(3)])
    np.testing.assert_allclose(found[0], 2 * np.sin(np.ones(3)), rtol=1e-15)
