"""NumPy's promotion and broadcasting, made explicit as nodes.

Python scalars are weak (NEP 50). After this no op sees mixed dtypes or shapes: no rule
handles either. Operands are Values or Python numbers; arrays are Values by now.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .builder import Builder
from .errors import OpTypeError
from .graph import Value
from .loc import traced_at
from .sizes import SizeExpr
from .types import DType, Shape, dtype_of

Operand = Value | bool | int | float


def type_text(x: Operand) -> str:
    """Return how an operand is written in an error message."""
    return str(x.type) if isinstance(x, Value) else f"{type(x).__name__} {x!r}"


def operands_text(args: Sequence[Operand]) -> str:
    """Return the `operands:` line of an error message."""
    letters = "abcdefghijklmnop"
    return "\n  operands: " + ", ".join(
        f"{letters[k % 16]} {type_text(x)}" for k, x in enumerate(args)
    )


def op_error(b: Builder, name: str, what: str, args: Sequence[Operand]) -> OpTypeError:
    """Return the error of an op that does not take these operands."""
    return OpTypeError(f"{name}: {what}{operands_text(args)}{traced_at(b.loc)}")


def broadcast_shapes(b: Builder, name: str, args: Sequence[Operand]) -> Shape:
    """Return the common shape under NumPy's rules.

    A named size against another size, where neither is 1, becomes a guard.

    Raises:
        OpTypeError: two constant sizes disagree.
    """
    shapes = [x.type.shape for x in args if isinstance(x, Value)]
    first = shapes[0] if shapes else ()
    if all(s == first for s in shapes):
        return first
    rank = max(len(s) for s in shapes)
    out: list[int | SizeExpr] = []
    for k in range(-rank, 0):
        dim: int | SizeExpr = 1
        for s in shapes:
            if -k > len(s) or s[k] == 1 or s[k] == dim:
                continue
            if dim == 1:
                dim = s[k]
            elif isinstance(dim, int) and isinstance(s[k], int):
                raise op_error(
                    b, name, f"shapes do not broadcast: {dim} and {s[k]} on one axis",
                    args,
                )  # fmt: skip
            else:
                b.guard(dim, s[k], f"{name}: operands share an axis")
                if isinstance(s[k], int):
                    dim = s[k]
        out.append(dim)
    return tuple(out)


def fit(b: Builder, x: Value, shape: Shape) -> Value:
    """Broadcast x to a common shape that `broadcast_shapes` returned.

    An axis whose size is equal only by a guard is reshaped to it.
    """
    if x.type.shape == shape:
        return x
    offset = len(shape) - len(x.type.shape)
    same = tuple(d if d == 1 else shape[offset + k] for k, d in enumerate(x.type.shape))
    if same != x.type.shape:
        x = b.op("reshape", x, shape=same)
    return b.broadcast(x, shape)


def cast_to(b: Builder, x: Operand, dtype: DType) -> Value:
    """Return x as a Value of `dtype`."""
    if not isinstance(x, Value):
        return b.constant(x, dtype)
    if x.type.dtype is dtype:
        return x
    out: Value = b.op("cast", x, dtype=dtype)
    return out


def _probe(x: Operand) -> Any:
    if isinstance(x, Value):
        return x.type.dtype.numpy
    # a Python bool is not weak, unlike int and float
    return np.dtype(bool) if type(x) is bool else type(x)


def common_dtype(b: Builder, name: str, args: Sequence[Operand]) -> DType:
    """Return the dtype NumPy would compute in, without a ufunc to ask."""
    values = [x for x in args if isinstance(x, Value)]
    if not values:
        return dtype_of(np.result_type(*[np.asarray(x).dtype for x in args]))
    first = values[0].type.dtype
    weak = [x for x in args if not isinstance(x, Value)]
    if not weak and all(v.type.dtype is first for v in values):
        return first
    try:
        probes = [np.empty((), v.type.dtype.numpy).dtype for v in values]
        return dtype_of(np.result_type(*probes, *weak))
    except (TypeError, OverflowError) as error:
        raise op_error(b, name, str(error), args) from None


def ufunc_dtypes(
    b: Builder, ufunc: np.ufunc, name: str, args: Sequence[Operand]
) -> list[DType]:
    """Return the dtypes a ufunc casts its operands to.

    Raises:
        OpTypeError: the ufunc has no loop for these dtypes.
    """
    probes = tuple(_probe(x) for x in args) + (None,) * ufunc.nout
    try:
        resolved = ufunc.resolve_dtypes(probes)
        return [dtype_of(d) for d in resolved[: ufunc.nin]]
    except (TypeError, OverflowError) as error:
        if isinstance(error, OpTypeError):
            raise op_error(b, name, str(error), args) from None
        raise op_error(b, name, "no loop for these dtypes", args) from None


def check_fits(b: Builder, name: str, x: Operand, dtype: DType) -> None:
    """Demand that a Python integer be a value of an integer dtype.

    Raises:
        OpTypeError: it is not.
    """
    if type(x) is int and dtype.kind in "iu":
        limits = np.iinfo(dtype.numpy)
        if not limits.min <= x <= limits.max:
            what = f"Python integer {x} is no {dtype.name}: cast the array first"
            raise op_error(b, name, what, [x])


def lift(
    b: Builder, name: str, dtypes: Sequence[DType], args: Sequence[Operand]
) -> tuple[Value, ...]:
    """Return the operands cast to `dtypes` and broadcast to one shape."""
    shape = broadcast_shapes(b, name, args)
    out = []
    for x, dtype in zip(args, dtypes, strict=True):
        if isinstance(x, Value):
            out.append(fit(b, cast_to(b, x, dtype), shape))
        else:
            check_fits(b, name, x, dtype)
            out.append(b.constant(x, dtype, shape))
    return tuple(out)


def accept_ufunc(name: str, ufunc: np.ufunc) -> Callable[..., Any]:
    """Return the accept function of an op that promotes as a NumPy ufunc does."""

    def accept(b: Builder, *args: Operand) -> tuple[tuple[Value, ...], dict[str, Any]]:
        if len(args) != ufunc.nin:
            raise op_error(
                b, name, f"takes {ufunc.nin} operands, {len(args)} given", args
            )
        first = next((x for x in args if isinstance(x, Value)), None)
        if first is not None and first.type.dtype.is_float:
            # one float dtype, and Python scalars, which are weak: nothing to resolve
            dtype = first.type.dtype
            if all(not isinstance(x, Value) or x.type.dtype is dtype for x in args):
                if all(isinstance(x, Value) and x.type == first.type for x in args):
                    return args, {}  # type: ignore[return-value]  # all Values, just seen
                return lift(b, name, [dtype] * len(args), args), {}
        dtypes = ufunc_dtypes(b, ufunc, name, args)
        return lift(b, name, dtypes, args), {}

    return accept
