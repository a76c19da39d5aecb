"""The introduction to gradients and automatic differentiation, cell by cell."""

from typing import Any

import numpy as np
import pullback as pb
import pytest


def value(x: Any) -> Any:
    return None if x is None else x.numpy()


def test_gradient_of_a_square() -> None:
    x = pb.Variable(3.0)
    with pb.GradientTape() as tape:
        y = x**2
    assert y.numpy() == 9.0
    assert tape.gradient(y, x).numpy() == 6.0


def test_a_layer_and_its_gradients() -> None:
    w = pb.Variable(np.arange(6.0).reshape(3, 2) / 10, name="w")
    b = pb.Variable(pb.zeros(2), name="b")
    x = [[1.0, 2.0, 3.0]]
    with pb.GradientTape(persistent=True) as tape:
        y = x @ w + b
        loss = pb.mean(y**2)
    assert y.shape == (1, 2)
    [dl_dw, dl_db] = tape.gradient(loss, [w, b])
    assert dl_dw.shape == w.shape == (3, 2)
    np.testing.assert_allclose(loss.numpy(), 3.7)
    np.testing.assert_allclose(dl_dw, [[1.6, 2.2], [3.2, 4.4], [4.8, 6.6]])
    np.testing.assert_allclose(dl_db, [1.6, 2.2])
    same = tape.gradient(loss, {"w": w, "b": b})
    assert list(same) == ["w", "b"]
    np.testing.assert_allclose(same["b"], dl_db)
    fresh = {"w": pb.Variable(w), "b": pb.Variable(b)}
    assert tape.gradient(loss, fresh) == {"w": None, "b": None}


def test_what_is_watched() -> None:
    x0 = pb.Variable(3.0, name="x0")
    x1 = pb.Variable(3.0, name="x1", trainable=False)
    x2 = pb.Variable(2.0, name="x2") + 1.0
    x3 = pb.constant(3.0, name="x3")
    with pb.GradientTape() as tape:
        y = (x0**2) + (x1**2) + (x2**2)
    grad = tape.gradient(y, [x0, x1, x2, x3])
    assert [value(g) for g in grad] == [6.0, None, None, None]
    assert str(grad[0]) == "Tensor(6.0, shape=(), dtype=float64)"
    assert [v.name for v in tape.watched_variables()] == ["x0"]


def test_watch_a_tensor() -> None:
    x = pb.constant(3.0)
    with pb.GradientTape() as tape:
        tape.watch(x)
        y = x**2
    assert tape.gradient(y, x).numpy() == 6.0


def test_watch_one_variable_of_two() -> None:
    x0, x1 = pb.Variable(0.0), pb.Variable(10.0)
    with pb.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(x1)
        y = pb.sin(x0) + pb.softplus(x1)
        ys = pb.sum(y)
    grad = tape.gradient(ys, {"x0": x0, "x1": x1})
    assert grad["x0"] is None
    np.testing.assert_allclose(grad["x1"].numpy(), 0.9999546, rtol=1e-7)
    assert tape.watched_variables() == (x1,)


def test_intermediate_results() -> None:
    x = pb.constant(3.0)
    with pb.GradientTape() as tape:
        tape.watch(x)
        y = x * x
        z = y * y
    assert tape.gradient(z, y).numpy() == 18.0


def test_a_persistent_tape() -> None:
    x = pb.constant([1, 3.0])
    with pb.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
        z = y * y
    np.testing.assert_array_equal(tape.gradient(z, x).numpy(), [4.0, 108.0])
    np.testing.assert_array_equal(tape.gradient(y, x).numpy(), [2.0, 6.0])


def test_several_targets() -> None:
    x = pb.Variable(2.0)
    with pb.GradientTape(persistent=True) as tape:
        y0 = x**2
        y1 = 1 / x
    assert tape.gradient(y0, x).numpy() == 4.0
    assert tape.gradient(y1, x).numpy() == -0.25
    assert tape.gradient({"y0": y0, "y1": y1}, x).numpy() == 3.75


def test_a_target_that_is_no_scalar() -> None:
    x = pb.Variable(2.0)
    with pb.GradientTape() as tape:
        y = x * [3.0, 4.0]
    assert tape.gradient(y, x).numpy() == 7.0


def test_sigmoid_elementwise() -> None:
    x = pb.linspace(-10.0, 10.0, 200 + 1)
    with pb.GradientTape() as tape:
        tape.watch(x)
        y = pb.sigmoid(x)
    dy = np.asarray(tape.gradient(y, x))
    assert len(x) == 201
    assert dy[100] == 0.25
    np.testing.assert_allclose(dy[[0, 110]], [4.5395806e-05, 0.19661193], rtol=1e-6)


def test_control_flow() -> None:
    x = pb.constant(1.0)
    v0, v1 = pb.Variable(2.0), pb.Variable(2.0)
    with pb.GradientTape(persistent=True) as tape:
        tape.watch(x)
        result = v0 if x > 0.0 else v1**2
    dv0, dv1 = tape.gradient(result, [v0, v1])
    assert dv0.numpy() == 1.0
    assert dv1 is None
    assert tape.gradient(result, x) is None


def test_unconnected() -> None:
    x, y = pb.Variable(2.0), pb.Variable(3.0)
    with pb.GradientTape() as tape:
        z = y * y
    assert tape.gradient(z, x) is None


def test_a_variable_replaced_by_a_tensor() -> None:
    x: Any = pb.Variable(2.0)
    seen = []
    for _ in range(2):
        with pb.GradientTape() as tape:
            y = x + 1
        seen.append((type(x).__name__, value(tape.gradient(y, x))))
        x = x + 1
    assert seen == [("Variable", 1.0), ("Tensor", None)]


def test_numpy_leaves_the_tape() -> None:
    x = pb.Variable([[1.0, 2.0], [3.0, 4.0]])
    with pb.GradientTape() as tape:
        x2 = x**2
        with pytest.warns(pb.LeftTapeWarning, match=r"np\.mean took .* call pb\.mean"):
            y = np.mean(x2, axis=0)
        y = pb.mean(y, axis=0)
    assert y.numpy() == 7.5
    assert tape.gradient(y, x) is None


def test_integers() -> None:
    x = pb.Variable([[2, 2], [2, 2]])
    with pb.GradientTape(persistent=True) as tape:
        y = pb.cast(x, np.float64)
        z = pb.sum(x)
    assert z.numpy() == 8
    assert tape.gradient(y, x) is None
    assert tape.gradient(z, x) is None


def test_state() -> None:
    x0, x1 = pb.Variable(3.0), pb.Variable(0.0)
    with pb.GradientTape(persistent=True) as tape:
        x1.assign_add(x0)
        y = x1**2
    assert x1.numpy() == 3.0
    assert y.numpy() == 9.0
    assert tape.gradient(y, x0) is None
    assert tape.gradient(y, x1).numpy() == 6.0


@pytest.mark.parametrize("how", [pb.UnconnectedGradients.ZERO, "zero"])
def test_zeros_instead_of_none(how: Any) -> None:
    x, y = pb.Variable([2.0, 2.0]), pb.Variable(3.0)
    with pb.GradientTape() as tape:
        z = y**2
    got = tape.gradient(z, x, unconnected_gradients=how)
    np.testing.assert_array_equal(got.numpy(), [0.0, 0.0])
    assert str(got) == "Tensor([0. 0.], shape=(2,), dtype=float64)"
