"""Time Jacobians, Hessians and their products, against JAX where it is installed.

    python benchmarks/transforms.py

Prints microseconds a call, the best of many, and the largest relative difference.
"""

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb

try:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
except ImportError:
    jax = None

ROUNDS, CALLS = 7, 50


def rosenbrock(x: Any) -> Any:
    """Return Rosenbrock's function of n numbers."""
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def best(call: Callable[[], Any]) -> float:
    """Return the seconds of the quickest call."""
    call()
    found = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        for _ in range(CALLS):
            call()
        found.append((time.perf_counter() - start) / CALLS)
    return min(found)


def cases() -> dict[str, tuple[Any, Any, tuple[Any, ...]]]:
    """Return for each name our function, JAX's, and their arguments."""
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((300, 26)) / 5.0
    small, large = np.linspace(-1.0, 1.0, 100), np.linspace(-1.0, 1.0, 100_000)
    point = rng.standard_normal(26)

    def layer(x: Any) -> Any:
        return np.tanh(weights @ x)

    peers: list[Any] = [None] * 3
    if jax is not None:
        peers = [
            jax.jit(jax.hessian(rosenbrock)),
            jax.jit(lambda x, v: jax.jvp(jax.grad(rosenbrock), (x,), (v,))[1]),
            jax.jit(jax.jacfwd(lambda x: jnp.tanh(weights @ x))),
        ]
    return {
        "hess_100": (pb.hessian(rosenbrock), peers[0], (small,)),
        "hvp_100000": (pb.hvp(rosenbrock), peers[1], (large, np.cos(large))),
        "jacobian_300x26": (pb.jacobian(layer), peers[2], (point,)),
    }


def main() -> None:
    os.environ["PULLBACK_QUICK"] = "0"  # what is timed is the code that stays
    for name, (ours, peer, args) in cases().items():
        line = f"{name:16} {best(lambda: ours(*args)) * 1e6:9.1f} us"  # noqa: B023 - now
        if peer is not None:
            held = [jnp.asarray(a) for a in args]
            seconds = best(lambda: peer(*held).block_until_ready())  # noqa: B023 - now
            theirs = np.asarray(peer(*held))
            away = np.max(np.abs(ours(*args) - theirs)) / np.max(np.abs(theirs))
            line += f"   JAX {seconds * 1e6:9.1f} us   difference {away:.1e}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
