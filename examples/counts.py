"""Regress counts on covariates: Poisson regression with a logarithmic link.

python examples/counts.py
"""

from typing import Any

import numpy as np
import pullback as pb
from scipy.optimize import OptimizeResult, minimize

Array = np.ndarray[Any, np.dtype[np.float64]]
TRUE = np.array([0.5, 0.8, -0.6, 0.0])


def nll(beta: Any, x: Any, counts: Any) -> Any:
    """Return the mean negative log-likelihood, without the counts' factorials."""
    eta = x @ beta
    return np.mean(np.exp(eta) - counts * eta)


value_and_grad = pb.value_and_grad(nll)


@pb.function
def information(beta: Any, x: Any) -> Any:
    """Return the Fisher information of all observations."""
    return x.T @ (np.exp(x @ beta)[:, None] * x)


def data(n: int = 1000) -> tuple[Array, Array]:
    rng = np.random.default_rng(2)
    x = np.column_stack([np.ones(n), rng.standard_normal((n, TRUE.size - 1))])
    return x, rng.poisson(np.exp(x @ TRUE)).astype(np.float64)


def fit(x: Array, counts: Array) -> OptimizeResult:
    start = np.zeros(x.shape[1])
    return minimize(value_and_grad, start, args=(x, counts), jac=True, method="BFGS")


def main() -> None:
    x, counts = data()
    found = fit(x, counts)
    errors = np.sqrt(np.diag(np.linalg.inv(information(found.x, x))))
    print(f"{found.nit} iterations")
    for true, beta, error in zip(TRUE, found.x, errors, strict=True):
        print(f"true {true:5.2f}, found {beta:8.4f} ± {error:.4f}")


if __name__ == "__main__":
    main()
