"""Native code of every op on special values, against its reference; f32 and f64.

Infinities, NaN, both zeros, subnormals, the smallest normal and the largest finite
number. Elementwise ops meet all of them in all their operands at once; ops that move
elements are given them at random. Folds are given those for which the order of the
fold does not matter: no number that overflows with another of its kind, and in products
none that underflows. Factorisations refuse what is not finite or give NaN:
`test_factorize.py`.
"""

import sys
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from native import How, natives
from pullback.ir.forms import Contract, Factorize, Iota, Literal, Map, Reduce, Scan
from pullback.ir.forms import Scatter as ScatterForm
from pullback.ir.graph import Graph
from pullback.ir.ops import OPS, new_builder
from pullback.ir.primitive import Primitive, Sample, as_results
from pullback.ir.types import TensorType, dtype_of

sys.path.append(str(Path(__file__).parents[1] / "ir"))
sys.path.append(str(Path(__file__).parents[1] / "torture"))

from node_checks import check_node
from op_samples import named_samples, params_of, sample_arrays, types_of

Array = np.ndarray[Any, Any]

FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])
WAYS = (How(), How(fuse=False))


def is_map(op: Primitive) -> bool:
    return isinstance(op.form, Map)


def takes_floats(sample: Sample) -> bool:
    return not sample.dtypes or "f" in sample.dtypes


SAMPLES = [
    (name, op, sample)
    for name, op, sample in named_samples()
    if takes_floats(sample) and not isinstance(op.form, Factorize)
]
MAPS = [row for row in SAMPLES if is_map(row[1])]
OTHERS = [row for row in SAMPLES if not is_map(row[1])]


def specials(dtype: str) -> Array:
    """Every kind of special value, and a few ordinary ones."""
    info = np.finfo(dtype)
    least, normal, most = info.smallest_subnormal, info.smallest_normal, info.max
    below = np.nextafter(normal, normal * 0)
    edges = [least, below, normal, most, 710.0, 90.0]
    kinds = [0.0, 1.0, 1.5, 0.5, 2.0, np.inf, *map(float, edges)]
    return np.array([*kinds, *(-k for k in kinds), np.nan]).astype(dtype)


def program(op: Primitive, types: Any, params: Any) -> Graph:
    b = new_builder()
    operands = tuple(b.input(t, f"x{k}") for k, t in enumerate(types))
    return b.finish(op.name, list(b.apply(op, operands, params)))


def check(graph: Graph, arrays: list[Array]) -> None:
    """Compare a program of one op with its reference, and the signs of its zeros."""
    (node,) = graph.nodes
    for code in [natives([graph], how)[0] for how in WAYS]:
        got = code.guarded(arrays)
        held = dict(zip(graph.inputs, arrays, strict=True))
        held.update(zip(node.results, got, strict=True))
        with np.errstate(all="ignore"):
            check_node(node, held, {})
            made = as_results(node.primitive.evaluate(*arrays, **node.params))
        folds = isinstance(node.primitive.form, Contract | Reduce | Scan | ScatterForm)
        for x, y in zip(got, made, strict=True):
            if x.dtype.kind != "f" or (folds and not node.primitive.exact):
                continue
            zeros = (x == 0) & (y == 0)
            if node.primitive.name in ("maximum", "minimum"):  # NumPy's vary as well
                zeros &= ~((arrays[0] == 0) & (arrays[1] == 0))
            assert np.array_equal(np.signbit(x[zeros]), np.signbit(y[zeros]))


@FLOATS
@pytest.mark.parametrize(
    ("op", "sample"), [row[1:] for row in MAPS], ids=[row[0] for row in MAPS]
)
def test_elementwise_ops(op: Primitive, sample: Sample, dtype: str) -> None:
    kinds = specials(dtype)
    if len(sample.shapes) > 2:
        kinds = np.concatenate([kinds[:9:2], kinds[12::3]])
    grid = np.array(list(product(kinds, repeat=len(sample.shapes)))).T
    types = types_of(sample, grid.shape[1], dtype_of(dtype))
    arrays = []
    for row, given in zip(grid, types, strict=True):
        with np.errstate(all="ignore"):
            if given.dtype.kind == "b":
                row = np.nan_to_num(row) > 0.5
            elif given.dtype.kind != "f":
                row = np.nan_to_num(row).clip(-9, 9)
            arrays.append(np.ascontiguousarray(row).astype(given.dtype.numpy))
    params = params_of(sample, grid.shape[1])
    if op.name == "cast" and params["dtype"].kind not in "fb":
        # what integer a float out of range becomes is promised by nobody
        arrays = [np.where(np.abs(a) < 100, a, 0).astype(a.dtype) for a in arrays]
        if params["dtype"].kind == "u":
            arrays = [np.abs(a) for a in arrays]
    check(program(op, types, params), arrays)


@FLOATS
@pytest.mark.parametrize(
    ("op", "sample"), [row[1:] for row in OTHERS], ids=[row[0] for row in OTHERS]
)
def test_other_ops(op: Primitive, sample: Sample, dtype: str) -> None:
    rng = np.random.default_rng(11)
    made = sample_arrays(op, sample, 7, dtype, rng)
    assert made is not None
    arrays, params = made
    kinds = specials(dtype)
    if not op.exact or isinstance(op.form, Scan | ScatterForm):
        size = np.abs(kinds)
        kinds = kinds[~((size > 100) & np.isfinite(size))]
        if op.name != "sum":  # a product of two would be 0, and with infinity NaN
            size = np.abs(kinds)
            kinds = kinds[~((size < 0.1) & (size > 0))]
    types = types_of(sample, 7, dtype_of(dtype))
    graph = program(op, types, params)
    for chance in (0.1, 0.5):
        given = []
        for a in arrays:
            if a.dtype.kind == "f":
                put = rng.random(a.shape) < chance
                a = np.where(put, rng.choice(kinds, a.shape), a).astype(a.dtype)
            given.append(a)
        check(graph, given)


@FLOATS
@pytest.mark.parametrize("name", ["sum", "prod", "max", "min"])
@pytest.mark.parametrize("length", [1, 5, 40])
def test_folds_of_one_special_value(name: str, dtype: str, length: int) -> None:
    """Alone, among its like, and among ordinary numbers: in each lane of a vector."""
    b = new_builder()
    kinds = specials(dtype)
    x = b.input(TensorType(dtype_of(dtype), (len(kinds), length)), "x")
    graph = b.finish(name, [b.op(name, x, axes=(1,))])
    for place in (0, length // 2, length - 1):
        array = np.ones((len(kinds), length), dtype)
        array[:, place] = kinds
        check(graph, [array])


def test_every_record_is_here_or_has_no_float_operand() -> None:
    tested = {op.name for _, op, _ in SAMPLES}
    left = {n for n in OPS if n not in tested}
    for name in left:
        op = OPS[name]
        assert isinstance(op.form, Factorize | Literal | Iota) or not any(
            takes_floats(s) for s in op.samples
        ), name
