"""Fit a Gaussian process: length scale, amplitude and noise by marginal likelihood.

    python examples/gaussian_process.py

The covariance of all measurements is a function of three numbers. Its Cholesky factor
gives the determinant and the solution at once, and has a derivative like anything else.
"""

import math
from typing import Any

import numpy as np
import pullback as pb
from scipy.optimize import OptimizeResult, minimize

Array = np.ndarray[Any, np.dtype[np.float64]]
NOISE = 0.2


def kernel(logs: Any, left: Any, right: Any) -> Any:
    """Return the covariance of the curve at points `left` and `right`."""
    length, amplitude = np.exp(logs[0]), np.exp(logs[1])
    distance = (left[:, None] - right[None, :]) / length
    return amplitude**2 * np.exp(-0.5 * distance**2)


def covariance(logs: Any, x: Any) -> Any:
    """Return the covariance of measurements at x: of the curve, and of noise."""
    return kernel(logs, x, x) + np.exp(logs[2]) ** 2 * np.eye(x.shape[0])


def nll(logs: Any, x: Any, y: Any) -> Any:
    """Return the negative logarithm of the marginal likelihood.

    y has the distribution N(0, K) and K = L Lᵀ, so with z = L⁻¹ y it is
    zᵀz / 2 + Σ log Lᵢᵢ + n log(2π) / 2.
    """
    lower = np.linalg.cholesky(covariance(logs, x))
    z = pb.linalg.triangular_solve(lower, y)
    constant = 0.5 * x.shape[0] * math.log(2.0 * math.pi)
    return 0.5 * np.sum(z**2) + np.sum(np.log(np.diagonal(lower))) + constant


value_and_grad = pb.value_and_grad(nll)


@pb.function
def predict(logs: Any, x: Any, y: Any, at: Any) -> Any:
    """Return the mean and the standard deviation of the curve at other points."""
    lower = np.linalg.cholesky(covariance(logs, x))
    between = pb.linalg.triangular_solve(lower, kernel(logs, x, at))
    mean = between.T @ pb.linalg.triangular_solve(lower, y)
    return mean, np.sqrt(np.exp(logs[1]) ** 2 - np.sum(between**2, axis=0))


def curve(x: Array) -> Array:
    return np.sin(x) + 0.5 * np.sin(2.5 * x)


def data(n: int = 80) -> tuple[Array, Array]:
    rng = np.random.default_rng(7)
    x = np.sort(rng.uniform(0.0, 10.0, n))
    return x, curve(x) + NOISE * rng.standard_normal(n)


def fit(x: Array, y: Array) -> OptimizeResult:
    start = np.log([2.0, 1.0, 0.5])
    return minimize(value_and_grad, start, args=(x, y), jac=True, method="BFGS")


def main() -> None:
    x, y = data()
    found = fit(x, y)
    length, amplitude, noise = np.exp(found.x)
    print(f"{found.nit} iterations, negative log marginal likelihood {found.fun:.4f}")
    print(f"length scale {length:.3f}, amplitude {amplitude:.3f}")
    print(f"noise {noise:.3f}, true {NOISE}")
    at = np.linspace(0.5, 9.5, 5)
    mean, deviation = predict(found.x, x, y, at)
    for point, m, s in zip(at, mean, deviation, strict=True):
        print(f"at {point:.2f}: {m:6.3f} ± {s:.3f}, true {curve(point):6.3f}")


if __name__ == "__main__":
    main()
