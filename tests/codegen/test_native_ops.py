"""Native code of every op against its reference, generated from the records."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import ADJOINT, assert_close, folds, largest, scale_of, ulps_of
from native import PLAIN, How, Native, assert_same_bits, guarded, natives
from pullback.codegen.target import host
from pullback.ir.adjoint import vjp_graph
from pullback.ir.graph import Graph
from pullback.ir.interpreter import interpret
from pullback.ir.ops import new_builder
from pullback.ir.primitive import Primitive, Rule, Sample
from pullback.ir.sizes import named
from pullback.ir.types import TensorType, dtype_of
from pullback.runtime.compile import compile_graph

sys.path.append(str(Path(__file__).parents[1] / "ir"))

from op_samples import (
    SIZES,
    named_samples,
    normal_like,
    params_of,
    sample_arrays,
    types_of,
)

SAMPLES = named_samples()
EVERY = pytest.mark.parametrize(
    ("op", "sample"),
    [(p, s) for _, p, s in SAMPLES],
    ids=[name for name, _, _ in SAMPLES],
)
FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])

Arrays = list[np.ndarray[Any, Any]]


def graph_of(op: Primitive, sample: Sample, size: Any, dtype: str) -> Graph:
    """One op at a size, which may be symbolic."""
    b = new_builder()
    if not isinstance(size, int):
        b.sizes.append(str(size))
    types = types_of(sample, size, dtype_of(dtype))
    operands = tuple(b.input(t, f"x{k}") for k, t in enumerate(types))
    return b.finish(op.name, list(b.apply(op, operands, params_of(sample, size))))


def floats_of(graph: Graph) -> list[int]:
    return [k for k, x in enumerate(graph.inputs) if x.type.dtype.is_float]


def is_smooth(op: Primitive, graph: Graph) -> bool:
    return (
        not isinstance(op.vjp, Rule)
        and bool(floats_of(graph))
        and any(y.type.dtype.is_float for y in graph.outputs)
    )


def cases(
    op: Primitive, sample: Sample, dtype: str, sizes: Any, rng: np.random.Generator
) -> list[tuple[int, Graph, Arrays]]:
    """(size, graph, arrays) of the op, and of its VJP where it has one."""
    out = []
    for size in sizes:
        made = sample_arrays(op, sample, size, dtype, rng)
        if made is None:
            continue
        graph = graph_of(op, sample, size, dtype)
        out.append((size, graph, made[0]))
        if is_smooth(op, graph):
            seeds = [
                normal_like(y, rng) for y in graph.outputs if y.type.dtype.is_float
            ]
            joint = vjp_graph(graph, floats_of(graph))
            out.append((size, joint, [*made[0], *seeds]))
    return out


def together(
    codes: list[Native], found: list[tuple[int, Graph, Arrays]]
) -> list[Arrays]:
    """Results of guarded calls of all cases."""
    pairs = [(code, arrays) for code, (_, _, arrays) in zip(codes, found, strict=True)]
    return guarded(pairs)


def check(op: Primitive, got: Arrays, graph: Graph, arrays: Arrays, what: Any) -> None:
    wanted = interpret(graph, arrays)
    adjoint = len(graph.nodes) > 1
    if not adjoint and not folds(op):
        assert_close(got, wanted, what, ulps_of(op), scale_of(op, arrays))
        return
    count = max(a.size for a in arrays)
    big = largest([*arrays, *wanted])
    assert_close(
        got, wanted, what, ADJOINT, max(count, 1) * big * big if folds(op) else big
    )


@FLOATS
@EVERY
def test_matches_the_reference(op: Primitive, sample: Sample, dtype: str) -> None:
    rng = np.random.default_rng(3)
    found = cases(op, sample, dtype, SIZES, rng)
    graphs = [graph for _, graph, _ in found]
    fused, unfused = natives(graphs), natives(graphs, How(fuse=False))
    for (size, graph, arrays), got, other in zip(
        found, together(fused, found), together(unfused, found), strict=True
    ):
        what = f"{op.name} at {size}"
        check(op, got, graph, arrays, what)
        assert_same_bits(other, got, f"{what}, unfused")


@EVERY
def test_named_sizes_give_the_same_bits(op: Primitive, sample: Sample) -> None:
    rng = np.random.default_rng(4)
    if not any(None in shape for shape in sample.shapes):
        return  # nothing to name
    symbolic = graph_of(op, sample, named("n"), "float64")
    joint = (
        vjp_graph(symbolic, floats_of(symbolic)) if is_smooth(op, symbolic) else None
    )
    codes = natives([symbolic, joint] if joint else [symbolic])
    found = cases(op, sample, "float64", (0, 2, 7, 64, 1000), rng)
    used = [codes[int(len(g.inputs) > len(symbolic.inputs))] for _, g, _ in found]
    for (size, _, arrays), got, static in zip(
        found, together(used, found), natives([g for _, g, _ in found]), strict=True
    ):
        assert_same_bits(got, static(arrays), f"{op.name} at n = {size}")


@EVERY
def test_strided_inputs(op: Primitive, sample: Sample) -> None:
    rng = np.random.default_rng(5)
    for _, graph, arrays in cases(op, sample, "float64", (7,), rng)[:1]:
        program = compile_graph(graph)
        wanted = program.run(arrays)
        spread = [np.stack([a, a], axis=-1)[..., 0] for a in arrays]
        mirrored = [
            np.flip(a).copy()[(slice(None, None, -1),) * a.ndim] for a in arrays
        ]
        ordered = [np.array(a, order="F") for a in arrays]
        for given in (spread, mirrored, ordered):
            assert_same_bits(program.run(given), wanted, op.name)


WIDE = [
    "add",
    "sum",
    "max",
    "exp",
    "slice",
    "concatenate",
    "take",
    "transpose",
    "select",
]


@pytest.mark.parametrize(
    "dtype", ["float64", pytest.param("float32", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", WIDE)
def test_every_length_up_to_three_vectors(name: str, dtype: str) -> None:
    rng = np.random.default_rng(6)
    wide = host()
    narrow = How(target=replace(wide, vector_bits=256, has_masks=False))
    sizes = range(3 * wide.lanes(int(dtype[-2:])) + 2)
    for _, op, sample in SAMPLES:
        if op.name != name:
            continue
        found = cases(op, sample, dtype, sizes, rng)
        graphs = [g for _, g, _ in found]
        codes, others = natives(graphs), natives(graphs, narrow)
        for (size, graph, arrays), got, other in zip(
            found, together(codes, found), together(others, found), strict=True
        ):
            what = f"{name} at {size}"
            check(op, got, graph, arrays, what)
            assert_same_bits(other, got, f"{what}, narrow")


INTEGERS = ["i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"]


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers_wrap_as_those_of_numpy(dtype: str) -> None:
    kind = TensorType(dtype_of(dtype_name(dtype)), (67,))
    info = np.iinfo(kind.dtype.numpy)
    rng = np.random.default_rng(7)
    x = rng.integers(info.min, info.max, 67, kind.dtype.numpy, endpoint=True)
    y = rng.integers(-3 if info.min else 0, 4, 67).astype(kind.dtype.numpy)
    x[:4] = info.min, info.max, 0, info.min
    y[:4] = np.array([-1, 0, 3, 0]).astype(kind.dtype.numpy)
    b = new_builder()
    p, q = b.input(kind, "x"), b.input(kind, "y")
    names = ("add", "sub", "mul", "maximum", "minimum")
    tests = ("eq", "ne", "lt", "le", "gt", "ge")
    outputs = [b.op(name, p, q) for name in (*names, *tests)]
    outputs += [b.op(name, p, q, real=False) for name in ("floor_divide", "mod")]
    outputs += [b.op(name, p) for name in ("neg", "square", "abs", "sign")]
    outputs += [b.op(name, p, axes=(0,)) for name in ("max", "min")]
    outputs += [
        b.cast(p, dtype=dtype_of(dtype_name(other)))
        for other in (*INTEGERS, "f64", "f32")
    ]
    graph = b.finish("integers", outputs)
    wanted = interpret(graph, [x, y])
    for how in (PLAIN, How(fuse=False)):
        (code,) = natives([graph], how)
        assert_same_bits(code.guarded([x, y]), wanted, how)


def dtype_name(short: str) -> str:
    return {"i": "int", "u": "uint", "f": "float"}[short[0]] + short[1:]


@pytest.mark.parametrize("length", [3, 40])
def test_the_sine_of_a_constant_is_made_in_every_block(length: int) -> None:
    """A sum's loop and its remainder each compute it for themselves."""
    b = new_builder()
    b.sizes.append("n")
    x = b.input(TensorType(dtype_of("float32"), (named("n"),)), "x")
    graph = b.finish("sines", [b.sum(b.sin(b.integer_pow(x, n=0)), axes=(0,))])
    for how in (PLAIN, How(fuse=False)):
        (total,) = natives([graph], how)[0].guarded([np.ones(length, np.float32)])
        assert np.isclose(total, length * np.sin(1.0), rtol=1e-6)
