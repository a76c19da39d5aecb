"""Kernels that are not loops over a fused body: contraction, index check, and others.

Each has a plan that is hashable, so equal ones are emitted once, and an emitter that
writes `i32 name(ptr ctx, ptr buffers, ptr sizes)`.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..ir.errors import GraphError
from ..ir.graph import Node, Value
from ..ir.sizes import product
from ..ir.types import DType, Shape
from . import llvm
from .contract import (
    Parts,
    emit_banded_gemm,
    emit_gemm,
    emit_static_gemm,
    gemm_work_bytes,
)
from .control import ControlPlan, emit_control
from .factorize import FactorizePlan, emit_factorize
from .frame import OK, Frame
from .index import Index, Size, linearize, strides_of
from .late import AllocatePlan, emit_allocate
from .llvm import I64, Module, Reg, const
from .printing import PrintPlan, emit_print
from .register_loops import RegisterPlan, emit_registers
from .revolve import RevolvePlan, emit_revolve
from .row_kernel import emit_rows
from .rows import RowPlan
from .scalar import ScalarEmitter, Typed, register_type
from .scan import ScanPlan, emit_scan
from .scatter import ScatterPlan, emit_scatter
from .status import INDEX_OUT_OF_RANGE, fail_function
from .target import Target


class Loop(NamedTuple):
    """A batch axis of a contraction: extent and strides of lhs, rhs and result."""

    extent: Size
    lhs: Size
    rhs: Size
    out: Size


class ContractPlan(NamedTuple):
    """out[batch, m, n] = sum over k of lhs[batch, m, k] * rhs[batch, k, n].

    Slots: lhs, rhs, out, scratch. Strides and offsets count elements. `parts` says what
    is known of the matrices; where that is anything, n is contiguous in the result.
    """

    dtype: DType
    batch: tuple[Loop, ...]
    m: Loop
    n: Loop
    k: Loop
    lhs_offset: Size
    rhs_offset: Size
    parts: Parts = Parts()


class CheckPlan(NamedTuple):
    """Every integer of a slot is in [-extent, extent). Slots: integers."""

    total: Size
    extent: Size
    axis: int
    number: int


WholePlan = (
    ContractPlan
    | ScatterPlan
    | ScanPlan
    | FactorizePlan
    | CheckPlan
    | ControlPlan
    | RegisterPlan
    | AllocatePlan
    | RevolvePlan
    | RowPlan
    | PrintPlan
)


# --- planning -------------------------------------------------------------------------


def _merge(loops: list[Loop]) -> list[Loop]:
    """Join neighbours that run through all three arrays as one axis."""
    out: list[Loop] = []
    for loop in loops:
        if loop.extent == 1:
            continue
        if out:
            before = out[-1]
            if all(
                s == t * loop.extent for s, t in zip(before[1:], loop[1:], strict=True)
            ):
                out[-1] = loop._replace(extent=before.extent * loop.extent)
                continue
        out.append(loop)
    return out


UNIT = Loop(1, 0, 0, 1)


def plan_contract(
    node: Node,
    lhs: tuple[Value, tuple[Index, ...]],
    rhs: tuple[Value, tuple[Index, ...]],
) -> ContractPlan:
    """Return the plan of a contraction; operands come as base value and index."""
    left, right, result = (node.params[s] for s in ("lhs", "rhs", "out"))
    a = linearize(lhs[1], lhs[0].type.shape)
    b = linearize(rhs[1], rhs[0].type.shape)
    out = node.results[0].type
    out_strides = dict(zip(result, strides_of(out.shape), strict=True))
    extents: dict[str, Size] = dict(zip(left, node.operands[0].type.shape, strict=True))
    extents.update(zip(right, node.operands[1].type.shape, strict=True))

    def loop(label: str) -> Loop:
        return Loop(
            extents[label],
            a.coefficient(left.index(label)) if label in left else 0,
            b.coefficient(right.index(label)) if label in right else 0,
            out_strides.get(label, 0),
        )

    both = [c for c in result if c in left and c in right]
    rows = _merge([loop(c) for c in result if c in left and c not in right])
    columns = _merge([loop(c) for c in result if c in right and c not in left])
    summed = _merge([loop(c) for c in left if c not in result])
    if len(summed) > 1:
        raise GraphError(
            f"contract {left},{right}->{result}: the summed labels are not one axis of "
            "both operands in memory"
        )
    batch = _merge([loop(c) for c in both]) + rows[:-1] + columns[:-1]
    return ContractPlan(
        out.dtype,
        tuple(batch),
        rows[-1] if rows else UNIT,
        columns[-1] if columns else UNIT,
        summed[-1] if summed else UNIT,
        a.constant,
        b.constant,
    )


def plan_check(node: Node, source: Shape, number: int) -> CheckPlan:
    """Return the plan of the range check before a gather or scatter."""
    axis = node.params["axis"]
    return CheckPlan(product(node.operands[1].type.shape), source[axis], axis, number)


# --- emission -------------------------------------------------------------------------


def emit_whole(
    module: Module, target: Target, name: str, plan: WholePlan, names: Sequence[str]
) -> int:
    """Write the function of a plan; return the bytes of scratch it uses."""
    if isinstance(plan, ContractPlan):
        return _emit_contract(module, target, name, plan, names)
    if isinstance(plan, FactorizePlan):
        return emit_factorize(module, target, name, plan, names)
    if isinstance(plan, ScatterPlan):
        emit_scatter(module, name, plan, names)
    elif isinstance(plan, ScanPlan):
        emit_scan(module, target, name, plan, names)
    elif isinstance(plan, ControlPlan):
        emit_control(module, name, plan, names)
    elif isinstance(plan, RegisterPlan):
        emit_registers(module, target, name, plan, names)
    elif isinstance(plan, RevolvePlan):
        emit_revolve(module, name, plan, names)
    elif isinstance(plan, RowPlan):
        emit_rows(module, target, name, plan, names)
    elif isinstance(plan, AllocatePlan):
        emit_allocate(module, name, plan, names)
    elif isinstance(plan, PrintPlan):
        emit_print(module, name, plan, names)
    else:
        _emit_check(module, name, plan, names)
    return 0


def _emit_contract(
    module: Module, target: Target, name: str, plan: ContractPlan, names: Sequence[str]
) -> int:
    kernel = Frame(module, name, names, 4)
    fn = kernel.fn
    elem = register_type(plan.dtype, 1)
    m, n, k = plan.m, plan.n, plan.k
    sizes = (m.extent, n.extent, k.extent)
    strides = (m.lhs, k.lhs, k.rhs, n.rhs, m.out, n.out)
    # a size or stride of 1 by name would be 0: gemm wants positive strides of c
    fixed = [v for v in (*sizes, *strides) if isinstance(v, int)]

    def at(base: Reg, offsets: list[Reg]) -> Reg:
        for offset in offsets:
            base = fn.gep(base, offset, elem)
        return base

    scratch = 0

    def run(lhs: Reg, rhs: Reg, out: Reg) -> None:
        nonlocal scratch
        if not plan.dtype.is_float:
            _integer_gemm(kernel, plan, lhs, rhs, out)
            return
        if plan.parts == Parts() and len(fixed) == 9:
            q, r, t, *rest = fixed
            gemm = emit_static_gemm(
                module,
                target,
                plan.dtype.name,
                (q, r, t),
                (rest[0], rest[1], rest[2], rest[3], rest[4], rest[5]),
            )
            scratch = gemm.work_bytes
            fn.call(gemm.name, llvm.VOID, (lhs, rhs, out, kernel.slots[3]))
            return
        scratch = gemm_work_bytes(target, plan.dtype.name)
        if plan.parts == Parts():
            gemm_name = emit_gemm(module, target, plan.dtype.name)
        else:
            gemm_name = emit_banded_gemm(module, target, plan.dtype.name, plan.parts)
        numbers = [kernel.size(v) for v in (*sizes, *strides)]
        fn.call(gemm_name, llvm.VOID, (lhs, rhs, out, *numbers, kernel.slots[3]))

    def nest(level: int, lhs: Reg, rhs: Reg, out: Reg) -> None:
        if level == len(plan.batch):
            run(lhs, rhs, out)
            return
        loop = plan.batch[level]
        steps = [kernel.size(s) for s in loop[1:]]

        def inner(var: Reg) -> None:
            nest(
                level + 1,
                *(
                    fn.gep(p, fn.mul(var, s), elem)
                    for p, s in zip((lhs, rhs, out), steps, strict=True)
                ),
            )

        kernel.loop(kernel.size(loop.extent), inner)

    lhs = at(kernel.slots[0], [kernel.size(plan.lhs_offset)])
    rhs = at(kernel.slots[1], [kernel.size(plan.rhs_offset)])
    nest(0, lhs, rhs, kernel.slots[2])
    fn.ret(OK)
    return scratch


def _integer_gemm(
    kernel: Frame, plan: ContractPlan, lhs: Reg, rhs: Reg, out: Reg
) -> None:
    """Multiply integer matrices, wrapping: three loops."""
    fn, elem = kernel.fn, register_type(plan.dtype, 1)
    s = ScalarEmitter(fn)

    def offset(base: Reg, *pairs: tuple[Reg, Size]) -> Reg:
        for var, stride in pairs:
            base = fn.gep(base, fn.mul(var, kernel.size(stride)), elem)
        return base

    def row(i: Reg) -> None:
        def column(j: Reg) -> None:
            target = offset(out, (i, plan.m.out), (j, plan.n.out))
            fn.store(const(elem, 0), target)

            def term(q: Reg) -> None:
                x = fn.load(offset(lhs, (i, plan.m.lhs), (q, plan.k.lhs)), elem)
                y = fn.load(offset(rhs, (q, plan.k.rhs), (j, plan.n.rhs)), elem)
                old = Typed(fn.load(target, elem), plan.dtype)
                made = s.fma(Typed(x, plan.dtype), Typed(y, plan.dtype), old)
                fn.store(made.reg, target)

            kernel.loop(kernel.size(plan.k.extent), term)

        kernel.loop(kernel.size(plan.n.extent), column)

    kernel.loop(kernel.size(plan.m.extent), row)


def _emit_check(
    module: Module, name: str, plan: CheckPlan, names: Sequence[str]
) -> None:
    kernel = Frame(module, name, names, 1)
    fn = kernel.fn
    extent = kernel.size(plan.extent)

    def element(i: Reg) -> None:
        index = fn.load(fn.gep(kernel.slots[0], i, I64), I64)
        at = kernel.wrapped(index, extent)
        bad, good = fn.new_label("bad"), fn.new_label("good")
        fn.cond_br(fn.icmp("uge", at, extent), bad, good, False)
        fn.start(bad)
        numbers = [
            const(llvm.I32, INDEX_OUT_OF_RANGE), const(llvm.I32, plan.number),
            index, const(I64, plan.axis), extent,
        ]  # fmt: skip
        fn.ret(fn.call(fail_function(module), llvm.I32, (kernel.ctx, *numbers)))
        fn.start(good)

    kernel.loop(kernel.size(plan.total), element)
    fn.ret(OK)
