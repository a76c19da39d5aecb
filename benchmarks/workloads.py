"""What is timed: names, and the data that every contender gets.

A name is a kind and its sizes, `gmm_10_25`; `_f32` at its end is single precision. The
functions are in `contenders/`, one file for each way of computing them.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

# Kind -> the sizes a name without them has.
KINDS: dict[str, tuple[int, ...]] = {
    "scalar": (), "rosen": (1000,), "elem": (1000,), "bs": (1_000_000,),
    "logreg": (10_000,), "poisson": (10_000,), "mlp": (128,), "gmm": (10, 25, 1000),
    "ba": (10_000,), "lstm": (100,), "ode": (1000,), "hess": (100,), "hvp": (100_000,),
    "jac": (300,), "conv": (16,), "chain": (100,), "gp": (500,), "newton": (100_000,),
    "exp": (100_000,), "log": (100_000,), "sin": (100_000,), "tanh": (100_000,),
    "erf": (100_000,),
}  # fmt: skip
FUNCTIONS = ("exp", "log", "sin", "tanh", "erf")  # one function of each element
WORKLOADS = (
    "scalar", "rosen_10", "rosen_1000", "rosen_1000000", "elem_1000", "elem_1000000",
    "elem_1000_f32", "elem_1000000_f32", "bs_1000000", "logreg", "poisson", "mlp_f32",
    "gmm_2_5", "gmm_10_25", "gmm_32_50", "gmm_64_100", "ba_10000", "lstm_100", "ode",
    "newton", "hess_100", "hvp_100000", "jac_300", "conv_f32", "chain_100",
    "chain_1000", "gp_500",
    *(f"{f}{t}" for t in ("", "_f32") for f in FUNCTIONS),
)  # fmt: skip
WIDE = ("rosen_1000000", "elem_1000000", "elem_1000000_f32", "bs_1000000")
STEP = 0.01  # of the differential equation
DEPTH = 6  # Newton's steps
MEANING = {
    "scalar": "x**2 of one number",
    "rosen": "Rosenbrock's function of N numbers",
    "elem": "sum of sin(x) exp(-x^2) + log1p(x^2), N numbers",
    "bs": "N Black-Scholes prices with erf, gradient by all five inputs",
    "logreg": "logistic regression, N x 100",
    "poisson": "Poisson regression, N x 20, with its prior",
    "mlp": "784-256-128-10 perceptron with softmax, batch N",
    "gmm": "mixture of K Gaussians in D dimensions with full covariances, 1,000 points",
    "ba": "bundle adjustment: the 2 x 15 Jacobian of each of N observations",
    "lstm": "two layers of 14, N characters",
    "ode": "Runge-Kutta through a Lotka-Volterra system, 1,000 steps; gradient by four "
    "parameters and the start",
    "newton": "N square roots by six steps of Newton's method",
    "hess": "dense Hessian of Rosenbrock's function",
    "hvp": "Hessian of Rosenbrock's function times a vector",
    "jac": "Jacobian of a layer of N x 26",
    "conv": "3 x 3 convolution, 32 to 64 channels, 28 x 28, batch N",
    "chain": "N elementwise operations, unrolled, on 1,000 numbers",
    "gp": "Gaussian process, N points: Cholesky factor, solve, log determinant",
    **{f: f"{f} of N numbers, the value alone" for f in FUNCTIONS},
}


@dataclass(frozen=True)
class Workload:
    """A name, taken apart, and its arguments."""

    name: str
    kind: str
    size: tuple[int, ...]
    single: bool
    arrays: tuple[Array, ...]

    @property
    def tolerance(self) -> float:
        """The largest difference two contenders may have, over the largest element."""
        return 1e-4 if self.single else 1e-8


def workload(name: str) -> Workload:
    """Return the workload of a name; a name it does not know is an error."""
    kind, *parts = name.removesuffix("_f32").split("_")
    known = KINDS.get(kind)
    if known is None or not all(p.isdigit() for p in parts) or len(parts) > len(known):
        raise SystemExit(f"no workload {name!r}: kinds are {', '.join(KINDS)}")
    size = tuple(map(int, parts)) + known[len(parts) :]
    single = name.endswith("_f32")
    made = MAKERS.get(kind, _positive)(np.random.default_rng(0), *size)
    if single:
        made = tuple(a.astype("f4") for a in made)
    return Workload(name, kind, size, single, made)


def triangle(d: int) -> Array:
    """Where each element of a strictly lower triangle is in its columns, one by one."""
    size = d * (d - 1) // 2
    where = np.full((d, d), size)
    columns, rows = np.triu_indices(d, 1)
    where[rows, columns] = np.arange(size)
    return where


def _positive(rng: np.random.Generator, n: int) -> tuple[Array, ...]:
    return (rng.uniform(0.1, 3.0, n),)


def _rosen(rng: np.random.Generator, n: int) -> tuple[Array, ...]:
    return (rng.uniform(-1.5, 1.5, n),)


def _hvp(rng: np.random.Generator, n: int) -> tuple[Array, ...]:
    return rng.uniform(-1.5, 1.5, n), rng.standard_normal(n)


def _bs(rng: np.random.Generator, n: int) -> tuple[Array, ...]:
    """Spot, strike, time, rate, volatility."""
    ends = ((50, 150), (50, 150), (0.1, 2), (0, 0.1), (0.1, 0.6))
    return tuple(rng.uniform(*pair, n) for pair in ends)


def _logreg(rng: np.random.Generator, n: int) -> tuple[Array, ...]:
    """Weights, intercept, features, classes of +1 and -1."""
    features = rng.standard_normal((n, 100))
    y = np.where(rng.random(n) < 0.5, -1.0, 1.0)
    return rng.standard_normal(100) * 0.1, np.asarray(0.1), features, y


def _poisson(rng: np.random.Generator, n: int) -> tuple[Array, ...]:
    """Coefficients, features, counts."""
    beta, features = rng.standard_normal(20) * 0.2, rng.standard_normal((n, 20))
    return beta, features, rng.poisson(np.exp(features @ beta)).astype(float)


def _mlp(rng: np.random.Generator, batch: int) -> tuple[Array, ...]:
    """Three weights and biases, inputs, classes as rows of zeros and a one."""
    widths, parts = (784, 256, 128, 10), []
    for rows, columns in itertools.pairwise(widths):
        parts.append(rng.standard_normal((rows, columns)) * np.sqrt(2 / rows))
        parts.append(rng.standard_normal(columns) * 0.1)
    x = rng.standard_normal((batch, 784))
    return (*parts, x, np.eye(10)[rng.integers(0, 10, batch)])


def _gmm(rng: np.random.Generator, d: int, k: int, n: int) -> tuple[Array, ...]:
    """Log weights, means, inverse factors (log diagonal, then triangle), points."""
    icf = rng.standard_normal((k, d + d * (d - 1) // 2)) * 0.3
    alphas, means = rng.standard_normal(k), rng.random((k, d))
    return alphas, means, icf, rng.standard_normal((n, d))


def _ba(rng: np.random.Generator, n: int) -> tuple[Array, ...]:
    """For each observation a camera of 11, a point and a weight; features."""
    parts = (
        rng.standard_normal((n, 3)) * 0.3,  # rotation
        rng.standard_normal((n, 3)) * 0.2,  # centre
        rng.uniform(0.5, 1.5, (n, 1)),  # focal length
        rng.standard_normal((n, 4)) * 0.05,  # principal point, radial coefficients
        rng.uniform(-1, 1, (n, 2)), rng.uniform(3, 6, (n, 1)),  # point
        rng.uniform(0.5, 1.5, (n, 1)),  # weight
    )  # fmt: skip
    return np.concatenate(parts, 1), rng.standard_normal((n, 2))


def _lstm(rng: np.random.Generator, chars: int) -> tuple[Array, ...]:
    """Weights and biases of two layers, scales, first state, text."""
    main, extra = rng.standard_normal((4, 56)) * 0.5, rng.standard_normal((3, 14)) * 0.5
    return main, extra, rng.standard_normal((4, 14)) * 0.5, rng.random((chars, 14))


def _ode(_rng: np.random.Generator, _steps: int) -> tuple[Array, ...]:
    """Rates, start."""
    return np.array([1.1, 0.4, 0.1, 0.4]), np.array([10.0, 5.0])


def _conv(rng: np.random.Generator, batch: int) -> tuple[Array, ...]:
    """Images (batch, row, column, channel), filters (row, column, in, out)."""
    x = rng.standard_normal((batch, 28, 28, 32))
    return x, rng.standard_normal((3, 3, 32, 64)) * 0.06


def _gp(rng: np.random.Generator, n: int) -> tuple[Array, ...]:
    """Log scales, log variance and log noise; points, targets, the unit matrix."""
    x = rng.standard_normal((n, 4))
    y = np.sin(x.sum(axis=1)) + 0.1 * rng.standard_normal(n)
    return np.array([0.0, 0.0, 0.0, 0.0, 0.0, -2.0]), x, y, np.eye(n)


MAKERS: dict[str, Callable[..., tuple[Array, ...]]] = {
    "scalar": lambda rng: (np.asarray(3.0),),
    "rosen": _rosen,
    "hess": _rosen,
    "hvp": _hvp,
    "elem": lambda rng, n: (rng.standard_normal(n),),
    "bs": _bs,
    "logreg": _logreg,
    "poisson": _poisson,
    "mlp": _mlp,
    "gmm": _gmm,
    "ba": _ba,
    "lstm": _lstm,
    "ode": _ode,
    "conv": _conv,
    "chain": lambda rng, _: (rng.uniform(0.5, 1, 1000), rng.uniform(-0.02, 0.02, 1000)),
    "gp": _gp,
    "jac": lambda rng, n: (rng.standard_normal((n, 26)) / 5, rng.standard_normal(26)),
    "newton": _positive,
}
