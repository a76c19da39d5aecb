"""Print what a program was lowered to: its launches, its kernels, its memory.

For reading and for tests; nothing is decided here. A loop kernel is shown as its space,
one line a step and where results go; `a0`, `a1` are the loop variables, `s0` a slot.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from ..ir.text import params_text, region_lines
from ..ir.types import DType, Shape
from .contract import Parts
from .control import ControlPlan
from .factorize import FactorizePlan
from .index import Index, Opaque, Size, Split
from .late import AllocatePlan
from .lower import AnyPlan, Lowered
from .memory import Buffer
from .plan import (
    Apply,
    Choose,
    Divides,
    Inside,
    KernelPlan,
    Literally,
    Load,
    Output,
    Position,
    Step,
)
from .register_loops import RegisterPlan
from .revolve import RevolvePlan
from .rows import Dot, Element, Fold, RowNumber, RowPlan, RowStep
from .scan import ScanPlan
from .scatter import ScatterPlan
from .whole import CheckPlan, ContractPlan

_FOLDS = {"add": "sum", "mul": "product"}


def show_schedule(lowered: Lowered) -> str:
    """Return the launches of a program in order, then each kernel once.

    Kernels are numbered in the order of their first launch.
    """
    numbers: dict[int, int] = {}
    for launch in lowered.launches:
        numbers.setdefault(launch.kernel, len(numbers))
    lines = [
        f"{lowered.graph.name}: {len(lowered.launches)} launches of "
        f"{len(numbers)} kernels, workspace {lowered.workspace} bytes"
    ]
    for launch in lowered.launches:
        shown = [
            _buffer(x) + (f"+{at}" if at else "") + ("!" if k in launch.writes else "")
            for k, (x, at) in enumerate(
                zip(launch.buffers, launch.offsets, strict=True)
            )
        ]
        slices = f" in {launch.turns} slices" if launch.loop else ""
        lines.append(f"  k{numbers[launch.kernel]}({', '.join(shown)}){slices}")
    lines += _workspace(lowered)
    for kernel, number in numbers.items():
        lines.append("")
        lines += _kernel(number, lowered.plans[kernel])
    for symbol, region in lowered.regions.items():
        lines += ["", f"region pb_{symbol}:"]
        shown_lines = show_schedule(region).splitlines()
        lines += [f"  {line}" if line else "" for line in shown_lines]
    return "\n".join(lines) + "\n"


def _workspace(lowered: Lowered) -> Iterator[str]:
    arena = lowered.arena
    for k, (piece, count) in enumerate(zip(arena.piece, arena.count, strict=True)):
        yield f"  bucket {k}: {count} of {piece} bytes"
    if arena.scratch:
        yield f"  scratch: {arena.scratch} bytes"
    if lowered.late:
        names = ", ".join(lowered.late)
        yield f"  {lowered.cells} buffers of the sizes {names}, which loops bind"


def _buffer(buffer: Buffer) -> str:
    if buffer.kind == "work":
        return f"work{buffer.bucket}.{buffer.number}"
    return buffer.kind if buffer.kind == "scratch" else f"{buffer.kind}{buffer.number}"


# -- kernels ---------------------------------------------------------------------------


def _kernel(number: int, plan: AnyPlan) -> Iterator[str]:
    if isinstance(plan, KernelPlan):
        yield from _loop(number, plan)
    elif isinstance(plan, ContractPlan):
        yield f"k{number}: contract {plan.dtype.name}, batch {len(plan.batch)}"
        loops = zip((*"b" * len(plan.batch), *"mnk"), _loops(plan), strict=True)
        for name, loop in loops:
            yield (
                f"  {name}: {loop.extent}, strides lhs {loop.lhs}, rhs {loop.rhs}, "
                f"out {loop.out}"
            )
        if plan.lhs_offset != 0 or plan.rhs_offset != 0:
            yield f"  offsets lhs {plan.lhs_offset}, rhs {plan.rhs_offset}"
        if plan.parts != Parts():
            yield f"  {plan.parts}"
    elif isinstance(plan, ScatterPlan):
        into = "array" if plan.given else "zeros"
        yield (
            f"k{number}: scatter {plan.monoid} {plan.dtype.name} into {into}"
            f"[{plan.prefix}, {plan.extent}, {plan.suffix}], {plan.total} integers"
        )
    elif isinstance(plan, ScanPlan):
        back = ", reverse" if plan.reverse else ""
        yield (
            f"k{number}: scan {plan.dtype.name} over "
            f"[{plan.prefix}, {plan.extent}, {plan.suffix}]{back}"
        )
    elif isinstance(plan, FactorizePlan):
        yield (
            f"k{number}: {plan.kind} {plan.dtype.name}, batch {plan.batch}, "
            f"n {plan.n}, m {plan.m}"
            + (f", result read in {plan.read}" if plan.read.bounded else "")
        )
    elif isinstance(plan, ControlPlan):
        symbols = [region.symbol for region in plan.regions]
        yield from _control(number, plan, symbols)
    elif isinstance(plan, RegisterPlan):
        keys = [repr(region) for region in plan.regions]
        yield from _control(number, plan.control, keys)
        for region in dict.fromkeys(plan.regions):
            yield f"  in registers: {region!r}"
            yield from (f"    {line}" for line in region_lines(region.graph))
    elif isinstance(plan, RevolvePlan):
        yield (
            f"k{number}: back over {plan.length} steps from {plan.places} checkpoints: "
            f"{plan.forward.symbol}, {plan.back.symbol}"
        )
    elif isinstance(plan, RowPlan):
        yield from _rows(number, plan)
    elif isinstance(plan, AllocatePlan):
        yield f"k{number}: allocate {plan.nbytes} bytes"
    else:
        assert isinstance(plan, CheckPlan)
        yield (
            f"k{number}: check {plan.total} integers, axis {plan.axis} of {plan.extent}"
        )


def _rows(number: int, plan: RowPlan) -> Iterator[str]:
    yield f"k{number}: rows [{plan.length}]"
    for k, step in enumerate(plan.steps):
        yield f"  %{k}: {step.dtype.name} = {_row_step(step)}"
    for k, result in enumerate(plan.results):
        steps = ", ".join(f"%{x}" for x in result.steps)
        yield f"  s{plan.reads + k} <- {steps}"


def _row_step(step: RowStep) -> str:
    if isinstance(step, Element):
        terms = ((0, step.stride),) if step.stride != 0 else ()
        return f"load s{step.slot}[{_index(Index(terms, (), step.at))}]"
    if isinstance(step, RowNumber):
        return "a0"
    if isinstance(step, Fold):
        operands = ", ".join(f"%{k}" for k in step.operands)
        return f"{_FOLDS.get(step.monoid, step.monoid)} of {operands}"
    if isinstance(step, Dot):
        pairs = zip(step.left, step.right, strict=True)
        return " + ".join([f"%{x} * %{y}" for x, y in pairs]) or "0"
    return _step(step)


def _control(number: int, plan: ControlPlan, calls: Sequence[str]) -> Iterator[str]:
    if plan.kind == "switch":
        yield f"k{number}: switch to {', '.join(calls)}"
    elif plan.kind == "scan":
        back = ", reverse" if plan.reverse else ""
        yield f"k{number}: scan of {plan.length} steps{back}: {calls[0]}"
    else:
        binds = f", binds {plan.trips}" if plan.trips else ""
        yield f"k{number}: while {calls[0]}: {calls[1]}{binds}"
    listed = {
        "carries": plan.carries,
        "elements": plan.sequences,
        "gives" if plan.kind == "switch" else "keeps": plan.gives,
    }
    for what, kinds in listed.items():
        if kinds:
            yield f"  {what} {', '.join(map(str, kinds))}"


def _loops(plan: ContractPlan) -> Sequence[Any]:  # Any: Loop, of whole
    return (*plan.batch, plan.m, plan.n, plan.k)


def _shape(shape: Shape) -> str:
    return f"[{', '.join(str(d) for d in shape)}]"


def _loop(number: int, plan: KernelPlan) -> Iterator[str]:
    reduced = f", reduced {plan.reduced}" if plan.reduced else ""
    yield f"k{number}: loop {_shape(plan.space)}{reduced}"
    for k, step in enumerate(plan.steps):
        yield f"  %{k}: {_dtype(step)} = {_step(step)}"
    for out in plan.outputs:
        yield f"  s{out.slot} {_result(out)}"


def _result(out: Output) -> str:
    where = "" if out.mask is None else f" where %{out.mask}"
    if out.strides is not None:
        where += f" in steps of {', '.join(map(str, out.strides))}"
    if out.monoid is None:
        return f"<- %{out.step}{where}"
    return f"<- {_FOLDS.get(out.monoid, out.monoid)} of %{out.step}{where}"


def _dtype(step: Step) -> str:
    held = getattr(step, "dtype", None)
    if isinstance(held, DType):
        return held.name
    return "bool" if isinstance(step, Inside) else "i64"


def _step(step: Step) -> str:
    if isinstance(step, Load):
        masked = "" if step.mask is None else f" where %{step.mask} else 0"
        return f"load s{step.slot}[{_index(step.offset)}]{masked}"
    if isinstance(step, Literally):
        if step.dtype.is_float and step.size is None:
            return repr(float.fromhex(step.text))
        return step.text
    if isinstance(step, Position):
        return _index(step.at)
    if isinstance(step, Apply):
        operands = ", ".join(f"%{k}" for k in step.operands)
        part = f".{step.result}" if step.result else ""
        return f"{step.primitive.name}{part} {operands}{params_text(dict(step.params))}"
    if isinstance(step, Inside):
        parts = [f"0 <= {_index(i)} < {extent}" for i, extent in step.conditions]
        if step.parent is not None:
            parts.insert(0, f"%{step.parent}")
        return " and ".join(parts)
    if isinstance(step, Divides):
        return f"{_index(step.at)} {'rem' if step.part else 'div'} {step.step}"
    if isinstance(step, Choose):
        other = "0" if step.other is None else f"%{step.other}"
        return f"%{step.value} where %{step.mask} else {other}"
    return f"%{step.operand} from the end of {step.extent} if negative"


# -- indices ---------------------------------------------------------------------------


def _term(name: str, factor: Size) -> str:
    if factor == 1:
        return name
    if factor == -1:
        return f"-{name}"
    text = str(factor)
    plain = text.lstrip("-").replace("*", "").isalnum()
    return f"{text}*{name}" if plain else f"({text})*{name}"


def _atom(atom: Opaque | Split) -> str:
    if isinstance(atom, Opaque):
        return f"%{atom.key}"
    return f"split({_index(atom.linear)}, {_shape(atom.shape)})[{atom.k}]"


def _index(index: Index) -> str:
    parts = [_term(f"a{axis}", factor) for axis, factor in index.terms]
    parts += [_term(_atom(atom), factor) for atom, factor in index.atoms]
    if index.constant != 0 or not parts:
        parts.append(str(index.constant))
    return " + ".join(parts).replace("+ -", "- ")
