"""Floor division and its remainder, of integers and of floats.

A scalar body does not see its dtype, so param `real` says which of the two is meant.
"""

from typing import Any

import numpy as np

from ..builder import Builder
from ..graph import Value
from ..primitive import NON_DIFFERENTIABLE, Accept, Domain, Sample
from ..promote import Operand, accept_ufunc
from ..types import TensorType
from .factory import elementwise, map_type, type_error


def _floor_parts(s: Any, x: Any, y: Any) -> tuple[Any, Any]:
    """Return floor(x / y) and x - floor(x / y) * y of floats.

    While |x| >= |y| the remainder of a rounded or floored quotient is a multiple of the
    last place of y and no larger than a float can hold, so one fma yields it exactly.
    Each step takes as many bits off the quotient as a significand has; the last settles
    a quotient that was rounded up. Past three significands the remainder is NaN.
    """
    zero = s.lit(0.0, x)
    opposite = s.and_(s.xor(s.lt(x, zero), s.lt(y, zero)), s.ne(x, zero))
    inside = s.lt(s.abs(x), s.abs(y))
    near_q = s.select(opposite, s.lit(-1.0, x), zero)
    near_r = s.select(opposite, s.add(x, y), x)
    q, r = zero, x
    for _ in range(3):
        step = s.floor(s.div(r, y))
        r = s.fma(s.neg(step), y, r)
        q = s.add(q, step)
    # of the other sign, it is short by the step that would have settled it
    settled = s.or_(s.eq(r, zero), s.not_(s.xor(s.lt(r, zero), s.lt(y, zero))))
    reduced = s.and_(s.lt(s.abs(r), s.abs(y)), settled)
    nan = s.lit(float("nan"), x)
    finite = s.lt(s.abs(x), s.lit(float("inf"), x))
    # so large a quotient is its own floor; a divisor of 0 leaves it as it is
    whole = s.or_(finite, s.eq(y, s.lit(0.0, y)))
    q = s.select(reduced, q, s.select(whole, s.div(x, y), nan))
    r = s.select(reduced, r, nan)
    return s.select(inside, near_q, q), s.select(inside, near_r, r)


def _floor_divide_body(s: Any, x: Any, y: Any, *, real: bool) -> Any:
    if not real:
        return s.floordiv(x, y)
    zero = s.lit(0.0, x)
    q, _ = _floor_parts(s, x, y)
    return s.select(s.eq(q, zero), s.copysign(zero, s.div(x, y)), q)


def _mod_body(s: Any, x: Any, y: Any, *, real: bool) -> Any:
    if not real:
        return s.mod(x, y)
    zero = s.lit(0.0, x)
    _, r = _floor_parts(s, x, y)
    return s.select(s.eq(r, zero), s.copysign(zero, y), r)


def _accept(name: str, ufunc: np.ufunc) -> Accept:
    plain = accept_ufunc(name, ufunc)

    def accept(b: Builder, *args: Operand) -> tuple[tuple[Value, ...], dict[str, Any]]:
        operands, _ = plain(b, *args)
        return operands, {"real": operands[0].type.dtype.is_float}

    return accept


def _type(name: str) -> Any:  # Any: a TypeRule with the param named
    same = map_type(name, "fiu", "same")

    def infer(x: TensorType, y: TensorType, *, real: bool) -> tuple[TensorType, ...]:
        if real != x.dtype.is_float:
            raise type_error(name, f"real={real} does not fit {x.dtype.name}", [x, y])
        return same(x, y)

    return infer


def _mod_vjp(
    b: Builder, ct: Value, out: Value, x: Value, y: Value, *, real: bool
) -> list[Value | None]:
    quotient = b.floor_divide(x, y, real=real)
    return [ct, b.neg(b.mask_mul(ct, quotient))]


_BOTH = (
    Sample(((None,), (None,)), {"real": True}),
    Sample(
        ((None,), (None,)),
        {"real": False},
        dtypes=("i64", "i64"),
        integers=((0, -20, 20), (1, 1, 7)),
    ),
    Sample(
        ((None,), (None,)),
        {"real": False},
        dtypes=("i32", "i32"),
        integers=((0, -20, 20), (1, -7, 0)),
    ),
)

floor_divide = elementwise(
    "floor_divide",
    mirrors=[np.floor_divide],
    tf_name="floordiv",
    accept=_accept("floor_divide", np.floor_divide),
    infer=_type("floor_divide"),
    evaluate=lambda x, y, real: np.floor_divide(x, y),
    scalar=_floor_divide_body,
    partials=NON_DIFFERENTIABLE,
    domain=(Domain(-9.0, 9.0), Domain(0.7, 3.0)),
    samples=_BOTH,
    doc="floor(x / y), rounded where the quotient passes 2**53 (f32: 2**24).",
)
mod = elementwise(
    "mod",
    mirrors=[np.remainder],
    tf_name="floormod",
    accept=_accept("mod", np.remainder),
    infer=_type("mod"),
    evaluate=lambda x, y, real: np.remainder(x, y),
    scalar=_mod_body,
    vjp=_mod_vjp,
    domain=(Domain(0.1, 0.6), Domain(0.7, 3.0)),
    kinks="Where x is a multiple of y the derivative is that of one side.",
    samples=_BOTH,
    doc="x - floor(x / y) * y; NaN where the quotient passes 2**100 (f32: 2**45).",
)
