"""Functions under TensorFlow's names against NumPy's, and their settings."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback.tensorflow as tf
import pytest
from taping import gradients, num

X = np.array([[0.3, -1.2, 2.0], [0.7, 0.1, -0.4]], np.float32)
P = np.abs(X) + np.float32(0.1)
U = np.clip(X, -0.9, 0.9)

ONE: dict[str, tuple[Callable[..., Any], Callable[..., Any], Any]] = {
    "abs": (tf.abs, np.abs, X),
    "acos": (tf.acos, np.arccos, U),
    "acosh": (tf.acosh, np.arccosh, P + 1),
    "asin": (tf.asin, np.arcsin, U),
    "asinh": (tf.asinh, np.arcsinh, X),
    "atan": (tf.atan, np.arctan, X),
    "atanh": (tf.atanh, np.arctanh, U),
    "ceil": (tf.math.ceil, np.ceil, X),
    "cos": (tf.cos, np.cos, X),
    "cosh": (tf.cosh, np.cosh, X),
    "exp": (tf.exp, np.exp, X),
    "expm1": (tf.math.expm1, np.expm1, X),
    "floor": (tf.floor, np.floor, X),
    "log": (tf.math.log, np.log, P),
    "log1p": (tf.math.log1p, np.log1p, P),
    "negative": (tf.negative, np.negative, X),
    "reciprocal": (tf.math.reciprocal, np.reciprocal, P),
    "round": (tf.round, np.round, X),
    "rsqrt": (tf.math.rsqrt, lambda x: 1 / np.sqrt(x), P),
    "sigmoid": (tf.sigmoid, lambda x: 1 / (1 + np.exp(-x)), X),
    "sign": (tf.sign, np.sign, X),
    "sin": (tf.sin, np.sin, X),
    "sinh": (tf.sinh, np.sinh, X),
    "softplus": (tf.math.softplus, lambda x: np.log1p(np.exp(x)), X),
    "softsign": (tf.nn.softsign, lambda x: x / (1 + np.abs(x)), X),
    "sqrt": (tf.sqrt, np.sqrt, P),
    "square": (tf.square, np.square, X),
    "tan": (tf.tan, np.tan, X),
    "tanh": (tf.tanh, np.tanh, X),
    "relu": (tf.nn.relu, lambda x: np.maximum(x, 0), X),
    "relu6": (tf.nn.relu6, lambda x: np.clip(x, 0, 6), X * 5),
    "leaky_relu": (tf.nn.leaky_relu, lambda x: np.where(x > 0, x, 0.2 * x), X),
    "elu": (tf.nn.elu, lambda x: np.where(x > 0, x, np.expm1(x)), X),
    "silu": (tf.nn.silu, lambda x: x / (1 + np.exp(-x)), X),
    "silu2": (lambda x: tf.nn.silu(x, 2.0), lambda x: x / (1 + np.exp(-2 * x)), X),
    "sum": (tf.reduce_sum, np.sum, X),
    "mean": (
        lambda x: tf.reduce_mean(x, 1, True),
        lambda x: x.mean(1, keepdims=True), X,
    ),
    "max": (lambda x: tf.reduce_max(x, axis=-1), lambda x: x.max(-1), X),
    "min": (lambda x: tf.reduce_min(x, [0, 1]), np.min, X),
    "prod": (tf.reduce_prod, np.prod, X),
    "std": (lambda x: tf.math.reduce_std(x, 0), lambda x: x.std(0), X),
    "variance": (tf.math.reduce_variance, np.var, X),
    "logsumexp": (tf.reduce_logsumexp, lambda x: np.log(np.exp(x).sum()), X),
    "euclidean": (tf.math.reduce_euclidean_norm, lambda x: np.sqrt((x * x).sum()), X),
    "softmax": (
        tf.nn.softmax, lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True), X,
    ),
    "cumsum": (lambda x: tf.cumsum(x, 1), lambda x: np.cumsum(x, 1), X),
    "cumsum_reverse": (
        lambda x: tf.cumsum(x, reverse=True), lambda x: np.cumsum(x[::-1], 0)[::-1], X,
    ),
    "cumprod": (lambda x: tf.math.cumprod(x, 1), lambda x: np.cumprod(x, 1), X),
    "cumsum_exclusive": (
        lambda x: tf.cumsum(x, 1, exclusive=True),
        lambda x: np.cumsum(x, 1) - x,
        X,
    ),
    "transpose": (tf.transpose, np.transpose, X),
    "reshape": (lambda x: tf.reshape(x, [-1, 2]), lambda x: x.reshape(-1, 2), X),
    "expand": (lambda x: tf.expand_dims(x, 1), lambda x: x[:, None], X),
    "squeeze": (lambda x: tf.squeeze(x[:, :1]), lambda x: x[:, 0], X),
    "tile": (lambda x: tf.tile(x, [2, 1]), lambda x: np.tile(x, (2, 1)), X),
    "repeat": (lambda x: tf.repeat(x, 2, 0), lambda x: np.repeat(x, 2, 0), X),
    "reverse": (lambda x: tf.reverse(x, [1]), lambda x: x[:, ::-1], X),
    "roll": (lambda x: tf.roll(x, 1, 1), lambda x: np.roll(x, 1, 1), X),
    "pad": (
        lambda x: tf.pad(x, [[1, 0], [0, 2]], constant_values=3.0),
        lambda x: np.pad(x, ((1, 0), (0, 2)), constant_values=3.0), X,
    ),
    "slice": (lambda x: tf.slice(x, [0, 1], [-1, 2]), lambda x: x[:, 1:3], X),
    "gather": (lambda x: tf.gather(x, [1, 0, 1]), lambda x: x[[1, 0, 1]], X),
    "gather_nd": (
        lambda x: tf.gather_nd(x, [[0, 2], [1, 1]]),
        lambda x: x[[0, 1], [2, 1]], X,
    ),
    "stack": (lambda x: tf.stack([x, x], 1), lambda x: np.stack([x, x], 1), X),
    "concat": (
        lambda x: tf.concat([x, x], -1),
        lambda x: np.concatenate([x, x], -1), X,
    ),
    "unstack": (lambda x: tf.unstack(x, axis=1)[2], lambda x: x[:, 2], X),
    "split": (lambda x: tf.split(x, [1, -1], 1)[1], lambda x: x[:, 1:], X),
    "clip": (
        lambda x: tf.clip_by_value(x, -0.5, 0.5),
        lambda x: np.clip(x, -0.5, 0.5), X,
    ),
    "norm": (tf.norm, lambda x: np.sqrt((x * x).sum()), X),
    "norm1": (lambda x: tf.norm(x, 1, 1), lambda x: np.abs(x).sum(1), X),
    "norm_inf": (lambda x: tf.norm(x, np.inf), lambda x: np.abs(x).max(), X),
    "l2": (tf.nn.l2_loss, lambda x: 0.5 * (x * x).sum(), X),
    "normalize": (
        lambda x: tf.math.l2_normalize(x, 1),
        lambda x: x / np.sqrt((x * x).sum(1, keepdims=True)), X,
    ),
    "einsum": (lambda x: tf.einsum("ij,kj->ik", x, x), lambda x: x @ x.T, X),
    "matmul": (lambda x: tf.matmul(x, x, transpose_b=True), lambda x: x @ x.T, X),
    "matvec": (lambda x: tf.linalg.matvec(x, x[0]), lambda x: x @ x[0], X),
    "tensordot": (lambda x: tf.tensordot(x, x, [[1], [1]]), lambda x: x @ x.T, X),
    "diag": (lambda x: tf.linalg.diag(x[0]), lambda x: np.diag(x[0]), X),
    "diag_part": (lambda x: tf.linalg.diag_part(x), np.diag, X),
    "band": (lambda x: tf.linalg.band_part(x, 0, -1), np.triu, X),
    "polyval": (
        lambda x: tf.math.polyval([2.0, -1.0, 3.0], x), lambda x: 2 * x * x - x + 3, X,
    ),
    "cond_where": (
        lambda x: tf.where(x > 0, x, 0.0),
        lambda x: np.where(x > 0, x, 0), X,
    ),
    "moments": (lambda x: tf.nn.moments(x, [0])[1], lambda x: x.var(0), X),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE)
def test_functions_have_numpys_values(name: str) -> None:
    ours, numpys, x = ONE[name]
    got = ours(tf.constant(x))
    want = np.asarray(numpys(x.astype(np.float64)))
    assert isinstance(got, tf.Tensor)
    assert got.dtype == tf.float32
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize(
    "name", [n for n in ONE if n not in ("ceil", "floor", "round")]
)
def test_functions_have_gradients_along_a_line(name: str) -> None:
    ours, numpys, x = ONE[name]
    (g,) = gradients(ours)(tf.constant(x.astype(np.float64)))
    if g is None:
        assert name == "sign"
        return
    x = x.astype(np.float64)
    line, step = np.cos(np.arange(x.size)).reshape(x.shape), 1e-6
    up, down = np.sum(numpys(x + step * line)), np.sum(numpys(x - step * line))
    dense = np.asarray(num(g))
    np.testing.assert_allclose(
        np.sum(dense * line), (up - down) / (2 * step), rtol=1e-6, atol=1e-6
    )


TWO: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "add": (tf.add, np.add),
    "subtract": (tf.subtract, np.subtract),
    "multiply": (tf.multiply, np.multiply),
    "divide": (tf.divide, np.divide),
    "maximum": (tf.maximum, np.maximum),
    "minimum": (tf.minimum, np.minimum),
    "pow": (lambda x, y: tf.pow(tf.abs(x), y), lambda x, y: np.abs(x) ** y),
    "floordiv": (tf.math.floordiv, np.floor_divide),
    "floormod": (tf.math.floormod, np.mod),
    "atan2": (tf.atan2, np.arctan2),
    "squared_difference": (tf.math.squared_difference, lambda x, y: (x - y) ** 2),
    "less": (tf.less, np.less),
    "less_equal": (tf.less_equal, np.less_equal),
    "greater": (tf.greater, np.greater),
    "greater_equal": (tf.greater_equal, np.greater_equal),
    "equal": (tf.equal, np.equal),
    "not_equal": (tf.not_equal, np.not_equal),
}


@pytest.mark.parametrize("name", TWO)
def test_functions_of_two(name: str) -> None:
    ours, numpys = TWO[name]
    y = np.array([0.5, -0.7, 2.0], np.float32)
    got = ours(tf.constant(X), y.tolist())
    np.testing.assert_allclose(np.asarray(got), numpys(X, y), rtol=2e-6)


def test_integers_keep_their_dtype() -> None:
    x = tf.constant([[1, 2], [3, 5]])
    assert [
        f(x).dtype for f in (tf.reduce_sum, tf.reduce_prod, tf.reduce_mean)
    ] == 3 * [tf.int32]
    assert num(tf.reduce_mean(x)) == 2
    assert num(tf.cumsum(x)) == [[1, 2], [4, 7]]
    assert tf.cumsum(x).dtype == tf.int32
    assert (tf.argmax(x, 1).dtype, num(tf.argmax(x))) == (tf.int64, [1, 1])
    assert tf.argmin(x, output_type=tf.int32).dtype == tf.int32
    assert num(tf.math.count_nonzero(tf.constant([0, 1, 2]))) == 2
    assert num(tf.reduce_any(x > 4)) is True
    assert num(tf.reduce_all(x > 4, 1)) == [False, False]


def test_division_by_zero_that_is_none() -> None:
    x, y = tf.constant([1.0, 2.0]), tf.constant([0.0, 4.0])
    got = gradients(tf.math.divide_no_nan)(x, y)
    assert num(tf.math.divide_no_nan(x, y)) == [0.0, 0.5]
    assert [num(g) for g in got] == [[0.0, 0.25], [0.0, -0.125]]
    assert num(tf.math.multiply_no_nan([np.inf, 2.0], [0.0, 3.0])) == [0.0, 6.0]


def test_making_tensors() -> None:
    assert num(tf.zeros((1, 2))) == [[0.0, 0.0]]
    assert (tf.zeros(2).dtype, tf.ones(2, tf.int32).dtype) == (tf.float32, tf.int32)
    assert num(tf.fill([2], 3)) == [3, 3]
    assert num(tf.eye(2, batch_shape=[1])) == [[[1.0, 0.0], [0.0, 1.0]]]
    assert (num(tf.range(3)), tf.range(3).dtype) == ([0, 1, 2], tf.int32)
    assert num(tf.range(1.0, 2.0, 0.5)) == [1.0, 1.5]
    assert num(tf.ones_like(X)) == np.ones_like(X).tolist()
    assert num(tf.zeros_like([1, 2], tf.float32)) == [0.0, 0.0]
    assert num(tf.one_hot([1, 5], 2)) == [[0.0, 1.0], [0.0, 0.0]]
    assert num(tf.one_hot([0], 2, 5.0, 1.0)) == [[5.0, 1.0]]
    assert num(tf.shape(X)) == [2, 3]
    assert [num(tf.size(X)), num(tf.rank(X))] == [6, 2]
    assert num(tf.boolean_mask([1.0, 2.0, 3.0], [True, False, True])) == [1.0, 3.0]
    assert num(tf.where([True, False, True])) == [[0], [2]]
    assert tf.broadcast_static_shape((2, 1), (3,)).as_list() == [2, 3]
    assert num(tf.reshape(tf.range(4), tf.constant([2, 2]))) == [[0, 1], [2, 3]]


def test_linspace_ends_where_it_should() -> None:
    x = tf.linspace(-10.0, 10.0, 201)
    assert (x.dtype, len(x), float(x[0]), float(x[200])) == (
        tf.float32,
        201,
        -10.0,
        10.0,
    )
    rows = tf.linspace([0.0, 1.0], [1.0, 3.0], 3)
    assert num(rows) == [[0.0, 1.0], [0.5, 2.0], [1.0, 3.0]]
    assert tf.linspace([0.0], [1.0], 4, axis=-1).shape == (1, 4)
    assert num(tf.linspace([1.0], [5.0], 1)) == [[1.0]]
    with pytest.raises(ValueError, match="Requires num > 0"):
        tf.linspace(0.0, 1.0, 0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="cannot compute LinSpace"):
        tf.linspace(tf.constant(0.0), tf.constant(1.0, tf.float64), 3)


def test_casts() -> None:
    assert num(tf.cast([1.7, -1.7], tf.int32)) == [1, -1]
    assert num(tf.cast(tf.constant([0, 3]), tf.bool)) == [False, True]
    assert tf.cast(1, "float64").dtype == tf.float64
    assert (tf.float32 == np.float32, tf.float32 == "int32") == (True, False)
    assert (tf.float32.is_floating, tf.int8.max, tf.int32.size) == (True, 127, 4)
    assert np.zeros(2, tf.float32).dtype == np.float32


def test_solving() -> None:
    a = np.array([[4.0, 1.0], [1.0, 3.0]], np.float32)
    y = np.array([[1.0], [2.0]], np.float32)
    want = np.linalg.solve(a.astype(np.float64), y)
    np.testing.assert_allclose(tf.linalg.solve(a, y), want, rtol=1e-5)
    factor = tf.linalg.cholesky(a)
    np.testing.assert_allclose(tf.linalg.cholesky_solve(factor, y), want, rtol=1e-5)
    np.testing.assert_allclose(tf.linalg.inv(a) @ a, np.eye(2), atol=1e-6)
    np.testing.assert_allclose(tf.linalg.det(a), 11.0, rtol=1e-5)
    np.testing.assert_allclose(tf.linalg.logdet(a), np.log(11.0), rtol=1e-5)
    np.testing.assert_allclose(tf.linalg.trace(a), 7.0)
    sign, log = tf.linalg.slogdet(a)
    np.testing.assert_allclose([sign, log], [1.0, np.log(11.0)], rtol=1e-5)
    lower = tf.linalg.triangular_solve(factor, y)
    np.testing.assert_allclose(factor @ lower, y, rtol=1e-5)
    cross = tf.linalg.cross([1.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    assert num(cross) == [0.0, 0.0, 1.0]
    for both in ({"transpose_a": True, "adjoint_a": True},
                 {"transpose_b": True, "adjoint_b": True}):  # fmt: skip
        with pytest.raises(ValueError, match="can be True"):
            tf.matmul(a, a, **both)


def test_norms_that_are_held_down() -> None:
    assert num(tf.clip_by_norm([3.0, 4.0], 1.0)) == pytest.approx([0.6, 0.8])
    assert num(tf.clip_by_norm([0.3, 0.4], 1.0)) == pytest.approx([0.3, 0.4])
    (g,) = gradients(lambda x: tf.clip_by_norm(x, 1.0))(tf.zeros(2))
    assert np.isfinite(num(g)).all()
    clipped, size = tf.clip_by_global_norm(
        [tf.constant([3.0]), None, tf.constant([4.0])], 1.0
    )
    assert num(size) == 5.0
    assert (num(clipped[0]), clipped[1]) == (pytest.approx([0.6]), None)
    assert num(tf.linalg.global_norm([None])) == 0.0


def test_losses() -> None:
    logits = tf.constant([[1.0, 2.0, -1.0]])
    log = X[0] * 0 + np.log(np.exp([1.0, 2.0, -1.0]) / np.exp([1.0, 2.0, -1.0]).sum())
    dense = tf.nn.softmax_cross_entropy_with_logits([[0.0, 1.0, 0.0]], logits)
    sparse = tf.nn.sparse_softmax_cross_entropy_with_logits([1], logits)
    np.testing.assert_allclose(dense, [-log[1]], rtol=1e-6)
    np.testing.assert_allclose(sparse, dense)
    binary = tf.nn.sigmoid_cross_entropy_with_logits(
        [1.0, 0.0], tf.constant([0.5, 0.5])
    )
    np.testing.assert_allclose(binary, np.log1p(np.exp([-0.5, 0.5])), rtol=1e-6)
    np.testing.assert_allclose(tf.nn.log_softmax(logits), [log], rtol=1e-6)


def test_normalising_a_batch() -> None:
    x = tf.constant(X)
    mean, variance = tf.nn.moments(x, 0)
    made = tf.nn.batch_normalization(x, mean, variance, 1.0, 2.0, 0.0)
    want = (X - X.mean(0)) / X.std(0) * 2 + 1
    np.testing.assert_allclose(made, want, rtol=1e-5)
    plain = tf.nn.batch_normalization(x, mean, variance, None, None, 0.0)
    np.testing.assert_allclose(plain, (want - 1) / 2, rtol=1e-5, atol=1e-6)


def test_other_errors() -> None:
    x = tf.constant(X)
    cases: list[tuple[type[Exception], str, Callable[[], Any]]] = [
        (ValueError, "shape axis 0 must equal 3", lambda: tf.unstack(x, 3)),
        (ValueError, "x and y must both be", lambda: tf.where([True], x)),
        (ValueError, "one of 'CONSTANT'", lambda: tf.pad(x, [[0, 0]] * 2, "WRAP")),
        (ValueError, "iterable of at least one", lambda: tf.add_n([])),
        (ValueError, "coeffs must be list", lambda: tf.math.polyval((1.0,), x)),
        (ValueError, "batch_dims other than 0",
         lambda: tf.gather(x, [0], batch_dims=1)),
        (ValueError, "batch_dims other", lambda: tf.gather_nd(x, [[0]], batch_dims=1)),
        (ValueError, "`rate` must be a scalar", lambda: tf.nn.dropout(x, 1.5)),
        (ValueError, "max_norm is not", lambda: tf.nn.embedding_lookup(x, [0], 1.0)),
        (ValueError, "must be at least three-dim",
         lambda: tf.image.adjust_contrast(x, 1.0)),
        (TypeError, "'true_fn' must be callable", lambda: tf.cond(True, 1, 2)),
        (TypeError, "'false_fn' must be", lambda: tf.cond(True, lambda: 1, 2)),
        (ValueError, "no predicate holds", lambda: tf.case([(False, lambda: 1)])),
        (TypeError, "'cond' must be", lambda: tf.while_loop(1, lambda: 1, [1])),
        (TypeError, "'body' must be", lambda: tf.while_loop(lambda: 1, 1, [1])),
        (ValueError, "'loop_vars' must", lambda: tf.while_loop(abs, abs, [])),
        (tf.errors.InvalidArgumentError, "ConcatV2 as input #1", lambda: tf.concat(
            [x, tf.constant([[1]])], 0)),
    ]  # fmt: skip
    for kind, text, call in cases:
        with pytest.raises(kind, match=text):
            call()


def test_an_index_outside_its_axis() -> None:
    made = tf.gather(tf.constant(X), [5])
    with pytest.raises(IndexError, match="5"):
        made.numpy()


def test_branches_and_loops() -> None:
    assert (
        num(tf.case([(tf.constant(False), lambda: 1.0), (True, lambda: tf.ones(()))]))
        == 1.0
    )
    assert tf.case([(False, lambda: 1)], default=lambda: 7) == 7
    fns = [lambda: tf.zeros(()), lambda: tf.ones(())]
    assert [num(tf.switch_case(tf.constant(k), fns)) for k in (0, 1, 5)] == [
        0.0,
        1.0,
        1.0,
    ]
    (total,) = tf.while_loop(lambda t: t < 100, lambda t: t * 2, [tf.constant(1)])
    assert num(total) == 128
    (few,) = tf.while_loop(lambda t: True, lambda t: [t + 1], [0], maximum_iterations=3)
    assert num(few) == 3


def test_scatters() -> None:
    x = tf.zeros((3,))
    assert num(tf.tensor_scatter_nd_update(x, [[1]], [5.0])) == [0.0, 5.0, 0.0]
    assert num(tf.tensor_scatter_nd_add(x, [[1], [1]], [5.0, 1.0])) == [0.0, 6.0, 0.0]


def test_dropout_scales_what_it_keeps() -> None:
    kept = np.asarray(tf.nn.dropout(tf.ones(1000), 0.25, seed=5))
    assert set(np.unique(kept)) == {np.float32(0.0), np.float32(4 / 3)}
    assert 600 < (kept > 0).sum() < 900
    x = tf.ones(3)
    assert tf.nn.dropout(x, 0) is x
    assert num(tf.nn.zero_fraction([0.0, 1.0])) == 0.5
