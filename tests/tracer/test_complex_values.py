"""Complex numbers in traced functions: values are NumPy's, special ones too."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pullback as pb
import pytest

INF, NAN = np.inf, np.nan
POINTS = (0.0, -0.0, 1.0, -1.0, 0.5, -2.5, INF, -INF, NAN, 1e-300, 1e300, 30.0, -30.0)
GRID = np.array([complex(x, y) for x in POINTS for y in POINTS])
Z = np.array([1.0 + 2.0j, 3.0 - 1.0j, -0.5 + 0.25j, 0.1j, -2.0])
W = np.array([0.5 - 1.0j, 2.0j, 1.5 + 0.5j, -1.0 + 1.0j, 0.75])
X = np.array([2.0, -1.0, 0.5, 3.0, 1.25])


def agree(got: Any, wanted: Any, rtol: float = 8e-16, zeros: bool = True) -> None:
    """Demand equal parts: NaN where NaN is, zeros of one sign, the rest to rtol."""
    assert np.shape(got) == np.shape(wanted)
    assert np.asarray(got).dtype == np.asarray(wanted).dtype
    with np.errstate(all="ignore"):
        _agree(got, wanted, rtol, zeros)


def _agree(got: Any, wanted: Any, rtol: float, zeros: bool) -> None:
    if np.iscomplexobj(wanted):
        size = np.abs(wanted)
        near = np.isfinite(size)
        parts = ((np.real(got), np.real(wanted)), (np.imag(got), np.imag(wanted)))
        for x, y in parts:
            close = np.abs(x - y) <= rtol * np.where(near, size, 0.0)
            same = (x == y) | (np.isnan(x) & np.isnan(y)) | close
            assert np.all(same), (x[~same], y[~same])
            if zeros:
                signs = (x != 0) | (y != 0) | (np.signbit(x) == np.signbit(y))
                assert np.all(signs), (x[~signs], y[~signs])
    elif np.asarray(wanted).dtype.kind == "b":
        assert np.array_equal(got, wanted)
    else:
        np.testing.assert_allclose(got, wanted, rtol=rtol, atol=0)


def run(f: Callable[..., Any], *args: Any) -> Any:
    return pb.function(f)(*args)


# Where both parts are not finite C99 keeps an infinity that these formulas lose.
BOTH = ~np.isfinite(GRID.real) & ~np.isfinite(GRID.imag)
SPECIAL: dict[Callable[..., Any], Any] = {
    np.exp: GRID[~BOTH],
    np.log: GRID,
    np.log10: GRID,
    np.log2: GRID,
    np.sqrt: GRID,
    np.sinh: GRID[~BOTH],
    np.cosh: GRID[~BOTH & ~((GRID.real == 0) & ~np.isfinite(GRID.imag))],
    np.sin: GRID[~BOTH],
    np.cos: GRID[~BOTH & ~((GRID.imag == 0) & ~np.isfinite(GRID.real))],
    np.tanh: GRID[np.isfinite(GRID.imag) & ~np.isnan(GRID.real)],
    np.tan: GRID[np.isfinite(GRID.real) & ~np.isnan(GRID.imag)],
    np.conjugate: GRID,
    np.negative: GRID,
    np.abs: GRID,
    np.angle: GRID,
    np.real: GRID,
    np.imag: GRID,
    np.isnan: GRID,
    np.isfinite: GRID,
    np.isinf: GRID,
    np.iscomplex: GRID,
    np.isreal: GRID,
}


@pytest.mark.parametrize("f", SPECIAL, ids=lambda f: f.__name__)
def test_special_values(f: Callable[..., Any]) -> None:
    z = SPECIAL[f]
    with np.errstate(all="ignore"):
        wanted = f(z)
    tolerance = 4e-16 * (8 if f in (np.sin, np.cos, np.sinh, np.cosh) else 4)
    agree(run(f, z), wanted, tolerance)


def test_quotients_of_special_values() -> None:
    z, w = (a.ravel() for a in np.meshgrid(GRID, GRID))
    one_zero = (w == 0) | (z == 0)
    finite = np.isfinite(z) & np.isfinite(w) & ~one_zero
    with np.errstate(all="ignore"):
        plain = finite & (np.abs(w) < 1e290) & (np.abs(w) > 1e-290)
    got = run(lambda a, b: a / b, z, w)
    with np.errstate(all="ignore"):
        wanted = z / w
    size = np.hypot(wanted.real, wanted.imag)
    ok = plain & (size > 1e-280) & (size < 1e290)
    agree(got[ok], wanted[ok], 1e-15, zeros=False)
    # over 0 as NumPy has it: each part over a zero
    none = (w == 0) & np.isfinite(z)
    agree(got[none], wanted[none], zeros=False)


def test_quotients_do_not_overflow_on_the_way() -> None:
    big = np.array([1e300 + 1e300j, 1e-300 + 1e-300j, 1e308 - 3e307j])
    agree(run(lambda z: z / z, big), np.ones(3, complex), 4e-16, zeros=False)
    assert run(lambda z: np.abs(z), big)[0] == np.abs(big)[0]
    agree(run(np.sqrt, big), np.sqrt(big))


NAMES = (
    "exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "log10",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_values_to_the_last_bits(name: str) -> None:
    rng = np.random.default_rng(3)
    z = rng.standard_normal(200) + 1j * rng.standard_normal(200)
    z[::3] /= np.abs(z[::3])  # where the logarithm is hard
    got = run(getattr(np, name), z)
    with mpmath.workdps(40):
        wanted = [getattr(mpmath, name)(mpmath.mpc(v)) for v in z]
        apart = [abs(mpmath.mpc(g) - w) / abs(w) for g, w in zip(got, wanted, strict=1)]
    assert max(apart) < 1.2e-15


PAIRS: list[Callable[[Any, Any], Any]] = [
    lambda z, w: z + w,
    lambda z, w: z - w,
    lambda z, w: z * w,
    lambda z, w: z / w,
    lambda z, w: z**w,
    lambda z, w: z == w,
    lambda z, w: z != w,
    lambda z, w: np.where(w == z, z, w),
    lambda z, w: np.isclose(z, w),
    lambda z, w: np.allclose(z, z + 1e-12 * w),
    lambda z, w: np.array_equal(z, w),
]


@pytest.mark.parametrize("f", PAIRS)
@pytest.mark.parametrize(
    ("z", "w"), [(Z, W), (X, W), (Z, X), (Z, 2.5), (2.5, W), (Z, 1.5 - 2j), (X, 1j)]
)
def test_two_operands(f: Callable[..., Any], z: Any, w: Any) -> None:
    agree(run(f, z, w), f(z, w), 4e-15, zeros=False)


@pytest.mark.parametrize(
    "f",
    [
        lambda z: z + 1j,
        lambda z: 2j * z,
        lambda z: z * (1 - 2j),
        lambda z: (1 - 2j) / z,
        lambda z: z / 2,
        lambda z: 1 / z,
        lambda z: z**2,
        lambda z: z**3,
        lambda z: z**-2,
        lambda z: z**0,
        lambda z: z**0.5,
        lambda z: z**1.5,
        lambda z: 2.0**z,
        lambda z: z ** (1 + 1j),
        lambda z: (1 + 1j) ** z,
        np.square,
        np.sign,
        lambda z: np.round(z, 1),
        lambda z: z.real + z.imag,
        lambda z: z.conj() - z.conjugate(),
        lambda z: abs(z),
        lambda z: -z,
        lambda z: +z,
        lambda z: np.angle(z, deg=True),
        lambda z: np.any(z),
        lambda z: np.all(z),
        lambda z: np.count_nonzero(z),
        np.logical_not,
        lambda z: z.sum(),
        lambda z: z.mean(),
        lambda z: z.cumsum(),
        np.prod,
        np.var,
        np.std,
        np.linalg.norm,
        np.add.reduce,
        np.multiply.reduce,
        np.add.accumulate,
        lambda z: np.average(z, weights=X),
        lambda z: np.trapezoid(z, X),
        lambda z: np.polyval(z, 0.5 + 1j),
        lambda z: np.polyval([1.0, 2.0], z),
        lambda z: np.polyval([1.0, 2.0j], z),
        lambda z: np.dot(z, z),
        lambda z: np.vdot(z, z * 1j),
        lambda z: np.inner(z, X),
        lambda z: np.outer(z, z),
        lambda z: np.kron(z, W),
        lambda z: np.convolve(z, W),
        lambda z: np.outer(z, W) @ z,
        lambda z: X @ np.outer(z, W),
        lambda z: np.tensordot(np.outer(z, W), z, 1),
        lambda z: np.einsum("i,i,j->j", z, W, z),
        lambda z: np.trace(np.outer(z, W)),
        lambda z: np.diag(z),
        lambda z: z[::-1].reshape(5, 1).T,
        lambda z: z[1] * z[[0, 2]],
        lambda z: np.concatenate([z, X, [1j]]),
        lambda z: np.stack([z, X]),
        lambda z: np.stack([z[0].real, z[1]]),
        lambda z: np.hstack([z, W]),
        lambda z: np.append(z, 1j),
        lambda z: np.broadcast_to(z, (2, 5)),
        lambda z: np.tile(z, 2),
        lambda z: np.roll(z, 1),
        lambda z: np.split(z, [2])[1],
        lambda z: np.diff(z),
        lambda z: np.take(z, [0, 3]),
        lambda z: np.zeros_like(z) + np.ones_like(z),
        lambda z: z.astype(np.complex64),
        lambda z: z.astype(bool),
        lambda z: X.astype(complex) * z.real,
        lambda z: z.real.astype(complex),
        lambda z: np.linalg.solve(np.diag(W) + np.outer(z, z), W),
        lambda z: np.linalg.inv(np.diag(W) + np.outer(z, z)),
        lambda z: np.linalg.matrix_power(np.outer(z, W), 3),
        lambda z: np.where(z.real > 0, z, 1j),
        lambda z: np.where(z, X, 0.0),
        lambda z: np.logical_and(z, W) | np.logical_xor(z, 0),
        lambda z: np.multiply.outer(z, W),
        lambda z: np.add.outer(X, z),
        lambda z: np.linalg.vector_norm(z),
        lambda z: np.linalg.outer(z, W),
        lambda z: np.linalg.norm(np.outer(z, W)),
        lambda z: np.iscomplexobj(z),
        lambda z: np.isrealobj(z),
        lambda z: np.size(z),
    ],
)
def test_as_numpy(f: Callable[..., Any]) -> None:
    with np.errstate(all="ignore"):
        wanted = f(Z)
    got = run(f, Z)
    if np.iscomplexobj(wanted):
        assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=2e-13, atol=1e-14)


def test_updates() -> None:
    wanted = Z.copy()
    wanted[[0, 2]] += W[:2]
    wanted[3] = 1j
    wanted[4] -= 2
    got = run(lambda z: z.at[[0, 2]].add(W[:2]).at[3].set(1j).at[4].subtract(2.0), Z)
    np.testing.assert_allclose(got, wanted, rtol=1e-15)
    for change in (lambda z: z.at[0].multiply(1j), lambda z: z.at[0].max(1.0)):
        with pytest.raises(pb.OpTypeError, match="complex numbers are not supported"):
            run(change, Z)
    with pytest.raises(pb.OpTypeError, match=r"at: an update of f64.5. by complex num"):
        run(lambda x: x.at[0].set(1j), X)


@pytest.mark.parametrize("one", [np.float32, np.float64, np.int16, np.int64, bool])
@pytest.mark.parametrize("two", [np.complex64, np.complex128, None])
def test_promotion(one: Any, two: Any) -> None:
    x = np.ones(2, one)
    z = 1j if two is None else np.ones(2, two)
    for f in (np.add, np.multiply, np.true_divide):
        wanted = f(x, z)
        assert run(lambda a, f=f: f(a, z), x).dtype == wanted.dtype
        if two is not None:
            assert run(f, x, z).dtype == wanted.dtype


def test_a_real_operand_is_no_complex_one() -> None:
    # NumPy makes a complex number of x, and NaN of 0 * inf
    got = run(lambda x, z: x * z, np.array([2.0]), np.array([complex(INF, 1.0)]))
    assert got[0] == complex(INF, 2.0)


def test_arguments_of_any_memory() -> None:
    z = np.arange(24).reshape(4, 6) * (1 + 2j)
    f = pb.function(lambda z: z * 1j)
    for given in (z, z.T, z[::2, ::-1], z[1, 2], z[:, :0], np.asfortranarray(z)):
        agree(f(given), given * 1j, zeros=False)
    swapped = z.astype(">c16")
    np.testing.assert_array_equal(f(swapped), z * 1j)
    assert f(1j) == -1
    assert f(np.complex64(2j)).dtype == np.complex64


def test_results_are_arranged() -> None:
    f = pb.function(lambda z, d: {"a": z * d["w"], "b": (z.real, [z, 1j])})
    made = f(Z, {"w": W})
    np.testing.assert_allclose(made["a"], Z * W, rtol=1e-15)
    np.testing.assert_array_equal(made["b"][0], Z.real)
    assert made["b"][1][1] == 1j
    assert made["a"].flags.writeable
    assert made["a"].flags.c_contiguous


def test_one_program_serves_lengths() -> None:
    f = pb.function(lambda z: np.sum(z * z))
    for n in (3, 4, 5, 6):
        z = np.arange(n) * (1 + 1j)
        np.testing.assert_allclose(f(z), np.sum(z * z), rtol=1e-14)
    assert f.compilations == 2
    named = pb.function(lambda z: z + 1, shapes={"z": "n"})
    for n in (3, 4, 5):
        assert named(np.ones(n, complex)).shape == (n,)
    assert named.compilations == 1


def test_control_flow() -> None:
    def power(z: Any) -> Any:
        return pb.fori_loop(0, 4, lambda i, c: c * z + 1j, z)

    wanted = Z
    for _ in range(4):
        wanted = wanted * Z + 1j
    np.testing.assert_allclose(run(power, Z), wanted, rtol=1e-14)
    np.testing.assert_allclose(power(Z), wanted, rtol=1e-14)  # outside of a trace
    total, rows = run(lambda z: pb.scan(lambda c, x: (c * x, c + x), 1j, z), Z)
    np.testing.assert_allclose(total, 1j * np.prod(Z), rtol=1e-14)
    assert rows.dtype == complex
    chosen = run(lambda z: pb.cond(z[0].real > 0, lambda: z * 1j, lambda: z), Z)
    np.testing.assert_array_equal(chosen, Z * 1j)
    mapped = pb.vmap(lambda z, x: np.sum(z * x), in_axes=(-1, 0))(np.outer(Z, W), X)
    np.testing.assert_allclose(mapped, np.sum(np.outer(Z, W) * X, 0), rtol=1e-13)


@pytest.mark.parametrize(
    ("f", "text"),
    [
        (lambda z: np.maximum(z, z), "maximum: complex numbers are not supported here"),
        (lambda z: z < z, "lt: complex numbers are not supported here"),
        (lambda z: z // 2, "floor_divide: complex numbers are not supported"),
        (lambda z: np.arctan(z), "atan: complex numbers are not supported here"),
        (lambda z: z.max(), "max: complex numbers are not supported here"),
        (lambda z: np.clip(z, 0, 1), "clip: complex numbers are not supported here"),
        (lambda z: z.real * 1j < 0, "lt: complex numbers are not supported here"),
        (lambda z: z.astype(float), "astype: c128[5] as f64 would drop the imaginary"),
        (lambda z: np.zeros_like(z, float), "zeros_like: of complex numbers takes"),
        (lambda z: np.sum(z, dtype=np.complex64), "sum: dtype= is not supported here"),
        (lambda z: np.average(X, weights=z), "average: complex numbers are not supp"),
        (lambda z: pb.complex(z, 1.0), "complex: its parts are real"),
        (lambda z: np.einsum(z, [0]), "einsum: of complex numbers begins with the t"),
        (lambda z: np.polyval(z[0], z), "polyval: coefficients are on one axis"),
        (lambda z: np.linalg.matrix_power(np.outer(z, z), 0), "matrix_power: of com"),
        (lambda z: np.linalg.norm(np.outer(z, z), 2, (0, 1)), "norm: ord=2 of compl"),
    ],
)
def test_what_is_not_supported_says_so(f: Callable[..., Any], text: str) -> None:
    with pytest.raises(pb.OpTypeError) as caught:
        run(f, Z)
    assert str(caught.value).startswith(text)
    assert "traced at: " in str(caught.value)


def test_a_product_needs_known_sizes() -> None:
    f = pb.function(np.prod, shapes={"a": "n"})
    with pytest.raises(
        pb.OpTypeError, match=r"prod: of c128.n. needs the sizes of its"
    ):
        f.graph(Z)


def test_a_real_function_is_not_called_with_an_empty_polynomial() -> None:
    with pytest.raises(pb.OpTypeError, match="polyval: 0 coefficients"):
        run(lambda z: np.polyval(z[:0], z), Z)
