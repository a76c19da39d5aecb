"""Variables of complex numbers: two real ones, which tapes watch as any."""

from typing import Any

import numpy as np

from .complexes import ComplexTensor
from .functions.table import BY_NUMPY, Impl
from .tensor import as_array
from .variable import Variable


class ComplexVariable(ComplexTensor):
    """A complex tensor whose value can be replaced.

    Args:
        kind: the class of its parts.
        initial_value: numbers, lists, an array or a tensor; copied.
        trainable: whether tapes watch it when it is read.
        name: what messages call it; its parts are `name.real` and `name.imag`.
        dtype: the element type.
    """

    __slots__ = ("name",)

    _re: Variable
    _im: Variable

    def __init__(
        self,
        kind: type[Variable],
        initial_value: Any,
        trainable: bool = True,
        name: "str | None" = None,
        dtype: Any = None,
    ) -> None:
        wanted = None if dtype is None else np.dtype(dtype)
        array = self._numbers(initial_value, wanted)
        self.name = name or "Variable"
        re, im = (
            kind(part, trainable, name=f"{self.name}.{part_name}")
            for part, part_name in ((array.real, "real"), (array.imag, "imag"))
        )
        super().__init__(re, im)

    @staticmethod
    def _numbers(value: Any, dtype: "np.dtype[Any] | None") -> Any:
        array = as_array(value, dtype, "fiubc")
        return array.astype(np.result_type(array.dtype, np.complex64), copy=False)

    @property
    def trainable(self) -> bool:
        """Whether tapes watch it when it is read."""
        return self._re.trainable

    @property
    def dtype(self) -> Any:
        """The element type, as NumPy knows it."""
        return np.result_type(self._re.dtype, np.complex64)

    @property
    def shape(self) -> tuple[Any, ...]:
        """The extents of all axes."""
        return self._re.shape

    def assign(self, value: Any) -> "ComplexVariable":
        """Replace the value; shape and dtype stay.

        Raises:
            OpTypeError: the shape differs, or a tensor's dtype does.
        """
        if isinstance(value, ComplexTensor):
            re, im = value.real, value.imag
        else:
            array = self._numbers(value, np.dtype(self.dtype))
            re, im = array.real, array.imag
        self._re.assign(re)
        self._im.assign(im)
        return self

    def assign_add(self, value: Any) -> "ComplexVariable":
        """Add to the value."""
        return self._assign_by(BY_NUMPY[np.add], value)

    def assign_sub(self, value: Any) -> "ComplexVariable":
        """Subtract from the value."""
        return self._assign_by(BY_NUMPY[np.subtract], value)

    def _assign_by(self, impl: Impl, value: Any) -> "ComplexVariable":
        return self.assign(self._apply(impl, self, value))

    def __repr__(self) -> str:
        return (
            f"<Variable '{self.name}': shape={self.shape}, dtype={self.dtype}, "
            f"numpy={self.numpy()!r}>"
        )

    __str__ = __repr__
