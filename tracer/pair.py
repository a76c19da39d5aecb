"""Complex values: two real ones, and nothing below the tracer knows of them.

Functions of real values refuse a pair, as they refuse whatever is no array. A call that
was refused runs again as the function of complex numbers of the same name, where there
is one; the first such call loads them. So what is real pays nothing.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.graph import Node, Value
from ..ir.types import F32, F64, DType, TensorType

if TYPE_CHECKING:
    from .functions.table import Impl

C64 = DType("c64", "c", 64, np.dtype("complex64"))
C128 = DType("c128", "c", 128, np.dtype("complex128"))
_OF_PARTS = {F32: C64, F64: C128}
_REAL = frozenset((type(None), bool, int, float, np.float64))
_NAMES = ("complex", "complex64", "complex128")
PART_OF = {C64.numpy: F32, C128.numpy: F64}


class Pair:
    """A complex value: its real and its imaginary part, of one type."""

    __slots__ = ("im", "re")

    def __init__(self, re: Value, im: Value) -> None:
        self.re, self.im = re, im

    @property
    def type(self) -> TensorType:
        """The type that messages name: `c128[3]`."""
        kind = self.re.type
        return TensorType(_OF_PARTS[kind.dtype], kind.shape)

    @property
    def node(self) -> "Node | None":
        """What made it, as far as messages tell."""
        return self.re.node


def part_dtype(dtype: Any) -> "DType | None":
    """Return the dtype of the parts where `dtype` names a complex one, else None."""
    if dtype in (complex, np.complex64, np.complex128):
        return PART_OF[np.dtype(dtype)]
    if isinstance(dtype, str):  # a letter may be an order: "F"
        return PART_OF[np.dtype(dtype)] if dtype in _NAMES else None
    kind = dtype if isinstance(dtype, np.dtype) else getattr(dtype, "dtype", None)
    return PART_OF.get(kind) if isinstance(kind, np.dtype) else None


def is_complex(items: Iterable[Any]) -> bool:
    """Return whether a complex number, array, value or dtype is among items."""
    for x in items:
        kind = type(x)
        if kind in _REAL:
            continue
        if isinstance(x, np.ndarray):
            if x.dtype.kind == "c":
                return True
        elif isinstance(x, (Pair, complex, np.complexfloating)):
            return True
        elif isinstance(x, (list, tuple)):
            if is_complex(x):
                return True
        elif hasattr(x, "_value"):
            if isinstance(x._value, Pair):
                return True
        elif part_dtype(x) is not None:
            return True
    return False


def instead(
    impl: "Impl", args: Iterable[Any], options: Mapping[str, Any]
) -> "Impl | None":
    """Return the function of complex numbers for one that refused its arguments.

    None where nothing among them is complex; one that says so where there is none.
    """
    if hasattr(impl, "of_complex") or not is_complex([*args, *options.values()]):
        return None
    from .functions.complex_table import of_real  # lazy: the first complex number

    return of_real(impl)


def complex_array(trace: Any, pair: Any) -> Any:
    """Return a pair of a trace as the array that user code has."""
    from .complexes import ComplexArray  # lazy: the first complex number

    return ComplexArray(trace, pair)


def joined(parts: "list[Any]") -> Any:
    """Return a complex value of traced arrays or tensors: one is of both parts."""
    from .complexes import join  # lazy: the first complex number

    return join(parts)


def complex_tensor(re: Any, im: Any) -> Any:
    """Return the tensor of two that are its parts."""
    from .complexes import ComplexTensor  # lazy: the first complex number

    return ComplexTensor(re, im)


def complex_variable(kind: Any, *args: Any, **options: Any) -> Any:
    """Return a variable of complex numbers; its parts are variables of a class."""
    from .complex_variable import ComplexVariable  # lazy: the first complex number

    return ComplexVariable(kind, *args, **options)


def stacked(trace: Any, re: Any, im: Any) -> Any:
    """Return the parts of a result as one array, which is a complex one in memory."""
    from .complexes import stack  # lazy: the first complex number

    return stack(trace, re, im)
