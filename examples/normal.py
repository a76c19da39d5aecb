"""Fit a multivariate normal distribution by maximum likelihood.

    python examples/normal.py

The covariance is L Lᵀ with L lower triangular and the logarithms of its diagonal as
parameters: any vector of numbers is a valid covariance, so the search has no bounds.
"""

import math
from typing import Any

import numpy as np
import pullback as pb
from scipy.optimize import OptimizeResult, minimize

Array = np.ndarray[Any, np.dtype[np.float64]]


def factor(theta: Any, d: int) -> Any:
    """Return L, (d, d), by its diagonal's logarithms and its rows below that."""
    where = np.full((d, d), d * (d + 1) // 2)  # the zero appended to the parameters
    where[np.tril_indices(d, -1)] = d + np.arange(d * (d - 1) // 2)
    below = np.concatenate([theta, np.zeros(1)])[where]
    return below + np.eye(d) * np.exp(theta[:d])


def nll(params: Any, x: Any) -> Any:
    """Return the mean negative log-likelihood of points x, (n, d).

    `params` is the mean (d), then L's parameters (d(d+1)/2).
    """
    d = x.shape[1]
    mean, theta = params[:d], params[d:]
    z = pb.linalg.triangular_solve(factor(theta, d), (x - mean).T)
    square = np.mean(np.sum(z**2, axis=0))
    return 0.5 * square + np.sum(theta[:d]) + 0.5 * d * math.log(2 * math.pi)


value_and_grad = pb.value_and_grad(nll)


def data(n: int = 500) -> Array:
    rng = np.random.default_rng(1)
    mixing = np.array([[2.0, 0.0, 0.0], [0.6, 0.5, 0.0], [-0.4, 0.3, 1.0]])
    return rng.standard_normal((n, 3)) @ mixing.T + np.array([1.0, -2.0, 0.5])


def fit(x: Array) -> OptimizeResult:
    d = x.shape[1]
    start = np.zeros(d + d * (d + 1) // 2)
    return minimize(value_and_grad, start, args=(x,), jac=True, method="BFGS")


def main() -> None:
    x = data()
    found = fit(x)
    lower = pb.function(factor, static_argnums=1)(found.x[3:], 3)
    print(f"{found.nit} iterations, mean negative log-likelihood {found.fun:.6f}")
    print(f"mean {found.x[:3].round(4)}, of the sample {x.mean(axis=0).round(4)}")
    print("covariance\n", (lower @ lower.T).round(4))
    print("of the sample\n", np.cov(x.T, bias=True).round(4))


if __name__ == "__main__":
    main()
