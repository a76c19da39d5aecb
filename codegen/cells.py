"""Find what of a program has a late size, and when its memory is asked for."""

from collections.abc import Sequence

from .control import ControlPlan
from .driver import Launch
from .late import AllocatePlan, number_cells
from .memory import Buffer
from .plan import KernelPlan
from .register_loops import RegisterPlan
from .whole import WholePlan

AnyPlan = KernelPlan | WholePlan


def _rows(buffer: Buffer) -> str:
    """Return the first size of what a buffer holds, as text."""
    return str(buffer.type.shape[0]) if buffer.type.shape else ""


def with_cells(
    made: Sequence[tuple[AnyPlan, Launch]], late: frozenset[str]
) -> tuple[list[tuple[AnyPlan, Launch]], int]:
    """Return the launches with those that allocate what has a late size; the cells."""
    written = [x.buffers[k] for _, x in made for k in x.writes]
    cells = number_cells(list(dict.fromkeys(written)), late)
    waiting = set(cells)
    out: list[tuple[AnyPlan, Launch]] = []
    for plan, launch in made:
        buffers = list(launch.buffers)
        for k in launch.writes:
            buffer = buffers[k]
            if buffer not in waiting:
                continue
            waiting.remove(buffer)
            cell = Buffer("cell", buffer.type, buffer.number)
            held = plan.control if isinstance(plan, RegisterPlan) else plan
            if isinstance(held, ControlPlan) and held.trips == _rows(buffer):
                buffers[k] = cell  # the loop allocates as it goes
                continue
            out.append((AllocatePlan(buffer.nbytes), Launch(0, (cell,), (0,), (0,))))
        out.append((plan, launch._replace(buffers=tuple(buffers))))
    return out, len(cells)
