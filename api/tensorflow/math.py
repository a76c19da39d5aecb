"""`tf.math`: elementwise functions, comparisons and reductions."""

from typing import Any

import numpy as np

from ..ir.promote import cast_to as ir_cast
from ..tracer.functions import elementwise, reductions
from ..tracer.functions.table import PUBLIC
from ..tracer.operands import value
from .dtypes import int64
from .making import binary, cast_to, plain_axis, public_names, reduction, unary
from .making import need_float as _need_float
from .tensors import EagerTensor, call, convert, matched

# -- elementwise, of floats ------------------------------------------------------------

sin, cos, tan = unary("sin", "Sin"), unary("cos", "Cos"), unary("tan", "Tan")
asin, acos, atan = unary("asin", "Asin"), unary("acos", "Acos"), unary("atan", "Atan")
sinh, cosh, tanh = unary("sinh", "Sinh"), unary("cosh", "Cosh"), unary("tanh", "Tanh")
asinh, acosh = unary("asinh", "Asinh"), unary("acosh", "Acosh")
atanh = unary("atanh", "Atanh")
exp, expm1 = unary("exp", "Exp"), unary("expm1", "Expm1")
log, log1p = unary("log", "Log"), unary("log1p", "Log1p")
sqrt, rsqrt = unary("sqrt", "Sqrt"), unary("rsqrt", "Rsqrt")
sigmoid = unary("sigmoid", "Sigmoid")
softplus = unary("softplus", "Softplus")
erf, erfc = unary("erf", "Erf"), unary("erfc", "Erfc")
lgamma = unary("lgamma", "Lgamma", PUBLIC["gammaln"])
digamma = unary("digamma", "Digamma")
reciprocal = unary("reciprocal", "Reciprocal", elementwise.reciprocal)
is_nan = unary("is_nan", "IsNan", PUBLIC["isnan"])
is_inf = unary("is_inf", "IsInf", PUBLIC["isinf"])
is_finite = unary("is_finite", "IsFinite", PUBLIC["isfinite"])

# -- elementwise, of any numbers -------------------------------------------------------

abs = unary("abs", "Abs", floats=False)
negative = unary("negative", "Neg", floats=False)
square = unary("square", "Square", floats=False)
sign = unary("sign", "Sign", floats=False)
logical_not = unary("logical_not", "LogicalNot", floats=False)


def _rounding(name: str, op: str) -> Any:
    impl = PUBLIC[name]

    def rounded(x: Any, name: "str | None" = None) -> EagerTensor:
        held = convert(x)
        return call(impl, (held,), op) if held.dtype.is_floating else held

    rounded.__name__ = rounded.__qualname__ = name
    rounded.__doc__ = impl.__doc__
    return rounded


floor, ceil = _rounding("floor", "Floor"), _rounding("ceil", "Ceil")
rint = round = _rounding("rint", "Round")

# -- of complex numbers ----------------------------------------------------------------

real, imag = unary("real", "Real", floats=False), unary("imag", "Imag", floats=False)
conj = unary("conj", "Conj", floats=False)
angle = unary("angle", "Angle")
complex = binary("complex", "Complex", floats=True)

# -- of two ----------------------------------------------------------------------------

add, subtract = binary("add", "AddV2"), binary("subtract", "Sub")
multiply = binary("multiply", "Mul")
maximum, minimum = binary("maximum", "Maximum"), binary("minimum", "Minimum")
floordiv = binary("floor_divide", "FloorDiv")
floormod = mod = binary("mod", "FloorMod")
pow = binary("pow", "Pow", elementwise.power)
atan2 = binary("atan2", "Atan2", floats=True)
xlogy = binary("xlogy", "Xlogy", floats=True)
equal, not_equal = binary("equal", "Equal"), binary("not_equal", "NotEqual")
less, less_equal = binary("less", "Less"), binary("less_equal", "LessEqual")
greater = binary("greater", "Greater")
greater_equal = binary("greater_equal", "GreaterEqual")
logical_and = binary("logical_and", "LogicalAnd")
logical_or = binary("logical_or", "LogicalOr")
logical_xor = binary("logical_xor", "LogicalXor")
_TRUEDIV = binary("true_divide", "RealDiv", PUBLIC["divide"])


def truediv(x: Any, y: Any, name: "str | None" = None) -> EagerTensor:
    """Return x / y; integers are divided as float64."""
    return _TRUEDIV(x, y)  # type: ignore[no-any-return]


divide = truediv


def _no_nan(impl: Any, op: str, x: Any, y: Any) -> EagerTensor:
    """Return a result of two, 0 wherever y is 0."""
    one, two = matched(x, y, op)
    one = convert(one, None, getattr(two, "dtype", None))
    two = convert(two, one.dtype)
    zero = equal(two, 0.0)
    safe = call(PUBLIC["where"], (zero, 1.0, two), op)
    return call(PUBLIC["where"], (zero, 0.0, call(impl, (one, safe), op)), op)  # type: ignore[no-any-return]


def divide_no_nan(x: Any, y: Any, name: "str | None" = None) -> EagerTensor:
    """Return x / y, and 0 where y is 0."""
    return _no_nan(PUBLIC["divide"], "DivNoNan", x, y)


def multiply_no_nan(x: Any, y: Any, name: "str | None" = None) -> EagerTensor:
    """Return x * y, and 0 where y is 0 whatever x is."""
    return _no_nan(PUBLIC["multiply"], "MulNoNan", x, y)


def squared_difference(x: Any, y: Any, name: "str | None" = None) -> EagerTensor:
    """Return the square of x - y: of the modulus of what is complex."""
    return square(_size(subtract(x, y)))  # type: ignore[no-any-return]


def _size(x: EagerTensor) -> EagerTensor:
    """Return real tensors as they are, and the moduli of complex ones."""
    return abs(x) if x.dtype.is_complex else x


def add_n(inputs: Any, name: "str | None" = None) -> EagerTensor:
    """Return the sum of tensors of one shape."""
    if not isinstance(inputs, (list, tuple)) or not inputs:
        raise ValueError(
            "Inputs must be an iterable of at least one Tensor/IndexedSlices with the "
            f"same dtype and shape. Received: inputs={inputs!r}"
        )
    total = convert(inputs[0])
    for x in inputs[1:]:
        total = add(total, convert(x, total.dtype))
    return total


accumulate_n = add_n


def scalar_mul(scalar: Any, x: Any, name: "str | None" = None) -> EagerTensor:
    """Return a scalar times a tensor."""
    return multiply(scalar, x)  # type: ignore[no-any-return]


# -- reductions ------------------------------------------------------------------------


def _mean(b: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    held = value(b, x, "reduce_mean")
    made = reductions.mean(b, held, axis, keepdims=keepdims)
    return made if held.type.dtype.is_float else ir_cast(b, made, held.type.dtype)


def _any(b: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return PUBLIC["any"](b, x, axis, keepdims=keepdims)


def _all(b: Any, x: Any, axis: Any = None, keepdims: bool = False) -> Any:
    return PUBLIC["all"](b, x, axis, keepdims=keepdims)


# for messages, and for complex numbers, which functions are found by
_mean.__name__, _any.__name__, _all.__name__ = "mean", "any", "all"
reduce_sum = reduction("reduce_sum", "Sum", reductions.sum, keep=True)
reduce_prod = reduction("reduce_prod", "Prod", reductions.prod, keep=True)
reduce_mean = reduction("reduce_mean", "Mean", _mean)
reduce_max = reduction("reduce_max", "Max", reductions.max)
reduce_min = reduction("reduce_min", "Min", reductions.min)
reduce_any = reduction("reduce_any", "Any", _any)
reduce_all = reduction("reduce_all", "All", _all)
reduce_variance = reduction("reduce_variance", "Mean", reductions.var)
reduce_std = reduction("reduce_std", "Sqrt", reductions.std)
reduce_logsumexp = reduction("reduce_logsumexp", "Log", reductions.logsumexp)


def reduce_euclidean_norm(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: Any = None
) -> EagerTensor:
    """Return the square root of the sum of squares over axes."""
    size = _size(convert(input_tensor))
    return sqrt(reduce_sum(square(size), axis, keepdims))  # type: ignore[no-any-return]


def count_nonzero(
    input: Any, axis: Any = None, keepdims: bool = False, dtype: Any = int64,
    name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return how many elements are not 0."""
    options = {"keepdims": keepdims}
    impl = PUBLIC["count_nonzero"]
    made = call(impl, (convert(input), plain_axis(axis)), "CountNonzero", options)
    return cast_to(made, dtype)


def _arg(impl: Any, op: str, input: Any, axis: Any, output_type: Any) -> EagerTensor:
    made = call(impl, (convert(input), 0 if axis is None else int(axis)), op)
    return cast_to(made, output_type)


def argmax(
    input: Any, axis: Any = None, output_type: Any = int64, name: Any = None
) -> EagerTensor:
    """Return the index of the largest element along an axis, the first by default."""
    return _arg(PUBLIC["argmax"], "ArgMax", input, axis, output_type)


def argmin(
    input: Any, axis: Any = None, output_type: Any = int64, name: Any = None
) -> EagerTensor:
    """Return the index of the smallest element along an axis, the first by default."""
    return _arg(PUBLIC["argmin"], "ArgMin", input, axis, output_type)


def _running(
    name: str, op: str, x: Any, axis: int, exclusive: bool, reverse: bool
) -> EagerTensor:
    held = convert(x)
    impl, flip = PUBLIC[name], PUBLIC["flip"]
    if reverse:
        held = call(flip, (held, axis), "Reverse")
    made = cast_to(call(impl, (held, axis), op), held.dtype)
    if exclusive:
        made = _shifted(made, axis, 1 if name == "cumprod" else 0)
    return call(flip, (made, axis), "Reverse") if reverse else made


def _shifted(x: EagerTensor, axis: int, first: int) -> EagerTensor:
    at = axis % len(x.shape)
    keep = (slice(None),) * at + (slice(None, -1),)
    shape = (*x.shape[:at], 1, *x.shape[at + 1 :])
    head = convert(np.full(shape, first, x.dtype.dtype))
    return call(PUBLIC["concat"], ([head, x[keep]], at), "ConcatV2")  # type: ignore[no-any-return]


def cumsum(
    x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False,
    name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return running sums along an axis."""
    return _running("cumsum", "Cumsum", x, axis, exclusive, reverse)


def cumprod(
    x: Any, axis: int = 0, exclusive: bool = False, reverse: bool = False,
    name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return running products along an axis."""
    return _running("cumprod", "Cumprod", x, axis, exclusive, reverse)


def cast(x: Any, dtype: Any, name: "str | None" = None) -> EagerTensor:
    """Return a tensor in another dtype; a float to an integer drops the fraction."""
    return cast_to(convert(x), dtype)


def polyval(coeffs: Any, x: Any, name: "str | None" = None) -> EagerTensor:
    """Return a polynomial's value; coefficients from the highest power down."""
    if not isinstance(coeffs, list):
        raise ValueError(
            f"Argument coeffs must be list type. Received type {type(coeffs)}."
        )
    held = convert(x)
    total = None
    for c in coeffs:
        total = (
            convert(c, held.dtype) if total is None else add(multiply(total, held), c)
        )
    return total if total is not None else convert(0, held.dtype)


def l2_normalize(
    x: Any, axis: Any = None, epsilon: float = 1e-12, name: Any = None
) -> EagerTensor:
    """Return x over its norm along an axis, no less than the root of epsilon."""
    held = _need_float(convert(x), "L2Normalize")
    total = reduce_sum(square(held), axis, True)
    return multiply(held, rsqrt(maximum(total, epsilon)))  # type: ignore[no-any-return]


__all__ = public_names(globals())
