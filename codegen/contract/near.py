"""Bring rows of a large matrix near before several of them are read side by side.

Rows side by side are streams that jump from row to row. Processors foresee a stream
that goes on, not these, and of a matrix that no cache holds each line is waited for. So
an element of each line is read first, in the order of memory. What is read so is not
used, and no bit changes.
"""

from ..llvm import I64, PTR, VOID, Function, Module, Reg
from .blocking import Blocking
from .flow import Ints, for_range, i64, when

LINE = 64  # bytes of a cache line
LARGE = 12 * 1024 * 1024  # bytes of a matrix from which its rows are brought near
LONG = 2048  # bytes of a row from which it is a stream that is foreseen


class Near:
    """Rows of a matrix that are read some at a time, brought near where that helps.

    Args:
        module: the module being written.
        fn: the function being written.
        cut: says how large an element is.
        rows: of the matrix.
        columns: of the matrix, side by side in memory; 0 where they are not.
        stride: from row to row, in elements.
        longest: bytes of a row that is brought near.
    """

    def __init__(
        self,
        module: Module,
        fn: Function,
        cut: Blocking,
        rows: Reg,
        columns: Reg,
        stride: Reg,
        longest: int = LONG,
    ) -> None:
        ints = Ints(fn)
        self.module, self.fn, self.cut = module, fn, cut
        self.columns, self.stride = columns, stride
        large = ints.above(ints.mul(rows, columns), LARGE // cut.size)
        long = ints.above(columns, longest // cut.size)
        self.helps = ints.both(large, ints.invert(long))

    def bring(self, first: Reg, rows: Reg, columns: Reg | None = None) -> None:
        """Read some rows, the first of which is at an address, or a part of each."""
        fn, cut = self.fn, self.cut
        some = self.columns if columns is None else columns

        def touch() -> None:
            name = _emit_touch(self.module, cut)
            fn.call(name, VOID, [first, self.stride, rows, some])

        when(fn, self.helps, touch)


def _emit_touch(module: Module, cut: Blocking) -> str:
    """Emit `void name(ptr x, i64 stride, i64 rows, i64 columns)`, once a module."""
    name = f"pb_touch_{8 * cut.size}"
    if name in module.functions:
        return name
    ints = (I64, "")
    fn = module.function(name, VOID, [(PTR, ""), *[ints] * 3], attrs="noinline")
    x, stride, rows, columns = fn.args

    def line(row: Reg, _: list[Reg]) -> list[Reg]:
        start = fn.gep(x, fn.mul(row, stride), cut.elem)

        def one(at: Reg, _: list[Reg]) -> list[Reg]:
            fn.touch(fn.gep(start, at, cut.elem), cut.elem)
            return []

        for_range(fn, columns, i64(LINE // cut.size), one)
        return []

    for_range(fn, rows, i64(1), line)
    fn.ret()
    return name
