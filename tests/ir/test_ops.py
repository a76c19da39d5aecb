"""Properties of every op, generated from the records."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from op_forms import run_form
from op_samples import (
    SIZES,
    check_vjp,
    differentiate,
    named_samples,
    normal_like,
    one_op,
    params_of,
    pull,
    resolve,
    sample_arrays,
    sample_calls,
    type_of,
    types_of,
)
from pullback.ir.builder import Builder
from pullback.ir.errors import OpTypeError
from pullback.ir.forms import Control, Iota, Literal, Map, Place, Print, View
from pullback.ir.ops import OPS, new_builder
from pullback.ir.primitive import DERIVED, Primitive, Rule, Sample, as_results
from pullback.ir.sizes import named
from pullback.ir.types import DTYPES, F64, TensorType, dtype_of

SAMPLES = named_samples()
IDS = [name for name, _, _ in SAMPLES]
PAIRS = [(p, s) for _, p, s in SAMPLES]
SMOOTH = [k for k, (p, _) in enumerate(PAIRS) if not isinstance(p.vjp, Rule)]
SMOOTH_PAIRS = [PAIRS[k] for k in SMOOTH]
SMOOTH_IDS = [IDS[k] for k in SMOOTH]
FLOATS = ("float32", "float64")

every_sample = pytest.mark.parametrize(("op", "sample"), PAIRS, ids=IDS)
every_smooth = pytest.mark.parametrize(("op", "sample"), SMOOTH_PAIRS, ids=SMOOTH_IDS)
every_float = pytest.mark.parametrize("dtype", FLOATS)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


# --- the type rule --------------------------------------------------------------------


@every_float
@every_sample
def test_type_rule_is_that_of_numpy(
    op: Primitive, sample: Sample, dtype: str, rng: np.random.Generator
) -> None:
    for size in SIZES:
        made = sample_arrays(op, sample, size, dtype, rng)
        if made is None:
            continue
        arrays, params = made
        with np.errstate(all="ignore"):
            results = as_results(op.evaluate(*arrays, **params))
        inferred = op.infer(*[type_of(a) for a in arrays], **params)
        assert inferred == tuple(type_of(r) for r in results)


@every_sample
def test_type_rule_with_symbolic_sizes(op: Primitive, sample: Sample) -> None:
    n, f64 = named("n"), dtype_of("float64")
    inferred = op.infer(*types_of(sample, n, f64), **params_of(sample, n))
    for size in SIZES:
        if size == 1:
            continue  # a named size is never 1
        static = types_of(sample, size, f64)
        assert tuple(resolve(t, {"n": size}) for t in types_of(sample, n, f64)) == (
            static
        )
        try:
            expected = op.infer(*static, **params_of(sample, size))
        except OpTypeError:
            assert size == 0
            continue
        assert tuple(resolve(t, {"n": size}) for t in inferred) == expected


UFUNCS = [
    (op, mirror)
    for op in OPS.values()
    for mirror in op.mirrors
    if isinstance(mirror, np.ufunc) and mirror is not np.matmul
]


@pytest.mark.parametrize(
    ("op", "ufunc"), UFUNCS, ids=[f"{op.name}" for op, _ in UFUNCS]
)
def test_promotion_is_that_of_numpy(op: Primitive, ufunc: np.ufunc) -> None:
    choices: list[Any] = [np.ones(2, d.numpy) for d in DTYPES.values()]
    choices += [True, 2, 0.5]
    taken = 0
    for args in product(choices, repeat=ufunc.nin):
        if not any(isinstance(a, np.ndarray) for a in args):
            continue
        b = new_builder()
        given = [
            b.input(type_of(a), "x") if isinstance(a, np.ndarray) else a for a in args
        ]
        try:
            operands, params = op.accept(b, *given)
            (result,) = b.apply(op, operands, params)
        except OpTypeError:
            continue
        taken += 1
        with np.errstate(all="ignore"):
            assert result.type == type_of(ufunc(*args)), args
    assert taken > 0


BITS = ("bitwise", "invert", "left_shift", "right_shift")


def test_floats_and_integers_of_every_width_are_taken() -> None:
    for op, ufunc in UFUNCS:
        integers = op.name.startswith(BITS)
        for dtype in ("int8", "uint64") if integers else FLOATS:
            b = new_builder()
            xs = [b.input(TensorType(dtype_of(dtype), (2,)), "x")] * ufunc.nin
            operands, params = op.accept(b, *xs)
            b.apply(op, operands, params)


# --- forms ----------------------------------------------------------------------------


WITH_RULES = [
    k for k, (p, _) in enumerate(PAIRS) if isinstance(p.form, (Map, View, Place))
]


@every_float
@pytest.mark.parametrize(
    ("op", "sample"),
    [PAIRS[k] for k in WITH_RULES],
    ids=[IDS[k] for k in WITH_RULES],
)
def test_form_means_what_the_reference_means(
    op: Primitive, sample: Sample, dtype: str, rng: np.random.Generator
) -> None:
    for size in (0, 1, 7, 64):
        made = sample_arrays(op, sample, size, dtype, rng)
        assert made is not None
        arrays, params = made
        with np.errstate(all="ignore"):
            expected = op.evaluate(*arrays, **params)
        tight = 1e-13 if dtype == "float64" else 2e-5
        np.testing.assert_allclose(
            run_form(op, arrays, **params), expected, rtol=tight, atol=0
        )


SPECIAL = (0.0, -0.0, 1.0, -1.5, np.inf, -np.inf, np.nan, 1e-300, 710.0, -750.0)
BODIES = [
    op
    for op in OPS.values()
    if isinstance(op.form, Map) and set(op.samples[0].dtypes) <= {"f"}
]


@pytest.mark.parametrize("op", BODIES, ids=[op.name for op in BODIES])
def test_special_values_are_those_of_numpy(op: Primitive) -> None:
    sample = op.samples[0]
    grid = np.array(list(product(SPECIAL, repeat=len(sample.shapes)))).T
    params = params_of(sample, grid.shape[1])
    with np.errstate(all="ignore"):
        expected = op.evaluate(*grid, **params)
        far = np.abs(grid[0] / grid[-1]) > 2.0**100
    made = run_form(op, list(grid), **params)
    if op.name == "mod":  # states that it gives up there
        assert np.all(np.isnan(made[far]))
        made = np.where(far, expected, made)
    np.testing.assert_allclose(made, expected, rtol=1e-13, atol=0)
    if made.dtype.kind == "f" and op.name != "fma":  # longdouble has other zeros
        numbers = ~np.isnan(made)
        signs = np.signbit(made), np.signbit(expected)
        np.testing.assert_array_equal(signs[0][numbers], signs[1][numbers])


@pytest.mark.parametrize("name", ["floor_divide", "mod"])
def test_floor_division_of_far_apart_floats(
    name: str, rng: np.random.Generator
) -> None:
    op = OPS[name]
    x = rng.uniform(-1, 1, 300) * 2.0 ** rng.integers(-40, 50, 300)
    y = rng.uniform(0.5, 1, 300) * 2.0 ** rng.integers(-40, 40, 300)
    y *= rng.choice([-1.0, 1.0], 300)
    x[:50] = y[:50] * rng.integers(-9, 9, 50)
    made = run_form(op, [x, y], real=True)
    np.testing.assert_allclose(made, op.evaluate(x, y, real=True), rtol=4e-16, atol=0)


# --- VJP rules ------------------------------------------------------------------------


@pytest.mark.parametrize("order", [1, 2])
@every_smooth
def test_vjp_against_central_differences(
    op: Primitive, sample: Sample, order: int, rng: np.random.Generator
) -> None:
    for size in (0, 1, 7, 64) if order == 2 else SIZES:
        made = sample_arrays(op, sample, size, "float64", rng)
        if made is None:
            continue
        arrays, params = made
        if any(a.dtype.kind == "f" for a in arrays) and _has_float_result(made, op):
            check_vjp(op, arrays, params, order, rng)


def _has_float_result(made: Any, op: Primitive) -> bool:
    arrays, params = made
    results = op.infer(*[type_of(a) for a in arrays], **params)
    return any(result.dtype.is_float for result in results)


@every_smooth
def test_vjp_in_f32_is_that_in_f64(
    op: Primitive, sample: Sample, rng: np.random.Generator
) -> None:
    made = sample_arrays(op, sample, 64, "float32", rng)
    assert made is not None
    arrays, params = made
    if not _has_float_result(made, op) or all(a.dtype.kind != "f" for a in arrays):
        return
    wide = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays]
    narrow_program = differentiate(one_op(op, arrays, params))
    wide_program = differentiate(one_op(op, wide, params))
    drawn = [normal_like(x, rng) for x in wide_program.inputs[len(arrays) :]]
    seeds = [
        [
            np.asarray(seed, x.type.dtype.numpy)
            for seed, x in zip(drawn, p.inputs[len(arrays) :], strict=True)
        ]
        for p in (narrow_program, wide_program)
    ]
    got = narrow_program([*arrays, *seeds[0]])
    expected = wide_program([*wide, *seeds[1]])
    for g, e in zip(got, expected, strict=True):
        assert g.dtype == np.float32
        scale = float(np.max(np.abs(e), initial=1e-6))
        np.testing.assert_allclose(g, e, rtol=0, atol=2e-5 * scale)


@every_smooth
def test_cotangents_have_the_types_of_the_operands(
    op: Primitive, sample: Sample
) -> None:
    n = named("n")
    b = new_builder()
    xs = [b.input(t, "x") for t in types_of(sample, n, F64)]
    results = b.apply(op, tuple(xs), params_of(sample, n))
    seeds = {y: b.input(y.type, "ct") for y in results if y.type.dtype.is_float}
    if not seeds:
        return
    # `pull` compares types at each step; twice, so that rules of rules are seen
    cts = pull(b, seeds, xs)
    for x, ct in zip(xs, cts, strict=True):
        assert ct is None or ct.type == x.type
        if ct is not None and ct.node is not None:
            pull(b, {ct: b.input(ct.type, "ct2")}, xs)


CAUGHT = [
    op
    for op in OPS.values()
    if not isinstance(op.vjp, Rule) and op.name != "sign"  # 0.1 % of 0 is 0
]


@pytest.mark.parametrize("op", CAUGHT, ids=[op.name for op in CAUGHT])
def test_wrong_rule_is_caught(op: Primitive, rng: np.random.Generator) -> None:
    rule: Any = op.vjp

    def wrong(b: Builder, ct: Any, *rest: Any, **params: Any) -> Any:
        pulled = rule(b, ct, *rest, **params)
        return [None if p is None else b.mul(p, 1.001) for p in pulled]

    planted = replace(op, vjp=wrong)
    said = []
    for arrays, params in sample_calls(op, 7, "float64", rng):
        if not _has_float_result((arrays, params), op):
            continue
        try:
            check_vjp(planted, arrays, params, 1, rng)
        except AssertionError as error:
            said.append(str(error))
    assert said
    assert all("central difference" in text for text in said)


# --- records --------------------------------------------------------------------------


@pytest.mark.parametrize("op", list(OPS.values()), ids=list(OPS))
def test_record_is_complete(op: Primitive) -> None:
    assert OPS[op.name] is op
    assert op.doc.endswith(".")
    assert op.samples or isinstance(op.form, Literal | Iota | Control | Print)
    derived = DERIVED if isinstance(op.form, Control) else Rule.UNREGISTERED
    assert callable(op.vjp) or op.vjp in (Rule.NON_DIFFERENTIABLE, derived)
    assert callable(op.jvp) or op.jvp in (DERIVED, Rule.NON_DIFFERENTIABLE)
    assert callable(op.batch) or op.batch is DERIVED
    assert not op.kinks or op.kinks.endswith(".")
    domains = op.domain if isinstance(op.domain, tuple) else (op.domain,)
    assert op.kinks or not any(d.away for d in domains)
    assert all(callable(mirror) for mirror in op.mirrors)
    assert op.sparsity in ("diagonal", "linear", "dense", "selection")


def test_mirrors_and_names_are_unique() -> None:
    mirrors = [mirror for op in OPS.values() for mirror in op.mirrors]
    assert len(set(mirrors)) == len(mirrors)
    names = [op.tf_name for op in OPS.values() if op.tf_name is not None]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("op", list(OPS.values()), ids=list(OPS))
def test_params_can_be_keys(op: Primitive) -> None:
    for sample in op.samples:
        params = params_of(sample, named("n"))
        assert isinstance(hash(tuple(sorted(params.items()))), int) or not params
