"""Emit the steps of a kernel plan inside its loops.

A step that does not depend on the vector axis is a scalar, computed in the outermost
loop that knows its axes; everything else is `width` lanes. `Body` holds the registers
of the steps emitted so far; a copy of it begins each version of the innermost body.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from ..ir.sizes import SizeExpr
from ..ir.types import BOOL, I64, DType
from . import llvm
from .index import Index, Opaque, Size, Split
from .llvm import Function, Reg, const, const_lanes, elem_of, undef, vec, width_of
from .plan import (
    Apply,
    Choose,
    Divides,
    Inside,
    KernelPlan,
    Literally,
    Load,
    Position,
    Step,
    Wrap,
)
from .scalar import ScalarEmitter, Typed, register_type
from .sizes import emit_size

STORAGE = {"bool": "i8"}
MOST_LANES = 32


def storage_type(dtype: DType, width: int) -> str:
    """Return the LLVM type of `width` elements of `dtype` in memory."""
    elem = STORAGE.get(dtype.name)
    return vec(elem, width) if elem else register_type(dtype, width)


def bounds_axis(index: Index, axis: int | None) -> bool:
    """Return whether an index is a loop axis plus a constant."""
    return not index.atoms and len(index.terms) == 1 and index.terms[0] == (axis, 1)


class Body:
    """Registers of a kernel being emitted."""

    def __init__(
        self,
        fn: Function,
        plan: KernelPlan,
        width: int,
        vector_axis: int | None,
        slots: Sequence[Reg],
        sizes: Mapping[str, Reg],
    ) -> None:
        self.fn = fn
        self.plan = plan
        self.width = width
        self.axis = vector_axis
        self.slots = slots
        self.sizes = sizes
        self.scalar = ScalarEmitter(fn)
        self.vars: dict[int, Reg] = {}
        self.regs: dict[int, Reg] = {}
        self.lane_mask: Reg | None = None
        self.interior = False  # conditions on the vector axis alone hold in all lanes
        self._splats: dict[str, Reg] = {}
        self._sizes: dict[Size, Reg] = {}
        self._dummy: Reg | None = None

    def fork(self) -> "Body":
        """Return a copy that may be extended in a block this one dominates."""
        new = Body(self.fn, self.plan, self.width, self.axis, self.slots, self.sizes)
        new.scalar = self.scalar.fork()
        new.vars = dict(self.vars)
        new.regs = dict(self.regs)
        new.lane_mask = self.lane_mask
        new.interior = self.interior
        new._splats = dict(self._splats)
        new._sizes = dict(self._sizes)
        new._dummy = self._dummy
        return new

    # -- steps -------------------------------------------------------------------------

    def emit_ready(self) -> None:
        """Emit every step whose loop axes are all open and that is not emitted yet."""
        known = self.vars.keys()
        regs = self.regs
        for k, axes in enumerate(self.plan.axes):
            if k not in regs and axes <= known:
                regs[k] = self._emit(k, self.plan.steps[k], axes)

    def is_vector(self, step: int) -> bool:
        """Return whether a step differs from lane to lane."""
        return self.axis is not None and self.axis in self.plan.axes[step]

    def mask(self, step: int | None) -> Reg | None:
        """Return where a mask step holds in the lanes that run; None: everywhere."""
        held = None if step is None else self.lanes(step)
        if held is None or held.ref[0] != "%":
            return self.lane_mask
        if self.lane_mask is None:
            return held
        return self.fn.and_(held, self.lane_mask)

    def lanes(self, step: int) -> Reg:
        """Return a step as a vector register."""
        return self.splat(self.regs[step])

    def splat(self, reg: Reg) -> Reg:
        """Return a register with a lane for each lane of the kernel."""
        if width_of(reg.ty) == self.width:
            return reg
        found = self._splats.get(reg.ref)
        if found is None or found.ty != vec(reg.ty, self.width):
            found = self._splats[reg.ref] = self.fn.splat(reg, self.width)
        return found

    def size(self, size: Size) -> Reg:
        """Return a size as an i64."""
        if isinstance(size, int):
            return const(llvm.I64, size)
        found = self._sizes.get(size)
        if found is None:
            found = self._sizes[size] = emit_size(self.fn, size, self.sizes)
        return found

    def _emit(self, number: int, step: Step, axes: frozenset[int]) -> Reg:
        fn = self.fn
        vector = self.axis is not None and self.axis in axes
        if isinstance(step, Apply):
            operands = []
            for k in step.operands:
                reg = self.lanes(k) if vector else self.regs[k]
                operands.append(Typed(reg, self._dtype(k)))
            made: Any = step.primitive.form.scalar(
                self.scalar, *operands, **dict(step.params)
            )
            out: Typed = made[step.result] if type(made) is tuple else made
            return out.reg
        if isinstance(step, Load):
            return self._load(step, vector)
        if isinstance(step, Literally):
            return self._literal(step)
        if isinstance(step, Position):
            place = Typed(self.index(step.at, vector), I64)
            return self.scalar.cast(place, step.dtype).reg
        if isinstance(step, Inside):
            return self._inside(step, vector)
        if isinstance(step, Choose):
            mask = self._fit(step.mask, vector)
            value = self._fit(step.value, vector)
            if step.other is None:
                other = const(value.ty, 0)
            else:
                other = self._fit(step.other, vector)
            return fn.select(mask, value, other)
        if isinstance(step, Divides):
            index = self.index(step.at, vector)
            by = const(index.ty, step.step)
            return fn.srem(index, by) if step.part else fn.sdiv(index, by)
        assert isinstance(step, Wrap)
        index = self.regs[step.operand]
        extent = self.size(step.extent)
        if width_of(index.ty) > 1:
            extent = self.splat(extent)
        negative = fn.icmp("slt", index, const(index.ty, 0))
        return fn.select(negative, fn.add(index, extent), index)

    def _fit(self, step: int, vector: bool) -> Reg:
        return self.lanes(step) if vector else self.regs[step]

    def _dtype(self, step: int) -> DType:
        made = self.plan.steps[step]
        if isinstance(made, Inside):
            return BOOL
        if isinstance(made, Wrap | Divides):
            return I64
        return made.dtype

    def _literal(self, step: Literally) -> Reg:
        ty = register_type(step.dtype, 1)
        if step.size is not None:
            value = Typed(self.size(step.size), I64)
            return self.scalar.cast(value, step.dtype).reg
        if step.dtype.is_float:
            return const(ty, float.fromhex(step.text))
        if step.dtype is BOOL:
            return const(ty, int(step.text == "True"))
        return const(ty, int(step.text))

    # -- indices -----------------------------------------------------------------------

    def _scalar_part(self, index: Index) -> Reg:
        """Return the part of an index that is the same in every lane, as an i64."""
        fn = self.fn
        total = None if index.constant == 0 else self.size(index.constant)
        for axis, coef in index.terms:
            if axis == self.axis:
                continue
            term = self.vars[axis]
            if coef != 1:
                term = fn.mul(term, self.size(coef))
            total = term if total is None else fn.add(total, term)
        for atom, coef in index.atoms:
            if self.axis in atom.axes:
                continue
            term = self._atom(atom, False)
            if coef != 1:
                term = fn.mul(term, self.size(coef))
            total = term if total is None else fn.add(total, term)
        return const(llvm.I64, 0) if total is None else total

    def _atom(self, atom: Opaque | Split, vector: bool) -> Reg:
        if isinstance(atom, Opaque):
            reg = self.regs[atom.key]
            return self.splat(reg) if vector else reg
        fn = self.fn
        linear = self.index(atom.linear, vector)
        inner: Size = 1
        for d in atom.shape[atom.k + 1 :]:
            inner = inner * d
        by = self.size(inner)
        by = fn.smax(by, const(llvm.I64, 1)) if isinstance(inner, SizeExpr) else by
        part = (
            fn.udiv(linear, self.splat(by) if vector else by) if inner != 1 else linear
        )
        if atom.k == 0:
            return part
        size = atom.shape[atom.k]
        mod = self.size(size)
        mod = fn.smax(mod, const(llvm.I64, 1)) if isinstance(size, SizeExpr) else mod
        return fn.urem(part, self.splat(mod) if vector else mod)

    def _vector_part(self, index: Index) -> tuple[Size, list[tuple[Reg, Size]]]:
        """Return the factor of the vector axis and the scaled per-lane atoms."""
        assert self.axis is not None
        atoms = [
            (self._atom(atom, True), coef)
            for atom, coef in index.atoms
            if self.axis in atom.axes
        ]
        return index.coefficient(self.axis), atoms

    def index(self, index: Index, vector: bool) -> Reg:
        """Return an index as an i64, or as one i64 a lane."""
        fn = self.fn
        base = self._scalar_part(index)
        if not vector:
            return base
        assert self.axis is not None
        factor, atoms = self._vector_part(index)
        if factor != 0:
            start = self.vars[self.axis]
            step = self.size(factor)
            base = fn.add(base, fn.mul(start, step) if factor != 1 else start)
        out = self.splat(base)
        if factor != 0 and self.width > 1:
            lanes = const_lanes(vec(llvm.I64, self.width), range(self.width))
            if factor != 1:
                lanes = fn.mul(lanes, self.splat(self.size(factor)))
            out = fn.add(out, lanes)
        for reg, coef in atoms:
            term = reg if coef == 1 else fn.mul(reg, self.splat(self.size(coef)))
            out = fn.add(out, term)
        return out

    def _inside(self, step: Inside, vector: bool) -> Reg:
        fn = self.fn
        out: Reg | None = None
        if step.parent is not None:
            out = self._fit(step.parent, vector)
        for index, extent in step.conditions:
            lanes = vector and self.axis in index.axes
            if lanes and self.interior and bounds_axis(index, self.axis):
                continue
            at = self.index(index, lanes)
            bound = self.size(extent)
            if lanes:
                bound = self.splat(bound)
            test = fn.icmp("ult", at, bound)
            if vector:
                test = self.splat(test)
            out = test if out is None else fn.and_(out, test)
        if out is None:
            return const(vec(llvm.I1, self.width if vector else 1), 1)
        return out

    # -- memory ------------------------------------------------------------------------

    def _from_storage(self, reg: Reg, dtype: DType) -> Reg:
        if dtype is BOOL:
            return self.fn.icmp("ne", reg, const(reg.ty, 0))
        return reg

    def to_storage(self, reg: Reg, dtype: DType) -> Reg:
        """Return a register as it is stored."""
        if dtype is BOOL:
            return self.fn.convert("zext", reg, vec("i8", width_of(reg.ty)))
        return reg

    def _address(self, slot: int, offset: Reg, dtype: DType) -> Reg:
        return self.fn.gep(self.slots[slot], offset, storage_type(dtype, 1))

    def _load(self, step: Load, vector: bool) -> Reg:
        fn, dtype = self.fn, step.dtype
        if not vector:
            address = self._address(step.slot, self._scalar_part(step.offset), dtype)
            if step.mask is not None:
                address = fn.select(self.regs[step.mask], address, self._zeros())
            return self._from_storage(fn.load(address, storage_type(dtype, 1)), dtype)
        ty = storage_type(dtype, self.width)
        mask = self.mask(step.mask)
        assert self.axis is not None
        if self.axis not in step.offset.axes:
            # the same address in every lane: only the mask differs
            address = self._address(step.slot, self._scalar_part(step.offset), dtype)
            if mask is not None:
                address = fn.select(fn.any_lane(mask), address, self._zeros())
            reg = fn.splat(fn.load(address, elem_of(ty)), self.width)
            if mask is not None:
                reg = fn.select(mask, reg, const(ty, 0))
            return self._from_storage(reg, dtype)
        factor, atoms = self._vector_part(step.offset)
        if factor == 1 and not atoms:
            base = fn.add(self._scalar_part(step.offset), self.vars[self.axis])
            address = self._address(step.slot, base, dtype)
            # a masked load that reads nothing is slow where its address is not mapped
            held = None if step.mask is None else self.regs[step.mask]
            if held is not None and width_of(held.ty) == 1 and self.width > 1:
                # one answer for all lanes
                address = fn.select(held, address, self._zeros())
                mask = self.lane_mask
            elif held is not None and mask is not None and self.width > 1:
                address = fn.select(fn.any_lane(mask), address, self._zeros())
            if mask is None:
                reg = fn.load(address, ty)
            elif self.width == 1:
                reg = fn.load(fn.select(mask, address, self._zeros()), ty)
            else:
                reg = fn.masked_load(address, mask, ty, const(ty, 0))
            return self._from_storage(reg, dtype)
        offsets = self.index(step.offset, True)
        addresses = self._address(step.slot, offsets, dtype)
        if self.width == 1:
            if mask is not None:
                addresses = fn.select(mask, addresses, self._zeros())
            return self._from_storage(fn.load(addresses, ty), dtype)
        if mask is None:
            mask = const(vec(llvm.I1, self.width), 1)
        other = const(ty, 0) if mask.ref[0] == "%" else undef(ty)
        return self._from_storage(fn.masked_gather(addresses, mask, ty, other), dtype)

    def _zeros(self) -> Reg:
        """Return the address of a vector of zeros, read where a masked load is off."""
        if self._dummy is None:
            words = MOST_LANES
            self._dummy = self.fn.alloca(llvm.I64, words, 64)
            zeros = const(vec(llvm.I64, words), 0)
            self.fn.head.append(
                f"  store {zeros.ty} {zeros.ref}, ptr {self._dummy.ref}, align 64"
            )
        return self._dummy
