"""Forms run by NumPy: scalar bodies, index rules and regions, one element at a time.

What codegen sees of a record is checked here against the record's reference, without
any codegen.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from pullback.ir.forms import Map, Place, View
from pullback.ir.ops import special_reference
from pullback.ir.primitive import Primitive
from pullback.ir.types import DType, TensorType, dtype_of

Array = np.ndarray[Any, Any]


def _fused(x: Any, y: Any, z: Any, dtype: Any) -> Any:
    if not (np.isfinite(x) and np.isfinite(y) and np.isfinite(z)):
        return dtype.type(x * y + z)
    exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
    try:
        return dtype.type(exact.numerator / exact.denominator)
    except OverflowError:
        return dtype.type(np.inf if exact > 0 else -np.inf)


class NumpyScalars:
    """The scalar vocabulary on NumPy arrays of one dtype each."""

    def lit(self, value: float, like: Array) -> Array:
        return np.full(like.shape, value, like.dtype)

    def fma(self, x: Array, y: Array, z: Array) -> Array:
        if x.dtype.kind != "f":
            return x * y + z
        fused = [_fused(a, b, c, x.dtype) for a, b, c in zip(x, y, z, strict=True)]
        return np.array(fused, x.dtype)

    def cast(self, x: Array, dtype: DType) -> Array:
        return x.astype(dtype.numpy)

    def select(self, cond: Array, x: Array, y: Array) -> Array:
        assert cond.dtype == bool
        assert x.dtype == y.dtype
        return np.where(cond, x, y)

    def recip(self, x: Array) -> Array:
        return 1 / x

    def sincos(self, x: Array) -> tuple[Array, Array]:
        return np.sin(x), np.cos(x)

    add = staticmethod(np.add)
    sub = staticmethod(np.subtract)
    mul = staticmethod(np.multiply)
    div = staticmethod(np.true_divide)
    neg = staticmethod(np.negative)
    abs = staticmethod(np.absolute)
    square = staticmethod(np.square)
    floordiv = staticmethod(np.floor_divide)
    mod = staticmethod(np.remainder)
    minimum = staticmethod(np.minimum)
    maximum = staticmethod(np.maximum)
    copysign = staticmethod(np.copysign)
    sign = staticmethod(np.sign)
    sqrt = staticmethod(np.sqrt)
    floor = staticmethod(np.floor)
    ceil = staticmethod(np.ceil)
    trunc = staticmethod(np.trunc)
    rint = staticmethod(np.rint)
    eq = staticmethod(np.equal)
    ne = staticmethod(np.not_equal)
    lt = staticmethod(np.less)
    le = staticmethod(np.less_equal)
    gt = staticmethod(np.greater)
    ge = staticmethod(np.greater_equal)
    isnan = staticmethod(np.isnan)
    and_ = staticmethod(np.bitwise_and)
    or_ = staticmethod(np.bitwise_or)
    xor = staticmethod(np.bitwise_xor)
    not_ = staticmethod(np.invert)
    shl = staticmethod(np.left_shift)
    shr = staticmethod(np.right_shift)
    exp = staticmethod(np.exp)
    expm1 = staticmethod(np.expm1)
    log = staticmethod(np.log)
    log1p = staticmethod(np.log1p)
    log2 = staticmethod(np.log2)
    sin = staticmethod(np.sin)
    cos = staticmethod(np.cos)
    tanh = staticmethod(np.tanh)
    pow = staticmethod(np.power)
    exp2 = staticmethod(np.exp2)
    log10 = staticmethod(np.log10)
    tan = staticmethod(np.tan)
    sinh = staticmethod(np.sinh)
    cosh = staticmethod(np.cosh)
    asin = staticmethod(np.arcsin)
    acos = staticmethod(np.arccos)
    atan = staticmethod(np.arctan)
    atan2 = staticmethod(np.arctan2)
    asinh = staticmethod(np.arcsinh)
    acosh = staticmethod(np.arccosh)
    atanh = staticmethod(np.arctanh)
    cbrt = staticmethod(np.cbrt)
    hypot = staticmethod(np.hypot)
    erf = staticmethod(special_reference.erf)
    erfc = staticmethod(special_reference.erfc)
    lgamma = staticmethod(special_reference.lgamma)
    digamma = staticmethod(special_reference.digamma)


class NumpyIndex:
    """The index builder on arrays of indices."""

    def const(self, size: Any) -> Any:
        return size

    def add(self, i: Any, size: Any) -> Any:
        return i + size

    def mul(self, i: Any, size: Any) -> Any:
        return i * size

    def linear(self, index: Sequence[Any], shape: Sequence[int]) -> Any:
        total: Any = 0
        for i, d in zip(index, shape, strict=True):
            total = total * d + i
        return total

    def split(self, linear: Any, shape: Sequence[int]) -> list[Any]:
        out: list[Any] = []
        for d in reversed(shape):
            out.append(linear % d if d else linear)
            linear = linear // d if d else linear
        return out[::-1]


def run_form(primitive: Primitive, arrays: Sequence[Array], **params: Any) -> Array:
    """The result of a Map, View or Place by what its form says."""
    form = primitive.form
    types = [TensorType(dtype_of(a.dtype), a.shape) for a in arrays]
    (result,) = primitive.infer(*types, **params)
    shape: Any = result.shape
    if isinstance(form, Map):
        flat = [np.ravel(a) for a in arrays]
        with np.errstate(all="ignore"):
            made = np.asarray(form.scalar(NumpyScalars(), *flat, **params))
        assert made.dtype == result.dtype.numpy
        return made.reshape(shape)
    if isinstance(form, View):
        out = list(np.indices(shape))
        index = form.index(NumpyIndex(), out, types[0], result, **params)
        place = tuple(np.broadcast_to(i, shape) for i in index)
        return np.broadcast_to(arrays[0][place], shape)
    assert isinstance(form, Place)
    laid = np.zeros(shape, result.dtype.numpy)
    hits = np.zeros(shape, int)
    regions: Any = form.regions(types, result, **params)
    for array, region in zip(arrays, regions, strict=True):
        at = tuple(
            first + by * i
            for first, by, i in zip(
                region.start, region.step, np.indices(array.shape), strict=True
            )
        )
        inside = np.ones(array.shape, bool)
        for i, extent in zip(at, shape, strict=True):
            inside &= (i >= 0) & (i < extent)
        kept = tuple(i[inside] for i in at)
        laid[kept] = array[inside].reshape(laid[kept].shape)
        hits[kept] += 1
    assert np.all(hits <= 1), "regions overlap"
    return laid
