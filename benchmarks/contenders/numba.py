"""Some workloads by numba, with derivatives written by hand as loops."""

import math
from typing import Any

import llvmlite
import numba
import numpy as np
from numba import njit
from workloads import FUNCTIONS, Workload

from . import Call, Contender


@njit(fastmath=True)
def scalar(x: Any) -> Any:
    return x * x, 2 * x


@njit(fastmath=True)
def rosen(x: Any) -> Any:
    g = np.zeros_like(x)
    value = 0.0
    for i in range(len(x) - 1):
        here, rest = x[i + 1] - x[i] * x[i], 1 - x[i]
        value += 100 * here * here + rest * rest
        g[i] += -400 * x[i] * here - 2 * rest
        g[i + 1] = 200 * here
    return value, g


@njit(fastmath=True)
def elem(x: Any) -> Any:
    g = np.empty_like(x)
    value = 0.0
    for i in range(len(x)):
        square = x[i] * x[i]
        sine, bell = math.sin(x[i]), math.exp(-square)
        value += sine * bell + math.log1p(square)
        g[i] = bell * (math.cos(x[i]) - 2 * x[i] * sine) + 2 * x[i] / (1 + square)
    return value, g


@njit(fastmath=True)
def bs(spot: Any, strike: Any, time: Any, rate: Any, vol: Any) -> Any:
    g = [np.empty_like(spot) for _ in range(5)]
    value, half = 0.0, math.sqrt(0.5)
    for i in range(len(spot)):
        s, k, t, r, v = spot[i], strike[i], time[i], rate[i], vol[i]
        root = math.sqrt(t)
        wide = v * root
        up = (math.log(s / k) + (r + 0.5 * v * v) * t) / wide
        n_up = 0.5 + 0.5 * math.erf(up * half)
        n_down = 0.5 + 0.5 * math.erf((up - wide) * half)
        discount = math.exp(-r * t)
        paid = k * discount * n_down
        density = 0.3989422804014327 * math.exp(-0.5 * up * up)
        value += s * n_up - paid
        g[0][i], g[1][i] = n_up, -discount * n_down
        g[2][i] = s * density * v / (2 * root) + r * paid
        g[3][i], g[4][i] = t * paid, s * density * root
    return value, g[0], g[1], g[2], g[3], g[4]


@njit(fastmath=True)
def logreg(w: Any, b: Any, features: Any, y: Any) -> Any:
    z = features @ w
    slope = np.empty_like(z)
    value = by_b = 0.0
    for i in range(len(z)):
        m = -y[i] * (z[i] + b)
        e = math.exp(-abs(m))
        value += max(m, 0.0) + math.log1p(e)
        slope[i] = -y[i] * (1.0 if m > 0 else e) / (1 + e)
        by_b += slope[i]
    return value, slope @ features, by_b


@njit(fastmath=True)
def poisson(beta: Any, features: Any, y: Any) -> Any:
    eta = features @ beta
    value = 0.5 * (beta @ beta)
    for i in range(len(eta)):
        mean = math.exp(eta[i])
        value += mean - y[i] * eta[i]
        eta[i] = mean - y[i]
    return value, eta @ features + beta


@njit(fastmath=True)
def hess(x: Any) -> Any:
    n = len(x)
    h = np.zeros((n, n))
    for i in range(n - 1):
        h[i, i] += 1200 * x[i] * x[i] - 400 * x[i + 1] + 2
        h[i + 1, i + 1] += 200
        h[i, i + 1] = h[i + 1, i] = -400 * x[i]
    return h


@njit(fastmath=True)
def hvp(x: Any, v: Any) -> Any:
    h = np.zeros_like(x)
    for i in range(len(x) - 1):
        h[i] += (1200 * x[i] * x[i] - 400 * x[i + 1] + 2) * v[i] - 400 * x[i] * v[i + 1]
        h[i + 1] = 200 * v[i + 1] - 400 * x[i] * v[i]
    return h


@njit(fastmath=True)
def newton(x: Any) -> Any:
    g = np.empty_like(x)
    value = 0.0
    for i in range(len(x)):
        y, dy = x[i], 1.0
        for _ in range(6):
            q = x[i] / y
            dy = 0.5 * (dy + (1 - q * dy) / y)
            y = 0.5 * (y + q)
        value += y
        g[i] = dy
    return value, g


@njit(fastmath=True)
def slope(u: Any, v: Any, du: Any, dv: Any, r: Any, out: Any) -> Any:
    """The slopes of both numbers, and of their six tangents each into `out`."""
    a, p = r[0] - r[1] * v, r[2] * u - r[3]
    for k in range(6):
        out[0, k] = a * du[k] - r[1] * u * dv[k]
        out[1, k] = p * dv[k] + r[2] * v * du[k]
    out[0, 0] += u
    out[0, 1] -= u * v
    out[1, 2] += u * v
    out[1, 3] -= v
    return u * a, v * p


@njit(fastmath=True)
def ode(rates: Any, start: Any, steps: Any) -> Any:
    u, v, h = start[0], start[1], 0.01
    d, k = np.zeros((2, 6)), np.zeros((4, 2, 6))
    d[0, 4] = d[1, 5] = 1.0
    for _ in range(steps):
        a, p = slope(u, v, d[0], d[1], rates, k[0])
        e = d + 0.5 * h * k[0]
        b, q = slope(u + 0.5 * h * a, v + 0.5 * h * p, e[0], e[1], rates, k[1])
        e = d + 0.5 * h * k[1]
        c, r = slope(u + 0.5 * h * b, v + 0.5 * h * q, e[0], e[1], rates, k[2])
        e = d + h * k[2]
        f, s = slope(u + h * c, v + h * r, e[0], e[1], rates, k[3])
        u, v = u + h / 6 * (a + 2 * b + 2 * c + f), v + h / 6 * (p + 2 * q + 2 * r + s)
        d += h / 6 * (k[0] + 2 * k[1] + 2 * k[2] + k[3])
    g = 2 * u * d[0] + 2 * v * d[1]
    return u * u + v * v, g[:4], g[4:]


def mapped(f: Any) -> Any:
    @njit(fastmath=True)
    def run(x: Any) -> Any:
        y = np.empty_like(x)
        for i in range(len(x)):
            y[i] = f(x[i])
        return y

    return run


FORMS = {
    "scalar": scalar, "rosen": rosen, "elem": elem, "bs": bs, "logreg": logreg,
    "poisson": poisson, "hess": hess, "hvp": hvp, "newton": newton, "ode": ode,
    **{f: mapped(getattr(math, f)) for f in FUNCTIONS},
}  # fmt: skip


def call(workload: Workload) -> Call:
    f, arrays = FORMS[workload.kind], workload.arrays
    given: tuple[Any, ...] = tuple(a if a.ndim else float(a) for a in arrays)
    if workload.kind == "ode":
        given = (*given, workload.size[0])
    return lambda: f(*given)


def load(threads: int) -> list[Contender]:
    if threads > 1:
        raise OSError("written for one thread")
    try:
        scalar(1.0)
    except Exception as error:  # it imports beside a newer llvmlite, and fails later
        held = f"numba {numba.__version__} beside llvmlite {llvmlite.__version__}"
        raise OSError(f"{held} does not compile: {error}") from error
    return [Contender("numba", numba.__version__, dict.fromkeys(FORMS, call))]
