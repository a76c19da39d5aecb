"""Complex tensors under TensorFlow's names: values, dtypes, and conjugate gradients."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback.tensorflow as tf
import pytest

Z = np.array([1 + 2j, 3 - 1j, -0.5 + 0.25j], np.complex64)
RTOL = 2e-6


def z64() -> Any:
    return tf.constant(Z)


def test_a_complex_target_gives_the_conjugate_of_the_derivative() -> None:
    z = z64()
    for f, slope in (
        (lambda z: z * z, lambda z: 2 * z),
        (tf.exp, np.exp),
        (tf.math.sin, np.cos),
        (lambda z: 1j * z + tf.math.conj(z), lambda z: 1j + 1),
    ):
        with tf.GradientTape() as tape:
            tape.watch(z)
            y = f(z)
        got = tape.gradient(y, z)
        assert got.dtype == tf.complex64
        np.testing.assert_allclose(got.numpy(), np.conj(slope(Z)) + 0 * Z, rtol=RTOL)


def test_output_gradients_of_a_complex_target() -> None:
    z, x = z64(), tf.constant([1.0, 2.0, 3.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([z, x])
        y, r = z * z, x * tf.abs(z)
    ct = tf.constant([1j, 2.0, 1 - 1j], tf.complex64)
    wanted = np.conj(2 * Z) * ct.numpy()
    got = tape.gradient(y, z, output_gradients=ct)
    np.testing.assert_allclose(got.numpy(), wanted, rtol=RTOL)
    both = tape.gradient([y, r], [z, x], output_gradients=[ct, None])
    np.testing.assert_allclose(
        both[0].numpy(), wanted + x.numpy() * Z / np.abs(Z), rtol=RTOL
    )
    np.testing.assert_allclose(both[1].numpy(), np.abs(Z), rtol=RTOL)


def test_real_losses() -> None:
    z = z64()
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z)
        losses = [
            (tf.reduce_sum(tf.abs(z) ** 2), 2 * Z),
            (tf.reduce_sum(tf.math.real(z * z)), 2 * Z.conj()),
            (tf.reduce_sum(tf.math.imag(z)), 1j + 0 * Z),
            (tf.reduce_sum(tf.math.angle(z)), 1j * Z / np.abs(Z) ** 2),
            (tf.norm(z), Z / np.linalg.norm(Z)),
            (tf.reduce_sum(tf.cast(z, tf.float32)), 1 + 0 * Z),
            (tf.math.reduce_euclidean_norm(z), Z / np.linalg.norm(Z)),
            (tf.reduce_sum(tf.math.squared_difference(z, 1j)), 2 * (Z - 1j)),
        ]
    for loss, wanted in losses:
        assert loss.dtype == tf.float32
        np.testing.assert_allclose(
            tape.gradient(loss, z).numpy(), wanted, rtol=RTOL, atol=1e-6
        )


def test_real_variables_through_complex_numbers() -> None:
    x, y = tf.Variable(2.0), tf.Variable(0.5)
    with tf.GradientTape() as tape:
        z = tf.complex(x, y)
        loss = tf.abs(tf.exp(z * 1j)) + tf.math.real(tf.cast(x, tf.complex64) * z)
    by_x, by_y = tape.gradient(loss, [x, y])
    np.testing.assert_allclose(by_x.numpy(), 4.0, rtol=RTOL)
    np.testing.assert_allclose(by_y.numpy(), -np.exp(-0.5), rtol=RTOL)


def test_a_complex_variable() -> None:
    v = tf.Variable([1 + 1j, 2j], name="v", dtype=tf.complex64)
    assert (v.name, v.dtype, v.shape) == ("v:0", tf.complex64, (2,))
    target = tf.constant([3 - 1j, 0.5], tf.complex64)
    for _ in range(40):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.abs(v - target) ** 2)
        v.assign_sub(0.25 * tape.gradient(loss, v))
    np.testing.assert_allclose(v.numpy(), target.numpy(), atol=1e-5)
    v.assign([0.0, 1.0])
    v.assign_add([1j, 1j])
    assert v.numpy().tolist() == [1j, 1 + 1j]
    assert str(v).startswith("<tf.Variable 'v:0' shape=(2,) dtype=complex64, numpy=")
    with pytest.raises(TypeError, match="unhashable"):
        hash(v)


def test_sources_without_a_path() -> None:
    z, w = z64(), tf.constant(1j)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([z, w])
        y = z * 2
        real = tf.math.real(w)
    assert tape.gradient(y, {"z": z, "w": w})["w"] is None
    zero = tape.gradient(y, w, unconnected_gradients="zero")
    assert (zero.numpy(), zero.dtype) == (0, tf.complex128)
    assert tape.gradient(real, w).numpy() == 1  # of its real part alone


def test_gradients_of_gradients() -> None:
    z = tf.constant(1.5 + 0.5j)
    with tf.GradientTape() as outer:
        outer.watch(z)
        with tf.GradientTape() as inner:
            inner.watch(z)
            y = z * z * z
        first = inner.gradient(y, z)  # 3 conj(z)^2
        size = tf.abs(first)  # 3 |z|^2
    np.testing.assert_allclose(first.numpy(), 3 * np.conj(1.5 + 0.5j) ** 2, rtol=1e-14)
    got = outer.gradient(size, z).numpy()
    np.testing.assert_allclose(got, 6 * (1.5 + 0.5j), rtol=1e-14)


def test_dtypes() -> None:
    assert tf.constant(1j).dtype == tf.complex128
    assert tf.constant([1.0, 1j], tf.complex64).dtype == tf.complex64
    assert tf.as_dtype("complex64").is_complex
    assert not tf.float32.is_complex
    z = z64()
    assert tf.is_tensor(z)
    assert tf.abs(z).dtype == tf.math.real(z).dtype == tf.float32
    assert tf.cast([1, 2], tf.complex128).dtype == tf.complex128
    assert tf.cast(z, tf.complex128).dtype == tf.complex128
    assert tf.zeros((2,), tf.complex64).dtype == tf.complex64
    assert tf.ones_like(z).numpy().tolist() == [1, 1, 1]
    assert str(z) == f"tf.Tensor({Z}, shape=(3,), dtype=complex64)"
    assert repr(z).startswith("<tf.Tensor: shape=(3,), dtype=complex64, numpy=array(")
    assert tf.nest.flatten([{"a": z}])[0] is z
    assert complex(z[0]) == 1 + 2j


def test_matrices() -> None:
    m = np.outer(Z, Z) + np.diag(Z)
    a, b = tf.constant(m), tf.constant(m.T * 1j)
    for got, wanted in (
        (tf.matmul(a, b, adjoint_a=True), m.conj().T @ (m.T * 1j)),
        (tf.matmul(a, b, transpose_b=True), m @ (m * 1j)),
        (tf.linalg.adjoint(a), m.conj().T),
        (tf.transpose(a), m.T),
        (tf.einsum("ij,kj->ik", a, b), m @ (m * 1j)),
        (tf.linalg.solve(a, b), np.linalg.solve(m, m.T * 1j)),
        (tf.reduce_mean(a, 0), m.mean(0)),
    ):
        np.testing.assert_allclose(got.numpy(), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("f", "kind", "text"),
    [
        (lambda z: z * tf.constant(1.0), tf.errors.InvalidArgumentError, "a complex64"),
        (lambda z: tf.constant(1.0) * 1j, TypeError, "Cannot convert 1j to Eager"),
        (lambda z: tf.maximum(z, z), tf.errors.InvalidArgumentError,
         r"maximum: complex numbers are not supported here \[Op:Maximum\]"),
        (lambda z: tf.nn.relu(z), tf.errors.InvalidArgumentError, "relu: complex num"),
        (tf.function(lambda z: z), TypeError, "arguments and results of a tf.function"),
        (lambda z: tf.function(lambda: tf.constant(1j))(), TypeError,
         "arguments and results of a tf.function are real"),
        (tf.custom_gradient(lambda z: (z, lambda d: d)), TypeError,
         "a function with a gradient of its own takes and returns real tensors"),
    ],
)  # fmt: skip
def test_what_is_not_supported(
    f: Callable[[Any], Any], kind: type[Exception], text: str
) -> None:
    with pytest.raises(kind, match=text):
        f(z64())


def test_a_jacobian_of_a_complex_target_is_refused() -> None:
    z = z64()
    with tf.GradientTape() as tape:
        tape.watch(z)
        y = z * z
    with pytest.raises(TypeError, match="the target is one tensor or variable, not"):
        tape.jacobian(y, z)
