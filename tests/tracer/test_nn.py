"""pullback.nn against formulas in NumPy, and at places where they lose digits."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
import pytest
from array_calls import A, T, draw
from test_array_functions import check_gradient, same

# What graphs mean is tested op by op. So one way to run them is enough here.
pytestmark = pytest.mark.parametrize("compiler", ["native"], indirect=True)

FAR = np.array([-800.0, -30.0, -1.5, 1.5, 30.0, 800.0])
LABELS = np.array([2, 0, 3])


def _softmax(x: Any, axis: int = -1) -> Any:
    raised = np.exp(x - x.max(axis=axis, keepdims=True))
    return raised / raised.sum(axis=axis, keepdims=True)


def _normal(x: Any) -> Any:
    return np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2.0)))(x)


CALLS: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any]] = {
    "relu": (pb.nn.relu, lambda x: np.maximum(x, 0), A),
    "relu6": (pb.nn.relu6, lambda x: np.clip(x, 0, 6), A * 7.0),
    "leaky_relu": (pb.nn.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), A),
    "leaky_relu slope": (
        lambda x: pb.nn.leaky_relu(x, 0.2),
        lambda x: np.where(x > 0, x, 0.2 * x),
        A,
    ),
    "elu": (
        lambda x: pb.nn.elu(x, 1.5),
        lambda x: np.where(x > 0, x, 1.5 * np.expm1(np.minimum(x, 0))),
        FAR,
    ),
    "selu": (
        pb.nn.selu,
        lambda x: (
            1.0507009873554805
            * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))
        ),
        A,
    ),
    "gelu": (pb.nn.gelu, lambda x: x * _normal(x), A * 4.0),
    "gelu approximate": (
        lambda x: pb.nn.gelu(x, approximate=True),
        lambda x: (
            0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        ),
        A,
    ),
    "silu": (pb.nn.silu, lambda x: x * np.exp(-np.logaddexp(0, -x)), FAR),
    "swish": (pb.nn.swish, lambda x: x * np.exp(-np.logaddexp(0, -x)), A),
    "log_sigmoid": (pb.nn.log_sigmoid, lambda x: -np.logaddexp(0, -x), FAR),
    "softsign": (pb.nn.softsign, lambda x: x / (1 + np.abs(x)), A),
    "hard_tanh": (pb.nn.hard_tanh, lambda x: np.clip(x, -1, 1), A * 3.0),
    "softmax": (pb.nn.softmax, _softmax, A),
    "softmax axis": (lambda x: pb.nn.softmax(x, 1), lambda x: _softmax(x, 1), T),
    "log_softmax": (pb.nn.log_softmax, lambda x: np.log(_softmax(x)), A),
    "cross-entropy of classes": (
        lambda x: pb.nn.softmax_cross_entropy(x, LABELS),
        lambda x: -np.log(_softmax(x))[np.arange(3), LABELS],
        A,
    ),
    "cross-entropy of probabilities": (
        lambda x: pb.nn.softmax_cross_entropy(x, _softmax(A[::-1])),
        lambda x: -np.sum(_softmax(A[::-1]) * np.log(_softmax(x)), axis=1),
        A,
    ),
    "cross-entropy along axis 0": (
        lambda x: pb.nn.softmax_cross_entropy(x, np.array([2, 0, 1, 1]), axis=0),
        lambda x: -np.log(_softmax(x, 0))[[2, 0, 1, 1], np.arange(4)],
        A,
    ),
    "sigmoid_cross_entropy": (
        lambda x: pb.nn.sigmoid_cross_entropy(x, 0.25),
        lambda x: np.logaddexp(0, x) - 0.25 * x,
        A,
    ),
    "l2_loss": (pb.nn.l2_loss, lambda x: 0.5 * np.sum(x * x), A),
    "bias_add": (
        lambda x: pb.nn.bias_add(x, np.arange(4.0)),
        lambda x: x + np.arange(4.0),
        T,
    ),
    "embedding_lookup": (
        lambda x: pb.nn.embedding_lookup(x, np.array([[0, 2], [0, 1]])),
        lambda x: x[np.array([[0, 2], [0, 1]])],
        A,
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_value_and_gradient(name: str) -> None:
    call, reference, x = CALLS[name]
    same(call(pb.constant(x)).numpy(), reference(x))

    def either(x: Any) -> Any:
        return reference(x) if isinstance(x, np.ndarray) else call(x)

    check_gradient(either, (np.clip(x, -30.0, 30.0),))


def test_gelu_keeps_its_digits_far_below_zero() -> None:
    x = np.array([-8.0, -20.0, -37.0])
    np.testing.assert_allclose(pb.nn.gelu(x).numpy(), x * _normal(x), rtol=1e-12)


def test_softmax_of_infinities() -> None:
    x = np.array([-np.inf, 0.0, 0.0])
    same(pb.nn.softmax(x).numpy(), [0.0, 0.5, 0.5])
    loss = pb.nn.softmax_cross_entropy(x, np.array([0.0, 1.0, 0.0]))
    same(loss.numpy(), np.log(2.0))
    labels = np.array([0.0, 0.5, 0.5])
    f = pb.grad(lambda x: pb.nn.softmax_cross_entropy(x, labels))
    same(f(x), [0.0, 0.0, 0.0])


def test_softmax_of_large_numbers_in_f32() -> None:
    x = (draw(2, 5) * 100).astype(np.float32)
    same(pb.function(pb.nn.softmax)(x), _softmax(x))


def test_one_hot() -> None:
    x = np.array([[0, 2], [3, -1]])
    wanted = (x[..., None] == np.arange(3)).astype(float)
    same(pb.one_hot(x, 3).numpy(), wanted)
    same(pb.nn.one_hot(x, 3, axis=0).numpy(), np.moveaxis(wanted, -1, 0))
    same(pb.one_hot(np.array(1), 3, dtype=int).numpy(), np.array([0, 1, 0]))


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda x: pb.one_hot(x, 3), "one_hot: classes are integers, not f64[3,4]"),
        (
            lambda x: pb.nn.softmax_cross_entropy(x, np.array([True, False, True])),
            "softmax_cross_entropy: labels bool[3] are neither probabilities",
        ),
        (lambda x: pb.nn.softmax(x, 2), "softmax: axis 2 is out of bounds"),
        (lambda x: pb.nn.bias_add(x, x), "bias_add: a bias is a vector, not f64[3,4]"),
    ],
)
def test_a_call_that_does_not_fit(use: Callable[..., Any], text: str) -> None:
    with pytest.raises(pb.OpTypeError) as caught:
        pb.function(use)(A)
    assert str(caught.value).startswith(text)


@pytest.mark.parametrize("space", ["nn", "linalg"])
def test_namespaces_say_what_they_have(space: str) -> None:
    module = getattr(pb, space)
    for name in module.__all__:
        found = getattr(module, name)
        assert found.__doc__, name
        assert found.__module__ == f"pullback.{space}"
    assert set(module.__all__) == set(dir(module))
    with pytest.raises(
        AttributeError, match=f"module 'pullback.{space}' has no attribute 'nix'"
    ):
        module.nix  # noqa: B018 - the lookup is the test
