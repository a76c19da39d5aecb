"""Who made the NaN: the op, its line, and when nobody is to blame."""

from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.tracer.mode import MODE

X = np.array([1.0, 0.0, 2.0])
GOOD = np.array([1.0, 3.0, 2.0])


def logs(x: Any) -> Any:
    return np.sum(np.log(x) * 2)


def roots(x: Any) -> Any:
    return np.sum(np.sqrt(x))


def text_of(call: Any) -> str:
    with pytest.raises(pb.NonFiniteError) as caught:
        call()
    assert isinstance(caught.value, FloatingPointError)
    return str(caught.value)


def test_the_op_its_types_its_line_and_the_place() -> None:
    f = pb.function(logs, check_numerics=True)
    assert f(GOOD) == logs(GOOD)
    text = text_of(lambda: f(X))
    assert text.startswith(
        "log made -inf at [1], 1 of 3 not finite\n"
        "  operands: a f64[3]\n"
        "  operands there: 0.0\n"
        "  of: logs, in the program\n"
        "  traced at: "
    )
    line = logs.__code__.co_firstlineno + 1
    assert f"test_numerics.py:{line} in logs\n      return np.sum(np.log(x)" in text


def test_an_op_of_the_adjoint() -> None:
    f = pb.grad(roots, check_numerics=True)
    text = text_of(lambda: f(X))
    assert text.startswith("div made inf at [1], 1 of 3 not finite\n")
    assert "\n  operands: a f64[3], b f64[3]\n" in text
    assert "\n  operands there: 0.5, 0.0\n" in text
    assert "\n  of: grad of roots, in its adjoint\n" in text


def test_the_option_of_a_decorated_function_holds_for_its_gradient() -> None:
    f = pb.grad(pb.function(roots, check_numerics=True))
    assert text_of(lambda: f(X)).startswith("div made inf")


def test_sizes_that_vary_are_those_of_the_call() -> None:
    f = pb.function(logs, check_numerics=True)
    f(GOOD)
    f(np.ones(4))
    text = text_of(lambda: f(np.array([1.0, 2.0, 3.0, 4.0, -1.0])))
    assert text.startswith("log made nan at [4], 1 of 5 not finite\n")
    assert "operands: a f64[5]" in text


def test_what_is_masked_does_not_count() -> None:
    def masked(x: Any) -> Any:
        return np.sum(np.where(x > 0, np.log(x), 0.0))

    assert np.isfinite(pb.function(masked, check_numerics=True)(X))
    assert np.isfinite(pb.grad(masked, check_numerics=True)(X)).all()
    every = pb.function(masked, check_numerics="every")
    assert np.isfinite(every(GOOD))
    assert text_of(lambda: every(X)).startswith("log made -inf at [1]")


def test_the_first_of_several_that_reach_a_result() -> None:
    def f(x: Any) -> Any:
        hidden = np.tanh(np.exp(x))  # an infinity that tanh takes away
        return np.sum(hidden / (x - x))

    text = text_of(lambda: pb.function(f, check_numerics=True)(np.array([1.0, 1000.0])))
    assert text.startswith("div made inf at [0], 2 of 2 not finite\n")


def test_a_nan_made_of_infinities() -> None:
    f = pb.function(lambda x: np.sum(x - x), check_numerics=True)
    text = text_of(lambda: f(np.array([1.0, np.inf])))
    assert text.startswith("sub made nan at [1], 1 of 2 not finite\n")


def test_an_argument_that_is_not_finite_is_named() -> None:
    f = pb.function(lambda p: np.sum(p["w"] * 2), check_numerics=True)
    text = text_of(lambda: f({"w": np.array([1.0, np.nan])}))
    assert text == (
        "<lambda>: argument 'p'['w'] f64[2] has nan at [1], 1 of 2 not finite, "
        "and it reaches a result"
    )


def test_a_constant_that_is_not_finite() -> None:
    f = pb.function(lambda x: np.maximum(x, np.inf), check_numerics=True)
    text = text_of(lambda: f(2.0))
    assert text == "<lambda>: a constant that is not finite reaches a result"


def test_results_have_the_same_bits() -> None:
    x = np.linspace(-3, 5, 1001)

    def f(x: Any) -> Any:
        return np.sum(np.exp(np.sin(x)) * x) / np.sum(x**2)

    plain, checked = pb.value_and_grad(f), pb.value_and_grad(f, check_numerics="every")
    for a, b in zip(plain(x), checked(x), strict=True):
        assert a.tobytes() == b.tobytes()


# -- the context -----------------------------------------------------------------------


def test_a_context_checks_functions_that_are_compiled_already() -> None:
    f = pb.grad(roots)
    for _ in range(3):
        assert np.isinf(f(X)[1])
    with pb.check_numerics():
        assert np.isfinite(f(GOOD)).all()
        assert text_of(lambda: f(X)).startswith("div made inf at [1]")
        with pb.check_numerics(every=True):
            pass
        assert text_of(lambda: f(X)).startswith("div made inf at [1]")
    for _ in range(3):
        assert np.isinf(f(X)[1])
    assert MODE.users == MODE.every == 0


def test_a_context_checks_tensors() -> None:
    with pb.check_numerics():
        a = pb.constant(X)
        assert text_of((pb.log(a) * 2).numpy).startswith(
            "log made -inf at [1], 1 of 3 not finite\n"
        )
        assert pb.exp(a).numpy()[1] == 1


def test_a_context_checks_pullbacks() -> None:
    with pb.check_numerics():
        assert text_of(lambda: pb.vjp(np.log, X)).startswith("log made -inf at [1]")
        _, back = pb.vjp(np.sqrt, X)
        assert text_of(lambda: back(np.ones(3))).startswith("div made inf at [1]")


def test_the_option_holds_for_tensors() -> None:
    f = pb.function(logs, check_numerics=True)
    assert text_of(lambda: f(pb.constant(X))).startswith("log made -inf at [1]")
    assert f(pb.constant(GOOD)).numpy() == f(GOOD)


# -- the function ----------------------------------------------------------------------


def test_the_function_form_on_arrays() -> None:
    assert pb.check_numerics(GOOD, "x") is GOOD
    tree = {"a": 1.0, "b": [np.arange(3), pb.constant(2.0)]}
    assert pb.check_numerics(tree) is tree
    text = text_of(lambda: pb.check_numerics({"a": np.nan}, "the state"))
    assert text.startswith("the state: nan\n  traced at: ")
    text = text_of(lambda: pb.check_numerics(pb.constant([[1.0, np.inf]])))
    assert text.startswith("check_numerics: inf at [0, 1], 1 of 2 not finite\n")


def checked(x: Any) -> Any:
    y = pb.check_numerics(np.log(x), "log of x")
    return np.sum(np.where(x > 0, y, 0.0))


@pytest.mark.parametrize("make", [pb.function, pb.grad, pb.value_and_grad])
def test_the_function_form_in_a_decorated_function(make: Any) -> None:
    f = make(checked)
    for _ in range(2):
        f(GOOD)
        text = text_of(lambda: f(X))
        assert text.startswith("log of x: -inf at [1], 1 of 3 not finite\n  traced at")
        assert "in checked\n      y = pb.check_numerics" in text


def test_it_changes_neither_results_nor_gradients() -> None:
    plain = pb.value_and_grad(lambda x: np.sum(np.where(x > 0, np.log(x), 0.0)))
    for a, b in zip(plain(GOOD), pb.value_and_grad(checked)(GOOD), strict=True):
        np.testing.assert_array_equal(a, b)
    value, back = pb.vjp(checked, GOOD)
    assert value == plain(GOOD)[0]
    np.testing.assert_array_equal(back(1.0)[0], plain(GOOD)[1])
    assert text_of(lambda: pb.vjp(checked, X)).startswith("log of x: -inf at [1]")


def test_the_function_form_on_a_tape() -> None:
    f = pb.function(checked)
    assert f(pb.constant(GOOD)).numpy() == f(GOOD)
    assert text_of(lambda: f(pb.constant(X))).startswith("log of x: -inf at [1]")


def test_scalars_and_integers() -> None:
    f = pb.function(lambda x, n: pb.check_numerics([1 / x, n], "both")[0])
    assert f(2.0, 3) == 0.5
    assert text_of(lambda: f(0.0, 3)).startswith("both: inf\n")


def test_ahead_of_time_it_is_refused() -> None:
    from pullback.ir.types import parse_type
    from pullback.tracer.trace import trace

    text = "check_numerics raises from Python, and has no form in a program that is "
    with pytest.raises(pb.ArgumentError, match=f"checked: {text}compiled ahead"):
        trace(checked, [parse_type("f64[3]")], ["x"])


def test_the_option_is_checked() -> None:
    with pytest.raises(
        pb.ArgumentError, match="check_numerics is True, False or 'every', got 'all'"
    ):
        pb.function(logs, check_numerics="all")
