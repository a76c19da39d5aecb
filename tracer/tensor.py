"""Tensors: immutable arrays whose operations a tape can see.

A tensor may not be computed yet. Looking at it (numpy(), float(), bool(), print, an
`if`) computes what it needs. NumPy's functions get its value through `__array__` and
leave the tape; so a tensor has none of the methods NumPy's functions would call.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from ..ir.errors import ArgumentError
from ..ir.graph import Value
from ..ir.types import dtype_of
from .array import TracedArray
from .builders import Array
from .cell import Cell, leaf
from .functions.table import Impl
from .left_tape import ours, warn
from .operators import Operators
from .pair import complex_tensor, part_dtype
from .recorder import Recorder
from .state import STATE


class Taped(Operators):
    """What a tape sees: a tensor, or a complex one of two."""

    __slots__ = ()

    def numpy(self) -> Any:
        """Return the value: a read-only array, or a NumPy scalar without axes."""
        raise NotImplementedError

    def __str__(self) -> str:
        return f"Tensor({_text(self.numpy())}, shape={self.shape}, dtype={self.dtype})"

    def __repr__(self) -> str:
        return (
            f"<Tensor: shape={self.shape}, dtype={self.dtype}, "
            f"numpy={_text(self.numpy(), True)}>"
        )

    def __format__(self, spec: str) -> str:
        return format(self.numpy(), spec) if spec else str(self)


class Tensor(Taped):
    """A handle on a value of this thread's recorder."""

    __slots__ = ("__weakref__", "_value")

    plain: "ClassVar[type[Tensor]]"  # the class of results

    # NumPy's operators leave arrays beside a tensor to the tensor
    __array_priority__ = 1000

    def __init__(self, value: Value) -> None:
        self._value = value
        cell = value.cell
        if cell is None:
            cell = value.cell = Cell()
        cell.handles += 1

    def __del__(self) -> None:
        value = self._value
        cell = value.cell
        cell.handles -= 1
        if cell.handles == 0:
            if cell.array is not None:
                value.node = None
            elif type(cell) is Cell and cell.plan is None:
                value.cell = None

    def _apply(self, impl: Impl, *args: Any) -> Any:
        trace = STATE.trace
        if trace is not None:
            return trace.call(impl, args, {})
        for x in args:
            if type(x) is TracedArray:
                return x._trace.call(impl, args, {})
        return current_recorder().call(impl, args, {})

    def _binary(self, impl: Impl, x: Any, y: Any, other: Any) -> Any:
        recorder = STATE.recorder
        if type(other) in _QUICK and recorder is not None and STATE.trace is None:
            trail = recorder.trail
            if trail.walks:
                made = trail.pair(impl, x, y, recorder.handle, 3)
                if made is not None:
                    if trail.end + trail.ahead > trail.bound:
                        recorder.flush()
                    return made
            return recorder.call(impl, (x, y), {})
        return Operators._binary(self, impl, x, y, other)

    @staticmethod
    def _paired(re: "Tensor", im: "Tensor") -> Any:
        """Return a complex tensor of its parts."""
        return complex_tensor(re, im)

    # -- looking -------------------------------------------------------------------

    def _array(self) -> Array:
        cell = self._value.cell
        if cell.array is None and cell.plan is not None:
            cell.plan.run()
        array: Array | None = cell.array
        return array if array is not None else current_recorder().look(self._value)

    def numpy(self) -> Any:
        """Return the value: a read-only array, or a NumPy scalar without axes."""
        array = self._array()
        return array if array.ndim else array[()]

    def _as_constant(self) -> Array:
        """Return the value for a trace that is not this tensor's."""
        return np.asarray(self)

    def __array__(self, dtype: Any = None, copy: "bool | None" = None) -> Array:
        if current_recorder().tapes and self._value.type.dtype.is_float:
            warn(2, self._instead)
        array = self._array()
        if copy is False and dtype is not None and array.dtype != dtype:
            raise ValueError("a copy is needed to change the dtype")
        return np.array(array, dtype) if copy or dtype is not None else array

    _instead = staticmethod(ours)  # what a warning names instead of NumPy's function

    def __float__(self) -> float:
        return float(self._array())

    def __int__(self) -> int:
        return int(self._array())

    def __index__(self) -> int:
        return self._array()[()].__index__()

    def __bool__(self) -> bool:
        return bool(self._array())


Tensor.plain = Tensor

# what stands beside a tensor and is of no trace
_QUICK = {Tensor, float, int, np.ndarray}


def _text(value: Any, exact: bool = False) -> str:
    if isinstance(value, np.ndarray):
        return repr(value) if exact else str(value)
    return str(value)


def current_recorder() -> Recorder:
    """Return the recorder of this thread."""
    recorder = STATE.recorder
    if recorder is None:
        recorder = STATE.recorder = Recorder(Tensor)
    return recorder


def apply(impl: Impl, args: Sequence[Any], options: dict[str, Any]) -> Any:
    """Run a function where this thread is: in its open trace, or on its recorder."""
    trace = STATE.trace
    if trace is not None:
        return trace.call(impl, args, options)
    return current_recorder().call(impl, args, options)


def as_array(value: Any, dtype: Any = None, kinds: str = "fiub") -> Array:
    """Return what a constant or a variable is made of, in NumPy's default dtype.

    Raises:
        ArgumentError: it is not an array of numbers.
    """
    array = value._array() if isinstance(value, Tensor) else np.asarray(value)
    if dtype is not None and not (array.dtype.kind == "c" != np.dtype(dtype).kind):
        array = array.astype(dtype)
    elif dtype is not None:
        kinds = "fiub"  # NumPy would drop the imaginary part
    if array.dtype.kind not in kinds:
        raise ArgumentError(
            f"a tensor of {array.dtype} is not possible; expected numbers: {value!r}"
        )
    return array


def constant(value: Any, dtype: Any = None, name: "str | None" = None) -> Tensor:
    """Return a tensor that holds a copy of numbers, lists or arrays.

    Every constant is a value of its own, equal to others or not. `name` is accepted for
    the reader's sake and has no effect.
    """
    if dtype is not None:
        dtype = np.dtype(dtype) if part_dtype(dtype) else dtype_of(dtype).numpy
    array = as_array(value, dtype, "fiubc")
    if array.dtype.kind == "c":
        return complex_tensor(*[Tensor(leaf(p)) for p in (array.real, array.imag)])  # type: ignore[no-any-return]  # beside Tensor
    return Tensor(leaf(array))
