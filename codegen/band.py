"""Emit maps whose rows are all alike but near a diagonal, as Jacobians' often are.

Where a row's number is only ever compared with a column's, every element off those
diagonals is the same in all rows: one row is computed far from every diagonal, each row
is a copy of it, and the vectors that the diagonals cross are computed as ever. So
elements go through the same instructions, and no bit changes. A row must be of known
length; others are computed element by element.
"""

from typing import Any, NamedTuple

from ..ir.forms import Map
from ..ir.scalar import VOCABULARY
from ..ir.types import I64
from .body import Body, storage_type
from .index import Index
from .llvm import I64 as INT
from .llvm import Reg, const, vec
from .nest import Nest
from .plan import Apply, Divides, Inside, KernelPlan, Load, Output, Position, Step

FEWEST = 4  # rows for which one is computed that is copied
FAR = -(1 << 40)  # a row whose diagonals are outside of every array
LONGEST = 2048  # elements of a row that is kept to be copied
TOGETHER = 8  # vectors that are copied in one step


class Band(NamedTuple):
    """Element (r, c) may differ from others of column c where c - r is in `offsets`."""

    axis: int
    offsets: tuple[int, ...]


class _Recorder:
    """A scalar builder that notes what is called."""

    def __init__(self) -> None:
        self.called: list[tuple[str, tuple[Any, ...]]] = []

    def __getattr__(self, name: str) -> Any:  # Any: each instruction has its own shape
        assert name in VOCABULARY, f"no instruction {name}"

        def instruction(*operands: Any, **params: Any) -> Any:
            self.called.append((name, operands))
            return (name, name) if name == "sincos" else name

        return instruction


def _compares(step: Step) -> bool:
    """Return whether a step is true exactly where its two operands are equal."""
    if not isinstance(step, Apply) or len(step.operands) != 2 or step.params:
        return False
    form = step.primitive.form
    assert isinstance(form, Map)
    recorder = _Recorder()
    made = form.scalar(recorder, 0, 1)
    return made == "eq" and [c[0] for c in recorder.called] == ["eq"]


def _offset(index: Index, axis: int) -> int | None:
    """Return c of an index that is `axis` + c; None of any other."""
    if index.atoms or index.terms != ((axis, 1),):
        return None
    return index.constant if isinstance(index.constant, int) else None


def _indices(step: Step) -> list[Index]:
    if isinstance(step, Load):
        return [step.offset]
    if isinstance(step, Inside):
        return [index for index, _ in step.conditions]
    return [step.at] if isinstance(step, Divides) else []


def find_band(plan: KernelPlan) -> Band | None:
    """Return the diagonals of a plan's last two axes; None where there is more."""
    last = len(plan.space) - 1
    axis = last - 1
    if plan.reduced or axis < 0:
        return None
    if any(out != Output(out.step, out.slot, out.dtype, None) for out in plan.outputs):
        return None
    rows: dict[int, int] = {}  # positions of the row: step and constant
    columns: dict[int, int] = {}
    offsets: set[int] = set()
    for k, step in enumerate(plan.steps):
        if isinstance(step, Position):
            row, column = _offset(step.at, axis), _offset(step.at, last)
            if row is not None and step.dtype is I64:
                rows[k] = row
            elif axis in step.at.axes:
                return None
            elif column is not None and step.dtype is I64:
                columns[k] = column
            continue
        if any(axis in index.axes for index in _indices(step)):
            return None
        if isinstance(step, Apply) and rows.keys() & set(step.operands):
            if not _compares(step):
                return None
            (row,) = [rows[x] for x in step.operands if x in rows][:1]
            others = [columns[x] for x in step.operands if x in columns]
            if not others:
                return None
            offsets.add(row - others[0])
        elif rows.keys() & _read_otherwise(step):
            return None
    if not offsets or rows.keys() & {out.step for out in plan.outputs}:
        return None
    return Band(axis, tuple(sorted(offsets)))


def _read_otherwise(step: Step) -> set[int]:
    """Return the steps that a step reads, of one that applies no body."""
    fields = ("mask", "value", "other", "parent", "operand")
    found = (getattr(step, name, None) for name in fields)
    return {k for k in found if isinstance(k, int)}


def windows(offsets: tuple[int, ...], width: int) -> list[int]:
    """Return where vectors begin that cover all offsets, from the row's number on."""
    out: list[int] = []
    for offset in offsets:
        if not out or offset >= out[-1] + width:
            out.append(offset)
    return out


def band_of(nest: Nest) -> Band | None:
    """Return the diagonals of a kernel that gains by copying what is between them."""
    band = find_band(nest.plan)
    last = len(nest.plan.space) - 1
    if band is None or not nest.target.has_masks or not nest.whole(last):
        return None
    rows, extent = nest.plan.space[last - 1 :]
    if isinstance(rows, int) and rows < FEWEST:
        return None
    if not isinstance(extent, int) or not 2 * nest.width <= extent <= LONGEST:
        return None
    covered = len(windows(band.offsets, nest.width)) * nest.width
    return band if 2 * covered <= extent else None


def emit_band(nest: Nest, body: Body, band: Band) -> None:
    """Write all rows: computed once, copied, and computed along the diagonals."""
    fn, width, axis = nest.fn, nest.width, band.axis
    last = axis + 1
    extent = nest.plan.space[last]
    assert isinstance(extent, int)
    room = -(-extent // width) * width
    alike = [fn.alloca(storage_type(o.dtype, 1), room, 64) for o in nest.plan.outputs]

    def keep(chunk: Body) -> None:
        for out, memory in zip(nest.plan.outputs, alike, strict=True):
            held = chunk.to_storage(chunk.lanes(out.step), out.dtype)
            at = fn.gep(memory, chunk.vars[last], storage_type(out.dtype, 1))
            fn.store(held, at)

    far = body.fork()
    far.vars[axis] = const(INT, FAR)
    far.emit_ready()
    nest.chunks(far, keep)

    def row(opened: Body) -> None:
        for out, memory in zip(nest.plan.outputs, alike, strict=True):
            first = opened.fork()
            first.vars[last] = const(INT, 0)
            start = nest.place(first, out, tuple(range(len(nest.plan.space))))
            _copy(nest, start, memory, storage_type(out.dtype, 1), extent)
        for offset in windows(band.offsets, width):
            chunk = opened.fork()
            at = fn.add(opened.vars[axis], const(INT, offset))
            at = fn.smax(at, const(INT, 0))
            chunk.vars[last] = fn.smin(at, const(INT, extent - width))
            chunk.emit_ready()
            nest.store_all(chunk)

    rows = body.size(nest.plan.space[axis])
    nest.loop(body, axis, const(INT, 0), rows, 1, row)


def _copy(nest: Nest, to: Reg, start: Reg, elem: str, extent: int) -> None:
    """Copy a row, vector by vector; the last one may overlap the one before."""
    fn, width = nest.fn, nest.width
    ty = vec(elem, width)

    def move(at: Reg) -> None:
        fn.store(fn.load(fn.gep(start, at, elem), ty), fn.gep(to, at, elem))

    step = TOGETHER * width
    whole = extent // step * step
    if whole > step:
        before = fn.block
        loop, done = fn.new_label("copy"), fn.new_label("copied")
        fn.br(loop)
        fn.start(loop)
        var = fn.phi(INT, const(INT, 0), before)
        for k in range(TOGETHER):
            move(fn.add(var, const(INT, k * width)))
        following = fn.add(var, const(INT, step))
        fn.phi_edge(var, following, fn.block)
        fn.cond_br(fn.icmp("slt", following, const(INT, whole)), loop, done)
        fn.start(done)
    first = whole if whole > step else 0
    for at in range(first, extent - width + 1, width):
        move(const(INT, at))
    if extent % width:
        move(const(INT, extent - width))
