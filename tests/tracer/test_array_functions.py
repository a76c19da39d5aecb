"""NumPy's array functions: values as NumPy's, gradients as central differences."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pullback as pb
import pytest
from array_calls import EXACT, SMOOTH

# What graphs mean is tested op by op. So one way to run them is enough here.
natively = pytest.mark.parametrize("compiler", ["native"], indirect=True)
interpreted = pytest.mark.parametrize("compiler", ["interpreted"], indirect=True)

STEP = 1e-6


def same(got: Any, wanted: Any) -> None:
    if isinstance(wanted, (list, tuple)):
        assert len(got) == len(wanted)
        for g, w in zip(got, wanted, strict=True):
            same(g, w)
        return
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    tight = 1e-5 if wanted.dtype == np.float32 else 1e-11
    np.testing.assert_allclose(got, wanted, rtol=tight, atol=tight)


def weighted(call: Callable[..., Any]) -> Callable[..., Any]:
    """A scalar from the floats of a result; each has a weight of its own."""

    def scalar(*args: Any) -> Any:
        total: Any = 0.0
        for k, part in enumerate(_listed(call(*args))):
            shape = np.shape(part)
            count = int(np.prod(shape, dtype=int))
            # the weights depend on the shape, so that another one is noticed
            weights = np.cos(np.arange(count) * 1.7 + len(shape) + k).reshape(shape)
            total = total + np.sum(part * (weights + 0.3))
        return total

    return scalar


def check_gradient(call: Callable[..., Any], args: Sequence[Any]) -> None:
    """Compare the gradient with central differences in one direction."""
    scalar = weighted(call)
    value, gradients = pb.value_and_grad(scalar, argnums=tuple(range(len(args))))(*args)
    np.testing.assert_allclose(value, scalar(*args), rtol=1e-10, atol=1e-10)
    rng = np.random.default_rng(3)
    moves = [rng.standard_normal(np.shape(x)) for x in args]
    ends = [
        scalar(*[x + by * m for x, m in zip(args, moves, strict=True)])
        for by in (STEP, -STEP)
    ]
    expected = (ends[0] - ends[1]) / (2 * STEP)
    got = sum(float(np.sum(g * m)) for g, m in zip(gradients, moves, strict=True))
    size = sum(
        float(np.sum(np.abs(g * m))) for g, m in zip(gradients, moves, strict=True)
    )
    assert abs(got - expected) <= 1e-6 * (size + 1), (got, expected)


@natively
@pytest.mark.parametrize("name", SMOOTH)
def test_value_and_gradient(name: str) -> None:
    check_gradient(*SMOOTH[name])


@natively
@pytest.mark.filterwarnings("ignore:invalid value", "ignore:Degrees of freedom")
@pytest.mark.parametrize("name", EXACT)
def test_value(name: str) -> None:
    call, args = EXACT[name]
    same(pb.function(call)(*args), call(*args))


class Names:
    """NumPy's names, found in pullback: for tensors, which NumPy does not dispatch."""

    linalg = pb.linalg
    inf = np.inf

    def __getattr__(self, name: str) -> Any:
        found = getattr(pb, name, None)
        return getattr(np, name) if found is None or name in HELPERS else found


# what the calls use of NumPy to make arguments
HELPERS = {"array", "arange", "linspace", "uint8", "float32"}
# methods that tensors lack on purpose, and operands a tensor has no part in
TRACED_ONLY = ("method", "add.accumulate", "multiply.reduce", "multiply.outer")


@interpreted
@pytest.mark.parametrize(
    "name", [name for name in SMOOTH if not name.startswith(TRACED_ONLY)]
)
def test_tensors_have_the_same_functions(name: str) -> None:
    call, args = SMOOTH[name]
    code: Any = call.__code__
    moved = type(call)(code, {**call.__globals__, "np": Names()}, "moved")
    tensors = [pb.constant(x) for x in args]
    with pb.GradientTape() as tape:
        for x in tensors:
            tape.watch(x)
        made = moved(*tensors)
        parts = made if isinstance(made, (list, tuple)) else [made]
        total = sum((pb.sum(part * part) for part in parts), pb.constant(0.0))
    same(
        [part.numpy() for part in parts], [np.asarray(p) for p in _listed(call(*args))]
    )

    def squares(*args: Any) -> Any:
        return sum(np.sum(part * part) for part in _listed(call(*args)))

    wanted = pb.grad(squares, argnums=tuple(range(len(args))))(*args)
    for got, want in zip(tape.gradient(total, tensors), wanted, strict=True):
        same(got.numpy(), want)


def _listed(made: Any) -> Any:
    return made if isinstance(made, (list, tuple)) else [made]


@interpreted
@pytest.mark.parametrize("seed", range(40))
def test_random_sums_of_products(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = {c: int(rng.integers(1, 4)) for c in "abcd"}
    parts = ["".join(rng.choice(list("abcd"), rng.integers(0, 4))) for _ in range(4)]
    parts = parts[: rng.integers(1, 5)]
    used = sorted(set("".join(parts)))
    out = "".join(rng.permutation(used)[: rng.integers(0, len(used) + 1)])
    text = ",".join(parts) + ("->" + out if seed % 4 else "")
    arrays = [rng.standard_normal([sizes[c] for c in part]) for part in parts]
    same(
        pb.function(lambda *xs: np.einsum(text, *xs))(*arrays), np.einsum(text, *arrays)
    )


@natively
def test_products_with_zeros_have_exact_gradients() -> None:
    f = pb.grad(lambda x: np.prod(x))
    same(f(np.array([2.0, 0.0, 3.0])), [0.0, 6.0, 0.0])
    same(f(np.array([0.0, 0.0, 3.0])), [0.0, 0.0, 0.0])
    second = pb.grad(lambda x: np.sum(f(x) * np.array([1.0, 0.0, 0.0])))
    same(second(np.array([2.0, 0.0, 3.0])), [0.0, 3.0, 0.0])
    running = pb.grad(lambda x: np.sum(np.cumprod(x)))
    same(running(np.array([2.0, 0.0, 3.0, 4.0])), [1.0, 2.0 + 6.0 + 24.0, 0.0, 0.0])


@natively
def test_norms_of_zeros_have_gradient_zero() -> None:
    for ord in (None, 2, 3, 1):
        f = pb.grad(lambda x, ord=ord: np.linalg.norm(x, ord))
        same(f(np.zeros(3)), np.zeros(3))
    same(pb.grad(lambda x: np.linalg.norm(x))(np.zeros((2, 2))), np.zeros((2, 2)))


@natively
def test_places_and_questions_have_no_gradient() -> None:
    f = pb.grad(lambda x: np.sum(x * np.argmax(x)) + np.sum(x * np.any(x > 1.0)))
    same(f(np.array([0.5, 3.0])), [2.0, 2.0])


@natively
def test_recurrence_is_linear_along_an_axis() -> None:
    a, x = np.array([9.0, 0.5, -2.0, 1.0]), np.array([1.0, 2.0, 3.0, 4.0])
    same(pb.function(pb.recurrence)(a, x), [1.0, 2.5, -2.0, 2.0])
    same(pb.recurrence(a, x, reverse=True).numpy(), [-3.5, -0.5, -5.0, 4.0])


@interpreted
@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda x: np.pad(x, -1), "pad: widths are integers from 0 on"),
        (lambda x: np.pad(x, 1, mode="mean"), "pad: mode 'mean' is not supported"),
        (lambda x: np.pad(x, 9, mode="reflect"), "pad: mode 'reflect' needs borders"),
        (lambda x: np.repeat(x, -1), "repeat: counts are integers from 0 on"),
        (lambda x: np.repeat(x, [1, 2], axis=0), "repeat: 2 counts for 3 elements"),
        (lambda x: np.einsum("ij,jk->ik", x), "einsum: 'ij,jk->ik' does not fit 1"),
        (lambda x: np.einsum("ijk->i", x), "einsum: 'ijk' does not label each axis"),
        (lambda x: np.einsum("ij->iz", x), "einsum: the result 'iz' repeats a label"),
        (lambda x: np.cross(x, x), "cross: axis 1 of f64[3,4] has not three"),
        (lambda x: np.diag(x[None]), "diag: takes a vector or a matrix"),
        (lambda x: np.trace(x[0]), "diagonal: needs at least two axes"),
        (lambda x: np.linalg.norm(x, 2), "norm: ord=2 of a matrix needs singular"),
        (lambda x: np.convolve(x, x), "convolve: takes vectors"),
        (lambda x: np.take_along_axis(x, x, 0), "take_along_axis: an index has"),
        (lambda x: np.hsplit(x[0, 0], 2), "hsplit: f64[] has fewer than 1 axes"),
        (lambda x: np.split(x, 2), "split: 3 elements do not divide by 2"),
        (lambda x: np.average(x, weights=[1.0, 2.0]), "average: weights f64[2] of"),
        (lambda x: np.argmax(x[:, :0], axis=1), "max: axis 1 is empty"),
        (lambda x: x << 1, "left_shift: takes integers, unsigned integers, not"),
        (lambda x: np.linalg.matrix_power(x, 0), "matrix_power: n is an integer from"),
        (lambda x: np.linalg.multi_dot([x]), "multi_dot: needs at least two arrays"),
        (lambda x: np.cumsum(x, axis=3), "cumsum: axis 3 is out of range for rank 2"),
        (lambda x: np.roll(x, (1, 2)), "roll: several shifts need an axis each"),
        (lambda x: np.rot90(x, 1, (0, 0)), "rot90: axes (0, 0) are the same"),
    ],
)
def test_a_call_that_does_not_fit(use: Callable[..., Any], text: str) -> None:
    with pytest.raises(pb.OpTypeError) as caught:
        pb.function(use)(np.ones((3, 4)))
    assert str(caught.value).startswith(text)
    assert "traced at:" in str(caught.value)
