"""What a factorisation kernel is, and the function that runs one over its batch."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ...ir.errors import GraphError
from ...ir.forms import Factorize
from ...ir.graph import Node
from ...ir.sizes import product
from ...ir.types import DType
from ..contract import Part
from ..contract.flow import for_range, i64
from ..frame import OK, Frame
from ..index import Size
from ..llvm import I32, I64, VOID, Module, Reg, const
from ..status import (
    INDEX_OUT_OF_RANGE,
    NOT_POSITIVE_DEFINITE,
    SINGULAR,
    fail_function,
)
from ..target import Target
from .cholesky import cholesky_work_bytes, emit_cholesky
from .lu import emit_lu, emit_lu_solve
from .substitute import emit_diagonal_zero, solve
from .tools import Tools


class FactorizePlan(NamedTuple):
    """A batch of n by n matrices factored, or of systems with m right sides solved.

    Slots: the operands, the results, scratch. `number` is what a status names; `read`
    is the part of a triangular solution that is read.
    """

    kind: str
    dtype: DType
    lower: bool
    transpose: bool
    unit: bool
    batch: Size
    n: Size
    m: Size
    operands: int
    results: int
    number: int
    read: Part = Part()


def plan_factorize(node: Node, number: int) -> FactorizePlan:
    """Return the plan of a factorisation."""
    form = node.primitive.form
    assert isinstance(form, Factorize)
    shape = node.operands[0].type.shape
    right = node.operands[-1].type.shape
    return FactorizePlan(
        form.kind,
        node.operands[0].type.dtype,
        bool(node.params.get("lower", False)),
        bool(node.params.get("transpose", False)),
        bool(node.params.get("unit", False)),
        product(shape[:-2]),
        shape[-1],
        right[-1],
        len(node.operands),
        len(node.results),
        number,
    )


class _Emitter:
    """One kernel being written: its loop over the batch, and what may fail."""

    def __init__(
        self, module: Module, target: Target, name: str, plan: FactorizePlan,
        names: Sequence[str],
    ) -> None:  # fmt: skip
        self.plan, self.module = plan, module
        self.tools = Tools(module, target, plan.dtype.name)
        self.frame = Frame(module, name, names, plan.operands + plan.results + 1)
        self.fn = self.frame.fn
        self.n, self.m = self.frame.size(plan.n), self.frame.size(plan.m)
        self.square = self.fn.mul(self.n, self.n)
        self.work = self.frame.slots[-1]

    def slot(self, number: int, at: Reg, length: Reg, elem: str | None = None) -> Reg:
        """Return where the part of a slot for one matrix begins."""
        fn = self.fn
        offset = fn.mul(at, length)
        return fn.gep(self.frame.slots[number], offset, elem or self.tools.elem)

    def copy_negated(self, source: Reg, goal: Reg, count: Reg) -> None:
        """Emit goal = -source."""
        self.fn.call(self.tools.negated(), VOID, (source, goal, count))

    def fail_if(self, bad: Reg, code: int, index: Reg, at: Reg, extent: Reg) -> None:
        """Emit leaving with a status that names matrix `at` of the batch."""
        fn = self.fn
        leave, stay = fn.new_label("fail"), fn.new_label("fine")
        fn.cond_br(bad, leave, stay, False)
        fn.start(leave)
        args = (const(I32, code), const(I32, self.plan.number), index, at, extent)
        fn.ret(fn.call(fail_function(self.module), I32, (self.frame.ctx, *args)))
        fn.start(stay)

    def demand_pivots(self, matrix: Reg, at: Reg) -> None:
        """Emit leaving where the diagonal has a 0."""
        zero = self.fn.call(emit_diagonal_zero(self.tools), I64, (matrix, self.n))
        bad = self.fn.icmp("ne", zero, self.n)
        self.fail_if(bad, SINGULAR, zero, at, self.n)

    def cholesky(self, at: Reg) -> None:
        fn, n, one = self.fn, self.n, i64(1)
        x, out = (self.slot(k, at, self.square) for k in (0, 1))
        name = emit_cholesky(self.tools)

        def line(i: Reg, _: list[Reg]) -> list[Reg]:
            # what is above the diagonal is not read, be it NaN
            source, goal = (self.tools.at(fn, p, (i, n)) for p in (x, out))
            self.copy_negated(source, goal, fn.add(i, one))
            self.tools.lanes(
                fn, fn.add(i, one), n,
                lambda j, ty: fn.store(
                    const(ty, 0.0), self.tools.at(fn, goal, (j, None))
                ),
            )  # fmt: skip
            return []

        for_range(fn, n, one, line)
        minor = fn.call(name, I64, (out, n, self.work))
        bad = fn.icmp("ne", minor, i64(0))
        self.fail_if(bad, NOT_POSITIVE_DEFINITE, minor, at, n)

    def lu(self, at: Reg) -> None:
        fn, n = self.fn, self.n
        x, out = (self.slot(k, at, self.square) for k in (0, 1))
        pivots, order = (self.slot(k, at, n, I64) for k in (2, 3))
        sign = self.slot(4, at, i64(1))
        self.copy_negated(x, out, self.square)
        name = emit_lu(self.tools)
        fn.call(name, VOID, (out, n, pivots, order, sign, self.work))

    def triangular_solve(self, at: Reg) -> None:
        fn, n, m, plan = self.fn, self.n, self.m, self.plan
        matrix = self.slot(0, at, self.square)
        right, out = (self.slot(k, at, fn.mul(n, m)) for k in (1, 2))
        if not plan.unit:
            self.demand_pivots(matrix, at)
        self.copy_negated(right, out, fn.mul(n, m))
        solve(
            self.tools, fn, matrix, out, n, m, plan.lower, plan.transpose, plan.unit,
            self.work, plan.read,
        )  # fmt: skip

    def lu_solve(self, at: Reg) -> None:
        fn, n, m = self.fn, self.n, self.m
        packed = self.slot(1, at, self.square)
        pivots = self.slot(2, at, n, I64)
        right, out = (self.slot(k, at, fn.mul(n, m)) for k in (3, 4))
        self.demand_pivots(packed, at)

        def look(i: Reg, _: list[Reg]) -> list[Reg]:
            pivot = fn.load(fn.gep(pivots, i, I64), I64)
            bad = fn.icmp("uge", pivot, n)
            self.fail_if(bad, INDEX_OUT_OF_RANGE, pivot, i64(0), n)
            return []

        for_range(fn, n, i64(1), look)
        self.copy_negated(right, out, fn.mul(n, m))
        emit_lu_solve(
            self.tools, fn, packed, pivots, out, n, m, self.plan.transpose, self.work
        )

    def emit(self) -> int:
        """Write the kernel; return the bytes of scratch it uses."""
        kinds: dict[str, Callable[[Reg], None]] = {
            "cholesky": self.cholesky,
            "lu": self.lu,
            "triangular_solve": self.triangular_solve,
            "lu_solve": self.lu_solve,
        }
        one = kinds.get(self.plan.kind)
        if one is None:
            raise GraphError(f"no kernel factorises by {self.plan.kind!r}")
        self.frame.loop(self.frame.size(self.plan.batch), one)
        self.fn.ret(OK)
        if self.plan.kind == "cholesky":
            return cholesky_work_bytes(self.tools)
        return self.tools.gemm_bytes


def emit_factorize(
    module: Module, target: Target, name: str, plan: FactorizePlan, names: Sequence[str]
) -> int:
    """Write the kernel of a factorisation; return the bytes of scratch it uses."""
    return _Emitter(module, target, name, plan, names).emit()
