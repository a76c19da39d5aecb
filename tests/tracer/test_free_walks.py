"""What is recorded outside of tapes is walked too, and is what it was the first time.

Programs run several times on other data: when they are new, when their program is
learned, and when it is known. Each time they must give the bits that a recorder gives
which never walks, and what NumPy gives.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.ir.errors import OpTypeError
from pullback.tracer import free
from pullback.tracer.state import STATE
from pullback.tracer.tensor import current_recorder
from pullback.tracer.walk import MOST_STEPS, Walk


@pytest.fixture(autouse=True)
def compiler() -> Iterator[None]:
    """Begin with a new recorder; how programs run is not the matter here."""
    STATE.recorder = None
    yield
    STATE.recorder = None
    assert STATE.trace is None


def never_walks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this thread begin anew, and record without walks."""

    def begin(walk: Walk, tape: object) -> None:
        walk.close()
        walk.leave()
        walk.tape, walk.walks = 0, False

    monkeypatch.setattr(Walk, "begin", begin)
    monkeypatch.setattr(Walk, "begin_free", lambda walk: None)
    STATE.recorder = None


def bits(results: Any) -> list[Any]:
    """Return arrays as types, shapes and bytes."""
    arrays = [np.asarray(x.numpy() if hasattr(x, "numpy") else x) for x in results]
    return [(str(a.dtype), a.shape, a.tobytes()) for a in arrays]


Program = Callable[[Any, Any, Any], list[Any]]


def looked(x: Any, y: Any, z: Any) -> list[Any]:
    a = x * y
    first = a.numpy()
    b = a + z  # of a product that was looked at
    return [first, b, b - a]


def summed(x: Any, y: Any, z: Any) -> list[Any]:
    a = x * y
    b = a + z
    c = z - x * 0.3
    return [b, c, a]


def unnamed(x: Any, y: Any, z: Any) -> list[Any]:
    return [pb.sum(pb.sin(x * y + z) / 1.7 - z, axis=0)]


def shared(x: Any, y: Any, z: Any) -> list[Any]:
    same = pb.constant(z.numpy())
    return [(x - z) * (y - same), x.read_value() - x if hasattr(x, "trainable") else x]


def several(x: Any, y: Any, z: Any) -> list[Any]:
    parts = pb.split(pb.concatenate([x, y]), 2)
    return [parts[0] * z + parts[1], parts[1]]


def complexes(x: Any, y: Any, z: Any) -> list[Any]:
    made = (x + 1j * y.numpy()) * z
    return [pb.real(made), pb.imag(made) + x, made]


def looks_between(x: Any, y: Any, z: Any) -> list[Any]:
    a = x + y
    b = a * z
    if float(b.numpy().sum()) > 1e9:
        return []
    c = b + a
    print(end=f"{c}"[:0])
    return [c * 2.0, c]


def of_gradients(x: Any, y: Any, z: Any) -> list[Any]:
    with pb.GradientTape() as tape:
        tape.watch([x, y])
        loss = (x * y) * z
    gx, gy = tape.gradient(loss, [x, y])
    one = gx + z  # the gradient is a product
    two = gy * 0.1
    return [one, x - two, gx, z - gy * gx]


def of_second_gradients(x: Any, y: Any, z: Any) -> list[Any]:
    w = x * y
    with pb.GradientTape(persistent=True) as outer:
        outer.watch(x)
        with pb.GradientTape() as inner:
            inner.watch(x)
            loss = x * x * x * z + w
        g = inner.gradient(loss, x)
    h = outer.gradient(g, x)
    return [h + w, g - z, outer.gradient(loss, x) + h]


def tape_in_the_middle(x: Any, y: Any, z: Any) -> list[Any]:
    a = x * y
    b = a + 0.5
    with pb.GradientTape() as tape:
        tape.watch(b)
        c = b * a + z
    return [a, c, tape.gradient(c, b), b]


def failing(x: Any, y: Any, z: Any) -> list[Any]:
    a = x + y
    with pytest.raises(OpTypeError):
        a * pb.constant(np.ones(17))
    return [z * y, pb.sin(z * y) + a]


PROGRAMS: dict[str, tuple[Program, Any]] = {
    "looked": (looked, lambda x, y, z: [x * y, x * y + z, z]),
    "summed": (summed, lambda x, y, z: [x * y + z, z - x * 0.3, x * y]),
    "unnamed": (unnamed, lambda x, y, z: [(np.sin(x * y + z) / 1.7 - z).sum(0)]),
    "shared": (shared, lambda x, y, z: [(x - z) * (y - z), x]),
    "several": (several, lambda x, y, z: [x * z + y, y]),
    "complexes": (
        complexes,
        lambda x, y, z: [x * z, y * z + x, (x + 1j * y) * z],
    ),
    "looks between": (
        looks_between,
        lambda x, y, z: [2 * ((x + y) * z + x + y), (x + y) * z + x + y],
    ),
    "of gradients": (
        of_gradients,
        lambda x, y, z: [y * z + z, x - x * z * 0.1, y * z, z - x * z * y * z],
    ),
    "of second gradients": (
        of_second_gradients,
        lambda x, y, z: [
            6 * x * z + x * y, 3 * x * x * z - z, 3 * x * x * z + 6 * x * z,
        ],
    ),
    "tape in the middle": (
        tape_in_the_middle,
        lambda x, y, z: [x * y, (x * y + 0.5) * x * y + z, x * y, x * y + 0.5],
    ),
    "failing": (failing, lambda x, y, z: [z * y, np.sin(z * y) + x + y]),
}  # fmt: skip


@pytest.mark.parametrize("shape", [(3,), (2, 3)])
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_time_is_as_the_first(
    name: str, shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    program, reference = PROGRAMS[name]
    data = np.random.default_rng(3).normal(size=(5, 3, *shape))
    got = [bits(program(*[pb.constant(a) for a in given])) for given in data]
    never_walks(monkeypatch)
    for k, given in enumerate(data):
        made = program(*[pb.constant(a) for a in given])
        assert got[k] == bits(made), f"time {k}"
        for x, want in zip(made, reference(*given), strict=True):
            if name != "looked":
                held = x.numpy() if hasattr(x, "numpy") else x
                np.testing.assert_allclose(held, want, rtol=1e-12, atol=1e-12)


def test_a_product_is_that_of_this_time_in_an_update() -> None:
    rng = np.random.default_rng(1)
    for _ in range(6):
        a, b, c = rng.normal(size=(3, 4))
        w, v = pb.Variable(np.ones(4)), pb.Variable(c)
        with pb.GradientTape() as tape:
            y = (pb.constant(a) * w) * pb.constant(b)
        g = tape.gradient(y, w)
        np.testing.assert_allclose((g + pb.constant(c)).numpy(), a * b + c)
        v.assign_sub(g)
        np.testing.assert_allclose(v.numpy(), c - a * b)


def _sgd(w: Any, g: Any, state: dict[str, Any], k: int) -> None:
    w.assign_sub(0.1 * g)


def _plain(w: Any, g: Any, state: dict[str, Any], k: int) -> None:
    w.assign(w - g * 0.05)


def _momentum(w: Any, g: Any, state: dict[str, Any], k: int) -> None:
    m = state.setdefault("m", pb.Variable(np.zeros(w.shape)))
    m.assign(0.9 * m + g)
    w.assign_sub(0.05 * m)


def _adam(w: Any, g: Any, state: dict[str, Any], k: int) -> None:
    m = state.setdefault("m", pb.Variable(np.zeros(w.shape)))
    v = state.setdefault("v", pb.Variable(np.zeros(w.shape)))
    m.assign(0.9 * m + 0.1 * g)
    v.assign(0.99 * v + 0.01 * (g * g))
    mean, square = m / (1 - 0.9**k), v / (1 - 0.99**k)
    w.assign_sub(0.05 * mean / (pb.sqrt(square) + 1e-8))


def _by_hand(rule: Any, w: Any, g: Any, s: dict[str, Any], k: int) -> Any:
    if rule is _sgd:
        return w - 0.1 * g
    if rule is _plain:
        return w - g * 0.05
    s["m"] = (0.9 * s.get("m", 0) + g) if rule is _momentum else (
        0.9 * s.get("m", 0) + 0.1 * g
    )  # fmt: skip
    if rule is _momentum:
        return w - 0.05 * s["m"]
    s["v"] = 0.99 * s.get("v", 0) + 0.01 * g * g
    step = s["m"] / (1 - 0.9**k) / (np.sqrt(s["v"] / (1 - 0.99**k)) + 1e-8)
    return w - 0.05 * step


MODELS: dict[str, tuple[Any, Any]] = {
    # the gradient is a product: of a constant, of the input, of the weights
    "product": (lambda w, x: w * x, lambda w, x: x),
    "square": (lambda w, x: pb.sum(w * w * x), lambda w, x: 2 * w * x),
    "mean": (
        lambda w, x: pb.mean((w * x - 1.0) ** 2),
        lambda w, x: 2 * (w * x - 1) * x / w.size,
    ),
    "tanh": (lambda w, x: pb.tanh(w) * x, lambda w, x: x / np.cosh(w) ** 2),
}


@pytest.mark.parametrize("rule", [_sgd, _plain, _momentum, _adam])
@pytest.mark.parametrize("model", MODELS)
def test_updates(model: str, rule: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    loss_of, gradient_of = MODELS[model]

    def run(shape: tuple[int, ...], check: bool) -> list[Any]:
        rng = np.random.default_rng(2)
        start = rng.normal(size=shape)
        w, state, by_hand, s = pb.Variable(start), {}, start, {}
        found: list[Any] = []
        for k in range(1, 7):
            x = rng.normal(size=shape)
            with pb.GradientTape() as tape:
                loss = loss_of(w, pb.constant(x))
            g = tape.gradient(loss, w)
            if k == 4:
                found.append(g.numpy())
            rule(w, g, state, k)
            if k % 2:
                found += [w.numpy(), loss.numpy()]
            by_hand = _by_hand(rule, by_hand, gradient_of(by_hand, x), s, k)
            if check:
                np.testing.assert_allclose(w.numpy(), by_hand, rtol=1e-9)
        return bits([*found, w])

    shapes = [(3,), (2, 2), ()]
    run((3,), True)
    got = [run(shape, False) for shape in shapes]
    never_walks(monkeypatch)
    assert got == [run(shape, False) for shape in shapes]


def test_a_program_is_known_the_third_time(monkeypatch: pytest.MonkeyPatch) -> None:
    x, counts = pb.constant([1.0, 2.0]), []
    known = free.run_again

    def counted(*args: Any) -> bool:
        found = known(*args)
        counts.append(found)
        return found

    monkeypatch.setattr("pullback.tracer.recorder.run_again", counted)
    for k in range(4):
        nodes = len(current_recorder().trail.nodes)
        y = pb.sin(x + (k + 0.3)) / 3.0
        np.testing.assert_allclose(y.numpy(), np.sin(x.numpy() + k + 0.3) / 3)
        if counts[-1]:
            assert len(current_recorder().trail.nodes) == nodes
    assert counts[-2:] == [True, True]


def test_names_when_a_look_comes_are_told_apart() -> None:
    x = pb.constant([1.0, 2.0])
    for k in range(12):
        a = pb.sin(x)
        b = a / 2.0
        if k % 3 == 0:
            del a
        c = b - 0.3
        if k % 3 == 1:
            b = None
        want = np.sin([1.0, 2.0])
        np.testing.assert_allclose(c.numpy(), want / 2 - 0.3)
        if k % 3:
            np.testing.assert_allclose(a.numpy(), want)
        if b is not None:
            np.testing.assert_allclose(b.numpy(), want / 2)


def test_assigned_twice_and_read_between() -> None:
    for k in range(5):
        v = pb.Variable([1.0 + k, 2.0])
        a = v * 2.0
        v.assign(a + 1.0)
        b = v + a
        v.assign(b)
        v.assign_add(v)
        start = np.array([1.0 + k, 2.0])
        want = 2 * start + 1 + 2 * start
        np.testing.assert_array_equal(a.numpy(), 2 * start)
        np.testing.assert_array_equal(b.numpy(), want)
        np.testing.assert_array_equal(v.numpy(), 2 * want)


def test_how_programs_run_may_change_between() -> None:
    x = pb.constant([4.0, 0.25])
    seen: list[Any] = []
    for k in range(9):
        with pb.interpret(seen.append) if k % 3 == 1 else pb.check_numerics():
            y = pb.sqrt(x) - 1.0
            np.testing.assert_array_equal(y.numpy(), [1.0, -0.5])
        z = pb.sqrt(x) - 1.0
        np.testing.assert_array_equal(z.numpy(), [1.0, -0.5])
    assert len(seen) >= 6


def test_two_recorders_do_not_meet() -> None:
    data = np.random.default_rng(4).normal(size=(2, 30, 3))
    found: list[list[Any]] = [[], []]

    def work(k: int) -> None:
        for a in data[k]:
            x = pb.constant(a)
            y = x * x + k
            found[k].append((y.numpy(), (y - x).numpy()))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k in range(2):
        for a, (y, z) in zip(data[k], found[k], strict=True):
            np.testing.assert_allclose(y, a * a + k, rtol=1e-14)
            np.testing.assert_allclose(z, a * a + k - a, rtol=1e-12, atol=1e-12)


def test_steps_and_nodes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pullback.tracer.walk.MOST_STEPS", 300)
    assert MOST_STEPS > 300
    x = pb.constant([1.0, 2.0])
    trail = current_recorder().trail
    for k in range(900):
        y = x + (k % 450)  # integers are of the program
        if k % 9 == 0:
            np.testing.assert_array_equal((y - x).numpy(), [k % 450] * 2)
        assert trail._size <= 300 + 20
        assert len(current_recorder().builder.nodes) < 400


def test_a_tape_that_dies_leaves_no_walk_in_the_middle() -> None:
    v, x = pb.Variable([1.0, 2.0]), pb.constant([3.0, 4.0])
    for _ in range(6):
        tape = pb.GradientTape(persistent=True)
        with tape:
            y = v * v
        tape.gradient(y, v).numpy()
        a = x + 1.0
        del tape  # the variable still has it, for its read
        b = a * v  # and lets it go here
        np.testing.assert_array_equal(b.numpy(), [4.0, 10.0])
