"""Write a program's entry: check guards, find buffers, run the kernels in order.

Up to 256 launches are straight-line calls; beyond that they are a table that one native
loop runs, because straight-line code for 100,000 calls takes longer to compile than to
run for a day. The layout of the arguments is docs/abi.md.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np

from ..ir.constant import ArrayConstant
from ..ir.graph import Graph
from ..ir.loc import Loc
from ..ir.types import BOOL
from . import llvm
from .body import storage_type
from .cancel import cancel_flag, leave_if_cancelled
from .frame import OK
from .late import emit_owner
from .llvm import I32, I64, PTR, Module, Reg, const
from .memory import Arena, Buffer
from .sizes import emit_size
from .status import SIZE_MISMATCH, fail_function

STRAIGHT = 256  # launches written as calls


class Launch(NamedTuple):
    """A call of kernel `kernel` (a number) on buffers."""

    kernel: int
    buffers: tuple[Buffer, ...]
    writes: tuple[int, ...]  # the slots it writes
    offsets: tuple[int, ...]  # where in its buffer each slot begins, in elements
    locs: tuple[Loc, ...] = ()  # where what it makes was called, for people
    loop: int = 0  # neighbours of one number run together, in turns; 0: alone
    turns: int = 1
    advance: tuple[int, ...] = ()  # how far each slot moves a turn, in elements


def constant_text(name: str, held: ArrayConstant) -> str:
    """Return the definition of an array as read-only data."""
    array = held.array
    from_bool = array.dtype == np.bool_
    if array.dtype.kind == "f":
        elem = storage_type_of(array)
        values = [llvm.const(elem, float(v)).ref for v in array.ravel()]
    else:
        elem = storage_type_of(array)
        flat = array.astype(np.uint8).ravel() if from_bool else array.ravel()
        values = [llvm.const(elem, int(v)).ref for v in flat]
    body = ", ".join(f"{elem} {v}" for v in values)
    if not values:
        return f"@{name} = internal unnamed_addr constant [0 x {elem}] [], align 64"
    return (
        f"@{name} = internal unnamed_addr constant [{len(values)} x {elem}] "
        f"[{body}], align 64"
    )


def storage_type_of(array: "np.ndarray[tuple[int, ...], np.dtype[np.generic]]") -> str:
    """Return the LLVM element type an array is stored in."""
    if array.dtype == np.bool_:
        return storage_type(BOOL, 1)
    kind, bits = array.dtype.kind, array.dtype.itemsize * 8
    if kind == "f":
        return llvm.F64 if bits == 64 else llvm.F32
    return f"i{bits}"


def byte_offset(buffer: Buffer, offset: int) -> int:
    """Return an offset in elements of a buffer in bytes."""
    return offset * (buffer.type.dtype.bits // 8)


def _base_key(buffer: Buffer) -> tuple[str, int]:
    """Return what the base of a buffer is known by in a table."""
    work = buffer.kind == "work"
    return (buffer.kind, buffer.bucket if work else buffer.number)


class Driver:
    """The entry function of one program, being written."""

    def __init__(
        self,
        module: Module,
        graph: Graph,
        symbol: str,
        launches: Sequence[Launch],
        kernels: Sequence[str],
        arena: Arena,
        constants: Sequence[str],
        late: int = 0,
        cells: int = 0,
    ) -> None:
        self.module = module
        self.graph = graph
        self.symbol = symbol
        self.launches = launches
        self.kernels = kernels
        self.arena = arena
        self.constants = constants
        self.late = late
        self.cells = cells

    def _start(self, entry: bool) -> None:
        name, linkage = f"pb_{self.symbol}", "dso_local" if entry else "internal"
        params = [(PTR, "")] * 5
        if self.late:
            # the entry owns late memory and the sizes; what runs is a second function
            outer = self.module.function(name, I32, params, linkage=linkage)
            inner = f"{name}_run"
            room = self.cells + (len(self._bases_named()) if self._tabled else 0)
            emit_owner(
                self.module, outer, inner, len(self.graph.sizes), self.late,
                max(room, 1), self.cells,
            )  # fmt: skip
            fn = self.module.function(inner, I32, [*params, (PTR, "")])
            self.cell_memory = fn.args[5]
        else:
            fn = self.module.function(name, I32, params, linkage=linkage)
        self.fn = fn
        self.ctx, self.inputs, sizes, self.outputs, self.workspace = fn.args[:5]
        self.size_pointer = sizes
        self.env: Mapping[str, Reg] = {
            n: fn.load(fn.gep(sizes, const(I64, k), I64), I64)
            for k, n in enumerate(self.graph.sizes)
        }

    @property
    def _tabled(self) -> bool:
        return len(self.launches) > STRAIGHT

    def emit(self, entry: bool = True) -> None:
        """Write the entry and the workspace function; a region has the first alone."""
        self._start(entry)
        self._guards()
        self._bases()
        if self._tabled:
            self._table()
        else:
            self._straight()
        self.fn.ret(OK)
        if entry:
            self._workspace_function()

    def _guards(self) -> None:
        fn = self.fn
        for k, guard in enumerate(self.graph.guards):
            left = emit_size(fn, guard.left, self.env)
            right = emit_size(fn, guard.right, self.env)
            bad, good = fn.new_label("mismatch"), fn.new_label("agree")
            fn.cond_br(fn.icmp("ne", left, right), bad, good, False)
            fn.start(bad)
            args = [
                self.ctx, const(I32, SIZE_MISMATCH), const(I32, k), left,
                const(I64, 0), right,
            ]  # fmt: skip
            fn.ret(fn.call(fail_function(self.module), I32, args))
            fn.start(good)

    def _bases(self) -> None:
        """Find where each bucket of the workspace begins."""
        fn = self.fn
        self.piece: list[Reg] = []
        self.base: list[Reg] = []
        offset: int | Reg = 0
        for piece, count in zip(self.arena.piece, self.arena.count, strict=True):
            size = emit_size(fn, piece, self.env)
            self.piece.append(size)
            at = const(I64, offset) if isinstance(offset, int) else offset
            self.base.append(fn.gep(self.workspace, at))
            if isinstance(offset, int) and isinstance(piece, int):
                offset += piece * count
            else:
                offset = fn.add(at, fn.mul(size, const(I64, count)))
        at = const(I64, offset) if isinstance(offset, int) else offset
        self.scratch = fn.gep(self.workspace, at)

    def _pointer(self, buffer: Buffer) -> Reg:
        fn = self.fn
        if buffer.kind == "input":
            return fn.load(fn.gep(self.inputs, const(I64, buffer.number), PTR), PTR)
        if buffer.kind == "output":
            return fn.load(fn.gep(self.outputs, const(I64, buffer.number), PTR), PTR)
        if buffer.kind == "constant":
            return Reg(self.constants[buffer.number], PTR)
        if buffer.kind == "scratch":
            return self.scratch
        if buffer.kind in ("late", "cell"):
            at = fn.gep(self.cell_memory, const(I64, buffer.number), PTR)
            return at if buffer.kind == "cell" else fn.load(at, PTR)
        base = self.base[buffer.bucket]
        if buffer.number == 0:
            return base
        offset = fn.mul(self.piece[buffer.bucket], const(I64, buffer.number))
        return fn.gep(base, offset)

    def _straight(self) -> None:
        fn = self.fn
        widest = max((len(x.buffers) for x in self.launches), default=0)
        frame = fn.alloca(PTR, max(widest, 1), 8)
        known: dict[Buffer, Reg] = {}
        for loop, some in groupby(self.launches, key=lambda x: x.loop):
            launches = list(some)
            if not loop:
                for launch in launches:
                    self._call(launch, known, frame, None)
                continue
            for buffer in [b for x in launches for b in x.buffers]:
                self._known(buffer, known)
            before, turn = fn.block, fn.new_label("turn")
            fn.br(turn)
            fn.start(turn)
            at = fn.phi(I64, const(I64, 0), before)
            for launch in launches:
                self._call(launch, known, frame, at)
            following = fn.add(at, const(I64, 1))
            fn.phi_edge(at, following, fn.block)
            after = fn.new_label("turned")
            stop = const(I64, launches[0].turns)
            fn.cond_br(fn.icmp("slt", following, stop), turn, after)
            fn.start(after)

    def _known(self, buffer: Buffer, known: dict[Buffer, Reg]) -> Reg:
        reg = known.get(buffer)
        if reg is None:
            reg = self._pointer(buffer)
            if buffer.kind != "late":
                known[buffer] = reg
        return reg

    def _call(
        self, launch: Launch, known: dict[Buffer, Reg], frame: Reg, turn: Reg | None
    ) -> None:
        """Call a kernel, at a turn of its loop if it is in one."""
        fn = self.fn
        pairs = zip(launch.buffers, launch.offsets, strict=True)
        for k, (buffer, offset) in enumerate(pairs):
            reg = self._known(buffer, known)
            if offset:
                reg = fn.gep(reg, const(I64, byte_offset(buffer, offset)))
            if turn is not None and launch.advance[k]:
                step = const(I64, byte_offset(buffer, launch.advance[k]))
                reg = fn.gep(reg, fn.mul(turn, step))
            fn.store(reg, fn.gep(frame, const(I64, k), PTR))
        args = (self.ctx, frame, self.size_pointer)
        code = fn.call(self.kernels[launch.kernel], I32, args)
        self._leave_on_failure(code)

    def _leave_on_failure(self, code: Reg) -> None:
        fn = self.fn
        bad, good = fn.new_label("failed"), fn.new_label("next")
        fn.cond_br(fn.icmp("ne", code, OK), bad, good, False)
        fn.start(bad)
        fn.ret(code)
        fn.start(good)

    # -- many launches -----------------------------------------------------------------

    def _table(self) -> None:
        """Run the launches from a table.

        A launch is its kernel, the number of its slots, and for each slot a base, the
        piece of it and an offset in bytes.
        """
        fn = self.fn
        samples = self._bases_named()
        bases = {key: self.cells + k for k, key in enumerate(samples)}
        words: list[int] = []
        for launch in self.launches:
            words += (launch.kernel, len(launch.buffers))
            for buffer, offset in zip(launch.buffers, launch.offsets, strict=True):
                late = buffer.kind == "late"
                words.append(buffer.number if late else bases[_base_key(buffer)])
                words.append(buffer.number if buffer.kind == "work" else 0)
                words.append(byte_offset(buffer, offset))
        name = f"pb_{self.symbol}_launches"
        body = ", ".join([f"i32 {w}" for w in words])
        self.module.globals.append(
            f"@{name} = internal unnamed_addr constant [{len(words)} x i32] [{body}], "
            "align 64"
        )
        # cells are bases too, so that what loops allocate is found where it is
        count = self.cells + len(bases)
        base_memory = self.cell_memory if self.late else fn.alloca(PTR, count, 64)
        piece_memory = fn.alloca(I64, count, 64)
        for k in range(self.cells):
            fn.store(const(I64, 0), fn.gep(piece_memory, const(I64, k), I64))
        for k, sample in enumerate(samples.values(), self.cells):
            if sample.kind == "work":
                pointer, piece = self.base[sample.bucket], self.piece[sample.bucket]
            else:
                pointer, piece = self._pointer(sample), const(I64, 0)
            fn.store(pointer, fn.gep(base_memory, const(I64, k), PTR))
            fn.store(piece, fn.gep(piece_memory, const(I64, k), I64))
        widest = max(len(x.buffers) for x in self.launches)
        frame = fn.alloca(PTR, widest, 64)
        self._run_table(
            Reg(f"@{name}", PTR), len(words), base_memory, piece_memory, frame
        )

    def _bases_named(self) -> dict[tuple[str, int], Buffer]:
        """Return a buffer of each base of a table, late memory apart."""
        found: dict[tuple[str, int], Buffer] = {}
        for launch in self.launches:
            for buffer in launch.buffers:
                if buffer.kind != "late":
                    found.setdefault(_base_key(buffer), buffer)
        return found

    def _run_table(
        self, table: Reg, length: int, bases: Reg, pieces: Reg, frame: Reg
    ) -> None:
        fn = self.fn
        flag = cancel_flag(fn, self.ctx)
        before = fn.block
        loop, slot, call = (
            fn.new_label("launch"),
            fn.new_label("slot"),
            fn.new_label("call"),
        )
        fn.br(loop)
        fn.start(loop)
        at = fn.phi(I64, const(I64, 0), before)
        leave_if_cancelled(fn, flag)
        kernel = fn.load(fn.gep(table, at, I32), I32)
        count = fn.load(fn.gep(table, fn.add(at, const(I64, 1)), I32), I32)
        slots = fn.convert("zext", count, I64)
        first = fn.add(at, const(I64, 2))
        head = fn.block
        fn.br(slot)
        fn.start(slot)
        k = fn.phi(I64, const(I64, 0), head)
        entry = fn.gep(table, fn.add(first, fn.mul(k, const(I64, 3))), I32)
        base = fn.convert("zext", fn.load(entry, I32), I64)
        number = fn.load(fn.gep(entry, const(I64, 1), I32), I32)
        pointer = fn.load(fn.gep(bases, base, PTR), PTR)
        piece = fn.load(fn.gep(pieces, base, I64), I64)
        offset = fn.mul(piece, fn.convert("zext", number, I64))
        inside = fn.load(fn.gep(entry, const(I64, 2), I32), I32)
        offset = fn.add(offset, fn.convert("sext", inside, I64))
        fn.store(fn.gep(pointer, offset), fn.gep(frame, k, PTR))
        following = fn.add(k, const(I64, 1))
        fn.phi_edge(k, following, fn.block)
        fn.cond_br(fn.icmp("slt", following, slots), slot, call)
        fn.start(call)
        code = self._dispatch(kernel, frame)
        self._leave_on_failure(code)
        step = fn.add(fn.mul(slots, const(I64, 3)), const(I64, 2))
        beyond = fn.add(at, step)
        fn.phi_edge(at, beyond, fn.block)
        done = fn.new_label("finished")
        fn.cond_br(fn.icmp("slt", beyond, const(I64, length)), loop, done)
        fn.start(done)

    def _dispatch(self, kernel: Reg, frame: Reg) -> Reg:
        fn = self.fn
        labels = [fn.new_label("kernel") for _ in self.kernels]
        after = fn.new_label("ran")
        cases = " ".join(f"i32 {k}, label %{n}" for k, n in enumerate(labels))
        fn.raw(f"switch i32 {kernel.ref}, label %{labels[0]} [ {cases} ]")
        edges: list[tuple[Reg, str]] = []
        for name, label in zip(self.kernels, labels, strict=True):
            fn.start(label)
            code = fn.call(name, I32, (self.ctx, frame, self.size_pointer))
            edges.append((code, fn.block))
            fn.br(after)
        fn.start(after)
        return fn.merge(I32, edges)

    def _workspace_function(self) -> None:
        fn = self.module.function(
            f"pb_{self.symbol}_workspace", I64, [(PTR, ""), (I32, "")],
            linkage="dso_local",
        )  # fmt: skip
        env = {
            n: fn.load(fn.gep(fn.args[0], const(I64, k), I64), I64)
            for k, n in enumerate(self.graph.sizes)
        }
        fn.ret(emit_size(fn, self.arena.nbytes(), env))
