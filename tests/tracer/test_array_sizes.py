"""Array functions with named sizes: one program for every size."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
import pytest
from test_array_functions import same

# What graphs mean is tested op by op. So one way to run them is enough here.
pytestmark = pytest.mark.parametrize("compiler", ["native"], indirect=True)

Call = tuple[Callable[..., Any], dict[str, str]]

# name -> function, shapes of its arguments; n and m are named
CALLS: dict[str, Call] = {
    "prod": (lambda x: np.prod(x, axis=0), {"x": "n,3"}),
    "prod all": (lambda x: np.prod(x), {"x": "n,3"}),
    "cumsum": (lambda x: np.cumsum(x, axis=0), {"x": "n,3"}),
    "cumsum last": (lambda x: np.cumsum(x, axis=1), {"x": "3,n"}),
    "cumprod": (lambda x: np.cumprod(x), {"x": "n"}),
    "any": (lambda x: np.any(x > 1.0, axis=1), {"x": "n,3"}),
    "all": (lambda x: np.all(x), {"x": "n"}),
    "count_nonzero": (lambda x: np.count_nonzero(x > 0), {"x": "n"}),
    "var": (lambda x: np.var(x, axis=1, ddof=1), {"x": "n,3"}),
    "norm": (lambda x: np.linalg.norm(x, axis=1), {"x": "n,3"}),
    "average": (lambda x, w: np.average(x, 0, w), {"x": "3,n", "w": "3"}),
    "einsum": (lambda x, y: np.einsum("ij,kj->ik", x, y), {"x": "n,m", "y": "3,m"}),
    "einsum diagonal": (lambda x: np.einsum("ii->i", x), {"x": "n,n"}),
    "einsum three": (
        lambda x, y: np.einsum("ij,jk,i->k", x, y, x[:, 0]),
        {"x": "n,4", "y": "4,m"},
    ),
    "trace": (lambda x: np.trace(x), {"x": "n,n"}),
    "diagonal": (lambda x: np.diagonal(x, 1), {"x": "n,m"}),
    "diag": (lambda x: np.diag(x, 1), {"x": "n"}),
    "tril": (lambda x: np.tril(x, -1) + np.triu(x, 2), {"x": "n,m"}),
    "kron": (lambda x: np.kron(x, np.ones((2, 1))), {"x": "n,3"}),
    "cross": (lambda x: np.cross(x, x[:, ::-1]), {"x": "n,3"}),
    "outer": (lambda x: np.multiply.outer(x, x), {"x": "n"}),
    "split": (lambda x: np.split(np.tile(x, 2), 2), {"x": "n"}),
    "array_split": (lambda x: np.array_split(x, 3), {"x": "n"}),
    "repeat": (lambda x: np.repeat(x, 3, axis=0), {"x": "n,2"}),
    "tile": (lambda x: np.tile(x, (2, 2)), {"x": "n,2"}),
    "flip": (lambda x: np.flipud(x), {"x": "n,2"}),
    "roll": (lambda x: np.roll(x, -3), {"x": "n"}),
    "roll axis": (lambda x: np.roll(x, 1, axis=1), {"x": "2,n"}),
    "rot90": (lambda x: np.rot90(x), {"x": "n,m"}),
    "pad": (lambda x: np.pad(x, ((1, 2), (0, 1)), constant_values=5.0), {"x": "n,2"}),
    "diff": (lambda x: np.diff(x), {"x": "n"}),
    "meshgrid": (lambda x, y: np.meshgrid(x, y), {"x": "n", "y": "m"}),
    "vander": (lambda x: np.vander(x, 3), {"x": "n"}),
    "polyval": (lambda x: np.polyval([1.0, 2.0, 3.0], x), {"x": "n"}),
    "take_along_axis": (
        lambda x: np.take_along_axis(x, (x > 1.0).astype(int), 1),
        {"x": "n,3"},
    ),
    "several integer arrays": (
        lambda x, y: x[[0, -1, 1], [1, 0, 1]] + y,
        {"x": "n,2", "y": "3"},
    ),
    "column_stack": (lambda x: np.column_stack([x, x * 2.0]), {"x": "n"}),
    "softmax": (lambda x: softmax(x), {"x": "n,3"}),
}
NEEDS_ELEMENTS = {"several integer arrays"}


def softmax(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        raised = np.exp(x - x.max(axis=-1, keepdims=True))
        return raised / raised.sum(axis=-1, keepdims=True)
    return pb.nn.softmax(x)


def arrays_of(shapes: dict[str, str], n: int, m: int) -> list[Any]:
    rng = np.random.default_rng(n + 10 * m)
    sizes: dict[str, Any] = {"n": n, "m": m}
    return [
        rng.uniform(0.5, 1.8, [int(sizes.get(d, d)) for d in text.split(",")])
        for text in shapes.values()
    ]


@pytest.mark.filterwarnings("ignore:invalid value", "ignore:Degrees of freedom")
@pytest.mark.parametrize("name", CALLS)
def test_one_program_for_every_size(name: str, compiler: Any) -> None:
    call, shapes = CALLS[name]
    f = pb.function(call, shapes=shapes)
    for n, m in ((2, 3), (5, 2), (17, 0), (0, 4)):
        if n == 0 and name in NEEDS_ELEMENTS:
            continue
        args = arrays_of(shapes, n, m)
        same(f(*args), call(*args))
    assert compiler.made == 1


GRADIENTS = [
    "prod", "cumsum", "cumprod", "einsum diagonal", "diagonal", "diag", "tril",
    "repeat", "roll", "pad", "meshgrid", "take_along_axis", "array_split", "softmax",
]  # fmt: skip


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_with_named_sizes(name: str) -> None:
    call, shapes = CALLS[name]

    def squares(*args: Any) -> Any:
        made = call(*args)
        parts = made if isinstance(made, (list, tuple)) else [made]
        return sum(np.sum(part * part) for part in parts)

    def one(x: Any) -> Any:
        return squares(x)

    def two(x: Any, y: Any) -> Any:
        return squares(x, y)

    f = one if len(shapes) == 1 else two
    named, plain = pb.grad(f, shapes=shapes), pb.grad(f)
    for n, m in ((2, 3), (7, 4), (0, 2)):
        args = arrays_of(shapes, n, m)
        if n:
            same(named(*args), plain(*args))
        else:
            assert named(*args).shape == args[0].shape


def test_creation_from_named_sizes() -> None:
    def made(x: Any) -> Any:
        n = x.shape[0]
        return (
            pb.eye(n) + pb.tri(n, k=-1) + pb.identity(n),
            pb.eye(n, n + 2, k=1, dtype=int),
            pb.arange(n),
            pb.arange(1, n * 2, 3),
            pb.arange(n, -2, -2, dtype=float),
            pb.indices((n, 2)),
            pb.one_hot(pb.arange(n), n),
        )

    f = pb.function(made, shapes={"x": "n"})
    for n in (0, 2, 5):
        same(
            f(np.zeros(n)),
            (
                2.0 * np.eye(n) + np.tri(n, k=-1),
                np.eye(n, n + 2, 1, int),
                np.arange(n),
                np.arange(1, 2 * n, 3),
                np.arange(n, -2, -2, dtype=float),
                np.indices((n, 2)),
                np.eye(n),
            ),
        )
