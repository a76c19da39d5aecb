"""The functions that are timed, as plain NumPy, and their data."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb

Array = np.ndarray[Any, Any]


def scalar(x: Any) -> Any:
    return x**2


def rosenbrock(x: Any) -> Any:
    return np.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def elementary(x: Any) -> Any:
    return np.sum(np.sin(x) * np.exp(-x * x) + np.log1p(x * x))


def triangle(d: int) -> Array:
    """Where each element of a strictly lower triangle is in its columns, one by one."""
    size = d * (d - 1) // 2
    where = np.full((d, d), size)
    columns, rows = np.triu_indices(d, 1)
    where[rows, columns] = np.arange(size)
    return where


def mixture(d: int) -> Callable[..., Any]:
    """The log-likelihood of a Gaussian mixture, up to a constant."""
    where = triangle(d)

    def loglik(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
        q, lower = np.exp(icf[:, :d]), icf[:, d:]
        k = alphas.shape[0]
        padded = np.concatenate([lower, np.zeros((k, 1))], 1)
        factor = padded[:, where]
        centred = x[None, :, :] - means[:, None, :]
        z = q[:, None, :] * centred + np.matmul(centred, factor.transpose(0, 2, 1))
        weight = alphas + np.sum(icf[:, :d], 1)
        inner = weight[:, None] - 0.5 * np.sum(z**2, 2)
        prior = 0.5 * (np.sum(q**2) + np.sum(lower**2))
        n = x.shape[0]
        total = np.sum(pb.logsumexp(inner, axis=0)) - n * pb.logsumexp(alphas)
        return total + prior

    return loglik


def data(name: str) -> tuple[Array, ...]:
    """The arguments of a workload: `scalar`, `rosen_N`, `elem_N`, `gmm_D_K`."""
    rng = np.random.default_rng(0)
    kind, *sizes = name.split("_")
    if kind == "scalar":
        return (np.asarray(3.0),)
    if kind == "rosen":
        return (rng.uniform(-1.5, 1.5, int(sizes[0])),)
    if kind == "elem":
        return (rng.standard_normal(int(sizes[0])),)
    d, k = int(sizes[0]), int(sizes[1])
    icf = rng.standard_normal((k, d + d * (d - 1) // 2)) * 0.3
    return (
        rng.standard_normal(k), rng.random((k, d)), icf, rng.standard_normal((1000, d))
    )  # fmt: skip


def compiled(name: str) -> Callable[[], Any]:
    """A call of pullback's value and gradient."""
    arrays = data(name)
    kind, *sizes = name.split("_")
    if kind == "gmm":
        f = pb.value_and_grad(mixture(int(sizes[0])), argnums=(0, 1, 2))
    else:
        f = pb.value_and_grad(
            {"scalar": scalar, "rosen": rosenbrock, "elem": elementary}[kind]
        )
    if kind == "scalar":
        x = float(arrays[0])
        return lambda: f(x)
    return lambda: f(*arrays)
