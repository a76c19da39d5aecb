"""What a tape records again and again becomes a loop of any length."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.runtime import compile as native
from pullback.tracer import rolling

LENGTHS = (9, 3, 12, 2, 9, 1, 5, 12)
RNG = np.random.default_rng(4)
W, U, B = (RNG.normal(size=(4, 4)) * 0.4 for _ in range(3))
XS = RNG.normal(size=(20, 2, 4))
GOAL = RNG.normal(size=(2, 4))


def rnn(v: Any, count: int) -> Any:
    h = pb.constant(np.zeros((2, 4)))
    for k in range(count):
        h = pb.tanh(XS[k] @ v[0] + h @ v[1] + v[2][0])
    return pb.mean((h - GOAL) ** 2)


def lstm(v: Any, count: int) -> Any:
    h = c = pb.constant(np.zeros((2, 4)))  # both begin as one tensor
    for k in range(count):
        a = XS[k] @ v[0]
        f = pb.sigmoid(a + h @ v[1])
        g = pb.tanh(a - h @ v[2])
        c = f * c + (1.0 - f) * g
        h = pb.sigmoid(a) * pb.tanh(c)
    return pb.sum(h * GOAL)


def back_to_the_start(v: Any, count: int) -> Any:
    start = pb.constant(GOAL)
    h = start
    for k in range(count):
        h = pb.sin(h * start + XS[k] @ v[0])  # the start is carried, and read in all
    return pb.sum(h @ v[1]) + pb.sum(v[2])


def sums_inside(v: Any, count: int) -> Any:
    total = pb.sum(v[2]) * 0.25
    h = pb.tanh(pb.constant(GOAL) @ v[1])
    for k in range(count):
        h = pb.tanh(h @ v[0]) * 0.9 + XS[k]
        total = total + pb.sum(h * h) * 0.5
    return total * 0.1


def two_before(v: Any, count: int) -> Any:
    a, b = pb.constant(GOAL), pb.constant(-GOAL)
    for k in range(count):
        a, b = b, pb.sin(a @ v[0]) + pb.cos(b @ v[1]) + XS[k] * v[2][:2]
    return pb.sum(b)


def stopped(v: Any, count: int) -> Any:
    h = pb.constant(GOAL)
    for k in range(count):
        h = pb.tanh(pb.stop_gradient(h @ v[0]) + (h @ v[1]) * 0.5 + XS[k] @ v[2])
    return pb.sum(h)


CASES: list[Callable[[Any, int], Any]] = [
    rnn, lstm, back_to_the_start, sums_inside, two_before, stopped
]  # fmt: skip


def gradients(f: Callable[[Any, int], Any], count: int) -> list[Any]:
    v = [pb.Variable(a) for a in (W, U, B)]
    with pb.GradientTape() as tape:
        y = f(v, count)
    found = tape.gradient(y, v)
    return [y.numpy(), *[None if g is None else (g * 1.0).numpy() for g in found]]


@pytest.mark.parametrize("f", CASES)
def test_a_loop_gives_the_gradients_of_its_rounds(
    f: Callable[[Any, int], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    got = {count: gradients(f, count) for count in LENGTHS}
    monkeypatch.setattr("pullback.tracer.tape.roll", lambda *_: None)
    monkeypatch.setattr("pullback.tracer.state.STATE.recorder", None)
    for count in LENGTHS:
        for one, two in zip(got[count], gradients(f, count), strict=True):
            assert (one is None) == (two is None)
            if one is not None:
                np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-14)


def test_a_new_length_compiles_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    real = native._compile
    monkeypatch.setattr(
        native, "_compile", lambda g, o: made.append(g.name) or real(g, o)
    )
    monkeypatch.setattr("pullback.tracer.engine._compiler", [native.compile_graph])
    v = [pb.Variable(a * 0.5) for a in (W, U, B)]
    counts = []
    for count in (2, 8, 3, 15, 9, 20, 11):
        with pb.GradientTape() as tape:
            y = rnn(v, count)
        for x, g in zip(v, tape.gradient(y, v), strict=True):
            x.assign_sub(0.01 * g)
        float(y)
        counts.append(len(made))
    assert counts[-1] == counts[1] <= 3


def test_what_is_named_inside_is_not_rolled() -> None:
    v = pb.Variable(W)
    for _ in range(2):
        kept = []
        with pb.GradientTape() as tape:
            h = pb.constant(GOAL)
            for k in range(12):
                h = pb.tanh(h @ v + XS[k])
                kept.append(h)
            y = pb.sum(h)
        tape.gradient(y, v).numpy()
        wanted = GOAL
        for k, held in enumerate(kept):
            wanted = np.tanh(wanted @ W + XS[k])
            np.testing.assert_allclose(held, wanted, rtol=1e-12)


def test_what_is_watched_late_counts_from_there() -> None:
    x = pb.constant(GOAL)
    with pb.GradientTape() as tape:
        h = x
        for k in range(20):
            if k == 15:
                tape.watch(x)
            h = pb.sin(h) * x + XS[k]
        y = pb.sum(h)
    found = tape.gradient(y, x)
    h = GOAL
    for k in range(15):
        h = np.sin(h) * GOAL + XS[k]
    start = pb.constant(h)
    x = pb.constant(GOAL)
    with pb.GradientTape() as tape:
        tape.watch(x)
        h = start
        for k in range(15, 20):
            h = pb.sin(h) * x + XS[k]
        y = pb.sum(h)
    np.testing.assert_allclose(found, tape.gradient(y, x), rtol=1e-12)


def test_one_loop_is_made_for_all_lengths(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    real = rolling._Rolled.known

    def counted(self: Any, *args: Any) -> Any:
        made.append(self.round.count)
        return real(self, *args)

    monkeypatch.setattr(rolling._Rolled, "known", counted)
    monkeypatch.setattr(rolling, "_KNOWN", {})
    for count in (4, 5, 11, 7):
        gradients(rnn, count)
    assert made == [4]
    for count in (5, 8, 13):
        gradients(lstm, count)
    assert len(made) == 2


@pytest.mark.parametrize("number", [0.5, 0.25])
def test_loops_of_other_forms_are_told_apart(number: float) -> None:
    def run(count: int, first: bool, named: bool) -> Any:
        v, w = pb.Variable(W), pb.Variable(U)
        with pb.GradientTape() as tape:
            h = pb.constant(GOAL)
            for k in range(count):
                h = pb.tanh(h @ v + XS[k])
            z = h * number
            y = pb.sum(z @ (v if first else w))
        gv, gw = tape.gradient(y, [v, w])
        h = GOAL
        hs = []
        for k in range(count):
            hs.append(h)
            h = np.tanh(h @ W + XS[k])
        last = W if first else U
        ct = np.ones((2, 4)) @ last.T * number
        wanted = np.zeros((4, 4))
        for k in reversed(range(count)):
            ct = ct * (1 - np.tanh(hs[k] @ W + XS[k]) ** 2)
            wanted += hs[k].T @ ct
            ct = ct @ W.T
        direct = (h * number).T @ np.ones((2, 4))
        np.testing.assert_allclose(gv, wanted + direct * first, rtol=1e-11)
        assert (gw is None) == first
        if not first:
            np.testing.assert_allclose(gw, direct, rtol=1e-11)
        if named:
            np.testing.assert_allclose(z, h * number, rtol=1e-12)

    for count in (9, 12, 10):
        for first in (True, False):
            for named in (True, False):
                run(count, first, named)


def test_a_number_added_to_a_mean_is_rolled_or_left() -> None:
    def loss(start: Any) -> Any:
        y = start
        for _ in range(5):
            low = y - pb.mean(y, axis=1, keepdims=True)
            spread = pb.mean(low * low, axis=1, keepdims=True)
            y = low / pb.sqrt(spread + 1e-3) + pb.sin(y)
        return pb.sum(y * GOAL)

    begun, way = RNG.normal(size=(2, 4)), RNG.normal(size=(2, 4))
    for _ in range(3):
        x = pb.constant(begun)
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = loss(x)
        found = float(pb.sum(tape.gradient(y, x) * way))
    ahead, behind = (float(loss(pb.constant(begun + h * way))) for h in (1e-6, -1e-6))
    assert abs(found - (ahead - behind) / 2e-6) < 1e-6 * (1 + abs(found))
