"""Tangent, and the inverses of sine, cosine and tangent."""

from collections.abc import Sequence

import numpy as np

from ..builder import Builder
from ..graph import Value
from ..primitive import Cost, Domain
from .factory import elementwise

SLOW = Cost.TRANSCENDENTAL
INSIDE = Domain(-0.9, 0.9)
AT_ONE = "At -1 and 1 the cotangent is infinite, or 0 where that of the result is 0."


def _root_of_rest(b: Builder, x: Value) -> Value:
    """Return 1/sqrt(1 - x^2): the fma is exact where x is near 1."""
    return b.rsqrt(b.fma(b.neg(x), x, 1.0))  # type: ignore[no-any-return]


tan = elementwise(
    "tan",
    mirrors=[np.tan],
    scalar=lambda s, x: s.tan(x),
    partials=lambda b, y, x: (b.fma(y, y, 1.0),),
    cost=SLOW,
    domain=Domain(-1.2, 1.2),
    doc="Tangent.",
)
asin = elementwise(
    "asin",
    mirrors=[np.arcsin],
    scalar=lambda s, x: s.asin(x),
    partials=lambda b, y, x: (_root_of_rest(b, x),),
    singular=True,
    cost=SLOW,
    domain=INSIDE,
    kinks=AT_ONE,
    doc="Arc sine.",
)
acos = elementwise(
    "acos",
    mirrors=[np.arccos],
    scalar=lambda s, x: s.acos(x),
    partials=lambda b, y, x: (b.neg(_root_of_rest(b, x)),),
    singular=True,
    cost=SLOW,
    domain=INSIDE,
    kinks=AT_ONE,
    doc="Arc cosine.",
)
atan = elementwise(
    "atan",
    mirrors=[np.arctan],
    scalar=lambda s, x: s.atan(x),
    partials=lambda b, y, x: (b.div(1.0, b.fma(x, x, 1.0)),),
    cost=SLOW,
    doc="Arc tangent.",
)


def _atan2_partials(b: Builder, out: Value, y: Value, x: Value) -> Sequence[Value]:
    # x / r^2 without the square, which may overflow
    r = b.hypot(x, y)
    return b.div(b.div(x, r), r), b.neg(b.div(b.div(y, r), r))


atan2 = elementwise(
    "atan2",
    mirrors=[np.arctan2],
    scalar=lambda s, y, x: s.atan2(y, x),
    partials=_atan2_partials,
    singular=True,
    cost=SLOW,
    domain=(Domain(0.3, 3.0), Domain(-3.0, 3.0)),
    kinks="At the origin the cotangents are NaN, or 0 where that of the result is 0; "
    "on the negative x axis, where the angle jumps, they are as beside it.",
    doc="Angle of the point (x, y), where y comes first.",
)
