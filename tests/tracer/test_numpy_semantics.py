"""Every function against NumPy, with NumPy's own names, on the same arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
import pytest

RNG = np.random.default_rng(5)
A = RNG.uniform(0.5, 2.0, (3, 4))
B = RNG.uniform(0.5, 2.0, (3, 4))
T = RNG.uniform(0.5, 2.0, (2, 3, 4))
V = RNG.uniform(0.5, 2.0, 4)
M = RNG.uniform(0.5, 2.0, (4, 3))
I = np.array([[0, 2], [1, -1]])  # noqa: E741 - an index
S = np.float32(1.5)

CALLS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "mean": (lambda x: np.mean(x), (A,)),
    "mean axis": (lambda x: np.mean(x, 1), (A,)),
    "mean keepdims": (lambda x: np.mean(x, (0, 2), keepdims=True), (T,)),
    "mean of integers": (lambda x: np.mean(x), (I,)),
    "method mean": (lambda x: x.mean(axis=-1), (T,)),
    "sum": (lambda x: np.sum(x, axis=(0, -1)), (T,)),
    "sum of bool": (lambda x: np.sum(x > 1.0, axis=0), (A,)),
    "sum keepdims": (lambda x: x.sum(1, keepdims=True), (A,)),
    "sum dtype": (lambda x: np.sum(x, dtype=np.float32), (A,)),
    "add.reduce": (lambda x: np.add.reduce(x), (A,)),
    "maximum.reduce": (lambda x: np.maximum.reduce(x, axis=1), (A,)),
    "logaddexp.reduce": (lambda x: np.logaddexp.reduce(x, axis=1), (A,)),
    "max": (lambda x: np.max(x, axis=1, keepdims=True), (A,)),
    "amin": (lambda x: np.amin(x, axis=-1), (A,)),
    "var": (lambda x: np.var(x, axis=0, ddof=1), (A,)),
    "std": (lambda x: np.std(x), (A,)),
    "norm": (lambda x: np.linalg.norm(x), (V,)),
    "norm axis": (lambda x: np.linalg.norm(x, axis=1, keepdims=True), (A,)),
    "norm 1": (lambda x: np.linalg.norm(x, 1), (V,)),
    "norm inf": (lambda x: np.linalg.norm(x, np.inf), (V,)),
    "clip": (lambda x: np.clip(x, 0.8, 1.5), (A,)),
    "clip below": (lambda x: x.clip(None, 1.5), (A,)),
    "logaddexp": (lambda x, y: np.logaddexp(x, y), (A, B)),
    "reciprocal": (lambda x: np.reciprocal(x), (A,)),
    "positive": (lambda x: +x, (A,)),
    "power": (lambda x, y: np.power(x, y), (A, B)),
    "power 2": (lambda x: x**2, (A,)),
    "power 3": (lambda x: x**3, (A,)),
    "power -2": (lambda x: x**-2, (A,)),
    "power 0": (lambda x: x**0, (A,)),
    "power half": (lambda x: x**0.5, (A,)),
    "power 2.5": (lambda x: x**2.5, (A,)),
    "power of integers": (lambda x: x**3, (I,)),
    "power 2.0 of integers": (lambda x: x**2.0, (I,)),
    "rpow": (lambda x: 2.0**x, (A,)),
    "isinf": (lambda x: np.isinf(x / 0.0 * (x > 1)), (A,)),
    "where": (lambda x, y: np.where(x > y, x, 0), (A, B)),
    "where broadcast": (lambda x, v: np.where(v > 1, x, v), (A, V)),
    "where of numbers": (lambda x: np.where(x, 1, 2), (I,)),
    "astype": (lambda x: (x * 3).astype(np.int64), (A,)),
    "weak scalar": (lambda x: x * 2 + 1.5, (A.astype(np.float32),)),
    "strong scalar": (lambda x: x * np.float64(2), (A.astype(np.float32),)),
    "mixed": (lambda x, y: x + y, (A.astype(np.float32), I[:1, :1])),
    "broadcast": (lambda x, v: x * v - v, (A, V)),
    "list operand": (lambda x: x * [1.0, 2.0, 3.0, 4.0], (A,)),
    "array minus": (lambda x: V - x, (A,)),
    "array times": (lambda x: V * x, (A,)),
    "compare": (lambda x, y: (x < y) | (x == y) & ~(x != y), (A, B)),
    "floor divide": (lambda x: x // 3 + x % 3, (I,)),
    "abs": (lambda x: abs(-x) + np.abs(x), (A,)),
    "matmul": (lambda x, y: x @ y, (A, M)),
    "matmul vector": (lambda x, y: x @ y, (A, V)),
    "matmul batch": (lambda x, y: x @ y, (T, M)),
    "rmatmul list": (lambda y: [[1.0, 2.0, 3.0]] @ y, (A,)),
    "rmatmul array": (lambda y: A @ y, (M,)),
    "dot": (lambda x, y: np.dot(x, y), (A, M)),
    "dot scalar": (lambda x: np.dot(x, 2.0), (A,)),
    "dot deep": (lambda x, y: x.dot(y), (T, RNG.normal(size=(2, 4, 3)))),
    "inner": (lambda x, y: np.inner(x, y), (A, B)),
    "outer": (lambda x, y: np.outer(x, y), (V, A)),
    "vdot": (lambda x, y: np.vdot(x, y), (A, B)),
    "tensordot": (lambda x, y: np.tensordot(x, y, axes=([1, 0], [1, 0])), (A, B)),
    "tensordot 1": (lambda x, y: np.tensordot(x, y, 1), (A, M)),
    "einsum": (lambda x, y: np.einsum("ij,jk->ki", x, y), (A, M)),
    "einsum implicit": (lambda x, y: np.einsum("ij,jk", x, y), (A, M)),
    "einsum sum": (lambda x: np.einsum("ijk->k", x), (T,)),
    "einsum three": (lambda x, y, v: np.einsum("ij,jk,j->", x, y, v), (A, M, V)),
    "reshape": (lambda x: np.reshape(x, (2, -1)), (A,)),
    "method reshape": (lambda x: x.reshape(4, 3), (A,)),
    "ravel": (lambda x: np.ravel(x), (A,)),
    "flatten": (lambda x: x.flatten(), (T,)),
    "transpose": (lambda x: np.transpose(x, (2, 0, 1)), (T,)),
    "method transpose": (lambda x: x.transpose(1, 0, 2), (T,)),
    "T": (lambda x: x.T, (T,)),
    "swapaxes": (lambda x: np.swapaxes(x, 0, -1), (T,)),
    "moveaxis": (lambda x: np.moveaxis(x, 0, -1), (T,)),
    "moveaxis several": (lambda x: np.moveaxis(x, [0, 1], [2, 0]), (T,)),
    "expand_dims": (lambda x: np.expand_dims(x, (0, 2)), (A,)),
    "squeeze": (lambda x: np.squeeze(x[:, None]), (V,)),
    "broadcast_to": (lambda x: np.broadcast_to(x, (3, 4)), (V,)),
    "concatenate": (lambda x, y: np.concatenate([x, y, x], axis=1), (A, B)),
    "concatenate flat": (lambda x, y: np.concatenate((x, y), axis=None), (A, V)),
    "stack": (lambda x, y: np.stack([x, y], axis=-1), (A, B)),
    "stack numbers": (lambda x: np.stack([x[0], 2 * x[1]]), (V,)),
    "hstack": (lambda x, y: np.hstack([x, y]), (A, B)),
    "hstack vectors": (lambda x: np.hstack([x, x]), (V,)),
    "vstack": (lambda x, v: np.vstack([x, v]), (A, V)),
    "flip": (lambda x: np.flip(x, 0), (A,)),
    "roll": (lambda x: np.roll(x, 1, axis=1), (A,)),
    "roll flat": (lambda x: np.roll(x, -2), (A,)),
    "split": (lambda x: np.split(x, 2, axis=1), (A,)),
    "split at": (lambda x: np.split(x, [1, 3]), (V,)),
    "diff": (lambda x: np.diff(x, axis=0), (A,)),
    "tile": (lambda x: np.tile(x, (2, 3)), (V,)),
    "take": (lambda x: np.take(x, [0, -1], axis=1), (A,)),
    "tril": (lambda x: np.tril(x), (A,)),
    "triu": (lambda x: np.triu(x, 1), (A,)),
    "zeros_like": (lambda x: np.zeros_like(x) + np.ones_like(x), (A,)),
    "full_like": (lambda x: np.full_like(x, 3.0), (A,)),
    "shape": (lambda x: x * np.shape(x)[0] + np.ndim(x) + np.size(x), (A,)),
    "len and iter": (lambda x: sum(row * k for k, row in enumerate(x)) / len(x), (A,)),
    "unpack": (lambda x: (lambda a, b, c: a + b * c)(*x), (A,)),
    "python sum": (lambda x: sum(x), (V,)),
}  # fmt: skip

INDEXES: dict[str, Any] = {
    "integer": 1,
    "negative": -1,
    "pair": (0, -1),
    "slice": slice(1, 3),
    "step": slice(None, None, 2),
    "reverse": slice(None, None, -1),
    "reverse part": (slice(None), slice(-1, 0, -2)),
    "beyond": slice(-9, 9),
    "empty": slice(2, 1),
    "ellipsis": (..., 0),
    "ellipsis alone": ...,
    "newaxis": (None, slice(1, None), None, 0),
    "array": (np.array([0, 1, 1]),),
    "array second": (slice(None), np.array([2, 0])),
    "array deep": (slice(None), I),
    "list": ([1, 0],),
    "two arrays": (np.array([0, 1]), np.array([2, 0])),
    "broadcast arrays": (slice(None), np.array([[0], [2]]), np.array([1, -1])),
    "apart": (np.array([0, 1]), slice(None), np.array([3, 0])),
    "array and integer": (0, slice(None), np.array([3, 0])),
    "integer and array": (slice(1), 1, np.array([3, 0])),
    "array and newaxis": (np.array([0, 1]), None, slice(None), np.array([3, 0])),
    "slice and array": (slice(None, None, -1), np.array([1, 2]), slice(1, 3)),
    "empty list": ([],),
}


def same(got: Any, wanted: Any) -> None:
    if isinstance(wanted, (list, tuple)):
        assert len(got) == len(wanted)
        for g, w in zip(got, wanted, strict=True):
            same(g, w)
        return
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-12)


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("name", CALLS)
def test_function_means_what_numpy_means(name: str) -> None:
    call, args = CALLS[name]
    same(pb.function(call)(*args), call(*args))


@pytest.mark.parametrize("name", INDEXES)
def test_index_means_what_numpy_means(name: str) -> None:
    index = INDEXES[name]
    same(pb.function(lambda x: x[index])(T), T[index])


@pytest.mark.parametrize("name", ["array", "array deep", "two arrays", "apart"])
def test_index_arrays_may_be_traced(name: str) -> None:
    index = INDEXES[name]
    arrays = [i for i in index if isinstance(i, np.ndarray)]

    @pb.function
    def read(x: Any, given: Any) -> Any:
        left = iter(given)
        return x[tuple(next(left) if isinstance(i, np.ndarray) else i for i in index)]

    same(read(T, arrays), T[index])


def test_traced_integer_reads_one_element() -> None:
    read = pb.function(lambda x, i: x[i])
    same(read(V, 2), V[2])
    same(read(V, -1), V[-1])


@pytest.mark.parametrize(
    "name",
    ["mean axis", "max", "norm", "clip", "where", "matmul batch", "concatenate",
     "hstack vectors", "take", "power 3", "logaddexp", "einsum"],
)  # fmt: skip
def test_tensors_have_the_same_functions(name: str) -> None:
    call, args = CALLS[name]

    class Names:
        linalg = type("linalg", (), {"norm": staticmethod(pb.norm)})

        def __getattr__(self, n: str) -> Any:
            return getattr(pb, n)

    code = call.__code__
    moved = type(call)(code, {**call.__globals__, "np": Names()}, "moved")
    if "clip" in name:
        moved = lambda x: pb.clip(x, 0.8, 1.5)  # noqa: E731
    same(moved(*[pb.constant(a) for a in args]).numpy(), call(*args))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_logsumexp_is_stable(shape: tuple[int, ...]) -> None:
    x = np.full(shape, 1000.0)
    wanted = 1000.0 + np.log(max(x.size, 1))
    same(pb.function(pb.logsumexp)(x), wanted)


def test_logsumexp_of_infinities() -> None:
    f = pb.function(lambda x: pb.logsumexp(x, axis=0))
    with np.errstate(divide="ignore"):
        assert f(np.array([-np.inf, -np.inf])) == -np.inf
    assert f(np.array([np.inf, 0.0])) == np.inf
    same(f(np.array([-np.inf, 2.0])), 2.0)


def test_logaddexp_of_equal_infinities() -> None:
    f = pb.function(np.logaddexp)
    assert f(-np.inf, -np.inf) == -np.inf
    assert f(np.inf, np.inf) == np.inf


def test_logaddexp_is_smooth_where_both_are_equal() -> None:
    f = pb.grad(np.logaddexp, argnums=(0, 1))
    assert f(0.0, 0.0) == f(7.0, 7.0) == (0.5, 0.5)
    second = pb.grad(lambda x, y: f(x, y)[0], argnums=(0, 1))
    assert second(0.0, 0.0) == (0.25, -0.25)


def test_sigmoid_softplus_relu() -> None:
    x = np.array([-800.0, 0.0, 800.0])
    same(pb.sigmoid(x).numpy(), [0.0, 0.5, 1.0])
    same(pb.softplus(x).numpy(), [0.0, np.log(2.0), 800.0])
    same(pb.relu(x).numpy(), [0.0, 0.0, 800.0])


def test_creation() -> None:
    same(pb.zeros((2, 3)).numpy(), np.zeros((2, 3)))
    same(pb.ones(3, dtype=np.float32).numpy(), np.ones(3, np.float32))
    same(pb.full((2,), 7).numpy(), np.full((2,), 7))
    same(pb.eye(3).numpy(), np.eye(3))
    same(pb.arange(4).numpy(), np.arange(4))
    same(pb.linspace(0.0, 1.0, 5).numpy(), np.linspace(0.0, 1.0, 5))
    same(pb.array([1, 2.5]).numpy(), np.array([1, 2.5]))


def test_every_public_name_is_exported_and_documented() -> None:
    for name in pb.__all__:
        assert getattr(pb, name).__doc__, name
    assert set(pb.__all__) <= set(dir(pb))
    with pytest.raises(
        AttributeError, match="module 'pullback' has no attribute 'nix'"
    ):
        pb.nix  # noqa: B018 - the lookup is the test


@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
def test_a_reduction_of_no_axis_leaves_elements(name: str) -> None:
    x = np.array([[-0.0, 2.0, 3.0]])
    reduce = getattr(np, name)
    got = pb.function(lambda x: reduce(x, axis=()))(x)
    wanted = reduce(x, axis=())
    assert got.tobytes() == wanted.tobytes()
    again = pb.grad(lambda x: np.sum(reduce(x, axis=()) ** 2))(x)
    np.testing.assert_array_equal(again, 2 * x)
