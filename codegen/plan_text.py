"""Say in a line what a kernel does, for people."""

from ..ir.sizes import SizeExpr
from .contract import Parts
from .control import ControlPlan
from .factorize import FactorizePlan
from .late import AllocatePlan
from .plan import Apply, KernelPlan
from .printing import PrintPlan
from .register_loops import RegisterPlan
from .revolve import RevolvePlan
from .rows import Dot, Fold, RowPlan
from .scan import ScanPlan
from .scatter import ScatterPlan
from .whole import CheckPlan, ContractPlan, WholePlan

Size = int | SizeExpr


def plan_text(plan: KernelPlan | WholePlan) -> str:
    """Return what a kernel iterates over and how much it does there."""
    if isinstance(plan, KernelPlan):
        kind = "reduction" if any(o.monoid for o in plan.outputs) else "map"
        work = sum(isinstance(step, Apply) for step in plan.steps)
        return (
            f"{kind} over {_space(plan.space)}, {work} operations an element, "
            f"{len(plan.outputs)} results"
        )
    if isinstance(plan, ContractPlan):
        batch = "".join(f"{loop.extent}, " for loop in plan.batch)
        sizes = f"{batch}{plan.m.extent} x {plan.n.extent} x {plan.k.extent}"
        known = f", {plan.parts}" if plan.parts != Parts() else ""
        return f"contraction {sizes}{known}"
    if isinstance(plan, ScatterPlan):
        into = _space((plan.prefix, plan.extent, plan.suffix))
        return f"scatter of {plan.total} into {into}"
    if isinstance(plan, ScanPlan):
        return f"scan over {_space((plan.prefix, plan.extent, plan.suffix))}"
    if isinstance(plan, FactorizePlan):
        sides = f" for {plan.m} right sides" if "solve" in plan.kind else ""
        sides += f", result read in {plan.read}" if plan.read.bounded else ""
        return f"{plan.kind} of {plan.batch} matrices of {plan.n} rows{sides}"
    if isinstance(plan, CheckPlan):
        return f"check of {plan.total} indices against {plan.extent}"
    if isinstance(plan, RegisterPlan):
        return f"{_control(plan.control, len(plan.regions))}, in registers"
    if isinstance(plan, ControlPlan):
        return _control(plan, len(plan.regions))
    if isinstance(plan, RowPlan):
        work = sum(isinstance(step, Apply | Fold | Dot) for step in plan.steps)
        return (
            f"rows of [{plan.length}], {work} operations a row, "
            f"{len(plan.results)} results"
        )
    if isinstance(plan, RevolvePlan):
        return f"adjoint of {plan.length} steps from {plan.places} checkpoints"
    if isinstance(plan, PrintPlan):
        count = len(plan.shapes)
        return f"print of {count} value{'s' * (count != 1)}"
    if isinstance(plan, AllocatePlan):
        return f"memory of {plan.nbytes} bytes"
    return type(plan).__name__.removesuffix("Plan").lower()


def _space(extents: tuple[Size, ...]) -> str:
    return "[" + ",".join(map(str, extents)) + "]"


def _control(plan: ControlPlan, branches: int) -> str:
    if plan.kind == "switch":
        return f"choice of {branches} branches"
    steps = "while" if plan.kind == "while" else f"{plan.length} steps of"
    count = len(plan.carries)
    carries = "1 carry" if count == 1 else f"{count} carries"
    return f"loop, {steps} a body with {carries}"
