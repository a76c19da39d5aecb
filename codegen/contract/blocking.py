"""Sizes of the register tile and of the cache blocks of a matrix multiplication.

Everything here depends on the target's registers and the element type alone, and none
of it can change a bit of a result: each element is one chain of fma in ascending k.
"""

from dataclasses import dataclass

from ..llvm import F32, F64
from ..target import Target

ELEMENTS = {"f64": F64, "f32": F32}

# Bytes of a packed block of the second operand: most of a common L2 cache.
_BLOCK_BYTES = 720 * 1024
_BLOCK_K = 256


@dataclass(frozen=True, slots=True)
class Blocking:
    """How a multiplication is cut up.

    Attributes:
        elem: LLVM type of an element.
        size: bytes of an element.
        width: lanes of a vector.
        tall, short: rows of a register tile, for many rows and for few.
        vectors: vectors of a tile's row.
        accumulators: vector registers that a tile may hold its sums in.
        x86: whether the target is x86-64.
        masks: whether ragged rows are loaded and stored under a mask.
        block_k: depth of a packed block.
        block_n: columns of a packed block, a multiple of `panel`.
    """

    elem: str
    size: int
    width: int
    tall: int
    short: int
    vectors: int
    accumulators: int
    x86: bool
    masks: bool
    block_k: int
    block_n: int

    @property
    def panel(self) -> int:
        """Columns of a full tile."""
        return self.vectors * self.width

    def columns(self, n: int | None) -> int:
        """Return how many columns of n a packed line has: few are not filled up."""
        if n is None or n >= self.panel:
            return self.panel
        return max(-(-n // self.width), 1) * self.width

    def second_bytes(self, n: int | None = None, k: int | None = None) -> int:
        """Return the bytes of the packed block of an n by k operand, or the most.

        A multiple of 64.
        """
        depth = self.block_k if k is None else min(k, self.block_k)
        columns = self.block_n if n is None else min(n, self.block_n)
        panel = self.columns(n)
        return -(-depth * -(-columns // panel) * panel * self.size // 64) * 64

    @property
    def strip_bytes(self) -> int:
        """Bytes of a packed strip of the first operand."""
        return self.tall * self.block_k * self.size


def _registers(target: Target) -> int:
    wide = target.vector_bits == 512 or target.triple.startswith(("aarch64", "arm64"))
    return 32 if wide else 16


def blocking(target: Target, dtype: str) -> Blocking:
    """Choose the sizes for a target: 24 accumulators of 32 registers, or 12 of 16."""
    elem = ELEMENTS[dtype]
    size = 8 if elem == F64 else 4
    width = target.lanes(size * 8)
    tall = 8 if _registers(target) == 32 else 4
    vectors = 3
    panel = vectors * width
    block_n = _BLOCK_BYTES // (_BLOCK_K * size) // panel * panel
    return Blocking(
        elem=elem,
        size=size,
        width=width,
        tall=tall,
        short=4,
        vectors=vectors,
        accumulators=vectors * tall,
        x86=target.triple.startswith("x86_64"),
        masks=target.has_masks and width > 1,
        block_k=_BLOCK_K,
        block_n=block_n,
    )
