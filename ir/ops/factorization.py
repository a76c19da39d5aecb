"""Factorisations of matrices, and systems of equations solved by them.

The matrix is the last two axes; those before are a batch. No op here returns NaN for
numbers: a matrix that cannot be factored or solved by raises. Derivatives are made of
triangular solves and contractions, so they have derivatives again.
"""

from typing import Any

from ..builder import Builder
from ..forms import Factorize
from ..graph import Value
from ..matrix_rules import MatrixRules
from ..primitive import (
    DERIVED,
    Accept,
    BatchRule,
    Cost,
    Domain,
    Evaluate,
    JvpRule,
    Primitive,
    Rule,
    Sample,
    TypeRule,
    VjpRule,
)
from ..promote import Operand, cast_to, common_dtype
from ..sizes import SizeExpr, product
from ..types import I64, TensorType
from . import matrices
from .axes import as_value
from .factorization_parts import less, on_diagonal, part, solve, times, turned
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
from .leading import Size, front, lead_all

Call = tuple[tuple[Value, ...], dict[str, Any]]
Tangents = tuple[Value | None, ...]


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
    jvp: JvpRule,
    samples: tuple[Sample, ...],
    doc: str,
    batch: BatchRule | Rule = DERIVED,
    kinks: str = "",
    matrix: MatrixRules | None = None,
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
        jvp=jvp,
        batch=batch,
        effects=RAISES,
        cost=Cost.KEEP,
        exact=False,
        sparsity="dense",
        domain=Domain(-1.0, 1.0),
        kinks=kinks,
        matrix=matrix,
        sums=None,
        samples=samples,
        doc=doc,
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
    pulled = solve(b, x, ct, lower, not transpose, unit)
    left, right = (out, pulled) if transpose else (pulled, out)
    whole = b.neg(times(b, left, right, "ik,jk->ij"))
    return [part(b, whole, lower, unit), pulled]


def _triangular_jvp(
    b: Builder,
    tangents: Tangents,
    out: Value,
    x: Value,
    y: Value,
    *,
    lower: bool,
    transpose: bool,
    unit: bool,
) -> Value | None:
    t_x, right = tangents
    if t_x is not None:
        inner = part(b, t_x, lower, unit)
        labels = "ki,kj->ij" if transpose else "ik,kj->ij"
        right = less(b, right, times(b, inner, out, labels))
    assert right is not None, "an operand moves"
    return solve(b, x, right, lower, transpose, unit)


def _columns_batch(name: str, matrices: int) -> BatchRule:
    """Return the rule of a solve: more right sides where the matrices are one.

    `matrices` counts the operands before the right sides.
    """

    def batch(
        b: Builder, size: Size, has: tuple[bool, ...], *operands: Value, **params: bool
    ) -> Value:
        if any(has[:matrices]):
            wide = lead_all(b, size, has, operands)
            return b.op(name, *wide, **params)  # type: ignore[no-any-return]
        y = operands[-1]
        beside = front(b, y, 0, 1, y.type.rank - 2)
        shape = beside.type.shape
        columns = (*shape[:-2], product(shape[-2:]))
        flat = b.op("reshape", beside, shape=columns)
        solved = b.op(name, *operands[:matrices], flat, **params)
        return front(b, b.op("reshape", solved, shape=shape), len(shape) - 2, 1, 0)

    return batch


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
    jvp=_triangular_jvp,
    batch=_columns_batch("triangular_solve", 1),
    samples=(
        _triangle((None, None), (None, 3), lower=True),
        _triangle((None, None), (None, 1), lower=True, transpose=True),
        _triangle((None, None), (None, 30)),
        _triangle((None, None), (None, 5), transpose=True, unit=True),
        _triangle((None, 5, 5), (None, 5, 2), lower=True, unit=True),
    ),
    matrix=matrices.SOLVES,
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
    ct = part(b, ct, lower=True, unit=False)  # above, the factor is always 0
    inner = part(b, times(b, out, ct, "ki,kj->ij"), lower=True, unit=False)
    # phi halves the diagonal, and q + q.T doubles it again
    below = part(b, inner, lower=True, unit=True)
    both = b.op("add", inner, turned(b, below))
    half = solve(b, out, both, lower=True, transpose=True)
    whole = solve(b, out, turned(b, half), lower=True, transpose=True)
    lower = part(b, whole, lower=True, unit=False)
    return [b.select(on_diagonal(b, x), b.mul(lower, 0.5), lower)]


def _cholesky_jvp(b: Builder, tangents: Tangents, out: Value, x: Value) -> Value | None:
    # Murray, Differentiation of the Cholesky decomposition (2016), eq. 8: l phi(s) with
    # s = l^-1 dx l^-T, where phi halves the diagonal of the lower triangle. Of dx the
    # lower triangle is read.
    (t,) = tangents
    assert t is not None, "the operand moves"
    lower = part(b, t, lower=True, unit=False)
    below = part(b, t, lower=True, unit=True)
    both = b.op("add", lower, turned(b, below))
    half = solve(b, out, both, lower=True, transpose=False)
    whole = solve(b, out, turned(b, half), lower=True, transpose=False)
    inner = part(b, whole, lower=True, unit=False)
    inner = b.select(on_diagonal(b, x), b.mul(inner, 0.5), inner)
    return times(b, out, inner, "ik,kj->ij")


cholesky = _record(
    "cholesky",
    kind="cholesky",
    tf_name="linalg.cholesky",
    accept=_accept("cholesky"),
    infer=_cholesky_infer,
    evaluate=cholesky_of,
    vjp=_cholesky_vjp,
    jvp=_cholesky_jvp,
    samples=(
        Sample(((None, None),), {}, make=positive_definite),
        Sample(((None, 3, 3),), {}, make=positive_definite),
        Sample(((2, 2, None, None),), {}, make=positive_definite),
    ),
    kinks="Only the lower triangle is read, and the cotangent is 0 above it.",
    matrix=matrices.FACTORS,
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


def _lu_parts(b: Builder, packed: Value) -> tuple[Value, Value]:
    """Return both factors of a packed form in full."""
    lower = part(b, packed, lower=True, unit=True)
    one = b.constant(1.0, packed.type.dtype, packed.type.shape)
    lower = b.select(on_diagonal(b, packed), one, lower)
    return lower, part(b, packed, lower=False, unit=False)


def _lu_vjp(
    b: Builder, cts: tuple[Value, ...], results: tuple[Value, ...], x: Value
) -> list[Value | None]:
    # de Hoog, Anderssen, Lukas, Differentiation of matrix functionals using triangular
    # factorization (2011): l^-T (tril(l.T lbar, -1) + triu(ubar u.T)) u^-T, rows moved.
    packed, _, order, _ = results
    lower, upper = _lu_parts(b, packed)
    below = part(b, cts[0], lower=True, unit=True)
    above = part(b, cts[0], lower=False, unit=False)
    inner = b.op(
        "add",
        part(b, times(b, lower, below, "ki,kj->ij"), lower=True, unit=True),
        part(b, times(b, above, upper, "ik,jk->ij"), lower=False, unit=False),
    )
    half = solve(b, packed, inner, lower=True, transpose=True, unit=True)
    whole = solve(b, packed, turned(b, half), lower=False, transpose=False)
    rows = turned(b, whole)
    shape = (product(x.type.shape[:-1]), x.type.shape[-1])
    flat = b.op("reshape", rows, shape=shape)
    moved = b.scatter_add(flat, _flat(b, order), axis=0, shape=shape)
    return [b.op("reshape", moved, shape=x.type.shape)]


def _lu_jvp(
    b: Builder, tangents: Tangents, results: tuple[Value, ...], x: Value
) -> Tangents:
    # with f = l^-1 dx[order] u^-1, dl = l tril(f, -1) and du = triu(f) u
    (t,) = tangents
    packed, _, order, _ = results
    shape = (product(x.type.shape[:-1]), x.type.shape[-1])
    rows = b.op("take", b.op("reshape", t, shape=shape), _flat(b, order), axis=0)
    moved = b.op("reshape", rows, shape=x.type.shape)
    lower, upper = _lu_parts(b, packed)
    half = solve(b, packed, moved, lower=True, transpose=False, unit=True)
    across = solve(b, packed, turned(b, half), lower=False, transpose=True)
    whole = turned(b, across)
    below = times(b, lower, part(b, whole, lower=True, unit=True), "ik,kj->ij")
    above = times(b, part(b, whole, lower=False, unit=False), upper, "ik,kj->ij")
    made = b.op(
        "add",
        part(b, below, lower=True, unit=True),
        part(b, above, lower=False, unit=False),
    )
    return made, None, None, None


lu = _record(
    "lu",
    kind="lu",
    tf_name="linalg.lu",
    accept=_accept("lu"),
    infer=_lu_infer,
    evaluate=lu_of,
    vjp=_lu_vjp,
    jvp=_lu_jvp,
    samples=(
        Sample(((None, None),), {}, make=solvable),
        Sample(((None, 3, 3),), {}, make=solvable),
    ),
    kinks="Where two pivots tie the upper row is taken; a triangle is not pivoted.",
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
    return [b.neg(times(b, left, right, "ik,jk->ij")), None, None, pulled]


def _lu_solve_jvp(
    b: Builder,
    tangents: Tangents,
    out: Value,
    x: Value,
    packed: Value,
    pivots: Value,
    y: Value,
    *,
    transpose: bool,
) -> Value | None:
    t_x, _, _, right = tangents
    if t_x is not None:
        labels = "ki,kj->ij" if transpose else "ik,kj->ij"
        right = less(b, right, times(b, t_x, out, labels))
    if right is None:
        return None  # the factors alone are said to move
    return b.op("lu_solve", x, packed, pivots, right, transpose=transpose)  # type: ignore[no-any-return]


lu_solve = _record(
    "lu_solve",
    kind="lu_solve",
    tf_name=None,
    accept=_accept("lu_solve", "transpose", integers=(2,)),
    infer=_lu_solve_infer,
    evaluate=lu_solved,
    vjp=_lu_solve_vjp,
    jvp=_lu_solve_jvp,
    batch=_columns_batch("lu_solve", 3),
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
