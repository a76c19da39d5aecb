"""Elementwise ops of one and two floats: arithmetic and elementary functions.

A local derivative that reads `y`, the result, need not keep the operand.
"""

import numpy as np

from ..primitive import Cost, Domain
from .factory import elementwise

SLOW = Cost.TRANSCENDENTAL
POSITIVE = Domain(0.3, 3.0)

# --- arithmetic -----------------------------------------------------------------------

neg = elementwise(
    "neg",
    mirrors=[np.negative],
    tf_name="negative",
    scalar=lambda s, x: s.neg(x),
    partials=lambda b, y, x: (-1.0,),
    exact=True,
    doc="Negative of each element.",
)
add = elementwise(
    "add",
    mirrors=[np.add],
    scalar=lambda s, x, y: s.add(x, y),
    partials=lambda b, out, x, y: (1.0, 1.0),
    exact=True,
    doc="Sum of two arrays. Added to a product of floats it is one fma.",
)
sub = elementwise(
    "sub",
    mirrors=[np.subtract],
    tf_name="subtract",
    scalar=lambda s, x, y: s.sub(x, y),
    partials=lambda b, out, x, y: (1.0, -1.0),
    exact=True,
    doc="Difference of two arrays.",
)
mul = elementwise(
    "mul",
    mirrors=[np.multiply],
    tf_name="multiply",
    scalar=lambda s, x, y: s.mul(x, y),
    partials=lambda b, out, x, y: (y, x),
    exact=True,
    doc="Product of two arrays.",
)
div = elementwise(
    "div",
    mirrors=[np.true_divide],
    tf_name="divide",
    scalar=lambda s, x, y: s.div(x, y),
    partials=lambda b, out, x, y: (b.div(1.0, y), b.neg(b.div(out, y))),
    singular=True,
    exact=True,
    domain=(Domain(-3.0, 3.0), POSITIVE),
    doc="Quotient of two arrays, always of floats.",
)

# --- elementary functions ----------------------------------------------------------------

exp = elementwise(
    "exp",
    mirrors=[np.exp],
    scalar=lambda s, x: s.exp(x),
    partials=lambda b, y, x: (y,),
    cost=SLOW,
    doc="Exponential.",
)
tanh = elementwise(
    "tanh",
    mirrors=[np.tanh],
    scalar=lambda s, x: s.tanh(x),
    partials=lambda b, y, x: (b.mul(b.sub(1.0, y), b.add(1.0, y)),),
    cost=SLOW,
    domain=Domain(-4.0, 4.0),
    doc="Hyperbolic tangent.",
)
