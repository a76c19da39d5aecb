"""The workloads that NumPy's own loops, or the library behind its matmul, do best.

Derivatives are written by hand; nothing here differentiates.
"""

from typing import Any

import numpy as np
from workloads import FUNCTIONS, Workload

from . import Call, Contender


def one_function(workload: Workload) -> Call:
    f, (x,) = getattr(np, workload.kind), workload.arrays
    out = np.empty_like(x)
    return lambda: f(x, out=out)


def logistic(workload: Workload) -> Call:
    w, b, features, y = workload.arrays

    def run() -> Any:
        z = y * (features @ w + b)
        slope = -y / (1 + np.exp(z))
        return np.sum(np.logaddexp(0, -z)), slope @ features, np.sum(slope)

    return run


def counts(workload: Workload) -> Call:
    beta, features, y = workload.arrays

    def run() -> Any:
        eta = features @ beta
        mean = np.exp(eta)
        value = np.sum(mean - y * eta) + 0.5 * np.sum(beta**2)
        return value, (mean - y) @ features + beta

    return run


def perceptron(workload: Workload) -> Call:
    w1, b1, w2, b2, w3, b3, x, classes = workload.arrays

    def run() -> Any:
        first = np.maximum(x @ w1 + b1, 0)
        second = np.maximum(first @ w2 + b2, 0)
        z = second @ w3 + b3
        most = z.max(axis=1, keepdims=True)
        e = np.exp(z - most)
        total = e.sum(axis=1, keepdims=True)
        value = np.mean(np.log(total) + most - np.sum(z * classes, 1, keepdims=True))
        g3 = (e / total - classes) / np.float32(len(x))
        g2 = (g3 @ w3.T) * (second > 0)
        g1 = (g2 @ w2.T) * (first > 0)
        return (
            value, x.T @ g1, g1.sum(0), first.T @ g2, g2.sum(0), second.T @ g3,
            g3.sum(0),
        )  # fmt: skip

    return run


def gaussian_process(workload: Workload) -> Call:
    """By the inverse: d/dK of the loss is (K^-1 - a a') / 2 with a = K^-1 y."""
    theta, x, y, unit = workload.arrays

    def run() -> Any:
        scaled = x * np.exp(-theta[:4])
        norms = np.sum(scaled * scaled, axis=1)
        distance = norms[:, None] + norms[None, :] - 2 * (scaled @ scaled.T)
        part = np.exp(theta[4] - 0.5 * distance)
        noise = np.exp(theta[5])
        factor = np.linalg.cholesky(part + noise * unit)
        inverse = np.linalg.inv(factor)
        inverse = inverse.T @ inverse
        a = inverse @ y
        by_kernel = 0.5 * (inverse - np.outer(a, a))
        weighted = by_kernel * part
        rows = weighted.sum(axis=1)
        by_scales = 2 * (rows @ scaled**2 - np.sum(scaled * (weighted @ scaled), 0))
        value = 0.5 * (y @ a) + np.sum(np.log(np.diagonal(factor)))
        ends = [weighted.sum(), noise * np.trace(by_kernel)]
        return value, np.concatenate([by_scales, ends])

    return run


def jacobian(workload: Workload) -> Call:
    weights, x = workload.arrays

    def run() -> Any:
        z = np.tanh(weights @ x)
        return (1 - z * z)[:, None] * weights

    return run


def load(threads: int) -> list[Contender]:
    forms = {
        **{f: one_function for f in FUNCTIONS if hasattr(np, f)},
        "logreg": logistic,
        "poisson": counts,
        "mlp": perceptron,
        "gp": gaussian_process,
        "jac": jacobian,
    }
    return [Contender("NumPy", np.__version__, forms)]
