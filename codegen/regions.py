"""Which regions a control op runs, and the launch it becomes."""

from collections.abc import Sequence

from ..ir.forms import Control
from ..ir.graph import Node
from ..ir.primitive import Effect
from ..ir.subgraph import SubGraph
from .control import ControlPlan, Region, plan_control, stored_operands, work_buffer
from .launches import Schedule
from .memory import Buffer
from .revolve import RevolvePlan, plan_revolve


def run_by(node: Node) -> list[SubGraph]:
    """Return the regions that an op runs, the condition of a loop first."""
    params = node.params
    if "branches" in params:
        return list(params["branches"])
    return [params[name] for name in ("cond", "body", "back") if name in params]


def may_fail(held: SubGraph) -> bool:
    """Return whether a status may name an operation of a region."""
    stack = [held]
    while stack:
        for node in stack.pop().graph.nodes:
            form = node.primitive.form
            if isinstance(form, Control):
                if "branches" in node.params:
                    return True
                stack.extend(run_by(node))
            elif Effect.RAISES in node.primitive.effects:
                return True
    return False


def lower_control(
    node: Node, regions: Sequence[Region], schedule: Schedule, checks: list[Node]
) -> tuple[ControlPlan | RevolvePlan, tuple[Buffer, ...], tuple[int, ...]]:
    """Return the plan of a control op, the buffers of its slots, and those it writes.

    A choice may fail: it is appended to `checks`.
    """
    form = node.primitive.form
    assert isinstance(form, Control)
    if form.kind == "revolve":
        return _revolve(node, regions, schedule)
    number = len(checks)
    if form.kind == "switch":
        checks.append(node)
    plan = plan_control(node, form.kind, regions, number)
    reads = [schedule.memory(node.operands[k]) for k in stored_operands(node)]
    results = [schedule.buffers[x] for x in node.results]
    buffers = (*reads, *results, *work_buffer(plan.work))
    return plan, buffers, tuple(range(len(reads), len(buffers)))


def _revolve(
    node: Node, regions: Sequence[Region], schedule: Schedule
) -> tuple[RevolvePlan, tuple[Buffer, ...], tuple[int, ...]]:
    plan = plan_revolve(node, regions)
    reads = [schedule.memory(x) for x in node.operands]
    results = [schedule.buffers[x] for x in node.results]
    buffers = (*reads, *results, *work_buffer(plan.work))
    return plan, buffers, tuple(range(len(reads), len(buffers)))
