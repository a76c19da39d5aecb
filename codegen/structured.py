"""Tell contractions and solves what is known of their matrices.

`ir/structure.py` finds it; here it is put in terms of a plan's rows, columns and k,
and left out where the whole product costs less than looking.
"""

from ..ir.band import FULL, Band
from ..ir.graph import Node
from ..ir.structure import Structure, matrices, oriented
from .contract import Part, Parts
from .factorize import FactorizePlan
from .index import Size
from .memory import Buffer
from .whole import ContractPlan, Loop

# Multiplications of a product of known sizes from which structure is looked at.
_LEAST = 40**3


def _small(*extents: Size) -> bool:
    total = 1
    for extent in extents:
        total *= extent if isinstance(extent, int) else _LEAST
    return total < _LEAST


def _part(band: Band) -> Part:
    return Part(band.lo, band.hi, band.sure)


def _exchanged(loop: Loop) -> Loop:
    return loop._replace(lhs=loop.rhs, rhs=loop.lhs)


def structured_contract(
    node: Node, plan: ContractPlan, buffers: tuple[Buffer, ...], known: Structure
) -> tuple[ContractPlan, tuple[Buffer, ...]]:
    """Return the plan and its slots with what is known of the matrices put in."""
    held = matrices(node)
    if held is None or not plan.dtype.is_float:
        return plan, buffers
    sizes = dict(zip(node.params["lhs"], node.operands[0].type.shape, strict=True))
    sizes.update(zip(node.params["rhs"], node.operands[1].type.shape, strict=True))
    m, n, k = (sizes[c] for c in (held.row, held.column, held.summed))
    # an axis that was merged with another is no row of a matrix
    if (m, n, k) != (plan.m.extent, plan.n.extent, plan.k.extent) or _small(m, n, k):
        return plan, buffers
    a, b = (
        oriented(known.zeros.get(x, FULL), turned)
        for x, turned in zip(node.operands, held.turned, strict=False)
    )
    needed = known.needed.get(node.results[0], FULL)
    c = oriented(needed, held.turned[2])
    mirror = node in known.symmetric and m == n and not c.bounded
    if not (a.bounded or b.bounded or c.bounded or mirror):
        return plan, buffers
    if plan.n.out != 1:
        if plan.m.out != 1:
            return plan, buffers
        # columns are lanes: the transposed product is the one computed
        a, b, c = b.turned(), a.turned(), c.turned()
        lhs, rhs, *rest = buffers
        buffers = (rhs, lhs, *rest)
        plan = plan._replace(
            m=_exchanged(plan.n), n=_exchanged(plan.m), k=_exchanged(plan.k),
            batch=tuple(_exchanged(x) for x in plan.batch),
            lhs_offset=plan.rhs_offset, rhs_offset=plan.lhs_offset,
        )  # fmt: skip
    parts = Parts(_part(a), _part(b), _part(c), mirror)
    return plan._replace(parts=parts), buffers


def structured_factorize(
    node: Node, plan: FactorizePlan, known: Structure
) -> FactorizePlan:
    """Return the plan of a factorisation with what is read of its solution put in."""
    read = known.needed.get(node.results[0], FULL)
    if plan.kind != "triangular_solve" or not read.bounded:
        return plan
    if _small(plan.n, plan.n, plan.m):
        return plan
    backward = plan.lower == plan.transpose
    if (read.hi if backward else read.lo) is None:
        return plan  # the rest is read by the rows that come after
    return plan._replace(read=_part(read))
