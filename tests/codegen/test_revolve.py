"""The adjoint of scans with checkpoints: right, frugal, few steps run again."""

from math import comb
from typing import Any

import numpy as np
import pytest
from compare import PROGRAM, assert_close, largest
from native import assert_same_bits, native
from pullback.codegen.revolve import places_for
from pullback.ir.adjoint import grad_graph
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.interpreter import interpret
from pullback.ir.ops.control import AUTO
from pullback.ir.passes import pipeline
from pullback.ir.sizes import named
from pullback.runtime.compile import compile_graph
from regions import program, region

Array = np.ndarray[Any, Any]


def chain(
    steps: Any, checkpoints: int, reverse: bool = False, last: bool = False
) -> Graph:
    """A loss over a scan: a vector and a counter are carried, rows come in and go out.

    With `last` it is that of the last carries alone.

    Any: a number, or a size.
    """
    b, (c, w, xs) = program("f64[5]", "f64[5]", f"f64[{steps},5]")

    def body(b: Builder, c: Value, n: Value, x: Value, w: Value) -> list[Value]:
        made = b.sin(b.add(b.mul(c, w), x))
        return [made, b.add(n, 1), b.mul(made, c)]

    kinds = [c.type, b.constant(0).type, c.type, w.type]
    operands = (c, b.constant(0), xs, w)
    out = b.apply(
        b.table["scan"],
        operands,
        {
            "carries": 2, "xs": 1, "length": steps, "reverse": reverse,
            "body": region(kinds, body), "extends": None, "checkpoints": checkpoints,
        },
    )  # fmt: skip
    loss = b.sum(out[0], axes=(0,))
    if not last:
        loss = b.add(loss, b.sum(out[2], axes=(0, 1)))
    graph = b.finish("chain", [b.mul(loss, b.cast(out[1], dtype=loss.type.dtype))])
    if not isinstance(steps, int):
        graph.sizes = [str(steps)]
    return grad_graph(graph, [0, 1, 2])


def arrays(steps: int) -> list[Array]:
    rng = np.random.default_rng(steps)
    return [rng.uniform(-1, 1, shape) for shape in ((5,), (5,), (steps, 5))]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("checkpoints", [AUTO, 1, 2, 3, 7, 40])
@pytest.mark.parametrize("steps", [0, 1, 2, 3, 6, 23, 40])
def test_gradients_are_the_reference(
    steps: int, checkpoints: int, reverse: bool
) -> None:
    graph = chain(steps, checkpoints, reverse)
    given = arrays(steps)
    wanted = interpret(graph, given)
    got = native(graph).guarded(given)
    assert_close(got, wanted, "chain", PROGRAM, largest([*given, *wanted]))


def test_how_many_are_held_changes_no_bit() -> None:
    given = arrays(23)
    made = [native(chain(23, k))(given) for k in (1, 2, 5, 23, AUTO)]
    for other in made[1:]:
        assert_same_bits(other, made[0], "checkpoints")


def test_lengths_by_name() -> None:
    graph = chain(named("t"), AUTO)
    for steps in (0, 2, 100):
        given = arrays(steps)
        wanted = interpret(graph, given)
        got = native(graph)(given)
        assert_close(got, wanted, "chain", PROGRAM, largest([*given, *wanted]))


def runs(steps: int, places: int) -> list[int]:
    """How often each step runs before the one that goes back over it, as a model."""
    counts = [0] * steps
    held = [0]
    for number in reversed(range(steps)):
        while held[-1] < number:
            free = places - len(held)
            first = held[-1]
            if not free:
                for k in range(first, number):
                    counts[k] += 1
                break
            to = first + split(number - first + 1, free + 1)
            for k in range(first, to):
                counts[k] += 1
            held.append(to)
        if held[-1] == number and len(held) > 1:
            held.pop()
    return counts


def split(left: int, places: int) -> int:
    r = 1
    while comb(places + r, places) < left:
        r += 1
    ahead = min(comb(places + r - 1, places), left - comb(places + r - 2, places - 1))
    return min(max(ahead, 1), left - 1)


def fewest(steps: int, places: int) -> int:
    """The number of steps an optimal schedule runs: Griewank's formula."""
    r = 0
    while comb(places + r, places) < steps:
        r += 1
    return r * steps - comb(places + r, places + 1)


@pytest.mark.parametrize("places", [1, 2, 3, 5, 8])
def test_the_schedule_runs_the_fewest_steps(places: int) -> None:
    for steps in range(1, 60):
        assert sum(runs(steps, places)) == fewest(steps, places), (steps, places)


def test_auto_runs_a_step_twice_more_at_most() -> None:
    for steps in (1, 10, 100, 5000):
        places = places_for(AUTO, steps)
        assert max(runs(steps, places)) <= 2
        assert places * (places + 1) < 2 * steps + 2
    assert places_for(7, 100) == 7
    assert places_for(AUTO, named("t")) == 64


def test_memory_grows_with_the_checkpoints_not_the_steps() -> None:
    def workspace(steps: int, checkpoints: int) -> int:
        made = compile_graph(chain(steps, checkpoints, last=True)).lowered.workspace
        assert isinstance(made, int)
        return made

    assert workspace(4000, 3) == workspace(1000, 3)
    assert workspace(1000, 30) - workspace(1000, 3) == 27 * 128 + 192


def test_second_derivatives_hold_every_carry_and_agree() -> None:
    frugal = grad_graph(chain(9, 2), [1], output=0)
    plain = grad_graph(chain(9, 0), [1], output=0)
    given = arrays(9)
    got, wanted = interpret(frugal, given), interpret(plain, given)
    assert_close(got, wanted, "second", PROGRAM, largest(wanted))
    names = [n.primitive.name for n in pipeline.run(chain(9, 2)).nodes]
    assert "revolve" in names
