"""Loops and choices over regions: each region is a function, called in a native loop.

Carries go back and forth between two places, the result's own memory among them; a
step reads one and writes the other. Elements of sequences and of stacks are found by
their number. Nothing of a step is kept but what the loop gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..ir.forms import Iota
from ..ir.graph import Node
from ..ir.sizes import SizeExpr, product, smax
from ..ir.types import I8, TensorType
from ..ir.types import I64 as POSITION
from . import llvm
from .cancel import cancel_flag, leave_if_cancelled
from .copying import copy_function
from .frame import OK, Frame
from .index import Size
from .late import emit_grow
from .llvm import I32, I64, PTR, VOID, Function, Module, Reg, const
from .memory import ALIGN, Buffer, rounded
from .scalar import ScalarEmitter, Typed
from .status import INDEX_OUT_OF_RANGE, fail_function

FIRST = 16  # steps a stack of a `while` has room for at first


class RegionCall(NamedTuple):
    """A region as a function: its symbol and the sizes it takes, in order."""

    symbol: str
    sizes: tuple[str, ...]


class ControlPlan(NamedTuple):
    """A loop or a choice.

    Slots: operands, without `counted` sequences; results, or the cells of those that a
    `while` stacks; working memory, if any. `work` is its bytes: a second place for each
    carry, then what the regions need.
    """

    kind: str
    regions: tuple[RegionCall, ...]
    carries: tuple[TensorType, ...]
    sequences: tuple[TensorType, ...]  # one element of each
    counted: tuple[bool, ...]  # sequences that are their own positions
    fixed: int  # operands every step gets as they are
    gives: tuple[TensorType, ...]  # what stacks hold of a step, or a choice gives
    length: Size
    reverse: bool
    trips: str | None
    work: Size
    number: int


@dataclass(frozen=True, slots=True)
class Region:
    """A lowered region: its function, and the bytes it works in."""

    call: RegionCall
    workspace: Size


def nbytes_of(kind: TensorType) -> Size:
    """Return the bytes of a value."""
    return product(kind.shape) * (kind.dtype.bits // 8)


def is_counted(node: Node) -> tuple[bool, ...]:
    """Return for each sequence of a scan whether it is the numbers from 0."""
    if "xs" not in node.params or "back" in node.params:
        return ()
    first = node.params["carries"]
    given = node.operands[first : first + node.params["xs"]]
    return tuple(
        [
            x.node is not None
            and isinstance(x.node.primitive.form, Iota)
            and x.type.rank == 1
            for x in given
        ]
    )


def stored_operands(node: Node) -> list[int]:
    """Return the numbers of the operands that must be in memory."""
    first = node.params.get("carries", 0)
    counted = is_counted(node)
    return [
        k
        for k in range(len(node.operands))
        if not (first <= k < first + len(counted) and counted[k - first])
    ]


def plan_control(
    node: Node, kind: str, regions: Sequence[Region], number: int
) -> ControlPlan:
    """Return the plan of a control op; a choice takes what may fail as `number`."""
    params = node.params
    carried = params.get("carries", 0)
    types = [x.type for x in node.operands]
    results = [x.type for x in node.results]
    carries = tuple(types[:carried])
    xs = params.get("xs", 0)
    elements = [x.with_shape(x.shape[1:]) for x in types[carried : carried + xs]]
    kept = results[carried:]
    work: Size = 0
    for region in regions:
        work = smax(work, region.workspace)
    for carry in carries:
        work = work + rounded(nbytes_of(carry))
    choice = kind == "switch"
    trips = params.get("trips")
    return ControlPlan(
        kind,
        tuple([r.call for r in regions]),
        carries,
        tuple(elements),
        is_counted(node),
        len(types) - carried - xs - choice,
        tuple(kept if choice else [x.with_shape(x.shape[1:]) for x in kept]),
        params.get("length", 0),
        params.get("reverse", False),
        str(trips) if isinstance(trips, SizeExpr) else None,
        work,
        number if choice else -1,
    )


def work_buffer(nbytes: Size) -> list[Buffer]:
    """Return the buffer a control kernel works in, if it needs one."""
    if nbytes == 0:
        return []
    # one alignment more: memory of a late size begins anywhere
    return [Buffer("work", TensorType(I8, (nbytes + ALIGN,)))]


class RegionEmitter:
    """A kernel that calls regions, being written."""

    plan: Any  # whose `regions` it calls
    fn: Function
    frame: Frame
    module: Module
    names: list[str]
    sizes: list[Reg]
    work: Reg

    def _aligned(self, base: Reg) -> Reg:
        fn = self.fn
        at = fn.add(fn.convert("ptrtoint", base, I64), const(I64, ALIGN - 1))
        skip = fn.sub(
            fn.and_(at, const(I64, -ALIGN)), fn.convert("ptrtoint", base, I64)
        )
        return fn.gep(base, skip)

    def _sizes(self, region: RegionCall) -> Reg:
        fn = self.fn
        if region.sizes == tuple(self.names):
            return fn.args[2]
        memory = fn.alloca(I64, max(len(region.sizes), 1), 8)
        for k, name in enumerate(region.sizes):
            fn.store(self.frame.env[name], fn.gep(memory, const(I64, k), I64))
        return memory

    def _list(self, count: int) -> list[Reg]:
        base = self.fn.alloca(PTR, max(count, 1), 8)
        return [self.fn.gep(base, const(I64, k), PTR) for k in range(count)] or [base]

    def _call(self, region: int, inputs: Reg, outputs: Reg) -> None:
        """Call a region, and leave with what it leaves with."""
        fn = self.fn
        args = (self.frame.ctx, inputs, self.sizes[region], outputs, self.work)
        code = fn.call(self.plan.regions[region].symbol, I32, args)
        bad, good = fn.new_label("failed"), fn.new_label("ran")
        fn.cond_br(fn.icmp("ne", code, OK), bad, good, False)
        fn.start(bad)
        fn.ret(code)
        fn.start(good)

    def _copy(self, goal: Reg, source: Reg, kind: TensorType) -> None:
        fn, size = self.fn, nbytes_of(kind)
        if size in (1, 2, 4, 8):
            ty = f"i{8 * int(str(size))}"
            fn.store(fn.load(source, ty, 1), goal, 1)
            return
        nbytes = self.frame.size(size)
        fn.call(copy_function(self.module), VOID, (goal, source, nbytes))


class _Emitter(RegionEmitter):
    """A loop or a choice being written."""

    plan: ControlPlan

    def __init__(
        self, module: Module, name: str, plan: ControlPlan, names: Sequence[str]
    ) -> None:
        self.plan, self.module, self.names = plan, module, list(names)
        operands = len(plan.carries) + plan.fixed + (plan.kind == "switch")
        operands += plan.counted.count(False)
        results = len(plan.carries) + len(plan.gives)
        worked = int(plan.work != 0)
        self.frame = Frame(module, name, names, operands + results + worked)
        self.fn = self.frame.fn
        self.given = self.frame.slots[:operands]
        self.results = self.frame.slots[operands : operands + results]
        self.work: Reg = Reg("null", PTR)
        if worked:
            self.work = self._aligned(self.frame.slots[-1])
        self.sizes = [self._sizes(region) for region in plan.regions]

    def switch(self) -> None:
        """Write a choice."""
        fn, plan = self.fn, self.plan
        index = fn.load(self.given[0], I64)
        count = const(I64, len(plan.regions))
        bad, good = fn.new_label("bad"), fn.new_label("good")
        fn.cond_br(fn.icmp("uge", index, count), bad, good, False)
        fn.start(bad)
        numbers = (
            const(I32, INDEX_OUT_OF_RANGE), const(I32, plan.number), index,
            const(I64, 0), count,
        )  # fmt: skip
        fn.ret(fn.call(fail_function(self.module), I32, (self.frame.ctx, *numbers)))
        fn.start(good)
        inputs, outputs = self._list(len(self.given) - 1), self._list(len(plan.gives))
        for value, place in zip(self.given[1:], inputs, strict=False):
            fn.store(value, place)
        for value, place in zip(self.results, outputs, strict=False):
            fn.store(value, place)
        labels = [fn.new_label("branch") for _ in plan.regions]
        cases = " ".join(f"i64 {k}, label %{n}" for k, n in enumerate(labels))
        fn.raw(f"switch i64 {index.ref}, label %{labels[0]} [ {cases} ]")
        for k, label in enumerate(labels):
            fn.start(label)
            self._call(k, inputs[0], outputs[0])
            fn.ret(OK)

    def _places(self) -> list[tuple[Reg, Reg]]:
        """Return the two places of each carry: of the result, and of working memory."""
        out: list[tuple[Reg, Reg]] = []
        at = self.work
        for result, kind in zip(self.results, self.plan.carries, strict=False):
            out.append((result, at))
            at = self.fn.gep(at, self.frame.size(rounded(nbytes_of(kind))))
        self.work = at
        return out

    def scan(self) -> None:
        """Write a loop of a known number of steps."""
        fn, plan, frame = self.fn, self.plan, self.frame
        carried = len(plan.carries)
        places = self._places()
        inputs = self._list(carried + len(plan.sequences) + plan.fixed)
        outputs = self._list(carried + len(plan.gives))
        length = frame.size(plan.length)
        last = fn.sub(length, const(I64, 1))
        none, some = fn.new_label("none"), fn.new_label("some")
        fn.cond_br(fn.icmp("slt", last, const(I64, 0)), none, some)
        fn.start(none)
        for k, kind in enumerate(plan.carries):
            self._copy(self.results[k], self.given[k], kind)
        fn.ret(OK)
        fn.start(some)
        flag = cancel_flag(fn, frame.ctx)
        given = list(self.given)
        for k in range(carried):
            fn.store(given.pop(0), inputs[k])
        sequences: list[tuple[Reg, Reg, Reg | None]] = []  # place, base or cell, stride
        for k, (kind, counted) in enumerate(
            zip(plan.sequences, plan.counted, strict=True)
        ):
            place = inputs[carried + k]
            if counted:
                cell = fn.alloca(I64, 1, 8)
                fn.store(cell, place)
                sequences.append((place, cell, None))
            else:
                stride = frame.size(nbytes_of(kind))
                sequences.append((place, given.pop(0), stride))
        for k, value in enumerate(given):
            fn.store(value, inputs[carried + len(plan.sequences) + k])
        strides = [frame.size(nbytes_of(kind)) for kind in plan.gives]
        s = ScalarEmitter(fn)

        def step(k: Reg) -> None:
            leave_if_cancelled(fn, flag)
            at = fn.sub(last, k) if plan.reverse else k
            # the last step writes the result: whoever is an even way before it does
            odd = fn.and_(fn.sub(last, k), const(I64, 1))
            odd = fn.icmp("ne", odd, const(I64, 0))
            for (result, other), place in zip(places, outputs, strict=False):
                fn.store(fn.select(odd, other, result), place)
            for (place, base, stride), kind in zip(
                sequences, plan.sequences, strict=True
            ):
                if stride is None:
                    number = s.cast(Typed(at, POSITION), kind.dtype)
                    fn.store(number.reg, base)
                else:
                    fn.store(fn.gep(base, fn.mul(at, stride)), place)
            for n, stride in enumerate(strides):
                base = self.results[carried + n]
                fn.store(fn.gep(base, fn.mul(at, stride)), outputs[carried + n])
            self._call(0, inputs[0], outputs[0])
            for n in range(carried):
                fn.store(fn.load(outputs[n], PTR), inputs[n])

        frame.loop(length, step)
        fn.ret(OK)

    def repeat(self) -> None:
        """Write a loop that runs while a region holds."""
        fn, plan, frame = self.fn, self.plan, self.frame
        carried = len(plan.carries)
        places = self._places()
        inputs = self._list(len(self.given))
        outputs = self._list(carried + len(plan.gives))
        verdict = fn.alloca(llvm.I8, 1, 8)
        asked = self._list(1)
        fn.store(verdict, asked[0])
        for value, place in zip(self.given, inputs, strict=False):
            fn.store(value, place)
        strides = [frame.size(nbytes_of(kind)) for kind in plan.gives]
        flag = cancel_flag(fn, frame.ctx)
        ask, run, done = (fn.new_label(x) for x in ("ask", "run", "done"))
        before = fn.block
        fn.br(ask)
        fn.start(ask)
        # `room`: the steps the stacks have room for
        head = fn.block
        room = fn.alloca(I64, 1, 8)
        fn.head.append(f"  store i64 0, ptr {room.ref}, align 8")
        k = fn.phi(I64, const(I64, 0), before)
        leave_if_cancelled(fn, flag)
        self._call(0, inputs[0], asked[0])
        held = fn.load(verdict, llvm.I8)
        fn.cond_br(fn.icmp("ne", held, const(llvm.I8, 0)), run, done)
        fn.start(run)
        if strides:
            self._room(k, room, strides)
        odd = fn.icmp("ne", fn.and_(k, const(I64, 1)), const(I64, 0))
        for (result, other), place in zip(places, outputs, strict=False):
            fn.store(fn.select(odd, other, result), place)
        for n, stride in enumerate(strides):
            base = fn.load(self.results[carried + n], PTR)
            fn.store(fn.gep(base, fn.mul(k, stride)), outputs[carried + n])
        self._call(1, inputs[0], outputs[0])
        for n in range(carried):
            fn.store(fn.load(outputs[n], PTR), inputs[n])
        fn.phi_edge(k, fn.add(k, const(I64, 1)), fn.block)
        fn.br(head)
        fn.start(done)
        for n, kind in enumerate(plan.carries):
            self._settle(fn.load(inputs[n], PTR), self.results[n], kind)
        if plan.trips is not None:
            place = const(I64, self.names.index(plan.trips))
            fn.store(k, fn.gep(fn.args[2], place, I64))
        fn.ret(OK)

    def _settle(self, source: Reg, result: Reg, kind: TensorType) -> None:
        """Copy a carry to its result unless it is there."""
        fn = self.fn
        move, there = fn.new_label("move"), fn.new_label("there")
        fn.cond_br(fn.icmp("ne", source, result), move, there)
        fn.start(move)
        self._copy(result, source, kind)
        fn.br(there)
        fn.start(there)

    def _room(self, k: Reg, room: Reg, strides: Sequence[Reg]) -> None:
        """Make room for step k in every stack, twice as much as there was."""
        fn = self.fn
        full, fits = fn.new_label("full"), fn.new_label("fits")
        now = fn.load(room, I64)
        fn.cond_br(fn.icmp("eq", k, now), full, fits, False)
        fn.start(full)
        more = fn.smax(fn.add(now, now), const(I64, FIRST))
        for n, stride in enumerate(strides):
            cell = self.results[len(self.plan.carries) + n]
            emit_grow(fn, self.module, self.frame.ctx, cell, fn.mul(more, stride))
        fn.store(more, room)
        fn.br(fits)
        fn.start(fits)


def emit_control(
    module: Module, name: str, plan: ControlPlan, names: Sequence[str]
) -> None:
    """Write the kernel of a control op."""
    emitter = _Emitter(module, name, plan, names)
    kinds = {"switch": emitter.switch, "scan": emitter.scan, "while": emitter.repeat}
    kinds[plan.kind]()
