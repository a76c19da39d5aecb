r"""The log-likelihood of a Gaussian mixture with a Wishart prior: ADBench's GMM.

    python examples/adbench/gmm.py FILE          value and norm of the gradient
    pullback compile examples/adbench/gmm.py:objective --arg 'alphas: f64[25]' \
        --arg 'means: f64[25,10]' --arg 'icf: f64[25,55]' --arg 'x: f64[n,10]' \
        --wrt alphas,means,icf --out build

Source: F. Srajer, Z. Kukelova, A. Fitzgibbon, A benchmark of selected algorithmic
differentiation tools on some problems in computer vision and machine learning,
Optimization Methods and Software 33 (2018).
"""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pullback as pb

Array = np.ndarray[Any, np.dtype[np.float64]]


def triangle(d: int) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return where each element of a strictly lower triangle is in its columns.

    The elements are counted column by column; all others are number d(d-1)/2.
    """
    size = d * (d - 1) // 2
    where = np.full((d, d), size)
    columns, rows = np.triu_indices(d, 1)
    where[rows, columns] = np.arange(size)
    return where


def log_gamma(a: float, d: int) -> float:
    """Return the logarithm of the multivariate gamma function."""
    terms = sum(math.lgamma(a - 0.5 * j) for j in range(d))
    return 0.25 * d * (d - 1) * math.log(math.pi) + terms


def objective(
    alphas: Any,
    means: Any,
    icf: Any,
    x: Any,
    gamma: float = 1.0,
    m: int = 0,
    xp: Any = np,
) -> Any:
    """Return log-likelihood plus log-prior.

    Args:
        alphas: (k,), logarithms of the weights up to a constant.
        means: (k, d).
        icf: (k, d + d(d-1)/2), the inverse factors of the covariances: log-diagonals,
            then the strictly lower triangle, column by column.
        x: (n, d), the points.
        gamma: the prior's scale.
        m: the prior's degrees of freedom beyond the dimension.
        xp: NumPy, or pullback for tensors under a tape.
    """
    k, d = means.shape
    n = x.shape[0]
    logs, lower = icf[:, :d], icf[:, d:]
    q = xp.exp(logs)
    padded = xp.concatenate([lower, xp.zeros((k, 1))], axis=1)
    factor = padded[:, triangle(d)]
    centred = x[None, :, :] - means[:, None, :]
    z = q[:, None, :] * centred + xp.matmul(centred, xp.transpose(factor, (0, 2, 1)))
    sq = xp.sum(logs, axis=1)
    inner = (alphas + sq)[:, None] - 0.5 * xp.sum(xp.square(z), axis=2)
    total = xp.sum(pb.logsumexp(inner, axis=0)) - n * pb.logsumexp(alphas)
    degrees = d + m + 1
    constant = degrees * d * math.log(gamma / math.sqrt(2)) - log_gamma(degrees / 2, d)
    spread = xp.sum(xp.square(q)) + xp.sum(xp.square(lower))
    prior = 0.5 * gamma**2 * spread - m * xp.sum(sq)
    return total + prior - n * (0.5 * d * math.log(2 * math.pi)) - k * constant


value_and_grad = pb.value_and_grad(
    objective, argnums=(0, 1, 2), static_argnames=("gamma", "m")
)


def read(path: str | Path) -> tuple[Array, Array, Array, Array, float, int]:
    """Return the arguments of `objective` from a file of the suite."""
    numbers = iter(Path(path).read_text("ascii").split())
    d, k, n = (int(next(numbers)) for _ in range(3))
    alphas = _take(numbers, k)
    means = _take(numbers, k, d)
    icf = _take(numbers, k, d + d * (d - 1) // 2)
    x = _take(numbers, n, d)
    return alphas, means, icf, x, float(next(numbers)), int(next(numbers))


def _take(numbers: Iterator[str], *shape: int) -> Array:
    flat = [float(next(numbers)) for _ in range(math.prod(shape))]
    return np.array(flat).reshape(shape)


def main(path: str) -> None:
    *arrays, gamma, m = read(path)
    value, gradients = value_and_grad(*arrays, gamma=gamma, m=m)
    norm = math.sqrt(sum(float(np.sum(g * g)) for g in gradients))
    print(f"objective {value:.15g}, |gradient| {norm:.15g}")


if __name__ == "__main__":
    main(sys.argv[1])
