"""Arithmetic: ops whose scalar body is a few cheap instructions."""

from typing import Any

import numpy as np

from ..builder import Builder
from ..graph import Value
from ..primitive import Domain
from . import matrices, sums
from .factory import accept_float, elementwise

NUMBERS = "fiu"
ANY = "fiub"  # of bool, a sum is an or, a product an and
POSITIVE = Domain(0.3, 3.0)

neg = elementwise(
    "neg",
    mirrors=[np.negative],
    tf_name="negative",
    kinds=NUMBERS,
    scalar=lambda s, x: s.neg(x),
    partials=lambda b, y, x: (-1.0,),
    exact=True,
    matrix=matrices.NEGATES,
    sums=sums.LINEAR,
    doc="Negative of each element.",
)
add = elementwise(
    "add",
    mirrors=[np.add],
    kinds=ANY,
    scalar=lambda s, x, y: s.add(x, y),
    partials=lambda b, out, x, y: (1.0, 1.0),
    exact=True,
    matrix=matrices.ADDS,
    sums=sums.LINEAR,
    doc="Sum of two arrays. Added to a product of floats it is one fma.",
)


def _sub_jvp(
    b: Builder, tangents: tuple[Value | None, ...], out: Value, x: Value, y: Value
) -> Value | None:
    t_x, t_y = tangents
    if t_x is None or t_y is None:
        return t_x if t_y is None else b.neg(t_y)
    return b.sub(t_x, t_y)  # type: ignore[no-any-return]


sub = elementwise(
    "sub",
    mirrors=[np.subtract],
    tf_name="subtract",
    kinds=NUMBERS,
    scalar=lambda s, x, y: s.sub(x, y),
    partials=lambda b, out, x, y: (1.0, -1.0),
    jvp=_sub_jvp,
    exact=True,
    matrix=matrices.SUBTRACTS,
    sums=sums.LINEAR,
    doc="Difference of two arrays. With a product of floats it is one fma.",
)
mul = elementwise(
    "mul",
    mirrors=[np.multiply],
    tf_name="multiply",
    kinds=ANY,
    scalar=lambda s, x, y: s.mul(x, y),
    partials=lambda b, out, x, y: (y, x),
    exact=True,
    matrix=matrices.MULTIPLIES,
    sums=sums.PRODUCT,
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
    kinks="Where y is 0 the cotangents are 0 if the cotangent of the result is.",
    matrix=matrices.DIVIDES,
    doc="Quotient of two arrays, always of floats.",
)


def _fma_evaluate(x: Any, y: Any, z: Any) -> Any:
    wide = np.asarray(x).astype(np.longdouble) * y + z
    return wide.astype(np.asarray(x).dtype)


fma = elementwise(
    "fma",
    tf_name=None,
    arity=3,
    evaluate=_fma_evaluate,
    scalar=lambda s, x, y, z: s.fma(x, y, z),
    partials=lambda b, out, x, y, z: (y, x, 1.0),
    matrix=matrices.MULTIPLIES_AND_ADDS,
    sums=sums.PRODUCT_AND_TERM,
    doc="x * y + z of floats, rounded once.",
)
square = elementwise(
    "square",
    mirrors=[np.square],
    kinds=NUMBERS,
    scalar=lambda s, x: s.square(x),
    partials=lambda b, y, x: (b.mul(x, 2.0),),
    exact=True,
    doc="Square of each element.",
)
abs_ = elementwise(
    "abs",
    mirrors=[np.absolute],
    kinds=NUMBERS,
    scalar=lambda s, x: s.abs(x),
    partials=lambda b, y, x: (b.sign(x),),
    exact=True,
    domain=Domain(-3.0, 3.0, away=(0.0,)),
    kinks="At 0 the derivative is 0.",
    matrix=matrices.KEEPS,
    doc="Absolute value.",
)
sign = elementwise(
    "sign",
    mirrors=[np.sign],
    kinds=NUMBERS,
    scalar=lambda s, x: s.sign(x),
    partials=lambda b, y, x: (0.0,),
    exact=True,
    domain=Domain(-3.0, 3.0, away=(0.0,)),
    kinks="The derivative is 0 everywhere, 0 included; the result stays connected.",
    matrix=matrices.KEEPS,
    doc="-1, 0 or 1; NaN of NaN.",
)


def _maximum_vjp(
    b: Builder, ct: Value, out: Value, x: Value, y: Value
) -> list[Value | None]:
    first = b.ge(x, y)
    return [b.select(first, ct, 0.0), b.select(first, 0.0, ct)]


def _minimum_vjp(
    b: Builder, ct: Value, out: Value, x: Value, y: Value
) -> list[Value | None]:
    first = b.le(x, y)
    return [b.select(first, ct, 0.0), b.select(first, 0.0, ct)]


def _larger_jvp(
    b: Builder, tangents: tuple[Value | None, ...], out: Value, x: Value, y: Value
) -> Value | None:
    t_x, t_y = (0.0 if t is None else t for t in tangents)
    return b.select(b.ge(x, y), t_x, t_y)  # type: ignore[no-any-return]


def _smaller_jvp(
    b: Builder, tangents: tuple[Value | None, ...], out: Value, x: Value, y: Value
) -> Value | None:
    t_x, t_y = (0.0 if t is None else t for t in tangents)
    return b.select(b.le(x, y), t_x, t_y)  # type: ignore[no-any-return]


maximum = elementwise(
    "maximum",
    mirrors=[np.maximum],
    kinds=ANY,
    scalar=lambda s, x, y: s.maximum(x, y),
    vjp=_maximum_vjp,
    jvp=_larger_jvp,
    exact=True,
    kinks="At a tie the whole cotangent goes to the first operand.",
    doc="The larger of two elements; NaN if either is.",
)
minimum = elementwise(
    "minimum",
    mirrors=[np.minimum],
    kinds=ANY,
    scalar=lambda s, x, y: s.minimum(x, y),
    vjp=_minimum_vjp,
    jvp=_smaller_jvp,
    exact=True,
    kinks="At a tie the whole cotangent goes to the first operand.",
    doc="The smaller of two elements; NaN if either is.",
)


def _mask_mul_evaluate(ct: Any, local: Any) -> Any:
    ct = np.asarray(ct)
    return np.where(ct == 0, ct.dtype.type(0), ct * local)


def _mask_mul_vjp(
    b: Builder, g: Value, out: Value, ct: Value, local: Value
) -> list[Value | None]:
    # where the product was masked, its derivative by ct is masked too: 0, not local
    stuck = b.logical_and(b.eq(ct, 0.0), b.logical_not(b.isfinite(local)))
    return [b.mask_mul(g, b.select(stuck, 0.0, local)), b.mask_mul(g, ct)]


mask_mul = elementwise(
    "mask_mul",
    tf_name="multiply_no_nan",
    arity=2,
    accept=accept_float("mask_mul", 2),
    evaluate=_mask_mul_evaluate,
    scalar=lambda s, ct, local: s.select(
        s.eq(ct, s.lit(0.0, ct)), s.lit(0.0, ct), s.mul(ct, local)
    ),
    vjp=_mask_mul_vjp,
    exact=True,
    kinks="The derivatives are masked products too: 0 where their cotangent is 0.",
    matrix=matrices.MULTIPLIES_MASKED,
    doc="ct * local, and 0 where ct is 0 whatever local is.",
)
