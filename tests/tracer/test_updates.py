"""`x.at[index].set(v)` and its fellows, against NumPy's writes in place."""

from typing import Any

import numpy as np
import pullback as pb
import pytest
from array_calls import A, T, V
from test_array_functions import check_gradient, same

# What graphs mean is tested op by op. So one way to run them is enough here.
pytestmark = pytest.mark.parametrize("compiler", ["native"], indirect=True)

TWICE = np.array([0, 2, 0])

INDEXES: dict[str, Any] = {
    "integer": 1,
    "pair": (0, -1),
    "slice": slice(1, None),
    "steps": (slice(None, None, 2), slice(None, None, -2)),
    "ellipsis": (..., 0),
    "everything": ...,
    "newaxis": (None, slice(0, 2), None, 1),
    "array": TWICE,
    "array second": (slice(None), TWICE),
    "array last": (..., TWICE),
    "arrays": (TWICE, np.array([1, -1, 1])),
    "apart": (np.array([0, 1, 0]), slice(None), np.array([3, 0, 3])),
    "integer and array": (1, slice(None), TWICE),
    "slice and array": (slice(0, 1), np.array([[0], [1]]), np.array([[2, 0]])),
    "array and newaxis": (np.array([1, 0]), None, slice(None), np.array([3, 0])),
    "nothing": np.zeros(0, int),
}
WAYS = {
    "set": None,
    "add": np.add,
    "multiply": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}


def array_of(name: str) -> Any:
    return (
        T
        if name in ("array last", "apart", "integer and array")
        or ("newaxis" in name or name == "slice and array")
        else A
    )


def written(way: str, x: Any, index: Any, v: Any) -> Any:
    """NumPy's write in place, on a copy."""
    out = np.array(x)
    ufunc = WAYS[way]
    if ufunc is None:
        out[index] = v
    else:
        ufunc.at(out, index, v)
    return out


def updates(x: Any, index: Any) -> Any:
    """Distinct numbers for what an index reads; none is twice as far as another."""
    shape = x[index].shape
    count = int(np.prod(shape, dtype=int))
    return (np.arange(count) * 0.37 % 1.9 - 0.613).reshape(shape)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", INDEXES)
def test_update_means_what_numpy_means(name: str, way: str) -> None:
    x, index = array_of(name), INDEXES[name]
    v = updates(x, index)

    def call(x: Any, v: Any) -> Any:
        if isinstance(x, np.ndarray):
            return written(way, x, index, v)
        return getattr(x.at[index], way)(v)

    check_gradient(call, (x, v))


def test_numbers_are_broadcast_and_cast() -> None:
    f = pb.function(lambda x: x.at[1:].set(7).at[0, ::2].add(1))
    wanted = np.array(A)
    wanted[1:] = 7
    wanted[0, ::2] += 1
    same(f(A), wanted)
    same(pb.function(lambda x: x.at[0].max(V))(A), written("max", A, 0, V))
    integers = np.arange(6)
    same(
        pb.function(lambda x: x.at[[1, 1]].add(2))(integers),
        written("add", integers, [1, 1], 2),
    )
    flags = np.array([True, False, True])
    same(pb.function(lambda x: x.at[0].set(False))(flags), [False, False, True])
    same(pb.function(lambda x: x.at[[2, 0]].set(False))(flags), [False, False, False])


def test_subtract_divide_and_get() -> None:
    f = pb.function(lambda x: x.at[1].subtract(2.0).at[[0, 0]].divide(2.0))
    wanted = np.array(A)
    wanted[1] -= 2.0
    wanted[0] /= 4.0
    same(f(A), wanted)
    same(pb.function(lambda x: x.at[1, 2].get())(A), A[1, 2])


def test_a_mask_chooses_what_is_updated() -> None:
    def call(x: Any) -> Any:
        if isinstance(x, np.ndarray):
            return np.where(x > 0.2, 0.5, x)
        return x.at[x > 0.2].set(0.5)

    same(pb.function(call)(A), call(A))
    check_gradient(call, (A,))
    rows = np.array([True, False, True])
    f = pb.function(lambda x, m: x.at[m].multiply(V))
    same(f(A, rows), np.where(rows[:, None], A * V, A))


def test_traced_integers_and_named_sizes() -> None:
    shapes = {"x": "n,3", "i": "m", "v": "m,3"}
    f = pb.function(lambda x, i, v: x.at[i].add(v), shapes=shapes)
    for n, m in ((0, 0), (2, 5), (5, 2), (3, 0)):
        x = np.arange(n * 3.0).reshape(n, 3)
        i, v = np.zeros(m, int), np.ones((m, 3))
        same(f(x, i, v), written("add", x, i, v))


def test_the_last_of_several_has_the_gradient() -> None:
    f = pb.grad(lambda v: pb.sum(pb.zeros(2).at[np.array([1, 1, 1])].set(v) * 3.0))
    same(f(np.ones(3)), [0.0, 0.0, 3.0])


def test_multiplying_by_zeros_has_an_exact_gradient() -> None:
    def f(v: Any) -> Any:
        return pb.sum(pb.full(1, 2.0).at[np.array([0, 0, 0])].multiply(v))

    same(pb.grad(f)(np.array([0.0, 3.0, 5.0])), [30.0, 0.0, 0.0])
    same(pb.grad(f)(np.array([0.0, 0.0, 5.0])), [0.0, 0.0, 0.0])


def test_tensors_are_updated_too() -> None:
    x, v = pb.constant(A), pb.constant(V)
    with pb.GradientTape() as tape:
        tape.watch(x)
        tape.watch(v)
        y = x.at[1].set(v * 2.0)
        z = pb.sum(y * y)
    same(y.numpy(), written("set", A, 1, V * 2.0))
    gx, gv = tape.gradient(z, [x, v])
    same(gx.numpy(), 2.0 * written("set", A, 1, 0.0))
    same(gv.numpy(), 8.0 * V)


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda x: x.at[0].set(np.ones(3)), "at: shapes do not broadcast: 4 and 3"),
        (lambda x: x.at[0, 0].set(np.ones(2)), "at: f64[2] does not broadcast to"),
        (lambda x: x.at[x > 0].set(np.ones(4)), "at: a mask bool[3,4] of f64[3,4]"),
        (lambda x: x.at[1.5].set(0), "indexing: 1.5 is no index"),
        (lambda x: x.at[0, 0, 0].set(0), "indexing: 3 indices for 2 axes"),
    ],
)
def test_an_update_that_does_not_fit(use: Any, text: str) -> None:
    with pytest.raises(pb.OpTypeError) as caught:
        pb.function(use)(A)
    assert str(caught.value).startswith(text)
    assert "traced at:" in str(caught.value)


def test_an_index_outside_raises() -> None:
    with pytest.raises(pb.IndexOutOfRange, match="index 3 is out of range for axis 0"):
        pb.function(lambda x: x.at[3].set(0.0))(A)
    f = pb.function(lambda x, i: x.at[i].set(0.0))
    with pytest.raises(pb.IndexOutOfRange, match="index 7 is out of range for axis 0"):
        f(A, np.array([0, 7]))
