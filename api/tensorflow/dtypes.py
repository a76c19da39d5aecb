"""TensorFlow's element types and shapes, on top of NumPy's."""

from typing import Any

import numpy as np

from ..ir.types import DTYPES
from ..tracer.pair import C64, C128

_TF_NAMES = {"float32": "float", "float64": "double"}


class DType:
    """An element type; equal to its name and to NumPy's type of the same name."""

    __slots__ = ("dtype",)

    def __init__(self, dtype: "np.dtype[Any]") -> None:
        self.dtype = dtype  # NumPy reads it: np.zeros(2, tf.float32) works

    @property
    def name(self) -> str:
        """The name: `float32`."""
        return str(self.dtype)

    @property
    def kind(self) -> str:
        """NumPy's letter of the kind."""
        return self.dtype.kind

    @property
    def size(self) -> int:
        """Bytes an element."""
        return self.dtype.itemsize

    @property
    def as_numpy_dtype(self) -> Any:
        """NumPy's scalar type."""
        return self.dtype.type

    @property
    def is_floating(self) -> bool:
        """Whether it is a float."""
        return self.dtype.kind == "f"

    @property
    def is_integer(self) -> bool:
        """Whether it is an integer, signed or not."""
        return self.dtype.kind in "iu"

    @property
    def is_bool(self) -> bool:
        """Whether it is bool."""
        return self.dtype.kind == "b"

    @property
    def is_complex(self) -> bool:
        """Whether it is complex."""
        return self.dtype.kind == "c"

    @property
    def base_dtype(self) -> "DType":
        """The type itself."""
        return self

    @property
    def min(self) -> Any:
        """The least number."""
        limits = np.iinfo if self.is_integer else np.finfo
        return limits(self.dtype).min

    @property
    def max(self) -> Any:
        """The greatest number."""
        limits = np.iinfo if self.is_integer else np.finfo
        return limits(self.dtype).max

    def __eq__(self, other: object) -> bool:
        try:
            return self.dtype == np.dtype(other)  # type: ignore[call-overload, no-any-return]  # any object at all
        except TypeError:
            return False

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __str__(self) -> str:
        return f"<dtype: {self.name!r}>"

    def __repr__(self) -> str:
        return f"tf.{self.name}"


_ALL = {str(d.numpy): DType(d.numpy) for d in (*DTYPES.values(), C64, C128)}
complex64, complex128 = _ALL["complex64"], _ALL["complex128"]
float32, float64 = _ALL["float32"], _ALL["float64"]
int8, int16, int32, int64 = (_ALL[f"int{n}"] for n in (8, 16, 32, 64))
uint8, uint16, uint32, uint64 = (_ALL[f"uint{n}"] for n in (8, 16, 32, 64))
bool_ = _ALL["bool"]
double = float64


def as_dtype(given: Any) -> DType:
    """Return the element type that something names.

    Raises:
        TypeError: there is no such element type.
    """
    if type(given) is DType:
        return given
    try:
        found = _ALL.get(str(np.dtype(given)))
    except TypeError:
        found = None
    if found is None:
        raise TypeError(
            f"Cannot convert the argument `type_value`: {given!r} to a TensorFlow "
            "DType."
        )
    return found


def short_name(dtype: DType) -> str:
    """Return the name that messages have: `float` for float32."""
    return _TF_NAMES.get(dtype.name, dtype.name)


class TensorShape(tuple[Any, ...]):
    """The extents of all axes; a tuple of integers, None where one is not known."""

    __slots__ = ()

    def as_list(self) -> list[Any]:
        """Return the extents as a list."""
        return list(self)

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self)

    ndims = rank

    @property
    def dims(self) -> list[Any]:
        """The extents as a list."""
        return list(self)

    def num_elements(self) -> "int | None":
        """Return the number of elements, or None where an extent is not known."""
        count = 1
        for d in self:
            if d is None:
                return None
            count *= d
        return count

    def is_fully_defined(self) -> bool:
        """Return whether all extents are known."""
        return None not in self

    def is_compatible_with(self, other: Any) -> bool:
        """Return whether a shape may be this one."""
        given = tuple(other)
        return len(given) == len(self) and all(
            None in (a, b) or a == b for a, b in zip(self, given, strict=True)
        )

    def __getitem__(self, key: Any) -> Any:
        found = tuple.__getitem__(self, key)
        return TensorShape(found) if isinstance(key, slice) else found

    def __add__(self, other: Any) -> "TensorShape":
        return TensorShape((*self, *other))

    def __repr__(self) -> str:
        return f"TensorShape({list(self)})"

    def __str__(self) -> str:
        return tuple.__repr__(self)


class TensorSpec:
    """The shape and the element type of an argument; a shape of None is any shape."""

    __slots__ = ("dtype", "name", "shape")

    def __init__(
        self, shape: Any = None, dtype: Any = float32, name: "str | None" = None
    ) -> None:
        self.shape = None if shape is None else TensorShape(shape)
        self.dtype = as_dtype(dtype)
        self.name = name

    def __repr__(self) -> str:
        shape = "<unknown>" if self.shape is None else str(self.shape)
        return f"TensorSpec(shape={shape}, dtype={self.dtype!r}, name={self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TensorSpec) and (self.shape, self.dtype) == (
            other.shape,
            other.dtype,
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.dtype))


__all__ = ["DType", "TensorShape", "TensorSpec", "as_dtype", "short_name"]
