"""Functions that are recorded once, and played or run as one program."""

import gc
import weakref
from itertools import pairwise
from typing import Any

import numpy as np
import pullback as pb
import pullback.tensorflow as tf
import pytest
from pullback.tracer import engine
from taping import gradients, num


def test_it_is_recorded_once_for_each_signature() -> None:
    seen = []

    @tf.function
    def f(x: Any, by: float = 2.0) -> Any:
        seen.append(x)
        return x * by

    assert [num(f(tf.constant(k))) for k in (1.0, 3.0)] == [2.0, 6.0]
    assert f.experimental_get_tracing_count() == len(seen) == 1
    assert num(f(tf.constant([1.0, 2.0]))) == [2.0, 4.0]
    assert num(f(tf.constant(1.0), by=5.0)) == 5.0
    assert num(f(np.float32(2.0))) == 4.0
    assert len(seen) == 3
    assert str(seen[0]) == "Tensor(shape=(), dtype=float32)"
    assert repr(seen[0] * 2.0) == "<tf.Tensor(shape=(), dtype=float32)>"
    with pytest.raises(pb.EscapedValue) as error:
        (seen[0] * 2.0).numpy()
    assert str(error.value) == (
        "a tensor of f was used after f was recorded: return it from the function"
    )


def test_structures_and_constants_come_back() -> None:
    @tf.function
    def f(x: Any) -> Any:
        return {"a": x, "b": [x * 2.0, None, 3.0]}, tf.constant([1, 2])

    first, second = f(tf.constant(1.0))
    assert (num(first["a"]), num(first["b"][0]), first["b"][1]) == (1.0, 2.0, None)
    assert (num(first["b"][2]), num(second)) == (3.0, [1, 2])


def test_variables_are_read_at_each_call() -> None:
    v = tf.Variable(2.0)
    f = tf.function(lambda x: x * v)
    assert num(f(tf.constant(3.0))) == 6.0
    v.assign(5.0)
    assert num(f(tf.constant(3.0))) == 15.0


def test_variables_are_assigned_at_each_call() -> None:
    v = tf.Variable(1.0)

    @tf.function
    def f(x: Any) -> Any:
        before = v * 1.0
        v.assign_add(x)
        return before, v * 10.0

    assert [num(t) for t in f(tf.constant(2.0))] == [1.0, 30.0]
    assert [num(t) for t in f(tf.constant(2.0))] == [3.0, 50.0]
    assert num(v) == 5.0


@pytest.mark.parametrize("variable", [True, False])
def test_outer_tapes_see_what_it_does(variable: bool) -> None:
    v, x = tf.Variable(3.0), tf.constant(2.0)

    @tf.function
    def f(x: Any) -> Any:
        y = x * v
        v.assign(v * 2.0)
        return y + v * x

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    assert num(y) == 18.0
    assert [num(g) for g in tape.gradient(y, [x, v])] == [9.0, 4.0]


def test_tensors_from_outside_are_sources_too() -> None:
    w = tf.constant(3.0)
    f = tf.function(lambda x: x * w * w)
    with tf.GradientTape() as tape:
        tape.watch(w)
        y = f(tf.constant(2.0))
    assert num(tape.gradient(y, w)) == 12.0


def test_what_is_pending_outside_may_be_read() -> None:
    w = tf.constant(3.0) * 2.0
    f = tf.function(lambda x: x + w)
    assert [num(f(tf.constant(k))) for k in (1.0, 2.0)] == [7.0, 8.0]


def test_tapes_work_inside() -> None:
    @tf.function
    def f(x: Any) -> Any:
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                y = x**3
            dy = inner.gradient(y, x)
        return dy, outer.gradient(dy, x)

    assert [num(t) for t in f(tf.constant(2.0))] == [12.0, 12.0]
    assert num(gradients(lambda x: f(x)[1])(tf.constant(2.0))[0]) == 6.0


def test_a_training_step_in_one_function() -> None:
    layer = tf.keras.layers.Dense(1, kernel_initializer="ones")
    optimizer = tf.keras.optimizers.Adam(0.1)
    x = tf.constant([[1.0, 2.0]])

    @tf.function
    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x) ** 2)
        held = layer.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, held), held, strict=True))
        return loss

    losses = [num(step(x)) for _ in range(6)]
    assert losses[0] == 9.0
    assert all(b < a for a, b in pairwise(losses))
    assert num(optimizer.iterations) == 6
    assert step.experimental_get_tracing_count() == 1


def test_functions_inside_functions() -> None:
    v = tf.Variable(2.0)
    inner = tf.function(lambda x: x * v)
    outer = tf.function(lambda x: inner(x) + inner(x * 2.0))
    x = tf.constant(3.0)
    assert num(outer(x)) == 18.0
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = outer(x)
    assert [num(g) for g in tape.gradient(y, [x, v])] == [6.0, 9.0]
    stopped = tf.function(lambda x: tf.stop_gradient(x) * 2.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.function(lambda x: stopped(x))(x)
    assert num(tape.gradient(y, x, unconnected_gradients="zero")) == 0.0


def test_products_and_sums_are_sources_inside() -> None:
    @tf.function
    def f(a: Any, b: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch([a, b])
            product = a * b
            total = product + a
            less = a - product
        return tape.gradient([total, less], [product, a])

    product, a = f(tf.constant(2.0), tf.constant(3.0))
    assert num(product + 0.0) == 0.0
    assert num(a) == 2.0


def test_no_program_is_made_under_a_tape_before_a_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []
    native = engine._load()

    def counted(graph: Any) -> Any:
        made.append(graph)
        return native(graph)

    monkeypatch.setattr(engine, "_compiler", [counted])
    f = tf.function(lambda x: tf.exp(x) * tf.sin(x))
    x = tf.constant(1.25)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = f(x)
    g = tape.gradient(y, x)
    assert made == []
    g.numpy()
    assert len(made) == 1


def test_methods() -> None:
    class Scaled(tf.Module):
        def __init__(self, by: float) -> None:
            super().__init__()
            self.by = tf.Variable(by)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)])
        def __call__(self, x: Any) -> Any:
            return x * self.by

    two, three = Scaled(2.0), Scaled(3.0)
    assert [num(m([1.0, 2.0])) for m in (two, three)] == [[2.0, 4.0], [3.0, 6.0]]
    assert num(two.__call__.get_concrete_function(tf.TensorSpec([1]))([4.0])) == [8.0]


def test_signatures() -> None:
    f = tf.function(lambda x: x * 2.0, input_signature=[tf.TensorSpec([2], tf.float32)])
    assert num(f([1.0, 2.0])) == [2.0, 4.0]
    with pytest.raises(
        TypeError, match=r"`Can not cast TensorSpec\(shape=\(3,\), dtype"
    ):
        f([1.0, 2.0, 3.0])
    with pytest.raises(TypeError, match="`expected 1 arguments, got 2`"):
        f([1.0, 2.0], 3.0)
    made = f.get_concrete_function()
    assert num(made([3.0, 4.0])) == [6.0, 8.0]
    assert made.variables == ()
    assert f.input_signature == (tf.TensorSpec([2]),)
    assert f.python_function(3.0) == 6.0
    with pytest.raises(ValueError, match="a recording has sizes that are known"):
        tf.function(lambda x: x).get_concrete_function(tf.TensorSpec([None]))


def test_python_cannot_look_at_what_has_no_value() -> None:
    f = tf.function(lambda x: x if x > 0.0 else -x)
    with pytest.raises(tf.errors.OperatorNotAllowedInGraphError) as error:
        f(tf.constant(1.0))
    assert str(error.value).startswith(
        "Using a symbolic `tf.Tensor` as a Python `bool` is not allowed."
    )
    assert "choose with where, or do it outside" in error.value.__notes__[0]
    g = tf.function(lambda x: x.numpy())
    with pytest.raises(
        TypeError, match="Python needs the value of a tensor that has no"
    ):
        g(tf.constant(1.0))
    assert num(tf.constant(1.0) * 2.0) == 2.0  # and nothing is left behind


def test_what_depends_on_no_argument_may_be_looked_at() -> None:
    f = tf.function(lambda x: x if tf.constant(2.0) * 2.0 > 3.0 else -x)
    assert num(f(tf.constant(1.0))) == 1.0
    assert tf.function(lambda x: tf.executing_eagerly() or x)(1.0) is not True
    assert tf.executing_eagerly()


def test_a_setting_is_another_recording() -> None:
    f = tf.function(lambda x, how: x * 2.0 if how == "twice" else x)
    assert [num(f(tf.constant(1.0), how)) for how in ("twice", "once")] == [2.0, 1.0]
    assert num(f(tf.constant(1.0), how={"unhashable": 1})) == 1.0


def test_a_recording_keeps_no_tape_alive() -> None:
    kept: list[Any] = []

    @tf.function
    def f(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = x * x
        kept.append(weakref.ref(tape))
        return tape.gradient(y, x)

    f(tf.constant(1.0))
    gc.collect()
    assert kept[0]() is None


def test_a_signature_of_any_size() -> None:
    f = tf.function(lambda x: x * x, input_signature=[tf.TensorSpec(None)])
    assert num(f(tf.constant(3.0))) == 9.0
    assert num(gradients(f)(tf.constant([1.0, 2.0]))[0]) == [2.0, 4.0]


def test_a_loop_with_known_bounds_has_a_gradient() -> None:
    @tf.function
    def power(v):
        start = [tf.constant(0), v * 1.0]
        return tf.while_loop(lambda i, c: i < 3, lambda i, c: (i + 1, c * c), start)[1]

    v = tf.Variable(2.0)
    assert float(power(v)) == 256.0
    with tf.GradientTape() as tape:
        y = power(v)
    assert float(tape.gradient(y, v)) == 1024.0
