"""Parts of programs that run row by row: one kernel, and no other bits."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pullback as pb
import pytest
from compare import PROGRAM, assert_close, largest
from native import How, assert_same_bits, guarded, native
from pullback.codegen.lower import lower
from pullback.codegen.rows import RowPlan
from pullback.codegen.show import show_schedule
from pullback.codegen.target import host
from pullback.ir.adjoint import grad_graph
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph, Value
from pullback.ir.interpreter import interpret
from pullback.ir.ops import new_builder
from pullback.ir.sizes import named
from pullback.ir.types import F64, I64, parse_type
from regions import scan, while_loop

Array = np.ndarray[Any, Any]
Make = Callable[..., list[Value]]

OFF = How(rows=False)
UNFUSED = How(fuse=False)


def lengths(b: Builder, x: Value) -> Value:
    """The lengths of the rows of x, an axis of one behind them."""
    return b.expand_dims(b.sqrt(b.sum(b.mul(x, x), axes=(1,))), axes=(1,))


def unit(b: Builder, x: Value) -> list[Value]:
    return [b.div(x, b.broadcast_to(lengths(b, x), shape=x.type.shape))]


def softmax(b: Builder, x: Value) -> list[Value]:
    shape = x.type.shape
    top = b.expand_dims(b.max(x, axes=(1,)), axes=(1,))
    e = b.exp(b.sub(x, b.broadcast_to(top, shape=shape)))
    total = b.expand_dims(b.sum(e, axes=(1,)), axes=(1,))
    return [b.div(e, b.broadcast_to(total, shape=shape)), b.log(total)]


def squares(b: Builder, x: Value, y: Value) -> list[Value]:
    """Small matrices times each other, and their transposes."""
    made = b.contract(x, y, lhs="nij", rhs="njk", out="nik")
    back = b.transpose(made, axes=(0, 2, 1))
    trace = b.sum(b.mul(made, back), axes=(1, 2))
    return [made, b.tanh(back), trace]


def shared(b: Builder, x: Value, w: Value, c: Value) -> list[Value]:
    """Small arrays that are the same for all rows."""
    made = b.contract(x, w, lhs="ni", rhs="ij", out="nj")
    shape = made.type.shape
    made = b.add(made, b.broadcast_to(b.expand_dims(c, axes=(0,)), shape=shape))
    return [*unit(b, made), b.max(made, axes=(1,))]


def pieces(b: Builder, x: Value) -> list[Value]:
    """Rows cut, joined and padded."""
    n = x.type.shape[0]
    first = b.slice(x, start=(0, 0), step=(1, 1), size=(n, 3))
    last = b.slice(x, start=(0, 6), step=(1, -1), size=(n, 4))
    joined = b.concatenate(last, b.tanh(first), axis=1)
    (made,) = unit(b, b.mul(joined, joined))
    return [made, b.sum(b.exp(first), axes=(1,))]


def outer(b: Builder, x: Value, y: Value) -> list[Value]:
    """Rows of more elements than there are registers."""
    (x,) = unit(b, x)
    (x,) = unit(b, b.add(b.tanh(x), x))
    made = b.contract(x, y, lhs="ni", rhs="nj", out="nij")
    return [made, b.sum(b.mul(made, made), axes=(2,))]


def numbers(b: Builder, x: Value, k: Value, t: Value) -> list[Value]:
    """Integers, truth values and the number of the row."""
    most = b.max(k, axes=(1,))
    places = b.iota(type=k.type, axis=0)
    under = b.lt(k, b.broadcast_to(b.expand_dims(most, axes=(1,)), shape=k.type.shape))
    under = b.logical_and(under, t)
    held = b.select(under, x, b.neg(x))
    return [under, b.add(b.mul(k, places), k), b.sum(held, axes=(1,)), most]


def table(b: Builder, x: Value) -> list[Value]:
    """An array constant that all rows share."""
    held = b.constant(np.arange(6.0).reshape(3, 2) / 7)
    made = b.contract(x, held, lhs="ni", rhs="ij", out="nj")
    return unit(b, made)


def shifted(b: Builder, x: Value) -> list[Value]:
    """Rows of a longer array, from different places on."""
    n = x.type.shape[0]
    less = n - 1
    low = b.slice(x, start=(0, 0), step=(1, 1), size=(less, 3))
    high = b.slice(x, start=(1, 0), step=(1, 1), size=(less, 3))
    (away,) = unit(b, b.sub(high, low))
    back = b.slice(away, start=(less - 1, 0), step=(-1, 1), size=(less, 3))
    return [*unit(b, b.add(back, low)), b.sum(b.mul(high, back), axes=(1,))]


def between(b: Builder, x: Value) -> list[Value]:
    """Rows that wait for a sum over all rows."""
    (made,) = unit(b, x)
    mean = b.sum(made, axes=(0,))
    moved = b.sub(
        made, b.broadcast_to(b.expand_dims(mean, axes=(0,)), shape=x.type.shape)
    )
    return [*unit(b, moved), mean]


def loss(b: Builder, x: Value, w: Value) -> list[Value]:
    """A sum over rows; also the gradients of a shared array."""
    made = b.contract(x, w, lhs="ni", rhs="ij", out="nj")
    (made,) = unit(b, b.tanh(made))
    return [b.sum(b.mul(made, b.sin(made)), axes=(0, 1))]


def long_rows(b: Builder, x: Value, turns: int = 40) -> list[Value]:
    """So much work that it is several kernels."""
    for k in range(turns):
        (x,) = unit(b, b.add(b.tanh(x), b.sin(b.mul(x, 0.1 + k / 400))))
    return [x]


PROGRAMS: dict[str, tuple[Make, tuple[str, ...]]] = {
    "unit": (unit, ("f64[n,3]",)),
    "unit of 1": (unit, ("f64[n,1]",)),
    "unit of 2": (unit, ("f64[n,2]",)),
    "unit of 4": (unit, ("f64[n,4]",)),
    "unit of 5": (unit, ("f64[n,5]",)),
    "unit of 15": (unit, ("f64[n,15]",)),
    "unit of 16": (unit, ("f64[n,16]",)),
    "single unit": (unit, ("f32[n,3]",)),
    "single unit of 13": (unit, ("f32[n,13]",)),
    "softmax": (softmax, ("f64[n,10]",)),
    "squares": (squares, ("f64[n,3,3]", "f64[n,3,3]")),
    "single squares": (squares, ("f32[n,2,2]", "f32[n,2,2]")),
    "shared": (shared, ("f64[n,4]", "f64[4,3]", "f64[3]")),
    "pieces": (pieces, ("f64[n,7]",)),
    "numbers": (numbers, ("f64[n,3]", "i64[n,3]", "bool[n,3]")),
    "single numbers": (numbers, ("f32[n,5]", "i32[n,5]", "bool[n,5]")),
    "outer": (outer, ("f64[n,2]", "f64[n,15]")),
    "table": (table, ("f64[n,3]",)),
    "shifted": (shifted, ("f64[n,3]",)),
    "between": (between, ("f64[n,3]",)),
    "loss": (loss, ("f64[n,3]", "f64[3,3]")),
    "long": (long_rows, ("f64[n,2]",)),
}
DERIVED = ("unit", "softmax", "squares", "shared", "pieces", "between", "loss")
NAMES = (*PROGRAMS, *(f"{name}, back" for name in DERIVED))
SOME = (
    "outer",
    "unit", "unit of 1", "unit of 4", "unit of 15", "single unit of 13", "pieces",
    "single numbers", "numbers", "shifted", "squares, back", "shared, back",
)  # fmt: skip
EMPTY = frozenset({"shifted"})
SIZES = (0, 2, 7, 8, 9, 31, 64, 101)


@cache
def made(name: str, n: int | str) -> Graph:
    plain, back, _ = name.partition(", back")
    make, types = PROGRAMS[plain]
    b = new_builder()
    if isinstance(n, str):
        b.sizes.append(n)
    given = [
        b.input(parse_type(t.replace("n", str(n))), f"x{k}")
        for k, t in enumerate(types)
    ]
    outputs = make(b, *given)
    if not back:
        return b.finish("rows", outputs)
    total = outputs[0]
    total = b.sum(b.mul(total, total), axes=tuple(range(total.type.rank)))
    return grad_graph(b.finish("rows", [total]), tuple(range(len(given))))


def arrays(graph: Graph, n: int) -> list[Array]:
    rng = np.random.default_rng(n)
    out: list[Array] = []
    for x in graph.inputs:
        shape = [d if isinstance(d, int) else n for d in x.type.shape]
        kind = x.type.dtype
        if kind.kind == "b":
            out.append(rng.random(shape) < 0.5)
        elif kind.kind == "i":
            out.append(rng.integers(-9, 9, shape).astype(kind.numpy))
        else:
            out.append(rng.standard_normal(shape).astype(kind.numpy))
    return out


def row_plans(graph: Graph) -> list[RowPlan]:
    lowered = native(graph).lowered
    plans = [lowered.plans[x.kernel] for x in lowered.launches]
    return [x for x in plans if isinstance(x, RowPlan)]


def sizes_of(name: str) -> list[int]:
    return [n for n in SIZES if n or name.partition(",")[0] not in EMPTY]


@pytest.mark.parametrize("name", NAMES)
def test_results_are_the_reference_to_the_same_bits(name: str) -> None:
    graph = made(name, "n")
    code = native(graph)
    assert any(isinstance(x, RowPlan) for x in code.lowered.plans), name
    sizes = sizes_of(name)
    given = [arrays(graph, n) for n in sizes]
    found = guarded([(code, x) for x in given])
    for how in (OFF, UNFUSED):
        other = native(graph, how)
        assert not any(isinstance(x, RowPlan) for x in other.lowered.plans)
        for n, x, got in zip(sizes, given, found, strict=True):
            assert_same_bits(got, other(x), (name, str(how), n))
    for n, x, got in zip(sizes, given, found, strict=True):
        with np.errstate(all="ignore"):
            wanted = interpret(graph, x)
        scale = largest([*x, *wanted]) * max(n, 1)
        assert_close(got, wanted, (name, n), PROGRAM, scale)


def other_ways() -> list[How]:
    ways = [How(level=0), How(level=2), How(disable=frozenset({"simplify", "cse"}))]
    for bits, masks in ((128, False), (256, False), (256, True), (512, False)):
        target = replace(host(), vector_bits=bits, has_masks=masks)
        ways.append(How(target=target))
    return ways


@pytest.mark.parametrize("how", other_ways(), ids=str)
def test_how_it_is_compiled_changes_no_bit(how: How) -> None:
    for name in SOME:
        graph = made(name, "n")
        plain, other = native(graph), native(graph, how)
        given = [arrays(graph, n) for n in sizes_of(name)]
        found = guarded([(other, x) for x in given])
        for x, got in zip(given, found, strict=True):
            assert_same_bits(got, plain(x), (name, str(how)))


@pytest.mark.parametrize("n", [65, 136])
def test_a_known_number_of_rows_changes_no_bit(n: int) -> None:
    for name in SOME:
        code = native(made(name, n))
        assert any(isinstance(x, RowPlan) for x in code.lowered.plans), name
        given = arrays(code.graph, n)
        plain = native(made(name, "n"))(given)
        assert_same_bits(code.guarded(given), plain, (name, n))


@pytest.mark.parametrize("n", [1, 2, 63])
def test_few_rows_run_as_before(n: int) -> None:
    for name in ("unit", "squares", "shared, back"):
        graph = made(name, n)
        assert not row_plans(graph)
        given = arrays(graph, n)
        other = native(graph, OFF)(given)
        assert_same_bits(native(graph).guarded(given), other, (name, n))


def test_zeros_keep_their_signs_and_nan_stays() -> None:
    graph = made("unit", "n")
    given = arrays(graph, 31)[0]
    given[::3], given[1::3] = -0.0, np.nan
    given[2::6] = np.inf
    (got,) = native(graph).guarded([given])
    (other,) = native(graph, UNFUSED)([given])
    assert_same_bits([got], [other], "special")


def plain_map(b: Builder, x: Value) -> list[Value]:
    return [b.tanh(b.mul(b.sin(x), 3.0))]


def dense(b: Builder, x: Value, w: Value) -> list[Value]:
    if w.type.rank == 1:
        return [b.exp(b.contract(x, w, lhs="ni", rhs="i", out="n"))]
    return [b.contract(x, w, lhs="ni", rhs="ij", out="nj")]


@pytest.mark.parametrize(
    ("make", "types"),
    [
        (plain_map, ("f64[n,3]",)),
        (unit, ("f64[n,32]",)),
        (unit, ("f64[n,33]",)),
        (softmax, ("f64[n,20]",)),
        (unit, ("f64[n,m]",)),
        (dense, ("f64[n,4]", "f64[4,4]")),
        (dense, ("f64[n,20]", "f64[20]")),
    ],
)
def test_what_one_kernel_of_long_rows_does_stays_one(
    make: Make, types: tuple[str, ...]
) -> None:
    b = new_builder()
    b.sizes.extend(["n", "m"] if "m" in types[0] else ["n"])
    given = [b.input(parse_type(t), f"x{k}") for k, t in enumerate(types)]
    assert not row_plans(b.finish("plain", make(b, *given)))


def test_what_is_too_much_for_one_kernel_is_several() -> None:
    assert len(row_plans(made("long", "n"))) > 1
    assert len(row_plans(made("unit", "n"))) == 1
    assert len(row_plans(made("between", "n"))) == 2


def test_a_kernel_over_rows_is_shown() -> None:
    lowered = native(made("unit of 2", "n")).lowered
    assert show_schedule(lowered) == UNIT


UNIT = """\
rows: 1 launches of 1 kernels, workspace 0 bytes
  k0(input0, output0!)

k0: rows [n]
  %0: f64 = load s0[2*a0]
  %1: f64 = load s0[2*a0 + 1]
  %2: f64 = mul %0, %0
  %3: f64 = mul %1, %1
  %4: f64 = sum of %2, %3
  %5: f64 = sqrt %4
  %6: f64 = div %0, %5
  %7: f64 = div %1, %5
  s1 <- %6, %7
"""


def test_rows_of_a_late_number() -> None:
    b = new_builder()
    k, x = b.input(parse_type("i64[]"), "k"), b.input(parse_type("f64[3]"), "x")
    made = while_loop(
        b, [k, x], [],
        lambda b, k, x: [b.gt(k, 0)],
        lambda b, k, x: [b.sub(k, 1), b.mul(x, -0.75), x],
        trips="t",
    )  # fmt: skip
    (rows,) = unit(b, b.tanh(made[2]))
    graph = b.finish("late", [b.sum(rows, axes=(0,)), b.max(rows, axes=(0, 1))])
    assert len(row_plans(graph)) == 1
    for count in (0, 3, 29):
        given = [np.array(count), np.array([1.0, 2.0, -3.0])]
        other = native(graph, OFF).guarded(given)
        assert_same_bits(native(graph).guarded(given), other, count)


def test_rows_within_the_body_of_a_loop() -> None:
    b = new_builder()
    b.sizes.append("n")
    x = b.input(parse_type("f64[n,3]"), "x")
    made = scan(b, [x], [], [], lambda b, x: unit(b, b.exp(x)), length=4)
    graph = b.finish("body", made)
    regions = native(graph).lowered.regions.values()
    assert any(isinstance(p, RowPlan) for r in regions for p in r.plans)
    for n in (0, 5, 70):
        given = arrays(graph, n)
        other = native(graph, OFF).guarded(given)
        assert_same_bits(native(graph).guarded(given), other, n)


def test_a_long_unrolled_loop_keeps_the_kernels_of_its_body() -> None:
    b = new_builder()
    b.sizes.append("n")
    x = b.input(parse_type("f64[n,2]"), "x")
    outputs = long_rows(b, x, 160)
    _, (lowered,) = lower([(b.finish("longer", outputs), "p")], host())
    assert not any(isinstance(p, RowPlan) for p in lowered.plans)


def test_rows_wait_for_the_size_that_a_loop_binds() -> None:
    b = new_builder()
    b.sizes.append("n")
    x = b.input(parse_type("f64[n,3]"), "x")
    (made,) = unit(b, b.exp(x))
    k = b.cast(b.mul(b.max(made, axes=(0, 1)), 9.0), dtype=I64)
    loop = while_loop(
        b, [k], [],
        lambda b, k: [b.gt(k, 0)],
        lambda b, k: [b.sub(k, 1), k],
        trips="t",
    )  # fmt: skip
    steps = b.constant(named("t"), F64, shape=made.type.shape)
    graph = b.finish("waits", [*unit(b, b.add(made, steps)), b.sum(loop[1], axes=(0,))])
    assert len(row_plans(graph)) == 2
    given = arrays(graph, 19)
    other = native(graph, OFF).guarded(given)
    assert_same_bits(native(graph).guarded(given), other, "waits")


def test_residuals_and_jacobians_of_cameras_are_two_kernels() -> None:
    def residual(p: Any, seen: Any) -> Any:
        turn, at = p[0:3], p[11:14] - p[3:6]
        angle = np.sqrt(np.sum(turn * turn))
        c, s, axis = np.cos(angle), np.sin(angle), turn / angle
        at = at * c + np.cross(axis, at) * s + axis * (np.dot(axis, at) * (1 - c))
        q = at[:2] / at[2]
        far = np.sum(q * q)
        q = q * (1 + p[9] * far + p[10] * far * far)
        return p[14] * (q * p[6] + p[7:9] - seen)

    def both(p: Any, seen: Any) -> Any:
        return residual(p, seen), pb.jacobian(residual, mode="reverse")(p, seen)

    rng = np.random.default_rng(0)
    made = pb.function(pb.vmap(both))
    given = rng.uniform(0.5, 1.5, (100, 15)), rng.standard_normal((100, 2))
    text = str(made.explain(*given))
    assert "rows of [100]" in text
    assert " 2 kernels, 2 launches" in text
