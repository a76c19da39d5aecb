"""Functions that are split at `if` and `while`: one program a path."""

import re
from typing import Any

import numpy as np
import pullback as pb
import pytest


def halved(x: Any) -> Any:
    if x > 0:
        return np.log(x)
    count = 0
    while x < -1 and x != -3:
        x = x / 2
        count += 1
    return x * count


VALUES = (2.0, 3.0, -0.5, -3.0, -9.0, -8.0, 2.0, -9.0)


def test_each_path_is_a_program_that_is_made_when_it_is_taken() -> None:
    f = pb.function(halved, branches="trace")
    made = []
    for x in VALUES:
        assert f(x) == pytest.approx(halved(np.float64(x)), rel=1e-15)
        made.append(f.compilations)
    assert made == [1, 1, 2, 3, 4, 5, 5, 5]


def test_gradients_follow_the_path() -> None:
    f = pb.function(halved, branches="trace")
    for g in (pb.value_and_grad(f), pb.value_and_grad(halved, branches="trace")):
        for x, wanted in ((2.0, 0.5), (-0.5, 0.0), (-2.0, 0.5), (-8.0, 3 / 8)):
            value, gradient = g(x)
            assert value == pytest.approx(halved(np.float64(x)), rel=1e-15)
            assert gradient == pytest.approx(wanted)
    assert pb.grad(f)(-8.0) == pytest.approx(3 / 8)


def test_a_tape_follows_the_path() -> None:
    f = pb.function(halved, branches="trace")
    x = pb.Variable(-8.0)
    with pb.GradientTape() as tape:
        y = f(x) * 2
    assert tape.gradient(y, x).numpy() == pytest.approx(6 / 8)
    x.assign(4.0)
    with pb.GradientTape() as tape:
        y = f(x) * 2
    assert tape.gradient(y, x).numpy() == 0.5


def test_shapes_sizes_and_structures_are_as_ever() -> None:
    @pb.function(branches="trace", static_argnames="scale", shapes={"x": "n"})
    def f(x: Any, p: Any, scale: str) -> Any:
        if np.sum(x) > p["limit"]:
            return {"y": x * 2} if scale == "double" else {"y": x}
        return {"y": x[0]}

    for n in (3, 5):
        x = np.arange(n) * 1.0
        np.testing.assert_array_equal(f(x, {"limit": 1.0}, scale="double")["y"], x * 2)
        np.testing.assert_array_equal(f(x, {"limit": 1.0}, scale="one")["y"], x)
        assert f(x, {"limit": 100.0}, scale="one")["y"] == 0.0
    assert f.compilations == 3  # scale="one" has two paths


def test_another_paths_program_may_fail() -> None:
    @pb.function(branches="trace")
    def f(a: Any, k: Any) -> Any:
        if k < 3:
            return pb.take(a, k, axis=0)
        return a[0] * 0

    a = np.array([1.0, 2.0, 3.0])
    assert f(a, 1) == 2.0
    assert f(a, 7) == 0.0  # the first path has no element 7
    assert f(a, 2) == 3.0
    with pytest.raises(IndexError):
        f(a, -9)


def test_the_truth_of_numbers_and_of_arrays_of_one() -> None:
    @pb.function(branches="trace")
    def f(x: Any) -> Any:
        return 1.0 if x else 0.0

    assert [f(2.5), f(0.0), f(np.ones((1, 1))), f(np.zeros(1))] == [1, 0, 1, 0]
    with pytest.raises(pb.TracedValueError) as caught:
        f(np.ones(3))
    text = str(caught.value)
    assert text.startswith("the truth of f64[3], an argument is that of several ")
    assert text.endswith("use np.any or np.all")


def test_explain_has_the_paths() -> None:
    f = pb.function(halved, branches="trace")
    for x in (2.0, -9.0, -0.5):
        f(x)
    made = f.explain(-9.0)
    assert len(made.paths) == 3
    line = halved.__code__.co_firstlineno
    assert made.paths[0].startswith(f"line {line + 1} False, line {line + 4} True, ")
    assert f"line {line + 1} True" in made.paths
    assert made.outputs == ("f64[]",)
    text = str(made)
    assert "paths so far: 3, this one first\n" in text
    assert "called by: Python, then " in text
    assert "decisions are checked" in text


def test_there_is_a_bound_on_paths() -> None:
    f = pb.function(halved, branches="trace", max_paths=4)
    for k in range(4):
        f(-1.9 * 2.0**k)
    with pytest.raises(pb.ArgumentError) as caught:
        f(-1.9 * 2.0**4)
    lines = str(caught.value).split("\n")
    where = r".*test_paths\.py:\d+ in halved: while x < -1 and x != -3:"
    assert re.fullmatch(
        rf"halved: more than 4 paths; the line that branches most: {where}", lines[0]
    )
    assert lines[1] == (
        "  use pb.cond, pb.while_loop or np.where there, or raise max_paths"
    )


def test_there_is_a_bound_on_decisions() -> None:
    @pb.function(branches="trace")
    def f(x: Any) -> Any:
        while x < 1e6:
            x = x + 1
        return x

    with pytest.raises(pb.ArgumentError) as caught:
        f(0.0)
    text = str(caught.value)
    assert text.startswith("f: more than 1000 decisions on one path, most of them at ")
    assert "in f: while x < 1e6:" in text
    assert text.endswith("repeat with pb.while_loop there")


def test_what_does_not_go_with_branches() -> None:
    with pytest.raises(pb.ArgumentError, match="branches is None or 'trace', got True"):
        pb.function(halved, branches=True)
    f = pb.function(halved, branches="trace")
    with pytest.raises(pb.ArgumentError, match="goes with grad and value_and_grad"):
        pb.vjp(f, 2.0)
    with pytest.raises(pb.TracedValueError, match="needs the value of bool"):
        pb.function(lambda x: f(x))(2.0)  # the outer function is not split
    g = pb.vmap(halved, branches="trace")
    with pytest.raises(pb.TracedValueError, match=r"differs from row to row of a\n?"):
        g(np.ones(3))


def test_bodies_of_loops_are_not_split() -> None:
    @pb.function(branches="trace")
    def f(x: Any) -> Any:
        if x > 5:
            x = x - 5
        return pb.fori_loop(0, 3, lambda i, c: c if c > 0 else -c, x)

    with pytest.raises(pb.TracedValueError, match=r"pb\.cond"):
        f(1.0)
