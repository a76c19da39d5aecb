"""The bits of results do not depend on the number of parts a kernel runs in."""

from dataclasses import replace

import numpy as np
import pytest
from native import PARTS, PLAIN, How, assert_same_bits, guarded, native, natives
from programs import ALL, F32, program
from pullback.codegen.lower import lower
from pullback.codegen.target import host
from pullback.ir.graph import Graph
from pullback.ir.ops import new_builder
from pullback.ir.types import parse_type
from test_same_bits import WIDTHS, bounded, expected, plain, sizes_of

COUNTS = (1, 2, 3, 4, 7)


def split(count: int, how: How = PLAIN) -> How:
    """Compile for parts whatever the count, so that 1 takes the way out."""
    return replace(how, threads=max(count, 2))


@pytest.mark.parametrize("name", ALL)
def test_parts_change_no_bit(name: str) -> None:
    case, _ = plain(name, 1)
    sizes = [n for n in sizes_of(name) if bounded(name, 1, n)]
    for count in COUNTS:
        code = native(case.graph, split(count))
        code.threads = count
        found = guarded([(code, case.arrays(n)) for n in sizes])
        for n, got in zip(sizes, found, strict=True):
            assert_same_bits(got, expected(name, 1, n), f"{count} parts at {n}")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("width", WIDTHS)
def test_parts_at_every_width(name: str, width: str) -> None:
    case, _ = plain(name, 1)
    sizes = [n for n in sizes_of(name) if n <= 64]
    for count in (2, 7):
        code = native(case.graph, split(count, WIDTHS[width]))
        found = guarded([(code, case.arrays(n)) for n in sizes])
        for n, got in zip(sizes, found, strict=True):
            assert_same_bits(got, expected(name, 1, n), f"{count} parts at {n}")


@pytest.mark.parametrize("name", ALL)
def test_parts_of_known_sizes(name: str) -> None:
    sizes = [n for n in sizes_of(name) if bounded(name, 1, n)]
    cases = [program(name, n, 1) for n in sizes]
    for count in (2, 3):
        codes = natives([c.graph for c in cases], split(count))
        pairs = [(x, c.arrays(n)) for x, c, n in zip(codes, cases, sizes, strict=True)]
        for n, got in zip(sizes, guarded(pairs), strict=True):
            assert_same_bits(got, expected(name, 1, n), f"{count} parts: {n} known")


@pytest.mark.parametrize("name", ALL)
def test_parts_in_single_precision_unfused(name: str) -> None:
    case = program(name, "n", 1, F32)
    sizes = [n for n in sizes_of(name) if bounded(name, 1, n)]
    alone = [native(case.graph)(case.arrays(n)) for n in sizes]
    for how in (PLAIN, How(fuse=False)):
        code = native(case.graph, split(4, how))
        found = guarded([(code, case.arrays(n)) for n in sizes])
        for n, got, wanted in zip(sizes, found, alone, strict=True):
            assert_same_bits(got, wanted, f"{how} at {n}")


def total(
    shape: str, axes: tuple[int, ...], stores: bool = True, dear: bool = True
) -> Graph:
    b = new_builder()
    b.sizes = ["n"] if "n" in shape else []
    x = b.input(parse_type(shape), "x")
    y = b.exp(b.sin(x)) if dear else b.mul(x, x)
    return b.finish("total", [b.sum(y, axes=axes), *([y] if stores else [])])


@pytest.mark.parametrize(
    ("shape", "axes", "how"),
    [
        ("f64[100000]", (0,), "by blocks"),
        ("f64[150000]", (0,), "by blocks"),
        ("f64[100001]", (0,), "by blocks"),
        ("f64[300,700]", (0, 1), "by blocks"),
        ("f64[300,700]", (1,), "by ranges"),
        ("f64[30,7000]", (0,), "by ranges"),
    ],
)
@pytest.mark.parametrize("stores", [True, False])
@pytest.mark.parametrize("dear", [True, False])
def test_how_kernels_are_split(
    shape: str, axes: tuple[int, ...], how: str, stores: bool, dear: bool
) -> None:
    graph = total(shape, axes, stores, dear)
    _, (lowered,) = lower([(graph, "p")], host(), above=1 << 16)
    assert set(lowered.splits.values()) == {how}
    assert lowered.parts
    rng = np.random.default_rng(0)
    x = rng.normal(size=[int(n) for n in shape[4:-1].split(",")])
    wanted = native(graph)([x])
    for count in COUNTS[1:]:
        PARTS.counts.clear()
        assert_same_bits(native(graph, split(count))([x]), wanted, f"{count} parts")
        assert PARTS.counts, "not split"
        assert PARTS.counts[0] == count


def test_small_kernels_are_written_once() -> None:
    small, large = total("f64[100]", (0,)), total("f64[100000]", (0,))
    text, lowered = lower([(small, "p"), (large, "q")], host(), above=1 << 20)
    assert [x.parts for x in lowered] == [False, True]
    assert text.count("_part(") == 1
    text, lowered = lower([(small, "p"), (large, "q")], host())
    assert not any(x.parts for x in lowered)
    assert "_part" not in text


def test_a_named_size_decides_at_the_call() -> None:
    graph = total("f64[n]", (0,))
    code = native(graph, split(2))
    assert code.lowered.parts
    text, _ = lower([(graph, "p")], host(), above=1 << 20)
    assert "icmp sge" in text


def test_a_fold_without_an_element_in_parts() -> None:
    graph = total("f64[n]", (0,))
    for count in COUNTS:
        code = native(graph, split(count))
        code.threads = count
        got = code([np.zeros(0)])
        assert got[0] == 0.0
        assert got[1].shape == (0,)


def test_parts_of_slices() -> None:
    b = new_builder()
    x = b.input(parse_type("f64[8,100000]"), "x")
    y = b.exp(b.sin(x))
    total = b.expand_dims(b.sum(y, axes=(1,)), axes=(1,))
    graph = b.finish("sliced", [b.div(y, b.broadcast(total, x.type.shape))])
    code = native(graph, split(2))
    assert any(launch.loop for launch in code.lowered.launches)
    assert "by blocks" in code.lowered.splits.values()
    x_array = np.random.default_rng(0).normal(size=(8, 100000))
    assert_same_bits(code([x_array]), native(graph)([x_array]), "slices in parts")
