"""The workloads in autograd: a tape, and NumPy's own loops."""

import importlib.metadata
import itertools
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
from autograd.scipy.special import erf, logsumexp
from workloads import STEP, Workload

from . import Call, Contender, NotBuilt
from .arrays import ARGUMENTS, errors, functions, letter, rosenbrock, runge_kutta

MOST_BYTES = 4 << 20  # of a dense Hessian: rows are taken one by one, in Python


def sigmoid(x: Any) -> Any:
    return 1 / (1 + anp.exp(-x))


def recurrent(main: Any, extra: Any, state: Any, text: Any) -> Any:
    step = letter(anp, sigmoid, main, extra)
    total = 0.0
    for x, follows in itertools.pairwise(text):
        state, part = step(state, (x, follows))
        total = total + part
    return -total / ((len(text) - 1) * 14)


def predators(steps: int) -> Any:
    def final(rates: Any, start: Any) -> Any:
        u, v = start[0], start[1]
        rates = [rates[i] for i in range(4)]
        for _ in range(steps):
            u, v = runge_kutta(u, v, rates, STEP)
        return u * u + v * v

    return final


def gaussian_process(theta: Any, x: Any, y: Any, unit: Any) -> Any:
    scaled = x * anp.exp(-theta[:4])
    norms = anp.sum(scaled * scaled, axis=1)
    distance = norms[:, None] + norms[None, :] - 2 * (scaled @ scaled.T)
    kernel = anp.exp(theta[4] - 0.5 * distance) + anp.exp(theta[5]) * unit
    factor = anp.linalg.cholesky(kernel)
    z = anp.linalg.solve(factor, y)
    at = np.arange(len(y))  # anp.diagonal has no derivative for these axes
    return 0.5 * (z @ z) + anp.sum(anp.log(factor[at, at]))


SCALARS = {
    **functions(anp, erf, logsumexp),
    "lstm": lambda n: recurrent,
    "ode": predators,
    "gp": lambda n: gaussian_process,
}


def differentiated(workload: Workload) -> Any:
    kind = workload.kind
    if kind in SCALARS:
        f = SCALARS[kind](*workload.size)
        return autograd.value_and_grad(f, ARGUMENTS[kind])
    if kind == "hess":
        if workload.arrays[0].size ** 2 * 8 > MOST_BYTES:
            raise NotBuilt("its Hessian is a loop in Python over rows")
        return autograd.hessian(rosenbrock)
    if kind == "hvp":
        return autograd.hessian_vector_product(rosenbrock)
    if kind == "jac":
        return autograd.jacobian(lambda w, x: anp.tanh(w @ x), 1)

    def summed(p: Any, feature: Any, which: int) -> Any:
        return anp.sum(errors(anp, p, feature)[:, which])

    row = autograd.grad(summed)
    return lambda p, feature: np.stack([row(p, feature, i) for i in range(2)], 1)


def call(workload: Workload) -> Call:
    f, arrays = differentiated(workload), workload.arrays
    return lambda: f(*arrays)


def load(threads: int) -> list[Contender]:
    version = importlib.metadata.version("autograd")
    kinds = (*SCALARS, "hess", "hvp", "jac", "ba")
    return [Contender("autograd", version, dict.fromkeys(kinds, call))]
