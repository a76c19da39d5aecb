"""Elementary functions written inline as LLVM IR, for any vector width.

Each emitter appends instructions to a function and returns registers of the type of
its argument: `double` or `float`, one lane or many. The same IEEE operations are
written for every width, so a value has the same bits in any lane of any vector. Nothing
here calls a library, and nothing here knows of graphs or of kernels.
"""

from collections.abc import Callable

from ..llvm import Reg
from .error_function import erf, erfc
from .exponential import exp, exp2, expm1, tanh
from .gamma import digamma, lgamma
from .hyperbolic import acosh, asinh, atanh, cosh, sinh
from .inverse import acos, asin, atan, atan2
from .logarithm import log, log1p, log2, log10
from .power import pow
from .roots import cbrt, hypot
from .trigonometric import cos, sin, sincos, tan

Emitter = Callable[..., Reg | tuple[Reg, Reg]]

#: By name. `sincos` returns (sine, cosine); those of `TWO_ARGUMENTS` take two.
EMITTERS: dict[str, Emitter] = {
    "exp": exp,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "log2": log2,
    "sin": sin,
    "cos": cos,
    "sincos": sincos,
    "tanh": tanh,
    "pow": pow,
    "exp2": exp2,
    "log10": log10,
    "tan": tan,
    "sinh": sinh,
    "cosh": cosh,
    "asin": asin,
    "acos": acos,
    "atan": atan,
    "atan2": atan2,
    "asinh": asinh,
    "acosh": acosh,
    "atanh": atanh,
    "cbrt": cbrt,
    "hypot": hypot,
    "erf": erf,
    "erfc": erfc,
    "lgamma": lgamma,
    "digamma": digamma,
}

TWO_ARGUMENTS = frozenset({"pow", "atan2", "hypot"})

__all__ = ["EMITTERS", "TWO_ARGUMENTS", "Emitter"]
