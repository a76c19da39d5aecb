"""Bits of results do not depend on how a program is compiled, nor where it lies."""

import ctypes
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from compare import PROGRAM, assert_close, largest
from native import PLAIN, How, Native, assert_same_bits, guarded, native, natives
from programs import ALL, CANNOT_BE_EMPTY, F32, Array, Case, program
from pullback.codegen.lower import lower
from pullback.codegen.target import QUICK, emit_object, host
from pullback.ir.interpreter import interpret
from pullback.ir.ops import new_builder
from pullback.ir.passes import pipeline
from pullback.ir.types import TensorType
from pullback.runtime.compile import compile_graph
from pullback.runtime.package.shared import write_shared

SIZES = (0, 2, 7, 64, 1000)
WIDTHS = {
    f"{bits} bits{' with masks' if masks else ''}": How(
        target=replace(host(), vector_bits=bits, has_masks=masks)
    )
    for bits, masks in ((128, False), (256, False), (256, True), (512, False))
}
HOWS = {
    "unfused": How(fuse=False),
    **{f"no {name}": How(disable=frozenset([name])) for name in pipeline.BY_NAME},
    "no structure": How(structure=False),
    "no pass": How(disable=pipeline.NAMES),
    "no pass, unfused": How(fuse=False, disable=pipeline.NAMES),
    "O0": How(level=0),
    "O2": How(level=2),
    "quick": How(level=QUICK),
    **WIDTHS,
    "narrow, unfused": replace(WIDTHS["128 bits"], fuse=False),
}
ORDERS = [(name, order) for name in ALL for order in (0, 1, 2)]
EVERY = pytest.mark.parametrize(
    ("name", "order"),
    [pytest.param(*x, marks=[pytest.mark.slow] * (x[1] != 1)) for x in ORDERS],
    ids=[f"{n}-{o}" for n, o in ORDERS],
)
SOME = ("unfused", "no structure", "no pass", "O0", "quick", "256 bits")


def sizes_of(name: str) -> tuple[int, ...]:
    return SIZES[1:] if name in CANNOT_BE_EMPTY else SIZES


def bounded(name: str, order: int, n: int) -> bool:
    """Whether a case is small enough for a test: energy has n * n elements."""
    return not (name == "energy" and n > 64 and order == 2)


@cache
def plain(name: str, order: int) -> tuple[Case, Native]:
    case = program(name, "n", order)
    return case, native(case.graph)


@cache
def expected(name: str, order: int, n: int) -> list[Array]:
    case, code = plain(name, order)
    return code(case.arrays(n))


@EVERY
def test_guarded_and_close_to_the_reference(name: str, order: int) -> None:
    case, code = plain(name, order)
    sizes = [n for n in sizes_of(name) if bounded(name, order, n)]
    found = guarded([(code, case.arrays(n)) for n in sizes])
    for n, got in zip(sizes, found, strict=True):
        arrays = case.arrays(n)
        wanted = interpret(case.graph, arrays)
        scale = largest([*arrays, *wanted]) * max(n, 1)
        assert_close(got, wanted, f"{case.name} at {n}", PROGRAM, scale)
        assert_same_bits(got, expected(name, order, n), f"{case.name} at {n}")


@pytest.mark.parametrize("name", ALL)
def test_in_other_ways(name: str) -> None:
    compile_in(SOME, name, 1)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "order"), ORDERS)
def test_in_every_way(name: str, order: int) -> None:
    compile_in(HOWS, name, order)


def compile_in(ways: Iterable[str], name: str, order: int) -> None:
    """Compile a program in several ways and compare bits."""
    case, _ = plain(name, order)
    sizes = [n for n in sizes_of(name) if n <= 64]
    for what in ways:
        how = HOWS[what]
        found = guarded([(native(case.graph, how), case.arrays(n)) for n in sizes])
        for n, got in zip(sizes, found, strict=True):
            assert_same_bits(got, expected(name, order, n), f"{what} at {n}")


@EVERY
def test_with_known_sizes(name: str, order: int) -> None:
    sizes = [n for n in sizes_of(name) if bounded(name, order, n)]
    cases = [program(name, n, order) for n in sizes]
    hows = (PLAIN, WIDTHS["256 bits"])
    for how in hows:
        codes = natives([c.graph for c in cases], how)
        pairs = [(x, c.arrays(n)) for x, c, n in zip(codes, cases, sizes, strict=True)]
        for n, got in zip(sizes, guarded(pairs), strict=True):
            assert_same_bits(got, expected(name, order, n), f"{how}: {n} known")


@pytest.mark.parametrize("name", ALL)
def test_in_single_precision(name: str) -> None:
    case = program(name, "n", 1, F32)
    code = native(case.graph)
    sizes = [n for n in sizes_of(name) if n <= 64]
    found = guarded([(code, case.arrays(n)) for n in sizes])
    for n, got in zip(sizes, found, strict=True):
        arrays = case.arrays(n)
        wanted = interpret(case.graph, arrays)
        scale = largest([*arrays, *wanted]) * max(n, 1)
        assert_close(got, wanted, f"{case.name} at {n}", PROGRAM, scale)
    for what in ("unfused", "no pass", "128 bits", "256 bits with masks"):
        other = native(case.graph, HOWS[what])
        again = guarded([(other, case.arrays(n)) for n in sizes])
        for n, got, wanted in zip(sizes, again, found, strict=True):
            assert_same_bits(got, wanted, f"{what} at {n}")


@pytest.mark.parametrize("name", ALL)
def test_ahead_of_time(name: str, tmp_path: Path) -> None:
    case, _ = plain(name, 1)
    text, (lowered,) = lower([(pipeline.run(case.graph), "aot")], host(), embed=True)
    path = tmp_path / "libaot.so"
    path.write_bytes(write_shared(emit_object(text, host()), "libaot.so"))
    library = ctypes.CDLL(str(path))

    def address(symbol: str) -> int:
        found = ctypes.cast(library[symbol], ctypes.c_void_p).value
        assert found
        return found

    code = Native(lowered, library, address("pb_aot"), address("pb_aot_workspace"))
    program_here = compile_graph(case.graph)
    sizes = [n for n in sizes_of(name) if n <= 64]
    found = guarded([(code, case.arrays(n)) for n in sizes])
    for n, got in zip(sizes, found, strict=True):
        assert_same_bits(got, expected(name, 1, n), f"shared library at {n}")
        arrays = case.arrays(n)
        assert_same_bits(program_here.run(arrays), got, f"compile_graph at {n}")


@pytest.mark.parametrize("columns", [1, 2, 3, 5])
def test_products_narrower_than_a_register(columns: int) -> None:
    b = new_builder()
    x, y = (b.input(TensorType(F32, s), "x") for s in ((3, 4), (4, columns)))
    graph = b.finish("narrow", [b.contract(x, y, lhs="ik", rhs="kj", out="ij")])
    rng = np.random.default_rng(1)
    arrays = [rng.normal(size=v.type.shape).astype(np.float32) for v in (x, y)]
    got = native(graph).guarded(arrays)
    for what, how in WIDTHS.items():
        assert_same_bits(native(graph, how).guarded(arrays), got, what)
