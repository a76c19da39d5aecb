"""Every op in a loop whose values are in registers: the bits it has in kernels."""

import sys
from pathlib import Path

import numpy as np
import pytest
from native import How, assert_same_bits, natives
from pullback.codegen.small import region_work
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.ops.control import scan as scan_op
from pullback.ir.primitive import Primitive, Sample
from pullback.ir.subgraph import SubGraph
from pullback.ir.types import TensorType, dtype_of
from regions import program, region

sys.path.append(str(Path(__file__).parents[1] / "ir"))

from op_samples import named_samples, params_of, sample_arrays, types_of

SAMPLES = named_samples()
CALLS = How(registers=False)
SIZES = (0, 1, 2, 3)


def body_of(op: Primitive, sample: Sample, size: int, dtype: str) -> SubGraph:
    """The op as a step: its operands are given, its results are kept."""
    kinds = types_of(sample, size, dtype_of(dtype))

    def body(b: Builder, *given: Value) -> list[Value]:
        return list(b.apply(op, given, params_of(sample, size)))

    return region(kinds, body)


def looped(held: SubGraph) -> Graph:
    """A scan of two steps, all of whose operands every step gets as they are."""
    b, given = program(*held.takes)
    params = {
        "carries": 0, "xs": 0, "length": 2, "reverse": False, "body": held,
        "extends": None,
    }  # fmt: skip
    return b.finish("looped", list(b.apply(scan_op, tuple(given), params)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("op", "sample"),
    [(p, s) for _, p, s in SAMPLES],
    ids=[name for name, _, _ in SAMPLES],
)
def test_an_op_has_one_result(op: Primitive, sample: Sample, dtype: str) -> None:
    rng = np.random.default_rng(11)
    graphs, calls = [], []
    for size in SIZES:
        made = sample_arrays(op, sample, size, dtype, rng)
        if made is None:
            continue
        held = body_of(op, sample, size, dtype)
        if region_work(held) is None:
            continue
        graphs.append(looped(held))
        arrays = [
            np.where(rng.integers(0, 5, a.shape) == 0, -0.0, a).astype(a.dtype)
            if a.dtype.kind == "f" and op.exact
            else a
            for a in made[0]
        ]
        calls.append(arrays)
    if not graphs:
        return  # too many elements at any size, or a form that is never in registers
    here, other = natives(graphs), natives(graphs, CALLS)
    for one, two, arrays in zip(here, other, calls, strict=True):
        assert not one.lowered.regions
        assert_same_bits(one(arrays), two(arrays), op.name)


def test_all_ops_but_factorisations_run_in_registers() -> None:
    without = set()
    for _, op, sample in SAMPLES:
        held = body_of(op, sample, 2, "float64")
        if region_work(held) is None:
            without.add(op.name)
    assert without == {"cholesky", "lu", "lu_solve", "triangular_solve"}


def test_what_is_large_or_of_a_named_size_does_not() -> None:
    def twice(b: Builder, x: Value) -> list[Value]:
        return [b.add(x, x)]

    for kind, fits in (("f64[32]", True), ("f64[33]", False), ("f64[n]", False)):
        assert (region_work(region([kind], twice)) is not None) == fits
    kind = TensorType(dtype_of("float64"), (16,))

    def dear(b: Builder, x: Value) -> list[Value]:
        for _ in range(8):
            x = b.gammaln(x)
        return [x]

    assert region_work(region([kind], dear)) is None
