"""Python's operators on traced arrays and on the tensors of tapes.

Both classes inherit them; what differs is `_apply`, which knows where the op goes.
"""

from typing import Any

import numpy as np

from ..ir.graph import Value
from .dim import Dim, as_dim
from .functions import elementwise, indexing, linalg, rounding, shaping, updates
from .functions.table import BY_NUMPY, Impl
from .pair import joined

_ADD, _SUB, _MUL = BY_NUMPY[np.add], BY_NUMPY[np.subtract], BY_NUMPY[np.multiply]
_DIV, _FLOORDIV = BY_NUMPY[np.true_divide], BY_NUMPY[np.floor_divide]
_MOD, _NEG, _ABS = BY_NUMPY[np.remainder], BY_NUMPY[np.negative], BY_NUMPY[np.absolute]
_EQ, _NE = BY_NUMPY[np.equal], BY_NUMPY[np.not_equal]
_LT, _LE = BY_NUMPY[np.less], BY_NUMPY[np.less_equal]
_GT, _GE = BY_NUMPY[np.greater], BY_NUMPY[np.greater_equal]
_BIT_AND, _BIT_OR = BY_NUMPY[np.bitwise_and], BY_NUMPY[np.bitwise_or]
_BIT_XOR, _BIT_NOT = BY_NUMPY[np.bitwise_xor], BY_NUMPY[np.invert]
_SHL, _SHR = BY_NUMPY[np.left_shift], BY_NUMPY[np.right_shift]

_KNOWN = (int, float, np.ndarray, np.generic, list, tuple, Dim, complex)


class Operators:
    """Arithmetic, comparisons, `@`, `**` and indexing, by NumPy's rules."""

    __slots__ = ()

    _value: Value

    def _apply(self, impl: Impl, *args: Any) -> Any:
        raise NotImplementedError

    def _binary(self, impl: Impl, x: Any, y: Any, other: Any) -> Any:
        if isinstance(other, (Operators, *_KNOWN)):
            return self._apply(impl, x, y)
        return NotImplemented

    # -- what is known without values ----------------------------------------------

    @property
    def shape(self) -> tuple[Any, ...]:
        """The extents of all axes: ints, or sizes where they are only named."""
        shape = self._value.type.shape
        for d in shape:
            if type(d) is not int:
                return tuple([as_dim(e) for e in shape])
        return shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type, as NumPy knows it."""
        return self._value.type.dtype.numpy

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._value.type.shape)

    @property
    def size(self) -> Any:
        """The number of elements."""
        count: Any = 1
        for d in self.shape:
            count = count * d
        return count

    @property
    def T(self) -> Any:
        """The axes reversed."""
        return self._apply(shaping.transpose, self)

    @staticmethod
    def _joined(parts: list[Any]) -> Any:
        return joined(parts)

    def __index__(self) -> int:
        raise NotImplementedError

    def __len__(self) -> int:
        shape = self._value.type.shape
        if not shape:
            raise TypeError("len() of an array without axes")
        return int(as_dim(shape[0]))

    def __iter__(self) -> Any:
        if not self._value.type.shape:
            raise TypeError("iteration over an array without axes")
        return iter([self[k] for k in range(len(self))])

    # -- operators -----------------------------------------------------------------

    def __add__(self, other: Any) -> Any:
        return self._binary(_ADD, self, other, other)

    def __radd__(self, other: Any) -> Any:
        return self._binary(_ADD, other, self, other)

    def __sub__(self, other: Any) -> Any:
        return self._binary(_SUB, self, other, other)

    def __rsub__(self, other: Any) -> Any:
        return self._binary(_SUB, other, self, other)

    def __mul__(self, other: Any) -> Any:
        return self._binary(_MUL, self, other, other)

    def __rmul__(self, other: Any) -> Any:
        return self._binary(_MUL, other, self, other)

    def __truediv__(self, other: Any) -> Any:
        return self._binary(_DIV, self, other, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary(_DIV, other, self, other)

    def __floordiv__(self, other: Any) -> Any:
        return self._binary(_FLOORDIV, self, other, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._binary(_FLOORDIV, other, self, other)

    def __mod__(self, other: Any) -> Any:
        return self._binary(_MOD, self, other, other)

    def __rmod__(self, other: Any) -> Any:
        return self._binary(_MOD, other, self, other)

    def __pow__(self, other: Any) -> Any:
        return self._binary(elementwise.power, self, other, other)

    def __rpow__(self, other: Any) -> Any:
        return self._binary(elementwise.power, other, self, other)

    def __matmul__(self, other: Any) -> Any:
        return self._binary(linalg.matmul, self, other, other)

    def __rmatmul__(self, other: Any) -> Any:
        return self._binary(linalg.matmul, other, self, other)

    def __and__(self, other: Any) -> Any:
        return self._binary(_BIT_AND, self, other, other)

    def __rand__(self, other: Any) -> Any:
        return self._binary(_BIT_AND, other, self, other)

    def __or__(self, other: Any) -> Any:
        return self._binary(_BIT_OR, self, other, other)

    def __ror__(self, other: Any) -> Any:
        return self._binary(_BIT_OR, other, self, other)

    def __xor__(self, other: Any) -> Any:
        return self._binary(_BIT_XOR, self, other, other)

    def __rxor__(self, other: Any) -> Any:
        return self._binary(_BIT_XOR, other, self, other)

    def __lshift__(self, other: Any) -> Any:
        return self._binary(_SHL, self, other, other)

    def __rlshift__(self, other: Any) -> Any:
        return self._binary(_SHL, other, self, other)

    def __rshift__(self, other: Any) -> Any:
        return self._binary(_SHR, self, other, other)

    def __rrshift__(self, other: Any) -> Any:
        return self._binary(_SHR, other, self, other)

    def __divmod__(self, other: Any) -> Any:
        return self._binary(rounding.divmod, self, other, other)

    def __rdivmod__(self, other: Any) -> Any:
        return self._binary(rounding.divmod, other, self, other)

    def __invert__(self) -> Any:
        return self._apply(_BIT_NOT, self)

    def __neg__(self) -> Any:
        return self._apply(_NEG, self)

    def __pos__(self) -> Any:
        return self._apply(elementwise.positive, self)

    def __abs__(self) -> Any:
        return self._apply(_ABS, self)

    def __eq__(self, other: object) -> Any:
        return self._binary(_EQ, self, other, other)

    def __ne__(self, other: object) -> Any:
        return self._binary(_NE, self, other, other)

    def __lt__(self, other: Any) -> Any:
        return self._binary(_LT, self, other, other)

    def __le__(self, other: Any) -> Any:
        return self._binary(_LE, self, other, other)

    def __gt__(self, other: Any) -> Any:
        return self._binary(_GT, self, other, other)

    def __ge__(self, other: Any) -> Any:
        return self._binary(_GE, self, other, other)

    __hash__ = object.__hash__  # an identity: equality is elementwise

    def __getitem__(self, index: Any) -> Any:
        return self._apply(indexing.getitem, self, index)

    @property
    def at(self) -> "At":
        """Updates that return a new array: `x.at[index].set(v)`."""
        return At(self)


class At:
    """`x.at`: takes the index of an update."""

    __slots__ = ("_array",)

    def __init__(self, array: Operators) -> None:
        self._array = array

    def __getitem__(self, index: Any) -> "Update":
        return Update(self._array, index)


class Update:
    """`x.at[index]`: what the update does. x stays as it is.

    Of several updates of one element `set` keeps the last, the others do all.
    """

    __slots__ = ("_array", "_index")

    def __init__(self, array: Operators, index: Any) -> None:
        self._array, self._index = array, index

    def _run(self, impl: Impl, v: Any) -> Any:
        return self._array._apply(impl, self._array, self._index, v)

    def get(self) -> Any:
        """Return the elements."""
        return self._array[self._index]

    def set(self, v: Any) -> Any:
        """Return the array with elements replaced."""
        return self._run(updates.at_set, v)

    def add(self, v: Any) -> Any:
        """Return the array with numbers added to elements."""
        return self._run(updates.at_add, v)

    def subtract(self, v: Any) -> Any:
        """Return the array with numbers subtracted from elements."""
        return self._run(updates.at_subtract, v)

    def multiply(self, v: Any) -> Any:
        """Return the array with elements multiplied by numbers."""
        return self._run(updates.at_multiply, v)

    def divide(self, v: Any) -> Any:
        """Return the array with elements divided by numbers."""
        return self._run(updates.at_divide, v)

    def min(self, v: Any) -> Any:
        """Return the array with elements lowered to numbers."""
        return self._run(updates.at_min, v)

    def max(self, v: Any) -> Any:
        """Return the array with elements raised to numbers."""
        return self._run(updates.at_max, v)
