"""The true values of elementary functions: in a wider float type, and by mpmath."""

import math
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np

Array = np.ndarray[Any, Any]

NUMPY_NAMES = {
    "pow": "power", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    "atan2": "arctan2", "asinh": "arcsinh", "acosh": "arccosh", "atanh": "arctanh",
}  # fmt: skip


def _lgamma(x: float) -> float:
    try:
        return math.lgamma(x)
    except (ValueError, OverflowError):
        return math.inf


# What NumPy lacks, in f64: exact enough to judge f32.
_IN_F64: dict[str, Callable[..., float]] = {
    "erf": math.erf,
    "erfc": math.erfc,
    "lgamma": _lgamma,
}
BY_MPMATH = frozenset({"erf", "erfc", "lgamma", "digamma"})

_MPMATH: dict[str, Callable[..., mp.mpf]] = {
    "log2": lambda v: mp.log(v, 2),
    "pow": mp.power,
    "exp2": lambda v: mp.power(2, v),
    "cbrt": lambda v: mp.sign(v) * mp.cbrt(abs(v)),
    "lgamma": lambda v: mp.re(mp.loggamma(v)),
}


def reference(name: str, xs: tuple[Array, ...]) -> Array:
    """Return the function in a wider float type."""
    if name in BY_MPMATH:
        return _slowly(name, xs)
    wide = np.longdouble if xs[0].dtype == np.float64 or len(xs) > 1 else np.float64
    ufunc = getattr(np, NUMPY_NAMES.get(name, name))
    with np.errstate(all="ignore"):
        return np.asarray(ufunc(*(x.astype(wide) for x in xs)))


def _slowly(name: str, xs: tuple[Array, ...]) -> Array:
    (x,) = xs
    x = np.where(np.isnan(x), x.dtype.type(np.nan), x)  # no signaling ones
    if x.dtype == np.float32 and name in _IN_F64:
        return np.array([_IN_F64[name](v) for v in x.astype(float).tolist()])
    out = np.empty(x.shape, np.longdouble)
    with mp.workdps(40):
        for k, v in enumerate(x.astype(float).tolist()):
            value = _limit(name, v)
            if value is None:
                found = exact(name, (v,))
                high = float(found)
                low = float(found - high) if math.isfinite(high) else 0.0
                out[k] = np.longdouble(high) + np.longdouble(low)
            else:
                out[k] = value
    return out


def _limit(name: str, x: float) -> float | None:
    """Return the function where mpmath does not serve."""
    if math.isnan(x):
        return x
    if name == "erf":
        if x == 0:
            return x
        return math.copysign(1.0, x) if abs(x) > 10 else None
    if name == "erfc":
        return 0.0 if x > 28 else 2.0 if x < -10 else None
    whole = x <= 0 and (math.isinf(x) or x == math.floor(x))
    if name == "lgamma":
        return math.inf if whole or x > 2.56e305 else None
    if x == 0:
        return math.copysign(math.inf, -x)
    if whole:
        return math.nan
    return x if math.isinf(x) else None


def exact(name: str, xs: tuple[float, ...]) -> mp.mpf:
    """Return the function of finite arguments by mpmath."""
    with mp.workdps(60 if name not in ("lgamma", "digamma") else 40):
        args = [mp.mpf(x) for x in xs]
        return (_MPMATH.get(name) or getattr(mp, name))(*args)


def scale(name: str, xs: tuple[Array, ...], want: Array) -> Array:
    """Return the size that errors of a result are relative to."""
    if name in ("lgamma", "digamma"):
        return np.where(xs[0] < 0, np.maximum(np.abs(want), 1), want)
    return want
