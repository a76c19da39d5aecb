"""Roots, other bases, and logarithms of sums."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..graph import Value
from ..primitive import Cost, Domain
from .factory import accept_float, elementwise

SLOW = Cost.TRANSCENDENTAL
POSITIVE = Domain(0.3, 3.0)
AT_ZERO = "At 0 the cotangent is infinite, or 0 where that of the result is 0."

exp2 = elementwise(
    "exp2",
    mirrors=[np.exp2],
    scalar=lambda s, x: s.exp2(x),
    partials=lambda b, y, x: (b.mul(y, math.log(2.0)),),
    cost=SLOW,
    doc="2 to the power x.",
)
log2 = elementwise(
    "log2",
    mirrors=[np.log2],
    scalar=lambda s, x: s.log2(x),
    partials=lambda b, y, x: (b.div(1.0 / math.log(2.0), x),),
    singular=True,
    cost=SLOW,
    domain=POSITIVE,
    kinks=AT_ZERO,
    doc="Logarithm to base 2.",
)
log10 = elementwise(
    "log10",
    mirrors=[np.log10],
    scalar=lambda s, x: s.log10(x),
    partials=lambda b, y, x: (b.div(1.0 / math.log(10.0), x),),
    singular=True,
    cost=SLOW,
    domain=POSITIVE,
    kinks=AT_ZERO,
    doc="Logarithm to base 10.",
)
cbrt = elementwise(
    "cbrt",
    mirrors=[np.cbrt],
    tf_name=None,
    scalar=lambda s, x: s.cbrt(x),
    partials=lambda b, y, x: (b.div(1.0 / 3.0, b.square(y)),),
    singular=True,
    cost=SLOW,
    domain=POSITIVE,
    kinks=AT_ZERO,
    doc="Cube root, also of negative numbers.",
)


def _rsqrt_evaluate(x: Any) -> Any:
    return np.asarray(1 / np.sqrt(x), np.asarray(x).dtype)


rsqrt = elementwise(
    "rsqrt",
    accept=accept_float("rsqrt", 1),
    evaluate=_rsqrt_evaluate,
    scalar=lambda s, x: s.recip(s.sqrt(x)),
    partials=lambda b, y, x: (b.mul(b.mul(y, b.square(y)), -0.5),),
    singular=True,
    exact=True,
    domain=POSITIVE,
    kinks=AT_ZERO,
    doc="1 / sqrt(x).",
)


def _hypot_partials(b: Builder, out: Value, x: Value, y: Value) -> Sequence[Value]:
    length = b.select(b.eq(out, 0.0), 1.0, out)
    return b.div(x, length), b.div(y, length)


hypot = elementwise(
    "hypot",
    mirrors=[np.hypot],
    tf_name=None,
    scalar=lambda s, x, y: s.hypot(x, y),
    partials=_hypot_partials,
    domain=(POSITIVE, Domain(-3.0, 3.0)),
    kinks="At the origin the derivatives are 0.",
    doc="sqrt(x * x + y * y); no overflow on the way.",
)


def _gap(b: Builder, x: Value, y: Value) -> Value:
    # equal infinities are at no distance; elsewhere the gap has its own derivative
    same = b.logical_and(b.eq(x, y), b.logical_not(b.isfinite(x)))
    return b.select(same, 0.0, b.sub(x, y))  # type: ignore[no-any-return]


def _logaddexp_partials(b: Builder, out: Value, x: Value, y: Value) -> Sequence[Value]:
    gap = _gap(b, x, y)
    return b.sigmoid(gap), b.sigmoid(b.neg(gap))


def _logaddexp_body(s: Any, x: Any, y: Any) -> Any:
    # of equal infinities the gap would be NaN
    gap = s.select(s.eq(x, y), s.lit(0.0, x), s.sub(x, y))
    return s.add(s.maximum(x, y), s.log1p(s.exp(s.neg(s.abs(gap)))))


logaddexp = elementwise(
    "logaddexp",
    mirrors=[np.logaddexp],
    tf_name=None,
    scalar=_logaddexp_body,
    partials=_logaddexp_partials,
    cost=SLOW,
    domain=POSITIVE,
    doc="log(exp(x) + exp(y)); no overflow and no lost digit at either end.",
)


def _xlogy_evaluate(x: Any, y: Any) -> Any:
    x, y = np.asarray(x), np.asarray(y)
    nothing = (x == 0) & ~np.isnan(y)
    return np.where(nothing, x.dtype.type(0), x * np.log(np.where(nothing, 1, y)))


def _xlogy_partials(b: Builder, out: Value, x: Value, y: Value) -> Sequence[Value]:
    # 0 log(0) is 0, and stays so where y moves
    corner = b.logical_and(b.eq(x, 0.0), b.eq(y, 0.0))
    safe = b.select(corner, 1.0, y)
    return b.log(safe), b.div(x, safe)


def _xlogy_body(s: Any, x: Any, y: Any) -> Any:
    zero = s.lit(0.0, x)
    nothing = s.and_(s.eq(x, zero), s.not_(s.isnan(y)))
    log = s.log(s.select(nothing, s.lit(1.0, y), y))
    return s.select(nothing, zero, s.mul(x, log))


xlogy = elementwise(
    "xlogy",
    accept=accept_float("xlogy", 2),
    arity=2,
    evaluate=_xlogy_evaluate,
    scalar=_xlogy_body,
    partials=_xlogy_partials,
    singular=True,
    cost=SLOW,
    domain=(Domain(-3.0, 3.0), POSITIVE),
    kinks="Where x and y are 0 the derivatives are 0; where y alone is, d/dx is -inf.",
    doc="x * log(y), and 0 where x is 0, whatever number y is.",
)
