"""Elements chosen by conditions and by membership."""

from typing import Any

import numpy as np

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ..builders import ArrayBuilder
from ..operands import axis_index, emit, has_value, operand, refuse, value
from . import counting
from .elementwise import where
from .shaping import ravel


def select(b: ArrayBuilder, condlist: Any, choicelist: Any, default: Any = 0) -> Value:
    """Return the choice of the first condition that holds, else the default."""
    if len(condlist) != len(choicelist) or not len(condlist):
        raise OpTypeError(
            f"select: {len(condlist)} conditions and {len(choicelist)} choices"
        )
    out: Any = operand(b, default, "select")
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        held = value(b, condition, "select")
        if held.type.dtype.kind != "b":
            raise OpTypeError(f"select: a condition is bool, not {held.type}")
        out = where(b, held, choice, out)
    return out  # type: ignore[no-any-return]  # a Value


def isin(
    b: ArrayBuilder,
    element: Any,
    test_elements: Any,
    assume_unique: bool = False,
    invert: bool = False,
    *,
    kind: Any = None,
) -> Value:
    """Return whether elements are among others; every pair is compared."""
    held = value(b, element, "isin")
    others = ravel(b, value(b, test_elements, "isin"))
    equal = emit(b, "eq", emit(b, "expand_dims", held, -1), others)
    found = counting.any(b, equal, -1)
    return b.op("logical_not", found) if invert else found


def compress(
    b: ArrayBuilder, condition: Any, a: Any, axis: Any = None, out: Any = None
) -> Value:
    """Return the elements of an axis where a condition known when tracing holds."""
    refuse("compress", {"out": out})
    if has_value(condition):
        raise OpTypeError(
            "compress: a traced condition gives a shape that depends on values; "
            "use np.where(condition, a, 0)"
        )
    held = value(b, a, "compress")
    if axis is None:
        held, axis = ravel(b, held), 0
    at = axis_index(axis, held.type.rank, "compress")
    index = np.flatnonzero(np.asarray(condition))
    return emit(b, "take", held, b.constant(index), axis=at)  # type: ignore[no-any-return]
