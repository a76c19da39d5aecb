"""Loops and choices as native code: the reference's results, and no other bits."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from compare import PROGRAM, assert_close, largest
from control_cases import CASES, polynomial, trail
from native import PLAIN, SIDES, Grower, How, assert_same_bits, native
from pullback.codegen.show import show_schedule
from pullback.codegen.status import (
    CANCELLED,
    INDEX_OUT_OF_RANGE,
    WORKSPACE_TOO_SMALL,
)
from pullback.codegen.target import host
from pullback.ir.builder import Builder
from pullback.ir.errors import GraphError
from pullback.ir.graph import Graph, Value
from pullback.ir.interpreter import bind_sizes, interpret
from pullback.ir.sizes import evaluate_size
from regions import program, scan, switch, while_loop

NAMES = tuple(CASES)
CALLS = How(registers=False)  # regions are functions, however small


@pytest.mark.parametrize("name", NAMES)
def test_results_are_the_reference(name: str) -> None:
    graph, arrays = CASES[name]()
    wanted = interpret(graph, arrays)
    got = native(graph).guarded(arrays)
    assert_close(got, wanted, name, PROGRAM, largest([*arrays, *wanted]))
    other = native(graph, CALLS).guarded(arrays)
    assert_same_bits(other, got, name)


SEVERAL = (
    "polynomial 8", "running 3", "passed 3", "counted back", "matrices 4", "flags",
    "twice", "large", "root", "countdown 9", "trail 17", "choice 3", "choice of n",
    "nested 5", "searched", "columns", "wide invariants",
)  # fmt: skip
HOWS = (
    CALLS,
    How(registers=False, level=0),
    How(registers=False, fuse=False),
    How(registers=False, target=replace(host(), vector_bits=128, has_masks=False)),
    How(fuse=False),
    How(level=0),
    How(level=2),
    How(disable=frozenset({"fold", "simplify", "cse"})),
    How(target=replace(host(), vector_bits=128, has_masks=False)),
    How(target=replace(host(), vector_bits=256, has_masks=False)),
)


@pytest.mark.parametrize("how", HOWS, ids=str)
def test_how_it_is_compiled_changes_no_bit(how: How) -> None:
    for name in SEVERAL:
        graph, arrays = CASES[name]()
        plain = Raw(graph, arrays, Grower())
        other = Raw(graph, arrays, Grower(), how)
        assert plain.call() == other.call() == 0
        assert_same_bits(other.out, plain.out, (name, str(how)))


def late_program(long: bool) -> tuple[Graph, list[Any]]:
    """Late memory, in a program of few launches or of more than fit a line."""
    b, (k, x, at) = program("i64[]", "f64[3]", "i64[]")
    made = while_loop(
        b, [k, x], [],
        lambda b, k, x: [b.gt(k, 0)],
        lambda b, k, x: [b.sub(k, 1), b.mul(x, 0.5), x],
        trips="t",
    )  # fmt: skip
    rows = made[2]
    for _ in range(300 if long else 2):
        total = b.sum(rows, axes=(0,))
        rows = b.sub(
            rows, b.broadcast_to(b.expand_dims(total, axes=(0,)), shape=rows.type.shape)
        )
    out = b.take(rows, b.reshape(at, shape=(1,)), axis=0)
    graph = b.finish("late", [out])
    return graph, [np.int64(40), np.arange(3.0), np.int64(39)]


class Raw:
    """A program called through the ABI, with a context of the test's."""

    def __init__(
        self, graph: Graph, arrays: list[Any], grower: Grower | None, how: How = PLAIN
    ) -> None:
        made = native(graph, how)
        held = [np.asarray(a) for a in arrays]
        env = bind_sizes(graph, [a.shape for a in held], {})
        self.out = [
            np.zeros([evaluate_size(d, env) for d in x.type.shape], x.type.dtype.numpy)
            for x in graph.outputs
        ]
        sizes = np.array([env[n] for n in graph.sizes], np.int64)
        work = np.zeros(made.workspace(sizes.ctypes.data) + 64, np.uint8)
        self.status = np.zeros(5, np.int64)
        self.cancel = np.zeros(1, np.int32)
        grow = grower.address if grower else 0
        status, cancel = self.status.ctypes.data, self.cancel.ctypes.data
        words = [1 | 56 << 32, status, grow, 0, 0, 1, cancel]
        self.context = np.array(words, np.int64)
        pointers = [
            np.array([a.ctypes.data for a in x], np.uint64) for x in (held, self.out)
        ]
        self.lowered = made.lowered
        self.keep = (grower, made, held, sizes, work, pointers)
        self.call = lambda: made.entry(
            self.context.ctypes.data, pointers[0].ctypes.data, sizes.ctypes.data,
            pointers[1].ctypes.data, work.ctypes.data + -work.ctypes.data % 64,
        )  # fmt: skip

    @property
    def node(self) -> int:
        return int(self.status.view(np.int32)[1])


@pytest.mark.parametrize("long", [False, True], ids=("line", "table"))
def test_late_memory_is_freed_whatever_happens(long: bool) -> None:
    graph, arrays = late_program(long)
    wanted = interpret(graph, arrays)
    for side in SIDES:
        grower = Grower(side)
        raw = Raw(graph, arrays, grower)
        assert raw.call() == 0
        assert_close(raw.out, wanted, side, PROGRAM, 1.0)
        assert grower.asked > 3
        assert not grower.live
    total = grower.asked

    arrays[2] = np.int64(40)  # beyond the steps there were
    grower = Grower()
    raw = Raw(graph, arrays, grower)
    assert raw.call() == INDEX_OUT_OF_RANGE
    assert list(raw.status[1:4]) == [40, 0, 40]
    assert raw.lowered.checks[raw.node].primitive.name == "take"
    assert not grower.live

    arrays[2] = np.int64(39)
    for limit in (0, 1, 2, 3, total - 1):
        grower = Grower(limit=limit)
        raw = Raw(graph, arrays, grower)
        assert raw.call() == WORKSPACE_TOO_SMALL
        assert raw.status[1] >= 40 * 24 or limit < 3
        assert not grower.live


def test_a_late_size_without_memory_says_how_much_it_needs() -> None:
    raw = Raw(*late_program(False), None)
    assert raw.call() == WORKSPACE_TOO_SMALL
    assert raw.status[1] == 16 * 24


def test_cancelled_loops_leave_and_free() -> None:
    graph, arrays = late_program(False)
    grower = Grower()
    raw = Raw(graph, arrays, grower)
    raw.cancel[0] = 1
    assert raw.call() == CANCELLED
    assert not grower.live
    for name in ("polynomial 3", "root", "nested 5"):
        raw = Raw(*CASES[name](), Grower())
        raw.cancel[0] = 1
        assert raw.call() == CANCELLED


def test_late_memory_of_a_body_is_freed_each_step() -> None:
    grower = Grower()
    raw = Raw(*CASES["nested 5"](), grower)
    assert raw.call() == 0
    assert grower.asked == 3  # of the steps that walk
    assert not grower.live


@pytest.mark.parametrize("how", [PLAIN, CALLS], ids=["registers", "calls"])
def test_what_fails_in_a_loop_is_named(how: How) -> None:
    b, (c, xs, at) = program("f64[]", "f64[4,3]", "i64[4]")

    def look(b: Builder, c: Value, e: Value, k: Value) -> list[Value]:
        picked = b.take(e, b.reshape(k, shape=(1,)), axis=0)
        return [b.add(c, b.reshape(picked, shape=()))]

    def body(b: Builder, c: Value, e: Value, k: Value) -> list[Value]:
        one = switch(b, b.constant(1), [c, e, k], look, look)
        return switch(b, b.bitwise_and(k, 7), [one[0], e, k], look, look)

    out = scan(b, [c], [xs, at], [], body, 4)
    graph = b.finish("looks", out)
    values = [np.float64(1.0), np.arange(12.0).reshape(4, 3)]
    raw = Raw(graph, [*values, np.array([0, 1, 0, 1])], None, how)
    assert raw.call() == 0
    names = [node.primitive.name for node in raw.lowered.checks]
    assert sorted(names) == ["switch", "switch", "take", "take", "take", "take"]

    raw = Raw(graph, [*values, np.array([0, 1, 2, 1])], None, how)
    assert raw.call() == INDEX_OUT_OF_RANGE
    assert list(raw.status[1:4]) == [2, 0, 2]
    assert raw.lowered.checks[raw.node].primitive.name == "switch"

    raw = Raw(graph, [*values, np.array([0, 1, 9, 1])], None, how)
    assert raw.call() == INDEX_OUT_OF_RANGE
    assert list(raw.status[1:4]) == [9, 0, 3]
    failed = raw.lowered.checks[raw.node]
    assert failed.primitive.name == "take"


def test_results_of_late_sizes_are_refused() -> None:
    b, (k, x) = program("i64[]", "f64[3]")
    made = while_loop(
        b, [k, x], [],
        lambda b, k, x: [b.gt(k, 0)],
        lambda b, k, x: [b.sub(k, 1), b.mul(x, 0.5), x],
        trips="t",
    )  # fmt: skip
    with pytest.raises(GraphError) as error:
        native(b.finish("late", [made[2]]))
    assert str(error.value) == (
        "late: result out0 is f64[t,3]: t is known only once a loop has run"
    )


def test_ten_thousand_steps() -> None:
    for name, case in (("scan", polynomial(10_000)), ("while", trail(10_000))):
        graph, arrays = case
        if name == "scan":
            arrays[1] = np.asarray(0.5)
        wanted = interpret(graph, arrays)
        grower = Grower()
        raw = Raw(graph, arrays, grower)
        assert raw.call() == 0
        assert not grower.live
        assert_close(raw.out, wanted, name, PROGRAM, largest(wanted))


def test_equal_regions_are_one_function() -> None:
    graph, _ = CASES["twice"]()
    made = native(graph, CALLS)
    assert len(made.lowered.regions) == 1
    assert show_schedule(made.lowered) == TWICE


def test_small_regions_run_in_registers() -> None:
    graph, _ = CASES["polynomial back"]()
    assert show_schedule(native(graph).lowered) == POLYNOMIAL
    small = {"polynomial 8", "passed 3", "counted", "flags", "twice", "root"}
    for name in sorted(small | {"large", "running 3", "countdown 2"}):
        lowered = native(CASES[name]()[0]).lowered
        assert bool(lowered.regions) == (name not in small), name


TWICE = """\
twice: 6 launches of 4 kernels, workspace 128 bytes
  k0(input0, input2, output0!, output3!, work0.0!)
  k0(input1, output3, output1!, output2!, work0.0!)
  k0(output1, input2, output4!, output3!, work0.0!)
  k1(output3, output5!)
  k2(output0, output1!)
  k3(output2, output3!)
  bucket 0: 1 of 128 bytes

k0: scan of 6 steps: pb_r0_p0
  carries f64[]
  elements f64[]
  keeps f64[]

k1: loop [6]
  %0: f64 = 2.0
  %1: f64 = load s0[a0]
  %2: f64 = mul %1, %0
  s1 <- %2

k2: loop []
  %0: f64 = load s0[0]
  s1 <- %0

k3: loop [2, 3]
  %0: f64 = load s0[3*a0 + a1]
  s1 <- %0

region pb_r0_p0:
  region: 1 launches of 1 kernels, workspace 0 bytes
    k0(input1, input0, output0!, output1!)

  k0: loop []
    %0: f64 = load s0[0]
    %1: f64 = exp %0
    %2: f64 = load s1[0]
    %3: f64 = add %2, %1
    s2 <- %3
    s3 <- %2
"""

POLYNOMIAL = """\
polynomial: 1 launches of 1 kernels, workspace 0 bytes
  k0(input0, input2, input1, output0!, output1!)

k0: scan of 5 steps, reverse: &a051813a9713cabe
  carries f64[]
  elements f64[]
  keeps f64[]
  in registers: &a051813a9713cabe
    in %0: f64[] "r0"
    in %1: f64[] "r1"
    in %2: f64[] "r2"
    %3: f64[] = fma %0, %2, %1
    %4: f64[] = mul %0, %1
    out %3 "out0"
    out %4 "out1"
    end
"""
