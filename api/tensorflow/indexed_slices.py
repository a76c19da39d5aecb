"""Gradients of gathers: the rows that were read, instead of a table of mostly zeros."""

from typing import Any

import numpy as np

from ..ir.graph import Node, Value
from ..tracer.operands import value
from ..tracer.tensor import current_recorder
from .dtypes import DType, TensorShape
from .tensors import EagerTensor, call, convert


class IndexedSlices:
    """Rows of a tensor and where they stand; a row named twice counts twice."""

    __slots__ = ("_dense_shape", "indices", "values")

    def __init__(self, values: Any, indices: Any, dense_shape: Any = None) -> None:
        self.values = convert(values)
        self.indices = convert(indices)
        self._dense_shape = None if dense_shape is None else TensorShape(dense_shape)

    @property
    def dense_shape(self) -> "EagerTensor | None":
        """The shape of the whole tensor, as a tensor."""
        if self._dense_shape is None:
            return None
        return convert(np.asarray(self._dense_shape, np.int32))

    @property
    def shape(self) -> "TensorShape | None":
        """The shape of the whole tensor."""
        return self._dense_shape

    @property
    def dtype(self) -> DType:
        """The element type of the rows."""
        return self.values.dtype

    def _as_tensor(self) -> EagerTensor:
        if self._dense_shape is None:
            raise ValueError(
                "Tensor conversion requested for IndexedSlices for an unknown shape"
            )
        args = (self.values, self.indices, tuple(self._dense_shape))
        made: EagerTensor = call(_dense, args, "UnsortedSegmentSum")
        return made

    def __neg__(self) -> "IndexedSlices":
        return IndexedSlices(-self.values, self.indices, self._dense_shape)

    def __repr__(self) -> str:
        return (
            f"IndexedSlices(indices={self.indices}, values={self.values}, "
            f"dense_shape={self.dense_shape})"
        )


def _dense(b: Any, values: Any, indices: Any, shape: Any) -> Any:
    rows = value(b, indices, "IndexedSlices")
    return b.scatter_add(value(b, values, "IndexedSlices"), rows, axis=0, shape=shape)


def as_slices(gradient: Any) -> Any:
    """Return a gradient as IndexedSlices where it is made of gathered rows alone."""
    if type(gradient) is not EagerTensor:
        return gradient
    node = gradient._value.node
    if node is None or node.primitive.name not in ("add", "scatter_add"):
        return gradient
    parts = _scattered(gradient._value)
    if not parts:
        return gradient
    kind = gradient._value.type
    b = current_recorder().builder
    rows = [_flat(b, part.operands[0], kind.shape[1:]) for part in parts]
    at = [_flat(b, part.operands[1], ()) for part in parts]
    one = len(parts) == 1
    return IndexedSlices(
        EagerTensor(rows[0] if one else b.op("concatenate", *rows, axis=0)),
        EagerTensor(at[0] if one else b.op("concatenate", *at, axis=0)),
        kind.shape,
    )


def _scattered(total: Value) -> list[Node]:
    """Return the scatters along the first axis that add up to a value, or none."""
    found: list[Node] = []
    stack = [total]
    while stack:
        node = stack.pop().node
        name = "" if node is None else node.primitive.name
        if name == "add" and node is not None:
            stack.extend(reversed(node.operands))
        elif name == "scatter_add" and node is not None and node.params["axis"] == 0:
            found.append(node)
        else:
            return []
    return found


def _flat(b: Any, x: Value, row: Any) -> Value:
    count = 1
    for d in x.type.shape[: len(x.type.shape) - len(row)]:
        count *= d  # type: ignore[assignment]  # sizes on a tape are numbers
    out: Value = b.op("reshape", x, shape=(count, *row))
    return out
