"""`check_numerics`: have arrays, or all calls, checked for NaN and infinities."""

from typing import Any

import numpy as np

from ..ir.errors import NonFiniteError
from ..ir.loc import traced_at, user_loc
from ..ir.promote import cast_to
from ..ir.types import I64
from .array import TracedArray
from .mode import MODE
from .numerics import said
from .tensor import Tensor
from .trace import Check
from .trees import flatten

_MISSING = object()


class Checking:
    """The context in which every call and every look at a tensor is checked."""

    def __init__(self, every: bool) -> None:
        self._every = every

    def __enter__(self) -> "Checking":
        MODE.enter(self._every)
        return self

    def __exit__(self, *exc: object) -> None:
        MODE.leave(self._every)


def check_numerics(x: Any = _MISSING, message: str = "", *, every: bool = False) -> Any:
    """Check arrays, or all that is called in a context.

    `check_numerics(x, message)` returns x and raises where a float in it is not finite;
    in a decorated function, whenever that is called. `with check_numerics():` checks
    the results of every call of a decorated function, and all that is computed for
    tensors, in every thread.

    Args:
        x: an array, number or tensor, or a tree of them; a context without it.
        message: what the error says of x.
        every: in the context, every op counts: also numbers that no result holds.

    Raises:
        NonFiniteError: with the op that made the number, and its line.
    """
    if x is _MISSING:
        return Checking(every)
    for leaf in flatten(x)[0]:
        if isinstance(leaf, TracedArray):
            _note(leaf, message)
            continue
        held = leaf._array() if isinstance(leaf, Tensor) else np.asarray(leaf)
        if held.dtype.kind == "f" and not np.isfinite(held).all():
            raise NonFiniteError(f"{said(message, held)}{traced_at(user_loc())}")
    return x


def _note(x: TracedArray, message: str) -> None:
    """Have the trace of an array count what is not finite in it."""
    if not x._value.type.dtype.is_float:
        return
    trace, value = x._trace.innermost(), x._value
    if trace.closed:
        raise trace._escaped((x,))
    b = trace.builder
    b.loc = user_loc(3)
    bad = cast_to(b, b.op("logical_not", b.op("isfinite", value)), I64)
    axes = tuple(range(len(value.type.shape)))
    count = b.op("sum", bad, axes=axes) if axes else bad
    trace.checks.append(Check(value, count, message, b.loc))
