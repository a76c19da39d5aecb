"""The LSTM: against 40 digits, and against its published gradient."""

import json
from itertools import pairwise
from typing import Any

import mpmath as mp
import numpy as np
import pullback as pb
import pytest
from example_tools import DATA, DIGITS, differences, exact_arrays, load, needs_data

lstm = load("adbench/lstm.py")
LAYERS, BITS, CHARS = 2, 3, 5


def small(chars: int = CHARS) -> list[Any]:
    rng = np.random.default_rng(8)
    two = 2 * LAYERS
    shapes = ((two, 4 * BITS), (3, BITS), (two, BITS), (chars, BITS))
    return [rng.standard_normal(shape) for shape in shapes]


def each(f: Any, a: Any) -> Any:
    return np.array([f(v) for v in a])


def exact(main: Any, extra: Any, state: Any, text: Any) -> Any:
    """The loss by its definition, the gates on one axis."""
    state = [*state]
    total = mp.mpf(0)
    for x, following in pairwise(text):
        x = x * extra[0]
        for i in range(LAYERS):
            h, c = state[2 * i], state[2 * i + 1]
            gates = np.concatenate([x, h, x, h]) * main[2 * i] + main[2 * i + 1]
            three = each(lambda v: 1 / (1 + mp.exp(-v)), gates[: 3 * BITS])
            forget, take, show = np.split(three, 3)
            c = c * forget + take * each(mp.tanh, gates[3 * BITS :])
            x = show * each(mp.tanh, c)
            state[2 * i : 2 * i + 2] = x, c
        prediction = x * extra[1] + extra[2]
        normaliser = mp.log(sum(each(mp.exp, prediction)) + 2)
        total -= following @ (prediction - normaliser)
    return total / ((len(text) - 1) * BITS)


def reference() -> tuple[float, list[Any]]:
    main, extra, *rest = small()
    with mp.workdps(DIGITS):
        held = exact_arrays(rest)
        value = float(exact(*exact_arrays([main, extra]), *held))
        return value, differences(lambda m, e: exact(m, e, *held), [main, extra])


REFERENCE = reference()


def check(value: Any, gradients: Any) -> None:
    np.testing.assert_allclose(value, REFERENCE[0], rtol=1e-12)
    for found, wanted in zip(gradients, REFERENCE[1], strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-16)


def test_decorated() -> None:
    check(*lstm.value_and_grad(*small()))


def test_in_windows() -> None:
    check(*lstm.windowed(*small(), steps=2))


def test_in_windows_of_which_the_last_is_shorter() -> None:
    check(*lstm.windowed(*small(), steps=3))


def test_tape() -> None:
    main, extra, *rest = small()
    variables = [pb.Variable(main), pb.Variable(extra)]
    with pb.GradientTape() as tape:
        value = lstm.loss(*variables, *rest, pb)
    check(value.numpy(), [g.numpy() for g in tape.gradient(value, variables)])


def published() -> list[Any]:
    needs_data()
    return list(lstm.read(DATA / "lstm" / "lstm_l2_c1024.txt"))


def check_published(value: Any, gradients: Any) -> None:
    expected = json.loads((DATA / "expected" / "lstm_l2_c1024.json").read_text())
    np.testing.assert_allclose(value, expected["objective"][0], rtol=1e-12)
    flat = np.concatenate([np.ravel(g) for g in gradients])
    np.testing.assert_allclose(flat, expected["gradient"], rtol=1e-9, atol=1e-15)


def test_published() -> None:
    check_published(*lstm.windowed(*published()))


@pytest.mark.slow
def test_published_as_one_unrolled_program() -> None:
    check_published(*lstm.value_and_grad(*published()))
