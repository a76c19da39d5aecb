"""Regress yes or no on covariates: probit regression.

python examples/choices.py
"""

import math
from typing import Any

import numpy as np
import pullback as pb
from scipy.optimize import OptimizeResult, minimize

Array = np.ndarray[Any, np.dtype[np.float64]]
TRUE = np.array([-0.3, 1.0, 0.5])


def nll(beta: Any, x: Any, yes: Any) -> Any:
    """Return the mean negative log-likelihood of answers 0 and 1.

    The normal distribution function is Φ(z) = erfc(-z/√2) / 2. NumPy has no erfc;
    pullback has.
    """
    z = (x @ beta) * (2.0 * yes - 1.0)
    return -np.mean(np.log(0.5 * pb.erfc(-z / math.sqrt(2.0))))


value_and_grad = pb.value_and_grad(nll)


def data(n: int = 800) -> tuple[Array, Array]:
    rng = np.random.default_rng(6)
    x = np.column_stack([np.ones(n), rng.standard_normal((n, TRUE.size - 1))])
    return x, (x @ TRUE + rng.standard_normal(n) > 0).astype(np.float64)


def fit(x: Array, yes: Array) -> OptimizeResult:
    start = np.zeros(x.shape[1])
    return minimize(value_and_grad, start, args=(x, yes), jac=True, method="BFGS")


def main() -> None:
    x, yes = data()
    found = fit(x, yes)
    print(f"{found.nit} iterations, {np.mean(yes):.0%} said yes")
    for true, beta in zip(TRUE, found.x, strict=True):
        print(f"true {true:5.2f}, found {beta:8.4f}")


if __name__ == "__main__":
    main()
