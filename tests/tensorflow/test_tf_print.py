"""`tf.print`: inside a tf.function each time it runs, outside at once."""

import sys
from typing import Any

import numpy as np
import pullback as pb
import pullback.tensorflow as tf
import pytest
from taping import num

Said = Any  # pytest's capsys


def test_it_prints_at_once_outside(capsys: Said) -> None:
    tf.print("x", tf.constant([1.0, 2.0]), tf.Variable(3), {"a": tf.constant(1)}, "{}")
    tf.print(1, "b", sep="-", end="!\n", output_stream=sys.stdout)
    tf.print([tf.constant(1), "c"], (tf.constant(2.5),), [1, 2])
    out, err = capsys.readouterr()
    assert err == "x [1. 2.] 3 {'a': 1} {}\n[1, 'c'] (2.5) [1, 2]\n"
    assert out == "1-b!\n"


def test_a_function_prints_each_time_it_runs(capsys: Said) -> None:
    v = tf.Variable(1.0)

    @tf.function
    def f(x: Any) -> Any:
        tf.print("v", v, "x", x, output_stream=sys.stdout)
        v.assign_add(x)
        tf.print("v", v, output_stream=sys.stdout)
        return v * x

    for k in (1.0, 2.0):
        f(tf.constant(k))
    lines = ["v 1.0 x 1.0", "v 2.0", "v 2.0 x 2.0", "v 4.0"]
    assert capsys.readouterr().out.splitlines() == lines


def test_a_function_without_results_prints(capsys: Said) -> None:
    @tf.function
    def f(x: Any) -> None:
        tf.print(x * 2.0, output_stream=sys.stdout)

    f(tf.constant(1.0))
    f(tf.constant([1.0, 2.0]))
    assert capsys.readouterr().out.splitlines() == ["2.0", "[2. 4.]"]


def test_a_tape_prints_once(capsys: Said) -> None:
    @tf.function
    def f(x: Any) -> Any:
        def body(k: Any, y: Any) -> Any:
            tf.print("step", k, y, output_stream=sys.stdout)
            return pb.sin(y)

        y = pb.fori_loop(0, 2, body, x)
        tf.print("y", y > 0.0, output_stream=sys.stdout)
        return y * y

    x = tf.Variable(1.0)
    with tf.GradientTape() as tape:
        y = f(x)
    first, second, last = capsys.readouterr().out.splitlines()
    assert (first, last) == ("step 0 1.0", "y True")
    assert float(second.removeprefix("step 1 ")) == pytest.approx(np.sin(1.0), rel=1e-5)
    got = num(tape.gradient(y, x))
    assert capsys.readouterr().out == ""
    s = np.sin(1.0)
    assert got == pytest.approx(2 * np.sin(s) * np.cos(s) * np.cos(1.0), rel=1e-5)


def test_both_names_print_in_one_order(capsys: Said) -> None:
    @tf.function
    def f(x: Any) -> Any:
        pb.print("a {}", x)
        tf.print("b", output_stream=sys.stdout)
        return x

    f(tf.constant(1))
    assert capsys.readouterr().out.splitlines() == ["a 1", "b"]


def test_other_streams_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sys\.stdout or sys\.stderr, got .file"):
        tf.print("x", output_stream="file:///tmp/x")
