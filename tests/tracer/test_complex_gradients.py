"""Gradients of complex numbers: dL/dx + i dL/dy, and the conjugate of f' for f.

They are compared with differences along both axes, with derivatives by mpmath, and with
formulas that users have in another form.
"""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pullback as pb
import pytest

Z = np.array([1.0 + 2.0j, 0.7 - 0.4j, -0.5 + 0.25j, -1.2 - 0.3j])
W = np.array([0.5 - 1.0j, 2.0j, 1.5 + 0.5j, -1.0 + 1.0j])
X = np.array([0.3, -1.1, 0.8, 2.0])


def differences(loss: Callable[[Any], Any], z: Any, h: float = 1e-6) -> Any:
    """The gradient of a real function of NumPy, by central differences."""
    found = np.zeros(z.shape, complex)
    for k in np.ndindex(z.shape):
        for turn in (1.0, 1j):
            step = np.zeros(z.shape, complex)
            step[k] = h * turn
            found[k] += turn * (loss(z + step) - loss(z - step)) / (2 * h)
    return found


LOSSES: list[Callable[[Any], Any]] = [
    lambda z: np.sum(np.abs(z)),
    lambda z: np.sum(np.abs(z) ** 2 * X),
    lambda z: np.sum(np.angle(z)),
    lambda z: np.sum((z * W).real - (z / W).imag),
    lambda z: np.sum((W / z).imag),
    lambda z: np.abs(np.sum(z * z.conj() * W)),
    lambda z: np.real(np.vdot(z, W * 1j) * np.vdot(X, z)),
    lambda z: np.sum(np.real(np.exp(z) * np.log(z) / np.sqrt(z))),
    lambda z: np.sum(np.imag(np.sin(z) * np.cosh(z) - np.cos(z) / np.sinh(z))),
    lambda z: np.sum(np.imag(np.tan(z) + np.tanh(z * 1j - 0.2))),
    lambda z: np.sum(np.abs(z**3 - z**-2 + z**2.5 + z**W + 2.0**z)),
    lambda z: np.sum(np.real(np.log10(z) + np.log2(z) + np.reciprocal(z))),
    lambda z: np.sum(np.abs(np.sign(z) - W)),
    lambda z: np.sum(np.imag(np.square(z)) + np.real(np.cumsum(z))[1:3].sum()),
    lambda z: np.real(np.prod(z)) + np.var(z) + np.std(z) + np.linalg.norm(z),
    lambda z: np.sum(np.where(z.real > 0, z, W * z).imag),
    lambda z: np.real(np.trace(np.outer(z, W) @ np.outer(W, z))),
    lambda z: np.real(np.einsum("i,ij,j", z, np.outer(W, W), z.conj())),
    lambda z: np.sum(np.abs(np.linalg.solve(np.diag(z) + 0.3j, W)) ** 2),
    lambda z: np.sum(np.real(np.linalg.inv(np.diag(W) + np.outer(z, z)) * W)),
    lambda z: np.sum(np.abs(np.concatenate([z, W])[::2].reshape(2, 2).T @ X[:2])),
    lambda z: np.sum(np.abs(np.polyval(z, 0.5j)) + np.abs(np.polyval(X, z))),
    lambda z: np.sum(np.abs(np.convolve(z, W)) ** 2 + 0.0),
    lambda z: np.sum(np.mean(z).real * X + z.imag),
]


@pytest.mark.parametrize("loss", LOSSES)
def test_a_real_loss(loss: Callable[[Any], Any]) -> None:
    wanted = differences(loss, Z)
    value, got = pb.value_and_grad(loss)(Z)
    assert got.dtype == complex
    np.testing.assert_allclose(value, loss(Z), rtol=1e-12)
    np.testing.assert_allclose(got, wanted, rtol=2e-7, atol=2e-8)


@pytest.mark.parametrize("loss", LOSSES[::3])
def test_derivatives_of_order_two(loss: Callable[[Any], Any]) -> None:
    pb.check_grads(loss, Z, modes=("fwd", "rev"))


HOLOMORPHIC = (
    "exp", "log", "sqrt", "sin", "cos", "tan", "sinh", "cosh", "tanh", "log10",
)  # fmt: skip
HARD = np.array(
    [1e-9 + 1e-9j, 0.9999999 + 1e-8j, -3.0 + 1e-12j, -3.0 - 1e-12j, 20.0 + 1.0j,
     1.0 - 20.0j, 0.3 + 0.1j, -4.0 + 0.0j, 2.0 + 0.0j, 0.0 + 1.5j, 1e-3 - 1.5707j]
)  # fmt: skip


@pytest.mark.parametrize("name", HOLOMORPHIC)
def test_a_complex_result_gives_the_conjugate_of_the_derivative(name: str) -> None:
    _, pull = pb.vjp(getattr(np, name), HARD)
    got = pull(np.ones(HARD.shape, complex))[0]
    with mpmath.workdps(40):
        f = getattr(mpmath, name)
        wanted = np.array(
            [complex(mpmath.conj(mpmath.diff(f, mpmath.mpc(z), h=1e-18))) for z in HARD]
        )
    # far out tanh is 1 and its derivative next to nothing
    np.testing.assert_allclose(got, wanted, rtol=3e-9, atol=5e-17)


@pytest.mark.parametrize("name", ["log", "sqrt", "tanh", "exp"])
def test_second_derivatives_on_the_axes(name: str) -> None:
    # where |x| in a formula would have a second derivative of 0
    points = np.array([2.0 + 0.0j, 1.0 + 0.0j, 0.0 + 1.3j, 0.7 + 0.7j])

    def slope(z: Any) -> Any:
        return pb.vjp(getattr(np, name), z)[1](np.ones(4) + 0j * z)[0]

    got = pb.jvp(slope, (points,), (np.ones(4, complex),))[1]
    with mpmath.workdps(40):
        f = getattr(mpmath, name)
        second = [mpmath.diff(f, mpmath.mpc(z), 2, h=1e-12) for z in points]
    wanted = np.conj(np.array([complex(v) for v in second]))
    np.testing.assert_allclose(got, wanted, rtol=1e-9)


def test_the_modulus_at_0_has_no_derivative_and_says_0() -> None:
    gradient = pb.grad(lambda z: np.sum(np.abs(z)))(np.array([0j, 3 + 4j]))
    np.testing.assert_allclose(gradient, [0, 0.6 + 0.8j], rtol=1e-15)


def test_what_is_beside_a_pole_is_finite() -> None:
    def safe(z: Any) -> Any:
        return np.sum(np.where(np.abs(z) > 0, np.log(z), 0).real)

    got = pb.grad(safe)(np.array([0j, 2 + 1j]))
    np.testing.assert_allclose(got, [0, np.conj(1 / (2 + 1j))], rtol=1e-14)


def test_real_and_complex_arguments() -> None:
    def loss(x: Any, z: Any) -> Any:
        return np.sum(np.abs(np.exp(1j * x * z)) ** 2)

    by_x, by_z = pb.grad(loss, argnums=(0, 1))(X, Z)
    assert by_x.dtype == float
    size = np.exp(-2 * X * Z.imag)  # |e^(ixz)|^2
    np.testing.assert_allclose(by_x, -2 * Z.imag * size, rtol=1e-12)
    np.testing.assert_allclose(by_z, 1j * (-2 * X * size), rtol=1e-12)


def test_tangents_are_the_derivative_along_them() -> None:
    value, tangent = pb.jvp(np.exp, (Z,), (W,))
    np.testing.assert_allclose(value, np.exp(Z), rtol=1e-15)
    np.testing.assert_allclose(tangent, W * np.exp(Z), rtol=1e-14)
    _, push = pb.linearize(lambda z: z.conj() * z, Z)
    np.testing.assert_allclose(push(W), 2 * (Z.conj() * W).real, rtol=1e-14, atol=1e-14)
    product = pb.hvp(lambda z: np.sum(np.abs(z) ** 4))(Z, W)
    wanted = 8 * Z * (Z.conj() * W).real + 4 * np.abs(Z) ** 2 * W
    np.testing.assert_allclose(product, wanted, rtol=1e-13)


def test_the_cotangent_of_a_pullback() -> None:
    _, pull = pb.vjp(lambda z: {"a": z * W, "b": z.real}, Z)
    got = pull({"a": X * 1j, "b": X})[0]
    np.testing.assert_allclose(got, np.conj(W) * X * 1j + X, rtol=1e-14)
    with pytest.raises(pb.ArgumentError, match="the cotangent is"):
        pull({"a": X, "b": X})

    @pb.function
    def inside(z: Any) -> Any:
        return pb.vjp(lambda z: z * W, z)[1](X * 1j)[0]

    np.testing.assert_allclose(inside(Z), np.conj(W) * X * 1j, rtol=1e-14)


def test_jacobians_have_rows_of_real_results() -> None:
    rows = pb.jacobian(lambda z: np.abs(z) ** 2)(Z)
    np.testing.assert_allclose(rows, np.diag(2 * Z), rtol=1e-14)
    with pytest.raises(pb.OpTypeError, match="a Jacobian has rows of real results"):
        pb.jacobian(lambda z: z * z)(Z)


def test_a_complex_loss_is_refused() -> None:
    for loss in (lambda z: np.sum(z), lambda z: 1j):
        with pytest.raises(pb.OpTypeError) as caught:
            pb.grad(loss)(Z)
        text = str(caught.value)
        assert "a gradient needs a real result, got a complex one" in text
        assert text.endswith(
            "make a real number of it, as z.real or np.abs(z)**2; pb.vjp takes the "
            "cotangent of a complex result"
        )


def test_printing_says_what_to_print() -> None:
    def f(z: Any) -> Any:
        pb.print("{}", z)
        return z

    with pytest.raises(pb.OpTypeError, match="print: complex numbers are not support"):
        pb.function(f)(Z)


# -- what users compute ----------------------------------------------------------------


def test_a_fit_of_a_frequency_response() -> None:
    # G(s) = k / (T^2 s^2 + 2 d T s + 1), from 30 measured points
    s = 1j * np.logspace(-1, 1, 30)

    def response(p: Any) -> Any:
        k, t, d = p
        return k / (t * t * s * s + 2 * d * t * s + 1)

    measured = response(np.array([2.0, 0.5, 0.3]))
    step = pb.value_and_grad(lambda p: np.sum(np.abs(response(p) - measured) ** 2))
    p = np.array([1.5, 0.6, 0.4])
    for _ in range(8):
        gradient = step(p)[1]
        h = 1e-6 * np.eye(3)
        numeric = [(step(p + e)[0] - step(p - e)[0]) / 2e-6 for e in h]
        np.testing.assert_allclose(gradient, numeric, rtol=1e-5, atol=1e-8)
        residual = (
            pb.jacobian(lambda q: response(q).real)(p),
            pb.jacobian(lambda q: response(q).imag)(p),
        )
        jac = np.concatenate(residual)
        off = response(p) - measured
        p = p - np.linalg.lstsq(jac, np.concatenate([off.real, off.imag]))[0]
    np.testing.assert_allclose(p, [2.0, 0.5, 0.3], rtol=1e-6)


def test_a_spectrum_by_a_matrix() -> None:
    # Parseval: the gradient of the spectrum's energy is 2 n x
    n = 16
    k = np.arange(n)
    dft = np.exp(-2j * np.pi * np.outer(k, k) / n)
    x = np.sin(k) + 0.1 * k
    gradient = pb.grad(lambda x: np.sum(np.abs(dft @ x) ** 2))(x)
    np.testing.assert_allclose(gradient, 2 * n * x, rtol=1e-12, atol=1e-11)
    # and the correlation of a shift, by its phase
    spectrum = np.fft.fft(x)

    def shifted(t: Any) -> Any:
        turn = np.exp(-2j * np.pi * np.fft.fftfreq(n) * t)
        return np.real(np.vdot(spectrum, spectrum * turn))

    slope = pb.grad(shifted)(0.5)
    assert abs(slope - (shifted(0.5 + 1e-6) - shifted(0.5 - 1e-6)) / 2e-6) < 1e-3


def test_a_level_that_a_field_drives() -> None:
    # Rabi: from |0> under H = (D/2) sigma_z + (O/2) sigma_x the other level holds
    # (O/g)^2 sin(g t / 2)^2 with g^2 = O^2 + D^2
    sx, sz = np.array([[0, 1], [1, 0]]), np.diag([1, -1])

    def population(p: Any, t: float = 1.3, steps: int = 64) -> Any:
        drive, detuning = p
        h = -0.5j * (drive * sx + detuning * sz) * (t / steps)

        def step(k: Any, psi: Any) -> Any:
            total = term = psi
            for order in range(1, 7):
                term = h @ term / order
                total = total + term
            return total

        psi = pb.fori_loop(0, steps, step, np.array([1.0 + 0j, 0.0]))
        return np.abs(psi[1]) ** 2

    def known(p: Any, t: float = 1.3) -> Any:
        g = np.sqrt(p[0] ** 2 + p[1] ** 2)
        return (p[0] / g) ** 2 * np.sin(g * t / 2) ** 2

    p = np.array([0.9, 0.4])
    value, gradient = pb.value_and_grad(population)(p)
    np.testing.assert_allclose(value, known(p), rtol=1e-9)
    np.testing.assert_allclose(gradient, pb.grad(known)(p), rtol=1e-7)


def test_a_fit_of_an_impedance() -> None:
    # Randles: Rs + R / (1 + (i w R C)^a)
    w = np.logspace(0, 4, 40)

    def impedance(q: Any) -> Any:
        rs, r, c, a = np.exp(q)
        return rs + r / (1 + (1j * w * r * c) ** a)

    truth = np.log(np.array([10.0, 100.0, 1e-5, 0.8]))
    measured = impedance(truth)

    def loss(q: Any) -> Any:
        return np.sum(np.abs(impedance(q) / measured - 1) ** 2)

    q = truth + 0.1
    wanted = [(loss(q + e) - loss(q - e)) / 2e-6 for e in 1e-6 * np.eye(4)]
    np.testing.assert_allclose(pb.grad(loss)(q), wanted, rtol=1e-6)
    assert np.max(np.abs(pb.grad(loss)(truth))) < 1e-12


def test_single_precision() -> None:
    z = Z.astype(np.complex64)
    value, gradient = pb.value_and_grad(lambda z: np.sum(np.abs(np.exp(z)) ** 2))(z)
    assert value.dtype == np.float32
    assert gradient.dtype == np.complex64
    wanted = 2 * np.exp(2 * Z.real)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-5)
