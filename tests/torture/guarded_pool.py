"""Memory for many guarded calls: pieces between forbidden pages, used again and again.

A piece serves one buffer of a call, which ends at the forbidden page behind it or
begins at the one before it. Nothing is forked: whoever calls is prepared to die.
"""

import mmap
from typing import Any

import numpy as np
from native import CANARY, NONE, PAGE, protect

Array = np.ndarray[Any, Any]


class Piece:
    """Room for one buffer, with the interface of `native.Region`."""

    __slots__ = (
        "_held", "address", "base", "data", "nbytes", "room", "start", "whole",
    )  # fmt: skip

    def __init__(self, whole: Array) -> None:
        self.whole = whole  # between the forbidden pages
        self.room = whole.size
        self.base = whole.ctypes.data
        self._held: bytes | None = None

    def use(self, nbytes: int, side: str, align: int) -> None:
        self.nbytes = nbytes
        self.start = 0 if side == "begin" else (self.room - nbytes) // align * align
        self.address = self.base + self.start
        self.whole[:] = CANARY
        self.data = self.whole[self.start : self.start + nbytes]
        self._held = None

    def read_only(self) -> None:
        """Demand that the data stay as they are."""
        self._held = self.data.tobytes()

    def intact(self) -> bool:
        """Whether the bytes around are as they were, and those to be read only."""
        around = (self.whole[: self.start], self.whole[self.start + self.nbytes :])
        if self._held is not None and self.data.tobytes() != self._held:
            return False
        return all(part.tobytes() == _canary(part.size) for part in around)


_CANARIES = bytes([CANARY]) * (1 << 20)


def _canary(count: int) -> bytes:
    while count > len(_CANARIES):
        raise AssertionError(f"{count} bytes around a buffer")
    return _CANARIES[:count]


class Pool:
    """Pieces by room; all are free again after `clear`."""

    ROOMS = (PAGE, 2 * PAGE, 8 * PAGE, 64 * PAGE)
    BLOCK = 64  # pieces mapped at a time

    def __init__(self) -> None:
        self._maps: list[mmap.mmap] = []
        self._pieces: dict[int, list[Piece]] = {}
        self._used: dict[int, int] = {}

    def region(self, nbytes: int, side: str, align: int = 1) -> Piece:
        room = next((r for r in self.ROOMS if r >= nbytes), -(-nbytes // PAGE) * PAGE)
        pieces = self._pieces.setdefault(room, [])
        k = self._used.get(room, 0)
        if k == len(pieces):
            self._grow(room, pieces)
        self._used[room] = k + 1
        piece = pieces[k]
        piece.use(nbytes, side, align)
        return piece

    def clear(self) -> None:
        self._used.clear()

    def _grow(self, room: int, pieces: list[Piece]) -> None:
        count = self.BLOCK if room in self.ROOMS[:3] else 1
        stride = room + PAGE
        held = mmap.mmap(-1, PAGE + count * stride)
        self._maps.append(held)
        data = np.frombuffer(held, np.uint8)
        base = data.ctypes.data
        protect(base, PAGE, NONE)
        for k in range(count):
            first = PAGE + k * stride
            pieces.append(Piece(data[first : first + room]))
            protect(base + first + room, PAGE, NONE)
