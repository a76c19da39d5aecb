"""What a tape computes, when, and what it keeps."""

import gc
import threading
import weakref
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.tracer import pending, recorder
from pullback.tracer.tensor import current_recorder


def value(x: Any) -> Any:
    return None if x is None else x.numpy()


def test_nothing_runs_before_a_look(compiler: Any) -> None:
    x = pb.Variable(3.0)
    with pb.GradientTape() as tape:
        y = pb.exp(pb.sin(x)) * 2.0
    g = tape.gradient(y, x)
    assert compiler.made == 0
    g.numpy()
    assert compiler.made == 1
    y.numpy()  # the value ran with its gradient
    assert compiler.made == 1
    np.testing.assert_allclose(g, 2 * np.exp(np.sin(3.0)) * np.cos(3.0))


def test_a_value_is_never_computed_twice(compiler: Any) -> None:
    x = pb.constant([1.0, 2.0])
    y = pb.exp(x)
    z = pb.sum(y)
    z.numpy()
    assert compiler.made == 1
    y.numpy()
    assert compiler.made == 1


@pytest.mark.parametrize("look", ["loss", "weights", "nothing", "early"])
def test_a_training_loop_compiles_once(compiler: Any, look: str) -> None:
    rng = np.random.default_rng(0)
    data = rng.normal(size=(20, 3))
    target = data @ [1.0, -2.0, 0.5]
    w = pb.Variable(np.zeros(3))
    made = []
    for step in range(12):
        rate = 0.1 / (1 + step)  # a number that changes compiles nothing
        with pb.GradientTape() as tape:
            loss = pb.mean((data @ w - target) ** 2)
            if look == "early":
                float(loss)
        g = tape.gradient(loss, w)
        w.assign_sub(rate * g)
        if look == "loss":
            float(loss)
        if look == "weights":
            w.numpy()
        made.append(compiler.made)
    assert made[-1] == made[3] <= 3
    w_numpy = np.zeros(3)
    for step in range(12):
        error = data @ w_numpy - target
        w_numpy = w_numpy - 0.1 / (1 + step) * 2 * (data.T @ error) / 20
    np.testing.assert_allclose(w, w_numpy, rtol=1e-12)


def test_pending_work_is_bounded() -> None:
    x = pb.constant(0.0)
    for _ in range(2 * recorder.MOST_NODES):
        x = x + 1.0
    assert len(current_recorder().builder.nodes) < 2 * recorder.MOST_NODES
    assert x.numpy() == 2 * recorder.MOST_NODES


def test_a_loop_that_looks_does_not_grow() -> None:
    x = pb.constant(1.0)
    for _ in range(3000):
        x = (x + 1.0) * 0.5
        assert x.numpy() == 1.0
    assert len(current_recorder().builder.nodes) < 600
    assert pending.programs() <= 4


def test_residuals_are_freed_without_the_collector() -> None:
    gc.disable()
    try:
        x = pb.constant(np.ones(1000))
        with pb.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = pb.exp(x)
            z = pb.sum(y * y)
        tape.gradient(z, x).numpy()
        residual = weakref.ref(y._array())
        gone = weakref.ref(tape)
        del y, z
        assert residual() is not None
        del tape
        assert gone() is None
        assert residual() is None
    finally:
        gc.enable()


def test_a_loop_frees_what_it_made_without_the_collector() -> None:
    gc.disable()
    try:
        w = pb.Variable(np.ones(1000))
        made: list[Any] = []
        for step in range(20):
            with pb.GradientTape() as tape:
                y = pb.exp(w * -0.01)
                loss = pb.sum(y * y)
            g = tape.gradient(loss, w)
            w.assign_sub(0.01 * g)
            if step % 2:
                float(loss)
            made += [weakref.ref(x._array()) for x in (y, g, w)]
        assert sum(ref() is not None for ref in made) <= 6
    finally:
        gc.enable()


def test_later_mutation_changes_nothing() -> None:
    a = np.ones(3)
    x, v = pb.constant(a), pb.Variable(a)
    y = x * a
    a[:] = 5
    np.testing.assert_array_equal(y, np.ones(3))
    np.testing.assert_array_equal(v, np.ones(3))
    with pytest.raises(ValueError, match="read-only"):
        y.numpy()[0] = 1


def test_same_bits_looked_at_or_not() -> None:
    rng = np.random.default_rng(3)
    a, b, c = (pb.constant(rng.normal(size=50)) for _ in range(3))
    unseen = a * b + c
    product = a * b
    product.numpy()
    seen = product + c
    np.testing.assert_array_equal(seen, unseen)
    whole = pb.function(lambda x, y, z: x * y + z)(a.numpy(), b.numpy(), c.numpy())
    np.testing.assert_array_equal(whole, unseen)


def test_tape_and_function_have_the_same_bits() -> None:
    def f(x: Any) -> Any:
        return pb.sum(pb.tanh(x) * x + pb.exp(-x * x) / 3.7)

    x = np.linspace(-2, 2, 31)
    t = pb.constant(x)
    with pb.GradientTape() as tape:
        tape.watch(t)
        y = f(t)
    g = tape.gradient(y, t)
    value_, grad = pb.value_and_grad(f)(x)
    assert y.numpy() == value_
    np.testing.assert_array_equal(g, grad)


def test_threads_have_their_own_tapes() -> None:
    x = pb.Variable(3.0)
    seen: list[Any] = []

    def work() -> None:
        with pb.GradientTape() as tape:
            y = x * x
        seen.append(value(tape.gradient(y, x)))

    with pb.GradientTape() as tape:
        z = x * x * x
        other = threading.Thread(target=work)
        other.start()
        other.join()
    assert seen == [6.0]
    assert value(tape.gradient(z, x)) == 27.0


def test_python_looks_at_tensors() -> None:
    x = pb.constant([1.0, 2.0])
    assert [float(r) for r in x] == [1.0, 2.0]
    assert len(x) == 2
    assert int(x[1]) == 2
    assert f"{x[0]:.2f}" == "1.00"
    assert f"{x}" == "Tensor([1. 2.], shape=(2,), dtype=float64)"
    assert repr(x[0]) == "<Tensor: shape=(), dtype=float64, numpy=1.0>"
    assert bool(x[0] == 1)
    assert list(range(pb.constant(3))) == [0, 1, 2]
    assert (np.ones(2) * x).shape == (2,)
    for made in (np.ones(2) * x, np.ones(2) @ x, np.ones(2) - x, np.ones(2) == x,
                 np.ones(2) ** x, np.ones(2) < x):  # fmt: skip
        assert isinstance(made, pb.Tensor)
    assert isinstance(np.float64(2) * x, pb.Tensor)
    assert repr(pb.Variable(1.0, name="v")) == (
        "<Variable 'v': shape=(), dtype=float64, numpy=np.float64(1.0)>"
    )


def test_jacobians_compile_once(compiler: Any) -> None:
    rng = np.random.default_rng(5)
    made = []
    for _ in range(3):
        x = pb.constant(rng.normal(size=(7, 5)))
        kernel = pb.Variable(rng.normal(size=(5, 10)))
        with pb.GradientTape() as tape:
            y = x @ kernel
        j = tape.jacobian(y, kernel)
        assert j.numpy().shape == (7, 10, 5, 10)
        wanted = np.einsum("ia,jb->ijab", x.numpy(), np.eye(10))
        np.testing.assert_allclose(j, wanted)
        made.append(compiler.made)
    assert made == [1, 1, 1]


def test_hessians_compile_once(compiler: Any) -> None:
    rng = np.random.default_rng(6)
    data = rng.normal(size=(7, 5))
    made = []
    for _ in range(3):
        w = pb.Variable(rng.normal(size=(5, 8)))
        with pb.GradientTape() as outer:
            with pb.GradientTape() as inner:
                loss = pb.mean((data @ w) ** 2)
            g = inner.gradient(loss, w)
        h = outer.jacobian(g, w)
        assert h.numpy().shape == (5, 8, 5, 8)
        wanted = np.einsum("ac,bd->abcd", data.T @ data, np.eye(8)) * (2 / 56)
        np.testing.assert_allclose(h, wanted, rtol=1e-9, atol=1e-12)
        made.append(compiler.made)
    assert made == [1, 1, 1]
