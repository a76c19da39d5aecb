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


def black_scholes(spot: Any, strike: Any, time: Any, rate: Any, vol: Any) -> Any:
    wide = vol * np.sqrt(time)
    up = (np.log(spot / strike) + (rate + 0.5 * vol * vol) * time) / wide
    down = up - wide
    n_up, n_down = (0.5 * (1 + pb.erf(z * 0.5**0.5)) for z in (up, down))
    return np.sum(spot * n_up - strike * np.exp(-rate * time) * n_down)


def logistic(w: Any, b: Any, features: Any, y: Any) -> Any:
    return np.sum(np.logaddexp(0, -y * (features @ w + b)))


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
    """The arguments of a workload.

    `scalar`, `rosen_N`, `hess_N`, `elem_N`, `elem_N_f32`, `bs_N`, `logreg`, `gmm_D_K`,
    and `op_NAME` or `op_NAME_f32`: one function of 100,000 elements.
    """
    rng = np.random.default_rng(0)
    kind, *sizes = name.split("_")
    if kind == "scalar":
        return (np.asarray(3.0),)
    if kind in ("rosen", "hess"):
        return (rng.uniform(-1.5, 1.5, int(sizes[0])),)
    if kind == "elem":
        return (rng.standard_normal(int(sizes[0])).astype(dtype(name)),)
    if kind == "op":
        return (rng.uniform(0.1, 3.0, 100_000).astype(dtype(name)),)
    if kind == "bs":
        ends = ((50, 150), (50, 150), (0.1, 2), (0, 0.1), (0.1, 0.6))
        return tuple(rng.uniform(*pair, int(sizes[0])) for pair in ends)
    if kind == "logreg":
        features = rng.standard_normal((10_000, 100))
        y = np.where(rng.random(10_000) < 0.5, -1.0, 1.0)
        return rng.standard_normal(100) * 0.1, np.asarray(0.1), features, y
    d, k = int(sizes[0]), int(sizes[1])
    icf = rng.standard_normal((k, d + d * (d - 1) // 2)) * 0.3
    return (
        rng.standard_normal(k), rng.random((k, d)), icf, rng.standard_normal((1000, d))
    )  # fmt: skip


def dtype(name: str) -> str:
    """The dtype of a workload's arrays."""
    return "f4" if name.endswith("_f32") else "f8"


def derived(name: str) -> Any:
    """What of a workload is compiled: value and gradient, a Hessian, or a value."""
    kind, *sizes = name.split("_")
    if kind == "gmm":
        return pb.value_and_grad(mixture(int(sizes[0])), argnums=(0, 1, 2))
    if kind == "bs":
        return pb.value_and_grad(black_scholes, argnums=(0, 1, 2, 3, 4))
    if kind == "logreg":
        return pb.value_and_grad(logistic, argnums=(0, 1))
    if kind == "hess":
        return pb.hessian(rosenbrock)
    if kind == "op":
        return pb.function(getattr(np, sizes[0], None) or getattr(pb, sizes[0]))
    functions = {"scalar": scalar, "rosen": rosenbrock, "elem": elementary}
    return pb.value_and_grad(functions[kind])


def compiled(
    name: str, into: bool = False
) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A call of what pullback compiles, and one that returns the bytes it works in.

    With `into`, gradients by all arguments are written into the same arrays each time.
    """
    arrays: tuple[Any, ...] = data(name)
    f = derived(name)
    if into:
        made = tuple(np.zeros_like(a) for a in arrays)
        out = (None, made[0] if len(made) == 1 else made)
        return lambda: f(*arrays, out=out), lambda: f.explain(*arrays).program.workspace
    if name == "scalar":
        arrays = (float(arrays[0]),)
    return lambda: f(*arrays), lambda: f.explain(*arrays).program.workspace
