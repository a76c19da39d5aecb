"""Complete a matrix of which only some entries were seen, by two thin factors.

    python examples/factorize.py

The rows could be people, the columns films, the entries ratings. What was not seen is
NaN in the data; a sum over what was seen needs no value there.
"""

from typing import Any

import numpy as np
import pullback as pb
from scipy.optimize import OptimizeResult, minimize

Array = np.ndarray[Any, np.dtype[np.float64]]
ROWS, COLUMNS, RANK = 60, 40, 2
RIDGE = 0.1


def loss(factors: Any, seen: Any) -> Any:
    """Return the squared error where `seen` has a number, plus a ridge."""
    left, right = factors["left"], factors["right"]
    known = ~np.isnan(seen)
    error = np.where(known, left @ right.T - seen, 0.0)
    ridge = np.sum(left**2) + np.sum(right**2)
    return 0.5 * np.sum(error**2) + 0.5 * RIDGE * ridge


value_and_grad = pb.value_and_grad(loss)


def unpack(flat: Array) -> dict[str, Array]:
    """Return SciPy's vector as the factors it stands for."""
    left, right = np.split(flat, [ROWS * RANK])
    return {"left": left.reshape(ROWS, RANK), "right": right.reshape(COLUMNS, RANK)}


def objective(flat: Array, seen: Array) -> tuple[float, Array]:
    value, slopes = value_and_grad(unpack(flat), seen)
    return float(value), np.concatenate(
        [slopes["left"].ravel(), slopes["right"].ravel()]
    )


def data() -> tuple[Array, Array]:
    """Return the whole matrix, and what was seen of it."""
    rng = np.random.default_rng(4)
    left, right = (
        rng.standard_normal((ROWS, RANK)),
        rng.standard_normal((COLUMNS, RANK)),
    )
    whole = left @ right.T
    hidden = rng.random(whole.shape) > 0.6
    noisy = whole + 0.01 * rng.standard_normal(whole.shape)
    return whole, np.where(hidden, np.nan, noisy)


def start() -> Array:
    rng = np.random.default_rng(5)
    return 0.5 * rng.standard_normal((ROWS + COLUMNS) * RANK)


def fit(seen: Array) -> OptimizeResult:
    options = {"maxiter": 500, "ftol": 1e-14, "gtol": 1e-7}
    return minimize(
        objective, start(), args=(seen,), jac=True, method="L-BFGS-B", options=options
    )


def main() -> None:
    whole, seen = data()
    found = fit(seen)
    factors = unpack(found.x)
    hidden = np.isnan(seen)
    error = (factors["left"] @ factors["right"].T - whole)[hidden]
    print(f"{found.nit} iterations, {np.mean(hidden):.0%} of the entries hidden")
    print(f"root mean square of the hidden: {np.std(whole[hidden]):.3f}")
    print(f"of the error there: {np.sqrt(np.mean(error**2)):.3f}")


if __name__ == "__main__":
    main()
