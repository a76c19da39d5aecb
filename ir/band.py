"""Bands: the part of a matrix between two of its diagonals."""

from typing import NamedTuple


class Band(NamedTuple):
    """Elements with lo <= column - row <= hi; None is no bound.

    `sure` says that all elements outside are zero whatever the operands are; without
    it they are unless an infinity or a NaN met a zero, which a reader has to check.
    """

    lo: int | None
    hi: int | None
    sure: bool = True

    @property
    def bounded(self) -> bool:
        """Whether anything lies outside."""
        return self.lo is not None or self.hi is not None

    @property
    def empty(self) -> bool:
        """Whether nothing lies inside, whatever the size."""
        return self.lo is not None and self.hi is not None and self.lo > self.hi

    def turned(self) -> "Band":
        """Return the band of the transposed matrix."""
        lo = None if self.hi is None else -self.hi
        hi = None if self.lo is None else -self.lo
        return Band(lo, hi, self.sure)

    def both(self, other: "Band") -> "Band":
        """Return what lies in both, sure where both are."""
        lows = [d for d in (self.lo, other.lo) if d is not None]
        highs = [d for d in (self.hi, other.hi) if d is not None]
        return Band(
            max(lows, default=None),
            min(highs, default=None),
            (self.sure or not self.bounded) and (other.sure or not other.bounded),
        )

    def either(self, other: "Band") -> "Band":
        """Return the least band around two."""
        if self.empty:
            return other
        if other.empty:
            return self
        none_low = self.lo is None or other.lo is None
        none_high = self.hi is None or other.hi is None
        return Band(
            None if none_low else min(self.lo, other.lo),  # type: ignore[type-var]
            None if none_high else max(self.hi, other.hi),  # type: ignore[type-var]
            self.sure and other.sure,
        )

    def times(self, other: "Band") -> "Band":
        """Return the band of a matrix product, which no operand makes sure."""
        if self.empty or other.empty:
            return Band(EMPTY.lo, EMPTY.hi, False)
        none_low = self.lo is None or other.lo is None
        none_high = self.hi is None or other.hi is None
        return Band(
            None if none_low else self.lo + other.lo,  # type: ignore[operator]
            None if none_high else self.hi + other.hi,  # type: ignore[operator]
            False,
        )

    def outside(self) -> "Band":
        """Return the least band around all that lies outside."""
        if self.empty:
            return FULL
        if self.lo is None and self.hi is not None:
            return Band(self.hi + 1, None)
        if self.hi is None and self.lo is not None:
            return Band(None, self.lo - 1)
        return FULL if self.bounded else EMPTY

    def doubtful(self) -> "Band":
        """Return the band as one to be checked."""
        return self if not self.bounded else self._replace(sure=False)


FULL = Band(None, None)
EMPTY = Band(1, 0)
