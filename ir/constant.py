"""Array constants inside graphs: immutable, compared by content."""

from typing import Any

import numpy as np

from .digest import sha256_hex


class ArrayConstant:
    """A read-only array that is a param of a node; equal arrays are equal constants."""

    __slots__ = ("array", "key")

    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        held = np.array(array, order="C", copy=True)
        held.setflags(write=False)
        self.array = held
        text = f"{held.dtype.str}{held.shape}".encode()
        self.key = sha256_hex([text, held.tobytes()])[:16]

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ArrayConstant) and self.key == other.key

    def __repr__(self) -> str:
        return f"@{self.key}"
