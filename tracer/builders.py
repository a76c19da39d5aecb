"""Builders that also take arrays: what user code brings into a trace.

Functions of tracer/functions/ are written against `ArrayBuilder` alone, so the same
code serves decorated functions and tapes.
"""

from typing import Any

import numpy as np

from ..ir.builder import Builder
from ..ir.graph import Node, Value
from ..ir.ops import OPS
from ..ir.types import TensorType, dtype_of

Array = np.ndarray[Any, Any]

# Arrays up to this many elements are constants; larger ones are captured.
SMALL = 64


class ArrayBuilder(Builder):
    """A builder whose user brings arrays."""

    def __init__(self) -> None:
        super().__init__(OPS)

    def array(self, array: Array) -> Value:
        """Return a value that holds a copy of `array`."""
        raise NotImplementedError

    def capture(self, array: Array) -> Value:
        """Return a value that holds an array a program captured."""
        return self.array(array)

    def number(self, number: np.generic) -> Value:
        """Return a value that holds a NumPy scalar; its dtype is strong."""
        return self.constant(number)


class TraceBuilder(ArrayBuilder):
    """The builder of a decorated function: arrays become constants or captures.

    The same array object is copied once a trace; captures are the last inputs.
    """

    def __init__(self) -> None:
        super().__init__()
        self._met: dict[int, tuple[Array, Value]] = {}

    def array(self, array: Array) -> Value:
        """Return a constant or a captured input with the array's present content."""
        met = self._met.get(id(array))
        if met is not None:
            return met[1]
        dtype = dtype_of(array.dtype)
        if array.ndim == 0:
            value = self.constant(array, dtype)
        elif array.size <= SMALL:
            value = self.constant(array.astype(dtype.numpy))
        else:
            held = np.array(array, dtype.numpy, order="C", copy=True, subok=False)
            held.setflags(write=False)
            kind = TensorType(dtype, held.shape)
            value = self.input(kind, f"captured{len(self.captures)}")
            self.captures.append(held)
        self._met[id(array)] = (array, value)
        return value

    def take_back(self, start: int) -> list[Node]:
        """Remove nodes, as any builder; arrays among them are met anew."""
        taken = super().take_back(start)
        gone = set(taken)
        self._met = {
            key: met for key, met in self._met.items() if met[1].node not in gone
        }
        return taken
