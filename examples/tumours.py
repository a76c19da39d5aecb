"""Logistic regression on measurements of breast tumours that scikit-learn ships.

python examples/tumours.py
"""

from typing import Any

import numpy as np
import pullback as pb
from scipy.optimize import OptimizeResult, minimize
from sklearn.datasets import load_breast_cancer

Array = np.ndarray[Any, np.dtype[np.float64]]
RIDGE = 0.01


def nll(params: Any, x: Any, label: Any) -> Any:
    """Return the mean negative log-likelihood of labels 0 and 1, plus a ridge.

    -log σ(z) = log(1 + exp(-z)), which logaddexp computes without overflow.
    """
    weights, bias = params[:-1], params[-1]
    margin = (x @ weights + bias) * (2.0 * label - 1.0)
    return np.mean(np.logaddexp(0.0, -margin)) + 0.5 * RIDGE * np.sum(weights**2)


value_and_grad = pb.value_and_grad(nll)


def data() -> tuple[Array, Array, list[str]]:
    """Return standardised features, labels (1: benign) and the features' names."""
    source = load_breast_cancer()
    x = (source.data - source.data.mean(axis=0)) / source.data.std(axis=0)
    return x, source.target.astype(np.float64), list(source.feature_names)


def fit(x: Array, label: Array) -> OptimizeResult:
    start = np.zeros(x.shape[1] + 1)
    return minimize(value_and_grad, start, args=(x, label), jac=True, method="BFGS")


def main() -> None:
    x, label, names = data()
    found = fit(x, label)
    right = (x @ found.x[:-1] + found.x[-1] > 0) == (label > 0.5)
    print(f"{found.nit} iterations, {np.mean(right):.1%} classified as they are")
    for i in np.argsort(-np.abs(found.x[:-1]))[:5]:
        print(f"{names[i]:25s} {found.x[i]:7.3f}")


if __name__ == "__main__":
    main()
