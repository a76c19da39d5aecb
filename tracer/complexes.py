"""Complex arrays of a trace, and complex tensors of a tape.

Both are two real ones, whose operations are recorded like any others; so loops, maps
over rows, gradients and whatever else knows real values alone works on them.
"""

from typing import Any

import numpy as np

from ..ir.errors import OpTypeError
from ..ir.graph import Value
from . import numpy_dispatch
from .array import TracedArray
from .builders import Array, ArrayBuilder
from .functions import shaping
from .functions.complex_parts import pair
from .functions.complex_table import of_real
from .functions.table import BY_NUMPY, Impl
from .left_tape import ours, warn
from .operands import value
from .operators import Operators
from .pair import Pair
from .tensor import Taped, Tensor, apply, current_recorder
from .trees import PART_FIELDS


class _Parts(Operators):
    """What complex arrays and tensors have beside operators."""

    __slots__ = ()
    __dataclass_fields__ = PART_FIELDS  # two leaves of a tree

    @property
    def real(self) -> Any:
        """The real part."""
        raise NotImplementedError

    @property
    def imag(self) -> Any:
        """The imaginary part."""
        raise NotImplementedError

    def conj(self) -> Any:
        """Return the array with its imaginary part negated."""
        return self._apply(BY_NUMPY[np.conjugate], self)

    conjugate = conj


class ComplexArray(_Parts, TracedArray):
    """A complex array whose elements are not known yet."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"ComplexArray({self._value.type})"

    def _apply(self, impl: Impl, *args: Any) -> Any:
        return self._trace.call(of_real(impl), args, {})

    def _method(self, impl: Impl, args: tuple[Any, ...], options: Any) -> Any:
        return self._trace.call(of_real(impl), (self, *args), options)

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any
    ) -> Any:
        impl = numpy_dispatch.of_ufunc(ufunc, method)
        return self._trace.call(of_real(impl), inputs, options)

    def __array_function__(
        self, function: Any, types: Any, args: Any, options: Any
    ) -> Any:
        impl = numpy_dispatch.of_function(function)
        return self._trace.call(of_real(impl), args, options)

    @property
    def real(self) -> Any:
        """The real part."""
        return TracedArray(self._trace, self._pair.re)

    @property
    def imag(self) -> Any:
        """The imaginary part."""
        return TracedArray(self._trace, self._pair.im)

    @property
    def _pair(self) -> Pair:
        value: Any = self._value
        return value  # type: ignore[no-any-return]  # a Pair


class ComplexTensor(_Parts, Taped):
    """A complex tensor of a tape."""

    __slots__ = ("__weakref__", "_im", "_re")

    __array_priority__ = 1000

    def __init__(self, re: Tensor, im: Tensor) -> None:
        self._re, self._im = re, im

    @property
    def _value(self) -> Any:  # type: ignore[override]  # made of its parts, not a slot
        return Pair(self._re._value, self._im._value)

    def _apply(self, impl: Impl, *args: Any) -> Any:
        return apply(of_real(impl), args, {})

    @property
    def real(self) -> Any:
        """The real part."""
        return self._re

    @property
    def imag(self) -> Any:
        """The imaginary part."""
        return self._im

    # -- looking -------------------------------------------------------------------

    def _array(self) -> Array:
        parts = (self._re._value, self._im._value)
        recorder = current_recorder()
        recorder.run_together(parts)
        re, im = self._re._array(), self._im._array()
        whole = np.empty(re.shape, np.result_type(re.dtype, np.complex64))
        whole.real, whole.imag = re, im
        whole.setflags(write=False)
        return whole

    def numpy(self) -> Any:
        """Return the value: a read-only array, or a NumPy scalar without axes."""
        array = self._array()
        return array if array.ndim else array[()]

    def _as_constant(self) -> Array:
        return self._array()

    def __array__(self, dtype: Any = None, copy: "bool | None" = None) -> Array:
        if current_recorder().tapes:
            warn(2, self._instead)
        array = self._array()
        return array if dtype is None else array.astype(dtype)

    _instead = staticmethod(ours)  # what a warning names instead of NumPy's function

    def __complex__(self) -> complex:
        return complex(self.numpy())

    def __bool__(self) -> bool:
        return bool(self.numpy())


# -- between one array of both parts and two -------------------------------------------


def _split(b: ArrayBuilder, x: Value) -> Pair:
    """Return the complex value of an array whose last axis has its parts."""
    shape = x.type.shape[:-1]
    found = []
    for k in (0, 1):
        part = shaping.span(b, x, len(shape), k, 1)
        found.append(b.op("squeeze", part, axes=(len(shape),)))
    return Pair(*found)


def _united(b: ArrayBuilder, re: Any, im: Any) -> Pair:
    """Return the complex value of its parts; None is 0."""
    return pair(b, re, im)


def _stacked(b: ArrayBuilder, re: Any, im: Any) -> Value:
    """Return one array with the parts on a last axis."""
    held = pair(b, *[value(b, x, "complex") for x in (re, im)])
    at = held.re.type.rank
    parts = [b.op("expand_dims", x, axes=(at,)) for x in (held.re, held.im)]
    return b.op("concatenate", *parts, axis=at)  # type: ignore[no-any-return]


for _function in (_split, _united, _stacked):
    setattr(_function, "of_complex", None)  # noqa: B010  # what has no place in a type


def join(parts: "list[Any]") -> Any:
    """Return the complex value of traced arrays or tensors: one has both parts."""
    if len(parts) == 1:
        return parts[0]._apply(_split, parts[0])
    there = next(x for x in parts if x is not None)
    for x in parts:
        if x is not None and not isinstance(x, Operators):
            raise OpTypeError(f"a part of a complex value is a {type(x).__name__}")
    return there._apply(_united, *parts)


def stack(trace: Any, re: Any, im: Any) -> Any:
    """Return parts as one traced array, which is a complex one in memory."""
    return trace.call(_stacked, (re, im), {})
