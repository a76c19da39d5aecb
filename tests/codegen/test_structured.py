"""Structured products: less work, the same bits, whatever the numbers are."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pullback as pb
import pytest
from native import PLAIN, How, Native, assert_same_bits, guarded, native, natives
from pullback.codegen.plan_text import plan_text
from pullback.codegen.show import show_schedule
from pullback.codegen.target import host
from pullback.ir.adjoint import grad_graph
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.ops import new_builder
from pullback.ir.sizes import named
from pullback.ir.types import F32, F64, I64, DType, TensorType

Array = np.ndarray[Any, Any]

DENSE = How(structure=False)
NARROW = How(target=replace(host(), vector_bits=128, has_masks=False))
HALF = How(target=replace(host(), vector_bits=256, has_masks=False))
# below and above a strip, a panel, two panels, and what is packed
SIZES = (0, 2, 15, 17, 24, 49, 64, 97, 130, 270)


def masked(b: Builder, x: Value, op: str, k: int) -> Value:
    """x where column - row compares to k, else 0."""
    places = TensorType(I64, x.type.shape)
    rank = x.type.rank
    down, across = (b.op("iota", axis=rank - t, type=places) for t in (2, 1))
    kept = b.op(op, b.op("sub", across, down), k)
    return b.op("select", kept, x, b.zeros(x.type))


def tril(b: Builder, x: Value, k: int = 0) -> Value:
    return masked(b, x, "le", k)


def triu(b: Builder, x: Value, k: int = 0) -> Value:
    return masked(b, x, "ge", k)


def turned(b: Builder, x: Value) -> Value:
    rank = x.type.rank
    return b.op("transpose", x, axes=(*range(rank - 2), rank - 1, rank - 2))


def times(b: Builder, x: Value, y: Value, text: str = "ik,kj->ij") -> Value:
    lhs, rhs, out = text.replace("->", ",").split(",")
    return b.contract(x, y, lhs=lhs, rhs=rhs, out=out)


Make = Callable[[Builder, Value, Value], Value]

CASES: dict[str, Make] = {
    "lower lhs": lambda b, x, y: times(b, tril(b, x), y),
    "lower rhs": lambda b, x, y: times(b, x, tril(b, y)),
    "upper lhs": lambda b, x, y: times(b, triu(b, x), y),
    "upper rhs": lambda b, x, y: times(b, x, triu(b, y, 1)),
    "strictly lower": lambda b, x, y: times(b, tril(b, x, -3), y),
    "beyond the diagonal": lambda b, x, y: times(b, tril(b, x, 5), triu(b, y, -9)),
    "lower lower": lambda b, x, y: times(b, tril(b, x), tril(b, y)),
    "lower upper": lambda b, x, y: times(b, tril(b, x), triu(b, y)),
    "upper lower": lambda b, x, y: times(b, triu(b, x), tril(b, y)),
    "diagonal": lambda b, x, y: times(b, masked(b, x, "eq", 0), y),
    "diagonal rhs": lambda b, x, y: times(b, x, masked(b, y, "eq", 1)),
    "three bands": lambda b, x, y: times(b, tril(b, triu(b, x, -1), 1), y),
    "transposed lhs": lambda b, x, y: times(b, tril(b, x), y, "ki,kj->ij"),
    "transposed rhs": lambda b, x, y: times(b, x, triu(b, y), "ik,jk->ij"),
    "transposed result": lambda b, x, y: times(b, tril(b, x), y, "ik,kj->ji"),
    "lower of a product": lambda b, x, y: tril(b, times(b, x, y)),
    "upper of a product": lambda b, x, y: triu(b, times(b, x, y), 2),
    "diagonal of a product": lambda b, x, y: masked(b, times(b, x, y), "eq", 0),
    "diagonal view": lambda b, x, y: b.op(
        "diagonal", times(b, x, y), offset=-2, axis1=0, axis2=1
    ),
    "trace of a product": lambda b, x, y: b.sum(
        b.op("diagonal", times(b, x, y), offset=0, axis1=1, axis2=0), axes=(0,)
    ),
    "lower of a transposed": lambda b, x, y: tril(b, turned(b, times(b, x, y))),
    "lower of lower lower": lambda b, x, y: tril(
        b, b.neg(times(b, tril(b, x), tril(b, y), "ki,kj->ij"))
    ),
    "symmetric": lambda b, x, y: times(b, x, turned(b, x)),
    "symmetric below": lambda b, x, y: times(b, x, x, "ki,kj->ij"),
    "symmetric of lower": lambda b, x, y: times(b, tril(b, x), tril(b, x), "ik,jk->ij"),
    "chain": lambda b, x, y: times(b, times(b, tril(b, x), tril(b, y)), tril(b, x)),
    "scaled": lambda b, x, y: times(b, b.mul(tril(b, x), b.mul(y, y)), y),
    "solution": lambda b, x, y: times(b, b.exp(x), tril(b, b.div(tril(b, x), y))),
}


def program(name: str, n: Any, dtype: DType = F64) -> Graph:
    b = new_builder()
    if not isinstance(n, int):
        b.sizes.append("n")
    x, y = (b.input(TensorType(dtype, (n, n)), text) for text in "xy")
    return b.finish(name, [CASES[name](b, x, y)])


def arrays(n: int, dtype: Any = np.float64, seed: int = 3) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, n)).astype(dtype) for _ in range(2)]


def text_of(code: Native) -> str:
    plans = [code.lowered.plans[x.kernel] for x in code.lowered.launches]
    return "\n".join(map(plan_text, plans))


@cache
def codes(n: Any, dtype: DType, how: How) -> dict[str, Native]:
    """All programs in one module: they share kernels."""
    made = natives([program(name, n, dtype) for name in CASES], how)
    return dict(zip(CASES, made, strict=True))


def same(name: str, n: Any, cases: list[list[Array]], how: How, dtype: DType) -> None:
    code = codes(n, dtype, how)[name]
    dense = codes(n, dtype, replace(how, structure=False))[name]
    found = guarded([(code, case) for case in cases])
    for case, got in zip(cases, found, strict=True):
        assert_same_bits(got, dense(case), f"{name} at {len(case[0])}")


@pytest.mark.parametrize("name", CASES)
def test_the_bits_are_those_of_the_whole_product(name: str) -> None:
    same(name, named("n"), [arrays(n) for n in SIZES], PLAIN, F64)


@pytest.mark.parametrize("how", [NARROW, HALF], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_the_bits_without_masks(name: str, how: How) -> None:
    same(name, named("n"), [arrays(n) for n in SIZES[2:]], how, F64)


@pytest.mark.parametrize("name", CASES)
def test_the_bits_in_single_precision_at_a_known_size(name: str) -> None:
    same(name, 67, [arrays(67, np.float32)], PLAIN, F32)


SPECIAL = {
    "infinity": np.inf,
    "nan": np.nan,
    "largest": np.finfo(np.float64).max,
    "subnormal": 5e-324,
}


@pytest.mark.parametrize("value", SPECIAL)
@pytest.mark.parametrize("name", CASES)
def test_the_bits_where_zero_meets_what_is_no_number(name: str, value: str) -> None:
    n = 70
    cases = []
    for at in ((0, 0), (3, 66), (66, 3), (69, 69)):
        for side in (0, 1):
            case = arrays(n)
            case[side][at] = SPECIAL[value]
            cases.append(case)
    same(name, named("n"), cases, PLAIN, F64)


@pytest.mark.parametrize("name", CASES)
def test_the_bits_where_products_underflow(name: str) -> None:
    """A chain that rounds to -0 may be +0 once a zero is added to it."""
    rng = np.random.default_rng(5)
    cases = []
    for power in (-160, -165):
        signs = [rng.choice([-1.0, 1.0], (70, 70)) for _ in range(2)]
        cases.append([s * 10.0**power for s in signs])
    same(name, named("n"), cases, PLAIN, F64)
    if name == "lower lhs":
        (got,) = codes(named("n"), F64, DENSE)[name](cases[1])
        assert np.any((got == 0) & np.signbit(got)), "the case is about negative zeros"


@pytest.mark.parametrize("order", [1, 2])
def test_gradients_have_the_same_bits(order: int) -> None:
    b = new_builder()
    b.sizes.append("n")
    x, y = (b.input(TensorType(F64, (named("n"),) * 2), text) for text in "xy")
    factor = b.op("cholesky", times(b, x, x, "ik,jk->ij"))
    solved = b.op(
        "triangular_solve", factor, tril(b, y), lower=True, transpose=False, unit=False
    )
    graph = b.finish("f", [b.sum(b.square(solved), axes=(0, 1))])
    for _ in range(order):
        graph = grad_graph(graph.replace(graph.nodes, graph.outputs[:1]), [0, 1])
        b = new_builder()
        b.inputs, b.names, b.sizes = graph.inputs, graph.names, graph.sizes
        b.nodes, b.guards = list(graph.nodes), graph.guards
        total: Any = b.constant(0.0, F64, ())
        for g in graph.outputs:
            whole = tuple(range(g.type.rank))
            total = b.add(total, b.sum(b.square(g), axes=whole) if whole else g)
        graph = b.finish("f", [total, *graph.outputs])
    codes = [native(graph, how) for how in (PLAIN, DENSE)]
    assert "read in lower" in text_of(codes[0])
    for n in (2, 5, 40, 64, 100, 131):
        case = arrays(n)
        case[0] += n * np.eye(n)
        assert_same_bits(codes[0](case), codes[1](case), n)


@pytest.mark.parametrize("kind", ["lower", "upper"])
@pytest.mark.parametrize("offset", [-2, 0, 3])
@pytest.mark.parametrize("flags", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_solves_as_far_as_they_are_read(
    kind: str, offset: int, flags: tuple[int, int]
) -> None:
    lower, transpose = map(bool, flags)
    graphs = []
    for columns in (None, 60):
        b = new_builder()
        b.sizes.append("n")
        n = named("n")
        x = b.input(TensorType(F64, (n, n)), "x")
        y = b.input(TensorType(F64, (n, columns or n)), "y")
        solved = b.op(
            "triangular_solve", x, y, lower=lower, transpose=transpose, unit=False
        )
        part = tril if kind == "lower" else triu
        graphs.append(b.finish("f", [part(b, solved, offset)]))
    codes, dense = natives(graphs), natives(graphs, DENSE)
    backward = lower == transpose
    assert ("read in" in text_of(codes[0])) == (backward == (kind == "lower"))
    for k, columns in enumerate((None, 60)):
        for n in (2, 3, 64, 97, 200):
            x = arrays(n)[0] + 2 * n * np.eye(n)
            y = np.random.default_rng(n).normal(size=(n, columns or n))
            (got,) = guarded([(codes[k], [x, y])])
            assert_same_bits(got, dense[k]([x, y]), n)


def test_batches() -> None:
    b = new_builder()
    x, y = (b.input(TensorType(F64, (3, 50, 50)), text) for text in "xy")
    made = [
        times(b, tril(b, x), y, "bik,bkj->bij"),
        tril(b, times(b, x, y, "bik,bkj->bij")),
        times(b, x, x, "bik,bjk->bij"),
        times(b, tril(b, x), y, "bik,bkj->bji"),
    ]
    graph = b.finish("f", made)
    rng = np.random.default_rng(0)
    case = [rng.normal(size=(3, 50, 50)) for _ in range(2)]
    code = native(graph)
    said = text_of(code)
    for words in ("lhs lower", "rhs upper", "read in lower", "result symmetric"):
        assert words in said
    assert_same_bits(code(case), native(graph, DENSE)(case), "batches")


def test_a_merged_axis_has_no_structure() -> None:
    """Rows of a batch are one axis in memory, and no triangle."""
    b = new_builder()
    x = b.input(TensorType(F64, (3, 50, 50)), "x")
    y = b.input(TensorType(F64, (50, 50)), "y")
    graph = b.finish("f", [times(b, tril(b, x), y, "bik,kj->bij")])
    case = [np.random.default_rng(0).normal(size=s) for s in ((3, 50, 50), (50, 50))]
    code = native(graph)
    assert "lower" not in text_of(code)
    assert_same_bits(code(case), native(graph, DENSE)(case), "merged")


def test_it_is_said_what_was_used() -> None:
    def f(x: Any, y: Any) -> Any:
        return np.tril(x) @ y, np.tril(x @ y), x @ x.T, np.tril(x, 1) @ np.triu(y, 2)

    x, y = arrays(64)
    text = str(pb.function(f).explain(x, y))
    for words in (
        "contraction 64 x 64 x 64, lhs lower ",
        "contraction 64 x 64 x 64, result read in lower ",
        "contraction 64 x 64 x 64, result symmetric ",
        "contraction 64 x 64 x 64, lhs band ..1, rhs band 2.. ",
    ):
        assert words in text
    shown = show_schedule(native(program("lower lhs", 64)).lowered)
    assert "  lhs lower\n" in shown


def test_small_products_are_whole() -> None:
    for n, used in ((39, False), (40, True)):
        assert ("lower" in text_of(native(program("lower lhs", n)))) == used


@pytest.mark.parametrize("far", [1.0, np.inf])
def test_looking_at_a_triangle_changes_no_bit(far: float) -> None:
    """Looked at, it is an array of the next program, of which nothing is known."""
    held, x = arrays(80)
    x[70, 3] = far
    found = []
    for look in (False, True):
        with pb.GradientTape() as tape:
            watched = pb.constant(held)
            tape.watch(watched)
            lower = pb.tril(watched)
            if look:
                lower.numpy()
            product = lower @ pb.constant(x)
            if look:
                product.numpy()
            loss = pb.sum(pb.tril(product))
        found.append([product.numpy(), tape.gradient(loss, watched).numpy()])
    assert_same_bits(*found, far)
    assert np.isnan(found[0][0]).any() == np.isinf(far)
