"""Ops that move elements: literals, views, placement, concatenation.

A view's index rule says which operand element a result element is. `ix` is the index
builder: `ix.const(size)`, `ix.add(i, size)`, `ix.mul(i, size)`, `ix.linear(index, shape)`
and `ix.split(linear, shape)`.
"""

from typing import Any

import numpy as np

from ..builder import Builder
from ..constant import ArrayConstant
from ..errors import OpTypeError
from ..forms import Literal, View
from ..graph import Value
from ..primitive import (
    DERIVED,
    NON_DIFFERENTIABLE,
    Cost,
    Domain,
    Primitive,
    Sample,
)
from ..promote import Operand, cast_to, common_dtype
from ..sizes import SizeExpr
from ..types import Shape, TensorType
from .factory import NO_EFFECTS


def _no_call(b: Builder, *args: Operand, **params: Any) -> Any:
    raise OpTypeError("constant is made by the builder, not called")


def _constant_infer(*, value: Any, type: TensorType) -> tuple[TensorType, ...]:
    return (type,)


def _constant_evaluate(*, value: Any, type: TensorType) -> np.ndarray[Any, Any]:
    if isinstance(value, ArrayConstant):
        return value.array
    # the interpreter has put numbers for named sizes
    shape = tuple(int(d) for d in type.shape)  # type: ignore[arg-type]
    return np.full(shape, value, type.dtype.numpy)


constant = Primitive(
    name="constant",
    mirrors=(),
    tf_name=None,
    accept=_no_call,
    infer=_constant_infer,
    evaluate=_constant_evaluate,
    form=Literal(),
    vjp=NON_DIFFERENTIABLE,
    jvp=NON_DIFFERENTIABLE,
    batch=DERIVED,
    effects=NO_EFFECTS,
    cost=Cost.CHEAP,
    exact=True,
    sparsity="diagonal",
    domain=Domain(-1, 1),
    kinks="",
    samples=(),
    doc="A number or a size in every element, or an array known when traced.",
)


def _broadcast_accept(
    b: Builder, x: Operand, shape: Any
) -> tuple[tuple[Value, ...], dict[str, Any]]:
    value = cast_to(b, x, common_dtype(b, "broadcast_to", [x]))
    wanted = tuple(shape) if isinstance(shape, (tuple, list)) else (shape,)
    return (value,), {"shape": wanted}


def _broadcast_infer(x: TensorType, *, shape: Shape) -> tuple[TensorType, ...]:
    offset = len(shape) - x.rank
    if offset < 0 or any(
        d not in (1, shape[offset + k]) for k, d in enumerate(x.shape)
    ):
        raise OpTypeError(
            f"broadcast_to: {x} does not broadcast to shape {tuple(map(str, shape))}"
        )
    return (x.with_shape(shape),)


def _broadcast_index(
    ix: Any, out: Any, x: TensorType, result: TensorType, *, shape: Shape
) -> list[Any]:
    offset = result.rank - x.rank
    return [
        ix.const(0) if d == 1 and result.shape[offset + k] != 1 else out[offset + k]
        for k, d in enumerate(x.shape)
    ]


def _broadcast_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, shape: Shape
) -> list[Value | None]:
    offset = len(shape) - x.type.rank
    axes = tuple(
        k
        for k in range(len(shape))
        if k < offset or (x.type.shape[k - offset] == 1 and shape[k] != 1)
    )
    summed = b.sum(ct, axes=axes) if axes else ct
    if summed.type.shape != x.type.shape:
        summed = b.reshape(summed, shape=x.type.shape)
    return [summed]


def _broadcast_evaluate(x: Any, *, shape: Any) -> Any:
    return np.broadcast_to(x, shape).copy()


broadcast_to = Primitive(
    name="broadcast_to",
    mirrors=(np.broadcast_to,),
    tf_name="broadcast_to",
    accept=_broadcast_accept,
    infer=_broadcast_infer,
    evaluate=_broadcast_evaluate,
    form=View(_broadcast_index),
    vjp=_broadcast_vjp,
    jvp=DERIVED,
    batch=DERIVED,
    effects=NO_EFFECTS,
    cost=Cost.CHEAP,
    exact=True,
    sparsity="selection",
    domain=Domain(-3, 3),
    kinks="",
    samples=(
        Sample(((None,),), {"shape": (3, None)}),
        Sample(((),), {"shape": (None,)}),
    ),
    doc="The array repeated along new axes and axes of size 1.",
)

__all__ = ["SizeExpr", "broadcast_to", "constant"]
