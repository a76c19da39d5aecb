"""Kernels of loops and choices whose regions run in registers.

Carries stay in registers from the first step to the last, operands that every step gets
are read once, and sequences and stacks are read and written where they are.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ..ir.graph import Node
from ..ir.subgraph import SubGraph
from ..ir.types import BOOL, TensorType
from ..ir.types import I64 as POSITION
from .body import storage_type
from .cancel import cancel_flag, leave_if_cancelled
from .contract.flow import for_range
from .control import FIRST, ControlPlan
from .frame import OK, Frame
from .late import emit_grow
from .llvm import I32, I64, PTR, Module, Reg, const
from .register_lookups import Elements
from .registers import Registers, flat
from .scalar import Typed
from .small import count_of, failing, is_few, region_work
from .status import INDEX_OUT_OF_RANGE, fail_function
from .target import Target

MOST_CARRIED = 24  # elements: more are in memory, whatever they are called


class RegisterPlan(NamedTuple):
    """A control op whose regions run in registers; slots are those of `ControlPlan`.

    `first` is the number of the first operation within that may fail; the choice of a
    switch itself comes before them.
    """

    control: ControlPlan
    regions: tuple[SubGraph, ...]
    fixed: tuple[TensorType, ...]
    first: int


def fits_registers(node: Node, regions: Sequence[SubGraph]) -> bool:
    """Return whether the regions of a control op run in registers."""
    carried = node.results[: node.params.get("carries", 0)]
    return (
        all(is_few(x.type) for x in carried)
        and sum(count_of(x.type) for x in carried) <= MOST_CARRIED
        and all(region_work(held) is not None for held in regions)
        and all(is_few(kind) for held in regions for kind in held.gives)
    )


def plan_registers(
    control: ControlPlan, regions: Sequence[SubGraph], first: int
) -> RegisterPlan:
    """Return the plan of a control op in registers."""
    taken = regions[-1].takes
    fixed = taken[len(taken) - control.fixed :]
    held = control._replace(regions=(), work=0)
    return RegisterPlan(held, tuple(regions), fixed, first)


class _Emitter:
    """One kernel being written."""

    def __init__(
        self, module: Module, target: Target, name: str, plan: RegisterPlan,
        names: Sequence[str],
    ) -> None:  # fmt: skip
        held = self.plan = plan.control
        self.module, self.names = module, list(names)
        self.carried = len(held.carries)
        operands = self.carried + held.fixed + held.counted.count(False)
        operands += held.kind == "switch"
        results = self.carried + len(held.gives)
        self.frame = Frame(module, name, names, operands + results)
        self.fn = self.frame.fn
        self.given = list(self.frame.slots[:operands])
        self.results = self.frame.slots[operands:]
        self.flag = cancel_flag(self.fn, self.frame.ctx)
        self.graphs = [region.graph for region in plan.regions]
        self.fixed = [
            self.read(base, kind, None)
            for base, kind in zip(
                self.given[operands - held.fixed :], plan.fixed, strict=True
            )
        ]
        checks = failing(plan.regions)
        self.numbers = {node: plan.first + k for k, node in enumerate(checks)}
        self.registers = Registers(
            self.fn, target, self.frame.size, self.fail, self.flag
        )

    def fail(self, node: Node | None, index: Reg, axis: int, extent: int) -> None:
        """Leave with the status of a node; None is the op itself."""
        fn = self.fn
        number = self.plan.number if node is None else self.numbers[node]
        numbers = (
            const(I32, INDEX_OUT_OF_RANGE), const(I32, number), index,
            const(I64, axis), const(I64, extent),
        )  # fmt: skip
        fn.ret(fn.call(fail_function(self.module), I32, (self.frame.ctx, *numbers)))

    # -- memory ------------------------------------------------------------------------

    def _at(self, base: Reg, kind: TensorType, row: Reg | None) -> Reg:
        if row is None:
            return base
        stride = const(I64, count_of(kind))
        elem = storage_type(kind.dtype, 1)
        return self.fn.gep(base, self.fn.mul(row, stride), elem)

    def read(self, base: Reg, kind: TensorType, row: Reg | None) -> Elements:
        """Return the elements of a value in memory, or of row `row` of a sequence."""
        fn, elem = self.fn, storage_type(kind.dtype, 1)
        at = self._at(base, kind, row)
        out: Elements = []
        for k in range(count_of(kind)):
            held = fn.load(fn.gep(at, const(I64, k), elem), elem)
            if kind.dtype is BOOL:
                held = fn.icmp("ne", held, const(elem, 0))
            out.append(held)
        return out

    def write(
        self, base: Reg, kind: TensorType, row: Reg | None, value: Elements
    ) -> None:
        """Store the elements of a value."""
        fn, elem = self.fn, storage_type(kind.dtype, 1)
        at = self._at(base, kind, row)
        for k, reg in enumerate(value):
            held = fn.convert("zext", reg, elem) if kind.dtype is BOOL else reg
            fn.store(held, fn.gep(at, const(I64, k), elem))

    def _carries(self) -> list[Elements]:
        pairs = zip(self.given, self.plan.carries, strict=False)
        return [self.read(base, kind, None) for base, kind in pairs]

    def _finish(self, carries: Sequence[Elements]) -> None:
        triples = zip(self.results, self.plan.carries, carries, strict=False)
        for base, kind, value in triples:
            self.write(base, kind, None, value)
        self.fn.ret(OK)

    # -- kinds -------------------------------------------------------------------------

    def switch(self) -> None:
        """Write a choice."""
        index = self.fn.load(self.given[0], I64)
        branches = [partial(self.registers.run, g, self.fixed) for g in self.graphs]
        made = self.registers.choose(None, index, branches)
        for base, kind, value in zip(self.results, self.plan.gives, made, strict=True):
            self.write(base, kind, None, value)
        self.fn.ret(OK)

    def scan(self) -> None:
        """Write a loop of a known number of steps."""
        fn, plan, frame = self.fn, self.plan, self.frame
        length = frame.size(plan.length)
        last = fn.sub(length, const(I64, 1))
        first = self._carries()
        bases = list(self.given[self.carried :])

        def step(k: Reg, carried: list[Reg]) -> list[Reg]:
            leave_if_cancelled(fn, self.flag)
            at = fn.sub(last, k) if plan.reverse else k
            left = list(bases)
            pieces: list[Elements] = []
            for kind, counted in zip(plan.sequences, plan.counted, strict=True):
                if counted:
                    s = self.registers.scalar
                    pieces.append([s.cast(Typed(at, POSITION), kind.dtype).reg])
                else:
                    pieces.append(self.read(left.pop(0), kind, at))
            held = _shaped(carried, first)
            made = self.registers.run(self.graphs[0], [*held, *pieces, *self.fixed])
            self._stack(made, at)
            return flat(made[: self.carried])

        after = for_range(fn, length, const(I64, 1), step, flat(first))
        self._finish(_shaped(after, first))

    def repeat(self) -> None:
        """Write a loop that runs while a region holds."""
        fn, plan = self.fn, self.plan
        cond, body = self.graphs
        room = fn.alloca(I64, 1, 8)
        fn.head.append(f"  store i64 0, ptr {room.ref}, align 8")

        def step(held: list[Elements], k: Reg) -> list[Elements]:
            if plan.gives:
                self._room(k, room)
            made = self.registers.run(body, [*held, *self.fixed])
            self._stack(made, k)
            return made[: self.carried]

        held, steps = self.registers.repeat(
            self._carries(),
            lambda held, _: self.registers.run(cond, [*held, *self.fixed])[0][0],
            step,
        )
        if plan.trips is not None:
            place = const(I64, self.names.index(plan.trips))
            fn.store(steps, fn.gep(fn.args[2], place, I64))
        self._finish(held)

    def _stack(self, made: Sequence[Elements], row: Reg) -> None:
        bases = self.results[self.carried :]
        kept = made[self.carried :]
        for base, kind, value in zip(bases, self.plan.gives, kept, strict=True):
            if self.plan.trips is not None:
                base = self.fn.load(base, PTR)
            self.write(base, kind, row, value)

    def _room(self, k: Reg, room: Reg) -> None:
        """Make room for step k in every stack, twice as much as there was."""
        fn = self.fn
        full, fits = fn.new_label("full"), fn.new_label("fits")
        now = fn.load(room, I64)
        fn.cond_br(fn.icmp("eq", k, now), full, fits, False)
        fn.start(full)
        more = fn.smax(fn.add(now, now), const(I64, FIRST))
        for cell, kind in zip(
            self.results[self.carried :], self.plan.gives, strict=True
        ):
            stride = const(I64, count_of(kind) * (kind.dtype.bits // 8))
            emit_grow(fn, self.module, self.frame.ctx, cell, fn.mul(more, stride))
        fn.store(more, room)
        fn.br(fits)
        fn.start(fits)


def _shaped(flattened: Sequence[Reg], like: Sequence[Elements]) -> list[Elements]:
    left = iter(flattened)
    return [[next(left) for _ in value] for value in like]


def emit_registers(
    module: Module, target: Target, name: str, plan: RegisterPlan, names: Sequence[str]
) -> None:
    """Write the kernel of a control op in registers."""
    emitter = _Emitter(module, target, name, plan, names)
    kinds = {
        "switch": emitter.switch, "scan": emitter.scan, "while": emitter.repeat,
    }  # fmt: skip
    kinds[plan.control.kind]()
