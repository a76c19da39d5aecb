"""Complex tensors and variables under tapes, with NumPy's names."""

from typing import Any

import numpy as np
import pullback as pb
import pytest

Z = np.array([1 + 2j, 3 - 1j, -0.5 + 0.25j])
W = np.array([2j, 1 - 1j, 0.5 + 3j])


def test_a_complex_target_gives_the_conjugate_of_the_derivative() -> None:
    z = pb.constant(Z)
    with pb.GradientTape(persistent=True) as tape:
        tape.watch(z)
        y = pb.exp(z) * W
    wanted = np.conj(np.exp(Z) * W)
    np.testing.assert_allclose(tape.gradient(y, z).numpy(), wanted, rtol=1e-14)
    # 1j + 0 turns it, as a cotangent of TensorFlow does
    got = tape.gradient(y, z, output_gradients=1j * np.ones(3))
    np.testing.assert_allclose(got.numpy(), 1j * wanted, rtol=1e-14)
    got = tape.gradient([y, pb.real(z)], z, output_gradients=[None, 2.0])
    assert got is None or got.shape == (3,)
    with pytest.raises(pb.ArgumentError, match="2 output_gradients for 1 targets"):
        tape.gradient(y, z, output_gradients=[1j, 1j])


def test_real_losses_of_both_kinds_of_sources() -> None:
    x, z = pb.Variable(np.array([0.5, 1.0, -2.0])), pb.Variable(Z, name="z")
    with pb.GradientTape(persistent=True) as tape:
        loss = pb.sum(pb.abs(x * z - W) ** 2)
    off = x.numpy() * Z - W
    found = tape.gradient(loss, {"x": x, "z": [z]})
    np.testing.assert_allclose(found["x"].numpy(), 2 * (off.conj() * Z).real)
    np.testing.assert_allclose(found["z"][0].numpy(), 2 * off * x.numpy())
    assert tape.gradient(loss, z).dtype == complex
    names = [v.name for v in tape.watched_variables()]
    assert names == ["Variable", "z.real", "z.imag"]


def test_intermediates_and_what_has_no_path() -> None:
    z, other = pb.constant(Z), pb.constant(W)
    with pb.GradientTape(persistent=True) as tape:
        tape.watch([z, other])
        y = z * 2j
        loss = pb.sum(pb.real(y * y))
    np.testing.assert_allclose(tape.gradient(loss, y).numpy(), 2 * np.conj(2j * Z))
    assert tape.gradient(loss, other) is None
    zero = tape.gradient(loss, other, unconnected_gradients="zero")
    assert (zero.dtype, zero.numpy().tolist()) == (complex, [0, 0, 0])
    # a loss of one part alone has a gradient with a zero in the other
    np.testing.assert_array_equal(tape.gradient(pb.real(y), y).numpy(), np.ones(3))


def test_a_fit_by_steps() -> None:
    z = pb.Variable(np.zeros(3, complex), name="z")
    for _ in range(60):
        with pb.GradientTape() as tape:
            loss = pb.sum(pb.abs(z * W - 1) ** 2)
        z.assign_sub(0.05 * tape.gradient(loss, z))
    np.testing.assert_allclose(z.numpy()[0], 1 / W[0], atol=1e-9)
    z.assign(Z)
    z.assign_add(1j)
    np.testing.assert_array_equal(z.numpy(), Z + 1j)
    assert repr(z).startswith("<Variable 'z': shape=(3,), dtype=complex128, numpy=")
    assert z.trainable
    with pytest.raises(pb.OpTypeError, match=r"variable 'z.real' is f64\[3\]"):
        z.assign(np.ones(2))


def test_tapes_in_tapes() -> None:
    z = pb.constant(1.5 + 0.5j)
    with pb.GradientTape() as outer:
        outer.watch(z)
        with pb.GradientTape() as inner:
            inner.watch(z)
            loss = pb.abs(z) ** 4
        first = inner.gradient(loss, z)  # 4 |z|^2 z
        size = pb.real(first * (1 - 2j))
    np.testing.assert_allclose(first.numpy(), 4 * 2.5 * (1.5 + 0.5j), rtol=1e-14)
    # d/dz of 4 |z|^2 (x + 2 y), by hand
    x, y = 1.5, 0.5
    wanted = 8 * (x + 2 * y) * (x + 1j * y) + 4 * 2.5 * (1 + 2j)
    np.testing.assert_allclose(outer.gradient(size, z).numpy(), wanted, rtol=1e-14)


def test_a_decorated_function_on_tensors() -> None:
    @pb.function
    def f(z: Any, x: Any) -> Any:
        return z * x, {"size": np.abs(z)}

    z, x = pb.constant(Z), pb.constant(2.0)
    with pb.GradientTape() as tape:
        tape.watch([z, x])
        y, more = f(z, x)
        loss = pb.sum(pb.imag(y)) + pb.sum(more["size"])
    by_z, by_x = tape.gradient(loss, [z, x])
    np.testing.assert_allclose(by_z.numpy(), 2j + Z / np.abs(Z), rtol=1e-14)
    np.testing.assert_allclose(by_x.numpy(), np.sum(Z.imag), rtol=1e-14)
    plain = f(Z, x)[0]  # an array beside a tensor
    np.testing.assert_allclose(plain.numpy(), 2 * Z, rtol=1e-14)


def test_control_flow_on_a_tape() -> None:
    z = pb.constant(Z)
    with pb.GradientTape() as tape:
        tape.watch(z)
        y = pb.fori_loop(0, 3, lambda i, c: c * z, z)
    np.testing.assert_allclose(y.numpy(), Z**4, rtol=1e-14)
    got = tape.gradient(y, z).numpy()
    np.testing.assert_allclose(got, np.conj(4 * Z**3), rtol=1e-13)


def test_tangents_of_a_tape() -> None:
    z, t = pb.constant(Z), pb.constant(W)
    accumulator = pytest.importorskip("pullback.tracer.accumulator")
    with accumulator.ForwardAccumulator(z, t) as push:
        y = z * z
    np.testing.assert_allclose(push.jvp(y).numpy(), 2 * Z * W, rtol=1e-14)


def test_how_a_tensor_looks() -> None:
    z = pb.constant(Z)
    assert (z.shape, z.dtype, z.ndim, z.size, len(z)) == ((3,), complex, 1, 3, 3)
    assert str(z) == f"Tensor({Z}, shape=(3,), dtype=complex128)"
    assert f"{z[0]:.1f}" == "1.0+2.0j"
    assert complex(z[0]) == 1 + 2j
    assert bool(z[0])
    assert [complex(x) for x in z] == list(Z)
    np.testing.assert_array_equal(np.asarray(z), Z)
    assert np.asarray(z, np.complex64).dtype == np.complex64
    with pytest.raises(ValueError, match="read-only"):
        z.numpy()[0] = 0
    assert pb.constant(1j, "complex64").dtype == np.complex64
    assert pb.constant([1.0, 2.0], complex).dtype == complex
    assert pb.Variable([1.0], dtype=complex).dtype == complex
    np.testing.assert_array_equal((W - z).numpy(), W - Z)
    np.testing.assert_array_equal((z == Z).numpy(), [True] * 3)


def test_numpy_leaves_the_tape_and_says_so() -> None:
    z = pb.constant(Z)
    with pb.GradientTape() as tape:
        tape.watch(z)
        with pytest.warns(pb.LeftTapeWarning, match="call pb.angle to keep"):
            y = pb.constant(np.angle(z))
    assert tape.gradient(y, z) is None


def test_later_changes_of_an_array_are_not_seen() -> None:
    array = Z.copy()
    z, v = pb.constant(array), pb.Variable(array)
    y = pb.constant(W) * array
    array[:] = 0
    np.testing.assert_array_equal(z.numpy(), Z)
    np.testing.assert_array_equal(v.numpy(), Z)
    np.testing.assert_allclose(y.numpy(), W * Z, rtol=1e-15)


def test_what_is_not_supported() -> None:
    z = pb.constant(Z)
    with pytest.raises(pb.OpTypeError, match="maximum: complex numbers are not suppor"):
        pb.maximum(z, z)
    with pytest.raises(pb.OpTypeError, match="lt: complex numbers are not supported h"):
        z < z  # noqa: B015  # it raises
    with pytest.raises(pb.OpTypeError, match=r"astype: c128.3. as f64 would drop"):
        pb.cast(z, float)
    with pb.GradientTape() as tape:
        tape.watch(z)
        y = z * z
    with pytest.raises(TypeError, match="the target is one tensor or variable"):
        tape.jacobian(y, z)
