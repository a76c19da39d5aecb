"""What a tape records again is recorded quickly, and is the same."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.tracer.tensor import current_recorder

Case = Callable[[Any, Any], Any]
CASES: dict[str, Case] = {
    "power": lambda x, v: x**2 * v,
    "contracted": lambda x, v: pb.sin(x) * v + x,
    "contracted twice": lambda x, v: (x * v - v) * (x - x * v),
    "number": lambda x, v: x * 0.37 + v / 1.5,
    "array": lambda x, v: np.array([1.0, 2.0]) * x + v,
    "matmul": lambda x, v: np.array([[1.0, 2.0], [3.0, 1.0]]) @ (x * v),
    "sum": lambda x, v: pb.sum(pb.exp(x) * v, axis=0),
    "mean of a square": lambda x, v: pb.mean((x - v) ** 2),
    "indexed": lambda x, v: x[0] * v + x[1:],
    "stopped": lambda x, v: pb.stop_gradient(x) * v,
    "list": lambda x, v: x * [3.0, 4.0] * v,
    "several results": lambda x, v: pb.split(x, 2)[0] * v,
    "where": lambda x, v: pb.where(x > 1.0, x * v, -x),
    "the source": lambda x, v: x,
    "negative zero": lambda x, v: x / -0.0 * v,
}


@pytest.mark.parametrize("name", CASES)
def test_a_walk_gives_the_bits_of_the_first_time(name: str) -> None:
    f = CASES[name]
    rng = np.random.default_rng(1)
    v = pb.Variable(1.5)
    data = rng.normal(size=(3, 2))

    def step(a: Any) -> list[Any]:
        x = pb.constant(a)
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = f(x, v)
        grads = tape.gradient(y, {"x": x, "v": v})
        made = [y, *grads.values()]
        # what is added to a product contracts, whichever way the product came
        made += [None if g is None else g + 0.3 for g in made]
        return [None if g is None else g.numpy() for g in made]

    walked = [step(a) for a in data]
    again = [step(a) for a in data]
    for a, one, two in zip(data, walked, again, strict=True):
        current_recorder().trail.begin(object())
        current_recorder().trail._root.after.clear()
        fresh = step(a)
        for got in (one, two):
            assert [g is None for g in got] == [g is None for g in fresh]
            for g, wanted in zip(got, fresh, strict=True):
                if g is not None:
                    np.testing.assert_array_equal(g, wanted)


def test_a_walk_compiles_nothing(compiler: Any) -> None:
    v = pb.Variable([1.0, 2.0])
    counts = []
    for k in range(6):
        with pb.GradientTape() as tape:
            y = pb.sum(pb.sin(v) * (0.1 + k))
        g = tape.gradient(y, v)
        v.assign_sub(0.01 * g)
        counts.append(compiler.made)
    assert counts[-1] == counts[2] <= 2


def test_other_gradients_at_one_end() -> None:
    x = pb.constant([1.0, 2.0])
    for _ in range(3):
        for which in range(3):
            with pb.GradientTape() as tape:
                tape.watch(x)
                a = pb.sin(x)
                b = pb.exp(a)
            got = tape.gradient(b, [x, a, b][which])
            wanted = [np.exp(np.sin([1, 2])) * np.cos([1, 2]),
                      np.exp(np.sin([1, 2])), np.ones(2)][which]  # fmt: skip
            np.testing.assert_allclose(got, wanted)


def test_what_is_watched_decides() -> None:
    x, c = pb.constant(2.0), pb.constant(3.0)
    for _ in range(3):
        for watched in (x, c):
            with pb.GradientTape() as tape:
                tape.watch(watched)
                y = pb.sin(x) + pb.sin(c)
            gx, gc = tape.gradient(y, [x, c])
            assert (gx is None) == (watched is c)
            assert (gc is None) == (watched is x)


def test_shapes_and_dtypes_decide() -> None:
    for _ in range(2):
        for a in (1.0, [1.0, 2.0], [[1.0]], np.float32(1.0), [1.0, 2.0, 3.0]):
            x = pb.constant(a)
            with pb.GradientTape() as tape:
                tape.watch(x)
                y = x * 3.0
            g = tape.gradient(y, x)
            assert (g.shape, g.dtype) == (x.shape, x.dtype)
            np.testing.assert_array_equal(g, np.full(x.shape, 3.0))


def test_named_values_are_computed_with_the_gradient(compiler: Any) -> None:
    x = pb.constant(0.5)
    for _ in range(3):
        with pb.GradientTape() as tape:
            tape.watch(x)
            a = pb.sin(x)
            y = pb.exp(a)
        g = tape.gradient(y, x)
        made = compiler.made
        g.numpy()
        assert a._value.cell.array is not None
        assert float(y) == pytest.approx(np.exp(np.sin(0.5)))
    assert compiler.made == made


def test_a_product_of_intermediates_still_contracts() -> None:
    x = pb.constant(0.7)
    for look in (False, True, False, True):
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = pb.sin(x) * pb.cos(x)
        g = tape.gradient(y, x)
        if look:
            g.numpy()
        z = y + 1.0
        unseen = pb.sin(x) * pb.cos(x) + 1.0
        assert z.numpy() == unseen.numpy()


def test_a_persistent_tape_gives_gradients_again() -> None:
    x = pb.constant(3.0)
    for _ in range(3):
        with pb.GradientTape(persistent=True) as tape:
            tape.watch(x)
            y = x * x
            z = y * y
        assert [tape.gradient(z, x).numpy(), tape.gradient(y, x).numpy()] == [108, 6]
        assert tape.gradient(z, y).numpy() == 18


def test_an_outer_tape_sees_the_adjoint() -> None:
    x = pb.constant(2.0)
    for _ in range(3):
        with pb.GradientTape() as outer:
            outer.watch(x)
            with pb.GradientTape() as inner:
                inner.watch(x)
                y = x**3
            dy = inner.gradient(y, x)
        assert outer.gradient(dy, x).numpy() == 12


def test_what_comes_after_the_context_is_not_recorded() -> None:
    x = pb.constant(2.0)
    for _ in range(3):
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = x * x
        z = y * 3.0
        assert tape.gradient(y, x).numpy() == 4
        assert z.numpy() == 12


def test_a_walk_of_other_lengths() -> None:
    x = pb.constant(1.0)
    for count in (3, 5, 1, 5, 3, 2, 1):
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = x
            for _ in range(count):
                y = y * 2.0
        assert tape.gradient(y, x).numpy() == 2.0**count


def test_trails_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pullback.tracer.walk.MOST_STEPS", 30)
    x = pb.constant(1.0)
    for k in range(40):
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = x ** (k % 20 + 2)
        assert tape.gradient(y, x).numpy() == k % 20 + 2
    assert current_recorder().trail._size <= 33


Then = Callable[[Any, Any, Any], Any]
LATER: dict[str, Then] = {
    "looked at": lambda tape, x, y: y,
    "went on with": lambda tape, x, y: pb.exp(y) * 2.0,
    "gradient of what follows": lambda tape, x, y: tape.gradient(y * y, x),
    "a gradient by a name": lambda tape, x, y: tape.gradient(y, [x, y])[1],
    "a jacobian": lambda tape, x, y: tape.jacobian(y, x),
    "with a cotangent": lambda tape, x, y: tape.gradient(y, x, 3.0),
    "in a function": lambda tape, x, y: pb.function(lambda a: a * a)(y.numpy()),
    "under a tape": lambda tape, x, y: second(x, y),
}


def second(x: Any, y: Any) -> Any:
    with pb.GradientTape() as tape:
        tape.watch(y)
        z = y * x
    return tape.gradient(z, y)


@pytest.mark.parametrize("what", LATER)
def test_nodes_of_a_walk_are_there_when_they_are_asked_for(what: str) -> None:
    x = pb.constant([0.5, 1.5])

    def run() -> Any:
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = pb.sin(x) * x + pb.mean(x * 0.3)
        found = LATER[what](tape, x, y)
        return None if found is None else np.asarray(found), y.numpy()

    first = run()
    for _ in range(3):
        for got, wanted in zip(run(), first, strict=True):
            if wanted is not None:
                np.testing.assert_array_equal(got, wanted)


def test_a_variable_takes_what_a_walk_gave() -> None:
    v = pb.Variable(1.0)
    seen = []
    for _ in range(4):
        v.assign(2.0)
        with pb.GradientTape() as tape:
            a = pb.sin(v) * v
            v.assign(a)
            b = v * v
        seen.append((tape.gradient(a + b, v), float(v)))
        assert seen[-1][1] == seen[0][1] == pytest.approx(2 * np.sin(2.0))
    assert [s is None for s, _ in seen] == [seen[0][0] is None] * 4


def test_a_walk_tells_one_value_from_two() -> None:
    for _ in range(2):
        for one in (False, True):
            a = pb.constant(3.0)
            b = a if one else pb.constant(5.0)
            x = pb.Variable(1.0)
            with pb.GradientTape() as tape:
                y = x * (a * b)
            assert tape.gradient(y, x).numpy() == (9.0 if one else 15.0)


def test_a_number_comes_after_a_cast() -> None:
    v = pb.Variable(2.0)
    for number in (0.25, 0.75, 0.125):
        k = pb.constant(np.array([5, 7], np.int32))
        with pb.GradientTape() as tape:
            y = pb.sum((k - number) * v)
        assert tape.gradient(y, v).numpy() == 12.0 - 2 * number


def test_errors_name_the_line_of_a_walk() -> None:
    x = pb.constant([1.0, 2.0, 3.0])

    def step(first: bool) -> Any:
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = x
            if first:
                y = pb.sin(y)
            if not first:
                y = pb.sin(y)  # the second line
        assert y.shape == (3,)
        return y._value, tape

    for first in (True, False, True, False):
        value, tape = step(first)
        current_recorder().trail.settle()
        assert ("second" in value.node.loc.source()) is not first
        del tape
