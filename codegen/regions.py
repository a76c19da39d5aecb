"""The launch that a control op becomes."""

from collections.abc import Callable, Sequence

from ..ir.forms import Control
from ..ir.graph import Node
from .control import ControlPlan, Region, plan_control, stored_operands, work_buffer
from .launches import Schedule
from .memory import Buffer
from .register_loops import RegisterPlan, fits_registers, plan_registers
from .revolve import RevolvePlan, plan_revolve
from .small import failing, regions_run

AnyControl = ControlPlan | RegisterPlan | RevolvePlan


def lower_control(
    node: Node,
    schedule: Schedule,
    checks: list[Node],
    registers: bool,
    functions: Callable[[], Sequence[Region]],
) -> tuple[AnyControl, tuple[Buffer, ...], tuple[int, ...]]:
    """Return the plan of a control op, the buffers of its slots, and those it writes.

    What may fail is appended to `checks`. `functions` lowers the regions to functions;
    with `registers`, small ones are part of the plan.
    """
    form = node.primitive.form
    assert isinstance(form, Control)
    number = len(checks)
    if form.kind == "switch":
        checks.append(node)
    held = regions_run(node)
    plan: AnyControl
    work: list[Buffer] = []
    if form.kind == "revolve":
        plan = plan_revolve(node, functions())
        work = work_buffer(plan.work)
    elif registers and fits_registers(node, held):
        control = plan_control(node, form.kind, (), number)
        plan = plan_registers(control, held, len(checks))
        checks.extend(failing(held))
    else:
        plan = plan_control(node, form.kind, functions(), number)
        work = work_buffer(plan.work)
    reads = [schedule.memory(node.operands[k]) for k in stored_operands(node)]
    results = [schedule.buffers[x] for x in node.results]
    buffers = (*reads, *results, *work)
    return plan, buffers, tuple(range(len(reads), len(buffers)))
