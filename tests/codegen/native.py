"""Run graphs natively through the raw ABI, in memory that ends at a forbidden page.

Every array, the size and pointer arrays and the workspace lie in mappings of their
own, which end exactly at a page that may not be touched (or begin right behind one).
Calls happen in a forked child: a fault is a failed test, not a dead test run.
"""

import ctypes
import faulthandler
import math
import mmap
import os
import signal
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import llvmlite.binding as llvm
import numpy as np
from pullback.codegen.lower import Lowered, lower
from pullback.codegen.target import Target, emit_object, host
from pullback.ir.graph import Graph
from pullback.ir.interpreter import bind_sizes
from pullback.ir.passes import pipeline
from pullback.ir.sizes import evaluate_size
from pullback.runtime.loading import Library

Array = np.ndarray[Any, Any]

PAGE = mmap.PAGESIZE
NONE, READ = 0, 1  # PROT_NONE, PROT_READ
SIDES = ("end", "begin")
CANARY = 0xA5
POISON = 0x7FF4DEAD_7FA4BEEF  # a signalling NaN as f64, and as both halves in f32

_libc = ctypes.CDLL(None, use_errno=True)


def add_symbol(name: str, address: int) -> None:
    """Let objects that are loaded later call a function by name."""
    llvm.add_symbol(name, address)


class Fault(AssertionError):
    """The native code touched memory that is not its own, or died otherwise."""


def protect(address: int, length: int, how: int) -> None:
    """Set what may be done to pages."""
    failed = _libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(length), how)
    assert not failed, os.strerror(ctypes.get_errno())


class Region:
    """`nbytes` bytes that end at a forbidden page, or begin right behind one."""

    def __init__(self, nbytes: int, side: str, align: int = 1) -> None:
        room = max(-(-nbytes // PAGE), 1) * PAGE
        self.nbytes = nbytes
        self.map = mmap.mmap(-1, room + PAGE)
        self.bytes = np.frombuffer(self.map, np.uint8)
        self.bytes[:] = CANARY
        base = self.bytes.ctypes.data
        self.start = PAGE if side == "begin" else (room - nbytes) // align * align
        self.address = base + self.start
        self._body = (base + PAGE, room) if side == "begin" else (base, room)
        protect(base if side == "begin" else base + room, PAGE, NONE)
        self._open = (PAGE, PAGE + room) if side == "begin" else (0, room)

    @property
    def data(self) -> Array:
        return self.bytes[self.start : self.start + self.nbytes]

    def read_only(self) -> None:
        protect(*self._body, READ)

    def intact(self) -> bool:
        """Whether the bytes around the data are as they were."""
        low, high = self._open
        around = (
            self.bytes[low : self.start],
            self.bytes[self.start + self.nbytes : high],
        )
        return all(bool(np.all(part == CANARY)) for part in around)


_POISON = np.array([POISON], np.uint64)


def poison(region: Any) -> None:
    """Fill a region with signalling NaN."""
    count = region.nbytes
    region.data[:] = np.repeat(_POISON, -(-count // 8)).view(np.uint8)[:count]


def in_child(run: Callable[[], None]) -> None:
    """Run something in a forked child.

    Raises:
        Fault: the child died.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads of a BLAS
        child = os.fork()
    if not child:
        faulthandler.disable()
        try:
            run()
            os._exit(0)
        finally:
            os._exit(99)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise Fault(f"the call died of {signal.Signals(os.WTERMSIG(status)).name}")
    assert os.WEXITSTATUS(status) == 0, "the call raised in the child"


RUN = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32
)
PART = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)


class Parts:
    """A pool table of one thread: it runs the parts, the last one first."""

    def __init__(self) -> None:
        self.function = RUN(self._run)
        address = ctypes.cast(self.function, ctypes.c_void_p).value
        self.table = (ctypes.c_void_p * 2)(address, None)
        self.address = ctypes.addressof(self.table)
        self.counts: list[int] = []

    def _run(self, state: int | None, part: int, argument: int, count: int) -> int:
        self.counts.append(count)
        run = PART(part)
        for k in reversed(range(count)):
            code = run(argument, k, count)
            if code:
                return code
        return 0


PARTS = Parts()

GROW = ctypes.CFUNCTYPE(
    ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
)


class Grower:
    """The caller's memory for late sizes, guarded; `live` is what is not freed yet.

    From request number `limit` on it has none.
    """

    def __init__(self, side: str = "end", limit: int | None = None) -> None:
        self.live: dict[int, Region] = {}
        self.asked, self.limit, self.side = 0, limit, side
        self.function = GROW(self._grow)
        self.address = ctypes.cast(self.function, ctypes.c_void_p).value or 0

    def _grow(self, state: int | None, old: int | None, nbytes: int) -> int | None:
        before = self.live.pop(old) if old else None
        if nbytes == 0:
            assert before is not None, "nothing to free"
            return None
        self.asked += 1
        if self.limit is not None and self.asked > self.limit:
            if before is not None:
                self.live[before.address] = before  # as realloc leaves it
            return None
        made = Region(nbytes, self.side, 16)
        poison(made)
        if before is not None:
            kept = min(before.nbytes, nbytes)
            made.data[:kept] = before.data[:kept]
        self.live[made.address] = made
        return made.address


@dataclass(frozen=True)
class How:
    """How a graph is compiled."""

    fuse: bool = True
    disable: frozenset[str] = frozenset()
    level: int = 1
    target: Target = field(default_factory=host)
    embed: bool = True
    registers: bool = True
    rows: bool = True
    structure: bool = True
    threads: int = 1  # from 2 on every kernel that can be split is split

    def __str__(self) -> str:
        words = [f"O{self.level}", f"{self.target.vector_bits} bits"]
        words += ["masks"] if self.target.has_masks else []
        words += ["fused"] if self.fuse else ["unfused"]
        words += [] if self.registers else ["no registers"]
        words += [] if self.rows else ["no rows"]
        words += [] if self.structure else ["no structure"]
        words += [f"{self.threads} threads"] if self.threads > 1 else []
        return " ".join([*words, *(f"no {d}" for d in sorted(self.disable))])


PLAIN = How()


class Call:
    """The memory of one call; `region` makes it, by default in mappings of its own."""

    def __init__(
        self,
        code: "Native",
        arrays: Sequence[Array],
        side: str,
        region: Callable[[int, str, int], Any] = Region,
    ) -> None:
        graph = code.graph
        self.code = code
        env = bind_sizes(graph, [a.shape for a in (*arrays, *graph.captures)], {})
        self._region = region
        self.inputs = [region(a.nbytes, side, a.itemsize) for a in arrays]
        for held, a in zip(self.inputs, arrays, strict=True):
            held.data[:] = np.ascontiguousarray(a).reshape(-1).view(np.uint8)
        self.shapes = [
            tuple(evaluate_size(d, env) for d in x.type.shape) for x in graph.outputs
        ]
        self.outputs = []
        for x, shape in zip(graph.outputs, self.shapes, strict=True):
            item = x.type.dtype.numpy.itemsize
            made = region(math.prod(shape) * item, side, item)
            poison(made)
            self.outputs.append(made)
        self.sizes = self._words([env[n] for n in graph.sizes], side)
        needed = code.workspace(self.sizes.address)
        most = code.lowered.arena.nbytes(threads=code.threads > 1)
        assert needed == evaluate_size(most, env)
        self.work = region(needed, side, 64)
        poison(self.work)
        addresses = (
            [r.address for r in regions] for regions in (self.inputs, self.outputs)
        )
        self.pointers = [self._words(a, side) for a in addresses]
        self.status = region(40, side, 8)
        self.grower = Grower(side)
        ctx = [1 | 56 << 32, self.status.address, self.grower.address, 0]
        ctx += [PARTS.address, code.threads, 0]
        self.ctx = self._words(ctx, side)
        self._read = (*self.inputs, self.sizes, self.ctx, *self.pointers)
        for held in self._read:
            held.read_only()
        self.result = region(4, "end", 4)

    def _words(self, words: Sequence[int], side: str) -> Any:
        region = self._region(8 * len(words), side, 8)
        region.data[:] = np.array(words, np.int64).view(np.uint8)
        return region

    def run(self) -> None:
        """Call the program; the status code goes to `result`."""
        work = self.work.address if self.work.nbytes else None
        code = self.code.entry(
            self.ctx.address, self.pointers[0].address, self.sizes.address,
            self.pointers[1].address, work,
        )  # fmt: skip
        assert not self.grower.live, "memory is not freed"
        self.result.data[:] = np.array([code], np.int32).view(np.uint8)

    def results(self) -> list[Array]:
        """Check what surrounds the results, and return them."""
        (code,) = self.result.data.view(np.int32)
        assert code == 0, f"status {code}"
        named = {"workspace": self.work, "status": self.status}
        named |= {f"output {k}": r for k, r in enumerate(self.outputs)}
        named |= {f"input {k}": r for k, r in enumerate(self._read)}
        for name, region in named.items():
            if not region.intact():
                raise Fault(f"bytes beside {name} were written")
        out = []
        for k, region in enumerate(self.outputs):
            dtype = self.code.graph.outputs[k].type.dtype.numpy
            if dtype.itemsize >= 4:
                bits = region.data.view(f"u{dtype.itemsize}")
                first, *more = _POISON.view(bits.dtype)
                unwritten = bits == first
                for sign in more:
                    unwritten |= bits == sign
                assert not unwritten.any(), (
                    f"output {k}: elements {np.flatnonzero(unwritten)[:5]} not written"
                )
            elif dtype == np.bool_:
                assert np.all(region.data <= 1), f"output {k}: a bool is not 0 or 1"
            out.append(region.data.view(dtype).reshape(self.shapes[k]).copy())
        return out


class Native:
    """A graph as machine code."""

    def __init__(
        self, lowered: Lowered, library: Any, entry: int, workspace: int,
        text: str = "", threads: int = 1,
    ) -> None:  # fmt: skip
        ptr, i32, i64 = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
        self.lowered = lowered
        self.graph = lowered.graph
        self.library = library
        self.text = text
        self.threads = threads
        self.entry = ctypes.CFUNCTYPE(i32, ptr, ptr, ptr, ptr, ptr)(entry)
        self._workspace = ctypes.CFUNCTYPE(i64, ptr, i32)(workspace)

    def workspace(self, sizes: int) -> int:
        return self._workspace(sizes, self.threads)

    def guarded(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the results of a guarded call."""
        return guarded([(self, arrays)])[0]

    def __call__(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the results of a call in this process, in ordinary memory."""
        graph = self.graph
        env = bind_sizes(graph, [a.shape for a in (*arrays, *graph.captures)], {})
        held = [np.ascontiguousarray(a) for a in arrays]
        out = [
            np.empty([evaluate_size(d, env) for d in x.type.shape], x.type.dtype.numpy)
            for x in graph.outputs
        ]
        sizes = np.array([env[n] for n in graph.sizes], np.int64)
        work = np.full(self.workspace(sizes.ctypes.data) + 64, 0xFF, np.uint8)
        pointers = [
            np.array([a.ctypes.data for a in x], np.uint64) for x in (held, out)
        ]
        ctx = np.zeros(7, np.int64)
        ctx[[0, 4, 5]] = 1 | 56 << 32, PARTS.address, self.threads
        code = self.entry(
            ctx.ctypes.data, pointers[0].ctypes.data, sizes.ctypes.data,
            pointers[1].ctypes.data, work.ctypes.data + -work.ctypes.data % 64,
        )  # fmt: skip
        assert code == 0, f"status {code}"
        return out


def natives(graphs: Sequence[Graph], how: How = PLAIN) -> list[Native]:
    """Compile graphs into one module."""
    ready = [pipeline.run(g, how.disable) for g in graphs]
    named = [(g, f"p{k}") for k, g in enumerate(ready)]
    above = 0 if how.threads > 1 else None
    text, lowered = lower(
        named,
        how.target,
        how.fuse,
        how.embed,
        how.registers,
        how.rows,
        above,
        how.structure,
    )
    library = Library(emit_object(text, how.target, how.level))
    return [
        Native(
            x, library, library.address(f"pb_p{k}"),
            library.address(f"pb_p{k}_workspace"), text, how.threads,
        )
        for k, x in enumerate(lowered)
    ]  # fmt: skip


def native(graph: Graph, how: How = PLAIN) -> Native:
    return natives([graph], how)[0]


def guarded(cases: Sequence[tuple[Native, Sequence[Array]]]) -> list[list[Array]]:
    """Return the results of guarded calls, made in one child.

    Each call is made twice: all memory ends at forbidden pages, then begins there.

    Raises:
        Fault: memory outside was touched; the message has the number of the case.
    """
    calls = [[Call(code, arrays, side) for side in SIDES] for code, arrays in cases]
    reached = Region(8, "end", 8)

    def run() -> None:
        for k, pair in enumerate(calls):
            reached.data.view(np.int64)[0] = k
            for call in pair:
                call.run()

    try:
        in_child(run)
    except Fault as fault:
        k = int(reached.data.view(np.int64)[0])
        raise Fault(f"case {k}, {cases[k][0].graph.name}: {fault}") from None
    out = []
    for k, pair in enumerate(calls):
        first, second = (call.results() for call in pair)
        assert_same_bits(first, second, f"case {k}: where memory lies matters")
        out.append(first)
    return out


def same_bits(x: Array, y: Array) -> bool:
    """Whether two arrays have the same bytes, payloads and signs of NaN apart."""
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    if x.dtype.kind == "f":
        nan = np.isnan(x)
        if not np.array_equal(nan, np.isnan(y)):
            return False
        x, y = np.where(nan, 0, x), np.where(nan, 0, y)
    return np.ascontiguousarray(x).tobytes() == np.ascontiguousarray(y).tobytes()


def assert_same_bits(
    left: Sequence[Array],
    right: Sequence[Array],
    what: Any,
    names: Mapping[int, str] = {},
) -> None:
    for k, (x, y) in enumerate(zip(left, right, strict=True)):
        if same_bits(x, y):
            continue
        assert (x.shape, x.dtype) == (y.shape, y.dtype), (what, k)
        differ = np.argwhere((x != y) & ~((x != x) & (y != y)))[:3]
        shown = [(tuple(i), x[tuple(i)], y[tuple(i)]) for i in differ]
        raise AssertionError(f"{what}: output {names.get(k, k)} differs at {shown}")
