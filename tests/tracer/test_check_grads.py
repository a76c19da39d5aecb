"""The gradient checker: right rules pass, wrong ones are caught and named."""

from dataclasses import replace
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.ir.ops import OPS
from pullback.tracer.check_grads import TOLERANCES

W = np.array([0.3, -0.7, 1.1])
X = np.linspace(-1.0, 1.0, 6).reshape(2, 3)


def plant(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Give tanh a rule that is wrong by a factor."""
    right: Any = OPS["tanh"].vjp

    def wrong(b: Any, ct: Any, y: Any, *operands: Any) -> Any:
        return [b.mul(entry, factor) for entry in right(b, ct, y, *operands)]

    monkeypatch.setitem(OPS, "tanh", replace(OPS["tanh"], vjp=wrong))


def model(params: Any, x: Any, scale: int = 2) -> Any:
    hidden = pb.tanh(x @ params["w"])
    return {"loss": np.sum(hidden) * params["b"] ** scale, "rest": (hidden, 3)}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_right_gradients_pass(dtype: str) -> None:
    params = {"w": W.astype(dtype), "b": np.asarray(0.9, dtype)[()]}
    pb.check_grads(model, params, X.astype(dtype), 3)
    pb.check_grads(np.sin, np.asarray(0.4, dtype), order=4)
    pb.check_grads(model, params, X.astype(dtype), 3, modes=("fwd", "rev"))
    pb.check_grads(np.sin, np.asarray(0.4, dtype), order=3, modes="fwd")


def test_python_floats_and_other_leaves() -> None:
    pb.check_grads(lambda x, k, s: [x**k, s], 1.5, 3, "name")
    pb.check_grads(lambda x, at: x[at], W, np.array([0, 2, 2]))


@pytest.mark.parametrize("factor", [1.001, -1.0, 0.0])
def test_a_wrong_rule_is_caught(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    plant(monkeypatch, factor)
    with pytest.raises(
        pb.GradientMismatch,
        match=r"check_grads of model: argument 'params'\['w'\] float64\[3\], order 1: "
        r"the gradient gives -?[0-9.e-]+ along a random direction, central "
        r"differences -?[0-9.e-]+ with step 6\.6e-06; [0-9.e-]+ apart is allowed",
    ):
        pb.check_grads(model, {"w": W, "b": 0.9}, X)
    with pytest.raises(pb.GradientMismatch, match="order 1: the tangent gives"):
        pb.check_grads(model, {"w": W, "b": 0.9}, X, modes="fwd")


def test_other_arguments_are_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, 1.001)
    pb.check_grads(lambda x, y: np.sum(np.sin(x)) + len(y), W, [1, 2])
    with pytest.raises(AssertionError, match=r"argument 'y'\[1\] float64\[\], order 1"):
        pb.check_grads(lambda x, y: x * y[0] + pb.tanh(y[1]), 0.5, [0.1, 0.2])


def test_a_rule_that_is_wrong_at_order_two_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def wrong(b: Any, ct: Any, y: Any, x: Any) -> Any:
        # cos(x) = cos(stop_gradient(x)): right once, constant when differentiated
        return (b.mul(ct, b.cos(b.stop_gradient(x))),)

    monkeypatch.setitem(OPS, "sin", replace(OPS["sin"], vjp=wrong))
    pb.check_grads(pb.sin, 0.4, order=1)
    with pytest.raises(pb.GradientMismatch, match="order 2"):
        pb.check_grads(pb.sin, 0.4)


def test_large_results_are_not_blamed_for_their_rounding() -> None:
    pb.check_grads(lambda x: 1e8 + np.sum(x), W)


def test_what_cannot_be_checked() -> None:
    def f(x: Any) -> Any:
        return x * 2

    with pytest.raises(pb.ArgumentError, match="no mode 'up': use fwd or rev"):
        pb.check_grads(f, 1.0, modes="up")
    with pytest.raises(pb.ArgumentError, match="f has no float argument\n  defined at"):
        pb.check_grads(f, 1)
    with pytest.raises(pb.ArgumentError, match="order is at least 1, got 0"):
        pb.check_grads(f, 1.0, order=0)
    with pytest.raises(pb.ArgumentError, match="<lambda> has no float result"):
        pb.check_grads(lambda x: x > 0, W)


def test_tolerances_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, 1.001)
    pb.check_grads(model, {"w": W, "b": 0.9}, X, order=1, rtol=0.01)
    pb.check_grads(model, {"w": W, "b": 0.9}, X, order=1, atol=1.0)
    with pytest.raises(pb.GradientMismatch, match=r"with step 0\.011;"):
        pb.check_grads(model, {"w": W, "b": 0.9}, X, order=1, step=0.01)


def test_the_table_goes_from_fine_to_coarse() -> None:
    assert list(TOLERANCES) == ["float64", "float32"]
    steps = [row[0] for row in TOLERANCES.values()]
    assert steps == sorted(steps)
