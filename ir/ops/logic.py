"""Comparisons, logic, selection, conversion between dtypes."""

from typing import Any

import numpy as np

from ..band import Band
from ..builder import Builder
from ..graph import Value
from ..primitive import NON_DIFFERENTIABLE, Accept, Domain, Sample
from ..promote import Operand, common_dtype, lift, op_error
from ..types import BOOL, F64, DType, TensorType, dtype_of
from . import matrices
from .axes import as_value
from .factory import elementwise, map_type, type_error

ANY = "fiub"
_FLAGS = ((0, 0, 2), (1, 0, 2))

# --- comparisons ----------------------------------------------------------------------

eq = elementwise(
    "eq",
    mirrors=[np.equal],
    tf_name="equal",
    kinds=ANY,
    result="bool",
    scalar=lambda s, x, y: s.eq(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    matrix=matrices.compares(lambda d: Band(d, d), lambda d: Band(d, d)),
    doc="Whether x equals y; NaN equals nothing.",
)
ne = elementwise(
    "ne",
    mirrors=[np.not_equal],
    tf_name="not_equal",
    kinds=ANY,
    result="bool",
    scalar=lambda s, x, y: s.ne(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    doc="Whether x differs from y; NaN differs from everything.",
)
lt = elementwise(
    "lt",
    mirrors=[np.less],
    tf_name="less",
    kinds=ANY,
    result="bool",
    scalar=lambda s, x, y: s.lt(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    matrix=matrices.compares(lambda d: Band(None, d - 1), lambda d: Band(d + 1, None)),
    doc="Whether x is below y.",
)
le = elementwise(
    "le",
    mirrors=[np.less_equal],
    tf_name="less_equal",
    kinds=ANY,
    result="bool",
    scalar=lambda s, x, y: s.le(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    matrix=matrices.compares(lambda d: Band(None, d), lambda d: Band(d, None)),
    doc="Whether x is at most y.",
)
gt = elementwise(
    "gt",
    mirrors=[np.greater],
    tf_name="greater",
    kinds=ANY,
    result="bool",
    scalar=lambda s, x, y: s.gt(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    matrix=matrices.compares(lambda d: Band(d + 1, None), lambda d: Band(None, d - 1)),
    doc="Whether x is above y.",
)
ge = elementwise(
    "ge",
    mirrors=[np.greater_equal],
    tf_name="greater_equal",
    kinds=ANY,
    result="bool",
    scalar=lambda s, x, y: s.ge(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    matrix=matrices.compares(lambda d: Band(d, None), lambda d: Band(None, d)),
    doc="Whether x is at least y.",
)

# --- logic ----------------------------------------------------------------------------


def _accept_flags(name: str, count: int) -> Accept:
    def accept(b: Builder, *args: Operand) -> tuple[tuple[Value, ...], dict[str, Any]]:
        if len(args) != count:
            raise op_error(b, name, f"takes {count} operands, {len(args)} given", args)
        return lift(b, name, [BOOL] * count, args), {}

    return accept


logical_and = elementwise(
    "logical_and",
    mirrors=[np.logical_and],
    accept=_accept_flags("logical_and", 2),
    kinds="b",
    scalar=lambda s, x, y: s.and_(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    samples=(Sample(((None,), (None,)), {}, ("bool", "bool"), _FLAGS),),
    doc="Whether both hold; numbers other than 0 hold.",
)
logical_or = elementwise(
    "logical_or",
    mirrors=[np.logical_or],
    accept=_accept_flags("logical_or", 2),
    kinds="b",
    scalar=lambda s, x, y: s.or_(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    samples=(Sample(((None,), (None,)), {}, ("bool", "bool"), _FLAGS),),
    doc="Whether either holds; numbers other than 0 hold.",
)
logical_xor = elementwise(
    "logical_xor",
    mirrors=[np.logical_xor],
    accept=_accept_flags("logical_xor", 2),
    kinds="b",
    scalar=lambda s, x, y: s.xor(x, y),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    samples=(Sample(((None,), (None,)), {}, ("bool", "bool"), _FLAGS),),
    doc="Whether exactly one holds; numbers other than 0 hold.",
)
logical_not = elementwise(
    "logical_not",
    mirrors=[np.logical_not],
    accept=_accept_flags("logical_not", 1),
    kinds="b",
    scalar=lambda s, x: s.not_(x),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    samples=(Sample(((None,),), {}, ("bool",), _FLAGS[:1]),),
    doc="Whether x does not hold; numbers other than 0 hold.",
)

# --- classes of floats ----------------------------------------------------------------


def _accept_number(name: str) -> Accept:
    def accept(b: Builder, *args: Operand) -> tuple[tuple[Value, ...], dict[str, Any]]:
        if len(args) != 1:
            raise op_error(b, name, f"takes 1 operand, {len(args)} given", args)
        x = as_value(b, name, args[0])
        # an integer is finite, and stays finite as a float
        return (x if x.type.dtype.is_float else b.op("cast", x, dtype=F64),), {}

    return accept


isfinite = elementwise(
    "isfinite",
    mirrors=[np.isfinite],
    tf_name="math.is_finite",
    accept=_accept_number("isfinite"),
    result="bool",
    scalar=lambda s, x: s.lt(s.abs(x), s.lit(float("inf"), x)),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    doc="Whether x is neither infinite nor NaN.",
)
isnan = elementwise(
    "isnan",
    mirrors=[np.isnan],
    tf_name="math.is_nan",
    accept=_accept_number("isnan"),
    result="bool",
    scalar=lambda s, x: s.isnan(x),
    partials=NON_DIFFERENTIABLE,
    exact=True,
    doc="Whether x is NaN.",
)

# --- selection ------------------------------------------------------------------------


def _select_accept(
    b: Builder, *args: Operand
) -> tuple[tuple[Value, ...], dict[str, Any]]:
    if len(args) != 3:
        raise op_error(b, "select", f"takes 3 operands, {len(args)} given", args)
    dtype = common_dtype(b, "select", args[1:])
    return lift(b, "select", [BOOL, dtype, dtype], args), {}


def _select_infer(
    cond: TensorType, x: TensorType, y: TensorType
) -> tuple[TensorType, ...]:
    if cond.dtype is not BOOL:
        raise type_error("select", "the condition is not bool", [cond, x, y])
    if x != y or cond.shape != x.shape:
        raise type_error("select", "operands differ in type", [cond, x, y])
    return (x,)


def _select_vjp(
    b: Builder, ct: Value, out: Value, cond: Value, x: Value, y: Value
) -> list[Value | None]:
    return [None, b.select(cond, ct, 0.0), b.select(cond, 0.0, ct)]


def _select_jvp(
    b: Builder,
    tangents: tuple[Value | None, ...],
    out: Value,
    cond: Value,
    x: Value,
    y: Value,
) -> Value | None:
    _, t_x, t_y = tangents
    return b.select(  # type: ignore[no-any-return]
        cond, 0.0 if t_x is None else t_x, 0.0 if t_y is None else t_y
    )


select = elementwise(
    "select",
    mirrors=[np.where],
    tf_name="where",
    arity=3,
    accept=_select_accept,
    infer=_select_infer,
    scalar=lambda s, cond, x, y: s.select(cond, x, y),
    vjp=_select_vjp,
    jvp=_select_jvp,
    exact=True,
    kinks="The branch that is not taken has cotangent 0.",
    samples=(Sample(((None,),) * 3, {}, ("bool", "f", "f"), ((0, 0, 2),)),),
    matrix=matrices.SELECTS,
    doc="x where the condition holds, y elsewhere.",
)

# --- conversion -----------------------------------------------------------------------


def _cast_accept(
    b: Builder, x: Operand, dtype: Any
) -> tuple[tuple[Value, ...], dict[str, Any]]:
    wanted = dtype if isinstance(dtype, DType) else dtype_of(dtype)
    return (as_value(b, "cast", x),), {"dtype": wanted}


def _cast_infer(x: TensorType, *, dtype: DType) -> tuple[TensorType, ...]:
    return (x.with_dtype(dtype),)


def _cast_vjp(
    b: Builder, ct: Value, out: Value, x: Value, *, dtype: DType
) -> list[Value | None]:
    source = x.type.dtype
    if not source.is_float or not dtype.is_float:
        return [None]
    return [ct if source is dtype else b.cast(ct, dtype=source)]


def _cast_jvp(
    b: Builder,
    tangents: tuple[Value | None, ...],
    out: Value,
    x: Value,
    *,
    dtype: DType,
) -> Value | None:
    return b.cast(tangents[0], dtype=dtype)  # type: ignore[no-any-return]


cast = elementwise(
    "cast",
    accept=_cast_accept,
    infer=_cast_infer,
    evaluate=lambda x, dtype: np.asarray(x).astype(dtype.numpy),
    scalar=lambda s, x, *, dtype: s.cast(x, dtype),
    vjp=_cast_vjp,
    jvp=_cast_jvp,
    exact=True,
    domain=Domain(0.5, 3.0),
    kinks="Cotangents flow between floats only.",
    samples=(
        Sample(((None,),), {"dtype": dtype_of("float64")}),
        Sample(((None,),), {"dtype": dtype_of("float32")}),
        Sample(((None,),), {"dtype": dtype_of("int64")}),
        Sample(((None,),), {"dtype": BOOL}),
        Sample(((None,),), {"dtype": F64}, ("i32",), ((0, -9, 9),)),
        Sample(((None,),), {"dtype": F64}, ("bool",), ((0, 0, 2),)),
    ),
    matrix=matrices.CASTS,
    doc="The array in another dtype, converted as NumPy's astype does.",
)


def _hold_infer(x: TensorType, late: TensorType) -> tuple[TensorType, ...]:
    if x.shape != late.shape:
        raise type_error("hold", "operands differ in shape", [x, late])
    return (x,)


def _hold_accept(
    b: Builder, *args: Operand
) -> tuple[tuple[Value, ...], dict[str, Any]]:
    if len(args) != 2:
        raise op_error(b, "hold", f"takes 2 operands, {len(args)} given", args)
    return tuple(as_value(b, "hold", x) for x in args), {}


def _hold_jvp(
    b: Builder, tangents: tuple[Value | None, ...], out: Value, x: Value, late: Value
) -> Value | None:
    return tangents[0]


hold = elementwise(
    "hold",
    tf_name=None,
    arity=2,
    accept=_hold_accept,
    infer=_hold_infer,
    evaluate=lambda x, late: np.array(x),
    scalar=lambda s, x, late: x,
    vjp=lambda b, ct, out, x, late: [ct, None],
    jvp=_hold_jvp,
    exact=True,
    matrix=matrices.KEEPS,
    doc="The first operand, computed after the second, whose value does not matter.",
)


def _one_operand(b: Builder, x: Operand) -> tuple[tuple[Value, ...], dict[str, Any]]:
    return (as_value(b, "stop_gradient", x),), {}


stop_gradient = elementwise(
    "stop_gradient",
    accept=_one_operand,
    infer=map_type("stop_gradient", ANY, "same"),
    evaluate=lambda x: np.array(x),
    scalar=lambda s, x: x,
    partials=NON_DIFFERENTIABLE,
    exact=True,
    matrix=matrices.KEEPS,
    doc="The array itself; no cotangent flows through.",
)
