"""Find the function that stands for a NumPy callable, or say that there is none."""

import difflib
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ir.errors import UnknownFunction
from ..ir.loc import traced_at, user_loc
from .functions import counting, reductions, running
from .functions.table import BY_NUMPY, Impl, public_name
from .operands import value
from .refused import REFUSED

# ufunc.reduce that is a reduction here
_REDUCE: dict[np.ufunc, Impl] = {
    np.add: reductions.sum,
    np.multiply: reductions.prod,
    np.logical_and: counting.all,
    np.logical_or: counting.any,
    np.maximum: reductions.max,
    np.minimum: reductions.min,
}

# ufunc.accumulate that is a running value here
_ACCUMULATE: dict[np.ufunc, Impl] = {
    np.add: running.cumsum,
    np.multiply: running.cumprod,
}


def _logaddexp_reduce(b: Any, a: Any, axis: Any = 0, *rest: Any, **options: Any) -> Any:
    return reductions.logsumexp(b, a, axis, options.get("keepdims", False))


def of_ufunc(ufunc: np.ufunc, method: str) -> Impl:
    """Return the function of a ufunc call.

    Raises:
        UnknownFunction: the ufunc, or this method of it, has no traced form.
    """
    if method == "__call__":
        found = BY_NUMPY.get(ufunc)
        if found is not None:
            return found
        raise unknown(ufunc)
    if method == "reduce":
        if ufunc is np.logaddexp:
            return _logaddexp_reduce
        made = _REDUCE.get(ufunc)
        if made is not None:
            return _first_axis(made)
    if method == "accumulate" and ufunc in _ACCUMULATE:
        return _first_axis(_ACCUMULATE[ufunc])
    if method == "outer" and ufunc in BY_NUMPY and ufunc.nin == 2:
        return _outer(BY_NUMPY[ufunc])
    raise unknown(ufunc, f".{method}")


def _outer(impl: Impl) -> Impl:
    """Return ufunc.outer: all pairs of elements."""

    def outer(b: Any, x: Any, y: Any, **options: Any) -> Any:
        one, two = value(b, x, "outer"), value(b, y, "outer")
        new = tuple(range(one.type.rank, one.type.rank + two.type.rank))
        wide = b.op("expand_dims", one, axes=new) if new else one
        return impl(b, wide, two, **options)

    outer.around = impl, None  # type: ignore[attr-defined]  # see complex_table
    return outer


def _first_axis(impl: Impl) -> Impl:
    """Return a reduction whose default is axis 0, as ufunc.reduce has it."""

    def reduce(b: Any, a: Any, axis: Any = 0, *rest: Any, **options: Any) -> Any:
        if options.get("initial") is np._NoValue:
            del options["initial"]
        return impl(b, a, axis, **options)

    reduce.around = impl, _first_axis  # type: ignore[attr-defined]  # see complex_table
    return reduce


def of_function(function: Callable[..., Any]) -> Impl:
    """Return the function of a NumPy function that is not a ufunc.

    Raises:
        UnknownFunction: it has no traced form.
    """
    found = BY_NUMPY.get(function)
    if found is None:
        raise unknown(function)
    return found


def unknown(function: Callable[..., Any], method: str = "") -> UnknownFunction:
    """Return the error of a NumPy callable without a traced form."""
    name = public_name(function) + method
    if name in REFUSED:
        return UnknownFunction(
            f"np.{name} has no traced form{traced_at(user_loc(2))}\n  {REFUSED[name]}"
        )
    known = sorted({public_name(f) for f in BY_NUMPY})
    near = difflib.get_close_matches(name, known, 3, 0.5)
    advice = (
        f"\n  near it: {', '.join('np.' + n for n in near)}"
        if near
        else "\n  write it with the functions that have one"
    )
    return UnknownFunction(
        f"np.{name} has no traced form{traced_at(user_loc(2))}{advice}"
    )
