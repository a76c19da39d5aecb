"""Params that have no text: they are told apart, and cannot be read back."""

from itertools import count

_NUMBERS = count()


class Opaque:
    """A param compared by identity; text has a number of its own for it."""

    __slots__ = ("number",)

    number: int

    def __new__(cls, *args: object, **options: object) -> "Opaque":
        """Number it."""
        made = super().__new__(cls)
        object.__setattr__(made, "number", next(_NUMBERS))
        return made

    def __repr__(self) -> str:
        return f"!{self.number}"
