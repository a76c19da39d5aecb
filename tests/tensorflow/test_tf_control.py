"""Choices and loops on tensors, under a tape and in functions that are recorded."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback.tensorflow as tf
import pytest


def num(x: Any) -> Any:
    return None if x is None else x.numpy()


def gradient(f: Callable[[Any], Any], x: float) -> tuple[Any, Any]:
    v = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(v)
        y = f(v)
    return num(y), num(tape.gradient(y, v))


def by_cond(x: Any) -> Any:
    return tf.cond(x > 0.0, lambda: x * x, lambda: -3.0 * x)


def by_case(x: Any) -> Any:
    return tf.case(
        [(x > 2.0, lambda: x**3), (x > 0.0, lambda: x * x)], default=lambda: -x
    )


def by_switch(x: Any) -> Any:
    at = tf.cast(x, tf.int32)
    return tf.switch_case(at, {0: lambda: x, 1: lambda: x * x, 7: lambda: x**3})


def by_while(x: Any) -> Any:
    return tf.while_loop(lambda y, k: y < 10.0, lambda y, k: (y * x, k + 1), [x, 0])[0]


def by_most(x: Any) -> Any:
    return tf.while_loop(
        lambda y: y < 1e9, lambda y: (y * x,), (x,), maximum_iterations=3
    )[0]


CASES: list[tuple[Callable[[Any], Any], float, float, float]] = [
    (by_cond, 3.0, 9.0, 6.0),
    (by_cond, -2.0, 6.0, -3.0),
    (by_case, 3.0, 27.0, 27.0),
    (by_case, 1.5, 2.25, 3.0),
    (by_case, -1.0, 1.0, -1.0),
    (by_switch, 0.5, 0.5, 1.0),
    (by_switch, 1.5, 2.25, 3.0),
    (by_switch, 7.0, 343.0, 147.0),
    (by_switch, 5.0, 125.0, 75.0),  # none is 5: the last
    (by_while, 3.0, 27.0, 27.0),
    (by_while, 2.0, 16.0, 32.0),
    (by_most, 2.0, 16.0, 32.0),
]


@pytest.mark.parametrize("recorded", [False, True], ids=["tape", "function"])
@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0].__name__} {c[1]}")
def test_values_and_gradients(case: Any, recorded: bool) -> None:
    f, x, y, dy = case
    f = tf.function(f) if recorded else f
    assert gradient(f, x) == (y, dy)
    assert num(f(tf.constant(x))) == y


def test_a_tape_inside_sees_through_choices_and_loops() -> None:
    @tf.function
    def step(x: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = by_cond(x) + by_most(x)
        return tape.gradient(y, x)

    assert num(step(tf.constant(2.0))) == 4.0 + 32.0
    assert num(step(tf.constant(-1.0))) == -3.0 - 4.0


def test_second_derivatives_of_a_branch() -> None:
    f = tf.function(lambda x: tf.cond(x > 0.0, lambda: x**3, lambda: x))
    x = tf.constant(2.0)
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as inner:
            inner.watch(x)
            y = f(x)
        dy = inner.gradient(y, x)
    assert (num(dy), num(outer.gradient(dy, x))) == (12.0, 12.0)


def test_variables_read_in_a_branch_have_gradients() -> None:
    v, w = tf.Variable(2.0), tf.Variable(5.0)
    f = tf.function(lambda x: tf.cond(x > 0.0, lambda: x * v, lambda: x * w + v))
    for x, wanted in ((3.0, [3.0, 0.0]), (-1.0, [1.0, -1.0])):
        with tf.GradientTape() as tape:
            y = f(tf.constant(x))
        assert [num(g) for g in tape.gradient(y, [v, w])] == wanted
    v.assign(10.0)
    assert num(f(tf.constant(2.0))) == 20.0


def test_structures_come_back_as_they_are() -> None:
    @tf.function
    def f(x: Any) -> Any:
        a = tf.cond(x > 0.0, lambda: {"y": x, "z": [x + 1.0]},
                    lambda: {"y": -x, "z": [x]})  # fmt: skip
        held = tf.while_loop(lambda s: s["k"] < 3.0, lambda s: {"k": s["k"] + a["y"]},
                             {"k": x})  # fmt: skip
        return a, held

    a, held = f(tf.constant(1.0))
    assert (num(a["y"]), num(a["z"][0]), num(held["k"])) == (1.0, 2.0, 3.0)


def test_what_cannot_be_recorded_says_so() -> None:
    v = tf.Variable(1.0, name="count")
    one = tf.constant(1.0)

    def assigning(x: Any) -> Any:
        return tf.cond(x > 0.0, lambda: v.assign_add(x).read_value(), lambda: x)

    with pytest.raises(TypeError, match="variable 'count:0' is assigned in a"):
        tf.function(assigning)(one)
    assert num(v) == 1.0
    with pytest.raises(
        TypeError, match=r"branches return \(f32\[\]\) and \(f32\[2\]\)"
    ):
        tf.function(lambda x: tf.cond(x > 0.0, lambda: tf.stack([x, x]), lambda: x))(
            one
        )
    with pytest.raises(
        ValueError, match=r"the body takes \(f32\[\]\) and returns \(f32\[1\]\)"
    ):
        tf.function(
            lambda x: tf.while_loop(lambda t: x < 9.0, lambda t: tf.stack([t]), [x])
        )(one)
    with pytest.raises(TypeError, match=r"the predicate is f32\[\], bool\[\] expected"):
        tf.function(lambda x: tf.cond(x, lambda: x, lambda: -x))(one)

    @tf.custom_gradient
    def own(x: Any) -> Any:
        return x, lambda dy: dy

    with pytest.raises(TypeError, match="has a gradient of its own, which a branch or"):
        tf.function(lambda x: tf.cond(x > 0.0, lambda: own(x), lambda: x))(one)
    assert num(tf.constant(1.0) * 2.0) == 2.0  # and nothing is left behind


def test_forward_derivatives_through_choices_and_loops() -> None:
    x = tf.constant(2.0)
    for f, wanted in ((by_cond, 4.0), (by_while, 32.0), (by_switch, 12.0)):
        for run in (f, tf.function(f)):
            with tf.autodiff.ForwardAccumulator(x, tf.constant(1.0)) as forward:
                y = run(x)
            assert num(forward.jvp(y)) == wanted


def test_a_step_of_newton_in_one_function() -> None:
    @tf.function
    def root(a: Any) -> Any:
        return tf.while_loop(
            lambda x: tf.abs(x * x - a) > 1e-5 * a,
            lambda x: (0.5 * (x + a / x),),
            (a,),
        )[0]

    y, dy = gradient(root, 2.0)
    np.testing.assert_allclose([y, dy], [2**0.5, 0.5 / 2**0.5], rtol=1e-4)
