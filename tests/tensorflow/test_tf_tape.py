"""What a tape sees, and the gradients of what it saw."""

import asyncio
import functools
import gc
import threading
import weakref
from typing import Any

import numpy as np
import pullback.tensorflow as tf
import pytest
from taping import gradients, num, value_and_variables

# -- controlling what is recorded ------------------------------------------------------


def test_stop_recording_leaves_out_what_is_inside() -> None:
    x, y = tf.Variable(2.0), tf.Variable(3.0)
    with tf.GradientTape() as tape:
        kept = x * x
        with tape.stop_recording():
            lost = y * y
        z = kept + lost
    dx, dy = tape.gradient(z, [x, y])
    assert str(dx) == "tf.Tensor(4.0, shape=(), dtype=float32)"
    assert dy is None


def test_recording_goes_on_after_it_was_stopped() -> None:
    x = tf.constant(2.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        with tape.stop_recording():
            y = x * x
        z = x * x
    assert (num(tape.gradient(z, x)), tape.gradient(y, x)) == (4.0, None)


def test_reset_forgets_what_came_before() -> None:
    x, y = tf.Variable(2.0), tf.Variable(3.0)
    with tf.GradientTape() as tape:
        early = y * y
        tape.reset()
        z = x * x + early
    assert [num(g) for g in tape.gradient(z, [x, y])] == [4.0, None]


def test_after_reset_later_ops_alone_count() -> None:
    v = tf.Variable(1.0)
    with tf.GradientTape() as tape:
        loss = v * v
        tape.reset()
        loss += v * v
    assert num(tape.gradient(loss, v)) == 2.0


def test_stop_gradient_blocks_a_path() -> None:
    x, y = tf.Variable(2.0), tf.Variable(3.0)
    with tf.GradientTape() as tape:
        z = x**2 + tf.stop_gradient(y**2)
    assert [num(g) for g in tape.gradient(z, [x, y])] == [4.0, None]


def test_tapes_side_by_side_tell_equal_constants_apart() -> None:
    x0, x1 = tf.constant(0.0), tf.constant(0.0)
    with tf.GradientTape() as t0, tf.GradientTape() as t1:
        t0.watch(x0)
        t1.watch(x1)
        ys = tf.reduce_sum(tf.math.sin(x0) + tf.nn.sigmoid(x1))
    assert (num(t0.gradient(ys, x0)), num(t1.gradient(ys, x1))) == (1.0, 0.25)


def test_equal_constants_are_distinct_sources() -> None:
    a, b = tf.constant(3.0), tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch([a, b])
        z = a * 2.0 + b * 5.0
    assert [num(g) for g in tape.gradient(z, [a, b])] == [2.0, 5.0]


def test_only_the_last_of_two_tapes_lists_its_variables() -> None:
    v, w = tf.Variable(1.0), tf.Variable(2.0)
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(v)
        v * w
    assert [x is v for x in tape.watched_variables()] == [True]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(w)
    assert [x is w for x in tape.watched_variables()] == [True]


def test_watched_variables_grow_and_reset_clears_them() -> None:
    v0, v1 = tf.Variable(1.0), tf.Variable(2.0)
    with tf.GradientTape() as tape:
        assert tape.watched_variables() == ()
        v1 * 2.0
        assert [v.ref() for v in tape.watched_variables()] == [v1.ref()]
        v0 * 2.0
        assert [v.ref() for v in tape.watched_variables()] == [v0.ref(), v1.ref()]
        tape.reset()
        assert tape.watched_variables() == ()


def test_watched_variables_answer_after_the_tape_is_used() -> None:
    v = tf.Variable(1.0)
    with tf.GradientTape() as tape:
        y = v * v
    tape.gradient(y, v)
    assert [x.ref() for x in tape.watched_variables()] == [v.ref()]


def test_untrained_variables_may_be_watched() -> None:
    v = tf.Variable(3.0, trainable=False)
    with tf.GradientTape() as tape:
        tape.watch(v)
        y = v * v
    assert num(tape.gradient(y, v)) == 6.0


def test_watching_belongs_to_a_tape() -> None:
    x = tf.constant(3.0)
    with tf.GradientTape(persistent=True) as outer:
        with tf.GradientTape(persistent=True) as inner:
            inner.watch(x)
            y = x * x
        dy = inner.gradient(y, x)
        outer.watch(x)
        z = x * x * x
    assert outer.gradient(dy, x) is None
    assert num(outer.gradient(z, x)) == 27.0


def test_variables_that_are_read_are_found_in_order_of_making() -> None:
    v0, v1 = tf.Variable(1.0), tf.Variable(2.0)
    _, pairs = value_and_variables(lambda: v1 * v0)
    assert [v is w for (_, v), w in zip(pairs, [v0, v1], strict=True)] == [True, True]
    assert [num(g) for g, _ in pairs] == [2.0, 1.0]


def test_watch_takes_nested_structures() -> None:
    x, y = tf.constant(2.0), tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch({"a": [x], "b": (y,)})
        z = x * y
    assert [num(g) for g in tape.gradient(z, [x, y])] == [3.0, 2.0]


def test_a_tensor_read_before_it_is_watched_is_lost() -> None:
    x = tf.constant(2.0)
    with tf.GradientTape() as tape:
        early = x * x
        tape.watch(x)
        total = early + x * 3.0
    assert num(tape.gradient(total, x)) == 3.0


# -- higher order ----------------------------------------------------------------------


def test_second_order_by_nesting() -> None:
    x = tf.Variable(1.0)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            y = x * x * x
        dy = inner.gradient(y, x)
    assert (num(dy), num(outer.gradient(dy, x))) == (3.0, 6.0)


def test_three_orders_on_one_persistent_tape() -> None:
    x = tf.constant(3.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x**3
        dy = tape.gradient(y, x)
        d2y = tape.gradient(dy, x)
        d3y = tape.gradient(d2y, x)
    assert [num(g) for g in (y, dy, d2y, d3y)] == [27.0, 27.0, 18.0, 6.0]


def test_persistent_tapes_nest() -> None:
    x = tf.constant(1.0)
    with tf.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with tf.GradientTape(persistent=True) as inner:
            inner.watch(x)
            y = x * x * x
        for _ in range(2):
            first = inner.gradient(y, x)
        assert num(first) == 3.0
    for _ in range(2):
        assert num(outer.gradient(first, x)) == 6.0
    del inner, outer


def test_the_gradient_of_a_gradient_of_exp() -> None:
    first = gradients(tf.exp)
    second = gradients(lambda x: first(x)[0])
    assert num(second(tf.constant(0.0))[0]) == 1.0
    assert num(gradients(lambda x: gradients(lambda t: t * t)(x)[0])(5.0)[0]) == 2.0


def test_second_derivative_of_cross_entropy_with_itself() -> None:
    def first(x: Any) -> Any:
        loss = lambda t: tf.nn.softmax_cross_entropy_with_logits(x, t)  # noqa: E731
        return gradients(loss)(x)[0]

    x = tf.constant([[2.0]])
    assert num(gradients(first)(x)[0]) == [[0.0]]


def test_penalty_on_the_gradient_of_the_input() -> None:
    tf.random.set_seed(3)
    x = tf.random.normal([7, 5])
    layer = tf.keras.layers.Dense(10, activation="relu")
    with tf.GradientTape() as outer:
        with tf.GradientTape(watch_accessed_variables=False) as inner:
            inner.watch(x)
            out = tf.reduce_sum(layer(x) ** 2)
        g1 = inner.gradient(out, x)
        size = tf.norm(g1)
    g2 = outer.gradient(size, layer.trainable_variables)
    assert [g.shape for g in g2] == [(5, 10), (10,)]
    w, b = (v.numpy().astype(np.float64) for v in layer.trainable_variables)

    def norm(w: Any) -> Any:
        h = x.numpy() @ w + b
        return np.linalg.norm((2 * h * (h > 0)) @ w.T)

    direction = np.cos(np.arange(50.0)).reshape(5, 10)
    step = 1e-5
    slope = (norm(w + step * direction) - norm(w - step * direction)) / (2 * step)
    np.testing.assert_allclose(np.sum(g2[0].numpy() * direction), slope, rtol=1e-4)


def hessian_times(f: Any, x: Any, v: Any) -> Any:
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = f(x)
        g = inner.gradient(y, x)
        product = tf.reduce_sum(g * v)
    return outer.gradient(product, x)


def test_a_hessian_times_a_vector() -> None:
    x, v = tf.constant([1.0, 2.0, 3.0]), tf.constant([0.5, -1.0, 2.0])
    product = hessian_times(lambda t: tf.reduce_sum(t**3) * t[0], x, v)
    t = x.numpy().astype(np.float64)
    hessian = np.diag(6 * t * t[0])
    hessian[0, :] += 3 * t**2
    hessian[:, 0] += 3 * t**2
    np.testing.assert_allclose(product, hessian @ v.numpy(), rtol=1e-6)


def test_the_same_by_output_gradients() -> None:
    x, v = tf.constant([1.0, 2.0]), tf.constant([3.0, -1.0])
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = tf.reduce_sum(x**3)
        g = inner.gradient(y, x)
    assert num(outer.gradient(g, x, output_gradients=v)) == [18.0, -12.0]


# -- targets, sources, cotangents ------------------------------------------------------


def test_output_gradients_weigh_targets_and_a_target_that_is_a_source() -> None:
    x = tf.constant(1.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = x * x
    got = tape.gradient([loss, x], [x], output_gradients=[1.0, 2.0])
    assert [num(g) for g in got] == [4.0]


def test_a_cotangent_is_a_factor() -> None:
    (g,) = gradients(lambda x: x * x)(
        tf.constant([1.0, 2.0]), dy=[tf.constant([3.0, 1.0])]
    )
    assert num(g) == [6.0, 4.0]


def test_no_output_gradient_for_one_target_means_ones() -> None:
    x = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        y, z = x * x, x * 3.0
    assert num(tape.gradient([y, z], x, output_gradients=[None, 10.0])) == 34.0


def test_two_targets_add_up() -> None:
    x, y = tf.constant(1.0), tf.constant(1.0)
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        out = [x * 2.0, y * 3.0]
    assert [num(g) for g in tape.gradient(out, [x, y])] == [2.0, 3.0]


def test_targets_that_are_sources() -> None:
    x, y = tf.constant(2.0), tf.constant(5.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        square, product = x * x, y * y
        same = x
    assert num(tape.gradient([x, square], x)) == 5.0
    assert num(tape.gradient([x, same], x)) == 2.0
    assert num(tape.gradient(same, x)) == 1.0
    got = tape.gradient([x, y, product], [x, y])
    assert [num(g) for g in got] == [1.0, 11.0]


def test_a_matrix_with_respect_to_itself() -> None:
    a = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(a)
    assert num(tape.gradient(a, [a])[0]) == [[1.0, 1.0], [1.0, 1.0]]
    assert num(tape.gradient([a, a], [a])[0]) == [[2.0, 2.0], [2.0, 2.0]]


def test_a_source_never_watched_that_is_the_target() -> None:
    x = tf.constant(3.0)
    with tf.GradientTape() as tape:
        pass
    assert num(tape.gradient(x, x)) == 1.0


@pytest.mark.parametrize("persistent", [False, True])
def test_a_source_named_twice_has_the_full_gradient_twice(persistent: bool) -> None:
    x, y = tf.constant(3.0), tf.constant(5.0)
    with tf.GradientTape(persistent=persistent) as tape:
        tape.watch([x, y])
        z = y * y + y
    assert [num(g) for g in tape.gradient(z, [y, y])] == [11.0, 11.0]


def test_sources_are_no_cuts() -> None:
    x = tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = x * x
        z = y * y
    assert [num(g) for g in tape.gradient(z, [x, y])] == [108.0, 18.0]


def test_results_have_the_structure_of_the_sources() -> None:
    x, y = tf.constant(2.0), tf.constant(3.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, y])
        z = x * y
    for sources in (x, (x,), [x, y], (x, [y, x]), {"b": y, "a": (x, {"c": x})}):
        got = tape.gradient(z, sources)
        tf.nest.assert_same_structure(got, sources)
        assert all(g is not None for g in tf.nest.flatten(got))
    assert num(tape.gradient(z, {"b": y, "a": x})["b"]) == 2.0
    assert tape.gradient(z, []) == []


def test_python_max_over_variables() -> None:
    held = [tf.Variable(float(k)) for k in range(3)]
    with tf.GradientTape() as tape:
        top = max(held)
    assert [num(g) for g in tape.gradient(top, held)] == [None, None, 1.0]


def test_reading_a_variable_is_an_identity() -> None:
    v = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        y = v.read_value()
    assert num(tape.gradient(y, v)) == 1.0


def test_identities_are_values_of_their_own() -> None:
    x = tf.constant(2.0)
    for change in (tf.identity, lambda t: t + 0, lambda t: t - 0, lambda t: t * 1):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = change(x)
            tape.watch(y)
            z = y * y
        assert y is not x
        assert [num(tape.gradient(z, s)) for s in (x, y)] == [4.0, 4.0]
        with tf.GradientTape() as tape:
            tape.watch(y)
            z = x * x
        assert tape.gradient(z, y) is None


def test_unrelated_variables_have_no_gradient() -> None:
    v, w = tf.Variable(1.0), tf.Variable(2.0)
    with tf.GradientTape() as tape:
        pass
    assert tape.gradient(w, v) is None


@pytest.mark.parametrize("zero", ["zero", tf.UnconnectedGradients.ZERO])
def test_zeros_for_what_is_not_connected(zero: Any) -> None:
    x, v = tf.constant([1.0, 2.0]), tf.Variable([[1.0]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = tf.Variable(3.0) * 2.0
    got = tape.gradient(y, [x, v], unconnected_gradients=zero)
    assert [num(g) for g in got] == [[0.0, 0.0], [[0.0]]]
    assert [g.dtype for g in got] == [tf.float32, tf.float32]
    assert tape.gradient(y, [x, v]) == [None, None]


def test_one_output_of_several_is_enough() -> None:
    x = tf.constant([[3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        one, _ = tf.split(x, 2, axis=1)
        y = one * 2.0
    assert num(tape.gradient(y, x)) == [[2.0, 0.0]]


# -- state -----------------------------------------------------------------------------


def test_reads_keep_the_value_they_saw() -> None:
    v = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        a = v * v
        assert v.assign(10.0) is v
        total = a + v * v
    assert num(tape.gradient(total, v)) == 26.0


def test_assigning_is_no_path() -> None:
    x, v = tf.Variable(3.0), tf.Variable(0.0)
    with tf.GradientTape() as tape:
        assert v.assign_add(x) is v
        y = v**2
    assert [num(g) for g in tape.gradient(y, [x, v])] == [None, 6.0]


# -- dtypes ----------------------------------------------------------------------------


def test_integers_block_paths() -> None:
    x = tf.Variable([[2, 2]])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = tf.cast(x, tf.float32)
        z = tf.reduce_sum(y * 2.0)
    assert tape.gradient(z, x) is None
    assert tape.gradient(z, y) is None
    assert gradients(lambda t: t * t)(tf.constant(2))[0] is None


def test_a_cast_between_floats_is_a_path() -> None:
    x = tf.constant([1.0, 2.0], tf.float64)
    (g,) = gradients(lambda t: tf.cast(t, tf.float32) ** 2)(x)
    assert (g.dtype, num(g)) == (tf.float64, [2.0, 4.0])


def test_where_passes_each_side() -> None:
    f = gradients(lambda x: tf.where(x < 10.0, x, x * x))
    assert [num(f(tf.constant(k))[0]) for k in (5.0, 50.0)] == [1.0, 100.0]


def test_choosing_the_largest_has_no_gradient() -> None:
    assert gradients(lambda x: tf.argmax(x))(tf.constant([1.0, 2.0])) == [None]


def test_broadcast_operands_have_their_own_shapes() -> None:
    pairs: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((), (2, 3)), ((1,), (3,)), ((3, 1), (1, 4)), ((2, 3, 1), (4,)),
        ((0,), (2, 0)), ((1,), (0,)), ((2, 1), (2, 0)),
    ]  # fmt: skip
    for one, two in pairs:
        a, b = tf.fill(one, 2.0), tf.fill(two, 3.0)
        da, db = gradients(lambda a, b: a * b + a)(a, b)
        assert (da.shape, db.shape) == (one, two)
        size = np.broadcast(a.numpy(), b.numpy()).size
        np.testing.assert_allclose(np.sum(da.numpy()), 4.0 * size)
        np.testing.assert_allclose(np.sum(db.numpy()), 2.0 * size)


# -- gathered rows ---------------------------------------------------------------------


def test_gathered_rows_have_a_sparse_gradient() -> None:
    table = tf.Variable(tf.reshape(tf.range(6.0), (3, 2)))
    with tf.GradientTape() as tape:
        y = tf.nn.embedding_lookup(table, [1, 1, 2])
        loss = tf.reduce_sum(y * [[1.0], [2.0], [3.0]])
    g = tape.gradient(loss, table)
    assert isinstance(g, tf.IndexedSlices)
    assert g.indices.numpy().tolist() == [1, 1, 2]
    assert num(g.values) == [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    assert num(g.dense_shape) == [3, 2]
    assert (g.shape, g.dtype) == ((3, 2), tf.float32)
    assert num(g) == [[0.0, 0.0], [3.0, 3.0], [3.0, 3.0]]
    assert "IndexedSlices(indices=tf.Tensor([1 1 2]" in repr(g)
    assert num((-g).values)[0] == [-1.0, -1.0]


def test_several_gathers_add_up_to_the_dense_truth() -> None:
    table = tf.constant(np.arange(8, dtype=np.float32).reshape(4, 2))

    def f(t: Any) -> Any:
        rows = [tf.gather(t, k) for k in ([0, 1], [1, 2], [3, 3])]
        return rows[0] * rows[1] * rows[2]

    (g,) = gradients(f)(table)
    assert isinstance(g, tf.IndexedSlices)
    x, step = table.numpy().astype(np.float64), 1e-4
    for at in np.ndindex(4, 2):
        up, down = x.copy(), x.copy()
        up[at] += step
        down[at] -= step
        h = lambda t: t[[0, 1]] * t[[1, 2]] * t[[3, 3]]  # noqa: E731
        slope = np.sum(h(up) - h(down)) / (2 * step)
        np.testing.assert_allclose(np.asarray(num(g))[at], slope, rtol=1e-4, atol=1e-3)


def test_a_gather_beside_a_dense_use_is_dense() -> None:
    table = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    (g,) = gradients(lambda t: tf.reduce_sum(tf.gather(t, [0])) + tf.reduce_sum(t * t))(
        table
    )
    assert isinstance(g, tf.Tensor)
    assert num(g) == [[3.0, 5.0], [6.0, 8.0]]


def test_a_gather_along_another_axis_is_dense() -> None:
    (g,) = gradients(lambda t: tf.gather(t, [0, 0], axis=1))(tf.ones((2, 2)))
    assert num(g) == [[2.0, 0.0], [2.0, 0.0]]


def test_indexing_has_a_dense_gradient() -> None:
    v = tf.Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    reads = [
        (lambda: v[1], [[0.0, 0.0], [1.0, 1.0], [0.0, 0.0]]),
        (lambda: v[1:, 0], [[0.0, 0.0], [1.0, 0.0], [1.0, 0.0]]),
        (lambda: v[..., tf.newaxis, -1], [[0.0, 1.0]] * 3),
        (lambda: v[tf.constant(2)], [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]),
        (lambda: v[np.array([0, 0])], [[2.0, 2.0], [0.0, 0.0], [0.0, 0.0]]),
        (lambda: tf.stack(list(v))[0], [[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]),
    ]
    for read, want in reads:
        with tf.GradientTape() as tape:
            y = read()
        g = tape.gradient(y, v)
        assert isinstance(g, tf.Tensor)
        assert num(g) == want
    with pytest.raises(TypeError, match=r"Cannot iterate over a scalar tensor\."):
        iter(tf.constant(1.0))
    with pytest.raises(TypeError, match=r"Scalar tensor has no `len\(\)`"):
        len(tf.constant(1.0))


def test_slices_without_a_shape_are_no_tensor() -> None:
    slices = tf.IndexedSlices([[1.0]], [0])
    assert slices.dense_shape is None
    with pytest.raises(ValueError, match="IndexedSlices for an unknown shape"):
        tf.convert_to_tensor(slices)


def test_rows_of_gradients_of_nothing() -> None:
    assert tf.IndexedSlices(
        tf.zeros((0, 2)), tf.zeros((0,), tf.int64), (3, 2)
    ).shape == (3, 2)


# -- Python around the tape ------------------------------------------------------------


def test_python_control_flow_is_followed() -> None:
    def f(x: Any) -> Any:
        y = x
        while tf.reduce_sum(y) < 10.0:
            y = y * 2.0
        return y

    assert num(gradients(f)(tf.constant(3.0))[0]) == 4.0


def test_cond_and_while_loop_under_a_tape() -> None:
    x = tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.cond(x < 5.0, lambda: x * x, lambda: x)
    assert num(tape.gradient(y, x)) == 6.0
    with tf.GradientTape() as tape:
        tape.watch(x)
        _, y = tf.while_loop(lambda i, _: i < 2, lambda i, t: (i + 1, t * 2.0), (0, x))
    assert num(tape.gradient(y, x)) == 4.0


def test_a_tape_inside_a_loop() -> None:
    v = tf.Variable(1.0)

    def body(i: Any, total: Any) -> Any:
        with tf.GradientTape() as tape:
            y = v * v * tf.cast(i, tf.float32)
        return i + 1, total + tape.gradient(y, v)

    _, total = tf.while_loop(
        lambda i, _: i < 3, body, (tf.constant(0), tf.constant(0.0))
    )
    assert num(total) == 6.0


def test_gradient_inside_the_context() -> None:
    x = tf.Variable(3.0)
    for persistent in (False, True):
        with tf.GradientTape(persistent=persistent) as tape:
            y = x * x
            assert num(tape.gradient(y, x)) == 6.0


def test_reentering_appends() -> None:
    x = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        y = x * x
    with tape:
        z = y * 1.0
    assert num(tape.gradient(z, x)) == 4.0


def test_a_gradient_of_a_gradient_does_not_see_the_outer_variable() -> None:
    x = tf.constant(3.0)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            y = x * 1.0
            inner.watch(y)
            z = y * y
        dz = inner.gradient(z, y)
        total = dz + x
    assert num(outer.gradient(total, x)) == 3.0


def test_an_exception_leaves_no_tape_behind() -> None:
    x = tf.Variable(2.0)
    tape = tf.GradientTape()
    with pytest.raises(ZeroDivisionError), tape:
        1 // 0  # noqa: B018 - it raises
    y = x * x
    assert tape.gradient(y, x) is None


def test_functions_with_any_arguments() -> None:
    def f(*args: Any) -> Any:
        return args[0] * args[1]

    assert [num(g) for g in gradients(f)(2.0, 3.0)] == [3.0, 2.0]
    partly = functools.partial(lambda a, b: a * b, 4.0)
    assert num(gradients(partly)(2.0)[0]) == 4.0
    assert [num(g) for g in gradients(lambda x, y: x * y)(3.0, 3.0)] == [3.0, 3.0]
    assert num(gradients(lambda x, y: x * y, [0])(3.0, 4.0)[0]) == 4.0


def test_one_object_for_two_arguments() -> None:
    x = tf.constant(1.0)
    assert [num(g) for g in gradients(lambda a, b: a * b)(x, x)] == [1.0, 1.0]


def test_a_function_that_returns_its_argument() -> None:
    assert num(gradients(lambda x: (x, x * 2.0))(tf.constant(1.0))[0]) == 3.0


def test_packing_tensors() -> None:
    assert num(gradients(lambda a: tf.stack([a, a]) * [1.0, 4.0])(1.0)[0]) == 5.0
    assert num(gradients(lambda a: tf.convert_to_tensor([a, a]))(1.0)[0]) == 2.0


def test_constants_and_variables_have_the_same_gradients() -> None:
    def f(a: Any, b: Any) -> Any:
        return a * b + a

    v, w = tf.Variable(2.0), tf.Variable(2.0)
    with tf.GradientTape() as tape:
        y = f(v, w)
    by_variable = [num(g) for g in tape.gradient(y, [v, w])]
    assert by_variable == [num(g) for g in gradients(f)(2.0, 2.0)] == [3.0, 2.0]


def test_steps_down_a_slope() -> None:
    v, losses = tf.Variable(4.0), []
    for _ in range(5):
        loss, ((g, _),) = value_and_variables(lambda: v * 1.0)
        losses.append(num(loss))
        v.assign_sub(g)
    assert losses == [4.0, 3.0, 2.0, 1.0, 0.0]


def test_a_function_of_its_cotangent() -> None:
    x, ct = tf.constant(3.1), tf.constant(1.0)
    with tf.GradientTape() as outer:
        outer.watch(ct)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = 0.5 * x * x
        g = inner.gradient(y, x, output_gradients=ct)
    np.testing.assert_allclose(num(outer.gradient(g, ct)), 3.1, rtol=1e-6)


# -- threads, tasks, memory ------------------------------------------------------------


def test_threads_do_not_see_each_others_tapes() -> None:
    v, found = tf.Variable(3.0), {}

    def other() -> None:
        with tf.GradientTape() as tape:
            y = v * v
        found["own"] = num(tape.gradient(y, v))

    with tf.GradientTape() as tape:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert found == {"own": 6.0}
    assert tape.watched_variables() == ()


def test_tasks_do_not_see_each_others_tapes() -> None:
    async def one(v: Any, w: Any) -> Any:
        with tf.GradientTape() as tape:
            y = v * v
            await asyncio.sleep(0)
            z = y * w
            await asyncio.sleep(0)
            z = z * w
        names = [x.name for x in tape.watched_variables()]
        return names, [num(g) for g in tape.gradient(z, [v, w])]

    async def both() -> Any:
        a, b, w = (
            tf.Variable(float(k), name=n) for k, n in ((2, "a"), (3, "b"), (5, "w"))
        )
        return await asyncio.gather(one(a, w), one(b, w))

    first, second = asyncio.run(both())
    assert first == (["a:0", "w:0"], [100.0, 40.0])
    assert second == (["b:0", "w:0"], [150.0, 90.0])


def test_a_tape_of_another_thread_is_refused() -> None:
    x = tf.Variable(2.0)
    with tf.GradientTape() as tape:
        y = x * x
    raised: list[BaseException] = []

    def other() -> None:
        try:
            tape.gradient(y, x)
        except RuntimeError as error:
            raised.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert "a tape is used in another thread than the one it recorded in" in str(
        raised[0]
    )


def test_a_tape_frees_what_it_holds_at_once() -> None:
    x = tf.constant(np.ones(1000, np.float32))
    gc.disable()
    try:
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = tf.exp(x)
            z = tf.reduce_sum(y * y)
        z.numpy()
        gone = weakref.ref(tape)
        array = weakref.ref(y._array())
        del y, z, tape
        tf.constant(1.0) + 1.0
        assert gone() is None
        assert array() is None
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("name", "f"),
    [
        ("relu", tf.nn.relu),
        ("tanh", tf.tanh),
        ("exp", tf.exp),
        ("sin", tf.sin),
        ("sum", lambda t: tf.reduce_sum(t, 0)),
        ("reshape", lambda t: tf.reshape(t, (4, 2))),
    ],
)
def test_what_no_handle_names_is_not_kept(name: str, f: Any) -> None:
    """Between forward and gradient only what the user still names has an array."""
    x = tf.Variable(np.linspace(0.1, 1, 8, dtype=np.float32).reshape(2, 4))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(f(x * 2.0) ** 2)
    loss.numpy()
    held = [
        r
        for node in tape._nodes()
        for r in node.results
        if r.cell is not None and r.cell.array is not None
    ]
    assert held == [loss._value]
    assert tape.gradient(loss, x).shape == (2, 4)
    assert tape._nodes() == []


def test_later_writes_change_nothing() -> None:
    data = np.ones(3, np.float32)
    x = tf.constant(data)
    v = tf.Variable(data)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(x * x * v)
    data[:] = 100.0
    assert [num(g) for g in tape.gradient(y, [x, v])] == [[2.0] * 3, [1.0] * 3]
    with pytest.raises(ValueError, match="read-only"):
        x.numpy()[0] = 5.0


def test_a_gather_in_a_recorded_function() -> None:
    table = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    f = tf.function(lambda: tf.reduce_sum(tf.gather(table, [1, 1]) ** 2))
    with tf.GradientTape() as tape:
        loss = f()
    assert num(tape.gradient(loss, table)) == [[0.0, 0.0], [12.0, 16.0]]


def test_a_pullback_may_be_called_again() -> None:
    x = tf.constant(3.0)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
    got = [tape.gradient(y, x, output_gradients=tf.constant(k)) for k in (2.0, 1.0)]
    assert [num(g) for g in got] == [12.0, 6.0]


def test_a_chain_of_sums() -> None:
    def f(x: Any, y: Any) -> Any:
        z = x + y
        return z + z + x

    assert [num(g) for g in gradients(f)(1.0, 2.0)] == [3.0, 2.0]


def test_a_function_that_returns_nothing() -> None:
    x = tf.Variable(1.0)
    with tf.GradientTape() as tape:
        y = (lambda t: None)(x)
    with pytest.raises(TypeError, match="but received None"):
        tape.gradient(y, x)


def test_intermediate_products_are_sources() -> None:
    a, b = tf.Variable(2.0), tf.Variable(3.0)
    with tf.GradientTape(persistent=True) as tape:
        product = a * b
        total, less, minus = product + 1.0, 1.0 - product, product - a
    assert [num(tape.gradient(t, product)) for t in (total, less, minus)] == [1, -1, 1]
    assert [num(tape.gradient(t, a)) for t in (total, less, minus)] == [3, -3, 2]


def test_an_op_that_is_recorded_counts_for_all_sources() -> None:
    x, a = tf.constant(2.0), tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch(a)
        early = a * x
        tape.watch(x)
        total = early + x
    assert [num(g) for g in tape.gradient(total, [a, x])] == [2.0, 4.0]


def test_a_gradient_inside_a_persistent_tape_is_told_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pullback.tensorflow.tape._told", [])
    x = tf.constant(2.0)
    for persistent in (False, True, True):
        with tf.GradientTape(persistent=persistent) as tape:
            tape.watch(x)
            y = x * x
            assert tape.gradient(y, x).numpy() == 4.0
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert told[0].startswith(
        "Calling GradientTape.gradient on a persistent tape inside its context is "
        "significantly less efficient than calling it outside the context"
    )
