"""Emit the scalar vocabulary on registers of any width.

The one place where `ir/scalar.py`'s instructions meet LLVM. A register's type decides
between floats, integers and bools; a bool is an i1 lane. Signedness, which LLVM's types
do not carry, comes with the emitter (`Typed`).
"""

from ..ir.errors import TargetError
from ..ir.types import BOOL, DType
from .elementary import Elementary, Typed
from .llvm import F32, F64, I1, Reg, const, vec, width_of

__all__ = ["LLVM_TYPE", "ScalarEmitter", "Typed", "register_type"]

LLVM_TYPE = {
    "f64": F64, "f32": F32, "bool": I1,
    "i64": "i64", "i32": "i32", "i16": "i16", "i8": "i8",
    "u64": "i64", "u32": "i32", "u16": "i16", "u8": "i8",
}  # fmt: skip

_FLOAT_PRED = {
    "eq": "oeq",
    "ne": "une",
    "lt": "olt",
    "le": "ole",
    "gt": "ogt",
    "ge": "oge",
}


def register_type(dtype: DType, width: int) -> str:
    """Return the LLVM type of `width` lanes of `dtype` in a register."""
    return vec(LLVM_TYPE[dtype.name], width)


class ScalarEmitter(Elementary):
    """The scalar builder that bodies receive: every method appends to `fn`."""

    def fork(self) -> "ScalarEmitter":
        """Return a builder for blocks that the ones written so far dominate."""
        new = ScalarEmitter(self.fn)
        new._pairs = dict(self._pairs)
        return new

    def lit(self, value: float, like: Typed) -> Typed:
        """Return a constant of the type of `like`."""
        return Typed(const(like.reg.ty, value), like.dtype)

    # -- arithmetic --------------------------------------------------------------------

    def _arith(self, f: str, i: str, x: Typed, y: Typed) -> Typed:
        fn = self.fn
        if x.dtype is BOOL:
            if i == "sub":
                raise TargetError("sub of bool is not an instruction: cast first")
            i = "or_" if i == "add" else "and_"
        return Typed(getattr(fn, f if x.dtype.is_float else i)(x.reg, y.reg), x.dtype)

    def add(self, x: Typed, y: Typed) -> Typed:
        """Return x + y."""
        return self._arith("fadd", "add", x, y)

    def sub(self, x: Typed, y: Typed) -> Typed:
        """Return x - y."""
        return self._arith("fsub", "sub", x, y)

    def mul(self, x: Typed, y: Typed) -> Typed:
        """Return x * y."""
        return self._arith("fmul", "mul", x, y)

    def div(self, x: Typed, y: Typed) -> Typed:
        """Return x / y of floats."""
        return Typed(self.fn.fdiv(self._float("div", x), y.reg), x.dtype)

    def square(self, x: Typed) -> Typed:
        """Return x * x."""
        return self.mul(x, x)

    def recip(self, x: Typed) -> Typed:
        """Return 1 / x."""
        return self.div(self.lit(1.0, x), x)

    def neg(self, x: Typed) -> Typed:
        """Return -x."""
        if x.dtype.is_float:
            return Typed(self.fn.fneg(x.reg), x.dtype)
        return self.sub(self.lit(0, x), x)

    def fma(self, x: Typed, y: Typed, z: Typed) -> Typed:
        """Return x * y + z rounded once."""
        if not x.dtype.is_float:
            return self.add(self.mul(x, y), z)
        return Typed(self.fn.fma(x.reg, y.reg, z.reg), x.dtype)

    def abs(self, x: Typed) -> Typed:
        """Return |x|."""
        if x.dtype.is_float:
            return Typed(self.fn.fabs(x.reg), x.dtype)
        if x.dtype.kind in "ub":
            return x
        return self.maximum(x, self.neg(x))

    def _integer_quotient(self, x: Typed, y: Typed) -> tuple[Typed, Typed]:
        """Return floor quotient and remainder; both 0 where y is 0."""
        fn, zero = self.fn, const(x.reg.ty, 0)
        bad = fn.icmp("eq", y.reg, zero)
        one = const(x.reg.ty, 1)
        if x.dtype.kind == "u":
            safe = fn.select(bad, one, y.reg)
            q, r = fn.udiv(x.reg, safe), fn.urem(x.reg, safe)
        else:
            # the most negative integer over -1 overflows: divide by 1 and negate
            minus = fn.icmp("eq", y.reg, const(x.reg.ty, -1))
            safe = fn.select(fn.or_(bad, minus), one, y.reg)
            q0, r0 = fn.sdiv(x.reg, safe), fn.srem(x.reg, safe)
            opposite = fn.icmp("slt", fn.xor(r0, safe), zero)
            down = fn.and_(opposite, fn.icmp("ne", r0, zero))
            q1 = fn.select(down, fn.sub(q0, one), q0)
            q = fn.select(minus, fn.sub(zero, x.reg), q1)
            r = fn.select(down, fn.add(r0, safe), r0)
        return (
            Typed(fn.select(bad, zero, q), x.dtype),
            Typed(fn.select(bad, zero, r), x.dtype),
        )

    def floordiv(self, x: Typed, y: Typed) -> Typed:
        """Return floor(x / y); of integers 0 where y is 0."""
        if x.dtype.is_float:
            return self.floor(self.div(x, y))
        return self._integer_quotient(x, y)[0]

    def mod(self, x: Typed, y: Typed) -> Typed:
        """Return x - floor(x / y) * y; of integers 0 where y is 0."""
        if x.dtype.is_float:
            q = self.floor(self.div(x, y))
            return self.fma(self.neg(q), y, x)
        return self._integer_quotient(x, y)[1]

    def _extreme(
        self, intrinsic: str, signed: str, unsigned: str, x: Typed, y: Typed
    ) -> Typed:
        if x.dtype.is_float:
            return Typed(
                self.fn.intrinsic(intrinsic, x.reg.ty, (x.reg, y.reg)), x.dtype
            )
        if x.dtype is BOOL:
            return self.or_(x, y) if signed == "smax" else self.and_(x, y)
        name = unsigned if x.dtype.kind == "u" else signed
        return Typed(self.fn.intrinsic(name, x.reg.ty, (x.reg, y.reg)), x.dtype)

    def minimum(self, x: Typed, y: Typed) -> Typed:
        """Return the smaller; NaN if either is."""
        return self._extreme("minimum", "smin", "umin", x, y)

    def maximum(self, x: Typed, y: Typed) -> Typed:
        """Return the larger; NaN if either is."""
        return self._extreme("maximum", "smax", "umax", x, y)

    def copysign(self, x: Typed, sign: Typed) -> Typed:
        """Return |x| with the sign of `sign`."""
        return Typed(self.fn.copysign(self._float("copysign", x), sign.reg), x.dtype)

    def sign(self, x: Typed) -> Typed:
        """Return -1, 0 or 1; NaN of NaN."""
        zero, one = self.lit(0, x), self.lit(1, x)
        if x.dtype.is_float:
            nonzero = self.select(
                self.gt(x, zero), one, self.select(self.lt(x, zero), self.neg(one), x)
            )
            # a zero of either sign gives +0, as NumPy's sign does
            return self.select(self.eq(x, zero), zero, nonzero)
        positive = self.select(self.gt(x, zero), one, zero)
        if x.dtype.kind == "u":
            return positive
        return self.select(self.lt(x, zero), self.neg(one), positive)

    def sqrt(self, x: Typed) -> Typed:
        """Return the square root."""
        return Typed(self.fn.sqrt(self._float("sqrt", x)), x.dtype)

    def floor(self, x: Typed) -> Typed:
        """Round towards minus infinity."""
        return Typed(self.fn.floor(self._float("floor", x)), x.dtype)

    def ceil(self, x: Typed) -> Typed:
        """Round towards plus infinity."""
        return Typed(self.fn.ceil(self._float("ceil", x)), x.dtype)

    def trunc(self, x: Typed) -> Typed:
        """Round towards zero."""
        return Typed(self.fn.trunc_f(self._float("trunc", x)), x.dtype)

    def rint(self, x: Typed) -> Typed:
        """Round to nearest, ties to even."""
        return Typed(self.fn.rint(self._float("rint", x)), x.dtype)

    # -- comparison and logic ----------------------------------------------------------

    def _compare(self, name: str, x: Typed, y: Typed) -> Typed:
        if x.dtype.is_float:
            return Typed(self.fn.fcmp(_FLOAT_PRED[name], x.reg, y.reg), BOOL)
        sign = "s" if x.dtype.kind == "i" else "u"
        pred = name if name in ("eq", "ne") else sign + name
        return Typed(self.fn.icmp(pred, x.reg, y.reg), BOOL)

    def eq(self, x: Typed, y: Typed) -> Typed:
        """Return x == y."""
        return self._compare("eq", x, y)

    def ne(self, x: Typed, y: Typed) -> Typed:
        """Return x != y."""
        return self._compare("ne", x, y)

    def lt(self, x: Typed, y: Typed) -> Typed:
        """Return x < y."""
        return self._compare("lt", x, y)

    def le(self, x: Typed, y: Typed) -> Typed:
        """Return x <= y."""
        return self._compare("le", x, y)

    def gt(self, x: Typed, y: Typed) -> Typed:
        """Return x > y."""
        return self._compare("gt", x, y)

    def ge(self, x: Typed, y: Typed) -> Typed:
        """Return x >= y."""
        return self._compare("ge", x, y)

    def isnan(self, x: Typed) -> Typed:
        """Return whether x is NaN."""
        return Typed(self.fn.fcmp("uno", self._float("isnan", x), x.reg), BOOL)

    def select(self, cond: Typed, x: Typed, y: Typed) -> Typed:
        """Return x where cond holds, else y."""
        return Typed(self.fn.select(cond.reg, x.reg, y.reg), x.dtype)

    def and_(self, x: Typed, y: Typed) -> Typed:
        """Return the bitwise and."""
        return Typed(self.fn.and_(x.reg, y.reg), x.dtype)

    def or_(self, x: Typed, y: Typed) -> Typed:
        """Return the bitwise or."""
        return Typed(self.fn.or_(x.reg, y.reg), x.dtype)

    def xor(self, x: Typed, y: Typed) -> Typed:
        """Return the bitwise exclusive or."""
        return Typed(self.fn.xor(x.reg, y.reg), x.dtype)

    def not_(self, x: Typed) -> Typed:
        """Return the complement."""
        return Typed(self.fn.not_(x.reg), x.dtype)

    def _shift(self, x: Typed, y: Typed) -> tuple[Reg, Reg]:
        """Return whether y is below the number of bits, and y or the most there is."""
        bits = x.dtype.bits
        fits = self.fn.icmp("ult", y.reg, const(y.reg.ty, bits))
        return fits, self.fn.select(fits, y.reg, const(y.reg.ty, bits - 1))

    def shl(self, x: Typed, y: Typed) -> Typed:
        """Return x * 2**y, wrapping."""
        fits, by = self._shift(x, y)
        moved = self.fn.shl(x.reg, by)
        return Typed(self.fn.select(fits, moved, const(x.reg.ty, 0)), x.dtype)

    def shr(self, x: Typed, y: Typed) -> Typed:
        """Return floor(x / 2**y)."""
        fits, by = self._shift(x, y)
        if x.dtype.kind == "i":
            return Typed(self.fn.ashr(x.reg, by), x.dtype)
        moved = self.fn.lshr(x.reg, by)
        return Typed(self.fn.select(fits, moved, const(x.reg.ty, 0)), x.dtype)

    # -- conversion --------------------------------------------------------------------

    def cast(self, x: Typed, dtype: DType) -> Typed:
        """Convert as NumPy's astype does."""
        fn, source = self.fn, x.dtype
        if source is dtype:
            return x
        ty = register_type(dtype, width_of(x.reg.ty))
        if dtype is BOOL:
            return self.ne(x, self.lit(0, x))
        if source.is_float and dtype.is_float:
            op = "fpext" if dtype.bits > source.bits else "fptrunc"
            return Typed(fn.convert(op, x.reg, ty), dtype)
        if source.is_float:
            op = "fptoui" if dtype.kind == "u" else "fptosi"
            # a value out of range is poison in LLVM: freeze it to some integer
            return Typed(fn.freeze(fn.convert(op, x.reg, ty)), dtype)
        if dtype.is_float:
            if source is BOOL:  # a blend: cheaper than to convert a mask
                return Typed(fn.select(x.reg, const(ty, 1.0), const(ty, 0.0)), dtype)
            op = "sitofp" if source.kind == "i" else "uitofp"
            return Typed(fn.convert(op, x.reg, ty), dtype)
        bits = 1 if source is BOOL else source.bits
        if dtype.bits == bits:
            return Typed(x.reg, dtype)
        if dtype.bits < bits:
            return Typed(fn.convert("trunc", x.reg, ty), dtype)
        op = "sext" if source.kind == "i" else "zext"
        return Typed(fn.convert(op, x.reg, ty), dtype)
