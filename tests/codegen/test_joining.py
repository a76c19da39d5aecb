"""Kernels over nearly the same axis share one loop, and no bit changes."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from native import PLAIN, How, assert_same_bits, guarded, native
from programs import Maker, program
from pullback.codegen.lower import Lowered, lower
from pullback.codegen.show import show_schedule
from pullback.codegen.target import host
from pullback.ir.adjoint import grad_graph
from pullback.ir.graph import Graph, Value
from pullback.ir.passes import pipeline
from pullback.ir.sizes import named, smax
from pullback.ir.types import F64

MASKS = replace(host(), vector_bits=512, has_masks=True)
SIZES = (0, 2, 3, 31, 33, 64, 65, 97, 1000)
HOWS = {
    "unfused": How(fuse=False),
    "no masks": How(target=replace(host(), has_masks=False)),
    "256 bits": How(target=replace(host(), vector_bits=256, has_masks=True)),
    "128 bits": How(target=replace(host(), vector_bits=128, has_masks=True)),
    "O0": How(level=0),
}


def differences(m: Maker) -> list[Value]:
    """Folds of n, n - 1 and n - 2 elements, and results of n - 1."""
    b, x = m.b, m.input(m.n)

    def part(start: int, less: int) -> Value:
        size = smax(m.n - less, 0)
        out: Value = b.slice(x, start=(start,), step=(1,), size=(size,))
        return out

    first = b.sub(part(1, 1), part(0, 1))
    second = b.sub(b.add(part(2, 2), part(0, 2)), b.mul(part(1, 2), 2.0))
    loss = b.add(m.sum(b.square(first)), m.sum(b.square(second)))
    return [b.add(loss, m.sum(b.mul(x, x))), b.square(first), b.lt(first, 0.5)]


def dear(m: Maker) -> list[Value]:
    """A body that is too long for a tail of its own."""
    b, x = m.b, m.input(m.n)
    size = (smax(m.n - 1, 0),)
    head = b.slice(x, start=(0,), step=(1,), size=size)
    tail = b.slice(x, start=(1,), step=(1,), size=size)
    wave = b.mul(b.sin(head), b.exp(b.sub(head, tail)))
    return [b.add(m.sum(wave), m.sum(b.tanh(x))), b.tanh(x)]


def graph_of(make: Callable[[Maker], list[Value]], n: Any) -> Graph:
    m = Maker(named(n) if isinstance(n, str) else n, F64)
    return grad_graph(m.b.finish(make.__name__, make(m)), [0])


def lowered(graph: Graph, **options: Any) -> Lowered:
    _, (made,) = lower([(pipeline.run(graph), "p")], MASKS, **options)
    return made


def test_the_differences_of_neighbours_and_their_adjoint_are_one_kernel() -> None:
    made = lowered(program("rosenbrock", "n", 1).graph)
    text = show_schedule(made)
    assert len(made.launches) == 1
    assert "loop [n], reduced (0,)" in text
    assert "%0: bool = 0 <= a0 < " in text
    assert re.search(r"s1 <- sum of %\d+ where %0\n", text)
    assert len(lowered(program("rosenbrock", 1000, 1).graph).launches) == 1


def test_results_of_three_extents_share_a_loop() -> None:
    made = lowered(graph_of(differences, "n"))
    assert [made.plans[x.kernel].space for x in made.launches][:1] == [(named("n"),)]
    assert len(made.launches) == 2  # the second adds up the three sums


def test_what_reads_nothing_in_common_stays_apart() -> None:
    m = Maker(named("n"), F64)
    x, y = m.input(m.n), m.input(m.n + 1)
    graph = m.b.finish("apart", [m.sum(m.b.square(x)), m.b.exp(y)])
    assert len(lowered(graph).launches) == 2


def test_axes_of_unrelated_or_far_extents_stay_apart() -> None:
    m = Maker(named("n"), F64)
    x = m.input(m.n + 9)
    head = m.b.slice(x, start=(0,), step=(1,), size=(m.n,))
    graph = m.b.finish("far", [m.sum(m.b.square(head)), m.b.exp(x)])
    assert len(lowered(graph).launches) == 2


@pytest.mark.parametrize("make", [differences, dear])
def test_bits_are_those_of_kernels_of_their_own(make: Any) -> None:
    graph = graph_of(make, "n")
    rng = np.random.default_rng(3)
    arrays = [[rng.standard_normal(n)] for n in SIZES]
    wanted = guarded([(native(graph, PLAIN), x) for x in arrays])
    for what, how in HOWS.items():
        got = guarded([(native(graph, how), x) for x in arrays])
        for n, a, b in zip(SIZES, got, wanted, strict=True):
            assert_same_bits(a, b, f"{what} at {n}")
    known = guarded(
        [(native(graph_of(make, len(x[0]))), x) for x in arrays if len(x[0]) > 60]
    )
    for n, a, b in zip(SIZES[-4:], known, wanted[-4:], strict=True):
        assert_same_bits(a, b, f"{n} known")


def test_folds_take_the_border_of_what_is_placed_in_its_turn() -> None:
    m = Maker(named("n"), F64)
    x, y = m.input(m.n), m.input(m.n + 6)
    wide = m.b.place(x, start=(3,), step=(1,), shape=(m.n + 6,))
    graph = m.b.finish("framed", [m.sum(m.b.mul(m.b.add(wide, y), y))])
    pairs = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        arrays = [rng.standard_normal(1000), rng.standard_normal(1006)]
        arrays[0][:5] *= 1e6  # what comes first decides how the rest is rounded
        pairs += [(native(graph, how), arrays) for how in (PLAIN, How(fuse=False))]
    found = guarded(pairs)
    for wanted, got in zip(found[::2], found[1::2], strict=True):
        assert_same_bits(got, wanted, "unfused")


def test_a_body_of_some_hundred_instructions_is_one_kernel() -> None:
    m = Maker(named("n"), F64)
    b, x, y = m.b, m.input(m.n), m.input(m.n)
    z = x
    for _ in range(4):
        z = b.mul(b.sin(z), b.exp(b.mul(z, y)))
    made = lowered(grad_graph(b.finish("long", [m.sum(z)]), [0, 1]))
    assert (len(made.launches), made.workspace) == (1, 0)
