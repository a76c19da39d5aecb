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


@dataclass(slots=True)
class Placement:
    """An arena, and where in it or in which output each buffer would lie."""

    arena: Arena = field(default_factory=Arena)
    place: dict[Buffer, tuple[int, int]] = field(default_factory=dict)
    lent: dict[Buffer, int] = field(default_factory=dict)  # by buffer: the output

    def settle(self) -> Arena:
        """Put the buffers where they lie; return the arena."""
        for buffer, (bucket, number) in self.place.items():
            buffer.bucket, buffer.number = bucket, number
        for buffer, number in self.lent.items():
            buffer.kind, buffer.number = "output", number
        return self.arena


def plan_arena(
    writes: Sequence[Sequence[Buffer]],
    reads: Sequence[Sequence[Buffer]],
    lend: bool = False,
) -> Placement:
    """Find a place for every workspace buffer, given what each launch writes and reads.

    A buffer lies there from the launch that writes it first to the one that uses it
    last; a launch's results never share a place with its operands. With `lend` the
    memory of a result is workspace until the launch that writes it first. Places are
    given from the last launch to the first, so that what becomes the result and what
    it is made of take turns. Cost: O(launches).
    """
    first: dict[Buffer, int] = {}
    used: list[list[Buffer]] = []
    for k, (written, read) in enumerate(zip(writes, reads, strict=True)):
        used.append(list(dict.fromkeys((*written, *read))))
        for buffer in used[-1]:
            if buffer.kind == "work" or buffer.kind == "output":
                first.setdefault(buffer, k)
    made = Placement()
    arena = made.arena
    buckets: dict[Size, int] = {}
    bucket_of: dict[Buffer, int] = {}
    for buffer in first:
        if buffer.kind == "work":
            size = rounded(buffer.nbytes)
            bucket_of[buffer] = buckets.setdefault(size, len(arena.piece))
            if bucket_of[buffer] == len(arena.piece):
                arena.piece.append(size)
                arena.count.append(0)
    free: list[list[int]] = [[] for _ in arena.piece]
    results: dict[Size, list[int]] = {}  # free ones, by their bytes
    for k in reversed(range(len(used))):
        for buffer in used[k]:
            if buffer.kind != "work" or buffer in made.place or buffer in made.lent:
                continue
            lenders = results.get(buffer.nbytes) if results else None
            if lenders:
                made.lent[buffer] = lenders.pop()
                continue
            bucket = bucket_of[buffer]
            if free[bucket]:
                number = free[bucket].pop()
            else:
                number = arena.count[bucket]
                arena.count[bucket] += 1
            made.place[buffer] = (bucket, number)
        for buffer in used[k]:
            if first.get(buffer) != k:
                continue
            if buffer in made.place:
                bucket, number = made.place[buffer]
                free[bucket].append(number)
            elif lend:
                number = made.lent.get(buffer, buffer.number)
                results.setdefault(buffer.nbytes, []).append(number)
    if not all(arena.count):
        _drop_empty(made)
    return made


def _drop_empty(made: Placement) -> None:
    """Leave out the buckets whose buffers all lie in results."""
    arena = made.arena
    kept = [k for k, count in enumerate(arena.count) if count]
    number = {bucket: k for k, bucket in enumerate(kept)}
    arena.piece = [arena.piece[k] for k in kept]
    arena.count = [arena.count[k] for k in kept]
    made.place = {b: (number[bucket], at) for b, (bucket, at) in made.place.items()}
