"""What a part of a program does to one row: the steps of single elements.

A row of a value `[n, 2, 3]` is six elements, each a number of its own. Views and
placings are no steps: they say which number an element is. Equal steps are one, so what
a broadcast repeats is computed once. The list of steps is the kernel's meaning and,
with buffers replaced by slot numbers, its identity.
"""

from collections.abc import Callable, Sequence
from itertools import product as tuples
from typing import Any, NamedTuple

from ..ir.constant import ArrayConstant
from ..ir.errors import GraphError
from ..ir.forms import Contract, Iota, Literal, Map, Place, Reduce, View
from ..ir.graph import Node, Value
from ..ir.sizes import SizeExpr
from ..ir.types import BOOL, DType, Shape, TensorType
from .cost import body_cost
from .index import INDEX_BUILDER, Index, identity, linearize
from .plan import Apply, Literally
from .small import count_of, linear, positions
from .views import strip_views

Size = int | SizeExpr

MOST_ROW = 32  # elements of a row
MOST_SHARED = 16  # of a row that is multiplied with one matrix: longer is for gemm
FEWEST_ROWS = 64  # of a known number: a row kernel of fewer is not worth its code


class Element(NamedTuple):
    """Element `at + row * stride` of a slot; without a stride the same in every row."""

    slot: int
    stride: Size
    at: Size
    dtype: DType


class RowNumber(NamedTuple):
    """The number of the row."""

    dtype: DType


class Fold(NamedTuple):
    """The fold of steps with a monoid, in the tree of `fold.py`."""

    monoid: str
    operands: tuple[int, ...]
    dtype: DType


class Dot(NamedTuple):
    """The sum of products of steps, ascending, by fma."""

    left: tuple[int, ...]
    right: tuple[int, ...]
    dtype: DType


RowStep = Element | RowNumber | Literally | Apply | Fold | Dot


class RowResult(NamedTuple):
    """The steps that are the elements of a result's row."""

    dtype: DType
    steps: tuple[int, ...]


class RowPlan(NamedTuple):
    """A kernel over rows. Slots: `reads` operands, then the results."""

    length: Size
    reads: int
    steps: tuple[RowStep, ...]
    results: tuple[RowResult, ...]


def row_type(kind: TensorType, length: Size) -> TensorType | None:
    """Return the type of a row of a value with `length` small rows; else None."""
    shape = kind.shape
    if not shape or shape[0] != length:
        return None
    row = kind.with_shape(shape[1:])
    return row if is_small(row) else None


def is_small(kind: TensorType) -> bool:
    """Return whether a value has few elements, of a known number."""
    for d in kind.shape:
        if not isinstance(d, int):
            return False
    return count_of(kind) <= MOST_ROW


def _offsets(index: Index, rows: Shape, first: int) -> list[Size] | None:
    """Return an affine index at every position of the axes from `first` on."""
    if index.atoms:
        return None
    factors = [index.coefficient(first + k) for k in range(len(rows))]
    out: list[Size] = []
    for at in positions(rows):
        offset: Size = index.constant
        for k, factor in zip(at, factors, strict=True):
            if k:
                offset = offset + factor * k
        out.append(offset)
    return out


def row_places(node: Node, length: Size) -> tuple[int, ...] | None:
    """Return where in its operand's row each element of a view's row is.

    None where a row of the result needs more than that row of the operand.
    """
    form = node.primitive.form
    assert isinstance(form, View)
    (x,), out = node.operands, node.results[0]
    row, made = row_type(x.type, length), row_type(out.type, length)
    if row is None or made is None:
        return None
    rank = out.type.rank
    inner = form.index(INDEX_BUILDER, identity(rank), x.type, out.type, **node.params)
    index = linearize(tuple(inner), x.type.shape)
    count = count_of(row)
    if index.coefficient(0) != count:
        return None
    found: list[int] = []
    for offset in _offsets(index, made.shape, 1) or [-1]:
        if not isinstance(offset, int) or not 0 <= offset < count:
            return None
        found.append(offset)
    return tuple(found)


def row_sources(node: Node, length: Size) -> tuple[tuple[int, int] | None, ...] | None:
    """Return operand and element behind each element of a placing's row; None: 0.

    None instead of all where operands are not placed row by row.
    """
    form = node.primitive.form
    assert isinstance(form, Place)
    out = node.results[0].type
    made = row_type(out, length)
    if made is None:
        return None
    sources: list[tuple[int, int] | None] = [None] * count_of(made)
    kinds = tuple([x.type for x in node.operands])
    regions = form.regions(kinds, out, **node.params)
    for number, (kind, region) in enumerate(zip(kinds, regions, strict=True)):
        row = row_type(kind, length)
        if row is None or region.start[0] != 0 or region.step[0] != 1:
            return None
        start = [k for k in region.start[1:] if isinstance(k, int)]
        if len(start) < row.rank:
            return None
        for at, index in enumerate(positions(row.shape)):
            goal = [
                s + i * step
                for s, i, step in zip(start, index, region.step[1:], strict=True)
            ]
            shape = [d for d in made.shape if isinstance(d, int)]
            if all(0 <= g < d for g, d in zip(goal, shape, strict=True)):
                k = linear(goal, shape)
                if sources[k] is None:
                    sources[k] = (number, at)
    return tuple(sources)


def by_rows(node: Node, length: Size) -> bool:
    """Return whether row i of a node's results depends on row i of its operands.

    What a contraction multiplies them with may be the same for all rows.
    """
    form = node.primitive.form
    if any(row_type(x.type, length) is None for x in node.results):
        return False
    if isinstance(form, Map):
        return True
    if isinstance(form, View):
        return row_places(node, length) is not None
    if isinstance(form, Place):
        return row_sources(node, length) is not None
    if isinstance(form, Reduce):
        (x,) = node.operands
        return 0 not in node.params["axes"] and row_type(x.type, length) is not None
    if isinstance(form, Contract):
        if node.results[0].type.dtype is BOOL:
            return False
        label, some = node.params["out"][0], False
        for side, x in zip(("lhs", "rhs"), node.operands, strict=True):
            labels = node.params[side]
            if labels[:1] == label and row_type(x.type, length) is not None:
                some = True
            elif label in labels or not is_small(x.type):
                return False
        rows = [row_type(x.type, length) for x in node.operands]
        sizes = [count_of(row) for row in rows if row is not None]
        return some and (None not in rows or max(sizes) <= MOST_SHARED)
    return False


def is_fluid(node: Node) -> bool:
    """Return whether whoever reads a result makes it itself, at no cost."""
    form = node.primitive.form
    if isinstance(form, Literal):
        return not isinstance(node.params["value"], ArrayConstant)
    return isinstance(form, View | Iota)


def base_of(value: Value, inside: Callable[[Value], bool]) -> tuple[Value, Index]:
    """Return what must be in memory to read a value, and the offset of its elements."""
    base, index = strip_views(value, inside)
    offset = linearize(index, base.type.shape)
    node = base.node
    if offset.atoms or (node is not None and isinstance(node.primitive.form, Iota)):
        return value, linearize(identity(value.type.rank), value.type.shape)
    return base, offset


class RowBuilder:
    """Collects the steps of nodes, given in order.

    Args:
        length: the number of rows.
        inside: whether a value is computed by rows, here or in another kernel: what is
            read of it is read of the whole.
    """

    def __init__(self, length: Size, inside: Callable[[Value], bool]) -> None:
        self.length, self.inside = length, inside
        self.operands: dict[Value, int] = {}
        self.work = 0
        self._steps: dict[RowStep, int] = {}
        self._held: dict[Value, tuple[int, ...]] = {}

    def add(self, node: Node) -> None:
        """Append the steps of a node."""
        form = node.primitive.form
        xs = [self._elements(x) for x in node.operands]
        made: Sequence[tuple[int, ...]]
        if isinstance(form, Map):
            made = self._map(node, xs)
        elif isinstance(form, View):
            places = row_places(node, self.length)
            assert places is not None
            made = [tuple([xs[0][k] for k in places])]
        elif isinstance(form, Place):
            sources = row_sources(node, self.length)
            assert sources is not None
            zero = self._number(0, node.results[0].type.dtype)
            made = [tuple([zero if s is None else xs[s[0]][s[1]] for s in sources])]
        elif isinstance(form, Reduce):
            made = [self._reduce(node, form, xs[0])]
        else:
            made = [self._contract(node, *xs)]
        self._held.update(zip(node.results, made, strict=True))

    def finish(self, results: Sequence[Value]) -> RowPlan:
        """Return the plan of a kernel that stores these values."""
        stored = [RowResult(x.type.dtype, self._held[x]) for x in results]
        steps = tuple(self._steps)
        return RowPlan(self.length, len(self.operands), steps, tuple(stored))

    # -- steps -------------------------------------------------------------------------

    def _step(self, step: RowStep, cost: int) -> int:
        found = self._steps.get(step)
        if found is None:
            found = self._steps[step] = len(self._steps)
            self.work += cost
        return found

    def _number(self, value: Any, dtype: DType) -> int:  # Any: a number or a size
        if isinstance(value, SizeExpr):
            return self._step(Literally(str(value), dtype, value), 0)
        item = dtype.numpy.type(value).item()
        text = item.hex() if isinstance(item, float) else str(item)
        return self._step(Literally(text, dtype, None), 0)

    def _elements(self, value: Value) -> tuple[int, ...]:
        """Return the elements of a row of an operand, or of all of a small one."""
        found = self._held.get(value)
        if found is None:
            found = self._held[value] = self._read(value)
        return found

    def _read(self, value: Value) -> tuple[int, ...]:
        kind = value.type
        row = row_type(kind, self.length)
        rows = kind.shape if row is None else row.shape
        node = value.node
        if node is not None and isinstance(node.primitive.form, Iota):
            axis = node.params["axis"] - (row is not None)
            if axis < 0:
                return (self._step(RowNumber(kind.dtype), 1),) * len(positions(rows))
            return tuple([self._number(k[axis], kind.dtype) for k in positions(rows)])
        base, index = base_of(value, self.inside)
        if base.node is not None and isinstance(base.node.primitive.form, Literal):
            number = base.node.params["value"]
            if not isinstance(number, ArrayConstant):
                return (self._number(number, kind.dtype),) * len(positions(rows))
        slot = self.operands.setdefault(base, len(self.operands))
        offsets = _offsets(index, rows, 0 if row is None else 1)
        assert offsets is not None
        stride = 0 if row is None else index.coefficient(0)
        made = [Element(slot, stride, at, kind.dtype) for at in offsets]
        return tuple([self._step(step, 1) for step in made])

    def _map(self, node: Node, xs: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        params = tuple(node.params.items())
        cost = body_cost(node.primitive, params, len(xs))
        out: list[tuple[int, ...]] = []
        for k, result in enumerate(node.results):
            dtype = result.type.dtype
            steps = [
                self._step(
                    Apply(node.primitive, params, row, k, dtype), 0 if k else cost
                )
                for row in zip(*xs, strict=True)
            ]
            out.append(tuple(steps))
        return out

    def _reduce(self, node: Node, form: Reduce, x: tuple[int, ...]) -> tuple[int, ...]:
        row = row_type(node.operands[0].type, self.length)
        made = row_type(node.results[0].type, self.length)
        if row is None or made is None:
            raise GraphError("a fold over rows is no part of a row")
        axes = [k - 1 for k in node.params["axes"]]
        terms: dict[tuple[int, ...], list[int]] = {k: [] for k in positions(made.shape)}
        for step, index in zip(x, positions(row.shape), strict=True):
            terms[tuple([i for k, i in enumerate(index) if k not in axes])].append(step)
        dtype = node.results[0].type.dtype
        return tuple(
            [
                self._step(Fold(form.monoid, tuple(t), dtype), len(t))
                for t in terms.values()
            ]
        )

    def _contract(
        self, node: Node, lhs: tuple[int, ...], rhs: tuple[int, ...]
    ) -> tuple[int, ...]:
        params, dtype = node.params, node.results[0].type.dtype
        label = params["out"][0]
        names: list[str] = []
        shapes: list[list[int]] = []
        for side, x in zip(("lhs", "rhs"), node.operands, strict=True):
            ours = params[side][:1] == label
            names.append(params[side][1:] if ours else params[side])
            shape = x.type.shape[1:] if ours else x.type.shape
            shapes.append([d for d in shape if isinstance(d, int)])
        extents: dict[str, int] = {}
        for labels, shape_ in zip(names, shapes, strict=True):
            extents.update(zip(labels, shape_, strict=True))
        kept = params["out"][1:]
        summed = [c for c in names[0] if c not in kept]
        out: list[int] = []
        for index in tuples(*[range(extents[c]) for c in kept]):
            at = dict(zip(kept, index, strict=True))
            left, right = [], []
            for inner in tuples(*[range(extents[c]) for c in summed]):
                at.update(zip(summed, inner, strict=True))
                left.append(lhs[linear([at[c] for c in names[0]], shapes[0])])
                right.append(rhs[linear([at[c] for c in names[1]], shapes[1])])
            out.append(self._step(Dot(tuple(left), tuple(right), dtype), len(left)))
        return tuple(out)
