"""How close native results are to the reference: the one table of tolerances."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from pullback.ir.forms import Contract, Factorize, Reduce, Scan, Scatter
from pullback.ir.primitive import Primitive

Array = np.ndarray[Any, Any]

# In units of the last place of the result's dtype, relative to the result itself.
EXACT, ELEMENTARY = 0.0, 4.0
# Relative to the largest magnitude of operands and results: what cancels, cancels.
ADJOINT, PROGRAM = 32.0, 256.0
# Results near 0 are differences of large numbers, here and in NumPy alike.
CANCELLING = frozenset({"logaddexp"})


def ulps_of(op: Primitive) -> float:
    """Units in the last place, relative to the result, that an op may be away."""
    return EXACT if op.exact or op.name == "fma" else ELEMENTARY


def scale_of(op: Primitive, arrays: Sequence[Array]) -> float:
    """What errors of an elementwise op are relative to, besides the result."""
    return largest(arrays) if op.name in CANCELLING else 0.0


def folds(op: Primitive) -> bool:
    """Whether results are sums or products of many elements."""
    many = Contract | Reduce | Scan | Scatter | Factorize
    return isinstance(op.form, many) and not op.exact


def largest(arrays: Sequence[Array]) -> float:
    """The largest finite magnitude, at least 1."""
    found = 1.0
    for a in arrays:
        if a.dtype.kind == "f" and a.size:
            wide = np.abs(np.where(np.isfinite(a), a, 0).astype(np.float64))
            found = max(found, float(wide.max()))
    return found


def assert_close(
    got: Sequence[Array],
    wanted: Sequence[Array],
    what: Any,
    ulps: float = 0.0,
    scale: float = 0.0,
) -> None:
    """Demand |got - wanted| <= ulps * eps * (|wanted| + scale); NaN, inf the same."""
    for k, (x, y) in enumerate(zip(got, wanted, strict=True)):
        assert x.shape == y.shape, (what, k, x.shape, y.shape)
        assert x.dtype == y.dtype, (what, k, x.dtype, y.dtype)
        if x.dtype.kind != "f":
            assert np.array_equal(x, y), (what, k, x, y)
            continue
        info = np.finfo(x.dtype)
        with np.errstate(all="ignore"):
            away = np.abs(x.astype(np.float64) - y.astype(np.float64))
            room = ulps * float(info.eps) * (np.abs(y.astype(np.float64)) + scale)
            room = room + (float(info.smallest_subnormal) * ulps)
            same = (x == y) | (np.isnan(x) & np.isnan(y)) | (away <= room)
        if not same.all():
            at = tuple(np.argwhere(~same)[0])
            raise AssertionError(
                f"{what}: output {k} has {x[at]!r} at {at}, {y[at]!r} expected; "
                f"{np.count_nonzero(~same)} of {x.size} differ"
            )
