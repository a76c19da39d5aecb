"""Programs that are run op by op, for looking."""

from typing import Any

import numpy as np
import pullback as pb
import pytest


def model(x: Any) -> Any:
    return pb.fori_loop(0, 2, lambda i, c: np.sin(c) * x, x)


def test_every_step_is_seen_with_its_line() -> None:
    f = pb.function(model)
    wanted = f(2.0)
    seen: list[Any] = []
    with pb.interpret(seen.append):
        assert f(2.0) == pytest.approx(wanted, rel=1e-14)
        assert [s.op for s in seen] == ["sin", "mul", "sin", "mul", "scan"]
        first = seen[0]
        assert first.operands == (2.0,)
        assert first.results == (np.sin(2.0),)
        assert "test_interpreting.py" in first.where
        assert str(first).endswith(f": sin(2.0) -> {np.sin(2.0)}")
    seen.clear()
    assert f(2.0) == wanted
    assert not seen


def test_nothing_is_compiled(compiler: Any) -> None:
    with pb.interpret():
        assert pb.function(model)(2.0) == pytest.approx(model(2.0), rel=1e-15)
        assert pb.value_and_grad(np.square)(3.0) == (9.0, 6.0)
    assert compiler.made == 0
    f = pb.function(model, mode="interpret")
    f(2.0)
    pb.grad(f)(2.0)
    assert compiler.made == 0
    pb.grad(model)(2.0)
    assert compiler.made == 1


def test_all_derivatives_are_compiled_unless_asked_otherwise(compiler: Any) -> None:
    x = np.array([0.5, 2.0])

    def f(x: Any) -> Any:
        return np.sum(x**3)

    native = [pb.jacobian(np.sin), pb.jacobian(pb.function(np.sin)), pb.hessian(f)]
    for derivative in native:
        derivative(x)
    assert compiler.made == len(native)
    looked_at = pb.function(f, mode="interpret")
    np.testing.assert_allclose(pb.hessian(looked_at)(x), np.diag(6 * x))
    np.testing.assert_allclose(pb.jacobian(looked_at)(x), 3 * x**2)
    assert compiler.made == len(native)


def test_tapes_pullbacks_and_paths_are_interpreted() -> None:
    seen: list[Any] = []

    @pb.function(branches="trace")
    def split(x: Any) -> Any:
        return x * 2 if x > 0 else x * 3

    with pb.interpret(seen.append):
        v = pb.Variable(2.0)
        with pb.GradientTape() as tape:
            y = v * v
        assert tape.gradient(y, v).numpy() == 4.0
        assert seen
        seen.clear()
        _, back = pb.vjp(np.exp, 0.0)
        assert back(1.0) == (1.0,)
        assert "exp" in [s.op for s in seen]
        assert [split(1.0), split(-1.0)] == [2.0, -3.0]
        assert split.compilations == 0


def test_numbers_are_checked_as_ever() -> None:
    f = pb.function(lambda x: pb.check_numerics(np.log(x), "here"))
    with pb.interpret(), pytest.raises(pb.NonFiniteError, match="here: nan"):
        f(-1.0)


def test_there_is_no_other_mode() -> None:
    with pytest.raises(pb.ArgumentError, match="mode is None or 'interpret', got 'x'"):
        pb.function(model, mode="x")
