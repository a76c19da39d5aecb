"""Every message of loops and branches: what differs, both types, both lines."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
import pytest

X = np.ones(3)


def message(kind: type[BaseException], call: Callable[[], Any]) -> str:
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


def same(c: Any) -> Any:
    return c


# -- carries ---------------------------------------------------------------------------


def test_a_carry_keeps_its_shape() -> None:
    def grow(c: Any) -> Any:
        return {"w": [np.concatenate([c["w"][0], c["w"][0]])]}

    def f(x: Any) -> Any:
        twice = x * 2
        return pb.while_loop(lambda c: c["w"][0][0] > 0, grow, {"w": [twice]})

    text = message(pb.OpTypeError, lambda: pb.function(f)(X))
    lines = text.split("\n")
    assert lines[0] == (
        "while_loop: carry init['w'][0] is f64[3], grow returns f64[6] for it"
    )
    assert re.fullmatch(
        r"  begins as: f64\[3\] = mul, made at: .*errors\.py:\d+ in f", lines[1]
    )
    assert re.fullmatch(
        r"  returned: f64\[6\] = concatenate, made at: .*errors\.py:\d+ in grow",
        lines[2],
    )
    assert re.fullmatch(r"  traced at: .*errors\.py:\d+ in f", lines[3])
    assert lines[5] == (
        "  a loop's carries keep their shapes: begin with the shape it returns"
    )


def test_a_carry_of_an_array_keeps_its_dtype() -> None:
    text = message(
        pb.OpTypeError,
        lambda: pb.fori_loop(0, 2, lambda i, c: c * 1.5, np.arange(3)),
    )
    assert "fori_loop: carry init is i64[3], <lambda> returns f64[3] for it" in text
    assert text.endswith("begin with .astype(float64), or return .astype(int64)")


def test_a_number_keeps_its_shape() -> None:
    text = message(
        pb.OpTypeError, lambda: pb.scan(lambda c, x: (c + X, x), (0.0), np.ones(2))
    )
    assert "scan: carry init is f64[], <lambda> returns f64[3] for it" in text


STRUCTURES: dict[str, tuple[Callable[[], Any], str]] = {
    "while_loop": (
        lambda: pb.while_loop(lambda c: c > 0, lambda c: (c, c), 1.0),
        "while_loop: <lambda> returns (*, *); expected the carry: *",
    ),
    "fori_loop": (
        lambda: pb.fori_loop(0, 2, lambda i, c: [c[0]], [1.0, {"a": 2.0}]),
        "fori_loop: <lambda> returns [*]; expected the carry: [*, {'a': *}]",
    ),
    "traced bounds": (
        lambda: pb.function(lambda n: pb.fori_loop(0, n, lambda i, c: (c,), 1.0))(2),
        "fori_loop: <lambda> returns (*,); expected the carry: *",
    ),
    "None": (
        lambda: pb.while_loop(lambda c: c > 0, lambda c: None, 1.0),
        "while_loop: <lambda> returns None; did you forget to return the carry?",
    ),
    "None of a fori_loop": (
        lambda: pb.fori_loop(0, 2, lambda i, c: None, 1.0),
        "fori_loop: <lambda> returns None; did you forget to return the carry?",
    ),
    "None of a scan": (
        lambda: pb.scan(lambda c, x: None, 0.0, X),
        "scan: <lambda> returns None; did you forget to return the carry and a result?",
    ),
    "one of a scan": (
        lambda: pb.scan(lambda c, x: c + x, 0.0, X),
        "scan: <lambda> returns *; expected a carry and a result",
    ),
    "carry of a scan": (
        lambda: pb.scan(lambda c, x: ((c, c), x), 0.0, X),
        "scan: <lambda> returns (*, *); expected the carry: *",
    ),
}


@pytest.mark.parametrize("case", STRUCTURES)
def test_a_body_returns_what_it_is_to_return(case: str) -> None:
    call, wanted = STRUCTURES[case]
    first, second = message(pb.ArgumentError, call).split("\n")
    assert first == wanted
    assert re.fullmatch(r"  defined at: .*errors\.py:\d+ in <lambda>", second)


def test_carries_and_results_are_arrays() -> None:
    assert message(
        pb.ArgumentError, lambda: pb.fori_loop(0, 3, lambda i, c: c, "abc")
    ) == ("fori_loop: init is a str, not an array or a number: 'abc'")
    assert message(
        pb.ArgumentError, lambda: pb.fori_loop(0, 3, lambda i, c: ("a",), (0,))
    ) == (
        "fori_loop: what <lambda> returns for init[0] is a str, not an array or a "
        "number: 'a'"
    )
    assert message(pb.ArgumentError, lambda: pb.map(lambda x: "a", X)) == (
        "map: a result of <lambda> is a str, not an array or a number: 'a'"
    )


# -- conditions ------------------------------------------------------------------------

CONDITIONS: dict[str, tuple[Callable[[], Any], str]] = {
    "float": (
        lambda: pb.while_loop(same, same, 1.0),
        "while_loop: the condition is f64[], an input, a scalar bool expected",
    ),
    "array": (
        lambda: pb.while_loop(lambda c: c > 0, same, X),
        r"while_loop: the condition is bool\[3\] = gt, made at: .*:\d+ in <lambda>, a "
        "scalar bool expected",
    ),
    "two": (
        lambda: pb.while_loop(lambda c: (c, c), same, X),
        r"while_loop: the condition is \(\*, \*\), a scalar bool expected",
    ),
    "cond": (
        lambda: pb.function(lambda x: pb.cond(x, same, same, x))(1.0),
        r"cond: the condition is f64\[\], a scalar bool expected",
    ),
    "cond of an array": (
        lambda: pb.function(lambda x: pb.cond(x > 0, same, same, x))(X),
        r"cond: the condition is bool\[3\], a scalar bool expected",
    ),
    "number": (
        lambda: pb.cond(1, same, same, 2.0),
        "cond: the condition is int, a scalar bool expected",
    ),
    "NumPy number": (
        lambda: pb.cond(np.int32(1), same, same, 2.0),
        r"cond: the condition is int32\[\], a scalar bool expected",
    ),
}


@pytest.mark.parametrize("case", CONDITIONS)
def test_a_condition_is_one_bool(case: str) -> None:
    call, wanted = CONDITIONS[case]
    lines = message(pb.OpTypeError, call).split("\n")
    if case == "float":
        wanted = re.escape(wanted)
    assert re.fullmatch(wanted, lines[0])
    assert re.match(r"  traced at: .*errors\.py:\d+ in <lambda>", lines[1])
    assert lines[-1] == "  compare, as x > 0; np.any and np.all make one bool of many"


def test_a_condition_cannot_check_numbers() -> None:
    text = message(
        pb.ArgumentError,
        lambda: pb.while_loop(lambda c: pb.check_numerics(c) < 0, same, 0.0),
    )
    assert text.startswith("the condition of while_loop cannot check numbers: its ")
    assert re.search(r"traced at: .*errors\.py:\d+ in <lambda>", text)
    assert text.endswith("call check_numerics in the body")


# -- branches --------------------------------------------------------------------------


def test_branches_return_the_same_types() -> None:
    def long(x: Any) -> Any:
        return [x * 2]

    def f(x: Any) -> Any:
        return pb.cond(x[0] > 0, long, lambda x: [x[:2]], x)

    lines = message(pb.OpTypeError, lambda: pb.function(f)(X)).split("\n")
    assert lines[0] == (
        "cond: branches return different types for out[0]: f64[2] and f64[3]"
    )
    assert re.fullmatch(
        r"  false_fn, <lambda> of .*errors\.py:\d+: f64\[2\] = slice, made at: "
        r".*errors\.py:\d+ in <lambda>",
        lines[1],
    )
    assert re.fullmatch(
        r"  true_fn, long: f64\[3\] = mul, made at: .*errors\.py:\d+ in long", lines[2]
    )
    assert re.fullmatch(r"  traced at: .*errors\.py:\d+ in f", lines[3])


def test_branches_return_the_same_dtypes() -> None:
    def f(k: Any) -> Any:
        return pb.switch(k, [lambda: 1.5, lambda: k])

    text = message(pb.OpTypeError, lambda: pb.function(f)(0))
    assert "switch: branches return different types for out: f64[] and i64[]" in text
    assert "branch 0, <lambda> of " in text
    assert re.search(r"branch 1, <lambda> of .*: i64\[\], an input", text)


def test_branches_return_the_same_structures() -> None:
    def f(x: Any) -> Any:
        return pb.cond(x > 0, lambda: (x, x), lambda: {"x": x})

    lines = message(pb.ArgumentError, lambda: pb.function(f)(1.0)).split("\n")
    assert lines[0] == "cond: branches return different structures"
    assert re.fullmatch(r"  false_fn, <lambda> of .*: \{'x': \*\}", lines[1])
    assert re.fullmatch(r"  true_fn, <lambda> of .*: \(\*, \*\)", lines[2])
    assert re.fullmatch(r"  traced at: .*errors\.py:\d+ in f", lines[3])


def test_an_operand_is_an_array_or_a_setting() -> None:
    def f(x: Any) -> Any:
        return pb.cond(x > 0, lambda s: x, lambda s: x, {1, 2})

    assert message(pb.ArgumentError, lambda: pb.function(f)(1.0)) == (
        "cond: an operand is a set, not an array or a number: {1, 2}"
    )


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: pb.function(lambda k: pb.switch(k, [same, same], 1.0))(1.0), "f64[]"),
        (lambda: pb.function(lambda k: pb.switch(k, [same], 1.0))(X), "f64[3]"),
        (lambda: pb.switch(1.5, [same], 1.0), "float"),
        (lambda: pb.switch(True, [same], 1.0), "bool"),
    ],
)
def test_an_index_is_an_integer(call: Callable[[], Any], kind: str) -> None:
    text = message(pb.OpTypeError, call)
    wanted = f"switch: the index is {kind}, an integer without axes expected"
    assert text.startswith(f"{wanted}\n  traced at: ")


def test_an_index_has_a_branch() -> None:
    text = message(pb.IndexOutOfRange, lambda: pb.switch(2, [same, same], 1.0))
    assert text.startswith("switch: index 2: there are 2 branches\n  traced at: ")
    text = message(pb.ArgumentError, lambda: pb.switch(0, [], 1.0))
    assert text.startswith("switch: needs at least one branch\n  traced at: ")


# -- lengths ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "kind", "wanted"),
    [
        (
            lambda: pb.scan(lambda c, x: (c, x), 0.0, length=-1),
            pb.SizeError,
            "scan: length is -1",
        ),
        (
            lambda: pb.scan(lambda c, x: (c, x), 0.0, (X, np.ones(4))),
            pb.SizeError,
            "scan: xs[1] has 4 elements along its first axis, xs[0] 3",
        ),
        (
            lambda: pb.scan(lambda c, x: (c, x), 0.0, X, length=4),
            pb.SizeError,
            "scan: xs has 3 elements along its first axis, length is 4",
        ),
        (
            lambda: pb.scan(lambda c, x: (c, x), 0.0),
            pb.ArgumentError,
            "scan: no array is in xs, and no length is given",
        ),
        (
            lambda: pb.scan(lambda c, x: (c, x), 0.0, X, length=2.5),
            pb.ArgumentError,
            "scan: length must be known when tracing: an int, or a size such as "
            "x.shape[0]; got 2.5",
        ),
        (
            lambda: pb.scan(lambda c, x: (c, x), 0.0, X, checkpoints=0),
            pb.ArgumentError,
            "scan: checkpoints is None, 'auto' or how many carries to keep, got 0",
        ),
        (lambda: pb.map(same, []), pb.ArgumentError, "map: no array is in xs"),
        (lambda: pb.map(same, 1.0), pb.ArgumentError, "map: xs is f64[]: no axis"),
        (
            lambda: pb.fori_loop(0, 2.5, lambda i, c: c, 0.0),
            pb.OpTypeError,
            "fori_loop: upper is f64[], an integer without axes expected",
        ),
        (
            lambda: pb.fori_loop(np.arange(2), 3, lambda i, c: c, 0.0),
            pb.OpTypeError,
            "fori_loop: lower is i64[2], an integer without axes expected",
        ),
    ],
)
def test_lengths_and_bounds(
    call: Callable[[], Any], kind: type[BaseException], wanted: str
) -> None:
    first, second, _ = message(kind, call).split("\n")
    assert first == wanted
    assert re.fullmatch(r"  traced at: .*errors\.py:\d+ in <lambda>", second)


# -- values that escape ----------------------------------------------------------------


def test_a_value_of_a_body_is_not_used_outside() -> None:
    kept: list[Any] = []

    def keep(c: Any) -> Any:
        kept.append(c * 2)
        return c

    def f(x: Any) -> Any:
        y = pb.while_loop(lambda c: c[0] < 1, keep, x)
        return y + kept[-1]

    for call in (lambda: pb.function(f)(X), lambda: f(X)):
        lines = message(pb.EscapedValue, call).split("\n")
        assert lines[0] == (
            "f64[3] = mul was used after the trace of keep, the body of while_loop "
            "closed"
        )
        assert re.fullmatch(r"  traced at: .*errors\.py:\d+ in f", lines[1])
        assert lines[2] == "      return y + kept[-1]"
        assert re.fullmatch(r"  made at: .*errors\.py:\d+ in keep", lines[3])


def test_a_value_of_a_branch_is_not_used_in_another() -> None:
    kept: list[Any] = []

    def f(x: Any) -> Any:
        return pb.cond(x > 0, lambda: kept[0], lambda: kept.append(x * 2) or x)

    text = message(pb.EscapedValue, lambda: pb.function(f)(1.0))
    assert "f64[] = mul was used after the trace of <lambda>, a branch of cond" in text


def test_an_if_in_a_body_has_advice() -> None:
    def f(x: Any) -> Any:
        return pb.while_loop(lambda c: c < 1, lambda c: c if c > 0 else -c, x)

    text = message(pb.TracedValueError, lambda: pb.function(f)(1.0))
    assert text.endswith(
        "choose with np.where(condition, x, y) or pb.cond, repeat with pb.while_loop, "
        "or pass what decides with static_argnums"
    )


def test_a_numpy_array_at_a_traced_index_has_advice() -> None:
    text = message(
        pb.TracedValueError, lambda: pb.fori_loop(0, 3, lambda i, c: c + X[i], 0.0)
    )
    assert text.endswith(
        "an element of a NumPy array at a traced i is pb.take(array, i, axis=0)"
    )
