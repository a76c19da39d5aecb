"""Each fit reaches the optimum that gradients written by hand reach, as soon."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from example_tools import EXAMPLES, load

REASON = "scipy is not installed: pip install 'pullback[examples]'"
optimize = pytest.importorskip("scipy.optimize", reason=REASON)
special = pytest.importorskip("scipy.special", reason=REASON)
stats = pytest.importorskip("scipy.stats", reason=REASON)

ITERATIONS = 0.1  # how many more or fewer, of those by hand
OPTIMUM = 1e-6  # relative, of the value

Pair = Callable[..., tuple[float, Any]]


def agree(found: Any, wanted: Any) -> None:
    assert abs(found.nit - wanted.nit) <= ITERATIONS * wanted.nit, (found, wanted)
    np.testing.assert_allclose(found.fun, wanted.fun, rtol=OPTIMUM)


def by_hand(pair: Pair, start: Any, args: Any, method: str = "BFGS", **o: Any) -> Any:
    return optimize.minimize(pair, start, args=args, jac=True, method=method, options=o)


def prints(example: Any, capsys: pytest.CaptureFixture[str]) -> str:
    example.main()
    return capsys.readouterr().out


def test_normal(capsys: pytest.CaptureFixture[str]) -> None:
    example = load("normal.py")
    x = example.data()
    n, d = x.shape
    below = np.tril_indices(d, -1)

    def pair(params: Any, x: Any) -> Any:
        mean, logs, rest = np.split(params, [d, 2 * d])
        lower = np.diag(np.exp(logs))
        lower[below] = rest
        centred = x - mean
        inverse = np.linalg.inv(lower)
        z = centred @ inverse.T
        value = -np.mean(stats.multivariate_normal(mean, lower @ lower.T).logpdf(x))
        by_lower = -inverse.T @ (z.T @ z) / n
        by_logs = np.diag(by_lower) * np.exp(logs) + 1.0
        by_mean = -inverse.T @ z.mean(axis=0)
        return value, np.concatenate([by_mean, by_logs, by_lower[below]])

    found = example.fit(x)
    agree(found, by_hand(pair, np.zeros(found.x.size), (x,)))
    np.testing.assert_allclose(found.x[:d], x.mean(axis=0), atol=1e-4)
    assert "mean [ 0.98" in prints(example, capsys)


def test_gaussian_process(capsys: pytest.CaptureFixture[str]) -> None:
    example = load("gaussian_process.py")
    x, y = example.data()
    square = (x[:, None] - x[None, :]) ** 2

    def pair(logs: Any, x: Any, y: Any) -> Any:
        curve = np.exp(2 * logs[1] - 0.5 * square * np.exp(-2 * logs[0]))
        noise = np.exp(2 * logs[2]) * np.eye(x.size)
        inverse = np.linalg.inv(curve + noise)
        weights = inverse @ y
        value = -stats.multivariate_normal(np.zeros(x.size), curve + noise).logpdf(y)
        by_length = curve * square * np.exp(-2 * logs[0])
        # half the trace of K^-1 dK, less half of w' dK w where w = K^-1 y
        slopes = [
            0.5 * np.sum((inverse - np.outer(weights, weights)) * change)
            for change in (by_length, 2 * curve, 2 * noise)
        ]
        return value, np.array(slopes)

    found = example.fit(x, y)
    agree(found, by_hand(pair, np.log([2.0, 1.0, 0.5]), (x, y)))
    mean, deviation = example.predict(found.x, x, y, x[:9])
    errors = np.abs(mean - example.curve(x[:9]))
    assert np.all(errors < 3 * deviation)
    assert ", true 0.2\n" in prints(example, capsys)


def test_counts(capsys: pytest.CaptureFixture[str]) -> None:
    example = load("counts.py")
    x, counts = example.data()

    def pair(beta: Any, x: Any, counts: Any) -> Any:
        eta = x @ beta
        value = np.mean(np.exp(eta) - counts * eta)
        return value, x.T @ (np.exp(eta) - counts) / len(x)

    found = example.fit(x, counts)
    agree(found, by_hand(pair, np.zeros(found.x.size), (x, counts)))
    weights = np.exp(x @ found.x)
    information = x.T @ (weights[:, None] * x)
    np.testing.assert_allclose(example.information(found.x, x), information, 1e-12)
    assert "true  0.80, found   0.7" in prints(example, capsys)


def test_choices(capsys: pytest.CaptureFixture[str]) -> None:
    example = load("choices.py")
    x, yes = example.data()

    def pair(beta: Any, x: Any, yes: Any) -> Any:
        sign = 2.0 * yes - 1.0
        z = (x @ beta) * sign
        ratio = np.exp(-0.5 * z * z - special.log_ndtr(z)) / np.sqrt(2.0 * np.pi)
        return -np.mean(special.log_ndtr(z)), -x.T @ (sign * ratio) / len(x)

    found = example.fit(x, yes)
    agree(found, by_hand(pair, np.zeros(found.x.size), (x, yes)))
    assert "true  1.00, found   " in prints(example, capsys)


def sensitivities(example: Any, rates: Any) -> tuple[Any, Any]:
    """States at the measurements and their derivatives by the rates, by hand."""

    def slope(state: Any, s: Any) -> tuple[Any, Any]:
        (x, y), (a, b, c, d) = state, rates
        by_state = np.array([[a - b * y, -b * x], [c * y, c * x - d]])
        by_rates = np.array([[x, -x * y, 0.0, 0.0], [0.0, 0.0, x * y, -y]])
        return example.slope(state, rates), by_state @ s + by_rates

    h = example.STEP
    state, s = example.START, np.zeros((2, 4))
    states, slopes = [], []
    for i in range(example.POINTS * example.EVERY):
        k1, l1 = slope(state, s)
        k2, l2 = slope(state + h / 2 * k1, s + h / 2 * l1)
        k3, l3 = slope(state + h / 2 * k2, s + h / 2 * l2)
        k4, l4 = slope(state + h * k3, s + h * l3)
        state = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        s = s + h / 6 * (l1 + 2 * l2 + 2 * l3 + l4)
        if (i + 1) % example.EVERY == 0:
            states.append(state)
            slopes.append(s)
    return np.stack(states), np.stack(slopes)


def test_predator_prey(capsys: pytest.CaptureFixture[str]) -> None:
    example = load("predator_prey.py")
    measured = example.data()

    def pair(logs: Any, measured: Any) -> Any:
        rates = np.exp(logs)
        states, slopes = sensitivities(example, rates)
        error = states - measured
        by_rates = 2.0 * np.einsum("ti,tir->r", error, slopes) / error.size
        return np.mean(error**2), by_rates * rates

    found = example.fit(measured)
    start = np.log(np.array([0.8, 0.3, 0.15, 0.5]))
    agree(found, by_hand(pair, start, (measured,)))
    np.testing.assert_allclose(np.exp(found.x), example.TRUE, rtol=0.1)
    assert "true rates  [1.1 0.4 0.1 0.4]" in prints(example, capsys)


def test_factorize(capsys: pytest.CaptureFixture[str]) -> None:
    example = load("factorize.py")
    _, seen = example.data()

    def pair(flat: Any, seen: Any) -> Any:
        factors = example.unpack(flat)
        left, right = factors["left"], factors["right"]
        error = np.nan_to_num(left @ right.T - seen)
        value = 0.5 * np.sum(error**2) + 0.5 * example.RIDGE * np.sum(flat**2)
        slopes = [(error @ right).ravel(), (error.T @ left).ravel()]
        return value, np.concatenate(slopes) + example.RIDGE * flat

    found = example.fit(seen)
    wanted = by_hand(
        pair, example.start(), (seen,), "L-BFGS-B", maxiter=500, ftol=1e-14, gtol=1e-7
    )
    agree(found, wanted)
    assert "of the error there: 0.0" in prints(example, capsys)


def test_tumours(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("sklearn", reason=REASON.replace("scipy", "scikit-learn"))
    example = load("tumours.py")
    x, label, _ = example.data()

    def pair(params: Any, x: Any, label: Any) -> Any:
        weights = params[:-1]
        sign = 2.0 * label - 1.0
        margin = (x @ weights + params[-1]) * sign
        pull = -special.expit(-margin) * sign / len(x)
        value = np.mean(np.logaddexp(0.0, -margin))
        value += 0.5 * example.RIDGE * np.sum(weights**2)
        by_weights = x.T @ pull + example.RIDGE * weights
        return value, np.append(by_weights, np.sum(pull))

    found = example.fit(x, label)
    agree(found, by_hand(pair, np.zeros(found.x.size), (x, label)))
    assert "classified as they are" in prints(example, capsys)


def test_examples_are_short() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) < 120, path.name
