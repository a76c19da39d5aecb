"""Values without operands: numbers, sizes, arrays known when traced, positions."""

from typing import Any

import numpy as np

from ..builder import Builder
from ..constant import ArrayConstant
from ..errors import OpTypeError
from ..forms import Iota, Literal
from ..primitive import DERIVED, NON_DIFFERENTIABLE, Cost, Domain, Primitive
from ..promote import Operand
from ..types import TensorType
from .factory import NO_EFFECTS


def _no_call(b: Builder, *args: Operand, **params: Any) -> Any:
    raise OpTypeError("literals are made by the builder, not called")


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
    matrix=None,
    sums=None,
    samples=(),
    doc="A number or a size in every element, or an array known when traced.",
)


def _iota_infer(*, axis: int, type: TensorType) -> tuple[TensorType, ...]:
    if not 0 <= axis < type.rank or type.dtype.kind not in "fiu":
        raise OpTypeError(f"iota: {type} has no positions along axis {axis}")
    return (type,)


def _iota_evaluate(*, axis: int, type: TensorType) -> np.ndarray[Any, Any]:
    # the interpreter has put numbers for named sizes
    shape = tuple(int(d) for d in type.shape)  # type: ignore[arg-type]
    one = [1] * len(shape)
    one[axis] = shape[axis]
    places = np.arange(shape[axis]).astype(type.dtype.numpy).reshape(one)
    return np.broadcast_to(places, shape).copy()


iota = Primitive(
    name="iota",
    mirrors=(),
    tf_name=None,
    accept=_no_call,
    infer=_iota_infer,
    evaluate=_iota_evaluate,
    form=Iota(),
    vjp=NON_DIFFERENTIABLE,
    jvp=NON_DIFFERENTIABLE,
    batch=DERIVED,
    effects=NO_EFFECTS,
    cost=Cost.CHEAP,
    exact=False,
    sparsity="diagonal",
    domain=Domain(-1, 1),
    kinks="",
    matrix=None,
    sums=None,
    samples=(),
    doc="The position of each element along one axis.",
)
