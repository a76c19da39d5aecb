"""The workloads in JAX, jitted."""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.linalg import solve_triangular
from jax.scipy.special import erf, logsumexp
from workloads import FUNCTIONS, STEP, Workload

from . import Call, Contender, NotBuilt
from .arrays import ARGUMENTS, errors, functions, letter, rosenbrock, runge_kutta

MOST_OPS = 1000  # of an unrolled chain: 1,000 take seconds to compile, 10,000 minutes


def recurrent(main: Any, extra: Any, state: Any, text: Any) -> Any:
    step = letter(jnp, jax.nn.sigmoid, main, extra)
    _, parts = lax.scan(step, state, (text[:-1], text[1:]))
    return -jnp.sum(parts) / ((text.shape[0] - 1) * 14)


def predators(steps: int) -> Any:
    def final(rates: Any, start: Any) -> Any:
        def step(state: Any, _: Any) -> Any:
            return runge_kutta(*state, rates, STEP), None

        (u, v), _ = lax.scan(step, (start[0], start[1]), length=steps)
        return u * u + v * v

    return final


def convolved(x: Any, filters: Any) -> Any:
    out = lax.conv_general_dilated(
        x, filters, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return 0.5 * jnp.sum(out**2)


def gaussian_process(theta: Any, x: Any, y: Any, unit: Any) -> Any:
    scaled = x * jnp.exp(-theta[:4])
    norms = jnp.sum(scaled * scaled, axis=1)
    distance = norms[:, None] + norms[None, :] - 2 * (scaled @ scaled.T)
    kernel = jnp.exp(theta[4] - 0.5 * distance) + jnp.exp(theta[5]) * unit
    factor = jnp.linalg.cholesky(kernel)
    z = solve_triangular(factor, y, lower=True)
    return 0.5 * (z @ z) + jnp.sum(jnp.log(jnp.diagonal(factor)))


def blocks(p: Any, feature: Any) -> Any:
    """The Jacobians of all observations: a pullback of each column, not of each row."""
    _, back = jax.vjp(lambda p: errors(jnp, p, feature), p)
    seeds = [jnp.zeros_like(feature).at[:, i].set(1) for i in range(2)]
    return jnp.stack([back(seed)[0] for seed in seeds], 1)


SCALARS = {
    **functions(jnp, erf, logsumexp),
    "lstm": lambda n: recurrent,
    "ode": predators,
    "conv": lambda n: convolved,
    "gp": lambda n: gaussian_process,
}


def compiled(workload: Workload) -> Any:
    kind = workload.kind
    if kind == "chain" and workload.size[0] > MOST_OPS:
        raise NotBuilt(f"more than {MOST_OPS:,} operations take minutes to compile")
    if kind in SCALARS:
        f = SCALARS[kind](*workload.size)
        return jax.value_and_grad(f, ARGUMENTS[kind])
    if kind == "hess":
        return jax.hessian(rosenbrock)
    if kind == "hvp":
        return lambda x, v: jax.jvp(jax.grad(rosenbrock), (x,), (v,))[1]
    if kind == "jac":
        return jax.jacfwd(lambda w, x: jnp.tanh(w @ x), 1)
    if kind == "ba":
        return blocks
    return erf if kind == "erf" else getattr(jnp, kind)


def call(workload: Workload) -> Call:
    f = jax.jit(compiled(workload))
    arrays = tuple(jnp.asarray(a) for a in workload.arrays)
    return lambda: jax.block_until_ready(f(*arrays))


def load(threads: int) -> list[Contender]:
    jax.config.update("jax_enable_x64", True)
    kinds = (*SCALARS, *FUNCTIONS, "hess", "hvp", "jac", "ba")
    return [Contender("JAX", jax.__version__, dict.fromkeys(kinds, call))]
