"""Factorisations of matrices, and systems of equations solved by them.

The matrix is the last two axes; those before are a batch. No op here returns NaN for
numbers: a matrix that cannot be factored or solved by raises. Derivatives are made of
triangular solves and contractions, so they have derivatives again.
"""

from typing import Any

from ..builder import Builder
from ..forms import Factorize
from ..graph import Value
from ..primitive import (
    DERIVED,
    Accept,
    Cost,
    Domain,
    Evaluate,
    Primitive,
    Sample,
    TypeRule,
    VjpRule,
)
from ..promote import Operand, cast_to, common_dtype
from ..sizes import SizeExpr, product
from ..types import I64, TensorType
from .axes import as_value
from .factorization_reference import (
    cholesky_of,
    lu_of,
    lu_solved,
    positive_definite,
    solvable,
    triangular,
    triangular_solved,
)
from .factory import check_kind, type_error
from .indexing import RAISES

Call = tuple[tuple[Value, ...], dict[str, Any]]


def _accept(name: str, *params: str, integers: tuple[int, ...] = ()) -> Accept:
    """Return an accept function of matrices; all but `integers` become floats."""

    def accept(b: Builder, *args: Operand, **given: Any) -> Call:
        floats = [x for k, x in enumerate(args) if k not in integers]
        dtype = common_dtype(b, name, [*floats, 0.0])
        values = tuple(
            as_value(b, name, x) if k in integers else cast_to(b, x, dtype)
            for k, x in enumerate(args)
        )
        return values, {key: bool(given.get(key, False)) for key in params}

    return accept


def check_square(name: str, x: TensorType) -> None:
    """Demand floats whose last two axes are equal.

    Raises:
        OpTypeError: they are not.
    """
    if x.rank < 2:
        raise type_error(name, "needs a matrix, or a batch of them", [x])
    if x.shape[-1] != x.shape[-2]:
        rows, columns = x.shape[-2:]
        raise type_error(name, f"a matrix of {rows} by {columns} is not square", [x])
    check_kind(name, x.dtype, "f", [x])


def _check_sides(name: str, x: TensorType, y: TensorType) -> None:
    check_square(name, x)
    types = [x, y]
    if x.dtype is not y.dtype:
        raise type_error(name, "operands differ in dtype", types)
    if x.rank != y.rank or x.shape[:-1] != y.shape[:-1]:
        what = "the right sides do not fit the matrices: rows and batch must agree"
        raise type_error(name, what, types)


def _record(
    name: str,
    *,
    kind: str,
    mirrors: tuple[Any, ...] = (),
    tf_name: str | None,
    accept: Accept,
    infer: TypeRule,
    evaluate: Evaluate,
    vjp: VjpRule,
    samples: tuple[Sample, ...],
    doc: str,
    kinks: str = "",
) -> Primitive:
    return Primitive(
        name=name,
        mirrors=mirrors,
        tf_name=tf_name,
        accept=accept,
        infer=infer,
        evaluate=evaluate,
        form=Factorize(kind),
        vjp=vjp,
        jvp=DERIVED,
        batch=DERIVED,
        effects=RAISES,
        cost=Cost.KEEP,
        exact=False,
        sparsity="dense",
        domain=Domain(-1.0, 1.0),
        kinks=kinks,
        samples=samples,
        doc=doc,
    )


# --- parts of rules -------------------------------------------------------------------


def part(b: Builder, x: Value, lower: bool, unit: bool) -> Value:
    """Return a triangle of x, without its diagonal if `unit`; zeros elsewhere."""
    places = x.type.with_dtype(I64)
    rank = x.type.rank
    down = b.op("iota", axis=rank - 2, type=places)
    across = b.op("iota", axis=rank - 1, type=places)
    if not lower:
        down, across = across, down
    kept = b.op("gt" if unit else "ge", down, across)
    return b.op("select", kept, x, b.zeros(x.type))  # type: ignore[no-any-return]


def on_diagonal(b: Builder, x: Value) -> Value:
    """Return which elements of a matrix are on its diagonal, as bools."""
    places = x.type.with_dtype(I64)
    rank = x.type.rank
    down = b.op("iota", axis=rank - 2, type=places)
    across = b.op("iota", axis=rank - 1, type=places)
    return b.op("eq", down, across)  # type: ignore[no-any-return]


def _turned(b: Builder, x: Value) -> Value:
    rank = x.type.rank
    order = (*range(rank - 2), rank - 1, rank - 2)
    return b.op("transpose", x, axes=order)  # type: ignore[no-any-return]


def _times(b: Builder, x: Value, y: Value, labels: str) -> Value:
    """Contract the last two axes of both; batch axes stay."""
    batch = "abcdefghlmnopqrstuvwxyz"[: x.type.rank - 2]
    lhs, rhs, out = (batch + part for part in labels.replace("->", ",").split(","))
    return b.op("contract", x, y, lhs=lhs, rhs=rhs, out=out)  # type: ignore[no-any-return]


def _solve(
    b: Builder, x: Value, y: Value, lower: bool, transpose: bool, unit: bool = False
) -> Value:
    return b.op(  # type: ignore[no-any-return]
        "triangular_solve", x, y, lower=lower, transpose=transpose, unit=unit
    )


# --- triangular_solve -----------------------------------------------------------------


def _triangular_infer(
    x: TensorType, y: TensorType, *, lower: bool, transpose: bool, unit: bool
) -> tuple[TensorType, ...]:
    _check_sides("triangular_solve", x, y)
    return (y,)


def _triangular_vjp(
    b: Builder,
    ct: Value,
    out: Value,
    x: Value,
    y: Value,
    *,
    lower: bool,
    transpose: bool,
    unit: bool,
) -> list[Value | None]:
    # Giles, Collected matrix derivative results (2008), 2.3.1
    pulled = _solve(b, x, ct, lower, not transpose, unit)
    left, right = (out, pulled) if transpose else (pulled, out)
    whole = b.neg(_times(b, left, right, "ik,jk->ij"))
    return [part(b, whole, lower, unit), pulled]


def _triangle(
    x: tuple[int | None, ...],
    y: tuple[int | None, ...],
    *,
    lower: bool = False,
    transpose: bool = False,
    unit: bool = False,
) -> Sample:
    params = {"lower": lower, "transpose": transpose, "unit": unit}
    return Sample((x, y), params, make=triangular)


triangular_solve = _record(
    "triangular_solve",
    kind="triangular_solve",
    tf_name="linalg.triangular_solve",
    accept=_accept("triangular_solve", "lower", "transpose", "unit"),
    infer=_triangular_infer,
    evaluate=triangular_solved,
    vjp=_triangular_vjp,
    samples=(
        _triangle((None, None), (None, 3), lower=True),
        _triangle((None, None), (None, 1), lower=True, transpose=True),
        _triangle((None, None), (None, 30)),
        _triangle((None, None), (None, 5), transpose=True, unit=True),
        _triangle((None, 5, 5), (None, 5, 2), lower=True, unit=True),
    ),
    doc="Solution of a triangular system; raises where its diagonal has a 0.",
)

# --- cholesky -------------------------------------------------------------------------


def _cholesky_infer(x: TensorType) -> tuple[TensorType, ...]:
    check_square("cholesky", x)
    return (x,)


def _cholesky_vjp(b: Builder, ct: Value, out: Value, x: Value) -> list[Value | None]:
    # Murray, Differentiation of the Cholesky decomposition (2016), eq. 10. With
    # q = phi(l.T ct), s = l^-T (q + q.T) l^-1 is the cotangent of a symmetric matrix
    # twice; the triangle that is read takes its other half along.
    inner = part(b, _times(b, out, ct, "ki,kj->ij"), lower=True, unit=False)
    # phi halves the diagonal, and q + q.T doubles it again
    below = part(b, inner, lower=True, unit=True)
    both = b.op("add", inner, _turned(b, below))
    half = _solve(b, out, both, lower=True, transpose=True)
    whole = _solve(b, out, _turned(b, half), lower=True, transpose=True)
    lower = part(b, whole, lower=True, unit=False)
    return [b.select(on_diagonal(b, x), b.mul(lower, 0.5), lower)]


cholesky = _record(
    "cholesky",
    kind="cholesky",
    tf_name="linalg.cholesky",
    accept=_accept("cholesky"),
    infer=_cholesky_infer,
    evaluate=cholesky_of,
    vjp=_cholesky_vjp,
    samples=(
        Sample(((None, None),), {}, make=positive_definite),
        Sample(((None, 3, 3),), {}, make=positive_definite),
        Sample(((2, 2, None, None),), {}, make=positive_definite),
    ),
    kinks="Only the lower triangle is read, and the cotangent is 0 above it.",
    doc="Lower triangle l of x = l l.T; raises where x is not positive definite.",
)

# --- lu -------------------------------------------------------------------------------


def _lu_infer(x: TensorType) -> tuple[TensorType, ...]:
    check_square("lu", x)
    rows = x.with_shape(x.shape[:-1]).with_dtype(I64)
    return (x, rows, rows, x.with_shape(x.shape[:-2]))


def _flat(b: Builder, order: Value) -> Value:
    """Return rows of matrices as rows of one array of all their rows."""
    *batch, n = order.type.shape
    count: int | SizeExpr = product(batch)
    rows = TensorType(I64, (count, n))
    held = b.op("reshape", order, shape=rows.shape)
    if batch:
        first = b.op("mul", b.op("iota", axis=0, type=rows), n)
        held = b.op("add", held, first)
    return b.op("reshape", held, shape=(product((count, n)),))  # type: ignore[no-any-return]


def _lu_vjp(
    b: Builder, cts: tuple[Value, ...], results: tuple[Value, ...], x: Value
) -> list[Value | None]:
    # de Hoog, Anderssen, Lukas, Differentiation of matrix functionals using triangular
    # factorization (2011): l^-T (tril(l.T lbar, -1) + triu(ubar u.T)) u^-T, rows moved.
    packed, _, order, _ = results
    lower = part(b, packed, lower=True, unit=True)
    one = b.constant(1.0, x.type.dtype, x.type.shape)
    lower = b.select(on_diagonal(b, x), one, lower)
    upper = part(b, packed, lower=False, unit=False)
    below = part(b, cts[0], lower=True, unit=True)
    above = part(b, cts[0], lower=False, unit=False)
    inner = b.op(
        "add",
        part(b, _times(b, lower, below, "ki,kj->ij"), lower=True, unit=True),
        part(b, _times(b, above, upper, "ik,jk->ij"), lower=False, unit=False),
    )
    half = _solve(b, packed, inner, lower=True, transpose=True, unit=True)
    whole = _solve(b, packed, _turned(b, half), lower=False, transpose=False)
    rows = _turned(b, whole)
    shape = (product(x.type.shape[:-1]), x.type.shape[-1])
    flat = b.op("reshape", rows, shape=shape)
    moved = b.scatter_add(flat, _flat(b, order), axis=0, shape=shape)
    return [b.op("reshape", moved, shape=x.type.shape)]


lu = _record(
    "lu",
    kind="lu",
    tf_name="linalg.lu",
    accept=_accept("lu"),
    infer=_lu_infer,
    evaluate=lu_of,
    vjp=_lu_vjp,
    samples=(
        Sample(((None, None),), {}, make=solvable),
        Sample(((None, 3, 3),), {}, make=solvable),
    ),
    kinks="Where two pivots tie the upper row is taken.",
    doc="Packed factors of x[order] = l u, row exchanges, row order, and their parity.",
)

# --- lu_solve -------------------------------------------------------------------------


def _lu_solve_infer(
    x: TensorType,
    packed: TensorType,
    pivots: TensorType,
    y: TensorType,
    *,
    transpose: bool,
) -> tuple[TensorType, ...]:
    _check_sides("lu_solve", x, y)
    if packed != x or pivots != x.with_shape(x.shape[:-1]).with_dtype(I64):
        what = "the factors are not those of the matrix"
        raise type_error("lu_solve", what, [x, packed, pivots, y])
    return (y,)


def _lu_solve_vjp(
    b: Builder,
    ct: Value,
    out: Value,
    x: Value,
    packed: Value,
    pivots: Value,
    y: Value,
    *,
    transpose: bool,
) -> list[Value | None]:
    # Giles, Collected matrix derivative results (2008), 2.3.1. The factors have no
    # cotangent: they are those of x, which takes all of it.
    pulled = b.op("lu_solve", x, packed, pivots, ct, transpose=not transpose)
    left, right = (out, pulled) if transpose else (pulled, out)
    return [b.neg(_times(b, left, right, "ik,jk->ij")), None, None, pulled]


lu_solve = _record(
    "lu_solve",
    kind="lu_solve",
    tf_name=None,
    accept=_accept("lu_solve", "transpose", integers=(2,)),
    infer=_lu_solve_infer,
    evaluate=lu_solved,
    vjp=_lu_solve_vjp,
    samples=tuple(
        Sample(
            shapes,
            {"transpose": transpose},
            ("f", "f", "i64", "f"),
            make=solvable,
        )
        for transpose in (False, True)
        for shapes in (
            ((None, None), (None, None), (None,), (None, 3)),
            ((None, 3, 3), (None, 3, 3), (None, 3), (None, 3, 1)),
        )
    ),
    doc="Solution of a system by the factors that lu made of its matrix.",
)
