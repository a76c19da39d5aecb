"""`pb.print`: in order, as it happens, once, wherever a program runs."""

import io
import sys

import numpy as np
import pullback as pb
import pytest


@pytest.fixture
def said(capsys):
    """Return a function that returns the lines printed since it was last called."""
    return lambda: capsys.readouterr().out.splitlines()


def halving(x):
    """Print every step of a loop whose length nobody knows."""

    def body(carry):
        k, v = carry
        pb.print("step {}: {}", k, v)
        return k + 1, np.sin(v) * 0.5

    last = pb.while_loop(lambda carry: carry[1] > 0.2, body, (0, x))[1]
    pb.print("done")
    return last


def chain(x):
    """Print every step of a loop of known length."""

    def body(c, e):
        pb.print("carry {} element {}", c, e)
        return np.sin(c * e) + 1, c

    last, stacked = pb.scan(body, x, np.arange(3.0))
    pb.print("after")
    return last + pb.sum(stacked)


def rarely(x):
    """Print in a scan that keeps few carries."""

    def body(c, e):
        pb.print("carry {:.1f}", c)
        return c * e + 1, None

    return pb.scan(body, x, np.arange(6.0), checkpoints=2)[0]


def choosing(x):
    def yes(x):
        pb.print("yes {}", x)
        return np.sin(x)

    def no(x):
        pb.print("no {}", x)
        return np.cos(x)

    return pb.cond(x > 0, yes, no, x)


def nested(x):
    """Print in a loop within a loop, and in a branch of that."""

    def outer(c, e):
        pb.print("outer {}", e)

        def inner(i, v):
            pb.print("inner {}", i)
            return pb.cond(v > 0, lambda v: choosing(v) + 1.0, lambda v: v, v)

        return pb.fori_loop(0, 2, inner, c) * e, None

    return pb.scan(outer, x, np.array([1.0, 2.0]))[0]


def straight(x):
    y = np.sin(x)
    pb.print("sin {:.3f}", y)
    z = y * 2
    pb.print("{} is not {z:.3f}", "y", z=z)
    return z


def again(x):
    def inner(x):
        pb.print("inside {}", x)
        return np.sin(x) * x

    return pb.checkpoint(inner)(x) ** 2


PROGRAMS = [straight, halving, chain, rarely, choosing, nested, again]
SECOND = np.sin(1.0) * 0.5
STEPS = [
    "step 0: 1.0",
    f"step 1: {SECOND}",
    f"step 2: {np.sin(SECOND) * 0.5}",
    "done",
]
CHAIN = [
    "carry 1.0 element 0.0",
    "carry 1.0 element 1.0",
    f"carry {np.sin(1.0) + 1} element 2.0",
    "after",
]


def expected(program, said):
    """Return what a program prints where Python runs it."""
    with pb.interpret():
        pb.function(program)(1.0)
    return said()


# -- what is printed -------------------------------------------------------------------


def test_a_text_has_its_values(said):
    straight_native = pb.function(straight)
    for _ in range(2):
        straight_native(1.0)
        assert said() == ["sin 0.841", "y is not 1.683"]


def test_loops_print_each_step(said):
    pb.function(halving)(1.0)
    assert said() == STEPS
    pb.function(chain)(1.0)
    assert said() == CHAIN


def test_arrays_print_as_numpy_prints_them(said):
    x = np.arange(6.0).reshape(2, 3)

    @pb.function
    def show(x, k, flags):
        pb.print("{0}\n{0.shape} {1!r} {2}", x, k, flags)
        pb.print("{:.2f}", x)
        return x

    flags = np.array([True, False])
    show(x, np.int32(3), flags)
    wanted = (
        f"{x}\n(2, 3) {np.int32(3)!r} {flags}\n[[0.00 1.00 2.00]\n [3.00 4.00 5.00]]"
    )
    assert said() == wanted.splitlines()
    show(np.zeros((0, 3)), np.int32(3), flags)
    assert said() == ["[]", "(0, 3) np.int32(3) [ True False]", "[]"]


def test_what_is_known_is_put_into_the_text(said):
    held = np.array([1.0, 2.0, 3.0])

    @pb.function
    def show(x):
        pb.print("{{}} {} {:>{}}", "{a}", 7, 3)
        pb.print("{:.{digits}f} {}", x, held, digits=1)
        pb.print("nothing")
        return x

    show(0.25)
    assert said() == ["{} {a}   7", "0.2 [1. 2. 3.]", "nothing"]


def test_results_are_not_needed(said):
    @pb.function
    def only(x):
        pb.print("{}", x @ x)

    assert only(np.ones(3)) is None
    assert said() == ["3.0"]

    @pb.function
    def loop(x):
        def body(c, e):
            pb.print("{}", e @ x)
            return c, None

        pb.scan(body, None, x)
        return 1.0

    loop(np.eye(2))
    assert said() == ["[1. 0.]", "[0. 1.]"]


def test_outside_of_functions_it_prints_at_once(said):
    pb.print("{} {name}", pb.constant(2.0), name=np.arange(2))
    assert said() == ["2.0 [0 1]"]
    halving(1.0)
    assert said() == STEPS


def test_equal_prints_all_print(said):
    @pb.function
    def twice(x):
        pb.print("x {}", x)
        pb.print("x {}", x)
        return x

    twice(1.0)
    assert said() == ["x 1.0", "x 1.0"]


def test_the_order_is_that_of_the_program(said):
    @pb.function
    def ordered(x, y):
        total = pb.fori_loop(0, 2, lambda i, c: (pb.print("a {}", i), c * x)[1], x)
        pb.print("b {}", np.exp(np.sum(np.cos(x @ x))) > 0)
        pb.print("c")
        pb.fori_loop(0, 2, lambda i, c: (pb.print("d {}", i), c + 1)[1], 0)
        pb.print("e {}", y)
        return total, y

    ordered(np.eye(2), 3.0)
    assert said() == ["a 0", "a 1", "b True", "c", "d 0", "d 1", "e 3.0"]


def test_what_was_printed_before_a_failure_is_printed(said):
    @pb.function
    def fails(x, k):
        pb.print("k {}", k)
        y = x[k]
        pb.print("never {}", y)
        return y

    with pytest.raises(IndexError):
        fails(np.ones(3), 7)
    assert said() == ["k 7"]


def test_a_step_prints_when_it_happens(monkeypatch):
    """A stream sees the first step before the loop is over."""
    stop = KeyError("that is enough")

    class Impatient(io.StringIO):
        def write(self, text):
            super().write(text)
            if "step 3" in text:
                raise stop
            return len(text)

    stream = Impatient()
    monkeypatch.setattr(sys, "stdout", stream)

    @pb.function
    def forever(x):
        def body(k):
            pb.print("step {}", k)
            return k + 1

        return pb.while_loop(lambda k: k >= 0, body, x)

    with pytest.raises(KeyError) as caught:
        forever(0)
    assert caught.value is stop
    assert stream.getvalue() == "step 0\nstep 1\nstep 2\nstep 3\n"


# -- once ------------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_a_gradient_prints_once(program, said):
    wanted = expected(program, said)
    pb.grad(program)(1.0)
    assert said() == wanted
    pb.value_and_grad(program)(1.0)
    assert said() == wanted
    pb.grad(pb.grad(program))(1.0)
    assert said() == wanted


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_a_tangent_prints_once(program, said):
    wanted = expected(program, said)
    pb.jvp(program, (1.0,), (1.0,))
    assert said() == wanted
    pb.hvp(program)(1.0, 1.0)
    assert said() == wanted


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_a_pullback_prints_in_its_forward_half(program, said):
    wanted = expected(program, said)
    _, back = pb.vjp(program, 1.0)
    assert said() == wanted
    back(1.0)
    back(2.0)
    assert said() == []


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_interpreted_gradients_print_once(program, said):
    wanted = expected(program, said)
    with pb.interpret():
        pb.grad(program)(1.0)
    assert said() == wanted


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_a_tape_prints_once(program, said):
    wanted = expected(program, said)
    fun = pb.function(program)
    x = pb.Variable(1.0)
    with pb.GradientTape() as tape:
        y = fun(x * 1.0)
        assert said() == wanted
    got = tape.gradient(y, x).numpy()
    assert said() == []
    assert got == pytest.approx(pb.grad(program)(1.0))


def test_checks_of_numbers_print_nothing_more(said):
    @pb.function(check_numerics=True)
    def bad(x):
        def body(c, e):
            pb.print("e {}", e)
            return c * e, None

        return np.log(pb.scan(body, x, np.array([1.0, -1.0]))[0])

    with pytest.raises(pb.NonFiniteError):
        bad(1.0)
    assert said() == ["e 1.0", "e -1.0"]


def test_a_cotangent_prints_in_the_backward_half(said):
    @pb.custom_vjp
    def held(x):
        pb.print("value {}", x)
        return x * 2

    def forward(x):
        return held(x), x

    def backward(x, ct):
        pb.print("cotangent {}", ct)
        return (ct * 2,)

    held.defvjp(forward, backward)
    _, back = pb.vjp(held, 1.0)
    assert said() == ["value 1.0"]
    back(3.0)
    assert said() == ["cotangent 3.0"]


def test_what_makes_derivatives_prints_nothing_more(said):
    @pb.custom_jvp
    def known(x):
        pb.print("value {}", x)
        return np.sin(x)

    known.defjvp(lambda primals, tangents: (known(*primals), tangents[0] * 2))
    pb.jvp(known, (1.0,), (1.0,))
    assert said() == ["value 1.0"]
    pb.grad(known)(1.0)
    assert said() == ["value 1.0"]


def test_batched_gradients_print_once(said):
    rows = np.array([1.0, 2.0])
    for program in (chain, rarely, nested, straight, again):
        pb.vmap(program)(rows)
        wanted = said()
        pb.vmap(pb.grad(program))(rows)
        assert said() == wanted
        pb.grad(lambda x: pb.sum(pb.vmap(program)(x)))(rows)  # noqa: B023 - called here
        assert said() == wanted


def test_the_path_that_is_taken_prints(said):
    @pb.function(branches="trace")
    def huber(x):
        pb.print("x {}", x)
        if abs(x) < 1:
            pb.print("inside")
            return x * x / 2
        pb.print("outside")
        return abs(x) - 0.5

    for x, where in ((0.5, "inside"), (-3.0, "outside"), (0.25, "inside")):
        huber(x)
        assert said() == [f"x {x}", where]
    pb.grad(huber)(-3.0)
    assert said() == ["x -3.0", "outside"]
    x = pb.Variable(2.0)
    with pb.GradientTape():
        huber(x * 1.0)
    assert said() == ["x 2.0", "outside"]


def test_the_path_that_fails_prints(said):
    @pb.function(branches="trace")
    def fails(x, k):
        if x > 0:
            pb.print("k {}", k)
            return pb.take(np.ones(3), k, axis=0) * x
        return x

    fails(1.0, 0)
    said()
    with pytest.raises(IndexError):
        fails(1.0, 7)
    assert said() == ["k 7"]


# -- batches ---------------------------------------------------------------------------


def test_a_batch_prints_once(said):
    rows = np.array([1.0, 2.0])
    pb.vmap(lambda x: (pb.print("{} {:.1f}", "x", x), x)[1])(rows)
    assert said() == ["x [1.0 2.0]"]
    pb.vmap(lambda x: (pb.print("same"), x)[1])(rows)
    assert said() == ["same"]


def test_loops_of_batches_print_each_step_once(said):
    rows = np.array([1.0, 2.0])

    def body(c, e):
        pb.print("{} {}", c, e)
        return c * e, None

    pb.vmap(lambda x: pb.scan(body, x, np.array([2.0, 3.0]))[0])(rows)
    assert said() == ["[1. 2.] 2.0", "[2. 4.] 3.0"]

    def step(carry):
        pb.print("{}", carry)
        return carry - 1.0

    pb.vmap(lambda x: pb.while_loop(lambda c: c > 0, step, x))(rows)
    assert said() == ["[1. 2.]", "[0. 1.]"]


# -- errors ----------------------------------------------------------------------------


def test_a_text_that_does_not_fit_its_values_is_an_error_when_traced():
    with pytest.raises(IndexError, match="Replacement index 1 out of range"):
        pb.function(lambda x: (pb.print("{} {}", x), x)[1])(1.0)
    with pytest.raises(KeyError, match="name"):
        pb.function(lambda x: (pb.print("{name}", x), x)[1])(1.0)
    with pytest.raises(ValueError, match="from manual field specification to auto"):
        pb.function(lambda x: (pb.print("{0} {}", x), x)[1])(1.0)
    with pytest.raises(ValueError, match="from automatic field numbering to manual"):
        pb.function(lambda x: (pb.print("{} {0}", x), x)[1])(1.0)
    with pytest.raises(pb.ArgumentError, match=r"print: the format '\{\}' of a field"):
        pb.function(lambda x: (pb.print("{:{}}", x, x), x)[1])(1.0)


def test_the_text_comes_first():
    with pytest.raises(pb.ArgumentError, match="print: the text comes first, got a fl"):
        pb.print(1.0)


def test_a_format_that_fails_stops_the_program(said):
    @pb.function
    def wrong(x):
        pb.print("{:d}", x)
        pb.print("never")
        return x

    with pytest.raises(ValueError, match="Unknown format code 'd'"):
        wrong(1.0)
    assert said() == []


def test_an_array_that_escaped_is_named(said):
    kept = []
    pb.function(lambda x: (kept.append(x), x)[1])(1.0)
    with pytest.raises(pb.EscapedValue, match="was used after the trace"):
        pb.print("{}", kept[0])
