"""The closed scalar vocabulary: what a scalar body may say.

A body receives a builder with these instructions and one scalar an operand; it works
for every element type the op takes. Codegen implements the vocabulary once, on vectors
of any width; a target that lacks an instruction refuses it by name.
"""

from collections.abc import Mapping
from typing import Any, Protocol

from .types import DType

CHEAP = 1
SLOW = 16

# instruction -> cost in cheap instructions, for fusion and rematerialisation
VOCABULARY: Mapping[str, int] = {
    "lit": 0,
    "add": 1, "sub": 1, "mul": 1, "div": 4, "neg": 1, "fma": 1, "abs": 1,
    "floordiv": 8, "mod": 8, "square": 1, "recip": 4,
    "minimum": 2, "maximum": 2, "copysign": 1, "sign": 3,
    "sqrt": 6, "floor": 1, "ceil": 1, "trunc": 1, "rint": 1,
    "eq": 1, "ne": 1, "lt": 1, "le": 1, "gt": 1, "ge": 1, "isnan": 1,
    "select": 1, "and_": 1, "or_": 1, "xor": 1, "not_": 1,
    "shl": 3, "shr": 3,
    "cast": 1,
    "exp": 16, "expm1": 20, "log": 18, "log1p": 20, "log2": 20,
    "sin": 24, "cos": 24, "sincos": 28, "tanh": 24, "pow": 48,
    "exp2": 16, "log10": 24, "tan": 40, "sinh": 28, "cosh": 28, "asin": 40, "acos": 40,
    "atan": 36, "atan2": 48, "asinh": 60, "acosh": 60, "atanh": 48, "cbrt": 32,
    "hypot": 16, "erf": 48, "erfc": 72, "lgamma": 96, "digamma": 96,
}  # fmt: skip


class ScalarBuilder(Protocol):
    """The instructions. Any: a scalar is whatever the implementation computes with."""

    def lit(self, value: float, like: Any) -> Any:
        """Return a constant of the type of `like`."""

    def add(self, x: Any, y: Any) -> Any: ...  # noqa: D102 - the names say it
    def sub(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def mul(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def div(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def neg(self, x: Any) -> Any: ...  # noqa: D102
    def fma(self, x: Any, y: Any, z: Any) -> Any:
        """Return x * y + z rounded once (wrapping for integers)."""

    def abs(self, x: Any) -> Any: ...  # noqa: D102
    def floordiv(self, x: Any, y: Any) -> Any:
        """Return floor(x / y) of integers; 0 where y is 0."""

    def mod(self, x: Any, y: Any) -> Any:
        """Return x - floor(x / y) * y of integers; 0 where y is 0."""

    def minimum(self, x: Any, y: Any) -> Any:
        """Return the smaller; NaN if either is."""

    def maximum(self, x: Any, y: Any) -> Any:
        """Return the larger; NaN if either is."""

    def copysign(self, x: Any, sign: Any) -> Any: ...  # noqa: D102
    def sign(self, x: Any) -> Any:
        """Return -1, 0 or 1; NaN of NaN."""

    def sqrt(self, x: Any) -> Any: ...  # noqa: D102
    def floor(self, x: Any) -> Any: ...  # noqa: D102
    def ceil(self, x: Any) -> Any: ...  # noqa: D102
    def trunc(self, x: Any) -> Any: ...  # noqa: D102
    def rint(self, x: Any) -> Any: ...  # noqa: D102
    def eq(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def ne(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def lt(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def le(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def gt(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def ge(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def isnan(self, x: Any) -> Any: ...  # noqa: D102
    def select(self, cond: Any, x: Any, y: Any) -> Any:
        """Return x where cond holds, else y; neither side is evaluated less."""

    def and_(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def or_(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def xor(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def not_(self, x: Any) -> Any: ...  # noqa: D102
    def shl(self, x: Any, y: Any) -> Any:
        """Return x * 2**y of integers, wrapping; 0 where y is not in [0, bits)."""

    def shr(self, x: Any, y: Any) -> Any:
        """Return floor(x / 2**y) of integers; the sign of x where y is not in range."""

    def cast(self, x: Any, dtype: DType) -> Any:
        """Convert as NumPy's astype does; float to integer truncates."""

    def exp(self, x: Any) -> Any: ...  # noqa: D102
    def expm1(self, x: Any) -> Any: ...  # noqa: D102
    def log(self, x: Any) -> Any: ...  # noqa: D102
    def log1p(self, x: Any) -> Any: ...  # noqa: D102
    def log2(self, x: Any) -> Any: ...  # noqa: D102
    def sin(self, x: Any) -> Any: ...  # noqa: D102
    def cos(self, x: Any) -> Any: ...  # noqa: D102
    def sincos(self, x: Any) -> tuple[Any, Any]: ...  # noqa: D102
    def tanh(self, x: Any) -> Any: ...  # noqa: D102
    def pow(self, x: Any, y: Any) -> Any: ...  # noqa: D102
    def exp2(self, x: Any) -> Any: ...  # noqa: D102
    def log10(self, x: Any) -> Any: ...  # noqa: D102
    def tan(self, x: Any) -> Any: ...  # noqa: D102
    def sinh(self, x: Any) -> Any: ...  # noqa: D102
    def cosh(self, x: Any) -> Any: ...  # noqa: D102
    def asin(self, x: Any) -> Any: ...  # noqa: D102
    def acos(self, x: Any) -> Any: ...  # noqa: D102
    def atan(self, x: Any) -> Any: ...  # noqa: D102
    def atan2(self, y: Any, x: Any) -> Any:
        """Return the angle of the point (x, y)."""

    def asinh(self, x: Any) -> Any: ...  # noqa: D102
    def acosh(self, x: Any) -> Any: ...  # noqa: D102
    def atanh(self, x: Any) -> Any: ...  # noqa: D102
    def cbrt(self, x: Any) -> Any: ...  # noqa: D102
    def hypot(self, x: Any, y: Any) -> Any:
        """Return sqrt(x * x + y * y) without overflow on the way."""

    def erf(self, x: Any) -> Any:
        """Return the error function."""

    def erfc(self, x: Any) -> Any:
        """Return 1 - erf(x), in full where that is small."""

    def lgamma(self, x: Any) -> Any:
        """Return the logarithm of the absolute value of the gamma function."""

    def digamma(self, x: Any) -> Any:
        """Return the derivative of lgamma."""
