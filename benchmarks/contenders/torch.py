"""The workloads in PyTorch on the CPU, run at once, and by torch.compile when named."""

import os
from collections.abc import Callable
from typing import Any

import torch
from workloads import DEPTH, STEP, Workload, triangle

from . import Call, Contender, Form, NotBuilt
from .arrays import ARGUMENTS, rosenbrock, runge_kutta

Tensor = torch.Tensor
ROOT_HALF = 0.5**0.5
MOST_STEPS = 100  # of an unrolled loop, by torch.compile


def elem(x: Any) -> Any:
    return torch.sum(torch.sin(x) * torch.exp(-x * x) + torch.log1p(x * x))


def bs(spot: Any, strike: Any, time: Any, rate: Any, vol: Any) -> Any:
    wide = vol * torch.sqrt(time)
    up = (torch.log(spot / strike) + (rate + 0.5 * vol * vol) * time) / wide
    n_up, n_down = (0.5 * (1 + torch.erf(z * ROOT_HALF)) for z in (up, up - wide))
    return torch.sum(spot * n_up - strike * torch.exp(-rate * time) * n_down)


def logreg(w: Any, b: Any, features: Any, y: Any) -> Any:
    return torch.nn.functional.softplus(-y * (features @ w + b)).sum()


def poisson(beta: Any, features: Any, y: Any) -> Any:
    eta = features @ beta
    return torch.sum(torch.exp(eta) - y * eta) + 0.5 * torch.sum(beta**2)


def mlp(*given: Any) -> Any:
    w1, b1, w2, b2, w3, b3, x, classes = given
    x = torch.relu(torch.addmm(b1, x, w1))
    x = torch.relu(torch.addmm(b2, x, w2))
    x = torch.addmm(b3, x, w3)
    return torch.mean(torch.logsumexp(x, 1) - torch.sum(x * classes, 1))


def mixture(d: int) -> Callable[..., Any]:
    where = torch.from_numpy(triangle(d))

    def gmm(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
        q, lower = torch.exp(icf[:, :d]), icf[:, d:]
        padded = torch.cat([lower, lower.new_zeros((lower.shape[0], 1))], 1)
        factor = padded[:, where]
        centred = x[None, :, :] - means[:, None, :]
        z = q[:, None, :] * centred + torch.bmm(centred, factor.transpose(1, 2))
        weight = alphas + torch.sum(icf[:, :d], 1)
        inner = weight[:, None] - 0.5 * torch.sum(z**2, 2)
        prior = 0.5 * (torch.sum(q**2) + torch.sum(lower**2))
        total = torch.sum(torch.logsumexp(inner, 0))
        return total - x.shape[0] * torch.logsumexp(alphas, 0) + prior

    return gmm


def recurrent(main: Any, extra: Any, state: Any, text: Any) -> Any:
    held = main.reshape(2, 2, 4, 14)
    states, guesses = list(state), []
    scaled = text * extra[0]
    for x in scaled[:-1]:
        for i in range(2):
            hidden, memory = states[2 * i], states[2 * i + 1]
            inner = torch.stack([x, hidden, x, hidden]) * held[i, 0] + held[i, 1]
            forget, take, show = torch.sigmoid(inner[:3])
            memory = memory * forget + take * torch.tanh(inner[3])
            x = show * torch.tanh(memory)
            states[2 * i : 2 * i + 2] = [x, memory]
        guesses.append(x)
    guess = torch.stack(guesses) * extra[1] + extra[2]
    guess = guess - torch.log(torch.exp(guess).sum(1, keepdim=True) + 2)
    return -torch.sum(text[1:] * guess) / ((len(text) - 1) * 14)


def predators(steps: int) -> Callable[..., Any]:
    def final(rates: Any, start: Any) -> Any:
        held, (u, v) = rates.unbind(), start.unbind()
        for _ in range(steps):
            u, v = runge_kutta(u, v, held, STEP)
        return u * u + v * v

    return final


def convolved(x: Any, filters: Any) -> Any:
    out = torch.nn.functional.conv2d(
        x.permute(0, 3, 1, 2), filters.permute(3, 2, 0, 1), padding=1
    )
    return 0.5 * torch.sum(out**2)


def gaussian_process(theta: Any, x: Any, y: Any, unit: Any) -> Any:
    scaled = x * torch.exp(-theta[:4])
    norms = torch.sum(scaled * scaled, 1)
    distance = norms[:, None] + norms[None, :] - 2 * (scaled @ scaled.T)
    kernel = torch.exp(theta[4] - 0.5 * distance) + torch.exp(theta[5]) * unit
    factor = torch.linalg.cholesky(kernel)
    z = torch.linalg.solve_triangular(factor, y[:, None], upper=False)
    return 0.5 * torch.sum(z * z) + torch.sum(torch.log(torch.diagonal(factor)))


def roots(x: Any) -> Any:
    y = x
    for _ in range(DEPTH):
        y = 0.5 * (y + x / y)
    return torch.sum(y)


def chained(ops: int) -> Callable[..., Any]:
    def chain(x: Any, a: Any) -> Any:
        for _ in range(ops // 3):
            x = torch.sin(x) * a + x
        return torch.sum(x)

    return chain


def errors(p: Any, feature: Any) -> Any:
    turn, point = p[:, 0:3], p[:, 11:14] - p[:, 3:6]
    angle = torch.sqrt(torch.sum(turn * turn, 1, keepdim=True))
    axis, cos = turn / angle, torch.cos(angle)
    along = torch.sum(axis * point, 1, keepdim=True) * (1 - cos)
    turned = torch.linalg.cross(axis, point)
    seen = point * cos + turned * torch.sin(angle) + axis * along
    flat = seen[:, :2] / seen[:, 2:3]
    square = torch.sum(flat * flat, 1, keepdim=True)
    radial = p[:, 6:7] * (1 + p[:, 9:10] * square + p[:, 10:11] * square**2)
    return p[:, 14:15] * (radial * flat + p[:, 7:9] - feature)


SCALARS: dict[str, Callable[..., Callable[..., Any]]] = {
    "scalar": lambda: lambda x: x**2,
    "rosen": lambda n: rosenbrock,
    "elem": lambda n: elem,
    "bs": lambda n: bs,
    "logreg": lambda n: logreg,
    "poisson": lambda n: poisson,
    "mlp": lambda n: mlp,
    "gmm": lambda d, k, n: mixture(d),
    "lstm": lambda n: recurrent,
    "ode": predators,
    "conv": lambda n: convolved,
    "gp": lambda n: gaussian_process,
    "newton": lambda n: roots,
    "chain": chained,
}
UNROLLED = {"lstm": 1, "ode": 1, "chain": 3}  # operations that are one step of a loop


def call(workload: Workload, compiling: bool) -> Call:
    kind = workload.kind
    steps = workload.size[0] // UNROLLED[kind] if kind in UNROLLED else 0
    if compiling and steps > MOST_STEPS:
        raise NotBuilt(f"more than {MOST_STEPS} unrolled steps take minutes to compile")
    arrays = [torch.from_numpy(a.copy()) for a in workload.arrays]
    wrap = torch.compile if compiling else lambda f: f
    if kind in SCALARS:
        f = wrap(SCALARS[kind](*workload.size))
        by = [arrays[k].requires_grad_() for k in ARGUMENTS[kind]]

        def run() -> Any:
            value = f(*arrays)
            return value.detach(), *torch.autograd.grad(value, by)

        return run
    if kind == "ba":
        f, (p, feature) = wrap(errors), arrays
        p.requires_grad_()

        def blocks() -> Any:
            both = f(p, feature).sum(0)
            first = torch.autograd.grad(both[0], p, retain_graph=True)[0]
            return torch.stack([first, torch.autograd.grad(both[1], p)[0]], 1)

        return blocks
    made = {
        "hess": torch.func.hessian(rosenbrock),
        "hvp": lambda x, v: torch.func.jvp(torch.func.grad(rosenbrock), (x,), (v,))[1],
        "jac": torch.func.jacrev(lambda w, x: torch.tanh(w @ x), 1),
    }
    f = wrap(made.get(kind) or getattr(torch, kind))
    return lambda: f(*arrays)


def load(threads: int) -> list[Contender]:
    torch.set_num_threads(threads)
    if torch.get_num_interop_threads() != 1:
        torch.set_num_interop_threads(1)
    kinds = (*SCALARS, "ba", "hess", "hvp", "jac", "exp", "log", "sin", "tanh", "erf")
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")

    def form(compiling: bool) -> Form:
        return lambda workload: call(workload, compiling)

    version = torch.__version__
    return [
        Contender("torch", version, dict.fromkeys(kinds, form(False))),
        Contender(
            "torch compile", version, dict.fromkeys(kinds, form(True)), asked=True
        ),
    ]
