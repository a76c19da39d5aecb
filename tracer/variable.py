"""Variables: names for values that can be replaced.

Values are immutable; `assign` swaps the value, and a read captures the one there is. A
read stands for the variable on the tapes that record it, so the gradient with respect
to a variable is the sum over its reads. Nothing before a read is seen through it.
"""

import itertools
from typing import Any, NoReturn

import numpy as np

from ..ir.errors import OpTypeError, TracedValueError
from ..ir.graph import Value
from ..ir.loc import traced_at, user_loc
from ..ir.types import dtype_of
from .builders import Array
from .cell import Cell, leaf
from .functions.table import BY_NUMPY, Impl
from .pair import complex_variable, is_complex
from .state import STATE, WATCHERS
from .tensor import _QUICK, Tensor, as_array, current_recorder

_ORDER = itertools.count()


class Variable(Tensor):
    """A tensor whose value can be replaced.

    Args:
        initial_value: numbers, lists, an array or a tensor; copied.
        trainable: whether tapes watch it when it is read.
        name: what messages call it.
        dtype: the element type; NumPy's choice by default.
    """

    __slots__ = (
        "_current",
        "_epoch",
        "_order",
        "_read",
        "_watchers",
        "name",
        "trainable",
    )

    def __new__(cls, initial_value: Any = None, *args: Any, **options: Any) -> Any:
        """Return a variable: of complex numbers, one of two real ones."""
        if is_complex((initial_value, options.get("dtype"), *args[2:])):
            return cls._of_complex(initial_value, *args, **options)
        return object.__new__(cls)

    @classmethod
    def _of_complex(cls, *args: Any, **options: Any) -> Any:
        return complex_variable(cls, *args, **options)

    def __init__(
        self,
        initial_value: Any,
        trainable: bool = True,
        name: "str | None" = None,
        dtype: Any = None,
    ) -> None:
        wanted = None if dtype is None else dtype_of(dtype).numpy
        self._current = leaf(as_array(initial_value, wanted))
        self._current.cell.handles += 1
        self.trainable = trainable
        self.name = name or "Variable"
        self._order = next(_ORDER)
        self._read: Value | None = None
        self._epoch: object = None
        self._watchers: object = None

    def __del__(self) -> None:
        current = getattr(self, "_current", None)
        if current is not None:
            current.cell.handles -= 1

    # -- reading -------------------------------------------------------------------

    @property
    def _value(self) -> Value:  # type: ignore[override]  # a read, not a slot
        """The present value, as a read of this variable."""
        recorder = STATE.recorder or current_recorder()
        watchers = WATCHERS.get()
        read = self._read
        if (
            read is None
            or self._epoch is not recorder.trail.epoch
            or self._watchers is not watchers
        ):
            read = recorder.read(self)
            self._read, self._epoch = read, recorder.trail.epoch
            self._watchers = watchers
            for watcher in watchers:
                watcher._note_read(self, read)
        return read

    def _array(self) -> Array:
        array: Array | None = self._current.cell.array
        return array if array is not None else current_recorder().look(self._current)

    def read_value(self) -> Tensor:
        """Return the present value as a tensor."""
        return self.plain(current_recorder().alias(self._value))

    @property
    def shape(self) -> tuple[Any, ...]:
        """The extents of all axes."""
        return self._current.type.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type, as NumPy knows it."""
        return self._current.type.dtype.numpy

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self._current.type.shape)

    def __repr__(self) -> str:
        return (
            f"<Variable '{self.name}': shape={self.shape}, dtype={self.dtype}, "
            f"numpy={self.numpy()!r}>"
        )

    __str__ = __repr__

    # -- assigning -----------------------------------------------------------------

    def assign(self, value: Any) -> "Variable":
        """Replace the value; shape and dtype stay.

        Raises:
            OpTypeError: the shape differs, or a tensor's dtype does.
        """
        if STATE.trace is not None:
            self._refuse_trace()
        kind = self._current.type
        if isinstance(value, Tensor):
            new = value._value
        else:
            new = leaf(as_array(value, kind.dtype.numpy))
        if new.type != kind:
            raise OpTypeError(
                f"assign: variable '{self.name}' is {kind}, the value {new.type}"
                f"{traced_at(user_loc())}"
            )
        current_recorder().assign(self, new)
        return self

    def _replace(self, new: Value) -> None:
        if new.cell is None:
            new.cell = Cell()
        old, self._current, self._read = self._current, new, None
        new.cell.handles += 1
        old.cell.handles -= 1

    def assign_add(self, value: Any) -> "Variable":
        """Add to the value."""
        return self._assign_by(BY_NUMPY[np.add], value)

    def assign_sub(self, value: Any) -> "Variable":
        """Subtract from the value."""
        return self._assign_by(BY_NUMPY[np.subtract], value)

    def _assign_by(self, impl: Impl, value: Any) -> "Variable":
        if STATE.trace is not None:
            self._refuse_trace()
        if not isinstance(value, Tensor):
            value = as_array(value, self.dtype)
        return self.assign(current_recorder().call(impl, (self, value), {}))

    def _as_constant(self) -> NoReturn:
        raise TracedValueError(
            f"variable '{self.name}' is read in a decorated function, which would keep "
            f"its present value for ever{traced_at(user_loc(2))}"
            "\n  pass the variable as an argument"
        )

    def _refuse_trace(self) -> NoReturn:
        raise TracedValueError(
            f"variable '{self.name}' cannot be assigned in a decorated function: "
            f"its result is the way out{traced_at(user_loc(2))}"
        )


_QUICK.add(Variable)

__all__ = ["Variable"]
