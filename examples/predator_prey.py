"""Fit a differential equation to measurements: predators and prey.

    python examples/predator_prey.py

dx/dt = a x - b x y,  dy/dt = c x y - d y    (Lotka and Volterra)

The solver is a Python loop of Runge and Kutta's fourth-order steps. Tracing unrolls it,
so the gradient goes through every step and is exact for what was computed.
"""

from typing import Any

import numpy as np
import pullback as pb
from scipy.optimize import OptimizeResult, minimize

Array = np.ndarray[Any, np.dtype[np.float64]]
TRUE = np.array([1.1, 0.4, 0.1, 0.4])
START = np.array([8.0, 4.0])
STEP, POINTS, EVERY = 0.25, 12, 2  # one measurement every two steps


def slope(state: Any, rates: Any) -> Any:
    x, y = state[0], state[1]
    a, b, c, d = rates[0], rates[1], rates[2], rates[3]
    return np.stack([a * x - b * x * y, c * x * y - d * y])


def step(state: Any, rates: Any) -> Any:
    k1 = slope(state, rates)
    k2 = slope(state + 0.5 * STEP * k1, rates)
    k3 = slope(state + 0.5 * STEP * k2, rates)
    k4 = slope(state + STEP * k3, rates)
    return state + STEP / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


def solve(rates: Any) -> Any:
    """Return the state at the times of measurement, (POINTS, 2)."""
    state, seen = START, []
    for _ in range(POINTS):
        for _ in range(EVERY):
            state = step(state, rates)
        seen.append(state)
    return np.stack(seen)


def misfit(logs: Any, measured: Any) -> Any:
    """Return the mean squared error; rates are positive, so their logs are fitted."""
    return np.mean((solve(np.exp(logs)) - measured) ** 2)


value_and_grad = pb.value_and_grad(misfit)


def data() -> Array:
    noise = np.random.default_rng(3).standard_normal((POINTS, 2))
    exact: Array = solve(TRUE)
    return exact + 0.05 * noise


def fit(measured: Array) -> OptimizeResult:
    start = np.log(np.array([0.8, 0.3, 0.15, 0.5]))
    return minimize(value_and_grad, start, args=(measured,), jac=True, method="BFGS")


def main() -> None:
    found = fit(data())
    print(f"{found.nit} iterations, mean squared error {found.fun:.6f}")
    print("true rates ", TRUE)
    print("found rates", np.exp(found.x).round(4))


if __name__ == "__main__":
    main()
