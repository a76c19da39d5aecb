"""Prints in native code: what the caller is shown, when, and what it stops."""

import ctypes
from typing import Any

import numpy as np
import pytest
from native import Region, in_child
from pullback.codegen.lower import lower
from pullback.codegen.register_loops import RegisterPlan
from pullback.codegen.status import PRINT_STOPPED
from pullback.codegen.target import emit_object, host
from pullback.ir.builder import Builder
from pullback.ir.graph import Graph
from pullback.ir.ops import OPS
from pullback.ir.passes import pipeline
from pullback.ir.sizes import named
from pullback.ir.subgraph import SubGraph
from pullback.ir.types import BOOL, F32, F64, I64, TensorType
from pullback.runtime.loading import Library

SCALAR = TensorType(F64, ())
N = named("n")
Callback = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32,
    ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_int64),
)  # fmt: skip
CTYPES = {"f64": ctypes.c_double, "f32": ctypes.c_float, "i64": ctypes.c_int64,
          "bool": ctypes.c_bool}  # fmt: skip


def said(b: Builder, text: str, *values: Any) -> None:
    b.apply(OPS["print"], values, {"format": text, "stream": "stdout"})


class Status(ctypes.Structure):
    _fields_ = [
        ("code", ctypes.c_int32), ("node", ctypes.c_int32),
        ("index", ctypes.c_int64), ("axis", ctypes.c_int64),
        ("extent", ctypes.c_int64),
    ]  # fmt: skip


class Ctx(ctypes.Structure):
    _fields_ = [
        ("abi_version", ctypes.c_uint32), ("size", ctypes.c_uint32),
        ("status", ctypes.POINTER(Status)), ("grow", ctypes.c_void_p),
        ("grow_state", ctypes.c_void_p), ("pool", ctypes.c_void_p),
        ("threads", ctypes.c_int32), ("reserved", ctypes.c_int32),
        ("cancel", ctypes.c_void_p), ("print", Callback),
        ("print_state", ctypes.c_void_p),
    ]  # fmt: skip


class Program:
    """A program, and what it printed: text, arrays."""

    def __init__(self, graph: Graph, registers: bool = True) -> None:
        ready = pipeline.run(graph)
        text, (self.lowered,) = lower([(ready, "p")], host(), registers=registers)
        self.library = Library(emit_object(text, host(), 1))
        self.graph = ready
        self.shown: list[tuple[str, list[Any]]] = []
        self.stop_at = -1
        self.states: set[int | None] = set()
        self.callback = Callback(self._print)

    def _print(self, state: int | None, number: int, values: Any, sizes: Any) -> int:
        node = self.lowered.prints[number]
        shown, at = [], 0
        for k, x in enumerate(node.operands):
            shape = [sizes[at + axis] for axis in range(x.type.rank)]
            at += x.type.rank
            count = int(np.prod(shape, dtype=int))
            held = (CTYPES[x.type.dtype.name] * count).from_address(values[k])
            shown.append(np.array(held, x.type.dtype.numpy).reshape(shape).tolist())
        self.shown.append((node.params["format"], shown))
        self.states.add(state)
        return 5 if len(self.shown) - 1 == self.stop_at else 0

    def call(self, ctx: int | None, *arrays: Any, sizes: tuple[int, ...] = ()) -> int:
        """Run; results are thrown away."""
        inputs = [np.asarray(a, x.type.dtype.numpy)
                  for a, x in zip(arrays, self.graph.inputs, strict=True)]  # fmt: skip
        words = (ctypes.c_int64 * max(len(sizes), 1))(*sizes)
        outputs = [np.empty(4096, np.uint8) for _ in self.graph.outputs]
        need = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_int32)(
            self.library.address("pb_p_workspace")
        )(ctypes.addressof(words), 1)
        room = np.empty(need + 64, np.uint8)
        at = (room.ctypes.data + 63) // 64 * 64
        run = ctypes.CFUNCTYPE(ctypes.c_int32, *[ctypes.c_void_p] * 5)(
            self.library.address("pb_p")
        )
        pointers = [
            (ctypes.c_void_p * max(len(held), 1))(*[a.ctypes.data for a in held])
            for held in (inputs, outputs)
        ]
        self.shown = []
        code: int = run(ctx, pointers[0], ctypes.addressof(words), pointers[1], at)
        return code

    def context(self) -> tuple[Ctx, Status]:
        status = Status()
        pointer = ctypes.pointer(status)
        size = ctypes.sizeof(Ctx)
        ctx = Ctx(1, size, pointer, None, None, None, 1, 0, None, self.callback, 1234)
        return ctx, status


def straight() -> Graph:
    b = Builder(OPS)
    x = b.input(TensorType(F64, (N,)), "x")
    k = b.input(TensorType(I64, ()), "k")
    said(b, "first {0} {1}", x, k)
    y = b.op("mul", x, x)
    said(b, "second {0} {1}", b.op("gt", y, x), b.op("cast", y, dtype=F32))
    said(b, "third")
    b.sizes = ["n"]
    return b.finish("straight", [b.op("sum", y, axes=(0,))])


def looping(steps: int) -> Graph:
    b = Builder(OPS)
    x = b.input(SCALAR, "x")
    inner = Builder(OPS)
    held, at = inner.input(SCALAR, "c"), inner.input(TensorType(I64, ()), "k")
    said(inner, "step {0} {1}", at, held)
    body = SubGraph(inner.finish("region", [inner.op("mul", held, 2.0)]))
    places = b.op("iota", axis=0, type=TensorType(I64, (steps,)))
    params = {"carries": 1, "xs": 1, "length": steps, "reverse": False,
              "body": body, "extends": None}  # fmt: skip
    (last,) = b.apply(OPS["scan"], (x, places), params)
    said(b, "after {0}", last)
    return b.finish("looping", [last])


SHOWN = [
    ("first {0} {1}", [[1.0, 2.0], 7]),
    ("second {0} {1}", [[False, True], [1.0, 4.0]]),
    ("third", []),
]


def test_the_caller_is_shown_values_in_order() -> None:
    program = Program(straight())
    ctx, status = program.context()
    assert program.call(ctypes.addressof(ctx), [1.0, 2.0], 7, sizes=(2,)) == 0
    assert program.shown == SHOWN
    assert program.states == {1234}
    assert status.code == 0
    assert program.call(ctypes.addressof(ctx), [], 7, sizes=(0,)) == 0
    assert program.shown[:2] == [(SHOWN[0][0], [[], 7]), (SHOWN[1][0], [[], []])]


@pytest.mark.parametrize("registers", [True, False])
def test_each_step_is_shown(registers: bool) -> None:
    program = Program(looping(3), registers)
    plans = [program.lowered.plans[x.kernel] for x in program.lowered.launches]
    assert not any(isinstance(plan, RegisterPlan) for plan in plans)
    ctx, _ = program.context()
    assert program.call(ctypes.addressof(ctx), 1.5) == 0
    steps = [("step {0} {1}", [k, 1.5 * 2**k]) for k in range(3)]
    assert program.shown == [*steps, ("after {0}", [12.0])]


@pytest.mark.parametrize("at", [0, 1, 2])
def test_what_does_not_return_0_stops_the_program(at: int) -> None:
    for graph, given, sizes in (
        (straight(), ([1.0, 2.0], 7), (2,)),
        (looping(9), (1.5,), ()),
    ):
        program = Program(graph)
        program.stop_at = at
        ctx, status = program.context()
        code = program.call(ctypes.addressof(ctx), *given, sizes=sizes)
        assert code == status.code == PRINT_STOPPED == 7
        assert len(program.shown) == at + 1
        told = program.lowered.prints[status.node].params["format"]
        assert (told, status.index) == (program.shown[-1][0], 5)


def test_a_caller_without_print_is_shown_nothing() -> None:
    program = Program(straight())
    given = ([1.0, 2.0], 7)
    assert program.call(None, *given, sizes=(2,)) == 0
    ctx, _ = program.context()
    ctx.print = Callback()
    assert program.call(ctypes.addressof(ctx), *given, sizes=(2,)) == 0
    assert program.shown == []


@pytest.mark.parametrize("size", [56, 64])
def test_a_short_context_is_not_read_beyond_its_end(size: int) -> None:
    program = Program(straight())

    def run() -> None:
        ctx, _ = program.context()
        ctx.size = size
        memory = Region(size, "end", 8)  # a page that may not be read comes next
        memory.data[:] = np.frombuffer(bytes(ctx)[:size], np.uint8)
        assert program.call(memory.address, [1.0, 2.0], 7, sizes=(2,)) == 0
        assert program.shown == []

    in_child(run)


def test_long_programs_print_in_order() -> None:
    b = Builder(OPS)
    x = b.input(SCALAR, "x")
    for k in range(300):
        x = b.op("sin", x)
        said(b, f"{k} {{0}}", x)
    program = Program(b.finish("long", [x]))
    assert len(program.lowered.launches) > 256
    ctx, _ = program.context()
    assert program.call(ctypes.addressof(ctx), 1.0) == 0
    assert [text for text, _ in program.shown] == [f"{k} {{0}}" for k in range(300)]


def test_equal_texts_have_one_number() -> None:
    b = Builder(OPS)
    x, y = b.input(SCALAR, "x"), b.input(SCALAR, "y")
    for value in (x, y, x):
        said(b, "same {0}", value)
    said(b, "same {0}", b.op("gt", x, y))
    program = Program(b.finish("equal", [x]))
    kinds = [n.operands[0].type for n in program.lowered.prints]
    assert kinds == [SCALAR, TensorType(BOOL, ())]
    ctx, _ = program.context()
    program.call(ctypes.addressof(ctx), 1.0, 2.0)
    assert [v for _, v in program.shown] == [[1.0], [2.0], [1.0], [False]]
