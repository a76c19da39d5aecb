"""Plan a loop kernel: the steps one element takes, numbered, each value once.

A kernel runs over a space. Its roots are pulled at the space's own index: views rewrite
the index, buffers become loads, everything else a step. The list of steps is the
kernel's meaning and, with buffers replaced by slot numbers, its identity: equal plans
are one kernel. Nothing here emits code, and nothing recurses.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..ir.constant import ArrayConstant
from ..ir.errors import GraphError
from ..ir.forms import Gather, Iota, Literal, Map, Place, View
from ..ir.graph import Node, Value
from ..ir.sizes import SizeExpr
from ..ir.types import I64, DType, Shape
from .index import (
    INDEX_BUILDER,
    Index,
    IndexTuple,
    Opaque,
    Size,
    atom_index,
    identity,
    linearize,
)

FARTHEST = 1 << 26  # elements a slot may begin behind its buffer


class Load(NamedTuple):
    """Read slot `slot` at an element offset, 0 where the mask step does not hold."""

    slot: int
    dtype: DType
    offset: Index
    mask: int | None


class Literally(NamedTuple):
    """A number, by text (a float by its hex, so zeros differ), or a size."""

    text: str
    dtype: DType
    size: SizeExpr | None


class Position(NamedTuple):
    """An index as a number."""

    at: Index
    dtype: DType


class Apply(NamedTuple):
    """A scalar body applied to earlier steps; `result` picks one of several."""

    primitive: Any  # Primitive: compared by identity
    params: tuple[tuple[str, Any], ...]
    operands: tuple[int, ...]
    result: int
    dtype: DType


class Inside(NamedTuple):
    """Whether 0 <= index < extent (and step divides it) for every entry; and a mask."""

    conditions: tuple[tuple[Index, Size], ...]
    parent: int | None


class Divides(NamedTuple):
    """An index divided by a step: the quotient (part 0) or the rest (part 1)."""

    at: Index
    step: int
    part: int


class Choose(NamedTuple):
    """Step `value` where the mask step holds, else step `other` (None: zero)."""

    mask: int
    value: int
    other: int | None
    dtype: DType


class Wrap(NamedTuple):
    """An integer step as an index: negative ones count from the end of `extent`."""

    operand: int
    extent: Size


Step = Load | Literally | Position | Apply | Inside | Divides | Choose | Wrap


class Output(NamedTuple):
    """What happens to a step: stored to `slot`, or folded into it with a monoid.

    Only where the mask step holds, if there is one. `strides` are those of the axes it
    has, the space's or of a fold the kept ones; None where it lies in memory in order.
    """

    step: int
    slot: int
    dtype: DType
    monoid: str | None
    mask: int | None = None
    strides: tuple[int, ...] | None = None


class KernelPlan(NamedTuple):
    """A kernel without its buffers; hashable, so equal kernels are found."""

    space: Shape
    reduced: tuple[int, ...]
    steps: tuple[Step, ...]
    axes: tuple[frozenset[int], ...]  # the loop axes each step depends on
    outputs: tuple[Output, ...]
    slots: tuple[DType, ...]

    def axes_of(self, out: Output) -> list[int]:
        """Return the axes of the space that a result has."""
        every = range(len(self.space))
        return [a for a in every if out.monoid is None or a not in self.reduced]


@dataclass(slots=True)
class Bound:
    """A plan with the buffer of each slot."""

    plan: KernelPlan
    buffers: tuple[Any, ...]  # Buffer: of the schedule
    offsets: tuple[int, ...]  # where in its buffer each slot begins, in elements


Key = tuple[Value, IndexTuple, int | None]


class Planner:
    """Pulls roots over one space into steps.

    Args:
        space: the loop extents.
        leaf: the buffer to read a value from, or None where it must be computed.
    """

    def __init__(
        self,
        space: Shape,
        reduced: tuple[int, ...],
        leaf: Callable[[Value], Any],
    ) -> None:
        self.space = space
        self.reduced = reduced
        self.leaf = leaf
        self.steps: list[Step] = []
        self.axes: list[frozenset[int]] = []
        self.buffers: list[Any] = []
        self.slot_types: list[DType] = []
        self.offsets: list[int | None] = []
        self.outputs: list[Output] = []
        self._numbers: dict[Step, int] = {}
        self._memo: dict[Key, int] = {}
        self._slots: dict[int, int] = {}
        self._identity = identity(len(space))
        self._here: set[Value] = set()
        self.mask: int | None = None  # where the outputs declared next are computed

    # -- steps -------------------------------------------------------------------------

    def _step(self, step: Step, axes: frozenset[int]) -> int:
        found = self._numbers.get(step)
        if found is None:
            found = self._numbers[step] = len(self.steps)
            self.steps.append(step)
            self.axes.append(axes)
        return found

    def _slot(self, buffer: Any, dtype: DType) -> int:
        found = self._slots.get(id(buffer))
        if found is None:
            found = self._slots[id(buffer)] = len(self.buffers)
            self.buffers.append(buffer)
            self.slot_types.append(dtype)
            self.offsets.append(None)
        return found

    def _axes_of(self, numbers: Sequence[int]) -> frozenset[int]:
        out: frozenset[int] = frozenset()
        for k in numbers:
            out |= self.axes[k]
        return out

    def _mask_axes(self, mask: int | None) -> frozenset[int]:
        return frozenset() if mask is None else self.axes[mask]

    def _load(
        self, value: Value, buffer: Any, index: IndexTuple, mask: int | None
    ) -> int:
        offset = linearize(index, value.type.shape)
        slot = self._slot(buffer, value.type.dtype)
        start = self.offsets[slot]
        if start is None:
            # a slot begins where it is first read: row t and row t + 1 are one plan
            first = offset.constant
            start = first if isinstance(first, int) and 0 < first < FARTHEST else 0
            self.offsets[slot] = start
        offset = offset._replace(constant=offset.constant - start)
        axes = offset.axes | self._mask_axes(mask)
        return self._step(Load(slot, value.type.dtype, offset, mask), axes)

    def _literal(self, value: Any, dtype: DType) -> int:
        if isinstance(value, SizeExpr):
            text = str(value)
        else:
            value = dtype.numpy.type(value).item()
            text = value.hex() if isinstance(value, float) else str(value)
        size = value if isinstance(value, SizeExpr) else None
        return self._step(Literally(text, dtype, size), frozenset())

    # -- pulling -----------------------------------------------------------------------

    def pull(self, value: Value) -> int:
        """Return the step that is `value` at the space's own index."""
        start: Key = (value, self._identity, self.mask)
        stack = [start]
        memo = self._memo
        while stack:
            key = stack[-1]
            if key in memo:
                stack.pop()
                continue
            made = self._expand(key)
            if isinstance(made, int):
                memo[key] = made
                stack.pop()
            else:
                stack.extend(made)
        return memo[start]

    def _missing(self, keys: Sequence[Key]) -> list[Key]:
        return [k for k in keys if k not in self._memo]

    def _expand(self, key: Key) -> int | list[Key]:
        """Return the step of a key, or the keys it waits for."""
        value, index, mask = key
        node = value.node
        here = value in self._here and index == self._identity
        if not here:
            buffer = self.leaf(value)
            if buffer is not None:
                return self._load(value, buffer, index, mask)
        if node is None:
            raise GraphError("a kernel reads an input that has no buffer")
        form = node.primitive.form
        if isinstance(form, Map):
            keys: list[Key] = [(x, index, mask) for x in node.operands]
            missing = self._missing(keys)
            if missing:
                return missing
            numbers = tuple([self._memo[k] for k in keys])
            step = Apply(
                node.primitive,
                tuple(node.params.items()),
                numbers,
                value.index,
                value.type.dtype,
            )
            return self._step(step, self._axes_of(numbers))
        if isinstance(form, Literal):
            constant = node.params["value"]
            if isinstance(constant, ArrayConstant):
                raise GraphError("an array constant has no buffer")
            return self._literal(constant, value.type.dtype)
        if isinstance(form, Iota):
            at = index[node.params["axis"]]
            return self._step(Position(at, value.type.dtype), at.axes)
        if isinstance(form, View):
            (x,) = node.operands
            inner = form.index(INDEX_BUILDER, index, x.type, value.type, **node.params)
            key = (x, tuple(inner), mask)
            return self._memo.get(key, [key])
        if isinstance(form, Place):
            return self._place(node, value, index, mask)
        if isinstance(form, Gather):
            return self._gather(node, index, mask)
        raise GraphError(f"{node.primitive.name} cannot run inside a loop kernel")

    def _gather(
        self, node: Node, index: IndexTuple, mask: int | None
    ) -> int | list[Key]:
        source, integers = node.operands
        axis, rank = node.params["axis"], integers.type.rank
        key: Key = (integers, index[axis : axis + rank], mask)
        if key not in self._memo:
            return [key]
        operand = self._memo[key]
        if integers.type.dtype is not I64:
            raise GraphError("a gather's integers must be i64")
        wrapped = self._step(Wrap(operand, source.type.shape[axis]), self.axes[operand])
        at = atom_index(Opaque(wrapped, self.axes[wrapped]))
        inner: Key = (source, (*index[:axis], at, *index[axis + rank :]), mask)
        return self._memo.get(inner, [inner])

    def _place(
        self, node: Node, value: Value, index: IndexTuple, mask: int | None
    ) -> int | list[Key]:
        form = node.primitive.form
        assert isinstance(form, Place)
        regions = form.regions(
            tuple(x.type for x in node.operands), value.type, **node.params
        )
        keys: list[Key] = []
        masks: list[int | None] = []
        for x, region in zip(node.operands, regions, strict=True):
            inner: list[Index] = []
            conditions: list[tuple[Index, Size]] = []
            for i, start, step, extent, whole in zip(
                index, region.start, region.step, x.type.shape, value.type.shape,
                strict=True,
            ):  # fmt: skip
                at = INDEX_BUILDER.add(i, -1 * start)
                if step != 1:
                    rest = self._step(Divides(at, step, 1), at.axes)
                    part = self._step(Divides(at, step, 0), at.axes)
                    conditions.append((atom_index(Opaque(rest, at.axes)), 1))
                    at = atom_index(Opaque(part, at.axes))
                if step != 1 or start != 0 or extent != whole:
                    conditions.append((at, extent))
                inner.append(at)
            inside: int | None = mask
            if conditions:
                axes = self._mask_axes(mask).union(*(i.axes for i, _ in conditions))
                inside = self._step(Inside(tuple(conditions), mask), axes)
            keys.append((x, tuple(inner), inside))
            masks.append(inside)
        missing = self._missing(keys)
        if missing:
            return missing
        out: int | None = None
        for key, inside in zip(keys, masks, strict=True):
            number = self._memo[key]
            if inside is None or inside == mask:
                return number  # the operand is the whole result
            axes = self.axes[number] | self.axes[inside]
            if out is not None:
                axes |= self.axes[out]
            out = self._step(Choose(inside, number, out, value.type.dtype), axes)
        if out is None:
            return self._literal(0, value.type.dtype)
        return out

    # -- outputs -----------------------------------------------------------------------

    def compute_here(self, values: Sequence[Value]) -> None:
        """Declare values this kernel stores: at the space's index they are computed."""
        self._here.update(values)

    def within(self, extent: Size) -> None:
        """Compute the outputs declared next only below `extent` on the first axis."""
        self.mask = None
        if extent != self.space[0]:
            at = self._identity[0]
            self.mask = self._step(Inside(((at, extent),), None), at.axes)

    def store(self, value: Value, buffer: Any) -> None:
        """Store a value of the space's shape."""
        step = self.pull(value)
        slot = self._slot(buffer, value.type.dtype)
        self.outputs.append(Output(step, slot, value.type.dtype, None, self.mask))

    def reduce(self, operand: Value, result: Value, monoid: str, buffer: Any) -> None:
        """Fold a value over the kernel's reduced axes into `buffer`."""
        step = self.pull(operand)
        slot = self._slot(buffer, result.type.dtype)
        self.outputs.append(Output(step, slot, result.type.dtype, monoid, self.mask))

    def finish(self) -> Bound:
        """Return the plan and its buffers."""
        plan = KernelPlan(
            self.space,
            self.reduced,
            tuple(self.steps),
            tuple(self.axes),
            tuple(self.outputs),
            tuple(self.slot_types),
        )
        offsets = tuple([x or 0 for x in self.offsets])
        return Bound(plan, tuple(self.buffers), offsets)
