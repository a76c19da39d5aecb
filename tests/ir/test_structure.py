"""What the graph tells of matrices: where they are zero, which part is read."""

import ast
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from pullback.ir import structure
from pullback.ir.band import EMPTY, FULL, Band
from pullback.ir.builder import Builder
from pullback.ir.graph import Value
from pullback.ir.interpreter import interpret
from pullback.ir.ops import OPS, early_sum, matrices, new_builder
from pullback.ir.ops.factory import elementwise
from pullback.ir.passes.dce import dce
from pullback.ir.structure import NOTHING, find_structure
from pullback.ir.types import F64, I64, TensorType

N = 6
BANDS = [
    FULL, EMPTY, Band(None, 0), Band(0, None), Band(0, 0), Band(-2, 1), Band(2, None),
    Band(None, -3),
]  # fmt: skip


def inside(band: Band) -> np.ndarray[Any, Any]:
    """Which elements of a matrix lie in a band."""
    gap = np.arange(N)[None, :] - np.arange(N)[:, None]
    low = np.ones((N, N), bool) if band.lo is None else gap >= band.lo
    high = np.ones((N, N), bool) if band.hi is None else gap <= band.hi
    return low & high


@pytest.mark.parametrize("one", BANDS, ids=str)
@pytest.mark.parametrize("two", BANDS, ids=str)
def test_bands_agree_with_masks(one: Band, two: Band) -> None:
    x, y = inside(one), inside(two)
    assert (inside(one.both(two)) == (x & y)).all()
    assert (inside(one.either(two)) >= (x | y)).all()
    assert (inside(one.turned()) == x.T).all()
    assert (inside(one.outside()) >= ~x).all()
    assert (inside(one.times(two)) >= (x.astype(int) @ y.astype(int) > 0)).all()


def masked(b: Builder, x: Value, op: str, k: int, other: Value | None = None) -> Value:
    """x where column - row compares to k, else `other`, which is 0."""
    places = TensorType(I64, x.type.shape)
    down, across = (b.op("iota", axis=axis, type=places) for axis in (0, 1))
    kept = b.op(op, b.op("sub", across, down), k)
    return b.op("select", kept, x, b.zeros(x.type) if other is None else other)


def square(b: Builder, x: Value, y: Value, text: str = "ik,kj->ij") -> Value:
    lhs, rhs, out = text.replace("->", ",").split(",")
    return b.contract(x, y, lhs=lhs, rhs=rhs, out=out)


def solved(b: Builder, x: Value, y: Value, lower: bool, transpose: bool) -> Value:
    params = {"lower": lower, "transpose": transpose, "unit": False}
    return b.op("triangular_solve", x, y, **params)


Case = tuple[Callable[[Builder, Value, Value], Value], Band]

LOWER, UPPER, DIAGONAL = Band(None, 0), Band(0, None), Band(0, 0)

ZEROS: dict[str, Case] = {
    "le": (lambda b, x, y: masked(b, x, "le", 0), LOWER),
    "lt": (lambda b, x, y: masked(b, x, "lt", 0), Band(None, -1)),
    "ge": (lambda b, x, y: masked(b, x, "ge", 2), Band(2, None)),
    "gt": (lambda b, x, y: masked(b, x, "gt", 2), Band(3, None)),
    "eq": (lambda b, x, y: masked(b, x, "eq", -1), Band(-1, -1)),
    "zeros inside": (
        lambda b, x, y: masked(b, b.zeros(x.type), "lt", 0, other=x),
        UPPER,
    ),
    "neg": (lambda b, x, y: b.neg(masked(b, x, "le", 0)), LOWER),
    "add": (
        lambda b, x, y: b.add(masked(b, x, "le", 0), masked(b, y, "le", 2)),
        Band(None, 2),
    ),
    "add of two triangles": (
        lambda b, x, y: b.add(masked(b, x, "le", 0), masked(b, y, "ge", 0)),
        FULL,
    ),
    "scale": (lambda b, x, y: b.mul(masked(b, x, "le", 0), 3.0), LOWER),
    "scale by infinity": (
        lambda b, x, y: b.mul(masked(b, x, "le", 0), float("inf")),
        Band(None, 0, False),
    ),
    "mul": (
        lambda b, x, y: b.mul(masked(b, x, "le", 0), masked(b, y, "ge", 0)),
        Band(0, 0, False),
    ),
    "mul of equal bands": (
        lambda b, x, y: b.mul(masked(b, x, "le", 0), masked(b, y, "le", 0)),
        LOWER,
    ),
    "div": (lambda b, x, y: b.div(masked(b, x, "le", 0), 2.0), LOWER),
    "div by anything": (
        lambda b, x, y: b.div(masked(b, x, "le", 0), y),
        Band(None, 0, False),
    ),
    "exp": (lambda b, x, y: b.exp(masked(b, x, "le", 0)), FULL),
    "transpose": (
        lambda b, x, y: b.transpose(masked(b, x, "le", 1), axes=(1, 0)),
        Band(-1, None),
    ),
    "mask of a mask": (
        lambda b, x, y: masked(b, masked(b, x, "le", 0), "ge", -1),
        Band(-1, 0),
    ),
    "product": (
        lambda b, x, y: square(b, masked(b, x, "le", 0), masked(b, y, "le", -1)),
        Band(None, -1, False),
    ),
    "transposed product": (
        lambda b, x, y: square(
            b, masked(b, x, "le", 0), masked(b, y, "ge", 0), "ki,kj->ji"
        ),
        Band(None, 0, False),
    ),
    "product of two triangles": (
        lambda b, x, y: square(b, masked(b, x, "le", 0), masked(b, y, "ge", 0)),
        FULL,
    ),
    "cholesky": (lambda b, x, y: b.op("cholesky", square(b, x, x, "ik,jk->ij")), LOWER),
    "lower solution": (
        lambda b, x, y: solved(b, x, masked(b, y, "le", 0), True, False),
        Band(None, 0, False),
    ),
    "upper solution": (
        lambda b, x, y: solved(b, x, masked(b, y, "ge", 0), True, True),
        Band(0, None, False),
    ),
    "lower solution of upper": (
        lambda b, x, y: solved(b, x, masked(b, y, "ge", 0), True, False),
        FULL,
    ),
}


def begun() -> tuple[Builder, Value, Value]:
    b = new_builder()
    x, y = (b.input(TensorType(F64, (N, N)), text) for text in "xy")
    return b, x, y


@pytest.mark.parametrize("name", ZEROS)
def test_where_a_value_is_zero(name: str) -> None:
    make, wanted = ZEROS[name]
    b, x, y = begun()
    made = make(b, x, y)
    graph = b.finish("f", [made, square(b, made, y)])
    assert find_structure(graph).zeros.get(made, FULL) == wanted
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(N, N)) + 4 * np.eye(N) for _ in range(2)]
    with np.errstate(invalid="ignore"):
        got = interpret(graph, arrays)[0]
    if name != "scale by infinity":
        assert (got[~inside(wanted)] == 0).all()


def test_an_op_of_the_user_says_where_zeros_go_in_its_record() -> None:
    cubed = elementwise(
        "cubed",
        evaluate=lambda x: x**3,
        scalar=lambda s, x: s.mul(s.mul(x, x), x),
        partials=lambda b, y, x: (b.mul(b.square(x), 3.0),),
        matrix=matrices.KEEPS,
        doc="Third power.",
    )
    dull = elementwise(
        "dull",
        evaluate=lambda x: x**3,
        scalar=lambda s, x: s.mul(s.mul(x, x), x),
        partials=lambda b, y, x: (b.mul(b.square(x), 3.0),),
        doc="Third power, without a rule.",
    )
    b = Builder({**OPS, "cubed": cubed, "dull": dull})
    x, y = (b.input(TensorType(F64, (N, N)), name) for name in "xy")
    lower = masked(b, x, "le", 0)
    made = [b.op(name, lower) for name in ("cubed", "dull")]
    graph = b.finish("f", [square(b, z, y) for z in made])
    zeros = find_structure(graph).zeros
    assert [zeros.get(z, FULL) for z in made] == [Band(None, 0), FULL]


@pytest.mark.parametrize("module", [structure, early_sum])
def test_what_is_known_of_an_op_is_in_its_record(module: ModuleType) -> None:
    text = Path(str(module.__file__)).read_text("utf-8")
    words = {node.value for node in ast.walk(ast.parse(text)) if is_text(node)}
    assert not words & OPS.keys()


def is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def read(b: Builder, made: Value, result: Value) -> Band:
    return find_structure(dce(b.finish("f", [result]))).needed.get(made, FULL)


def test_which_part_is_read() -> None:
    b, x, y = begun()
    made = square(b, x, y)
    assert read(b, made, masked(b, made, "le", 0)) == LOWER
    assert read(b, made, masked(b, b.neg(made), "le", 0)) == LOWER
    assert read(b, made, masked(b, x, "le", 0, other=made)) == Band(1, None)
    assert read(b, made, masked(b, made, "eq", 0)) == DIAGONAL
    assert read(b, made, masked(b, b.exp(made), "ge", 1)) == Band(1, None)
    turned = b.transpose(made, axes=(1, 0))
    assert read(b, made, masked(b, turned, "le", 0)) == UPPER
    assert read(b, made, b.op("cholesky", made)) == LOWER
    for offset in (-1, 0, 2):
        view = b.op("diagonal", made, offset=offset, axis1=0, axis2=1)
        assert read(b, made, view) == Band(offset, offset)
        view = b.op("diagonal", made, offset=offset, axis1=1, axis2=0)
        assert read(b, made, view) == Band(-offset, -offset)
    assert read(b, made, solved(b, made, y, True, True)) == LOWER
    assert read(b, made, solved(b, made, y, False, True)) == UPPER


def test_what_else_reads_reads_all() -> None:
    b, x, y = begun()
    made = square(b, x, y)
    part = masked(b, made, "le", 0)
    for other in (made, b.sum(made, axes=(0,)), square(b, made, y)):
        graph = b.finish("f", [part, other])
        assert find_structure(graph).needed.get(made, FULL) == FULL
    both = b.add(part, masked(b, made, "ge", 0))
    assert read(b, made, both) == FULL


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("ik,jk->ij", True),
        ("ki,kj->ij", True),
        ("ik,jk->ji", True),
        ("ik,kj->ij", False),
        ("ki,jk->ij", False),
    ],
)
def test_symmetric_products(text: str, wanted: bool) -> None:
    b, x, y = begun()
    made = square(b, x, x, text)
    turned = square(b, x, b.transpose(x, axes=(1, 0)), text)
    graph = b.finish("f", [made, turned, square(b, x, y, text)])
    found = find_structure(graph).symmetric
    other = text in ("ik,kj->ij", "ki,jk->ij")
    wanted_nodes = [made.node] * wanted + [turned.node] * other
    assert set(found) == set(wanted_nodes)


def test_programs_without_products_are_not_looked_at() -> None:
    b, x, _ = begun()
    assert find_structure(b.finish("f", [masked(b, x, "le", 0)])) is NOTHING
