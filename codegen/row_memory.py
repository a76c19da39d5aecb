"""Read and write rows of arrays so that a register holds one element of many rows.

A block of columns of `width` rows is read a row at a time and transposed in registers;
rows of up to four elements that fill memory are read as they lie.
"""

from collections.abc import Sequence

from ..ir.types import BOOL, DType
from .body import storage_type
from .index import Size
from .llvm import I64, Function, Reg, const, elem_of, undef, vec, width_of

FLAT = 4  # rows of so many elements that lie side by side are read as one
MOST_COLUMNS = 8  # of a block


def block_width(span: int, width: int) -> int:
    """Return how many columns of a row of `span` elements are one block."""
    columns = 1
    while 2 * columns <= min(span, width, MOST_COLUMNS):
        columns *= 2
    return columns


def block_starts(span: int, columns: int) -> list[int]:
    """Return where the blocks of a row begin; the last one ends with the row."""
    starts = list(range(0, span - columns + 1, columns))
    if starts[-1] + columns < span:
        starts.append(span - columns)
    return starts


def _swapped(fn: Function, block: list[Reg]) -> list[Reg]:
    """Transpose squares: lane g*b + c of register j becomes lane g*b + j of c."""
    columns, width = len(block), width_of(block[0].ty)
    out = list(block)
    s = 1
    while s < columns:
        low = [k - k % (2 * s) + k % s for k in range(width)]
        take_low = [at if not lane & s else width + at for lane, at in enumerate(low)]
        take_high = [
            at + s if not lane & s else width + at + s for lane, at in enumerate(low)
        ]
        for j in range(columns):
            if not j & s:
                x, y = out[j], out[j + s]
                out[j] = fn.shuffle(x, y, take_low)
                out[j + s] = fn.shuffle(x, y, take_high)
        s *= 2
    return out


def _joined(fn: Function, parts: Sequence[Reg]) -> Reg:
    """Put registers one after the other; their number is a power of two."""
    held = list(parts)
    while len(held) > 1:
        n = width_of(held[0].ty)
        if n == 1:
            ty = vec(held[0].ty, 2)
            held = [
                fn.insert(fn.insert(undef(ty), held[k], 0), held[k + 1], 1)
                for k in range(0, len(held), 2)
            ]
        else:
            held = [
                fn.shuffle(held[k], held[k + 1], range(2 * n))
                for k in range(0, len(held), 2)
            ]
    return held[0]


def _picked(fn: Function, sources: Sequence[Reg], lanes: Sequence[int]) -> Reg:
    """Return lanes of registers that are counted through all of them."""
    width = width_of(sources[0].ty)
    first = [k if k < 2 * width else -1 for k in lanes]
    out = _shuffled(fn, sources[0], sources[1], first)
    for n in range(2, len(sources)):
        step = [
            width + k - n * width if k // width == n else lane
            for lane, k in enumerate(lanes)
        ]
        out = fn.shuffle(out, sources[n], step)
    return out


def _shuffled(fn: Function, x: Reg, y: Reg, lanes: Sequence[int]) -> Reg:
    """Shuffle where some lanes do not matter yet."""
    return fn.shuffle(x, y, [max(k, 0) for k in lanes])


class RowMemory:
    """Addresses of rows from `row` on, one a lane."""

    def __init__(self, fn: Function, width: int, row: Reg) -> None:
        self.fn, self.width, self.row = fn, width, row
        self._rows: dict[tuple[str, str], list[Reg]] = {}

    def _at(self, base: Reg, stride: Reg, dtype: DType) -> list[Reg]:
        """Return the address of each row."""
        key = (base.ref, stride.ref)
        found = self._rows.get(key)
        if found is None:
            fn, elem = self.fn, storage_type(dtype, 1)
            at = fn.gep(base, fn.mul(self.row, stride), elem)
            found = [at]
            for lane in range(1, self.width):
                step = (
                    fn.mul(stride, const(I64, lane))
                    if stride.ref[0] == "%"
                    else const(I64, int(stride.ref) * lane)
                )
                found.append(fn.gep(at, step, elem))
            self._rows[key] = found
        return found

    def to_register(self, reg: Reg, dtype: DType) -> Reg:
        """Return what was in memory as it is in a register."""
        return self.fn.icmp("ne", reg, const(reg.ty, 0)) if dtype is BOOL else reg

    def _to_storage(self, reg: Reg, dtype: DType) -> Reg:
        if dtype is not BOOL:
            return reg
        return self.fn.convert("zext", reg, vec("i8", width_of(reg.ty)))

    # -- reading -----------------------------------------------------------------------

    def column(self, base: Reg, stride: Reg, at: Reg, dtype: DType) -> Reg:
        """Return one element of each row."""
        fn, ty = self.fn, storage_type(dtype, self.width)
        elem = elem_of(ty)
        if stride.ref == "1":
            address = fn.gep(fn.gep(base, self.row, elem), at, elem)
            return self.to_register(fn.load(address, ty), dtype)
        rows = self._at(base, stride, dtype)
        parts = [fn.load(fn.gep(row, at, elem), elem) for row in rows]
        return self.to_register(_joined(fn, parts), dtype)

    def block(
        self, base: Reg, stride: Reg, at: int, columns: int, dtype: DType
    ) -> list[Reg]:
        """Return `columns` elements of each row, from `at` on: one register each."""
        fn, width = self.fn, self.width
        elem, ty = storage_type(dtype, 1), storage_type(dtype, columns)
        rows = self._at(base, stride, dtype)
        parts = [fn.load(fn.gep(row, const(I64, at), elem), ty) for row in rows]
        held = [_joined(fn, parts[j::columns]) for j in range(columns)]
        assert width_of(held[0].ty) == width
        return [self.to_register(x, dtype) for x in _swapped(fn, held)]

    def flat(self, base: Reg, at: int, columns: int, dtype: DType) -> list[Reg]:
        """Return all elements of rows that fill memory, from element `at` on."""
        fn, width = self.fn, self.width
        elem, ty = storage_type(dtype, 1), storage_type(dtype, width)
        start = fn.gep(base, fn.mul(self.row, const(I64, columns)), elem)
        parts = [
            fn.load(fn.gep(start, const(I64, at + k * width), elem), ty)
            for k in range(columns)
        ]
        out = []
        for column in range(columns):
            lanes = [row * columns + column for row in range(width)]
            out.append(self.to_register(_picked(fn, parts, lanes), dtype))
        return out

    # -- writing -----------------------------------------------------------------------

    def write(
        self, base: Reg, row_size: int, at: int, block: Sequence[Reg], dtype: DType
    ) -> None:
        """Store elements `at` and on of each row of `row_size` elements."""
        fn, width, columns = self.fn, self.width, len(block)
        elem = storage_type(dtype, 1)
        held = [self._to_storage(x, dtype) for x in block]
        if row_size == 1:
            fn.store(held[0], fn.gep(base, self.row, elem))
            return
        if columns == row_size and columns <= FLAT and width > 1:
            start = fn.gep(base, fn.mul(self.row, const(I64, columns)), elem)
            for k in range(columns):
                flat = [k * width + lane for lane in range(width)]
                lanes = [(f % columns) * width + f // columns for f in flat]
                fn.store(
                    _picked(fn, held, lanes), fn.gep(start, const(I64, k * width), elem)
                )
            return
        rows = self._at(base, const(I64, row_size), dtype)
        if columns == 1:
            for lane, row in enumerate(rows):
                fn.store(fn.extract(held[0], lane), fn.gep(row, const(I64, at), elem))
            return
        for j, reg in enumerate(_swapped(fn, held)):
            for g in range(width // columns):
                first = g * columns
                part = (
                    reg
                    if columns == width
                    else fn.shuffle(reg, reg, range(first, first + columns))
                )
                fn.store(part, fn.gep(rows[first + j], const(I64, at), elem))


def is_flat(span: int, stride: Size, width: int) -> bool:
    """Return whether rows with `span` elements lie side by side and are few."""
    return 2 <= span <= FLAT and stride == span and width > 1
