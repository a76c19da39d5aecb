"""Elementary functions as instructions of the scalar vocabulary.

`codegen/vecmath` writes them; here they meet typed registers.
"""

from typing import NamedTuple, Self

from ..ir.errors import TargetError
from ..ir.types import DType
from .llvm import Function, Reg
from .vecmath import EMITTERS


class Typed(NamedTuple):
    """A register with its element type."""

    reg: Reg
    dtype: DType


class Elementary:
    """The part of the scalar builder that computes functions of floats."""

    def __init__(self, fn: Function) -> None:
        self.fn = fn
        self._pairs: dict[str, tuple[Reg, Reg]] = {}

    def fork(self) -> Self:
        """Return a builder that knows what this one made, and keeps its own to itself.

        For a block this one dominates: what is made there does not reach its siblings,
        even of an argument that does, such as a constant.
        """
        new = type(self)(self.fn)
        new._pairs = dict(self._pairs)
        return new

    def _float(self, name: str, x: Typed) -> Reg:
        if not x.dtype.is_float:
            raise TargetError(f"{name} of {x.dtype} is not an instruction: cast first")
        return x.reg

    def _math(self, name: str, *xs: Typed) -> Typed:
        regs = [self._float(name, x) for x in xs]
        out = EMITTERS[name](self.fn, *regs)
        assert isinstance(out, Reg)
        return Typed(out, xs[0].dtype)

    def exp(self, x: Typed) -> Typed:
        """Return e to the x."""
        return self._math("exp", x)

    def expm1(self, x: Typed) -> Typed:
        """Return exp(x) - 1."""
        return self._math("expm1", x)

    def log(self, x: Typed) -> Typed:
        """Return the natural logarithm."""
        return self._math("log", x)

    def log1p(self, x: Typed) -> Typed:
        """Return log(1 + x)."""
        return self._math("log1p", x)

    def log2(self, x: Typed) -> Typed:
        """Return the logarithm to base 2."""
        return self._math("log2", x)

    def sincos(self, x: Typed) -> tuple[Typed, Typed]:
        """Return sine and cosine; asked twice for one register, computed once."""
        reg = self._float("sincos", x)
        found = self._pairs.get(reg.ref)
        if found is None:
            pair = EMITTERS["sincos"](self.fn, reg)
            assert not isinstance(pair, Reg)
            found = self._pairs[reg.ref] = pair
        return Typed(found[0], x.dtype), Typed(found[1], x.dtype)

    def sin(self, x: Typed) -> Typed:
        """Return the sine; LLVM drops the cosine where nobody asks for it."""
        return self.sincos(x)[0]

    def cos(self, x: Typed) -> Typed:
        """Return the cosine."""
        return self.sincos(x)[1]

    def tanh(self, x: Typed) -> Typed:
        """Return the hyperbolic tangent."""
        return self._math("tanh", x)

    def pow(self, x: Typed, y: Typed) -> Typed:
        """Return x to the y."""
        return self._math("pow", x, y)

    def exp2(self, x: Typed) -> Typed:
        """Return 2 to the x."""
        return self._math("exp2", x)

    def log10(self, x: Typed) -> Typed:
        """Return the logarithm to base 10."""
        return self._math("log10", x)

    def tan(self, x: Typed) -> Typed:
        """Return the tangent."""
        return self._math("tan", x)

    def sinh(self, x: Typed) -> Typed:
        """Return the hyperbolic sine."""
        return self._math("sinh", x)

    def cosh(self, x: Typed) -> Typed:
        """Return the hyperbolic cosine."""
        return self._math("cosh", x)

    def asin(self, x: Typed) -> Typed:
        """Return the arc sine."""
        return self._math("asin", x)

    def acos(self, x: Typed) -> Typed:
        """Return the arc cosine."""
        return self._math("acos", x)

    def atan(self, x: Typed) -> Typed:
        """Return the arc tangent."""
        return self._math("atan", x)

    def atan2(self, y: Typed, x: Typed) -> Typed:
        """Return the angle of the point (x, y)."""
        return self._math("atan2", y, x)

    def asinh(self, x: Typed) -> Typed:
        """Return the inverse hyperbolic sine."""
        return self._math("asinh", x)

    def acosh(self, x: Typed) -> Typed:
        """Return the inverse hyperbolic cosine."""
        return self._math("acosh", x)

    def atanh(self, x: Typed) -> Typed:
        """Return the inverse hyperbolic tangent."""
        return self._math("atanh", x)

    def cbrt(self, x: Typed) -> Typed:
        """Return the cube root."""
        return self._math("cbrt", x)

    def hypot(self, x: Typed, y: Typed) -> Typed:
        """Return sqrt(x * x + y * y) without overflow on the way."""
        return self._math("hypot", x, y)

    def erf(self, x: Typed) -> Typed:
        """Return the error function."""
        return self._math("erf", x)

    def erfc(self, x: Typed) -> Typed:
        """Return 1 - erf(x), in full where that is small."""
        return self._math("erfc", x)

    def lgamma(self, x: Typed) -> Typed:
        """Return the logarithm of the absolute value of the gamma function."""
        return self._math("lgamma", x)

    def digamma(self, x: Typed) -> Typed:
        """Return the derivative of lgamma."""
        return self._math("digamma", x)
