"""The workloads in TensorFlow, by tf.function, and by XLA when named."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf
from workloads import DEPTH, STEP, Workload, triangle

from . import Call, Contender, Form, NotBuilt
from .arrays import ARGUMENTS, gates, runge_kutta

MOST_OPS = 1000  # of an unrolled chain
ROOT_HALF = 0.5**0.5


def rosenbrock(x: Any) -> Any:
    return tf.reduce_sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def elem(x: Any) -> Any:
    return tf.reduce_sum(tf.sin(x) * tf.exp(-x * x) + tf.math.log1p(x * x))


def bs(spot: Any, strike: Any, time: Any, rate: Any, vol: Any) -> Any:
    wide = vol * tf.sqrt(time)
    up = (tf.math.log(spot / strike) + (rate + 0.5 * vol * vol) * time) / wide
    n_up, n_down = (0.5 * (1 + tf.math.erf(z * ROOT_HALF)) for z in (up, up - wide))
    return tf.reduce_sum(spot * n_up - strike * tf.exp(-rate * time) * n_down)


def logreg(w: Any, b: Any, features: Any, y: Any) -> Any:
    return tf.reduce_sum(tf.nn.softplus(-y * (tf.linalg.matvec(features, w) + b)))


def poisson(beta: Any, features: Any, y: Any) -> Any:
    eta = tf.linalg.matvec(features, beta)
    return tf.reduce_sum(tf.exp(eta) - y * eta) + 0.5 * tf.reduce_sum(beta**2)


def mlp(*given: Any) -> Any:
    w1, b1, w2, b2, w3, b3, x, classes = given
    x = tf.nn.relu(x @ w1 + b1)
    x = tf.nn.relu(x @ w2 + b2)
    x = x @ w3 + b3
    return tf.reduce_mean(tf.reduce_logsumexp(x, 1) - tf.reduce_sum(x * classes, 1))


def mixture(d: int) -> Callable[..., Any]:
    where = triangle(d)

    def gmm(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
        q, lower = tf.exp(icf[:, :d]), icf[:, d:]
        padded = tf.pad(lower, ((0, 0), (0, 1)))
        factor = tf.gather(padded, where, axis=1)
        centred = x[None, :, :] - means[:, None, :]
        z = q[:, None, :] * centred + tf.matmul(centred, factor, transpose_b=True)
        weight = alphas + tf.reduce_sum(icf[:, :d], 1)
        inner = weight[:, None] - 0.5 * tf.reduce_sum(z**2, 2)
        prior = 0.5 * (tf.reduce_sum(q**2) + tf.reduce_sum(lower**2))
        total = tf.reduce_sum(tf.reduce_logsumexp(inner, 0))
        return total - x.shape[0] * tf.reduce_logsumexp(alphas) + prior

    return gmm


def recurrent(main: Any, extra: Any, state: Any, text: Any) -> Any:
    held, steps = tf.reshape(main, (2, 2, 4, 14)), text.shape[0] - 1

    def step(t: Any, state: Any, total: Any) -> Any:
        x, after = text[t] * extra[0], []
        for i in range(2):
            inner = tf.stack([x, state[2 * i], x, state[2 * i]])
            inner = inner * held[i, 0] + held[i, 1]
            x, memory = gates(tf, tf.sigmoid, inner, state[2 * i + 1])
            after += [x, memory]
        guess = x * extra[1] + extra[2]
        guess = guess - tf.math.log(tf.reduce_sum(tf.exp(guess)) + 2)
        total = total + tf.reduce_sum(text[t + 1] * guess)
        return t + 1, tf.stack(after), total

    _, _, total = tf.while_loop(
        lambda t, *_: t < steps, step, (0, state, tf.zeros((), tf.float64)),
        maximum_iterations=steps,
    )  # fmt: skip
    return -total / (steps * 14)


def predators(steps: int) -> Callable[..., Any]:
    def final(rates: Any, start: Any) -> Any:
        def step(t: Any, u: Any, v: Any) -> Any:
            return t + 1, *runge_kutta(u, v, rates, STEP)

        _, u, v = tf.while_loop(
            lambda t, *_: t < steps, step, (0, start[0], start[1]),
            maximum_iterations=steps,
        )  # fmt: skip
        return u * u + v * v

    return final


def convolved(x: Any, filters: Any) -> Any:
    return 0.5 * tf.reduce_sum(tf.nn.conv2d(x, filters, 1, "SAME") ** 2)


def gaussian_process(theta: Any, x: Any, y: Any, unit: Any) -> Any:
    scaled = x * tf.exp(-theta[:4])
    norms = tf.reduce_sum(scaled * scaled, 1)
    cross = tf.matmul(scaled, scaled, transpose_b=True)
    distance = norms[:, None] + norms[None, :] - 2 * cross
    kernel = tf.exp(theta[4] - 0.5 * distance) + tf.exp(theta[5]) * unit
    factor = tf.linalg.cholesky(kernel)
    z = tf.linalg.triangular_solve(factor, y[:, None])
    logs = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(factor)))
    return 0.5 * tf.reduce_sum(z * z) + logs


def roots(x: Any) -> Any:
    y = x
    for _ in range(DEPTH):
        y = 0.5 * (y + x / y)
    return tf.reduce_sum(y)


def chained(ops: int) -> Callable[..., Any]:
    if ops > MOST_OPS:
        raise NotBuilt(f"more than {MOST_OPS:,} operations take minutes to trace")

    def chain(x: Any, a: Any) -> Any:
        for _ in range(ops // 3):
            x = tf.sin(x) * a + x
        return tf.reduce_sum(x)

    return chain


def errors(p: Any, feature: Any) -> Any:
    turn, point = p[:, 0:3], p[:, 11:14] - p[:, 3:6]
    angle = tf.sqrt(tf.reduce_sum(turn * turn, 1, keepdims=True))
    axis, cos = turn / angle, tf.cos(angle)
    along = tf.reduce_sum(axis * point, 1, keepdims=True) * (1 - cos)
    swept = tf.linalg.cross(axis, point)
    seen = point * cos + swept * tf.sin(angle) + axis * along
    flat = seen[:, :2] / seen[:, 2:3]
    square = tf.reduce_sum(flat * flat, 1, keepdims=True)
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
FUNCTIONS = {
    "exp": tf.exp, "log": tf.math.log, "sin": tf.sin, "tanh": tf.tanh,
    "erf": tf.math.erf,
}  # fmt: skip


def derived(workload: Workload) -> Callable[..., Any]:
    kind = workload.kind
    if kind in SCALARS:
        f, by = SCALARS[kind](*workload.size), ARGUMENTS[kind]

        def value_and_grad(*arrays: Any) -> Any:
            watched = [arrays[k] for k in by]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(watched)
                value = f(*arrays)
            return value, *tape.gradient(value, watched)

        return value_and_grad
    if kind == "ba":

        def blocks(p: Any, feature: Any) -> Any:
            with tf.GradientTape(persistent=True) as tape:
                tape.watch(p)
                both = tf.unstack(tf.reduce_sum(errors(p, feature), 0))
            return tf.stack([tape.gradient(e, p) for e in both], 1)

        return blocks
    if kind in ("hess", "hvp"):

        def second(x: Any, *v: Any) -> Any:
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    value = rosenbrock(x)
                slope = inner.gradient(value, x)
            if not v:
                return outer.jacobian(slope, x)
            return outer.gradient(slope, x, output_gradients=v[0])

        return second
    if kind == "jac":

        def jacobian(w: Any, x: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.tanh(tf.linalg.matvec(w, x))
            return tape.jacobian(y, x)

        return jacobian
    return FUNCTIONS[kind]


def call(workload: Workload, xla: bool) -> Call:
    f = tf.function(derived(workload), jit_compile=xla)
    arrays = [tf.constant(a) for a in workload.arrays]

    def run() -> Any:
        out = f(*arrays)
        return [a.numpy() for a in out] if isinstance(out, tuple) else out.numpy()

    return run


def load(threads: int) -> list[Contender]:
    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    kinds = (*SCALARS, *FUNCTIONS, "ba", "hess", "hvp", "jac")

    def form(xla: bool) -> Form:
        return lambda workload: call(workload, xla)

    version = tf.__version__
    return [
        Contender("tensorflow", version, dict.fromkeys(kinds, form(False))),
        Contender(
            "tensorflow XLA", version, dict.fromkeys(kinds, form(True)), asked=True
        ),
    ]
