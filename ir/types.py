"""Element types and tensor types.

Logical only: no layout, no device. A type prints as `f64[n,3]`.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import OpTypeError, ParseError
from .size_text import parse_size
from .sizes import SizeExpr

Shape = tuple[int | SizeExpr, ...]


@dataclass(frozen=True, slots=True, eq=False)
class DType:
    """An element type; there is one object of each, compared by identity.

    `kind` is "f" float, "i" signed, "u" unsigned, "b" bool; `bits` is its memory.
    """

    name: str
    kind: str
    bits: int
    numpy: np.dtype[Any]

    def __repr__(self) -> str:
        return self.name

    @property
    def is_float(self) -> bool:
        """Whether values carry a derivative."""
        return self.kind == "f"


def _make(name: str, numpy_name: str) -> DType:
    dtype = np.dtype(numpy_name)
    return DType(name, dtype.kind, dtype.itemsize * 8, dtype)


F64 = _make("f64", "float64")
F32 = _make("f32", "float32")
I64 = _make("i64", "int64")
I32 = _make("i32", "int32")
I16 = _make("i16", "int16")
I8 = _make("i8", "int8")
U64 = _make("u64", "uint64")
U32 = _make("u32", "uint32")
U16 = _make("u16", "uint16")
U8 = _make("u8", "uint8")
BOOL = _make("bool", "bool")

DTYPES = {d.name: d for d in (F64, F32, I64, I32, I16, I8, U64, U32, U16, U8, BOOL)}
_BY_NUMPY = {d.numpy: d for d in DTYPES.values()}


def dtype_of(dtype: "np.dtype[Any] | type | str") -> DType:
    """Return the element type of a NumPy dtype (in any byte order).

    Raises:
        OpTypeError: there is no such element type here.
    """
    given = np.dtype(dtype)
    found = _BY_NUMPY.get(given) or _BY_NUMPY.get(given.newbyteorder("="))
    if found is None:
        raise OpTypeError(
            f"dtype {given} is not supported: use one of {', '.join(DTYPES)}"
        )
    return found


class TensorType:
    """The dtype and the shape of a tensor; sizes are ints or size expressions."""

    __slots__ = ("_hash", "dtype", "shape")

    def __init__(self, dtype: DType, shape: Shape) -> None:
        self.dtype = dtype
        self.shape = shape
        self._hash = hash((dtype.name, shape))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, TensorType)
            and self.dtype is other.dtype
            and self.shape == other.shape
        )

    def __str__(self) -> str:
        return f"{self.dtype.name}[{','.join(map(str, self.shape))}]"

    __repr__ = __str__

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def with_shape(self, shape: Shape) -> "TensorType":
        """Return this dtype with another shape."""
        return TensorType(self.dtype, shape)

    def with_dtype(self, dtype: DType) -> "TensorType":
        """Return this shape with another dtype."""
        return TensorType(dtype, self.shape)


def parse_type(text: str) -> TensorType:
    """Read a type such as `f64[n,3]`.

    Raises:
        ParseError: the text is not a type.
        SizeError: a size in it is malformed.
    """
    text = text.strip()
    name, bracket, rest = text.partition("[")
    if name not in DTYPES or not bracket or not rest.endswith("]"):
        raise ParseError(
            f"{text!r} is not a type: write a dtype and sizes, as f64[n,3]"
        )
    inner = rest[:-1].strip()
    return TensorType(
        DTYPES[name], tuple(parse_size(part) for part in split_sizes(inner))
    )


def split_sizes(text: str) -> list[str]:
    """Split at the commas that are outside parentheses; nothing gives no parts."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]] if text.strip() else []
