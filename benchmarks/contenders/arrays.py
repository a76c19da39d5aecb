"""Workloads that read alike in every library with NumPy's names.

JAX and autograd have these names in a module of their own; where a library has a
quicker way, its own module says so.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from workloads import DEPTH, triangle

Function = Callable[..., Any]
# Kind -> by which arguments a function is differentiated.
ARGUMENTS = {
    "scalar": (0,), "rosen": (0,), "elem": (0,), "bs": (0, 1, 2, 3, 4),
    "logreg": (0, 1), "poisson": (0,), "mlp": (0, 1, 2, 3, 4, 5), "gmm": (0, 1, 2),
    "lstm": (0, 1), "ode": (0, 1), "conv": (0, 1), "chain": (0, 1), "gp": (0,),
    "newton": (0,),
}  # fmt: skip


def rosenbrock(x: Any) -> Any:
    return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()


def functions(xp: Any, erf: Function, logsumexp: Function) -> dict[str, Function]:
    """Return for each kind what takes the sizes and returns the function."""

    def elem(x: Any) -> Any:
        return xp.sum(xp.sin(x) * xp.exp(-x * x) + xp.log1p(x * x))

    def bs(spot: Any, strike: Any, time: Any, rate: Any, vol: Any) -> Any:
        wide = vol * xp.sqrt(time)
        up = (xp.log(spot / strike) + (rate + 0.5 * vol * vol) * time) / wide
        n_up, n_down = (0.5 * (1 + erf(z * 0.5**0.5)) for z in (up, up - wide))
        return xp.sum(spot * n_up - strike * xp.exp(-rate * time) * n_down)

    def logreg(w: Any, b: Any, features: Any, y: Any) -> Any:
        return xp.sum(xp.logaddexp(0.0, -y * (features @ w + b)))

    def poisson(beta: Any, features: Any, y: Any) -> Any:
        eta = features @ beta
        return xp.sum(xp.exp(eta) - y * eta) + 0.5 * xp.sum(beta**2)

    def mlp(*given: Any) -> Any:
        w1, b1, w2, b2, w3, b3, x, classes = given
        x = xp.maximum(x @ w1 + b1, 0)
        x = xp.maximum(x @ w2 + b2, 0)
        x = x @ w3 + b3
        return xp.mean(logsumexp(x, 1) - xp.sum(x * classes, 1))

    def mixture(d: int) -> Function:
        where = triangle(d)

        def gmm(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
            q, lower = xp.exp(icf[:, :d]), icf[:, d:]
            padded = xp.concatenate([lower, np.zeros((lower.shape[0], 1))], 1)
            factor = padded[:, where]
            centred = x[:, None, :] - means[None]
            z = q[None] * centred + xp.einsum("kij,nkj->nki", factor, centred)
            inner = alphas + xp.sum(icf[:, :d], 1) - 0.5 * xp.sum(z**2, 2)
            prior = 0.5 * (xp.sum(q**2) + xp.sum(lower**2))
            total = xp.sum(logsumexp(inner, 1)) - x.shape[0] * logsumexp(alphas, 0)
            return total + prior

        return gmm

    def roots(x: Any) -> Any:
        y = x
        for _ in range(DEPTH):
            y = 0.5 * (y + x / y)
        return xp.sum(y)

    def chained(ops: int) -> Function:
        def chain(x: Any, a: Any) -> Any:
            for _ in range(ops // 3):
                x = xp.sin(x) * a + x
            return xp.sum(x)

        return chain

    return {
        "scalar": lambda: lambda x: x**2,
        "rosen": lambda n: rosenbrock,
        "elem": lambda n: elem,
        "bs": lambda n: bs,
        "logreg": lambda n: logreg,
        "poisson": lambda n: poisson,
        "mlp": lambda n: mlp,
        "gmm": lambda d, k, n: mixture(d),
        "newton": lambda n: roots,
        "chain": chained,
    }


def errors(xp: Any, p: Any, feature: Any) -> Any:
    """The errors of observations, whose last axis is that of `p` and of `feature`."""
    turn, point = p[..., 0:3], p[..., 11:14] - p[..., 3:6]
    angle = xp.sqrt(xp.sum(turn * turn, -1, keepdims=True))
    axis, cos = turn / angle, xp.cos(angle)
    along = xp.sum(axis * point, -1, keepdims=True) * (1 - cos)
    seen = point * cos + xp.cross(axis, point) * xp.sin(angle) + axis * along
    flat = seen[..., :2] / seen[..., 2:3]
    square = xp.sum(flat * flat, -1, keepdims=True)
    radial = p[..., 6:7] * (1 + p[..., 9:10] * square + p[..., 10:11] * square**2)
    return p[..., 14:15] * (radial * flat + p[..., 7:9] - feature)


def gates(xp: Any, sigmoid: Function, inner: Any, memory: Any) -> tuple[Any, Any]:
    """Hidden state and memory that follow four rows of gates, before their bends."""
    memory = memory * sigmoid(inner[0]) + sigmoid(inner[1]) * xp.tanh(inner[3])
    return sigmoid(inner[2]) * xp.tanh(memory), memory


def letter(xp: Any, sigmoid: Function, main: Any, extra: Any) -> Function:
    """One step of the network: (state, (character, next)) to (state, part)."""
    held = xp.reshape(main, (2, 2, 4, 14))

    def step(state: Any, pair: Any) -> Any:
        x, follows = pair[0] * extra[0], pair[1]
        after = []
        for i in range(2):
            inner = xp.stack([x, state[2 * i], x, state[2 * i]])
            inner = inner * held[i, 0] + held[i, 1]
            x, memory = gates(xp, sigmoid, inner, state[2 * i + 1])
            after += [x, memory]
        guess = x * extra[1] + extra[2]
        guess = guess - xp.log(xp.sum(xp.exp(guess)) + 2)
        return xp.stack(after), xp.sum(follows * guess)

    return step


def runge_kutta(u: Any, v: Any, rates: Any, h: float) -> tuple[Any, Any]:
    """One step through Lotka and Volterra's system."""

    def slope(u: Any, v: Any) -> Any:
        return u * (rates[0] - rates[1] * v), v * (rates[2] * u - rates[3])

    a, p = slope(u, v)
    b, q = slope(u + 0.5 * h * a, v + 0.5 * h * p)
    c, r = slope(u + 0.5 * h * b, v + 0.5 * h * q)
    d, s = slope(u + h * c, v + h * r)
    return u + h / 6 * (a + 2 * b + 2 * c + d), v + h / 6 * (p + 2 * q + 2 * r + s)
