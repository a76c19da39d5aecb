"""Buffers of a program, and where each lies in the workspace.

A buffer is an input, an output, a constant, or a piece of the workspace. Pieces whose
lives do not overlap share a place if they have the same size, which also holds for
sizes that are known only when the program is called.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from ..ir.constant import ArrayConstant
from ..ir.sizes import SizeExpr, floordiv, product
from ..ir.types import TensorType

Size = int | SizeExpr

ALIGN = 64


@dataclass(slots=True, eq=False)
class Buffer:
    """Memory that holds a value. `kind` is "input", "output", "constant" or "work".

    `number` is the index of the input, output or constant; for workspace, the place
    among the pieces of its `bucket`.
    """

    kind: str
    type: TensorType
    number: int = -1
    bucket: int = -1
    constant: ArrayConstant | None = None

    @property
    def nbytes(self) -> Size:
        """The bytes it holds."""
        return product(self.type.shape) * (self.type.dtype.bits // 8)


def rounded(nbytes: Size) -> Size:
    """Return a size in bytes rounded up to the alignment."""
    return floordiv(nbytes + (ALIGN - 1), ALIGN) * ALIGN


@dataclass(slots=True)
class Arena:
    """The workspace: for each bucket the size of a piece and how many there are."""

    piece: list[Size] = field(default_factory=list)
    count: list[int] = field(default_factory=list)
    scratch: int = 0  # bytes of packing space behind the pieces
    shared: int = 0  # bytes there that the parts of a kernel share, with threads

    def nbytes(self, threads: bool = True) -> Size:
        """Return the bytes of the whole workspace."""
        total: Size = max(self.scratch, self.shared if threads else 0)
        for piece, count in zip(self.piece, self.count, strict=True):
            total = total + piece * count
        return total


def plan_arena(
    writes: Sequence[Sequence[Buffer]], reads: Sequence[Sequence[Buffer]]
) -> Arena:
    """Place every workspace buffer, given what each launch writes and reads.

    A buffer is free again after the launch that reads it last; a launch's results never
    share a place with its operands. Cost: O(launches).
    """
    last: dict[Buffer, int] = {}
    for k, (written, read) in enumerate(zip(writes, reads, strict=True)):
        for buffer in (*written, *read):
            if buffer.kind == "work":
                last[buffer] = k
    arena = Arena()
    buckets: dict[Size, int] = {}
    free: list[list[int]] = []
    for k, written in enumerate(writes):
        for buffer in written:
            if buffer.kind != "work" or buffer.bucket >= 0:
                continue
            size = rounded(buffer.nbytes)
            bucket = buckets.get(size)
            if bucket is None:
                bucket = buckets[size] = len(arena.piece)
                arena.piece.append(size)
                arena.count.append(0)
                free.append([])
            buffer.bucket = bucket
            if free[bucket]:
                buffer.number = free[bucket].pop()
            else:
                buffer.number = arena.count[bucket]
                arena.count[bucket] += 1
        for buffer in dict.fromkeys((*written, *reads[k])):
            if buffer.kind == "work" and last[buffer] == k:
                free[buffer.bucket].append(buffer.number)
    return arena
