"""What is recorded natively is what Python records: values, numbers, steps, lines.

Each case runs once with Python's walk and once with the native one; the walks must be
alike, and the results the same bits.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pullback as pb
import pullback.tensorflow as tf
import pytest
from pullback.ir.errors import OpTypeError
from pullback.runtime.fastcall import capi
from pullback.runtime.recording import layout
from pullback.tracer.quick import QUICK
from pullback.tracer.state import STATE
from pullback.tracer.tensor import current_recorder
from pullback.tracer.walk import Walk


@pytest.fixture(autouse=True)
def compiler() -> Iterator[None]:
    """Begin with Python and end with it; how programs run is not the matter here."""
    QUICK.remove()
    STATE.recorder = None
    yield
    QUICK.remove()
    STATE.recorder = None
    assert STATE.trace is None


class Named(np.ndarray[Any, Any]):
    """An array of another class."""


BASE = np.array([[1.5, -2.0, 0.25], [3.0, 0.5, -1.0]])
# what stands beside a tensor of BASE, by a dtype; None: not for that dtype
OPERANDS: dict[str, Callable[[Any, Any], Any]] = {
    "tensor": lambda m, t: m.constant(BASE.astype(t)),
    "vector": lambda m, t: m.constant(BASE[0].astype(t)),
    "variable": lambda m, t: m.Variable(BASE.astype(t)),
    "quiet variable": lambda m, t: m.Variable(BASE.astype(t), trainable=False),
    "read": lambda m, t: m.Variable(BASE.astype(t)).read_value(),
    "array": lambda m, t: BASE.astype(t),
    "big-endian": lambda m, t: BASE.astype(np.dtype(t).newbyteorder(">")),
    "strided": lambda m, t: np.repeat(BASE.astype(t), 2, 1)[:, ::2],
    "columns": lambda m, t: np.asfortranarray(BASE.astype(t)),
    "read-only": lambda m, t: np.broadcast_to(BASE[0].astype(t), (2, 3)),
    "without axes": lambda m, t: np.array(1.25).astype(t),
    "of a class": lambda m, t: BASE.astype(t).view(Named),
    "NumPy scalar": lambda m, t: np.dtype(t).type(3),
    "list": lambda m, t: [1, 2, 3],
    "bool": lambda m, t: True,
    "whole": lambda m, t: 3,
    "large": lambda m, t: 1 << 20,
    **{f"float {x!r}": lambda m, t, x=x: x for x in (0.0, -0.0, 1.0, 2.0, 0.5)},  # type: ignore[misc]
    **{f"float {x!r}": lambda m, t, x=x: x for x in (0.3, -7.25, 1e300)},  # type: ignore[misc]
    "nan": lambda m, t: float("nan"),
    "inf": lambda m, t: float("inf"),
    **{
        f"array of {d}": lambda m, t, d=d: np.ones(3, d)  # type: ignore[misc]
        for d in ("f8", "f4", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?", "q")
    },
}
NATIVE = {"tensor", "vector", "variable", "array", "strided", "whole", "float 0.3"}


def several(m: Any, x: Any, o: Any) -> list[Any]:
    """Return what operators and functions give, on one line each."""
    made = [x + o, o - x, x * o, o / (x * x + 1)]
    made.append(-x)
    made.append(m.maximum(x, o))
    made += [m.exp(x - x), x**2]
    if isinstance(o, (m.Tensor, np.ndarray)) and tuple(o.shape) == (2, 3):
        made.append(m.transpose(x) @ o)
    made.append(made[2] + o)  # contracts
    return made


def walked(f: Callable[[], list[Any]], rounds: int = 4) -> list[Any]:
    """Record a function; returns what the walks were, and the bits of the results."""
    STATE.recorder = None
    found: list[Any] = []
    for _ in range(rounds):
        with pb.GradientTape() as tape:
            made = f()
            trail = current_recorder().trail
            found.append(
                (
                    trail.knows(tape),
                    [x and (str(x.type), x.node is None) for x in trail.values],
                    list(trail.numbers.values()),
                    [(s.base, s.out, s.width, str(s.loc)) for s in trail.taken],
                    (trail.ahead, trail.bytes, trail.count() - trail.start),
                )
            )
        for x in made:
            array = np.asarray(x.numpy())
            found.append((type(x).__name__, str(array.dtype), array.tobytes()))
    return found


def natively() -> None:
    QUICK.install()
    assert QUICK.recording is not None


@pytest.mark.filterwarnings("ignore:overflow|invalid|divide")
@pytest.mark.parametrize("dtype", ["f8", "f4", "i8"])
@pytest.mark.parametrize("name", OPERANDS)
def test_a_walk_is_the_one_of_python(
    name: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def given() -> Any:
        return pb.constant(BASE.astype(dtype)), OPERANDS[name](pb, dtype)

    x, o = given()
    python = walked(lambda: several(pb, x, o))
    natively()
    x, o = given()
    assert walked(lambda: several(pb, x, o)) == python
    if name in NATIVE and dtype == "f8":
        for method in ("pair", "alone", "follow"):
            monkeypatch.setattr(Walk, method, _never)
        with pb.GradientTape():
            getattr(o, "_value", None)  # the first read of a variable is Python's
            several(pb, x, o)


def _never(*args: Any) -> Any:
    raise AssertionError("Python walked")


@pytest.mark.parametrize("name", ["tensor", "vector", "variable", "array", "whole"])
def test_a_walk_by_other_names_too(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    x = tf.constant(BASE, tf.float32)
    o = OPERANDS[name](tf, "f4")
    python = walked(lambda: several(tf, x, o))
    natively()
    assert walked(lambda: several(tf, x, o)) == python
    if name in ("tensor", "vector", "variable"):
        monkeypatch.setattr(Walk, "pair", _never)
        monkeypatch.setattr(Walk, "alone", _never)
        with tf.GradientTape():
            getattr(o, "_value", None)
            assert type(x + o) is tf.Tensor


def test_the_line_is_the_last_one_that_took_the_step() -> None:
    natively()
    x = pb.constant([1.0, 2.0])
    lines = []
    for _ in range(3):
        for which in range(2):
            with pb.GradientTape():
                made = [x * 2.0] if which else [x * 2.0, None]
                lines.append(str(current_recorder().trail.step.loc))  # type: ignore[union-attr]
                if which:
                    made[0].numpy()
    assert lines[-2:] == lines[-4:-2]
    f = lambda: pb.sin(x)  # noqa: E731
    with pb.GradientTape():
        f()
    with pb.GradientTape():
        f()
        step = current_recorder().trail.step
        assert step is not None
        assert "in <lambda>" in str(step.loc)


def test_one_fresh_value_twice_is_not_two() -> None:
    natively()
    a, b = np.array([1.0, 2.0]), np.array([3.0, 4.0])
    for _ in range(4):
        x, y = pb.constant(a), pb.constant(b)
        with pb.GradientTape() as tape:
            tape.watch(x)
            two = pb.constant(a) * y
            same = y * y
        np.testing.assert_array_equal(two.numpy(), a * b)
        np.testing.assert_array_equal(same.numpy(), b * b)
        for given in (y, x):
            with pb.GradientTape() as tape:
                z = given * given
                tape.watch(given)
                z = z + given * given
            np.testing.assert_array_equal(tape.gradient(z, given), 2 * given.numpy())


def test_an_array_is_as_it_was_when_it_came() -> None:
    natively()
    a, x = np.ones(3), pb.constant(np.arange(3.0))
    for k in range(5):
        a[:] = k
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = x * a
            a[:] = 100.0
            y = y * a
        np.testing.assert_array_equal(y.numpy(), np.arange(3.0) * k * 100.0)
        np.testing.assert_array_equal(tape.gradient(y, x), np.full(3, k * 100.0))


def test_arrays_stand_beside_tensors_where_they_do_in_python() -> None:
    natively()
    x = pb.constant([10.0, 20.0, 30.0])
    for _ in range(4):
        with pb.GradientTape():
            pb.take(x, pb.constant([0, 2]))
    with pb.GradientTape(), pytest.raises(IndexError):
        pb.take(x, np.array([0, 5])).numpy()


def test_arrays_of_other_dtypes_are_as_outside_of_walks() -> None:
    for native in (False, True):
        if native:
            natively()
        for _ in range(3):
            with pb.GradientTape():
                x = pb.constant([1.0, 2.0]) * 2.0
                made = x + np.array([1j, 2.0])
                with pytest.raises(OpTypeError, match=r"float16 .*\n  traced at: .*"):
                    x * np.ones(2, np.float16)
                after = x + 0.3
            np.testing.assert_array_equal(made.numpy(), [2 + 1j, 6.0])
            np.testing.assert_array_equal(after.numpy(), [2.3, 4.3])
            longer = pb.constant([1.0, 2.0]) + np.ones(2, np.longlong)
            np.testing.assert_array_equal(longer.numpy(), [2.0, 3.0])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: x.__add__(), "missing 1 required positional argument: 'other'"),
        (lambda x: x.__add__(1, 2), "takes 2 positional arguments but 3 were given"),
        (lambda x: x.__rmul__(1, 2), "takes 2 positional arguments but 3 were given"),
        (lambda x: x.__neg__(1), "takes 1 positional argument but 2 were given"),
    ],
)
def test_other_counts_of_arguments_are_refused(
    call: Callable[[Any], Any], said: str
) -> None:
    natively()
    x = pb.constant(1.0)
    with pytest.raises(TypeError, match=said):
        call(x)
    with pb.GradientTape(), pytest.raises(TypeError, match=said):
        call(x)


def test_foreign_objects_are_no_operands() -> None:
    natively()
    with pytest.raises(AttributeError, match="has no attribute 'cell'"):
        pb.Tensor(3.0)  # type: ignore[arg-type]
    x = pb.constant(1.0) + 0.3
    x.__del__()  # by hand, once too often
    bare = pb.Tensor.__new__(pb.Tensor)
    with pb.GradientTape():
        for bad in (None, object(), "a", {}, bare):
            with pytest.raises((TypeError, AttributeError)):
                pb.constant(1.0) * bad


def test_the_class_of_a_result_does_not_change_with_time() -> None:
    p, q = pb.constant([1.0, 2.0]), tf.constant([3.0, 4.0])
    v = tf.Variable([3.0, 4.0])

    def kinds() -> list[type]:
        return [type(x) for x in (p + q, p * v, pb.Variable([1.0, 2.0]) - q)]

    before = kinds()
    natively()
    assert kinds() == before
    for _ in range(3):
        with pb.GradientTape():
            assert kinds() == before


def test_nested_tapes_pauses_and_assigns() -> None:
    v = pb.Variable([1.0, -2.0])
    x = pb.constant([0.5, 3.0])

    def once() -> list[Any]:
        v.assign([1.0, -2.0])
        with pb.GradientTape() as outer:
            outer.watch(x)
            y = v * x + v
            with outer.stop_recording():
                z = y * x
            v.assign_sub(y * 0.25)
            with pb.GradientTape() as inner:
                inner.watch(x)
                s = pb.sum(v * x * x) + pb.sum(z * x)
            g = inner.gradient(s, x)
            with pb.GradientTape() as late:
                w = g * x
                late.watch(g)
                w = w + g * v
        return [y, z, s, g, w, late.gradient(w, g), *outer.gradient(w, [x, v])]

    wanted = [np.asarray(r.numpy()) for r in once()]
    natively()
    for _ in range(4):
        for got, want in zip(once(), wanted, strict=True):
            np.testing.assert_array_equal(got.numpy(), want)
    # d w / d x of g = 2 v x + z, w = g x + g v at the assigned v, z of the first one
    a, b = x.numpy(), np.array([1.0, -2.0])
    after = b - (b * a + b) * 0.25
    z = (b * a + b) * a
    np.testing.assert_allclose(wanted[3], 2 * after * a + z)
    np.testing.assert_allclose(wanted[5], after)  # its first use was not seen


def test_a_decorated_function_is_traced_under_a_tape() -> None:
    natively()

    @pb.function
    def f(a: Any, b: Any) -> Any:
        return pb.sin(a * b) + a / 3.0

    for k in range(4):
        x = pb.constant(np.arange(2.0 + k))
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = f(x, x * 2.0) + x
        a = np.arange(2.0 + k)
        np.testing.assert_allclose(y.numpy(), np.sin(2 * a * a) + a / 3 + a)
        wanted = 4 * a * np.cos(2 * a * a) + 4 / 3
        np.testing.assert_allclose(tape.gradient(y, x), wanted)


def test_python_stays_where_objects_are_laid_out_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = dict(vars(pb.Tensor))
    monkeypatch.setattr(capi, "refusal", lambda: "other objects")
    QUICK.install()
    assert (QUICK.recording, QUICK.claim) == (None, None)
    assert dict(vars(pb.Tensor)) == before
    with pb.GradientTape():
        assert (pb.constant(1.0) + 2.0).numpy() == 3.0


def test_a_class_without_slots_is_refused() -> None:
    class Loose:
        pass

    with pytest.raises(TypeError, match="Loose has no slot step where slots are"):
        layout.offsets(Loose, ("step",))

    class Pretends:
        __slots__ = ("step",)

    assert layout.offsets(Pretends, ("step",)) == {"step": 16}


def test_removed_it_is_as_before_and_may_come_again() -> None:
    before = dict(vars(pb.Tensor))
    for _ in range(3):
        natively()
        assert vars(pb.Tensor)["__add__"] is not before.get("__add__")
        assert pb.sin(pb.constant(0.0)).numpy() == 0.0
        QUICK.remove()
        assert dict(vars(pb.Tensor)) == before
