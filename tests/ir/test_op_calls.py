"""Calls of ops: refusals, preparation of operands, and gradients at kinks."""

from typing import Any

import mpmath  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pytest
from op_samples import Program, pull, type_of
from pullback.ir.adjoint import pullback
from pullback.ir.builder import Builder
from pullback.ir.errors import OpTypeError
from pullback.ir.ops import OPS, new_builder
from pullback.ir.types import F64, parse_type


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20240607)


# --- errors ---------------------------------------------------------------------------


def _accept(name: str, *types: Any, **keywords: Any) -> Any:
    b = new_builder()
    args = [b.input(parse_type(t), "x") if isinstance(t, str) else t for t in types]
    if name == "concatenate":
        args = [args]
    operands, params = OPS[name].accept(b, *args, **keywords)
    return b.apply(OPS[name], operands, params)[0]


ERRORS: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("add", ("f64[3]", "f64[4]"), {}, r"add: shapes do not broadcast: 3 and 4 on one"),
    ("add", ("f64[3]", "f64[4]"), {}, r"operands: a f64\[3\], b f64\[4\]"),
    ("sub", ("bool[3]", "bool[3]"), {}, r"sub: no loop for these dtypes"),
    ("add", ("f64[3]",), {}, r"add: takes 2 operands, 1 given"),
    ("add", ("u8[3]", 300), {}, r"add: Python integer 300 is no u8: cast the array"),
    ("sub", ("bool[3]", "bool[3]"), {}, r"sub: no loop for these dtypes"),
    ("exp", ("i8[3]",), {}, r"exp: dtype float16 is not supported"),
    ("lt", ("i64[3]", "u64[3]"), {}, r"lt: operands differ in type"),
    ("pow", ("i64[3]", "i64[3]"), {}, r"pow: takes floats, not i64: cast first"),
    ("integer_pow", ("i64[3]", -1), {}, r"integers to the negative power -1: cast"),
    ("integer_pow", ("f64[3]", 0.5), {}, r"exponent 0.5 is not a Python integer"),
    ("select", ("bool[3]", "f64[3]"), {}, r"select: takes 3 operands, 2 given"),
    ("sum", ("f64[3]", 1), {}, r"sum: axis 1 is out of range for rank 1"),
    ("sum", ("f64[3]", 0.5), {}, r"sum: axis 0.5 is not an integer"),
    ("sum", ("f64[3,3]", (0, -2)), {}, r"sum: axis \(0, -2\) names an axis twice"),
    ("sum", ("f64[3]",), {"keepdims": True}, r"sum: does not take keepdims="),
    ("max", ("f64[0,3]", 0), {}, r"max: axis 0 is empty: nothing to choose from"),
    ("max", ("bool[3]",), {}, r"max: takes floats, integers, .*, not bool"),
    ("contract", ("f64[4,3]", "f64[4,3]"), {}, r"matmul: inner dimensions differ: 3 a"),
    ("contract", ("f64[2,4,3]", "f64[5,3,1]"), {}, r"matmul: batch dimensions differ"),
    ("contract", ("f64[]", "f64[3]"), {}, r"matmul: a scalar has no inner dimension"),
    ("reshape", ("f64[6]", (4, 2)), {}, r"reshape: 6 elements do not fill shape \(4,"),
    ("reshape", ("f64[6]", (-1, -1)), {}, r"reshape: only one size may be -1"),
    ("reshape", ("f64[6]", (-1, 4)), {}, r"reshape: 6 elements do not fill"),
    ("reshape", ("f64[0]", (-1, 0)), {}, r"reshape: -1 in \(-1, 0\) could be any"),
    ("reshape", ("f64[6]", (1.5,)), {}, r"reshape: 1.5 is not a size"),
    ("transpose", ("f64[2,3]", (0, 0)), {}, r"axes \(0, 0\) do not name each axis"),
    ("squeeze", ("f64[n]", 0), {}, r"squeeze: axis 0 has size n, not 1"),
    ("broadcast_to", ("f64[3]", (4,)), {}, r"does not broadcast to shape \(4,\)"),
    (
        "concatenate",
        ("f64[2,3]", "f64[3,3]"),
        {"axis": 1},
        r"sizes of axis 0 differ: 2",
    ),
    ("concatenate", ("f64[]", "f64[]"), {}, r"scalars have no axis: use stack"),
    ("concatenate", (), {}, r"concatenate: needs at least one array"),
    ("slice", ("f64[3]", (1,), (1,), (3,)), {}, r"axis 0 has no elements 1 to 3: its"),
    ("slice", ("f64[3]", (0,), (0,), (3,)), {}, r"slice: the step of axis 0 is 0"),
    ("place", ("f64[3]", (0,), (2,), (4,)), {}, r"axis 0 has no elements 0 to 4: its"),
    ("take", ("f64[3]", "f64[2]", 0), {}, r"indices must be integers that fit int64"),
    ("take", ("f64[3]", "u64[2]", 0), {}, r"that fit int64, not u64"),
    ("take", ("f64[3]", "i64[2]", 1), {}, r"take: axis 1 is out of range for rank 1"),
    ("take", ("f64[3]", "i64[2]"), {"mode": "clip"}, r"take: does not take mode="),
]


@pytest.mark.parametrize(
    ("name", "args", "keywords", "text"),
    ERRORS,
    ids=[f"{name}-{k}" for k, (name, *_) in enumerate(ERRORS)],
)
def test_refusals_say_why(
    name: str, args: tuple[Any, ...], keywords: dict[str, Any], text: str
) -> None:
    with pytest.raises(OpTypeError, match=text):
        _accept(name, *args, **keywords)


@pytest.mark.parametrize(("index", "said"), [(5, "5"), (-6, "-6")])
@pytest.mark.parametrize("name", ["take", "scatter_add"])
def test_index_out_of_range(name: str, index: int, said: str) -> None:
    idx = np.array([0, index])
    text = rf"{name}: index {said} is out of range for axis 0 with size 5"
    extra = {"shape": (5,)} if name == "scatter_add" else {}
    x = np.ones(2) if extra else np.ones(5)
    with pytest.raises(IndexError, match=text):
        OPS[name].evaluate(x, idx, axis=0, **extra)


# --- calls that are more than one sample ----------------------------------------------


def _run(name: str, arrays: list[Any], *rest: Any, **keywords: Any) -> Any:
    """Evaluate accept's nodes and the op, against arrays."""
    b = new_builder()
    xs = [b.input(type_of(a), "x") for a in arrays]
    args: list[Any] = [xs] if name == "concatenate" else xs
    operands, params = OPS[name].accept(b, *args, *rest, **keywords)
    out = list(b.apply(OPS[name], operands, params))
    return Program(b, xs, out)(arrays)[0]


MATMULS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((5, 1, 2, 3), (1, 7, 3, 4)),
    ((7, 2, 3), (5, 1, 3, 4)),
    ((1, 1, 2, 3), (1, 3, 4)),
    ((3,), (5, 3, 4)),
    ((5, 2, 3), (3,)),
    ((2, 0), (0, 4)),
]


@pytest.mark.parametrize(("left", "right"), MATMULS, ids=[str(m) for m in MATMULS])
def test_matmul_broadcasts_as_numpy(
    left: tuple[int, ...], right: tuple[int, ...], rng: np.random.Generator
) -> None:
    x, y = rng.standard_normal(left), rng.standard_normal(right)
    expected = np.matmul(x, y)
    got = _run("contract", [x, y])
    assert got.shape == np.shape(expected)
    np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)


def test_calls_that_prepare_their_operands(rng: np.random.Generator) -> None:
    x = rng.standard_normal((2, 3))
    i = np.array([1, -1], np.int32)
    np.testing.assert_array_equal(_run("take", [x, i]), np.take(x, i))
    np.testing.assert_array_equal(_run("take", [x, i], -1), np.take(x, i, -1))
    joined = _run("concatenate", [x, x[0]], axis=None)
    np.testing.assert_array_equal(joined, np.concatenate([x, x[0]], None))
    np.testing.assert_array_equal(_run("reshape", [x], (3, -1)), x.reshape(3, -1))
    flags = x > 0
    total = _run("sum", [flags], -1)
    assert total.dtype == np.sum(flags, -1).dtype
    np.testing.assert_array_equal(total, np.sum(flags, -1))
    small = np.ones((3,), np.uint8)
    assert _run("sum", [small]).dtype == np.sum(small).dtype
    np.testing.assert_array_equal(_run("isfinite", [i]), [True, True])
    np.testing.assert_array_equal(
        _run("select", [flags, x], 0.0), np.where(flags, x, 0.0)
    )
    np.testing.assert_array_equal(_run("logical_not", [x]), np.logical_not(x))


def test_symbolic_sizes_meet_in_guards() -> None:
    b = new_builder()
    x, y = (b.input(parse_type(t), "x") for t in ("f64[n,k]", "f64[m,p]"))
    operands, params = OPS["contract"].accept(b, x, y)
    (out,) = b.apply(OPS["contract"], operands, params)
    assert str(out.type) == "f64[n,p]"
    assert [(str(g.left), str(g.right)) for g in b.guards] == [("m", "k")]
    operands, params = OPS["reshape"].accept(b, x, (-1, 2))
    assert str(b.apply(OPS["reshape"], operands, params)[0].type) == (
        "f64[(k*n)//(2),2]"
    )
    assert len(b.guards) == 2


# --- kinks and singular points --------------------------------------------------------


def _by_library(b: Builder, cts: Any, wrt: Any) -> Any:
    return pullback(b, list(b.nodes), cts, wrt)


either_adjoint = pytest.mark.parametrize(
    "adjoint", [pull, _by_library], ids=["plain", "library"]
)


def _gradients(build: Any, *points: Any, adjoint: Any = pull, orders: int = 1) -> Any:
    """Gradients of the sum of `build(b, *xs)`; of the sum of the last at order 2."""
    b = new_builder()
    arrays = [np.asarray(p, np.float64) for p in points]
    xs = [b.input(type_of(a), "x") for a in arrays]
    cts: list[Any] = [build(b, *xs)]
    for _ in range(orders):
        one = b.constant(1.0, F64, cts[-1].type.shape)
        cts = [
            b.zeros(x.type) if ct is None else ct
            for x, ct in zip(xs, adjoint(b, {cts[-1]: one}, xs), strict=True)
        ]
    return Program(b, xs, cts)(arrays)


KINKS: list[tuple[str, Any, list[Any], list[Any]]] = [
    ("abs", lambda b, x: b.abs(x), [[-1, 0, 2]], [[-1, 0, 1]]),
    ("sign", lambda b, x: b.sign(x), [[-1, 0, 2]], [[0, 0, 0]]),
    ("maximum", lambda b, x, y: b.maximum(x, y), [[1, 2], [1, 3]], [[1, 0], [0, 1]]),
    ("minimum", lambda b, x, y: b.minimum(x, y), [[1, 2], [1, 3]], [[1, 1], [0, 0]]),
    ("max", lambda b, x: b.max(x, axes=(0,)), [[3, 1, 3]], [[0.5, 0, 0.5]]),
    (
        "min",
        lambda b, x: b.min(x, axes=(0,)),
        [[1, 1, 3, 1]],
        [[1 / 3, 1 / 3, 0, 1 / 3]],
    ),
    ("max-nan", lambda b, x: b.max(x, axes=(0,)), [[np.nan, 1]], [[0, 0]]),
    (
        "pow",
        lambda b, x, y: b.pow(x, y),
        [[0, 0, -2, 2, 0], [0, 1, 2, 0, 2]],
        [[0, 1, -4, 0, 0], [0, 0, 0, np.log(2), 0]],
    ),
    ("integer_pow-0", lambda b, x: b.integer_pow(x, n=0), [[0, np.inf]], [[0, 0]]),
    ("integer_pow-2", lambda b, x: b.integer_pow(x, n=2), [[0, 3]], [[0, 6]]),
    (
        "mod",
        lambda b, x, y: b.mod(x, y, real=True),
        [[-7, 7], [2, -2]],
        [[1, 1], [4, 4]],
    ),
    ("sigmoid", lambda b, x: b.sigmoid(x), [[40, -40]], [[np.exp(-40)] * 2]),
    ("softplus", lambda b, x: b.softplus(x), [[800, -40]], [[1, np.exp(-40)]]),
    ("expm1", lambda b, x: b.expm1(x), [[-60]], [[np.exp(-60)]]),
    ("hypot", lambda b, x, y: b.hypot(x, y), [[0, 3], [0, -4]], [[0, 0.6], [0, -0.8]]),
    (
        "logaddexp",
        lambda b, x, y: b.logaddexp(x, y),
        [[2, -np.inf, 800], [2, -np.inf, 0]],
        [[0.5, 0.5, 1], [0.5, 0.5, 0]],
    ),
    (
        "xlogy",
        lambda b, x, y: b.xlogy(x, y),
        [[0, 0, 2], [0, 3, 1]],
        [[0, np.log(3), 0], [0, 0, 2]],
    ),
    ("atan", lambda b, x: b.atan(x), [[1e200, np.inf]], [[0, 0]]),
    ("asinh", lambda b, x: b.asinh(x), [[1e200]], [[1e-200]]),
    ("acosh", lambda b, x: b.acosh(x), [[1e200]], [[1e-200]]),
]


@pytest.mark.parametrize(
    ("build", "points", "expected"),
    [row[1:] for row in KINKS],
    ids=[row[0] for row in KINKS],
)
@either_adjoint
def test_gradients_at_kinks(
    build: Any, points: Any, expected: Any, adjoint: Any
) -> None:
    got = _gradients(build, *points, adjoint=adjoint)
    for g, e in zip(got, expected, strict=True):
        np.testing.assert_allclose(g, e, rtol=1e-14, atol=0)


def _mp_sigmoid(x: Any) -> Any:
    return 1 / (1 + mpmath.exp(-x))


def _mp_softplus(x: Any) -> Any:
    return mpmath.log(1 + mpmath.exp(x))


HARD: list[tuple[str, Any, list[float]]] = [
    ("exp", mpmath.exp, [-700.0, -1e-8, 1e-8, 300.0]),
    ("expm1", mpmath.expm1, [-60.0, -1e-8, 1e-8, 40.0]),
    ("log", mpmath.log, [1e-8, 1 - 1e-8, 1e8]),
    ("log1p", lambda x: mpmath.log(1 + x), [-0.9990234375, -1e-8, 1e-8, 1e8]),
    ("sqrt", mpmath.sqrt, [1e-8, 1.0, 1e8]),
    ("sin", mpmath.sin, [-3.0, 1e-8, 22.0, 1e6]),
    ("cos", mpmath.cos, [-3.0, 1e-8, 22.0, 1e6]),
    ("tanh", mpmath.tanh, [-1.0, 1e-8, 1e-3, 1.5]),
    ("sigmoid", _mp_sigmoid, [-300.0, -40.0, -1.0, 3.0, 40.0, 300.0]),
    ("softplus", _mp_softplus, [-300.0, -1e-8, 2.0, 300.0]),
    ("tan", mpmath.tan, [-1.5, 1e-8, 1.0, 22.0]),
    ("sinh", mpmath.sinh, [-300.0, 1e-8, 3.0]),
    ("cosh", mpmath.cosh, [-300.0, 1e-8, 3.0]),
    ("asin", mpmath.asin, [-0.9990234375, 1e-8, 0.7]),
    ("acos", mpmath.acos, [-0.9990234375, 1e-8, 0.7]),
    ("atan", mpmath.atan, [-1e8, 1e-8, 1.0]),
    ("asinh", mpmath.asinh, [-1e8, 1e-8, 1.0]),
    ("acosh", mpmath.acosh, [1 + 1e-8, 2.0, 1e8]),
    ("atanh", mpmath.atanh, [-0.9990234375, 1e-8, 0.7]),
    ("cbrt", mpmath.cbrt, [1e-8, 1.0, 1e8]),
    ("exp2", lambda x: mpmath.power(2, x), [-700.0, 1e-8, 300.0]),
    ("log10", mpmath.log10, [1e-8, 1 - 1e-8, 1e8]),
    ("rsqrt", lambda x: 1 / mpmath.sqrt(x), [1e-8, 1.0, 1e8]),
    ("erf", mpmath.erf, [-5.0, 1e-8, 1.0, 25.0]),
    ("erfc", mpmath.erfc, [-5.0, 1e-8, 1.0, 25.0]),
    ("gammaln", mpmath.loggamma, [1e-8, 1.0, 1.5, 2.0, 300.0]),
    ("digamma", mpmath.digamma, [1e-8, 1.0, 1.5, 300.0]),
]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(
    ("name", "exact", "points"), HARD, ids=[row[0] for row in HARD]
)
def test_derivatives_at_hard_points(
    name: str, exact: Any, points: list[float], order: int
) -> None:
    (got,) = _gradients(lambda b, x: b.op(name, x), points, orders=order)
    with mpmath.workdps(250):
        expected = [
            float(mpmath.diff(exact, mpmath.mpf(x), order, h=mpmath.mpf(10) ** -40))
            for x in points
        ]
    np.testing.assert_allclose(got, expected, rtol=3e-15, atol=0)


def _guarded(op: Any) -> Any:
    return lambda b, x: b.select(b.gt(x, 0.0), op(b, x), 0.0)


BRANCHES = [
    ("log", lambda b, x: b.log(x)),
    ("sqrt", lambda b, x: b.sqrt(x)),
    ("div", lambda b, x: b.div(1.0, x)),
    ("pow", lambda b, x: b.pow(x, 0.5)),
    ("integer_pow", lambda b, x: b.integer_pow(x, n=-2)),
    ("log1p", lambda b, x: b.log1p(b.sub(x, 1.0))),
]


@either_adjoint
@pytest.mark.parametrize("orders", [1, 2])
@pytest.mark.parametrize(
    "op", [row[1] for row in BRANCHES], ids=[r[0] for r in BRANCHES]
)
def test_branch_not_taken_leaks_nothing(op: Any, orders: int, adjoint: Any) -> None:
    points = [-1.0, 0.0, -0.0, 2.0]
    (got,) = _gradients(_guarded(op), points, adjoint=adjoint, orders=orders)
    np.testing.assert_array_equal(got[:3], [0, 0, 0])
    assert np.isfinite(got[3])
    assert got[3] != 0


def test_mixed_derivative_of_a_power_at_zero_is_finite() -> None:
    def build(b: Any, x: Any, y: Any) -> Any:
        return b.pow(x, y)

    for point in ([0.0], [0.0]), ([0.0], [2.0]), ([-1.0], [2.0]):
        got = _gradients(build, *point, orders=2)
        assert all(not np.isnan(g).any() for g in got), (point, got)
