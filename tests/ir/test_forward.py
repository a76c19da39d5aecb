"""Tangents of every op: against differences, and against its cotangents."""

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
    types_of,
)
from pullback.ir.builder import Builder
from pullback.ir.forward import pushforward
from pullback.ir.ops import OPS
from pullback.ir.primitive import NON_DIFFERENTIABLE, Rule
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


def sizes_of(sample):
    return (0, 1, 7) if any(None in shape for shape in sample.shapes) else (7,)


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
