"""What factorisations mean, by NumPy, and matrices to try them on."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import NotPositiveDefinite, SingularMatrix

Array = np.ndarray[Any, Any]
Shapes = Sequence[tuple[int, ...]]


def _which(matrix: int | None) -> str:
    return "the matrix" if matrix is None else f"matrix {matrix} of the batch"


def not_definite(name: str, minor: int, matrix: int | None) -> NotPositiveDefinite:
    """Return the error of a leading minor, counted from 1; None: there is no batch."""
    return NotPositiveDefinite(
        f"{name}: {_which(matrix)} is not positive definite: "
        f"its leading minor of order {minor} is not positive"
    )


def singular(name: str, pivot: int, matrix: int | None) -> SingularMatrix:
    """Return the error of a pivot, counted from 0; None: there is no batch."""
    return SingularMatrix(f"{name}: {_which(matrix)} is singular: pivot {pivot} is 0")


def cholesky_of(x: Any) -> Any:
    """Return the Cholesky factors of the lower triangles.

    Raises:
        NotPositiveDefinite: a leading minor is not positive, or is not a number.
    """
    if np.size(x) == 0:
        return np.zeros_like(x)
    if _is_definite(x):
        return np.linalg.cholesky(x)
    n = x.shape[-1]
    for matrix, held in enumerate(x.reshape(-1, n, n)):
        for minor in range(1, n + 1):
            if not _is_definite(held[:minor, :minor]):
                raise not_definite("cholesky", minor, matrix if x.ndim > 2 else None)
    raise AssertionError(f"no matrix fails of a batch that does: {x}")


def _is_definite(x: Any) -> bool:
    try:
        return not bool(np.any(np.isnan(np.linalg.cholesky(x))))
    except np.linalg.LinAlgError:
        return False


def _demand_pivots(name: str, diagonal: Any) -> None:
    n = diagonal.shape[-1]
    for matrix, held in enumerate(diagonal.reshape(-1, n)) if n else ():
        if np.any(held == 0):
            pivot = int(np.argmax(held == 0))
            raise singular(name, pivot, matrix if diagonal.ndim > 1 else None)


def _factored_triangle(held: Any) -> bool:
    """Make a triangle its packed factors, if it is one and nothing overflows."""
    if not np.all(np.isfinite(held)):
        return False
    if not np.any(np.tril(held, -1)):
        held += 0.0  # no zero is negative
        return True
    with np.errstate(all="ignore"):
        below = np.tril(held / np.diagonal(held), -1)
        below[np.triu_indices(len(held))] = 0
    if np.any(np.triu(held, 1)) or not np.all(np.isfinite(below)):
        return False
    held[...] = below + np.diag(np.diagonal(held))
    return True


def lu_of(x: Any) -> tuple[Any, ...]:
    """Return packed factors, row exchanges, the order of rows, and its parity.

    A triangle of finite numbers is factored without exchanges.
    """
    packed = np.array(x)
    n = packed.shape[-1]
    pivots = np.zeros(packed.shape[:-1], np.int64)
    order = np.zeros_like(pivots)
    order[...] = np.arange(n)
    sign = np.ones(packed.shape[:-2], packed.dtype)
    for at in np.ndindex(packed.shape[:-2]):
        held = packed[at]
        if n > 1 and _factored_triangle(held):
            pivots[at] = np.arange(n)
            continue
        for k in range(n):
            column = np.abs(held[k:, k])
            p = k + int(np.argmax(np.where(np.isnan(column), np.inf, column)))
            pivots[(*at, k)] = p
            if p != k:
                held[[k, p]] = held[[p, k]]
                order[at][[k, p]] = order[at][[p, k]]
                sign[at] = -sign[at]
            if held[k, k] != 0:
                held[k + 1 :, k] /= held[k, k]
            held[k + 1 :, k + 1 :] -= np.outer(held[k + 1 :, k], held[k, k + 1 :])
    return packed, pivots, order, sign


def triangular_solved(x: Any, y: Any, lower: bool, transpose: bool, unit: bool) -> Any:
    """Return the solution of a triangular system.

    Raises:
        SingularMatrix: the diagonal has a 0.
    """
    held = np.tril(x, -1) if lower else np.triu(x, 1)
    diagonal = np.ones(x.shape[:-1], x.dtype)
    if not unit:
        diagonal = np.diagonal(x, axis1=-2, axis2=-1)
    _demand_pivots("triangular_solve", diagonal)
    held = held + diagonal[..., None] * np.eye(x.shape[-1], dtype=x.dtype)
    return np.linalg.solve(np.swapaxes(held, -1, -2) if transpose else held, y)


def lu_solved(x: Any, packed: Any, pivots: Any, y: Any, transpose: bool) -> Any:
    """Return the solution of a system of x: the factors are those of x.

    Raises:
        SingularMatrix: a pivot is 0.
    """
    _demand_pivots("lu_solve", np.diagonal(packed, axis1=-2, axis2=-1))
    return np.linalg.solve(np.swapaxes(x, -1, -2) if transpose else x, y)


# --- matrices -------------------------------------------------------------------------


def positive_definite(shapes: Shapes, rng: "np.random.Generator") -> list[Array]:
    """Return lower triangles of positive definite matrices; anything above them."""
    (shape,) = shapes
    x = rng.standard_normal(shape)
    n = max(shape[-1], 1)
    whole = x @ np.swapaxes(x, -1, -2) / n + np.eye(shape[-1])
    return [np.tril(whole) + np.triu(rng.standard_normal(shape), 1)]


def triangular(shapes: Shapes, rng: "np.random.Generator") -> list[Array]:
    """Return matrices whose triangles are well conditioned, and right sides."""
    shape, right = shapes
    n = shape[-1]
    x = rng.standard_normal(shape) * (0.5 / max(n, 1) ** 0.5)
    diagonal = rng.choice([-1.0, 1.0], shape[:-1]) * rng.uniform(1, 2, shape[:-1])
    x = np.where(np.eye(n, dtype=bool), diagonal[..., None], x)
    return [x, rng.standard_normal(right)]


def solvable(shapes: Shapes, rng: "np.random.Generator") -> list[Array]:
    """Return matrices whose pivots are clear, then their factors and right sides."""
    shape = shapes[0]
    n = shape[-1]
    x = rng.standard_normal(shape) * (0.4 / max(n, 1) ** 0.5) + 3 * np.eye(n)
    x = np.take_along_axis(
        x, np.argsort(rng.random(shape[:-1]), axis=-1)[..., None], axis=-2
    )
    if len(shapes) == 1:
        return [x]
    packed, pivots, _, _ = lu_of(x)
    return [x, packed, pivots, rng.standard_normal(shapes[3])]
