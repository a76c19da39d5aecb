"""Powers: of two floats, and by an integer known when traced."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..builder import Builder
from ..graph import Value
from ..primitive import Cost, Domain, Sample
from ..promote import Operand, op_error
from ..types import TensorType
from .axes import as_value
from .factory import check_kind, elementwise, type_error


def _pow_partials(b: Builder, out: Value, x: Value, y: Value) -> Sequence[Value]:
    # the masks stand on the factors, so that no NaN enters at any order
    to_base = b.mask_mul(y, b.pow(x, b.sub(y, 1.0)))
    positive = b.gt(x, 0.0)
    log = b.log(b.select(positive, x, 1.0))
    return to_base, b.select(positive, b.mul(out, log), 0.0)


pow_ = elementwise(
    "pow",
    mirrors=[np.power],
    scalar=lambda s, x, y: s.pow(x, y),
    partials=_pow_partials,
    singular=True,
    cost=Cost.TRANSCENDENTAL,
    domain=(Domain(0.3, 3.0), Domain(-2.0, 2.0)),
    kinks="d/dx is 0 where y is 0; d/dy is 0 where x is not positive.",
    doc="x to the power y, of floats.",
)


def _power_accept(
    b: Builder, x: Operand, n: Any
) -> tuple[tuple[Value, ...], dict[str, Any]]:
    try:
        exponent = operator.index(n)
    except TypeError:
        raise op_error(
            b, "integer_pow", f"exponent {n!r} is not a Python integer", [x]
        ) from None
    return (as_value(b, "integer_pow", x),), {"n": exponent}


def _power_infer(x: TensorType, *, n: int) -> tuple[TensorType, ...]:
    check_kind("integer_pow", x.dtype, "fiu", [x])
    if n < 0 and not x.dtype.is_float:
        raise type_error(
            "integer_pow", f"integers to the negative power {n}: cast to float", [x]
        )
    return (x,)


def _power_body(s: Any, x: Any, *, n: int) -> Any:
    if n == 0:
        return s.lit(1, x)
    out, base, left = None, x, abs(n)
    while left:
        if left & 1:
            out = base if out is None else s.mul(out, base)
        left >>= 1
        if left:
            base = s.square(base)
    return out if n > 0 else s.div(s.lit(1, x), out)


def _power_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, n: int
) -> list[Value | None]:
    if n == 0:
        return [b.zeros(x.type)]
    if n == 1:
        return [ct]
    local = b.mul(x if n == 2 else b.integer_pow(x, n=n - 1), float(n))
    return [b.mul(ct, local) if n > 0 else b.mask_mul(ct, local)]


integer_pow = elementwise(
    "integer_pow",
    tf_name=None,
    accept=_power_accept,
    infer=_power_infer,
    evaluate=lambda x, n: np.power(x, n),
    scalar=_power_body,
    vjp=_power_vjp,
    domain=Domain(-2.0, 2.0, away=(0.0,)),
    kinks="The derivative of x**0 is 0 everywhere.",
    samples=tuple(Sample(((None,),), {"n": n}) for n in (0, 1, 2, 3, 7, -1, -2)),
    doc="x to an integer power known when traced, by repeated squaring.",
)
