"""Hyperbolic sine and cosine, and the inverses of the hyperbolic functions."""

from collections.abc import Sequence

import numpy as np

from ..builder import Builder
from ..graph import Value
from ..primitive import Cost, Domain
from .factory import elementwise

SLOW = Cost.TRANSCENDENTAL

sinh = elementwise(
    "sinh",
    mirrors=[np.sinh],
    scalar=lambda s, x: s.sinh(x),
    partials=lambda b, y, x: (b.cosh(x),),
    cost=SLOW,
    doc="Hyperbolic sine.",
)
cosh = elementwise(
    "cosh",
    mirrors=[np.cosh],
    scalar=lambda s, x: s.cosh(x),
    partials=lambda b, y, x: (b.sinh(x),),
    cost=SLOW,
    doc="Hyperbolic cosine.",
)
asinh = elementwise(
    "asinh",
    mirrors=[np.arcsinh],
    scalar=lambda s, x: s.asinh(x),
    partials=lambda b, y, x: (b.div(1.0, b.hypot(x, 1.0)),),
    cost=SLOW,
    doc="Inverse hyperbolic sine.",
)


def _acosh_partials(b: Builder, y: Value, x: Value) -> Sequence[Value]:
    # two roots: x^2 - 1 would overflow
    return (b.mul(b.rsqrt(b.sub(x, 1.0)), b.rsqrt(b.add(x, 1.0))),)


acosh = elementwise(
    "acosh",
    mirrors=[np.arccosh],
    scalar=lambda s, x: s.acosh(x),
    partials=_acosh_partials,
    singular=True,
    cost=SLOW,
    domain=Domain(1.2, 4.0),
    kinks="At 1 the cotangent is infinite, or 0 where that of the result is 0.",
    doc="Inverse hyperbolic cosine.",
)
atanh = elementwise(
    "atanh",
    mirrors=[np.arctanh],
    scalar=lambda s, x: s.atanh(x),
    partials=lambda b, y, x: (b.div(1.0, b.fma(b.neg(x), x, 1.0)),),
    singular=True,
    cost=SLOW,
    domain=Domain(-0.9, 0.9),
    kinks="At -1 and 1 the cotangent is infinite, or 0 where that of the result is 0.",
    doc="Inverse hyperbolic tangent.",
)
