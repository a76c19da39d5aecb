"""The workloads as plain NumPy, compiled by pullback."""

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pullback as pb
from pullback.runtime.tiers import improver
from workloads import DEPTH, FUNCTIONS, STEP, Workload, triangle

from . import BASE, Call, Contender, Form

PROJECT = Path(__file__).parent.parent.parent / "pyproject.toml"


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


def counts(beta: Any, features: Any, y: Any) -> Any:
    eta = features @ beta
    return np.sum(np.exp(eta) - y * eta) + 0.5 * np.sum(beta**2)


def perceptron(
    w1: Any, b1: Any, w2: Any, b2: Any, w3: Any, b3: Any, x: Any, classes: Any
) -> Any:
    x = np.maximum(x @ w1 + b1, 0)
    x = np.maximum(x @ w2 + b2, 0)
    x = x @ w3 + b3
    return np.mean(pb.logsumexp(x, axis=1) - np.sum(x * classes, axis=1))


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


def reprojection(p: Any, feature: Any) -> Any:
    """The two errors of one observation: camera, point and weight are in p."""
    turn, point = p[0:3], p[11:14] - p[3:6]
    angle = np.sqrt(np.sum(turn * turn))
    axis, cos = turn / angle, np.cos(angle)
    along = np.sum(axis * point) * (1 - cos)
    seen = point * cos + np.cross(axis, point) * np.sin(angle) + axis * along
    flat = seen[:2] / seen[2]
    square = np.sum(flat * flat)
    radial = p[6] * (1 + p[9] * square + p[10] * square * square)
    return p[14] * (radial * flat + p[7:9] - feature)


def recurrent(main: Any, extra: Any, state: Any, text: Any) -> Any:
    """The loss of a two-layer LSTM without mixing weights, as ADBench has it."""
    gates = np.reshape(main, (2, 2, 4, 14))

    def step(state: Any, pair: Any) -> Any:
        x, follows = pair[0] * extra[0], pair[1]
        after = []
        for i in range(2):
            hidden, memory = state[2 * i], state[2 * i + 1]
            inner = np.stack([x, hidden, x, hidden]) * gates[i, 0] + gates[i, 1]
            forget, take, show = (pb.sigmoid(inner[k]) for k in range(3))
            memory = memory * forget + take * np.tanh(inner[3])
            x = show * np.tanh(memory)
            after += [x, memory]
        guess = x * extra[1] + extra[2]
        guess = guess - np.log(np.sum(np.exp(guess)) + 2)
        return np.stack(after), np.sum(follows * guess)

    _, parts = pb.scan(step, state, (text[:-1], text[1:]))
    return -np.sum(parts) / ((text.shape[0] - 1) * 14)


def predators(steps: int) -> Callable[..., Any]:
    """The square of the state after a number of steps of Runge and Kutta's method."""

    def final(rates: Any, start: Any) -> Any:
        def slope(u: Any, v: Any) -> Any:
            return u * (rates[0] - rates[1] * v), v * (rates[2] * u - rates[3])

        def step(_: Any, state: Any) -> Any:
            u, v = state
            a, p = slope(u, v)
            b, q = slope(u + 0.5 * STEP * a, v + 0.5 * STEP * p)
            c, r = slope(u + 0.5 * STEP * b, v + 0.5 * STEP * q)
            d, s = slope(u + STEP * c, v + STEP * r)
            u = u + STEP / 6 * (a + 2 * b + 2 * c + d)
            return u, v + STEP / 6 * (p + 2 * q + 2 * r + s)

        u, v = pb.fori_loop(0, steps, step, (start[0], start[1]))
        return u * u + v * v

    return final


def convolved(x: Any, filters: Any) -> Any:
    """Half the sum of squares of a convolution: nine shifted products of matrices."""
    n = x.shape[1]
    x = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    parts = [
        x[:, i : i + n, j : j + n] @ filters[i, j] for i in range(3) for j in range(3)
    ]
    return 0.5 * np.sum(sum(parts[1:], parts[0]) ** 2)


def chained(ops: int) -> Callable[..., Any]:
    def chain(x: Any, a: Any) -> Any:
        for _ in range(ops // 3):
            x = np.sin(x) * a + x
        return np.sum(x)

    return chain


def gaussian_process(theta: Any, x: Any, y: Any, unit: Any) -> Any:
    scaled = x * np.exp(-theta[:4])
    norms = np.sum(scaled * scaled, axis=1)
    distance = norms[:, None] + norms[None, :] - 2 * (scaled @ scaled.T)
    kernel = np.exp(theta[4] - 0.5 * distance) + np.exp(theta[5]) * unit
    factor = np.linalg.cholesky(kernel)
    z = pb.linalg.triangular_solve(factor, y)
    return 0.5 * (z @ z) + np.sum(np.log(np.diagonal(factor)))


def roots(x: Any) -> Any:
    y = x
    for _ in range(DEPTH):
        y = 0.5 * (y + x / y)
    return np.sum(y)


def layer(weights: Any, x: Any) -> Any:
    return np.tanh(weights @ x)


# Kind -> the function of a size, and by which arguments it is differentiated.
SCALARS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "scalar": (lambda: scalar, (0,)),
    "rosen": (lambda n: rosenbrock, (0,)),
    "elem": (lambda n: elementary, (0,)),
    "bs": (lambda n: black_scholes, (0, 1, 2, 3, 4)),
    "logreg": (lambda n: logistic, (0, 1)),
    "poisson": (lambda n: counts, (0,)),
    "mlp": (lambda n: perceptron, (0, 1, 2, 3, 4, 5)),
    "gmm": (lambda d, k, n: mixture(d), (0, 1, 2)),
    "lstm": (lambda n: recurrent, (0, 1)),
    "ode": (predators, (0, 1)),
    "conv": (lambda n: convolved, (0, 1)),
    "chain": (chained, (0, 1)),
    "gp": (lambda n: gaussian_process, (0,)),
    "newton": (lambda n: roots, (0,)),
}


# Kinds that are differentiated by all their arguments, in arrays that are large.
INTO = ("rosen", "elem", "bs")


def derived(workload: Workload, **options: Any) -> Any:
    """Return what of a workload is compiled: value and gradient, or another."""
    kind = workload.kind
    if kind in SCALARS:
        make, argnums = SCALARS[kind]
        return pb.value_and_grad(make(*workload.size), argnums=argnums, **options)
    if kind in FUNCTIONS:
        f = getattr(np, kind, None) or getattr(pb, kind)
        return pb.function(f, **options)
    if kind == "ba":
        return pb.vmap(pb.jacobian(reprojection, mode="reverse"), **options)
    if kind == "hess":
        return pb.hessian(rosenbrock, **options)
    if kind == "hvp":
        return pb.hvp(rosenbrock, **options)
    assert kind == "jac", kind
    return pb.jacobian(layer, argnums=1, **options)


def call(workload: Workload, **options: Any) -> Call:
    """Return a call of what is compiled; its `program` says what it passes."""
    arrays: tuple[Any, ...] = workload.arrays
    f = derived(workload, **options)
    if workload.kind == "scalar":
        x = float(arrays[0])
        return settling(lambda: f(x))

    def run() -> Any:
        return f(*arrays)

    run.program = lambda: f.explain(*arrays).program  # type: ignore[attr-defined]
    return settling(run)


def settling(run: Call) -> Call:
    """Return a call whose `settle` has all programs compiled fully."""
    run.settle = lambda: improver().improve_all()  # type: ignore[attr-defined]
    return run


def into(workload: Workload, **options: Any) -> Call:
    """Return a call that writes its gradients into the same arrays each time."""
    arrays: tuple[Any, ...] = workload.arrays
    f = derived(workload, **options)
    made = tuple(np.zeros_like(a) for a in arrays)
    out = (None, made)
    return settling(lambda: f(*arrays, out=out))


def load(threads: int) -> list[Contender]:
    """Return ours, the same into memory of the caller, and on one thread of several."""
    kinds = (*SCALARS, *FUNCTIONS, "ba", "hess", "hvp", "jac")
    told = tomllib.loads(PROJECT.read_text("utf-8"))
    version = told["project"]["version"]

    def form(count: int, make: Callable[..., Call]) -> Form:
        return lambda workload: make(workload, threads=count)

    fresh, held = dict.fromkeys(kinds, form(threads, call)), form(threads, into)
    out = [
        Contender(BASE, version, fresh),
        Contender(f"{BASE} out=", version, dict.fromkeys(INTO, held), exact=True),
    ]
    if threads > 1:
        alone = dict.fromkeys(kinds, form(1, call))
        out.append(Contender(f"{BASE} 1 thread", version, alone, exact=True))
    return out
