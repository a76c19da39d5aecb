"""Elementary functions written inline as LLVM IR, for any vector width.

Each emitter appends instructions to a function and returns registers of the type of
its argument: `double` or `float`, one lane or many. The same IEEE operations are
written for every width, so a value has the same bits in any lane of any vector. Nothing
here calls a library, and nothing here knows of graphs or of kernels.
"""

from collections.abc import Callable

from ..llvm import Reg
from .exponential import exp, expm1, tanh
from .logarithm import log, log1p, log2
from .power import pow
from .trigonometric import cos, sin, sincos

Emitter = Callable[..., Reg | tuple[Reg, Reg]]

#: By name. `sincos` returns (sine, cosine); `pow` takes two arguments.
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
}

__all__ = ["EMITTERS", "Emitter"]
