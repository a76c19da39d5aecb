"""`out=`: results of compiled functions in arrays of the caller."""

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pullback as pb
import pytest

X = np.linspace(-1.0, 2.0, 7)


def cubes(x: Any) -> Any:
    return np.sum(x * x * x)


def message(call: Callable[[], Any]) -> str:
    with pytest.raises(pb.ArgumentError) as caught:
        call()
    return str(caught.value)


def native(f: Any) -> bool:
    """Whether calls go to native code without a detour."""
    return type(type(f).__call__) is type(len)


# -- what is given is filled and returned ----------------------------------------------


def test_value_and_gradient_are_written() -> None:
    f = pb.value_and_grad(cubes)
    value, slope = np.empty(()), np.empty(7)
    for _ in range(3):
        value[...] = slope[...] = np.nan
        found = f(X, out=(value, slope))
        assert found[0] is value
        assert found[1] is slope
        np.testing.assert_allclose(value, np.sum(X**3), rtol=1e-14)
        np.testing.assert_allclose(slope, 3 * X**2, rtol=1e-14)
        assert native(f)
    assert f.compilations == 1


def test_none_is_made() -> None:
    f = pb.value_and_grad(cubes)
    slope = np.empty(7)
    for out, is_given in (((None, slope), True), (None, False), ((None, None), False)):
        value, made = f(X, out=out)
        assert type(value) is np.float64
        assert (made is slope) is is_given
        np.testing.assert_allclose(made, 3 * X**2, rtol=1e-14)


@pytest.mark.parametrize("wrap", [lambda a: a, lambda a: (a,)])
def test_one_result_alone_or_in_a_tuple(wrap: Any) -> None:
    out = np.empty(7)
    for f in (pb.grad(cubes), pb.function(lambda x: 3 * x**2)):
        for _ in range(2):
            out[:] = np.nan
            assert f(X, out=wrap(out)) is out
            np.testing.assert_allclose(out, 3 * X**2, rtol=1e-14)


def test_calls_with_and_without_take_turns() -> None:
    f = pb.grad(cubes)
    fresh = f(X)
    out = np.empty(7)
    for k in range(4):
        assert f(k * X, out=out) is out
        kept = out.copy()
        made = f(k * X)
        assert made is not out
        np.testing.assert_array_equal(made, kept)
        np.testing.assert_array_equal(made, k**2 * fresh)


def test_sizes_by_name() -> None:
    def f(x: Any) -> Any:
        return x * 2, np.concatenate([x, x])

    for g in (pb.function(f, shapes={"x": "n"}), pb.function(f)):
        for n in (3, 5, 8, 1, 2):
            x, out = np.arange(float(n)), (np.empty(n), np.empty(2 * n))
            found = g(x, out=out)
            assert found[0] is out[0]
            assert found[1] is out[1]
            np.testing.assert_array_equal(out[1], np.tile(x, 2))
    named = pb.function(f, shapes={"x": "n"})
    named(np.ones(3), out=(None, np.empty(6)))
    text = message(lambda: named(np.ones(4), out=(None, np.empty(6))))
    assert text == "f: out[1] is float64[6]; expected: float64[8] to write to"


@dataclass
class Pair:
    w: Any
    b: Any


def test_structures() -> None:
    def loss(p: Any, x: Any) -> Any:
        return np.sum(np.square(p["pair"].w * x + p["pair"].b)) + p["list"][0] ** 2

    f = pb.value_and_grad(loss)
    given = {"pair": Pair(X, 2.0), "list": [3.0]}
    slope = np.empty(7)
    out = (None, {"pair": Pair(slope, None), "list": None})
    for _ in range(2):
        slope[:] = np.nan
        value, made = f(given, X, out=out)
        assert made["pair"].w is slope
        np.testing.assert_allclose(slope, 2 * (X * X + 2) * X, rtol=1e-14)
        np.testing.assert_allclose(made["pair"].b, np.sum(2 * (X * X + 2)), rtol=1e-14)
        assert made["list"] == [6.0]
        np.testing.assert_allclose(value, np.sum((X * X + 2) ** 2) + 9, rtol=1e-14)


def test_named_static_and_nested_arguments() -> None:
    @pb.function(static_argnames="power")
    def f(x: Any, scale: Any, power: int) -> Any:
        return scale["a"] * x**power

    out = np.empty(7)
    for _ in range(2):
        assert f(X, scale={"a": 2.0}, power=2, out=out) is out
        np.testing.assert_allclose(out, 2 * X**2, rtol=1e-14)


def test_other_transforms() -> None:
    hessian = np.empty((7, 7))
    assert pb.hessian(cubes)(X, out=hessian) is hessian
    np.testing.assert_allclose(hessian, np.diag(6 * X), atol=1e-14)
    rows = np.empty(3)
    f = pb.vmap(cubes)
    assert f(np.stack([X, 2 * X, 3 * X]), out=rows) is rows
    np.testing.assert_allclose(rows, np.sum(X**3) * np.array([1, 8, 27]), rtol=1e-14)


@pytest.mark.parametrize("dtype", ["f4", "i8", "i4", "u1", "?"])
def test_dtypes(dtype: str) -> None:
    x = np.array([0, 1, 2, 1], dtype)
    f, out = pb.function(lambda x: np.maximum(x, x[::-1])), np.empty(4, dtype)
    for _ in range(2):
        assert f(x, out=out) is out
        np.testing.assert_array_equal(out, np.maximum(x, x[::-1]))
    assert out.dtype == np.dtype(dtype)


def test_empty_and_zero_dimensional_arrays() -> None:
    f = pb.value_and_grad(cubes)
    empty, value = np.empty(0), np.empty(())
    assert f(np.empty(0), out=(value, empty))[1] is empty
    assert value == 0.0
    slope = np.empty(())
    for given in (3.0, np.float64(3.0), np.array(3.0)):
        assert f(given, out=(value, slope)) == (27.0, 27.0)
        assert slope == 27.0


def test_nothing_is_allocated() -> None:
    f = pb.value_and_grad(cubes)
    x, out = np.ones(1 << 16), np.empty(1 << 16)
    f(x, out=(None, out))
    f(x, out=(None, out))
    tracemalloc.start()
    try:
        for _ in range(3):
            f(x, out=(None, out))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < x.nbytes // 8


def test_an_argument_of_the_name_is_the_functions_own() -> None:
    def f(x: Any, out: Any) -> Any:
        return np.sum(x * out)

    assert pb.grad(f)(2.0, out=3.0) == 3.0
    assert pb.grad(f, argnames="out")(2.0, out=3.0) == 2.0


def test_results_that_are_arguments_or_one_another() -> None:
    f = pb.function(lambda x: (x, x, x + 1))
    out = tuple(np.empty(7) for _ in range(3))
    for _ in range(2):
        f(X, out=out)
        for held, expected in zip(out, (X, X, X + 1), strict=True):
            np.testing.assert_array_equal(held, expected)


# -- memory that overlaps --------------------------------------------------------------


def test_results_over_arguments() -> None:
    # each element reads its neighbours, so writing early would be seen
    def f(x: Any, y: Any) -> Any:
        return x[::-1] + y[::-1], np.sum(x * y)

    g = pb.function(f)
    for low in range(4):
        memory = np.arange(20.0)
        x, y, out = memory[:7], memory[10:17], memory[low + 3 : low + 10]
        expected = x[::-1] + y[::-1], np.sum(x * y)
        found = g(x, y, out=(out, None))
        assert found[0] is out
        np.testing.assert_array_equal(out, expected[0])
        assert found[1] == expected[1]
    x = np.arange(7.0)
    for _ in range(2):
        expected = x[::-1] + x[::-1]
        assert g(x, x, out=(x, None))[0] is x
        np.testing.assert_array_equal(x, expected)


def test_results_over_arguments_that_are_strided() -> None:
    f = pb.function(lambda x: x[::-1] * 2)
    memory = np.arange(14.0)
    x, out = memory[::2], memory[3:10]
    expected = x[::-1] * 2
    assert f(x, out=out) is out
    np.testing.assert_array_equal(out, expected)


def test_a_result_over_a_captured_array() -> None:
    captured = np.arange(7.0)
    f = pb.function(lambda x: x * captured)
    np.testing.assert_array_equal(f(X, out=captured), X * np.arange(7.0))
    np.testing.assert_array_equal(f(X), X * np.arange(7.0))


def test_results_over_one_another() -> None:
    f = pb.function(lambda x: (x + 1, (x + 2, x + 3)))
    memory = np.zeros(21)
    text = "<lambda>: out[0] and out[1][1] overlap"
    for _ in range(2):
        out = (memory[:7], (None, memory[6:13]))
        assert message(lambda out=out: f(X, out=out)) == text
        assert not memory.any()
        f(X, out=(memory[:7], (memory[14:], memory[7:14])))
        expected = np.concatenate([X + 1, X + 3, X + 2])
        np.testing.assert_array_equal(memory, expected)
        memory[:] = 0


# -- what does not fit -----------------------------------------------------------------


def _read_only() -> Any:
    out = np.empty(7)
    out.flags.writeable = False
    return out


BAD = {
    "is float32[7]": np.empty(7, "f4"),
    "is int64[7]": np.empty(7, int),
    "is float64[6]": np.empty(6),
    "is float64[7,1]": np.empty((7, 1)),
    "is float64[]": np.empty(()),
    "is float64[7] of the other byte order": np.empty(
        7, np.dtype(float).newbyteorder()
    ),
    "is not C-contiguous": np.empty(14)[::2],
    "is not aligned": np.empty(57, "u1")[1:].view(float),
    "is read-only": _read_only(),
}


@pytest.mark.parametrize("fault", BAD)
@pytest.mark.parametrize("warm", [False, True])
def test_arrays_that_cannot_hold_a_result(fault: str, warm: bool) -> None:
    f = pb.value_and_grad(cubes)
    if warm:
        f(X, out=(None, np.empty(7)))
        assert native(f)
    text = f"value_and_grad of cubes: out[1] {fault}; expected: float64[7] to write to"
    assert message(lambda: f(X, out=(None, BAD[fault]))) == text


@pytest.mark.parametrize(
    ("given", "what"),
    [(3.0, "float"), ("a", "str"), (memoryview(np.empty(7)), "memoryview"),
     (np.float64(1), "float64"),
     (np.ma.masked_array(np.empty(7)), "MaskedArray; pass np.asarray of it"),
     (np.empty((7, 1)).view(np.matrix), "matrix; pass np.asarray of it")],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
def test_what_is_no_array(given: Any, what: str) -> None:
    name, _, more = what.partition(";")
    text = f"value_and_grad of cubes: out[1] is a {name}; expected: an array"
    text += f";{more}" if more else ""
    f = pb.value_and_grad(cubes)
    for _ in range(2):
        assert message(lambda: f(X, out=(None, given))) == text


@pytest.mark.parametrize(
    ("out", "shown"),
    [(np.empty(7), "*"), ((np.empty(7),), "(*,)"), ([None, np.empty(7)], "[None, *]"),
     ((None, None, None), "(None, None, None)"), ({"a": 1.0}, "{'a': *}")],
)  # fmt: skip
def test_what_is_arranged_otherwise(out: Any, shown: str) -> None:
    f = pb.value_and_grad(cubes)
    text = f"value_and_grad of cubes: out is arranged as {shown}; expected: (*, *), "
    for _ in range(2):
        found = message(lambda: f(X, out=out))
        assert found == text + "an array or None for each *"


def test_where_nothing_runs() -> None:
    inner = pb.function(lambda x: x * 2)
    outer = pb.function(lambda x: inner(x, out=np.empty(7)))
    text = "<lambda>: out= is for calls that run, and this one is traced: "
    assert message(lambda: outer(X)) == text + "use what it returns"
    x = pb.Variable(X)
    text = "<lambda>: out= is for calls on arrays, and this one is recorded on a tape: "
    with pb.GradientTape():
        assert (
            message(lambda: inner(x, out=np.empty(7))) == text + "use what it returns"
        )


def test_a_program_says_what_does_not_fit() -> None:
    f = pb.function(lambda x: x * 2)
    f(X)
    (made,) = f._compiled.values()
    for out in (np.empty(6), X):
        text = message(lambda out=out: made.program.run([X], [out]))
        assert text.endswith("an array of `out` does not fit or overlaps another")
    (found,) = made.program.run([X[::-1]], [out := np.empty(7)])
    assert found is out
    np.testing.assert_array_equal(out, 2 * X[::-1])


# -- programs that are looked at -------------------------------------------------------


def test_checked_programs() -> None:
    f = pb.grad(lambda x: np.sum(np.log(x)), check_numerics=True)
    out = np.zeros(2)
    assert f(np.array([1.0, 2.0]), out=out) is out
    np.testing.assert_array_equal(out, [1.0, 0.5])
    with pytest.raises(pb.NonFiniteError):
        f(np.array([1.0, 0.0]), out=out)
    np.testing.assert_array_equal(out, [1.0, 0.5])


def test_checks_inside() -> None:
    f = pb.function(lambda x: pb.check_numerics(x * 2, "twice"))
    out = np.zeros(7)
    assert f(X, out=out) is out
    np.testing.assert_array_equal(out, 2 * X)


def test_paths() -> None:
    f = pb.value_and_grad(lambda x: x * x if x < 1.0 else 3.0 * x, branches="trace")
    value, slope = np.empty(()), np.empty(())
    for x, expected in ((0.5, (0.25, 1.0)), (2.0, (6.0, 3.0)), (0.25, (0.0625, 0.5))):
        found = f(x, out=(value, slope))
        assert found[1] is slope
        assert (value, slope) == expected


def test_interpreted_programs() -> None:
    f, out = pb.grad(cubes), np.empty(7)
    f(X, out=out)
    with pb.interpret():
        out[:] = 0
        assert f(X, out=out) is out
        np.testing.assert_allclose(out, 3 * X**2, rtol=1e-14)
        text = message(lambda: f(X, out=out[:6]))
        assert text.endswith("out is float64[6]; expected: float64[7] to write to")
        pair = pb.function(lambda x: (x, x))
        assert message(lambda: pair(X, out=(out, out))).endswith(
            "out[0] and out[1] overlap"
        )
        x = X.copy()
        assert f(x, out=x) is x
        np.testing.assert_allclose(x, 3 * X**2, rtol=1e-14)
    assert f(X, out=out) is out


def test_a_failure_is_raised() -> None:
    f = pb.function(lambda x, i: x[i] * 2)
    out = np.zeros(2)
    for _ in range(2):
        f(X, np.array([1, 2]), out=out)
        np.testing.assert_array_equal(out, 2 * X[1:3])
        with pytest.raises(pb.IndexOutOfRange, match="index 9 is out of range"):
            f(X, np.array([1, 9]), out=out)
