"""Every message of the tracer: what was asked, of what, where, and what to do."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.ir.types import parse_type
from pullback.tracer.trace import trace

X = np.ones((2, 3))


def message(kind: type[BaseException], call: Callable[[], Any]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


@pytest.mark.parametrize(
    ("use", "asked", "advice"),
    [
        (np.asarray, "conversion to a NumPy array", "np.stack"),
        (float, "float()", "use the array as it is"),
        (lambda x: f"{x:.2f}", "a format", "print it without one"),
        (int, "int()", ".astype(int)"),
        (complex, "complex()", ".astype(complex)"),
        (range, "an index or a range", "static_argnums"),
        (bool, "the truth of an `if`", "np.where"),
        (lambda x: x.item(), ".item()", "return the array"),
        (lambda x: x.tolist(), ".tolist()", "return the array"),
    ],
)
def test_a_traced_value_has_no_value(
    use: Callable[..., Any], asked: str, advice: str
) -> None:
    def f(x: Any) -> Any:
        return use(x * 2)

    text = message(pb.TracedValueError, lambda: pb.function(f)(3.0))
    assert text.startswith(asked)
    assert "needs the value of f64[] = mul, which is only traced" in text
    assert re.search(r"traced at: .*test_errors\.py:\d+ in ", text)
    assert re.search(r"made at: .*test_errors\.py:\d+ in f", text)
    assert advice in text.rsplit("\n", 1)[1]


def test_elements_are_not_assigned() -> None:
    def f(x: Any) -> Any:
        x[0] = 1
        return x

    text = message(pb.TracedValueError, lambda: pb.function(f)(X))
    assert "assignment to elements needs the value of f64[2,3], an argument" in text
    assert "x[0] = 1" in text
    assert "np.where or np.concatenate" in text


def test_a_traced_value_is_no_element_of_an_array() -> None:
    def f(x: Any) -> Any:
        filled = np.zeros(3)
        filled[0] = x
        return filled

    text = message(pb.TracedValueError, lambda: pb.function(f)(3.0))
    assert "an element of a NumPy array, needs the value of f64[]" in text
    assert "filled[0] = x" in text
    assert "np.stack or x.at[i].set(value)" in text


def test_an_escaped_value() -> None:
    kept = []

    def f(x: Any) -> Any:
        kept.append(x + 1)
        return x

    pb.function(f)(3.0)
    text = message(pb.EscapedValue, lambda: kept[0] * 2)
    assert text.startswith("f64[] = add was used after the trace of f closed")
    assert "kept[0] * 2" in text
    assert "kept.append" not in text
    assert re.search(r"made at: .*test_errors\.py:\d+ in f", text)
    assert "return it from the function" in text
    for use in (lambda: pb.sin(kept[0]), lambda: pb.constant(1.0) + kept[0]):
        assert "was used after the trace" in message(pb.EscapedValue, use)
    other = pb.function(lambda x: x + kept[0])
    assert "was used after the trace of f" in message(
        pb.EscapedValue, lambda: other(1.0)
    )


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda x: np.fft.fft(x), "np.fft.fft has no traced form"),
        (lambda x: np.spacing(x), "np.spacing has no traced form"),
        (lambda x: np.add.reduceat(x, [0]), "np.add.reduceat has no traced form"),
        (lambda x: np.maximum.accumulate(x), "np.maximum.accumulate has no traced"),
        (lambda x: np.linalg.svd(x), "np.linalg.svd has no traced form"),
    ],
)
def test_a_function_without_traced_form(use: Callable[..., Any], text: str) -> None:
    got = message(pb.UnknownFunction, lambda: pb.function(use)(X))
    assert got.startswith(text)
    assert re.search(r"traced at: .*test_errors\.py:\d+", got)


def test_near_names_are_offered() -> None:
    median = pb.function(lambda x: np.nanmedian(x))
    got = message(pb.UnknownFunction, lambda: median(1.0))
    assert "\n  near it: " in got
    assert "np.nanmean" in got


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda x: np.sin(x, out=np.empty(3)), "sin: out= writes into an array"),
        (lambda x: np.sin(x, where=np.ones(3, bool)), "sin: where= leaves elements"),
        (lambda x: np.sin(x, dtype=np.float32), "sin: dtype= is not supported here"),
        (lambda x: np.sum(x, initial=1.0), "sum: initial= is not supported"),
        (lambda x: np.mean(x, out=np.empty(())), "mean: out= writes"),
        (
            lambda x: np.reshape(x, (3, 2), order="F"),
            "reshape: order= is not supported",
        ),
        (lambda x: x[x > 0], "indexing: a boolean mask as an index gives a shape"),
        (lambda x: x[1.5], "indexing: 1.5 is no index"),
        (lambda x: x[0, 0, 0], "indexing: 3 indices for 2 axes of f64[2,3]"),
        (lambda x: x[..., ...], "indexing: more than one Ellipsis"),
        (lambda x: x[:: x.sum()], "indexing: the step of a slice must be known"),
        (lambda x: x["a"], "indexing: 'a' is no index"),
        (lambda x: x @ x, "matmul: inner dimensions differ: 3 and 2"),
        (lambda x: np.dot(x, x), "dot: summed dimensions differ: 3 and 2"),
        (lambda x: x + np.ones(4), "add: shapes do not broadcast: 3 and 4"),
        (lambda x: np.sum(x, axis=2), "sum: axis 2 is out of bounds for 2 dimensions"),
        (lambda x: np.sum(x, axis=(0, 0)), "sum: an axis is named twice"),
        (lambda x: np.where(x), "where: with the condition alone its shape"),
        (lambda x: np.stack([x, x[0]]), "stack: all arrays must have one shape"),
        (lambda x: x * np.ones(3, object), "dtype object is not supported"),
        (lambda x: x * ["a"], "mul: a list of <U1 is not an array of numbers"),
        (lambda x: np.linalg.norm(x, 3), "norm: ord=3 of a matrix needs singular"),
        (lambda x: np.einsum("ii->i", x), "einsum: label 'i' has sizes 2 and 3"),
        (lambda x: x & x, "bitwise_and: takes integers, unsigned integers, bool"),
        (lambda x: np.tril(x[0]), "tril: f64[3] has fewer than two axes"),
        (lambda x: x.astype(object), "dtype object is not supported"),
    ],
)
def test_a_call_that_does_not_fit(use: Callable[..., Any], text: str) -> None:
    got = message(pb.OpTypeError, lambda: pb.function(use)(X))
    assert got.startswith(text)
    assert re.search(r"traced at: .*test_errors\.py:\d+", got)


def test_an_index_outside_is_seen_when_traced() -> None:
    got = message(pb.IndexOutOfRange, lambda: pb.function(lambda x: x[2])(X))
    assert got.startswith("indexing: index 2 is out of range for axis 0 of f64[2,3]")
    many = pb.function(lambda x: x[[0, 5]])
    got = message(pb.IndexOutOfRange, lambda: many(X))
    assert got.startswith("indexing: index 5 is out of range for axis 0 with size 2")


def test_a_traced_index_outside_is_seen_when_run() -> None:
    read = pb.function(lambda x, i: x[i])
    assert read(X, 1).shape == (3,)
    for bad in (2, -3):
        text = message(pb.IndexOutOfRange, lambda bad=bad: read(X, bad))
        assert text.startswith(f"take: index {bad} is out of range for axis 0")
    both = pb.function(lambda x, i, j: x[i, j])
    one, two = np.array([0, 1]), np.array([0, 3])
    text = message(pb.IndexOutOfRange, lambda: both(X, one, two))
    assert text.startswith("take: index 3 is out of range for axis 0")
    t = pb.take(pb.constant(X), pb.constant(7), axis=0)
    text = message(pb.IndexOutOfRange, t.numpy)
    assert text.startswith("take: index 7 is out of range for axis 0")


def test_an_operand_that_is_no_array() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        pb.function(lambda x: x + "a")(X)
    with pytest.raises(pb.OpTypeError, match="add: an operand is a dict"):
        pb.function(lambda x: np.add(x, {}))(X)


def loss(x: Any, params: Any = 0.0) -> Any:
    return (x * 2).sum()


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda f: f(), "loss: argument 'x' is missing"),
        (lambda f: f(1.0, 2.0, 3.0), "loss: takes 2 arguments, 3 given"),
        (lambda f: f(1.0, y=2.0), "loss: there is no argument 'y'"),
        (lambda f: f(1.0, x=2.0), "loss: argument 'x' is given twice"),
        (lambda f: f(np.array([None])), "loss: argument 'x' has dtype object; exp"),
        (lambda f: f(1.0, {"w": [X, object()]}),
         "loss: argument 'params'['w'][1] is a object; expected: an array or a number"),
        (lambda f: f(parse_type("f64[3]")), "loss: called on the type f64[3]"),
    ],
)  # fmt: skip
def test_a_call_that_does_not_fit_the_function(
    call: Callable[..., Any], text: str
) -> None:
    assert message(pb.ArgumentError, lambda: call(pb.function(loss))).startswith(text)


def test_where_the_function_is_defined() -> None:
    text = message(pb.ArgumentError, lambda: pb.function(loss)())
    assert re.search(r"defined at: .*test_errors\.py:\d+ in loss", text)


def test_shapes_that_do_not_fit() -> None:
    f = pb.function(loss, shapes={"x": "n,4"})
    text = message(pb.ArgumentError, lambda: f(X))
    assert text == "loss: argument 'x' is f64[2,3]; expected: shape (n,4)"


def test_unhashable_static() -> None:
    f = pb.function(loss, static_argnames="params")
    text = message(pb.ArgumentError, lambda: f(1.0, []))
    assert "argument 'params' is static and an unhashable list" in text


def test_not_a_function() -> None:
    assert message(pb.ArgumentError, lambda: pb.grad(3.0)).endswith(
        "takes a function, got a float: 3.0"
    )


@pytest.mark.parametrize(
    ("fun", "args", "text"),
    [
        (lambda x: x * 2, (X,), "a gradient needs a scalar float result, got f64[2,3]"),
        (lambda x: (x, x), (1.0,), "scalar float result, got 2 arrays in a tuple"),
        (lambda x: x > 1, (1.0,), "a gradient needs a scalar float result, got bool[]"),
    ],
)
def test_gradient_of_what_is_no_scalar(
    fun: Callable[..., Any], args: Any, text: str
) -> None:
    got = message(pb.OpTypeError, lambda: pb.grad(fun)(*args))
    assert text in got
    assert re.search(r"defined at: .*test_errors\.py:\d+", got)
    assert "sum or average the result" in got


def test_gradient_with_respect_to_integers() -> None:
    got = message(pb.ArgumentError, lambda: pb.grad(loss)(3))
    assert got.startswith(
        "grad of loss: argument 'x': grad needs floats, got int: pass 3.0"
    )
    got = message(pb.ArgumentError, lambda: pb.grad(loss)({"a": np.arange(3)}))
    assert "argument 'x'['a']: grad needs floats, got i64[3]: use .astype(float)" in got
    got = message(pb.ArgumentError, lambda: pb.grad(loss)("a"))
    assert "argument 'x' is a str and cannot be differentiated" in got


def test_gradient_with_respect_to_nothing() -> None:
    got = message(pb.ArgumentError, lambda: pb.grad(loss, argnums=5)(1.0))
    assert "there is no argument 5 to differentiate: 1 given" in got
    got = message(pb.ArgumentError, lambda: pb.grad(loss, argnames="q")(1.0))
    assert "there is no argument 'q' to differentiate" in got


def test_gradient_of_none() -> None:
    got = message(pb.ArgumentError, lambda: pb.grad(lambda x: None)(1.0))
    assert got.startswith("Cannot differentiate a function that returns None;")


def test_a_result_that_is_no_array() -> None:
    got = message(pb.ArgumentError, lambda: pb.function(lambda x: {"a": "no"})(1.0))
    assert "a result is a str, not an array or a number: 'no'" in got


def test_sizes_that_are_only_named() -> None:
    def ask(use: Callable[..., Any]) -> str:
        kind = [parse_type("f64[n,m]")]
        return message(
            pb.TracedValueError,
            lambda: trace(lambda x: (use(x), x)[1], kind, ["x"]),
        )

    assert "size n: int() needs a number" in ask(lambda x: int(x.shape[0]))
    assert "size n: an index or a NumPy shape" in ask(lambda x: np.zeros(x.shape))
    assert "size n: float() needs a number" in ask(lambda x: float(x.shape[0]))
    assert "n == 3 is true of some sizes only" in ask(lambda x: x.shape[0] == 3)
    assert "n == m is true of some" in ask(lambda x: x.shape[0] == x.shape[1])
    assert "n < 3 is true of some sizes only" in ask(lambda x: x.shape[0] < 3)
    assert "pb.zeros" in ask(lambda x: np.zeros(x.shape))


def test_a_trace_is_closed_by_an_exception() -> None:
    f = pb.function(lambda x: float(x))
    for _ in range(2):
        with pytest.raises(pb.TracedValueError):
            f(1.0)
    assert pb.function(lambda x: x + 1)(1.0) == 2.0


def test_variables_are_not_read_in_functions() -> None:
    v = pb.Variable(1.0, name="v")
    got = message(pb.TracedValueError, lambda: pb.function(lambda x: v * x)(1.0))
    assert got.startswith("variable 'v' is read in a decorated function")
    assert "pass the variable as an argument" in got
    assert pb.function(lambda x, y: x * y)(v, 2.0).numpy() == 2.0


def test_variables_are_not_assigned_in_functions() -> None:
    v = pb.Variable(1.0, name="v")
    got = message(pb.TracedValueError, lambda: pb.function(lambda x: v.assign(x))(1.0))
    assert got.startswith("variable 'v' cannot be assigned in a decorated function")
