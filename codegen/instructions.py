"""LLVM's instructions on typed registers.

Every arithmetic method works on scalars and on fixed vectors alike, so code written
once is parametric in the vector width. No fast-math flag is ever written.
"""

from collections.abc import Sequence

from .llvm_types import (
    I1,
    I8,
    PTR,
    Reg,
    bits_of,
    const,
    elem_of,
    mask_of,
    suffix_of,
    vec,
    width_of,
)
from .writer import Writer


class Function(Writer):
    """A function being written, with every instruction we use."""

    __slots__ = ()

    # -- floating point ----------------------------------------------------------------

    def _bin(self, op: str, x: Reg, y: Reg) -> Reg:
        return self.emit(x.ty, f"{op} {x.ty} {x.ref}, {y.ref}")

    def fadd(self, x: Reg, y: Reg) -> Reg:
        """Return x + y."""
        return self._bin("fadd", x, y)

    def fsub(self, x: Reg, y: Reg) -> Reg:
        """Return x - y."""
        return self._bin("fsub", x, y)

    def fmul(self, x: Reg, y: Reg) -> Reg:
        """Return x * y."""
        return self._bin("fmul", x, y)

    def fdiv(self, x: Reg, y: Reg) -> Reg:
        """Return x / y."""
        return self._bin("fdiv", x, y)

    def fneg(self, x: Reg) -> Reg:
        """Return -x."""
        return self.emit(x.ty, f"fneg {x.ty} {x.ref}")

    def fma(self, x: Reg, y: Reg, z: Reg) -> Reg:
        """Return x * y + z with one rounding."""
        return self.intrinsic("fma", x.ty, (x, y, z))

    def fabs(self, x: Reg) -> Reg:
        """Return |x|."""
        return self.intrinsic("fabs", x.ty, (x,))

    def sqrt(self, x: Reg) -> Reg:
        """Return the correctly rounded square root."""
        return self.intrinsic("sqrt", x.ty, (x,))

    def copysign(self, x: Reg, sign: Reg) -> Reg:
        """Return |x| with the sign of `sign`."""
        return self.intrinsic("copysign", x.ty, (x, sign))

    def rint(self, x: Reg) -> Reg:
        """Round to the nearest integer, ties to even."""
        return self.intrinsic("roundeven", x.ty, (x,))

    def floor(self, x: Reg) -> Reg:
        """Round towards minus infinity."""
        return self.intrinsic("floor", x.ty, (x,))

    def ceil(self, x: Reg) -> Reg:
        """Round towards plus infinity."""
        return self.intrinsic("ceil", x.ty, (x,))

    def trunc_f(self, x: Reg) -> Reg:
        """Round towards zero."""
        return self.intrinsic("trunc", x.ty, (x,))

    def fcmp(self, pred: str, x: Reg, y: Reg) -> Reg:
        """Compare floats; `pred` is LLVM's: oeq ogt oge olt ole one une uno ord."""
        return self.emit(mask_of(x.ty), f"fcmp {pred} {x.ty} {x.ref}, {y.ref}")

    # -- integers ----------------------------------------------------------------------

    def add(self, x: Reg, y: Reg) -> Reg:
        """Return x + y, wrapping."""
        return self._bin("add", x, y)

    def sub(self, x: Reg, y: Reg) -> Reg:
        """Return x - y, wrapping."""
        return self._bin("sub", x, y)

    def mul(self, x: Reg, y: Reg) -> Reg:
        """Return x * y, wrapping."""
        return self._bin("mul", x, y)

    def sdiv(self, x: Reg, y: Reg) -> Reg:
        """Return the quotient rounded towards zero; y must not be 0."""
        return self._bin("sdiv", x, y)

    def srem(self, x: Reg, y: Reg) -> Reg:
        """Return the remainder with the sign of x; y must not be 0."""
        return self._bin("srem", x, y)

    def udiv(self, x: Reg, y: Reg) -> Reg:
        """Return the unsigned quotient; y must not be 0."""
        return self._bin("udiv", x, y)

    def urem(self, x: Reg, y: Reg) -> Reg:
        """Return the unsigned remainder; y must not be 0."""
        return self._bin("urem", x, y)

    def and_(self, x: Reg, y: Reg) -> Reg:
        """Return the bitwise and."""
        return self._bin("and", x, y)

    def or_(self, x: Reg, y: Reg) -> Reg:
        """Return the bitwise or."""
        return self._bin("or", x, y)

    def xor(self, x: Reg, y: Reg) -> Reg:
        """Return the bitwise exclusive or."""
        return self._bin("xor", x, y)

    def not_(self, x: Reg) -> Reg:
        """Return the bitwise complement (logical not of an i1)."""
        return self._bin("xor", x, const(x.ty, 1 if elem_of(x.ty) == I1 else -1))

    def shl(self, x: Reg, y: Reg) -> Reg:
        """Shift left."""
        return self._bin("shl", x, y)

    def lshr(self, x: Reg, y: Reg) -> Reg:
        """Shift right, filling with zeros."""
        return self._bin("lshr", x, y)

    def ashr(self, x: Reg, y: Reg) -> Reg:
        """Shift right, keeping the sign."""
        return self._bin("ashr", x, y)

    def icmp(self, pred: str, x: Reg, y: Reg) -> Reg:
        """Compare integers; `pred` is LLVM's: eq ne slt sle sgt sge ult ule ugt uge."""
        return self.emit(mask_of(x.ty), f"icmp {pred} {x.ty} {x.ref}, {y.ref}")

    def smin(self, x: Reg, y: Reg) -> Reg:
        """Return the smaller signed integer."""
        return self.intrinsic("smin", x.ty, (x, y))

    def smax(self, x: Reg, y: Reg) -> Reg:
        """Return the larger signed integer."""
        return self.intrinsic("smax", x.ty, (x, y))

    # -- conversions, lanes ------------------------------------------------------------

    def convert(self, op: str, x: Reg, ty: str) -> Reg:
        """Apply a conversion: sitofp fptosi uitofp zext sext trunc fpext fptrunc."""
        return self.emit(ty, f"{op} {x.ty} {x.ref} to {ty}")

    def bitcast(self, x: Reg, ty: str) -> Reg:
        """Reinterpret the bits."""
        return self.emit(ty, f"bitcast {x.ty} {x.ref} to {ty}")

    def select(self, cond: Reg, x: Reg, y: Reg) -> Reg:
        """Return x where cond holds, else y, lane by lane."""
        return self.emit(
            x.ty, f"select {cond.ty} {cond.ref}, {x.ty} {x.ref}, {y.ty} {y.ref}"
        )

    def freeze(self, x: Reg) -> Reg:
        """Return x with poison made an arbitrary fixed value."""
        return self.emit(x.ty, f"freeze {x.ty} {x.ref}")

    def splat(self, x: Reg, width: int) -> Reg:
        """Return a vector with the scalar x in every lane."""
        if width == 1:
            return x
        ty = vec(x.ty, width)
        if x.ref[0] != "%":
            return Reg(f"splat ({x.ty} {x.ref})", ty)
        one = self.emit(ty, f"insertelement {ty} poison, {x.ty} {x.ref}, i64 0")
        return self.emit(
            ty,
            f"shufflevector {ty} {one.ref}, {ty} poison, "
            f"<{width} x i32> zeroinitializer",
        )

    def extract(self, x: Reg, lane: int) -> Reg:
        """Return one lane of a vector (the scalar itself for width 1)."""
        if width_of(x.ty) == 1:
            return x
        return self.emit(elem_of(x.ty), f"extractelement {x.ty} {x.ref}, i64 {lane}")

    def insert(self, x: Reg, value: Reg, lane: int) -> Reg:
        """Return x with one lane replaced."""
        if width_of(x.ty) == 1:
            return value
        return self.emit(
            x.ty, f"insertelement {x.ty} {x.ref}, {value.ty} {value.ref}, i64 {lane}"
        )

    def shuffle(self, x: Reg, y: Reg, lanes: Sequence[int]) -> Reg:
        """Return the lanes of x followed by y, by index."""
        n = len(lanes)
        mask = ", ".join(f"i32 {k}" for k in lanes)
        return self.emit(
            vec(elem_of(x.ty), n),
            f"shufflevector {x.ty} {x.ref}, {y.ty} {y.ref}, <{n} x i32> <{mask}>",
        )

    def any_lane(self, mask: Reg) -> Reg:
        """Return an i1: does any lane of an i1 vector hold?"""
        width = width_of(mask.ty)
        if width == 1:
            return mask
        bits = self.bitcast(mask, f"i{width}")
        return self.icmp("ne", bits, const(f"i{width}", 0))

    # -- memory ------------------------------------------------------------------------

    def gep(self, base: Reg, index: Reg, elem: str = I8) -> Reg:
        """Return the address `index` elements of type `elem` after base.

        With a vector of indices the result is a vector of addresses.
        """
        ty = vec(PTR, width_of(index.ty))
        return self.emit(
            ty, f"getelementptr {elem}, {base.ty} {base.ref}, {index.ty} {index.ref}"
        )

    def load(self, ptr: Reg, ty: str, align: int | None = None, meta: str = "") -> Reg:
        """Load a scalar or a vector of consecutive elements."""
        align = align or max(bits_of(ty) // 8, 1)
        return self.emit(ty, f"load {ty}, ptr {ptr.ref}, align {align}{meta}")

    def store(self, value: Reg, ptr: Reg, align: int | None = None) -> None:
        """Store a scalar or a vector of consecutive elements."""
        align = align or max(bits_of(value.ty) // 8, 1)
        self.raw(f"store {value.ty} {value.ref}, ptr {ptr.ref}, align {align}")

    def touch(self, ptr: Reg, ty: str) -> None:
        """Read memory for the sake of reading it."""
        align = max(bits_of(ty) // 8, 1)
        self.emit(ty, f"load volatile {ty}, ptr {ptr.ref}, align {align}")

    def masked_load(self, ptr: Reg, mask: Reg, ty: str, other: Reg) -> Reg:
        """Load consecutive lanes where the mask holds; `other` elsewhere."""
        name = f"llvm.masked.load.{suffix_of(ty)}.p0"
        self.module.declare(name, f"declare {ty} @{name}(ptr, {mask.ty}, {ty})")
        align = max(bits_of(ty) // 8, 1)
        return self.emit(
            ty,
            f"call {ty} @{name}(ptr align {align} {ptr.ref}, {mask.ty} {mask.ref}, "
            f"{ty} {other.ref})",
        )

    def masked_store(self, value: Reg, ptr: Reg, mask: Reg) -> None:
        """Store consecutive lanes where the mask holds."""
        ty = value.ty
        name = f"llvm.masked.store.{suffix_of(ty)}.p0"
        self.module.declare(name, f"declare void @{name}({ty}, ptr, {mask.ty})")
        align = max(bits_of(ty) // 8, 1)
        self.raw(
            f"call void @{name}({ty} {value.ref}, ptr align {align} {ptr.ref}, "
            f"{mask.ty} {mask.ref})"
        )

    def masked_gather(self, ptrs: Reg, mask: Reg, ty: str, other: Reg) -> Reg:
        """Load each lane from its own address where the mask holds."""
        name = f"llvm.masked.gather.{suffix_of(ty)}.{suffix_of(ptrs.ty)}"
        self.module.declare(name, f"declare {ty} @{name}({ptrs.ty}, {mask.ty}, {ty})")
        align = max(bits_of(ty) // 8, 1)
        return self.emit(
            ty,
            f"call {ty} @{name}({ptrs.ty} align {align} {ptrs.ref}, "
            f"{mask.ty} {mask.ref}, {ty} {other.ref})",
        )
