"""What a loop carries: its types, which are the same at every step.

Python numbers are weak, as NumPy has them: a carry that begins as one takes the dtype
that the body returns.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, OpTypeError
from ..ir.graph import Value
from ..ir.loc import Loc, traced_at
from ..ir.promote import cast_to
from ..ir.types import BOOL, F64, I64, DType, TensorType, dtype_of
from .regions import Region
from .trace import Trace, name_of, place_of
from .trees import LEAF, Structure, canonical, flatten, paths, shown, unflatten

Number = int | float
Numbers = Sequence["Number | None"]
# (types of the carries, numbers in place of some) -> the body
TraceBody = Callable[[Sequence[TensorType], Numbers], Region]

_ROUNDS = 3  # an int, then f32, then f64


class Carry:
    """The leaves of what a loop begins with, as values of the trace it stands in."""

    def __init__(self, name: str, trace: Trace, init: Any, loc: Loc | None) -> None:
        leaves, structure = flatten(init)
        self.name = name
        self.loc = loc
        self.structure: Structure = structure
        self.paths = paths(structure, "init")
        self.values: list[Value] = []
        self.numbers: list[Number | None] = []  # of leaves that are weak
        for leaf, path in zip(leaves, self.paths, strict=True):
            value = trace.lift(leaf, f"{name}: {path}")._value
            weak = leaf if type(leaf) in (int, float) else trace.weak.get(value)
            self.values.append(value)
            self.numbers.append(weak)
        self.kinds = [x.type for x in self.values]

    def add(self, value: Value, path: str) -> None:
        """Put a value before the others."""
        self.structure = ("tuple", tuple, (), (LEAF, self.structure))
        self.values.insert(0, value)
        self.numbers.insert(0, None)
        self.kinds.insert(0, value.type)
        self.paths.insert(0, path)

    def arranged(self, arrays: Sequence[Any], numbers: Numbers = ()) -> Any:
        """Return what the body takes: arrays, or numbers in place of some."""
        filled = zip(arrays, numbers or [None] * len(arrays), strict=True)
        return unflatten(self.structure, [a if n is None else n for a, n in filled])

    def settle(self, trace: TraceBody, fun: Callable[..., Any]) -> Region:
        """Trace a body until its carries keep their types; its outputs are these.

        Args:
            trace: traces the body on carries of given types, or on given numbers; the
                leaves of the region begin with the carries, arranged as they were.
            fun: the body, for messages.

        Raises:
            OpTypeError: a carry changes its type; the message has its path.
        """
        region = trace(self.kinds, ())
        if self._mixes(region) and self._adopt(self._probed(trace, fun)):
            region = trace(self.kinds, ())
        for _ in range(_ROUNDS):
            if not self._adopt(self._types(region, fun)):
                break
            region = trace(self.kinds, ())
        carried = region.leaves[: len(self.kinds)]
        region.outputs = [
            self._output(region, k, leaf, fun) for k, leaf in enumerate(carried)
        ]
        return region

    def operands(self, trace: Trace) -> list[Value]:
        """Return what the loop begins with, in the types that were settled."""
        return [
            cast_to(trace.builder, x, kind.dtype)
            for x, kind in zip(self.values, self.kinds, strict=True)
        ]

    # -- types of numbers ----------------------------------------------------------

    def _types(
        self, region: Region, fun: Callable[..., Any]
    ) -> "list[TensorType | Number]":
        """Return the types of returned carries, or the numbers that they are."""
        return [
            leaf
            if type(leaf) in (int, float)
            else region.value(leaf, self._said(fun, k)).type
            for k, leaf in enumerate(region.leaves[: len(self.kinds)])
        ]

    def _said(self, fun: Callable[..., Any], k: int) -> str:
        return f"{self.name}: what {name_of(fun)} returns for {self.paths[k]}"

    def _mixes(self, region: Region) -> bool:
        """Return whether a number would give way to a dtype of the body's.

        Where there are only those that numbers have anyway, it makes no difference.
        """
        if all(n is None for n in self.numbers):
            return False
        nodes = region.trace.builder.nodes
        read = [x for node in nodes for x in (*node.operands, *node.results)]
        seen = {x.type.dtype for x in (*read, *region.elements)}
        return not seen <= {F64, I64, BOOL}

    def _probed(
        self, trace: TraceBody, fun: Callable[..., Any]
    ) -> "list[TensorType | Number]":
        """Return what a body makes of the numbers themselves."""
        try:
            return self._types(trace(self.kinds, self.numbers), fun)
        except (AttributeError, TypeError):
            return list(self.kinds)  # it takes them for arrays: then they are

    def _adopt(self, made: "Sequence[TensorType | Number]") -> bool:
        """Give weak carries the dtypes the body returned; returns whether any changed.

        A carry that has taken a dtype changes only to one its number goes to from it.
        """
        changed = False
        for k, (kind, number) in enumerate(zip(self.kinds, self.numbers, strict=True)):
            if number is None:
                continue
            dtype = _joined(number, made[k], kind)
            if dtype is not None and dtype is not kind.dtype:
                self.kinds[k] = kind.with_dtype(dtype)
                changed = True
        return changed

    # -- checking ------------------------------------------------------------------

    def _output(
        self, region: Region, k: int, leaf: Any, fun: Callable[..., Any]
    ) -> Value:
        kind = self.kinds[k]
        if type(leaf) in (int, float) and kind.shape == ():
            number = leaf
            if _result(kind.dtype, number) is kind.dtype:
                return region.trace.builder.constant(number, kind.dtype)
        value = region.value(leaf, self._said(fun, k))
        if value.type == kind:
            return value
        raise OpTypeError(
            f"{self.name}: carry {self.paths[k]} is {kind}, {name_of(fun)} returns "
            f"{value.type} for it"
            f"\n  begins as: {told(self.values[k])}"
            f"\n  returned: {told(value)}"
            f"{traced_at(self.loc)}"
            f"\n  {_advice(kind, value.type)}"
        )


def _result(dtype: DType, number: Number) -> DType:
    return dtype_of(np.result_type(dtype.numpy, number))


def _joined(
    number: Number, made: "TensorType | Number", kind: TensorType
) -> DType | None:
    """Return the dtype of a weak carry whose body made this; None where it has none."""
    if not isinstance(made, TensorType):
        joined = _result(kind.dtype, made)
        return joined
    if made.shape != kind.shape:
        return None
    # what the number goes to beside the dtype, if it can begin as one
    return made.dtype if _result(made.dtype, number) is made.dtype else None


def _advice(kind: TensorType, made: TensorType) -> str:
    if kind.shape != made.shape:
        return "a loop's carries keep their shapes: begin with the shape it returns"
    return (
        f"begin with .astype({made.dtype.numpy}), or return .astype({kind.dtype.numpy})"
    )


def told(value: Value) -> str:
    """Return what messages say of a value: its type, op and line."""
    node = value.node
    if node is None:
        return f"{value.type}, an input"
    where = f", made at: {node.loc}" if node.loc else ""
    return f"{value.type} = {node.primitive.name}{where}"


def demand_structure(
    name: str, what: str, wanted: Structure, got: Structure, fun: Callable[..., Any]
) -> None:
    """Demand that a function return what is arranged in a certain way.

    Raises:
        ArgumentError: it does not.
    """
    if canonical(wanted) == canonical(got):
        return
    if shown(got) == "None":
        raise ArgumentError(
            f"{name}: {name_of(fun)} returns None; did you forget to return {what}?"
            f"{place_of(fun)}"
        )
    raise ArgumentError(
        f"{name}: {name_of(fun)} returns {shown(got)}; expected {what}: {shown(wanted)}"
        f"{place_of(fun)}"
    )
