"""Jacobians, Hessians and tangents of what was recorded."""

from typing import Any

import numpy as np
import pullback.tensorflow as tf
import pytest
from taping import gradients, num


def test_the_jacobian_by_a_scalar() -> None:
    x, delta = tf.linspace(-10.0, 10.0, 201), tf.Variable(0.0)
    with tf.GradientTape() as tape:
        y = tf.nn.sigmoid(x + delta)
    j = tape.jacobian(y, delta)
    assert j.shape == (201,)
    s = 1 / (1 + np.exp(-np.linspace(-10, 10, 201)))
    np.testing.assert_allclose(j, s * (1 - s), rtol=2e-6)
    with pytest.raises(RuntimeError, match="one set of gradients"):
        tape.jacobian(y, delta)


@pytest.mark.parametrize("together", [True, False])
def test_the_jacobian_of_a_layer(together: bool) -> None:
    x = tf.random.normal([7, 5], seed=1)
    layer = tf.keras.layers.Dense(10, activation=tf.nn.relu)
    with tf.GradientTape(persistent=True) as tape:
        y = layer(x)
    j = tape.jacobian(y, layer.kernel, experimental_use_pfor=together)
    assert (y.shape, j.shape) == ((7, 10), (7, 10, 5, 10))
    g = tape.gradient(y, layer.kernel)
    np.testing.assert_allclose(tf.reduce_sum(j, [0, 1]), g, atol=1e-5)
    want = np.einsum("bi,bo,op->bopi", x, y.numpy() > 0, np.eye(10)).transpose(
        0, 1, 3, 2
    )
    np.testing.assert_allclose(j, want, rtol=1e-6)


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("recorded", [True, False])
def test_jacobians_of_several_sources(together: bool, recorded: bool) -> None:
    f = lambda x, y: x * x * y  # noqa: E731
    f = tf.function(f) if recorded else f
    x, y = tf.constant([1.0, 2.0]), tf.constant([3.0, 4.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        z = f(x, y)
    dx, dy = tape.jacobian(z, (x, y), experimental_use_pfor=together)
    assert num(dx) == [[6.0, 0.0], [0.0, 16.0]]
    assert num(dy) == [[1.0, 0.0], [0.0, 4.0]]


def test_one_at_a_time_needs_a_persistent_tape() -> None:
    x = tf.Variable([[1.0, 2.0]])
    for name in ("jacobian", "batch_jacobian"):
        with tf.GradientTape() as tape:
            y = x * x
        with pytest.raises(RuntimeError, match="must be created with persistent=True"):
            getattr(tape, name)(y, x, experimental_use_pfor=False)


def test_a_jacobian_with_respect_to_itself_and_to_nothing() -> None:
    x, v = tf.constant([1.0, 2.0]), tf.Variable([[3.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * 2.0
    assert num(tape.jacobian(x, x)) == [[1.0, 0.0], [0.0, 1.0]]
    assert num(tape.jacobian(v, v)) == [[[[1.0]]]]
    assert tape.jacobian(y, [v]) == [None]
    zeros = tape.jacobian(y, v, unconnected_gradients="zero")
    assert (zeros.shape, zeros.numpy().any()) == ((2, 1, 1), False)
    assert tape.jacobian(tf.constant([1, 2]), x) is None
    with pytest.raises(
        TypeError, match="jacobian: the target is one tensor or variable"
    ):
        tape.jacobian([y], x)


def test_a_jacobian_of_a_jacobian() -> None:
    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = x**3
        j = inner.jacobian(y, x)
    second = outer.jacobian(j, x).numpy()
    want = np.zeros((2, 2, 2))
    want[0, 0, 0], want[1, 1, 1] = 6.0, 12.0
    np.testing.assert_array_equal(second, want)


def test_a_jacobian_of_gathered_rows_is_dense() -> None:
    table = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        y = tf.gather(table, [1, 1])
    j = tape.jacobian(y, table)
    assert isinstance(j, tf.Tensor)
    want = np.zeros((2, 2, 2, 2))
    want[:, [0, 1], 1, [0, 1]] = 1.0
    np.testing.assert_array_equal(j, want)


def test_a_jacobian_through_a_rule_of_the_users_own() -> None:
    @tf.custom_gradient
    def f(x: Any) -> Any:
        return x * x, lambda ct: ct * 5.0

    x = tf.constant([1.0, 2.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    assert num(tape.jacobian(y, x)) == [[5.0, 0.0], [0.0, 5.0]]
    with tf.autodiff.ForwardAccumulator(x, tf.constant([1.0, 3.0])) as forward:
        y = f(x) * 2.0
    assert num(forward.jvp(y)) == [10.0, 30.0]


def test_a_hessian_is_symmetric_and_newton_steps_down() -> None:
    x = tf.random.normal([7, 5], seed=2)
    one = tf.keras.layers.Dense(8, activation=tf.nn.relu)
    two = tf.keras.layers.Dense(6, activation=tf.nn.relu)
    with tf.GradientTape() as t2:
        with tf.GradientTape() as t1:
            loss = tf.reduce_mean(two(one(x)) ** 2)
        g = t1.gradient(loss, one.kernel)
    h = t2.jacobian(g, one.kernel)
    assert h.shape == (5, 8, 5, 8)
    size = tf.reduce_prod(one.kernel.shape)
    flat, matrix = tf.reshape(g, [size, 1]), tf.reshape(h, [size, size])
    np.testing.assert_allclose(matrix, tf.transpose(matrix), atol=1e-6)
    update = tf.linalg.solve(matrix + tf.eye(size) * 1e-3, flat)
    one.kernel.assign_sub(tf.reshape(update, one.kernel.shape))
    assert tf.reduce_mean(two(one(x)) ** 2) < loss


def test_rows_of_a_batch() -> None:
    x = tf.random.normal([7, 5], seed=3)
    layers = [tf.keras.layers.Dense(n, activation=tf.nn.elu) for n in (8, 6)]
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(x)
        y = layers[1](layers[0](x))
    j, rows = tape.jacobian(y, x), tape.batch_jacobian(y, x)
    assert (j.shape, rows.shape) == ((7, 6, 7, 5), (7, 6, 5))
    np.testing.assert_allclose(tf.reduce_sum(j, axis=2), rows, atol=1e-6)
    np.testing.assert_allclose(tf.einsum("bxby->bxy", j), rows, atol=1e-6)
    slow = tape.batch_jacobian(y, x, experimental_use_pfor=False)
    np.testing.assert_allclose(slow, rows, atol=1e-7)


@pytest.mark.parametrize("together", [True, False])
def test_batches_that_are_odd(together: bool) -> None:
    x = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    v = tf.Variable([[1.0], [1.0]])
    empty = tf.zeros((1, 0))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, empty])
        y = x * x * [[1.0], [2.0]]
        nothing = empty * 2.0
    options = {"experimental_use_pfor": together}
    got = tape.batch_jacobian(y, x, **options)
    assert num(got) == [[[2.0, 0.0], [0.0, 4.0]], [[12.0, 0.0], [0.0, 16.0]]]
    assert num(tape.batch_jacobian(y, v, **options)) == np.zeros((2, 2, 1)).tolist()
    assert tape.batch_jacobian(nothing, empty, **options).shape == (1, 0, 0)


def test_batches_that_do_not_fit() -> None:
    x, y = tf.ones((2, 3)), tf.ones((4, 3))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        z, flat = x * 2.0, tf.reduce_sum(x, 1)
    with pytest.raises(ValueError, match=r"\w") as error:
        tape.batch_jacobian(z, y)
    assert str(error.value) == (
        "Need first dimension of target shape ((2, 3)) and source shape ((4, 3)) to "
        "match."
    )
    with pytest.raises(
        ValueError, match=r"the target \(2,\) must have rank at least 2"
    ):
        tape.batch_jacobian(flat, x)
    with pytest.raises(ValueError, match=r"the source \(\) must have rank at least 2"):
        tape.batch_jacobian(z, tf.constant(1.0))


# -- tangents --------------------------------------------------------------------------


def test_a_tangent_by_hand() -> None:
    x = tf.constant(2.0)
    with tf.autodiff.ForwardAccumulator(x, tf.constant(3.0)) as forward:
        y = tf.sin(x) * x
        inside = forward.jvp(y)
    want = 3.0 * (np.sin(2.0) + 2.0 * np.cos(2.0))
    np.testing.assert_allclose([inside, forward.jvp(y)], [want, want], rtol=1e-6)
    assert num(forward.jvp(x)) == 3.0


def test_tangents_of_variables_and_structures() -> None:
    v, w = tf.Variable(2.0), tf.Variable([1.0, 2.0])
    with tf.autodiff.ForwardAccumulator(
        [v, w], [tf.constant(1.0), tf.ones(2)]
    ) as forward:
        y = {"a": v * w, "b": tf.reduce_sum(w)}
    got = forward.jvp(y)
    assert (num(got["a"]), num(got["b"]), num(forward.jvp(v))) == ([3.0, 4.0], 2.0, 1.0)


def test_what_does_not_move() -> None:
    x, z = tf.constant(1.0), tf.constant([1.0, 1.0])
    with tf.autodiff.ForwardAccumulator(x, tf.constant(1.0)) as forward:
        y = z * 2.0
    assert forward.jvp(y) is None
    assert num(forward.jvp(y, unconnected_gradients="zero")) == [0.0, 0.0]


def test_a_hessian_times_a_vector_both_ways() -> None:
    x, v = tf.constant([1.0, 2.0, 3.0]), tf.constant([0.5, -1.0, 2.0])
    f = lambda t: tf.reduce_sum(tf.exp(t) * t[0])  # noqa: E731
    with tf.autodiff.ForwardAccumulator(x, v) as forward:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = f(x)
        g = tape.gradient(y, x)
    over = forward.jvp(g)
    with tf.GradientTape() as tape:
        tape.watch(x)
        with tf.autodiff.ForwardAccumulator(x, v) as forward:
            y = f(x)
        slope = forward.jvp(y)
    under = tape.gradient(slope, x)
    e = np.exp([1.0, 2.0, 3.0])
    hessian = np.diag(e * 1.0)
    hessian[0] += e
    hessian[:, 0] += e
    np.testing.assert_allclose(over, hessian @ v.numpy(), rtol=1e-5)
    np.testing.assert_allclose(under, hessian @ v.numpy(), rtol=1e-5)


def test_tangents_nest() -> None:
    x, one = tf.constant(1.1), tf.constant(1.0)
    with tf.autodiff.ForwardAccumulator(x, one) as outer:
        with tf.autodiff.ForwardAccumulator(x, one) as inner:
            y = x**3.5
        first = inner.jvp(y)
    second = outer.jvp(first)
    np.testing.assert_allclose(first, 3.5 * 1.1**2.5, rtol=1e-5)
    np.testing.assert_allclose(second, 3.5 * 2.5 * 1.1**1.5, rtol=1e-5)


def test_tangents_through_layers_functions_and_branches() -> None:
    x = tf.random.normal([2, 3], seed=4)
    layer = tf.keras.layers.Dense(2, activation="tanh")
    layer(x)
    kernel = layer.kernel
    direction = tf.ones(kernel.shape)
    with tf.autodiff.ForwardAccumulator(kernel, direction) as forward:
        y = tf.function(layer)(x)
    h = x.numpy() @ kernel.numpy()
    want = (x.numpy() @ np.ones((3, 2))) / np.cosh(h) ** 2
    np.testing.assert_allclose(forward.jvp(y), want, rtol=1e-5)
    t = tf.constant(5.0)
    with tf.autodiff.ForwardAccumulator(t, tf.constant(1.0)) as forward:
        y = tf.cond(t > 0.0, lambda: t * t, lambda: t)
        (z,) = tf.while_loop(lambda a: a < 6.0, lambda a: a * 3.0, [t])
    assert [num(forward.jvp(y)), num(forward.jvp(z))] == [10.0, 3.0]


def test_accumulators_that_are_misused() -> None:
    x = tf.constant(1.0)
    with pytest.raises(ValueError, match="was specified as a primal multiple times"):
        tf.autodiff.ForwardAccumulator([x, x], [x, x])
    with pytest.raises(ValueError, match="1 tangents for 2 primals: one each"):
        tf.autodiff.ForwardAccumulator([x, tf.constant(2.0)], [x])
    with pytest.raises(ValueError, match=r"a tangent is f32\[1\], its primal f32\[\]"):
        tf.autodiff.ForwardAccumulator(x, tf.constant([1.0]))
    forward = tf.autodiff.ForwardAccumulator(x, x)
    with (
        forward,
        pytest.raises(ValueError, match=r"^Accumulator is already recording\.$"),
    ):
        forward.__enter__()
    image = tf.ones((1, 1, 3))
    with tf.autodiff.ForwardAccumulator(image, image) as forward:
        y = tf.image.adjust_contrast(image, 0.5)
    with pytest.raises(LookupError, match="AdjustContrastv2"):
        forward.jvp(y)


def test_an_error_inside_leaves_the_accumulator() -> None:
    x = tf.constant(1.0)
    forward = tf.autodiff.ForwardAccumulator(x, x)
    with pytest.raises(ZeroDivisionError), forward:
        1 // 0  # noqa: B018 - it raises
    assert num(gradients(lambda t: t * t)(x)[0]) == 2.0


@pytest.mark.parametrize("together", [True, False])
def test_batches_of_recorded_functions(together: bool) -> None:
    f = tf.function(lambda x: x * x * 3.0)
    x = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = f(x)
    got = tape.batch_jacobian(y, x, experimental_use_pfor=together)
    assert num(got) == [[[6.0, 0.0], [0.0, 12.0]], [[18.0, 0.0], [0.0, 24.0]]]


def test_a_jacobian_inside_a_rule() -> None:
    @tf.custom_gradient
    def f(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x * x
        slopes = tape.jacobian(y, x)
        return tf.reduce_sum(y), lambda ct: ct * tf.linalg.diag_part(slopes)

    assert num(gradients(f)(tf.constant([1.0, 2.0]))[0]) == [2.0, 4.0]
