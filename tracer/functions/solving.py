"""Factorisations, determinants and systems of equations, by NumPy's names.

All but cholesky are compositions of an LU factorisation and what is solved by it.
"""

from typing import Any, NamedTuple

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.loc import traced_at
from ...ir.ops.axes import agree
from ...ir.ops.factorization import check_square
from ...ir.promote import broadcast_shapes, cast_to, common_dtype, fit
from ...ir.types import I64
from ..builders import ArrayBuilder
from ..operands import value
from .creation import positions
from .linalg import matrix_transpose


def _matrix(b: ArrayBuilder, x: Any, name: str) -> Value:
    """Return square matrices of floats; sizes that only may differ become a guard."""
    held = value(b, x, name)
    held = cast_to(b, held, common_dtype(b, name, [held, 0.0]))
    if held.type.rank >= 2:
        rows, columns = held.type.shape[-2:]
        if not (isinstance(rows, int) and isinstance(columns, int)):
            held = agree(b, name, held, (*held.type.shape[:-2], rows, rows))
    try:
        check_square(name, held.type)
    except OpTypeError as error:
        raise OpTypeError(f"{error}{traced_at(b.loc)}") from None
    return held


def cholesky(b: ArrayBuilder, a: Any, /, *, upper: bool = False) -> Value:
    """Return the triangle l of a = l l.T, or its transpose; a's other half is unread.

    Raises when run, NotPositiveDefinite: a matrix is not, or holds NaN.
    """
    held = _matrix(b, a, "cholesky")
    if upper:
        held = matrix_transpose(b, held)
    made = b.op("cholesky", held)
    return matrix_transpose(b, made) if upper else made


def _right(b: ArrayBuilder, x: Value, vector: bool) -> Value:
    """Return right sides as columns."""
    return b.op("expand_dims", x, axes=(1,)) if vector else x


def _sides(b: ArrayBuilder, name: str, x: Value, y: Value) -> tuple[Value, Value]:
    """Return matrices and right sides (..., n, m) with one dtype, batch and n."""
    if y.type.rank < 2:
        raise OpTypeError(f"{name}: the right sides are a scalar{traced_at(b.loc)}")
    dtype = common_dtype(b, name, [x, y])
    x, y = cast_to(b, x, dtype), cast_to(b, y, dtype)
    n, (rows, m) = x.type.shape[-1], y.type.shape[-2:]
    if isinstance(n, int) and isinstance(rows, int) and n != rows:
        raise OpTypeError(
            f"{name}: {n} equations and {rows} rows of right sides"
            f"\n  operands: a {x.type}, b {y.type}{traced_at(b.loc)}"
        )
    y = agree(b, name, y, (*y.type.shape[:-2], n, m))
    # the batch axes broadcast as those of arrays with no others do
    batches = [b.constant(0, I64, v.type.shape[:-2]) for v in (x, y)]
    batch = broadcast_shapes(b, name, batches)
    return fit(b, x, (*batch, n, n)), fit(b, y, (*batch, n, m))


def solve(b: ArrayBuilder, a: Any, rhs: Any, /) -> Value:
    """Return x of a x = rhs; rhs of one axis is one right side, else columns are.

    Raises when run, SingularMatrix: a pivot is exactly 0.
    """
    single, right = _matrix(b, a, "solve"), value(b, rhs, "solve")
    vector = right.type.rank == 1  # as NumPy 2 has it: nothing else is a vector
    left, right = _sides(b, "solve", single, _right(b, right, vector))
    # a matrix is factored before it is repeated along a batch
    packed, pivots, _, _ = b.op("lu", cast_to(b, single, left.type.dtype))
    packed = fit(b, packed, left.type.shape)
    pivots = fit(b, pivots, left.type.shape[:-1])
    out = b.op("lu_solve", left, packed, pivots, right, transpose=False)
    return _squeezed(b, out, vector)


def _squeezed(b: ArrayBuilder, x: Value, vector: bool) -> Value:
    if not vector:
        return x
    return b.op("squeeze", x, axes=(x.type.rank - 1,))  # type: ignore[no-any-return]


def inv(b: ArrayBuilder, a: Any) -> Value:
    """Return the inverse.

    Raises when run, SingularMatrix: a pivot is exactly 0.
    """
    held = _matrix(b, a, "inv")
    shape = held.type.shape
    rank = len(shape)
    on = b.op("eq", positions(b, shape, rank - 2), positions(b, shape, rank - 1))
    packed, pivots, _, _ = b.op("lu", held)
    unit = cast_to(b, on, held.type.dtype)
    return b.op("lu_solve", held, packed, pivots, unit, transpose=False)  # type: ignore[no-any-return]


class SlogdetResult(NamedTuple):
    """The sign of a determinant, and the logarithm of its magnitude."""

    sign: Any  # Any: a Value, then what a function returns for it
    logabsdet: Any


def _pivots(b: ArrayBuilder, a: Any, name: str) -> tuple[Value, Value]:
    held = _matrix(b, a, name)
    packed, _, _, parity = b.op("lu", held)
    rank = held.type.rank
    diagonal = b.op("diagonal", packed, offset=0, axis1=rank - 2, axis2=rank - 1)
    return diagonal, parity


def det(b: ArrayBuilder, a: Any) -> Value:
    """Return the determinant; its derivative raises SingularMatrix where it is 0."""
    diagonal, parity = _pivots(b, a, "det")
    size = b.op("prod", diagonal, axes=(diagonal.type.rank - 1,))
    return b.op("mul", parity, size)  # type: ignore[no-any-return]


def slogdet(b: ArrayBuilder, a: Any) -> SlogdetResult:
    """Return sign and log magnitude of the determinant: 0 and -inf where it is 0.

    Their derivative raises SingularMatrix there.
    """
    diagonal, parity = _pivots(b, a, "slogdet")
    axes = (diagonal.type.rank - 1,)
    sign = b.op("prod", b.op("sign", diagonal), axes=axes)
    size = b.op("sum", b.op("log", b.op("abs", diagonal)), axes=axes)
    return SlogdetResult(b.op("mul", parity, sign), size)


def triangular_solve(
    b: ArrayBuilder, a: Any, rhs: Any, /, *,
    lower: bool = True, transpose: bool = False, unit: bool = False,
) -> Value:  # fmt: skip
    """Return x of a x = rhs for a triangle of a; the other is not read.

    a is (..., n, n), and rhs one right side (n,) or columns (..., n, m). `lower` tells
    which triangle, `transpose` solves by its transpose, and `unit` takes ones for the
    diagonal, whatever is there.

    Raises when run, SingularMatrix: the diagonal has a 0.
    """
    left, right = _matrix(b, a, "triangular_solve"), value(b, rhs, "triangular_solve")
    vector = right.type.rank == 1
    left, right = _sides(b, "triangular_solve", left, _right(b, right, vector))
    out = b.op(
        "triangular_solve", left, right,
        lower=bool(lower), transpose=bool(transpose), unit=bool(unit),
    )  # fmt: skip
    return _squeezed(b, out, vector)
