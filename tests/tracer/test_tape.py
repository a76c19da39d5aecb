"""The tape's exact semantics."""

from collections import OrderedDict
from typing import Any, NamedTuple

import numpy as np
import pullback as pb
import pytest
from pullback.tracer.tensor import current_recorder


class Pair(NamedTuple):
    a: Any
    b: Any


def value(x: Any) -> Any:
    return None if x is None else x.numpy()


# -- semantics -------------------------------------------------------------------------


def test_stop_recording() -> None:
    x, y = pb.Variable(2.0), pb.Variable(3.0)
    with pb.GradientTape(persistent=True) as tape:
        x_sq = x * x
        with tape.stop_recording():
            y_sq = y * y
        z = x_sq + y_sq
    assert value(tape.gradient(z, x)) == 4.0
    assert tape.gradient(z, y) is None
    with pytest.raises(RuntimeError, match="Trying to stop recording a tape which is"):
        tape.stop_recording().__enter__()


def test_reset() -> None:
    x, y = pb.Variable(2.0), pb.Variable(3.0)
    with pb.GradientTape(persistent=True) as tape:
        y_sq = y * y
        tape.reset()
        z = x * x + y_sq
    assert tape.watched_variables() == (x,)
    assert value(tape.gradient(z, x)) == 4.0
    assert tape.gradient(z, y) is None


def test_stop_gradient() -> None:
    x, y = pb.Variable(2.0), pb.Variable(3.0)
    with pb.GradientTape() as tape:
        z = x**2 + pb.stop_gradient(y**2)
    dx, dy = tape.gradient(z, [x, y])
    assert (value(dx), dy) == (4.0, None)


def test_tapes_side_by_side() -> None:
    x0, x1 = pb.constant(0.0), pb.constant(0.0)
    with pb.GradientTape() as t0, pb.GradientTape() as t1:
        t0.watch(x0)
        t1.watch(x1)
        ys = pb.sum(pb.sin(x0) + pb.sigmoid(x1))
    assert value(t0.gradient(ys, x0)) == 1.0
    assert value(t1.gradient(ys, x1)) == 0.25


def test_higher_order_by_nesting() -> None:
    x = pb.Variable(1.0)
    with pb.GradientTape() as t2:
        with pb.GradientTape() as t1:
            y = x * x * x
        dy = t1.gradient(y, x)
    assert value(dy) == 3.0
    assert value(t2.gradient(dy, x)) == 6.0


def test_higher_order_on_one_persistent_tape() -> None:
    x = pb.constant(3.0)
    with pb.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x * x
        y1 = tape.gradient(y, x)
        y2 = tape.gradient(y1, x)
    assert [value(v) for v in (y, y1, y2)] == [27.0, 27.0, 18.0]
    assert value(tape.gradient(y2, x)) == 6.0


def test_gradient_inside_the_context() -> None:
    x = pb.constant(3.0)
    for persistent in (False, True):
        with pb.GradientTape(persistent=persistent) as tape:
            tape.watch(x)
            assert value(tape.gradient(x * x, x)) == 6.0


def test_watching_is_local_to_a_tape() -> None:
    x = pb.constant(2.0)
    with pb.GradientTape() as outer:
        with pb.GradientTape() as inner:
            inner.watch(x)
            y = x * x * x
        dy = inner.gradient(y, x)
    assert value(dy) == 12.0
    assert outer.gradient(dy, x) is None


def test_ops_before_the_watch_are_lost() -> None:
    x = pb.constant(2.0)
    with pb.GradientTape(persistent=True) as tape:
        early = x * x
        tape.watch(x)
        late = x * x
    assert tape.gradient(early, x) is None
    assert value(tape.gradient(late, x)) == 4.0


def test_watching_an_intermediate_keeps_its_history() -> None:
    x = pb.Variable(2.0)
    with pb.GradientTape() as tape:
        y = x * x
        tape.watch(y)
        z = y * y
    dx, dy = tape.gradient(z, [x, y])
    assert (value(dx), value(dy)) == (32.0, 8.0)


def test_a_target_that_is_a_source() -> None:
    x = pb.constant([1.0, 2.0])
    with pb.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
    np.testing.assert_array_equal(tape.gradient(x, x), [1.0, 1.0])
    np.testing.assert_array_equal(tape.gradient([x, x], [x])[0], [2.0, 2.0])
    np.testing.assert_array_equal(tape.gradient([y, x], x), [3.0, 5.0])
    never = pb.constant(1.0)
    assert value(tape.gradient(never, never)) == 1.0
    v = pb.Variable(3.0)
    assert value(tape.gradient([v, v], v)) == 2.0
    assert tape.gradient(v, x) is None


def test_output_gradients() -> None:
    x = pb.constant(2.0)
    with pb.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x * x
    assert value(tape.gradient([y, x], x, output_gradients=[1.0, 2.0])) == 6.0
    assert value(tape.gradient([y, y], x, output_gradients=[None, 2.0])) == 12.0
    assert value(tape.gradient(y, x, output_gradients=pb.constant(3.0))) == 12.0
    with pytest.raises(pb.ArgumentError, match="2 output_gradients for 1 targets"):
        tape.gradient(y, x, output_gradients=[1.0, 2.0])


def test_the_gradient_with_respect_to_an_output_gradient() -> None:
    ct = pb.constant(2.0)
    x = pb.constant(3.1)
    with pb.GradientTape() as outer:
        outer.watch(ct)
        with pb.GradientTape() as inner:
            inner.watch(x)
            y = x * x
        dy = inner.gradient(y, x, output_gradients=ct)
    assert value(outer.gradient(dy, ct)) == 6.2


def test_gradients_run_through_other_sources() -> None:
    x = pb.constant(3.0)
    with pb.GradientTape() as tape:
        tape.watch(x)
        y = x * x
        z = y * y
    dx, dy = tape.gradient(z, [x, y])
    assert (value(dx), value(dy)) == (108.0, 18.0)


def test_repeated_sources_have_the_full_gradient() -> None:
    x = pb.Variable(1.0)
    with pb.GradientTape() as tape:
        y = x * x
    one, two = tape.gradient(y, [x, x])
    assert (value(one), value(two)) == (2.0, 2.0)
    assert one is not two


def test_structures_of_sources() -> None:
    x, y = pb.Variable(2.0), pb.Variable(3.0)
    with pb.GradientTape(persistent=True) as tape:
        z = x * y
    for tree in (x, [x], (x, y), [(x,), [y, x]], {"b": x, "a": [y]}, Pair(x, {"c": y}),
                 OrderedDict(b=x, a=y), []):  # fmt: skip
        got = tape.gradient(z, tree)
        flat: list[Any] = []

        def check(t: Any, g: Any, flat: list[Any] = flat) -> None:
            if isinstance(t, pb.Tensor):
                assert value(g) == (3.0 if t is x else 2.0)
                return
            assert type(t) is type(g)
            assert len(t) == len(g)
            keys = list(t) if isinstance(t, dict) else range(len(t))
            if isinstance(t, dict):
                assert list(g) == list(t)
            for key in keys:
                check(t[key], g[key])

        check(tree, got)


def test_reads_are_captured_before_an_assignment() -> None:
    v = pb.Variable(3.0)
    with pb.GradientTape() as tape:
        a = v * v
        v.assign(10.0)
        b = v * v
        c = a + b
    assert value(tape.gradient(c, v)) == 26.0
    assert (value(a), value(b)) == (9.0, 100.0)


def test_a_read_outside_is_not_the_variable() -> None:
    v = pb.Variable(3.0)
    outside = v.read_value()
    with pb.GradientTape(persistent=True) as tape:
        y = outside * outside
        z = v.read_value() * v
    assert tape.gradient(y, v) is None
    assert value(tape.gradient(z, v)) == 6.0


def test_assign_returns_the_variable_and_checks_types() -> None:
    v = pb.Variable([1.0, 2.0], name="v")
    assert v.assign([3.0, 4.0]).assign_sub(1.0).assign_add([1, 1]) is v
    np.testing.assert_array_equal(v, [3.0, 4.0])
    with pytest.raises(pb.OpTypeError, match=r"assign: variable 'v' is f64\[2\]"):
        v.assign([1.0])
    with pytest.raises(pb.OpTypeError, match=r"the value f32\[2\]"):
        v.assign(pb.constant([1.0, 2.0], dtype=np.float32))


def test_watched_variables_are_in_order_of_construction() -> None:
    v0, v1, v2 = (pb.Variable(float(k)) for k in range(3))
    with pb.GradientTape() as tape:
        y = v1 * v0
        assert tape.watched_variables() == (v0, v1)
    tape.gradient(y, v0)
    assert tape.watched_variables() == (v0, v1)
    with pb.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch([v2, (v0,)])
        _ = v1 + v2
    assert tape.watched_variables() == (v0, v2)


def test_untrainable_variables_may_be_watched() -> None:
    v = pb.Variable(3.0, trainable=False)
    with pb.GradientTape() as tape:
        tape.watch(v)
        y = v * v
    assert value(tape.gradient(y, v)) == 6.0


def test_reentering_appends() -> None:
    x = pb.constant(3.0)
    tape = pb.GradientTape(persistent=True)
    with tape:
        tape.watch(x)
        y = x * x
    with tape:
        z = y * y
    assert value(tape.gradient(z, x)) == 108.0
    with tape, pytest.raises(ValueError, match="Tape is still recording"):
        tape.__enter__()


def test_an_exception_leaves_the_tape() -> None:
    with pytest.raises(ZeroDivisionError), pb.GradientTape():
        _ = 1 / 0
    assert current_recorder().tapes == []


def test_identities_are_distinct() -> None:
    x = pb.constant(2.0)
    same = [+x, x + 0, x - 0, x * 1, pb.reshape(x, ()), pb.array(x), x[...]]
    with pb.GradientTape(persistent=True) as tape:
        tape.watch(same)
        z = sum([s * k for k, s in enumerate(same)], pb.constant(0.0))
    assert [value(g) for g in tape.gradient(z, same)] == [float(k) for k in range(7)]
    zero, other = pb.zeros(2), pb.zeros(2)
    with pb.GradientTape() as tape:
        tape.watch([zero, other])
        y = pb.sum(zero * 2.0)
    assert value(tape.gradient(y, other)) is None


def test_where_passes_no_gradient_to_its_condition() -> None:
    for start, wanted in ((1.0, 1.0), (50.0, 100.0)):
        x = pb.Variable(start)
        with pb.GradientTape() as tape:
            y = pb.where(x < 10, x, x * x)
        assert value(tape.gradient(y, x)) == wanted


def test_python_max_of_variables() -> None:
    a, b, c = (pb.Variable(float(k)) for k in range(3))
    with pb.GradientTape() as tape:
        top = max([a, b, c])
    assert [value(g) for g in tape.gradient(top, [a, b, c])] == [None, None, 1.0]


def test_gather_twice_adds_up() -> None:
    table = pb.Variable(np.ones((4, 2)))
    with pb.GradientTape() as tape:
        rows = pb.take(table, [1, 1, 3], axis=0)
        y = pb.sum(rows * rows) + pb.sum(table[0])
    np.testing.assert_array_equal(
        tape.gradient(y, table), [[1, 1], [4, 4], [0, 0], [2, 2]]
    )


# -- messages --------------------------------------------------------------------------


def test_a_tape_is_used_up() -> None:
    x = pb.Variable(3.0)
    with pb.GradientTape() as tape:
        y = x * x
    tape.gradient(y, x)
    with pytest.raises(RuntimeError) as caught:
        tape.gradient(y, x)
    assert str(caught.value) == (
        "A non-persistent GradientTape can only be used to compute one set of "
        "gradients (or jacobians)"
    )


def test_no_target() -> None:
    with pytest.raises(TypeError) as caught:
        pb.GradientTape().gradient(None, pb.Variable(1.0))
    assert str(caught.value) == (
        "Argument `target` should be a list or nested structure of Tensors, Variables "
        "or CompositeTensors to be differentiated, but received None."
    )
    with pytest.raises(
        TypeError, match=r"`sources` should be .* but holds a float: 3.0"
    ):
        pb.GradientTape().gradient(pb.constant(1.0), 3.0)
    with pytest.raises(TypeError, match="keys of a dictionary cannot be sorted"):
        pb.GradientTape().gradient(pb.constant(1.0), {1: 0, "a": 1})


def test_unknown_unconnected() -> None:
    with pytest.raises(
        ValueError, match=r"^Unknown value for unconnected_gradients: 'no"
    ):
        pb.GradientTape().gradient(
            pb.constant(1.0), [], unconnected_gradients="nonsense"
        )


def test_watch_of_an_array() -> None:
    with pytest.raises(ValueError, match="object of type 'ndarray' is not a tensor"):
        pb.GradientTape().watch(np.ones(3))


def test_watch_of_integers_is_told() -> None:
    x = pb.constant(3)
    with pb.GradientTape() as tape:
        with pytest.warns(UserWarning, match="dtype of the watched tensor must be flo"):
            tape.watch(x)
        y = pb.cast(x, float) * 2.0
    assert tape.gradient(y, x) is None


def test_types_are_checked_at_once() -> None:
    a, b = pb.ones((4, 3)), pb.ones((4, 3))
    with pytest.raises(pb.OpTypeError) as caught:
        _ = a @ b
    text = str(caught.value)
    assert text.startswith("matmul: inner dimensions differ: 3 and 4")
    assert "_ = a @ b" in text


def test_tensors_of_no_numbers() -> None:
    with pytest.raises(pb.ArgumentError, match="a tensor of <U1 is not possible"):
        pb.constant("a")


def test_leaving_the_tape_is_told_once_and_only_under_a_tape() -> None:
    x = pb.Variable([1.0, 2.0])
    assert np.sum(x) == 3.0
    with pb.GradientTape():
        y = x * 2
        for k in range(2):
            if k == 0:
                with pytest.warns(
                    pb.LeftTapeWarning, match=r"^np\.sin .*pb\.sin"
                ) as told:
                    left(y)
                assert told[0].filename.endswith("test_tape.py")
            else:
                left(y)


def left(y: Any) -> Any:
    return np.sin(y)


# -- products and sums -----------------------------------------------------------------


def test_a_product_is_a_source_of_the_sums_it_enters() -> None:
    a, b = pb.Variable(2.0), pb.Variable(3.0)
    with pb.GradientTape(persistent=True) as tape:
        y = a * b
        sums = [y + 1.0, 1.0 - y, y - a, a + y]
    assert [value(tape.gradient(z, y)) for z in sums] == [1.0, -1.0, 1.0, 1.0]
    assert [value(tape.gradient(z, a)) for z in sums] == [3.0, -3.0, 2.0, 4.0]


def test_a_product_outside_the_tape_is_none_of_its_factors() -> None:
    x = pb.constant(3.0)
    with pb.GradientTape() as tape:
        tape.watch(x)
        with tape.stop_recording():
            y = x * x
        z = y + x
    assert value(tape.gradient(z, x)) == 1.0


# -- Jacobians -------------------------------------------------------------------------


@pytest.mark.parametrize("together", [True, False])
def test_jacobians(together: bool) -> None:
    x, v = pb.constant([1.0, 2.0]), pb.Variable(3.0)
    with pb.GradientTape(persistent=True) as tape:
        tape.watch(x)
        y = x**2 * v
    dx, dv = tape.jacobian(y, [x, v], together=together)
    np.testing.assert_array_equal(dx, [[6.0, 0.0], [0.0, 12.0]])
    np.testing.assert_array_equal(dv, [1.0, 4.0])
    assert (type(dx), dx.dtype) == (pb.Tensor, np.float64)
    rows = pb.constant([[1.0], [2.0]])
    with pb.GradientTape(persistent=True) as tape:
        tape.watch(rows)
        y = rows**3
    got = tape.batch_jacobian(y, rows, together=together)
    np.testing.assert_array_equal(got, [[[3.0]], [[12.0]]])


def test_jacobians_that_cannot_be() -> None:
    x = pb.Variable([1.0])
    with pb.GradientTape() as tape:
        y = x * x
    with pytest.raises(
        TypeError, match="jacobian: the target is one tensor or variable"
    ):
        tape.jacobian([y], x)
    with pytest.raises(
        RuntimeError, match="persistent=True to compute the jacobian one"
    ):
        tape.jacobian(y, x, together=False)
    with pytest.raises(
        ValueError, match=r"the target \(1,\) must have rank at least 2"
    ):
        tape.batch_jacobian(y, x)
