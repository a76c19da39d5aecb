"""Turn what a user passes into arrays of a dtype, by TensorFlow's rules."""

from typing import Any

import numpy as np

from .dtypes import DType, as_dtype, float32, int32


def numbers(value: Any, wanted: "DType | None", hint: Any) -> np.ndarray[Any, Any]:
    """Return Python's numbers, lists of them, or an array, in a dtype.

    Raises:
        ValueError: it is no array of numbers.
        TypeError: Python numbers cannot be of that dtype.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(
            "Can't convert non-rectangular Python sequence to Tensor."
        ) from None
    if array.dtype.kind not in "fiubc":
        raise ValueError(
            f"Attempt to convert a value ({value!r}) with an unsupported type "
            f"({type(value)}) to a Tensor."
        )
    pythonic = not hasattr(value, "dtype") and _is_pythonic(value)
    if wanted is None and hint is not None and may_be(array, as_dtype(hint), pythonic):
        wanted = as_dtype(hint)
    if wanted is None and pythonic:
        wanted = {"f": float32, "i": int32, "u": int32}.get(array.dtype.kind)
        if array.size == 0:
            wanted = float32
    if wanted is None or array.dtype == wanted.dtype:
        return array
    if pythonic and not may_be(array, wanted, True):
        raise TypeError(
            f"Cannot convert {value!r} to EagerTensor of dtype {wanted.name}"
        )
    if wanted.is_integer and pythonic and array.size:
        low, high = array.min(), array.max()
        if low < wanted.min or high > wanted.max:
            raise ValueError(
                f"Can't convert Python sequence with out-of-range integer to Tensor of "
                f"dtype {wanted.name}: {value!r}"
            )
    return array.astype(wanted.dtype)


def _is_pythonic(value: Any) -> bool:
    """Return whether numbers are Python's own, so that they have no dtype."""
    while isinstance(value, (list, tuple)):
        if not len(value):
            return True
        value = value[0]
    return not isinstance(value, (np.generic, np.ndarray)) and not hasattr(
        value, "__array__"
    )


def may_be(array: np.ndarray[Any, Any], wanted: DType, pythonic: bool) -> bool:
    """Return whether numbers can be of a dtype without a change."""
    if array.size == 0:
        return True
    kinds = {"f": "f"}
    if pythonic:
        kinds = {"f": "fc", "i": "fiuc", "u": "fiuc", "b": "b", "c": "c"}
    return wanted.kind in kinds.get(array.dtype.kind, array.dtype.kind)
