"""Folds of more than one block, against the law written out in NumPy."""

import numpy as np
import numpy.typing as npt
import pytest
from native import PLAIN, How, assert_same_bits, native
from pullback.codegen.fold import BLOCK, LANES
from pullback.ir.graph import Graph
from pullback.ir.ops import new_builder
from pullback.ir.types import parse_type

Array = npt.NDArray[np.floating]

COUNTS = (BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, 3 * BLOCK + 77)
COMBINE = {"sum": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}
START = {"sum": 0.0, "max": -np.inf, "min": np.inf, "prod": 1.0}


def by_law(op: str, x: Array) -> Array:
    """Fold the first axis of [r, columns] as the law says."""
    step = COMBINE[op]
    start = np.full((LANES, x.shape[1]), START[op], x.dtype)
    totals = start
    for first in range(0, len(x), BLOCK):
        block = x[first : first + BLOCK]
        lanes = start.copy()
        for row in range(0, len(block), LANES):
            part = block[row : row + LANES]
            lanes[: len(part)] = step(lanes[: len(part)], part)
        totals = step(totals, lanes)
    while len(totals) > 1:
        half = len(totals) // 2
        totals = step(totals[:half], totals[half:])
    return totals[0]


def folded(op: str, kind: str, axes: tuple[int, ...], permute: bool = False) -> Graph:
    """A graph that folds axes of its input, or of its input transposed."""
    b = new_builder()
    b.sizes = [n for n in ("n", "m") if n in kind]
    x = b.input(parse_type(kind), "x")
    if permute:
        x = b.transpose(x, axes=(1, 0))
    return b.finish("folded", [getattr(b, op)(x, axes=axes)])


def numbers(shape: tuple[int, ...], dtype: str, near: float = 0.0) -> Array:
    rng = np.random.default_rng(5)
    return (near + rng.normal(size=shape) * (0.001 if near else 1)).astype(dtype)


@pytest.mark.parametrize("op", COMBINE)
@pytest.mark.parametrize("dtype", ["f32", "f64"])
def test_one_axis(op: str, dtype: str) -> None:
    named = native(folded(op, f"{dtype}[n]", (0,)))
    parts = native(folded(op, f"{dtype}[n]", (0,)), How(threads=3))
    for count in COUNTS:
        x = numbers((count,), f"f{int(dtype[1:]) // 8}", float(op == "prod"))
        wanted = [by_law(op, x[:, None])[0]]
        known = native(folded(op, f"{dtype}[{count}]", (0,)))
        for code in (named, known, parts):
            assert_same_bits(code([x]), wanted, f"{op} of {count}")


@pytest.mark.parametrize("kind", ["f32[n,m]", "f32[200,523]", "f32[523,200]"])
@pytest.mark.parametrize("permute", [False, True])
def test_two_axes_in_either_order(kind: str, permute: bool) -> None:
    graph = folded("sum", kind, (0, 1), permute)
    x = numbers((523, 200) if kind == "f32[523,200]" else (200, 523), "f4")
    flat = (x.T if permute else x).reshape(-1, 1)
    for how in (PLAIN, How(threads=2), How(threads=7)):
        assert_same_bits(native(graph, how)([x]), [by_law("sum", flat)[0]], how)


@pytest.mark.parametrize("columns", [1, 3, 8, 37, 1100])
@pytest.mark.parametrize("known", [False, True])
def test_columns(columns: int, known: bool) -> None:
    rows = BLOCK + 100
    kind = f"f32[n,{columns}]"
    if known:
        kind = f"f32[{rows},{columns}]"
    elif columns > 8:
        kind = "f32[n,m]"
    x = numbers((rows, columns), "f4")
    for how in (PLAIN, How(threads=3)):
        got = native(folded("sum", kind, (0,)), how)([x])
        assert_same_bits(got, [by_law("sum", x)], f"{columns} columns")


@pytest.mark.parametrize("known", [False, True])
def test_long_rows(known: bool) -> None:
    x = numbers((3, 2 * BLOCK + 33), "f4")
    kind = f"f32[3,{x.shape[1]}]" if known else "f32[n,m]"
    for how in (PLAIN, How(threads=3)):
        got = native(folded("sum", kind, (1,)), how)([x])
        assert_same_bits(got, [by_law("sum", x.T)], "rows")


def test_parts_of_more_blocks_than_a_job_has() -> None:
    x = numbers((300 * BLOCK + 5,), "f4")
    wanted = [by_law("sum", x[:, None])[0]]
    for how in (PLAIN, How(threads=2), How(threads=5)):
        assert_same_bits(native(folded("sum", "f32[n]", (0,)), how)([x]), wanted, how)


def test_more_parts_than_blocks() -> None:
    for shape in ((BLOCK + 1,), (101, 200)):
        kind = f"f64[{','.join(map(str, shape))}]"
        graph = folded("sum", kind, tuple(range(len(shape))), len(shape) == 2)
        x = numbers(shape, "f8")
        flat = (x.T if len(shape) == 2 else x).reshape(-1, 1)
        got = native(graph, How(threads=7))([x])
        assert_same_bits(got, [by_law("sum", flat)[0]], shape)


def test_a_long_sum_stays_accurate() -> None:
    x = np.full(1 << 24, 0.1, np.float32)
    (total,) = native(folded("sum", "f32[n]", (0,)))([x])
    exact = float(np.float32(0.1)) * len(x)
    assert abs(float(total) - exact) <= 2e-5 * exact
