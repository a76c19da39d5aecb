"""Scan: running values along an axis.

Where the axis is the last the value before stays in a register; else it is read back
from the result, a vector of neighbours at a time. Either way each element sees the same
operations in the same order, so the bits do not depend on the width of vectors.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..ir.forms import Scan
from ..ir.graph import Node
from ..ir.sizes import product
from ..ir.types import DType
from .frame import OK, Frame
from .index import Size
from .llvm import I64, Module, Reg, const
from .scalar import ScalarEmitter, Typed, register_type
from .target import Target


class ScanPlan(NamedTuple):
    """Running values of arrays (prefix, extent, suffix) along the middle axis.

    Slots: the operands, out.
    """

    form: Scan  # compared by its two functions
    dtype: DType
    operands: int
    params: tuple[tuple[str, Any], ...]  # of the bodies. Any: params of any kind
    reverse: bool
    prefix: Size
    extent: Size
    suffix: Size


def plan_scan(node: Node) -> ScanPlan:
    """Return the plan of a scan."""
    form = node.primitive.form
    assert isinstance(form, Scan)
    axis, result = node.params["axis"], node.results[0].type
    rest = [(k, v) for k, v in node.params.items() if k not in ("axis", "reverse")]
    return ScanPlan(
        form,
        result.dtype,
        len(node.operands),
        tuple(rest),
        node.params["reverse"],
        product(result.shape[:axis]),
        result.shape[axis],
        product(result.shape[axis + 1 :]),
    )


class _Emitter:
    """One kernel being written."""

    def __init__(self, frame: Frame, plan: ScanPlan) -> None:
        self.frame, self.plan, self.fn = frame, plan, frame.fn
        self.scalar = ScalarEmitter(frame.fn)
        self.elem = register_type(plan.dtype, 1)
        self.operands, self.out = frame.slots[:-1], frame.slots[-1]
        self.prefix, self.extent, self.suffix = (
            frame.size(d) for d in (plan.prefix, plan.extent, plan.suffix)
        )

    def row(self, prefix: Reg, k: Reg) -> Reg:
        """Return the offset of the k-th row that the walk meets."""
        fn = self.fn
        if self.plan.reverse:
            k = fn.sub(fn.sub(self.extent, const(I64, 1)), k)
        return fn.mul(fn.add(fn.mul(prefix, self.extent), k), self.suffix)

    def value(self, at: Reg, before: Reg | None, width: int) -> Reg:
        """Return `width` running values at an offset."""
        fn, dtype = self.fn, self.plan.dtype
        ty = register_type(dtype, width)
        align = dtype.bits // 8
        held = [
            Typed(fn.load(fn.gep(x, at, self.elem), ty, align), dtype)
            for x in self.operands
        ]
        params = dict(self.plan.params)
        if before is None:
            made: Typed = self.plan.form.first(self.scalar, *held, **params)
        else:
            made = self.plan.form.step(
                self.scalar, Typed(before, dtype), *held, **params
            )
        fn.store(made.reg, fn.gep(self.out, at, self.elem), align)
        return made.reg

    def nonempty(self, inner: Callable[[], None]) -> None:
        """Run `inner` where the axis has elements."""
        fn = self.fn
        some, none = fn.new_label("some"), fn.new_label("none")
        fn.cond_br(fn.icmp("slt", const(I64, 0), self.extent), some, none)
        fn.start(some)
        inner()
        fn.br(none)
        fn.start(none)

    def along_last(self) -> None:
        """Walk rows whose elements are neighbours: the value stays in a register."""
        fn = self.fn
        one = const(I64, 1)

        def line(p: Reg) -> None:
            first = self.value(self.row(p, const(I64, 0)), None, 1)
            loop, done = fn.new_label("scan"), fn.new_label("scanned")
            before = fn.block
            fn.cond_br(fn.icmp("slt", one, self.extent), loop, done)
            fn.start(loop)
            k = fn.phi(I64, one, before)
            held = fn.phi(self.elem, first, before)
            made = self.value(self.row(p, k), held, 1)
            following = fn.add(k, one)
            fn.phi_edge(k, following, fn.block)
            fn.phi_edge(held, made, fn.block)
            fn.cond_br(fn.icmp("slt", following, self.extent), loop, done)
            fn.start(done)

        self.nonempty(lambda: self.frame.loop(self.prefix, line))

    def across(self, width: int) -> None:
        """Walk all neighbours of a row together, from the row before it."""
        fn = self.fn
        whole = fn.mul(fn.sdiv(self.suffix, const(I64, width)), const(I64, width))

        def columns(row: Reg, before: Reg | None) -> None:
            def piece(lanes: int) -> Callable[[Reg], None]:
                def inner(j: Reg) -> None:
                    if lanes == 1:
                        j = fn.add(whole, j)
                    held = None
                    if before is not None:
                        address = fn.gep(self.out, fn.add(before, j), self.elem)
                        ty = register_type(self.plan.dtype, lanes)
                        held = fn.load(address, ty, self.plan.dtype.bits // 8)
                    self.value(fn.add(row, j), held, lanes)

                return inner

            self.frame.loop(whole, piece(width), width)
            self.frame.loop(fn.sub(self.suffix, whole), piece(1))

        def block(p: Reg) -> None:
            columns(self.row(p, const(I64, 0)), None)

            def step(k: Reg) -> None:
                following = fn.add(k, const(I64, 1))
                columns(self.row(p, following), self.row(p, k))

            self.frame.loop(fn.sub(self.extent, const(I64, 1)), step)

        self.nonempty(lambda: self.frame.loop(self.prefix, block))


def emit_scan(
    module: Module, target: Target, name: str, plan: ScanPlan, names: Sequence[str]
) -> None:
    """Write the kernel of a scan."""
    frame = Frame(module, name, names, plan.operands + 1)
    emitter = _Emitter(frame, plan)
    if plan.suffix == 1:
        emitter.along_last()
    else:
        emitter.across(max(target.lanes(plan.dtype.bits), 2))
    frame.fn.ret(OK)
