"""What `explain` says: types, reasons, launches, bytes, lines."""

import re
from typing import Any, NamedTuple

import numpy as np
import pullback as pb
import pytest
from pullback.ir.passes.partition import Fate

W, X, Y = np.full(3, 0.1), np.ones((5, 3)), np.ones(5)


def loss(w: Any, x: Any, y: Any) -> Any:
    hidden = np.tanh(x @ w)
    return np.sum(np.square(hidden - y))


@pytest.fixture
def native(compiler: Any, request: pytest.FixtureRequest) -> bool:
    return "native" in request.node.callspec.id


def test_a_gradient(native: bool) -> None:
    f = pb.value_and_grad(loss)
    found = f.explain(W, X, Y)
    assert f.compilations == 1, "it compiles what was not compiled"
    f(W, X, Y)
    assert f.compilations == 1
    assert found.inputs == (("w", "f64[3]"), ("x", "f64[5,3]"), ("y", "f64[5]"))
    assert found.outputs == ("f64[]", "f64[3]")
    assert found.why == "first call"
    kept = found.of_fate(Fate.KEPT)
    assert [(d.op, str(d.type), d.bytes) for d in kept] == [("tanh", "f64[5]", 40)]
    assert found.residual_bytes == 40
    text = str(found)
    line = loss.__code__.co_firstlineno + 1
    assert f"test_explain.py:{line} in loss  hidden = np.tanh(x @ w)" in text
    assert (
        "the adjoint reads 40 bytes of forward values:\n  kept tanh f64[5], 40" in text
    )
    assert "\n  pruned: 3 forward values (1 contract, 1 square, 1 sum)\n" in text
    assert re.search(r"compiled in [\d.]+ ms \(trace [\d.]+", text)
    if native:
        program = found.program
        assert program.launches == sum(k.launches for k in program.kernels) == 3
        assert program.workspace == 128
        assert list(found.seconds) == ["trace", "passes", "lower", "LLVM", "load"]
        assert all(t >= 0 for t in found.seconds.values())
        assert found.entry == program.call_path
        assert "3 kernels, 3 launches, workspace 128 bytes\n" in text
        where = [f"{__file__}:{line + k} in loss" for k in range(2)]
        assert f"\n  1 x contraction 5 x 1 x 3  {where[0]}\n" in text
        reduction = "1 x reduction over [5], 7 operations an element, 2 results"
        assert f"\n  {reduction}  {where[1]}, and 1 more line\n" in text
        assert [k.lines for k in program.kernels] == [
            (where[0],),
            (where[1], where[0]),
            (where[0],),
        ]


def test_a_gradient_without_its_value_has_the_same_residuals() -> None:
    a = pb.grad(loss).explain(W, X, Y)
    b = pb.value_and_grad(lambda *args: (loss(*args), args[0]), has_aux=True)
    assert a.residual_bytes == b.explain(W, X, Y).residual_bytes == 40


def test_what_a_loop_keeps_is_told_once_a_line(native: bool) -> None:
    def deep(x: Any) -> Any:
        for _ in range(7):
            x = np.sin(x) * 2.0
        return np.sum(x)

    text = str(pb.grad(deep).explain(np.ones(4)))
    line = deep.__code__.co_firstlineno + 2
    assert (
        f"\n  kept 6 x mul f64[4], 192 bytes  {__file__}:{line} in deep  "
        "x = np.sin(x) * 2.0\n" in text
    )
    assert "the adjoint reads 192 bytes" in text


def test_a_pullback_is_two_programs_and_is_explained() -> None:
    f = pb.function(lambda x: np.tanh(x) * 2.0)
    _, back = pb.vjp(f, W)
    back(np.ones(3))
    assert f.compilations == 2
    found = f.explain(W)
    assert f.compilations == 3, "and the function itself"
    assert [(d.op, d.bytes) for d in found.of_fate(Fate.KEPT)] == [("tanh", 24)]
    assert found.residual_bytes == 24
    pb.vjp(f, W)
    assert f.compilations == 3


def test_a_function_has_no_adjoint(native: bool) -> None:
    text = str(pb.function(loss).explain(W, X, Y))
    assert "adjoint" not in text
    assert text.startswith("loss\n  w: f64[3]\n  x: f64[5,3]\n  y: f64[5]\n  returns")


def test_why_it_was_compiled_again() -> None:
    @pb.function(static_argnames="mode")
    def f(p: Any, x: Any, mode: Any = "a") -> Any:
        return p["w"] * x

    why = []
    for args in (
        ({"w": W}, 1.0),
        ({"w": W.astype(np.float32)}, 1.0),
        ({"w": W}, 1.0, "first"),
        ({"w": W}, 1.0, "other"),
        ({"w": X}, 1.0, "other"),
        ({"w": W[0]}, 1, "third"),
        ({"v": W, "w": W}, 1.0),
    ):
        found = f.explain(*args)
        why.append(found.why)
    assert why == [
        "first call",
        "argument 'p'['w']: dtype f64[3] before, f32[3] now",
        "argument 'mode' is given now, was not before",
        "argument 'mode': static value 'first' before, 'other' now",
        "argument 'p'['w']: shape f64[3] before, f64[5,3] now (1 axis before, 2 now)",
        "argument 'p'['w']: shape f64[5,3] before, f64[] now (2 axes before, 0 now); "
        "argument 'x': dtype f64[] before, i64[] now; "
        "argument 'mode': static value 'other' before, 'third' now",
        "argument 'p'['v'] is given now, was not before",
    ]
    assert found.signatures == tuple(why)
    assert "signatures compiled so far: 7\n  first call\n" in str(found)
    assert f.explain({"w": W}, 1.0, "other").statics == (("mode", "'other'"),)


class Point(NamedTuple):
    u: Any
    v: Any


ONE = np.float32(1)
FROM_TO: list[tuple[Any, Any, str]] = [
    # calls as (positional, by name)
    (([X],), ([X[:, :2]],), "'xs'[0]: shape f64[5,3] before, f64[5,2] now (axis 1)"),
    (([X],), ([X.T],), "'xs'[0]: shape f64[5,3] before, f64[3,5] now (axes 0, 1)"),
    (([X],), ([Y],), "'xs'[0]: shape f64[5,3] before, f64[5] now "
                     "(2 axes before, 1 now)"),
    (([W],), ([ONE],), "'xs'[0]: dtype and shape f64[3] before, f32[] now "
                       "(1 axis before, 0 now)"),
    (([W],), (["a"],), "'xs'[0]: type f64[3] before, 'a' now"),
    (([W],), ((W,),), "'xs': a list of 1 before, a tuple of 1 now"),
    (([W],), ([W, W],), "'xs': a list of 1 before, a list of 2 now"),
    (([W, W],), (Point(W, W),), "'xs': a list of 2 before, a Point now"),
    ((Point(W, W),), (Point(W, None),),
     "'xs'.v: an array or a setting before, None now"),
    (([{"a": W}],), ([{"b": W}],), "'xs'[0]['b'] is given now, was not before; "
     "argument 'xs'[0]['a'] was given before, is not now"),
    (([{"a": W, "b": W}],), ([{"b": W}],),
     "'xs'[0]['a'] was given before, is not now"),
    (({"a": W, "b": W},), ({"b": W, "a": W},), "'xs': its keys are in another order"),
    (({"a": [W]},), ({"a": {}},), "'xs'['a']: a list of 1 before, a dict with no keys "
                                  "now"),
    ((W,), (W, 1.0), "'scale' is given now, was not before"),
    ((W, 1.0), (W,), "'scale' was given before, is not now"),
    ((W, 1.0), (W, {"scale": 1.0}), "'scale': given by position before, by name now"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "now", "said"), FROM_TO)
def test_each_change_names_its_argument(before: Any, now: Any, said: str) -> None:
    f = pb.function(lambda xs, scale=1.0: np.ones(2) * scale)
    named = now[1] if len(now) > 1 and isinstance(now[1], dict) else {}
    f(*before)
    found = f.explain(*now[: 1 if named else 2], **named)
    assert found.why == f"argument {said}"


def test_the_nearest_call_is_compared_with() -> None:
    f = pb.function(lambda p, x: x * 2)
    f({"a": W, "b": W}, W)
    f({"a": W}, W)
    assert f.explain({"a": W, "c": W, "b": W}, W).why == (
        "argument 'p'['c'] is given now, was not before"
    )


def test_many_differences_are_counted() -> None:
    f = pb.function(lambda *xs: sum(xs))
    f(*[1.0] * 5)
    why = f.explain(*[np.float32(1)] * 5).why
    assert why.endswith("; 2 more")


def test_sizes_that_vary_are_named() -> None:
    f = pb.grad(lambda x: np.sum(np.sin(x)))
    f(np.ones(3))
    f(np.ones(4))
    found = f.explain(np.ones(7))
    assert found.inputs == (("x", "f64[n]"),)
    assert found.why == "argument 'x': shape f64[3] before, f64[4] now (axis 0)"
    assert len(found.signatures) == 2


def test_how_it_is_called() -> None:
    nested = pb.function(lambda p: p["w"]).explain({"w": W})
    assert nested.entry.startswith("Python, then ")
    assert nested.entry.endswith(
        ": arguments or results are nested, named or static, or numbers are checked"
    )
    checked = pb.function(lambda x: pb.check_numerics(x, "x")).explain(W)
    assert checked.entry.endswith(": check_numerics is called inside")
    assert checked.outputs == ("f64[3]",)
    constant = pb.function(lambda: 1.0).explain()
    assert constant.entry.endswith(": no argument is an array")


def test_what_cannot_be_explained() -> None:
    f = pb.function(loss)
    with pytest.raises(pb.ArgumentError, match="loss: explain takes arrays: a call on"):
        f.explain(pb.constant(W), X, Y)
    with pytest.raises(pb.ArgumentError, match="called on the type f64"):
        f.explain(f.graph(W, X, Y).inputs[0].type, X, Y)


def test_what_is_made_slice_by_slice_is_not_in_memory(native: bool) -> None:
    """A value larger than any piece of the workspace lies nowhere as a whole."""

    def near(x: Any, centres: Any, y: Any) -> Any:
        apart = x[None] - centres[:, None]
        z = np.matmul(apart, y)
        return np.sum(np.log(np.sum(np.exp(-np.sum(z * z, 2)), 0)))

    rng = np.random.default_rng(0)
    shapes = ((300, 10), (8, 10), (8, 10, 10))
    arrays = [rng.standard_normal(s) for s in shapes]
    text = str(pb.grad(near, argnums=(1, 2)).explain(*arrays))
    told = "kept contract f64[8,300,10], 192000 bytes"
    assert f"{told}{', never whole in memory' * native}  " in text
    # of a pullback it is kept between its two halves
    pulled = pb.function(near)
    pb.vjp(pulled, *arrays)
    assert "never whole" not in str(pulled.explain(*arrays))
