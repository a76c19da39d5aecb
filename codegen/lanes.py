"""The lanes of a kernel's folds, in memory, block after block.

`fold.py` has the law. Where a reduction may have more than one block, the lanes of the
blocks before lie beside those of the block that is being folded.
"""

from collections.abc import Sequence

from ..ir.sizes import product
from . import llvm
from .fold import BLOCK, LANES, flush_function, identity_of
from .index import Size
from .llvm import I64, Function, Module, Reg, const, vec
from .plan import Output
from .scalar import register_type


def has_blocks(reduced: Sequence[Size]) -> bool:
    """Return whether a reduction over axes of these extents may have several blocks."""
    size = product(reduced)
    return not isinstance(size, int) or size > BLOCK


class Lanes:
    """Lanes of folds, `columns` results side by side.

    They begin with what changes nothing. `blocks` says whether there may be several
    blocks; then `totals` has what those that have ended came to.
    """

    def __init__(
        self,
        fn: Function,
        module: Module,
        folds: Sequence[Output],
        width: int,
        blocks: bool,
        columns: int = 1,
    ) -> None:
        self.fn = fn
        self.module = module
        self.folds = folds
        self.width = width
        self.count = LANES * columns
        self.memory = self._begin()
        self.totals = self._begin() if blocks else self.memory

    def _begin(self) -> list[Reg]:
        """Return memory for the lanes of each fold, filled."""
        held = []
        for out in self.folds:
            elem = register_type(out.dtype, 1)
            memory = self.fn.alloca(elem, self.count)
            start = const(
                vec(elem, self.width), identity_of(str(out.monoid), out.dtype)
            )
            if self.count == LANES:
                for k in range(0, LANES, self.width):
                    self.fn.store(start, self.fn.gep(memory, const(I64, k), elem))
            else:
                self._fill(memory, start, elem)
            held.append(memory)
        return held

    def _fill(self, memory: Reg, value: Reg, elem: str) -> None:
        fn = self.fn
        before = fn.block
        loop, done = fn.new_label("fill"), fn.new_label("filled")
        fn.br(loop)
        fn.start(loop)
        at = fn.phi(I64, const(I64, 0), before)
        fn.store(value, fn.gep(memory, at, elem))
        following = fn.add(at, const(I64, self.width))
        fn.phi_edge(at, following, fn.block)
        fn.cond_br(fn.icmp("slt", following, const(I64, self.count)), loop, done)
        fn.start(done)

    def flush(self, into: Sequence[Reg] | None = None) -> None:
        """End a block: combine its lanes into the totals, or put them `into` memory."""
        totals = self.totals if into is None else into
        self._call(self.memory, totals, into is not None)

    def add(self, more: Sequence[Reg]) -> None:
        """Combine lanes that another block left in memory."""
        self._call(more, self.memory, False)

    def _call(self, lanes: Sequence[Reg], totals: Sequence[Reg], keep: bool) -> None:
        count = const(I64, self.count)
        for out, x, y in zip(self.folds, lanes, totals, strict=True):
            name = flush_function(
                self.module, str(out.monoid), out.dtype, self.width, keep
            )
            self.fn.call(name, llvm.VOID, (x, y, count))


def block_of(fn: Function, linear: Reg) -> Reg:
    """Return the number of the block that an element of a reduction belongs to."""
    return fn.lshr(linear, const(I64, BLOCK.bit_length() - 1))


def begins_block(fn: Function, linear: Reg) -> Reg:
    """Return whether an element is the first of a block, but not of the first one."""
    first = fn.icmp("eq", fn.and_(linear, const(I64, BLOCK - 1)), const(I64, 0))
    return fn.and_(first, fn.icmp("ne", linear, const(I64, 0)))
