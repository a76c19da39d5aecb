"""Value and gradient of a Gaussian process' log likelihood, against JAX.

An RBF kernel of n points in d dimensions, its Cholesky factor, a triangular solve and a
log determinant; the gradient is with respect to the length scales, the variance and the
noise. Both run in one process, calls interleaved, in f64, after agreeing on values and
gradients. JAX is optional; with it, run it alone on the machine.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb

try:
    import jax
    import jax.numpy as jnp
    import jax.scipy.linalg
except ImportError:
    jax = None

Parts = tuple[Any, Any, Any]


def covariance(np_: Any, theta: Any, x: Any, d: int, unit: Any) -> Any:
    """Return the kernel's matrix; theta is d log scales, log variance, log noise."""
    scaled = x * np_.exp(-theta[:d])
    norms = np_.sum(scaled * scaled, axis=1)
    distance = norms[:, None] + norms[None, :] - 2.0 * (scaled @ scaled.T)
    return np_.exp(theta[d] - 0.5 * distance) + np_.exp(theta[d + 1]) * unit


def ours(d: int) -> Callable[..., Any]:
    """Return value and gradient by pullback."""

    def loss(theta: Any, x: Any, y: Any, unit: Any) -> Any:
        factor = np.linalg.cholesky(covariance(np, theta, x, d, unit))
        z = pb.linalg.triangular_solve(factor, y)
        return 0.5 * (z @ z) + np.sum(np.log(np.diagonal(factor)))

    return pb.value_and_grad(loss)


def theirs(d: int) -> Callable[..., Any]:
    """Return value and gradient by JAX."""

    def loss(theta: Any, x: Any, y: Any, unit: Any) -> Any:
        factor = jnp.linalg.cholesky(covariance(jnp, theta, x, d, unit))
        z = jax.scipy.linalg.solve_triangular(factor, y, lower=True)
        return 0.5 * (z @ z) + jnp.sum(jnp.log(jnp.diagonal(factor)))

    return jax.jit(jax.value_and_grad(loss))  # type: ignore[no-any-return]


def timed(call: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def main() -> None:
    """Print the least and the median time of each."""
    os.environ["PULLBACK_QUICK"] = "0"  # what is timed is the code that stays
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=500)
    parser.add_argument("-d", type=int, default=4)
    parser.add_argument("--repeat", type=int, default=40)
    given = parser.parse_args()
    n, d = given.n, given.d
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, d))
    y = np.sin(x.sum(axis=1)) + 0.1 * rng.standard_normal(n)
    theta = np.concatenate([np.zeros(d), [0.0, -2.0]])
    args = (theta, x, y, np.eye(n))

    calls: dict[str, Callable[[], Any]] = {}
    mine = ours(d)
    calls["pullback"] = lambda: mine(*args)
    if jax is not None:
        jax.config.update("jax_enable_x64", True)
        other = theirs(d)
        held = [jnp.asarray(a) for a in args]
        calls["jax"] = lambda: jax.block_until_ready(other(*held))
    results = {name: call() for name, call in calls.items()}
    value, gradient = results["pullback"]
    for name, (their_value, their_gradient) in results.items():
        np.testing.assert_allclose(value, their_value, rtol=1e-9, err_msg=name)
        np.testing.assert_allclose(gradient, their_gradient, rtol=1e-7, err_msg=name)

    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(given.repeat):
        for name, call in calls.items():
            times[name].append(timed(call))
    print(f"Gaussian process, n = {n}, d = {d}: value and gradient, ms")
    for name, spent in times.items():
        least, middle = min(spent) * 1e3, statistics.median(spent) * 1e3
        print(f"  {name:10s} least {least:8.3f}  median {middle:8.3f}")


if __name__ == "__main__":
    main()
