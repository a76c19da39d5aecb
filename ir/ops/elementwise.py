"""Elementary functions of one float.

A local derivative that reads `y`, the result, need not keep the operand. Where the
result has rounded away what the derivative needs (expm1 at very negative x, sigmoid at
large x), it reads the operand instead.
"""

from typing import Any

import numpy as np

from ..primitive import NON_DIFFERENTIABLE, Cost, Domain
from . import matrices
from .factory import elementwise

SLOW = Cost.TRANSCENDENTAL
POSITIVE = Domain(0.3, 3.0)

exp = elementwise(
    "exp",
    mirrors=[np.exp],
    scalar=lambda s, x: s.exp(x),
    partials=lambda b, y, x: (y,),
    cost=SLOW,
    doc="Exponential.",
)
expm1 = elementwise(
    "expm1",
    mirrors=[np.expm1],
    scalar=lambda s, x: s.expm1(x),
    partials=lambda b, y, x: (b.exp(x),),
    cost=SLOW,
    doc="exp(x) - 1, accurate near 0.",
)
log = elementwise(
    "log",
    mirrors=[np.log],
    scalar=lambda s, x: s.log(x),
    partials=lambda b, y, x: (b.div(1.0, x),),
    singular=True,
    cost=SLOW,
    domain=POSITIVE,
    kinks="At 0 the cotangent is inf, or 0 where the cotangent of the result is 0.",
    doc="Natural logarithm.",
)
log1p = elementwise(
    "log1p",
    mirrors=[np.log1p],
    scalar=lambda s, x: s.log1p(x),
    partials=lambda b, y, x: (b.div(1.0, b.add(x, 1.0)),),
    singular=True,
    cost=SLOW,
    domain=Domain(-0.7, 3.0),
    kinks="At -1 the cotangent is inf, or 0 where the cotangent of the result is 0.",
    doc="log(1 + x), accurate near 0.",
)
sqrt = elementwise(
    "sqrt",
    mirrors=[np.sqrt],
    scalar=lambda s, x: s.sqrt(x),
    partials=lambda b, y, x: (b.div(0.5, y),),
    singular=True,
    exact=True,
    domain=POSITIVE,
    kinks="At 0 the cotangent is inf, or 0 where the cotangent of the result is 0.",
    matrix=matrices.KEEPS,
    doc="Square root.",
)
sin = elementwise(
    "sin",
    mirrors=[np.sin],
    scalar=lambda s, x: s.sin(x),
    partials=lambda b, y, x: (b.cos(x),),
    cost=SLOW,
    doc="Sine.",
)
cos = elementwise(
    "cos",
    mirrors=[np.cos],
    scalar=lambda s, x: s.cos(x),
    partials=lambda b, y, x: (b.neg(b.sin(x)),),
    cost=SLOW,
    doc="Cosine.",
)
tanh = elementwise(
    "tanh",
    mirrors=[np.tanh],
    scalar=lambda s, x: s.tanh(x),
    partials=lambda b, y, x: (b.fma(b.neg(y), y, 1.0),),
    cost=SLOW,
    domain=Domain(-4.0, 4.0),
    doc="Hyperbolic tangent.",
)


def _sigmoid_body(s: Any, x: Any) -> Any:
    # exp of a negative number only, so neither end overflows
    one = s.lit(1.0, x)
    e = s.exp(s.neg(s.abs(x)))
    return s.div(s.select(s.ge(x, s.lit(0.0, x)), one, e), s.add(one, e))


def _sigmoid_evaluate(x: Any) -> Any:
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, np.ones_like(e), e) / (1 + e)


sigmoid = elementwise(
    "sigmoid",
    evaluate=_sigmoid_evaluate,
    scalar=_sigmoid_body,
    partials=lambda b, y, x: (b.mul(y, b.sigmoid(b.neg(x))),),
    cost=SLOW,
    domain=Domain(-4.0, 4.0),
    doc="1 / (1 + exp(-x)); no digit is lost at either end, nor in its derivative.",
)


def _softplus_body(s: Any, x: Any) -> Any:
    e = s.exp(s.neg(s.abs(x)))
    return s.add(s.maximum(x, s.lit(0.0, x)), s.log1p(e))


softplus = elementwise(
    "softplus",
    evaluate=lambda x: np.logaddexp(x, 0),
    scalar=_softplus_body,
    partials=lambda b, y, x: (b.sigmoid(x),),
    cost=SLOW,
    domain=Domain(-4.0, 4.0),
    doc="log(1 + exp(x)); no overflow and no lost digit at either end.",
)

# --- rounding: steps, so no derivative ------------------------------------------------

floor = elementwise(
    "floor",
    mirrors=[np.floor],
    scalar=lambda s, x: s.floor(x),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    doc="The largest integer that is not above x, as a float.",
)
ceil = elementwise(
    "ceil",
    mirrors=[np.ceil],
    scalar=lambda s, x: s.ceil(x),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    doc="The smallest integer that is not below x, as a float.",
)
trunc = elementwise(
    "trunc",
    mirrors=[np.trunc],
    tf_name=None,
    scalar=lambda s, x: s.trunc(x),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    doc="x without its fraction, as a float.",
)
rint = elementwise(
    "rint",
    mirrors=[np.rint],
    scalar=lambda s, x: s.rint(x),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    doc="The nearest integer as a float, ties to even.",
)
