"""Sizes that are declared by name: one program for all, equal where named alike."""

from typing import Any

import numpy as np
import pullback as pb
import pytest


def rows(x: Any, y: Any) -> Any:
    return np.sum(x, axis=1) * y


def test_one_program_serves_every_size() -> None:
    f = pb.function(rows, shapes={"x": "n,3", "y": "n"})
    for n in (4, 2, 7, 0):
        np.testing.assert_allclose(f(np.ones((n, 3)), np.arange(n) * 1.0),
                                   3.0 * np.arange(n))  # fmt: skip
    assert f.compilations == 1


def test_sizes_of_one_name_are_equal() -> None:
    f = pb.function(rows, shapes={"x": "n,3", "y": "n"})
    for _ in range(2):
        with pytest.raises(pb.ArgumentError) as caught:
            f(np.ones((4, 3)), np.ones(5))
        assert str(caught.value) == (
            "rows: argument 'y' is f64[5]; expected: shape (n), where n is 4 as of 'x'"
        )
        f(np.ones((4, 3)), np.ones(4))


def test_a_size_of_one_has_a_program_of_its_own() -> None:
    f = pb.function(rows, shapes={"x": "n,3", "y": "n"})
    assert f(np.ones((1, 3)), np.ones(1)) == [3.0]
    f(np.ones((2, 3)), np.ones(2))
    assert f.compilations == 2


def test_a_size_that_is_needed_as_a_number_is_fixed_and_said_so() -> None:
    def f(x: Any) -> Any:
        return x * int(x.shape[0])

    g = pb.function(f, shapes={"x": "n"})
    for n in (3, 5, 3):
        np.testing.assert_array_equal(g(np.ones(n)), np.full(n, n))
    assert g.compilations == 2
    why = g.explain(np.ones(5)).why
    assert why.startswith(
        "argument 'x': shape f64[3] before, f64[5] now (axis 0); size "
    )
    assert "size n is needed as a number at " in why
    assert why.endswith(" in f")
    assert g.graph(np.ones(4)).inputs[0].type.shape == (4,)


def test_a_question_that_not_every_size_answers_fixes_it() -> None:
    def f(x: Any) -> Any:
        return x * 2 if x.shape[0] > 3 else x

    g = pb.grad(lambda x: np.sum(f(x)), shapes={"x": "n"})
    assert [g(np.ones(n))[0] for n in (3, 4, 2)] == [1.0, 2.0, 1.0]
    assert "needed as a number" in g.explain(np.ones(4)).why


def test_a_size_that_was_seen_to_vary_is_fixed_and_said_so() -> None:
    g = pb.function(lambda x: x * int(x.shape[0]))
    for n in (3, 4):
        g(np.ones(n))
    assert "size n is needed as a number at " in g.explain(np.ones(4)).why
    assert "needed as a number" not in g.explain(np.ones(3)).why


def test_a_type_of_named_sizes_has_no_number_to_give() -> None:
    g = pb.function(lambda x: x * int(x.shape[0]))
    kind = pb.function(lambda x: x, shapes={"x": "n"}).graph(np.ones(3)).inputs[0].type
    with pytest.raises(pb.TracedValueError, match=r"size n: int\(\) needs a number"):
        g.graph(kind)
