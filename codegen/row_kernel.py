"""The kernel of a plan over rows: as many rows at a time as a register has lanes.

What is left of a number of rows is done by taking the last rows again: a row gives the
same however often it is computed. Fewer rows than lanes are done one by one.
"""

from collections.abc import Sequence
from typing import Any

from ..ir.types import BOOL
from ..ir.types import I64 as POSITION
from .body import MOST_LANES, storage_type
from .contract.flow import known, when
from .fold import fold_elements
from .frame import OK, Frame
from .llvm import I64, Module, Reg, const, const_lanes, vec, width_of
from .plan import Apply, Literally
from .row_memory import FLAT, RowMemory, block_starts, block_width, is_flat
from .rows import Dot, Element, Fold, RowNumber, RowPlan
from .scalar import ScalarEmitter, Typed, register_type
from .target import Target


def row_lanes(plan: RowPlan, target: Target) -> int:
    """Return how many rows are done at a time."""
    bits = 8
    for step in plan.steps:
        counted = isinstance(step, Element | Apply | Fold | Dot)
        if counted and step.dtype is not BOOL:
            bits = max(bits, step.dtype.bits)
    return min(target.lanes(bits), MOST_LANES)


class _Block:
    """The code of some rows at a time."""

    def __init__(
        self, frame: Frame, plan: RowPlan, width: int, shared: dict[int, Reg]
    ) -> None:
        self.frame, self.plan, self.width, self.shared = frame, plan, width, shared
        self.fn = frame.fn
        self.writes: dict[int, list[tuple[int, int, int]]] = {}
        for number, result in enumerate(plan.results):
            self._plan_writes(number, result.steps)
        self.groups: dict[tuple[int, Any], set[int]] = {}
        for step in plan.steps:
            if isinstance(step, Element) and isinstance(step.at, int):
                key = (step.slot, step.stride)
                self.groups.setdefault(key, set()).add(step.at)

    def _plan_writes(self, number: int, steps: Sequence[int]) -> None:
        """Note after which step each block of a result can be stored."""
        size = len(steps)
        if not size:
            return
        columns = block_width(size, self.width)
        if size <= FLAT and self.width > 1:
            columns = size
        for start in block_starts(size, columns):
            last = max(steps[start : start + columns])
            self.writes.setdefault(last, []).append((number, start, columns))

    def emit(self, row: Reg) -> None:
        """Write the steps of rows from `row` on."""
        fn, width = self.fn, self.width
        memory = RowMemory(fn, width, row)
        scalar = ScalarEmitter(fn)
        regs: list[Reg] = []
        loaded: dict[tuple[int, Any, int], Reg] = {}
        made: dict[tuple[Any, ...], Any] = {}
        first = self.plan.reads

        def typed(k: int) -> Typed:
            return Typed(regs[k], self.plan.steps[k].dtype)

        for k, step in enumerate(self.plan.steps):
            reg: Reg
            if isinstance(step, Element):
                reg = self.shared.get(k) or self._element(memory, step, loaded)
            elif isinstance(step, RowNumber):
                reg = self._number(scalar, row, step)
            elif isinstance(step, Literally):
                reg = self._literal(scalar, step)
            elif isinstance(step, Fold):
                row_ = [regs[x] for x in step.operands]
                reg = fold_elements(scalar, step.monoid, step.dtype, row_, width)
            elif isinstance(step, Dot):
                total = Typed(const(register_type(step.dtype, width), 0), step.dtype)
                for x, y in zip(step.left, step.right, strict=True):
                    total = scalar.fma(typed(x), typed(y), total)
                reg = total.reg
            else:
                key = step[:3]
                if key not in made:
                    operands = [typed(x) for x in step.operands]
                    made[key] = step.primitive.form.scalar(
                        scalar, *operands, **dict(step.params)
                    )
                parts = made[key]
                reg = (parts[step.result] if type(parts) is tuple else parts).reg
            if width_of(reg.ty) != width:
                reg = fn.splat(reg, width)
            regs.append(reg)
            for number, start, columns in self.writes.get(k, ()):
                result = self.plan.results[number]
                block = [regs[x] for x in result.steps[start : start + columns]]
                base = self.frame.slots[first + number]
                size = len(result.steps)
                memory.write(base, size, start, block, result.dtype)

    def _element(self, memory: RowMemory, step: Element, loaded: dict[Any, Reg]) -> Reg:
        """Return an element of each row, from a block that is read at its first use."""
        base = self.frame.slots[step.slot]
        stride = self.frame.size(step.stride)
        if not isinstance(step.at, int):
            at = self.frame.size(step.at)
            return memory.column(base, stride, at, step.dtype)
        key = (step.slot, step.stride)
        found = loaded.get((*key, step.at))
        if found is not None:
            return found
        low, high = min(self.groups[key]), max(self.groups[key])
        span = high - low + 1
        columns = block_width(span, self.width)
        if is_flat(span, step.stride, self.width):
            start, block = low, memory.flat(base, low, span, step.dtype)
        elif columns == 1:
            at = const(I64, step.at)
            start, block = step.at, [memory.column(base, stride, at, step.dtype)]
        else:
            place = step.at - low
            start = min(place - place % columns, span - columns) + low
            block = memory.block(base, stride, start, columns, step.dtype)
        for n, reg in enumerate(block):
            loaded.setdefault((*key, start + n), reg)
        return loaded[(*key, step.at)]

    def _number(self, scalar: ScalarEmitter, row: Reg, step: RowNumber) -> Reg:
        fn, width = self.fn, self.width
        held = fn.splat(row, width)
        if width > 1:
            held = fn.add(held, const_lanes(vec(I64, width), range(width)))
        return scalar.cast(Typed(held, POSITION), step.dtype).reg

    def _literal(self, scalar: ScalarEmitter, step: Literally) -> Reg:
        if step.size is not None:
            value = Typed(self.frame.size(step.size), POSITION)
            return scalar.cast(value, step.dtype).reg
        ty = register_type(step.dtype, self.width)
        if step.dtype.is_float:
            return const(ty, float.fromhex(step.text))
        if step.dtype is BOOL:
            return const(ty, int(step.text == "True"))
        return const(ty, int(step.text))


def _shared(frame: Frame, plan: RowPlan) -> dict[int, Reg]:
    """Read what is the same for all rows."""
    fn = frame.fn
    out: dict[int, Reg] = {}
    for k, step in enumerate(plan.steps):
        if isinstance(step, Element) and step.stride == 0:
            elem = storage_type(step.dtype, 1)
            at = fn.gep(frame.slots[step.slot], frame.size(step.at), elem)
            held = fn.load(at, elem)
            if step.dtype is BOOL:
                held = fn.icmp("ne", held, const(elem, 0))
            out[k] = held
    return out


def emit_rows(
    module: Module, target: Target, name: str, plan: RowPlan, names: Sequence[str]
) -> None:
    """Write the kernel of a plan over rows."""
    frame = Frame(module, name, names, plan.reads + len(plan.results))
    fn = frame.fn
    width = row_lanes(plan, target)
    length = frame.size(plan.length)
    many = const(I64, width)
    count = known(length)

    def wide() -> None:
        shared = _shared(frame, plan)
        block = _Block(frame, plan, width, shared)
        exact = count is not None and count % width == 0
        last = length if exact else fn.sub(length, many)

        def step(at: Reg) -> None:
            block.emit(at if exact else fn.smin(at, last))

        frame.loop(length, step, width)

    def narrow() -> None:
        block = _Block(frame, plan, 1, _shared(frame, plan))
        frame.loop(length, block.emit)

    if width == 1:
        narrow()
    elif count is None:
        when(fn, fn.icmp("sge", length, many), wide, narrow)
    else:
        (wide if count >= width else narrow)()
    fn.ret(OK)
