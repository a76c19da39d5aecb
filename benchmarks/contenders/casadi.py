"""The workloads in CasADi: in its virtual machine, or as C through gcc when named."""

import importlib.metadata
import shutil
from collections.abc import Callable
from typing import Any

import casadi as ca
import numpy as np
from workloads import DEPTH, FUNCTIONS, STEP, Workload

from . import Call, Contender, Form, NotBuilt
from .arrays import ARGUMENTS, runge_kutta

MOST_C = 20_000  # instructions of C that gcc compiles in seconds
MX, SX = ca.MX, ca.SX


def total(x: Any) -> Any:
    return ca.sum1(x)


def rosen(x: Any) -> Any:
    return total(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def elem(x: Any) -> Any:
    return total(ca.sin(x) * ca.exp(-x * x) + ca.log1p(x * x))


def bs(spot: Any, strike: Any, time: Any, rate: Any, vol: Any) -> Any:
    wide = vol * ca.sqrt(time)
    up = (ca.log(spot / strike) + (rate + 0.5 * vol * vol) * time) / wide
    n_up, n_down = (0.5 * (1 + ca.erf(z * 0.5**0.5)) for z in (up, up - wide))
    return total(spot * n_up - strike * ca.exp(-rate * time) * n_down)


def roots(x: Any) -> Any:
    y = x
    for _ in range(DEPTH):
        y = 0.5 * (y + x / y)
    return total(y)


def logreg(w: Any, b: Any, features: Any, y: Any) -> Any:
    m = -y * (features @ w + b)
    return total(ca.fmax(m, 0) + ca.log1p(ca.exp(-ca.fabs(m))))


def poisson(beta: Any, features: Any, y: Any) -> Any:
    eta = features @ beta
    return total(ca.exp(eta) - y * eta) + 0.5 * ca.sumsqr(beta)


def errors(p: Any, feature: Any) -> Any:
    turn, point = p[0:3], p[11:14] - p[3:6]
    angle = ca.sqrt(ca.sumsqr(turn))
    axis, cos = turn / angle, ca.cos(angle)
    along = ca.dot(axis, point) * (1 - cos)
    seen = point * cos + ca.cross(axis, point) * ca.sin(angle) + axis * along
    flat = seen[:2] / seen[2]
    square = ca.sumsqr(flat)
    radial = p[6] * (1 + p[9] * square + p[10] * square**2)
    return p[14] * (radial * flat + p[7:9] - feature)


def letter(main: Any, extra: Any, state: Any, x: Any, follows: Any) -> tuple[Any, Any]:
    """One step of the recurrent network; all rows are columns here."""
    x, after = x * extra[:, 0], []
    for i in range(2):
        hidden, memory = state[:, 2 * i], state[:, 2 * i + 1]
        w, b = (ca.vertsplit(main[:, 2 * i + k], 14) for k in (0, 1))
        inner = [z * w[k] + b[k] for k, z in enumerate((x, hidden, x, hidden))]
        forget, take, show = (1 / (1 + ca.exp(-z)) for z in inner[:3])
        memory = memory * forget + take * ca.tanh(inner[3])
        x = show * ca.tanh(memory)
        after += [x, memory]
    guess = x * extra[:, 1] + extra[:, 2]
    guess = guess - ca.log(total(ca.exp(guess)) + 2)
    return ca.horzcat(*after), total(follows * guess)


def value_and_grad(value: Any, by: list[Any]) -> list[Any]:
    return [value, *(ca.gradient(value, x) for x in by)]


def lstm(workload: Workload) -> Any:
    main, extra = MX.sym("main", 56, 4), MX.sym("extra", 14, 3)
    state, text = MX.sym("state", 14, 4), MX.sym("text", 14, workload.size[0])
    s, x, follows = SX.sym("s", 14, 4), SX.sym("x", 14), SX.sym("y", 14)
    m, e = SX.sym("m", 56, 4), SX.sym("e", 14, 3)
    step = ca.Function("step", [m, e, s, x, follows], letter(m, e, s, x, follows))
    after, value = state, 0
    for t in range(workload.size[0] - 1):
        after, part = step(main, extra, after, text[:, t], text[:, t + 1])
        value = value - part
    value = value / ((workload.size[0] - 1) * 14)
    given = [main, extra, state, text]
    return ca.Function("f", given, value_and_grad(value, given[:2]))


def ode(workload: Workload) -> Any:
    rates, start, x = MX.sym("rates", 4), MX.sym("start", 2), SX.sym("x", 2)
    r = SX.sym("r", 4)
    after = ca.vertcat(*runge_kutta(x[0], x[1], [r[k] for k in range(4)], STEP))
    step = ca.Function("step", [x, r], [after]).mapaccum(workload.size[0])
    last = step(start, ca.repmat(rates, 1, workload.size[0]))[:, -1]
    given = [rates, start]
    return ca.Function("f", given, value_and_grad(ca.sumsqr(last), given))


def chain(workload: Workload) -> Any:
    first, a = MX.sym("x", 1000), MX.sym("a", 1000)
    x = first
    for _ in range(workload.size[0] // 3):
        x = ca.sin(x) * a + x
    return ca.Function("f", [first, a], value_and_grad(total(x), [first, a]))


def small(f: Callable[..., Any], workload: Workload) -> Any:
    """A function of whole arrays, as matrices."""
    given = [MX.sym(f"x{k}", *shape(a)) for k, a in enumerate(workload.arrays)]
    by = [given[k] for k in ARGUMENTS[workload.kind]]
    return ca.Function("f", given, value_and_grad(f(*given), by))


def shape(array: np.ndarray[Any, Any]) -> tuple[int, int]:
    rows, columns = (*array.shape, 1, 1)[:2]
    return rows, columns


def second(workload: Workload) -> Any:
    x = SX.sym("x", workload.size[0])
    slope = ca.gradient(rosen(x), x)
    if workload.kind == "hess":
        return ca.Function("f", [x], [ca.densify(ca.jacobian(slope, x))])
    v = SX.sym("v", workload.size[0])
    return ca.Function("f", [x, v], [ca.jtimes(slope, x, v)])


def ba(workload: Workload) -> Any:
    p, feature = SX.sym("p", 15), SX.sym("f", 2)
    block = ca.densify(
        ca.jacobian(errors(p, feature), p)
    ).T  # columns are what is stored
    one = ca.Function("one", [p, feature], [block])
    return one.map(workload.size[0])


MAKERS: dict[str, Callable[[Workload], Any]] = {
    "scalar": lambda w: small(lambda x: x**2, w),
    "rosen": lambda w: small(rosen, w),
    "elem": lambda w: small(elem, w),
    "bs": lambda w: small(bs, w),
    "newton": lambda w: small(roots, w),
    "logreg": lambda w: small(logreg, w),
    "poisson": lambda w: small(poisson, w),
    "lstm": lstm,
    "ode": ode,
    "chain": chain,
    "hess": second,
    "hvp": second,
    "ba": ba,
    **{
        name: lambda w, name=name: ca.Function(
            "f", [x := MX.sym("x", w.size[0])], [getattr(ca, name)(x)]
        )
        for name in FUNCTIONS
    },
}


def held(workload: Workload) -> list[np.ndarray[Any, Any]]:
    """The arguments as CasADi stores them: columns one after the other."""
    if workload.kind in ("ba", "lstm"):
        return [np.ascontiguousarray(a).reshape(-1) for a in workload.arrays]
    return [np.asarray(a.T, order="C").reshape(-1) for a in workload.arrays]


def results(workload: Workload) -> list[np.ndarray[Any, Any]]:
    arrays, n = workload.arrays, workload.size[0] if workload.size else 0
    if workload.kind in ARGUMENTS:
        return [np.zeros(())] + [
            np.zeros_like(arrays[k]) for k in ARGUMENTS[workload.kind]
        ]
    shapes = {"hess": (n, n), "ba": (n, 2, 15)}
    return [np.zeros(shapes.get(workload.kind, arrays[0].shape))]


def call(workload: Workload, through_c: bool) -> Call:
    """Return a call that reads and writes arrays in place, without conversions."""
    if workload.single:
        raise NotBuilt("it knows double precision alone")
    f = MAKERS[workload.kind](workload)
    if through_c:
        if not f.is_a("Map") and f.n_instructions() > MOST_C:
            raise NotBuilt("its C would take minutes to compile")
        flags = {"compiler": "gcc", "flags": ["-O3", "-march=native"]}
        options = {"compiler": "shell", "jit": True, "jit_options": flags}
        given = f.mx_in()
        f = ca.Function("g", given, f.call(given), options)
    arguments, made = held(workload), results(workload)
    buffer, run = f.buffer()
    for k, array in enumerate(arguments):
        buffer.set_arg(k, memoryview(array))
    for k, array in enumerate(made):
        buffer.set_res(k, memoryview(array.reshape(-1)))

    def once(kept: Any = (f, buffer, arguments)) -> Any:
        run()
        return made

    return once


def load(threads: int) -> list[Contender]:
    if threads > 1:
        raise OSError("its maps are timed on one thread")
    version = importlib.metadata.version("casadi")

    def form(through_c: bool) -> Form:
        return lambda workload: call(workload, through_c)

    found = [Contender("casadi", version, dict.fromkeys(MAKERS, form(False)))]
    if shutil.which("gcc"):
        forms = dict.fromkeys(MAKERS, form(True))
        found.append(Contender("casadi C", version, forms, asked=True))
    return found
