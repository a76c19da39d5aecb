"""Sizes of traced arrays that are not known numbers, as user code meets them.

A `Dim` behaves as an int where it can: arithmetic gives ints or Dims, and comparisons
answer where the answer holds for every value of the named sizes.
"""

import operator
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from ..ir.errors import TracedValueError
from ..ir.loc import traced_at, user_loc
from ..ir.sizes import SizeExpr, floordiv, lower_bound, upper_bound
from .state import STATE

Size = int | SizeExpr


class SizeAsked(TracedValueError):
    """Python needs a size as a number; `what` says which, and where."""

    def __init__(self, size: object, what: str, advice: str) -> None:
        loc = user_loc(3)
        super().__init__(f"size {size}: {what}{traced_at(loc)}\n  {advice}")
        self.what = f"size {size} is needed as a number" + (f" at {loc}" if loc else "")


class Dim:
    """The extent of an axis: an expression over named sizes such as `2*n+1`."""

    __slots__ = ("size",)

    def __init__(self, size: SizeExpr) -> None:
        self.size = size

    def __repr__(self) -> str:
        return str(self.size)

    def __hash__(self) -> int:
        return hash(self.size)

    def _with(self, other: Any, integers: Any, floats: Any) -> Any:
        """Compute with an int or a size exactly, with anything else as an array."""
        if isinstance(other, (bool, int, np.integer, Dim)):
            return as_dim(integers(self.size, as_size(other)))
        trace = STATE.trace
        if isinstance(other, float) and trace is not None:
            return floats(trace.lift(self, "a size"), other)
        return NotImplemented

    def __add__(self, other: Any) -> Any:
        return self._with(other, operator.add, operator.add)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._with(other, operator.sub, operator.sub)

    def __rsub__(self, other: Any) -> Any:
        return self._with(other, _swapped(operator.sub), _swapped(operator.sub))

    def __mul__(self, other: Any) -> Any:
        return self._with(other, operator.mul, operator.mul)

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> Any:
        return self._with(other, floordiv, operator.floordiv)

    def __mod__(self, other: Any) -> Any:
        return self._with(other, _remainder, operator.mod)

    def __truediv__(self, other: Any) -> Any:
        return self._with(float(other), operator.add, operator.truediv)

    def __rtruediv__(self, other: Any) -> Any:
        return self._with(float(other), operator.add, _swapped(operator.truediv))

    def __neg__(self) -> "int | Dim":
        return as_dim(-self.size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, (int, Dim)):
            return NotImplemented
        gap = self.size - as_size(other)
        low, high = lower_bound(gap), upper_bound(gap)
        if low == 0 == high:
            return True
        if (low is not None and low > 0) or (high is not None and high < 0):
            return False
        if other == 1 and len(self.size.terms) == 1 and self.size.terms[0][1] == 1:
            return False  # a named size is never 1
        return self._undecided("==", other)

    def __lt__(self, other: "int | Dim") -> bool:
        gap = self.size - as_size(other)
        low, high = lower_bound(gap), upper_bound(gap)
        if high is not None and high < 0:
            return True
        if low is not None and low >= 0:
            return False
        return self._undecided("<", other)

    def __ge__(self, other: "int | Dim") -> bool:
        return not self < other

    def __gt__(self, other: "int | Dim") -> bool:
        return not self < other + 1

    def __le__(self, other: "int | Dim") -> bool:
        return self < other + 1

    def _undecided(self, sign: str, other: object) -> NoReturn:
        raise SizeAsked(
            self,
            f"{self} {sign} {other} is true of some sizes only",
            "give the size as a number, or write the program without the question",
        )

    def _number(self, wanted: str) -> NoReturn:
        raise SizeAsked(
            self,
            f"{wanted} needs a number and the size is only named",
            "pb.zeros, pb.ones, pb.full, reshape and broadcast_to take named sizes",
        )

    def __int__(self) -> int:
        self._number("int()")

    def __index__(self) -> int:
        self._number("an index or a NumPy shape")

    def __float__(self) -> float:
        self._number("float()")

    def __bool__(self) -> bool:
        return self != 0


def _swapped(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda x, y: function(y, x)


def _remainder(x: Size, y: Size) -> Size:
    return x - floordiv(x, y) * y


def as_dim(size: Size) -> "int | Dim":
    """Return a size as user code sees it."""
    return size if isinstance(size, int) else Dim(size)


def as_size(dim: "int | np.integer[Any] | Dim") -> Size:
    """Return what user code calls a size as the graph knows it."""
    return dim.size if isinstance(dim, Dim) else int(dim)
