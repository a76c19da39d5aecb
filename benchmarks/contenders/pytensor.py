"""The workloads in PyTensor, whose compiler is numba or a C compiler."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt
from workloads import DEPTH, FUNCTIONS, STEP, Workload, triangle

from . import Call, Contender, NotBuilt
from .arrays import ARGUMENTS, letter, runge_kutta

MOST_OPS = 100  # of an unrolled chain


def rosen(x: Any) -> Any:
    return pt.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def elem(x: Any) -> Any:
    return pt.sum(pt.sin(x) * pt.exp(-x * x) + pt.log1p(x * x))


def bs(spot: Any, strike: Any, time: Any, rate: Any, vol: Any) -> Any:
    wide = vol * pt.sqrt(time)
    up = (pt.log(spot / strike) + (rate + 0.5 * vol * vol) * time) / wide
    n_up, n_down = (0.5 * (1 + pt.erf(z * 0.5**0.5)) for z in (up, up - wide))
    return pt.sum(spot * n_up - strike * pt.exp(-rate * time) * n_down)


def logreg(w: Any, b: Any, features: Any, y: Any) -> Any:
    return pt.sum(pt.softplus(-y * (features @ w + b)))


def poisson(beta: Any, features: Any, y: Any) -> Any:
    eta = features @ beta
    return pt.sum(pt.exp(eta) - y * eta) + 0.5 * pt.sum(beta**2)


def mlp(*given: Any) -> Any:
    w1, b1, w2, b2, w3, b3, x, classes = given
    x = pt.maximum(x @ w1 + b1, 0)
    x = pt.maximum(x @ w2 + b2, 0)
    x = x @ w3 + b3
    return pt.mean(pt.logsumexp(x, 1) - pt.sum(x * classes, 1))


def mixture(d: int) -> Callable[..., Any]:
    where = triangle(d)

    def gmm(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
        q, lower = pt.exp(icf[:, :d]), icf[:, d:]
        padded = pt.concatenate([lower, pt.zeros((icf.shape[0], 1))], 1)
        factor = padded[:, where]
        centred = x[None, :, :] - means[:, None, :]
        z = q[:, None, :] * centred + centred @ factor.transpose(0, 2, 1)
        weight = alphas + pt.sum(icf[:, :d], 1)
        inner = weight[:, None] - 0.5 * pt.sum(z**2, 2)
        prior = 0.5 * (pt.sum(q**2) + pt.sum(lower**2))
        total = pt.sum(pt.logsumexp(inner, 0)) - x.shape[0] * pt.logsumexp(alphas)
        return total + prior

    return gmm


def recurrent(main: Any, extra: Any, state: Any, text: Any) -> Any:
    def step(x: Any, follows: Any, state: Any, main: Any, extra: Any) -> Any:
        return letter(pt, pt.sigmoid, main, extra)(state, (x, follows))

    (_, parts) = pytensor.scan(
        step, [text[:-1], text[1:]], [state, None], [main, extra], return_updates=False
    )
    return -pt.sum(parts) / ((text.shape[0] - 1) * 14)


def predators(steps: int) -> Callable[..., Any]:
    def final(rates: Any, start: Any) -> Any:
        def step(u: Any, v: Any, rates: Any) -> Any:
            return runge_kutta(u, v, rates, STEP)

        u, v = pytensor.scan(
            step, None, [start[0], start[1]], [rates], n_steps=steps,
            return_updates=False,
        )  # fmt: skip
        return u[-1] ** 2 + v[-1] ** 2

    return final


def roots(x: Any) -> Any:
    y = x
    for _ in range(DEPTH):
        y = 0.5 * (y + x / y)
    return pt.sum(y)


def chained(ops: int) -> Callable[..., Any]:
    if ops > MOST_OPS:
        raise NotBuilt(f"more than {MOST_OPS} operations take minutes to compile")

    def chain(x: Any, a: Any) -> Any:
        for _ in range(ops // 3):
            x = pt.sin(x) * a + x
        return pt.sum(x)

    return chain


SCALARS: dict[str, Callable[..., Callable[..., Any]]] = {
    "scalar": lambda: lambda x: x**2,
    "rosen": lambda n: rosen,
    "elem": lambda n: elem,
    "bs": lambda n: bs,
    "logreg": lambda n: logreg,
    "poisson": lambda n: poisson,
    "mlp": lambda n: mlp,
    "gmm": lambda d, k, n: mixture(d),
    "lstm": lambda n: recurrent,
    "ode": predators,
    "newton": lambda n: roots,
    "chain": chained,
}


def call(workload: Workload) -> Call:
    kind, arrays = workload.kind, workload.arrays
    given = [
        pt.tensor(f"x{k}", dtype=a.dtype, shape=a.shape) for k, a in enumerate(arrays)
    ]
    if kind in SCALARS:
        value = SCALARS[kind](*workload.size)(*given)
        by = [given[k] for k in ARGUMENTS[kind]]
        out = [value, *pytensor.grad(value, by)]
    elif kind == "hess":
        out = [pytensor.gradient.hessian(rosen(given[0]), given[0])]
    elif kind == "hvp":
        slope = pytensor.grad(rosen(given[0]), given[0])
        out = [pytensor.grad(pt.sum(slope * given[1]), given[0])]
    else:
        out = [getattr(pt, kind)(given[0])]
    f = pytensor.function(given, out, on_unused_input="ignore", trust_input=True)
    held = [np.asarray(a) for a in arrays]
    return lambda: f(*held)


def works() -> bool:
    """Return whether its compiler runs here; numba's needs a fitting llvmlite."""
    x = pt.vector("x")
    try:
        pytensor.function([x], pt.exp(x))(np.ones(2))
    except (AttributeError, ImportError, TypeError, ValueError):
        return False
    return True


def load(threads: int) -> list[Contender]:
    """Return it by its own choice of compiler, which is numba, or else by C."""
    if threads > 1:
        raise OSError("timed on one thread")
    by = "numba"
    if not works():
        by, pytensor.config.linker = "C", "cvm"  # constants are folded by it too
        if not works():
            raise OSError("neither numba nor a C compiler works for it")
    forms = dict.fromkeys((*SCALARS, *FUNCTIONS, "hess", "hvp"), call)
    version = f"{pytensor.__version__} by {by}"
    return [Contender("PyTensor", version, forms, asked=True)]
