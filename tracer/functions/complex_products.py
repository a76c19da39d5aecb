"""Products, reductions and systems of equations of complex arrays."""

from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.promote import cast_to
from ...ir.types import BOOL
from ..builders import ArrayBuilder
from ..operands import axes_of, count_of, emit, refuse
from ..pair import Pair
from . import (
    complex_arithmetic,
    counting,
    einsum,
    linalg,
    matrices,
    norms,
    reductions,
    shaping,
    solving,
)
from .complex_arithmetic import absolute, conjugate, eq, isclose, truth
from .complex_parts import Impl, filled, linear, one, pair

matmul = linear(linalg.matmul, 0, 1)
dot = linear(linalg.dot, 0, 1)
inner = linear(linalg.inner, 0, 1)
outer = linear(linalg.outer, 0, 1)
tensordot = linear(linalg.tensordot, 0, 1)
kron = linear(matrices.kron, 0, 1)
_vdot = linear(linalg.vdot, 0, 1)
_vecdot = linear(matrices.vecdot, 0, 1)
_vecmat = linear(matrices.vecmat, 0, 1)


def vdot(b: ArrayBuilder, a: Any, x: Any) -> Pair:
    """Return the sum of products of all elements, those of a conjugated."""
    return _vdot(b, conjugate(b, a), x)  # type: ignore[no-any-return]


def vecdot(b: ArrayBuilder, a: Any, x: Any, **options: Any) -> Pair:
    """Return the products of vectors, those of a conjugated."""
    return _vecdot(b, conjugate(b, a), x, **options)  # type: ignore[no-any-return]


def vecmat(b: ArrayBuilder, a: Any, x: Any, **options: Any) -> Pair:
    """Return the products of vectors, conjugated, and matrices."""
    return _vecmat(b, conjugate(b, a), x, **options)  # type: ignore[no-any-return]


def einsum_of(b: ArrayBuilder, *operands: Any, **options: Any) -> Pair:
    """Return sums of products that a text of axes says."""
    if not operands or not isinstance(operands[0], str):
        raise OpTypeError("einsum: of complex numbers begins with the text of the axes")
    run = linear(einsum.einsum, *range(1, len(operands)))
    return run(b, *operands, **options)  # type: ignore[no-any-return]


def multi_dot(b: ArrayBuilder, arrays: Any, **options: Any) -> Any:
    """Return the product of matrices, from the left."""
    refuse("multi_dot", options)
    total = arrays[0]
    for x in arrays[1:]:
        total = dot(b, total, x)
    return total


def matrix_power(b: ArrayBuilder, a: Any, n: Any) -> Pair:
    """Return a square matrix multiplied by itself."""
    if type(n) is not int or n < 1:
        raise OpTypeError(f"matrix_power: of complex numbers takes 1, 2, ..., got {n}")
    total = held = one(b, a, "matrix_power")
    for _ in range(n - 1):
        total = matmul(b, total, held)
    return total


def of_pairs(impl: Impl) -> Impl:
    """Return a function of two for all pairs of elements: ufunc.outer."""

    def function(b: ArrayBuilder, x: Any, y: Any) -> Any:
        left, right = one(b, x, "outer"), one(b, y, "outer")
        ranks = left.re.type.rank, right.re.type.rank
        new = tuple(range(ranks[0], ranks[0] + ranks[1]))
        if new:
            parts = [b.op("expand_dims", p, axes=new) for p in (left.re, left.im)]
            left = Pair(*parts)
        return impl(b, left, right)

    return function


# -- reductions ------------------------------------------------------------------------


def prod(
    b: ArrayBuilder, a: Any, axis: Any = None, keepdims: Any = False, **options: Any
) -> Pair:
    """Return the product over axes whose sizes are known numbers."""
    refuse("prod", options)
    held = one(b, a, "prod")
    shape = held.re.type.shape
    axes = axes_of(axis, len(shape), "prod")
    if not all(isinstance(shape[k], int) for k in axes):
        raise OpTypeError(
            f"prod: of {held.type} needs the sizes of its axes as numbers"
        )
    rest = [k for k in range(len(shape)) if k not in axes]
    wanted = (count_of(shape, axes), *[shape[k] for k in rest])
    moved = [b.op("transpose", p, axes=(*axes, *rest)) if rest else p
             for p in (held.re, held.im)]  # fmt: skip
    line = Pair(*[b.op("reshape", p, shape=wanted) for p in moved])
    made = _multiplied(b, line, int(wanted[0]))  # type: ignore[arg-type]  # a number
    if reductions.wants_dims(keepdims):
        return Pair(*[reductions.restore(b, p, axes) for p in (made.re, made.im)])
    return made


def _multiplied(b: ArrayBuilder, x: Pair, count: int) -> Pair:
    """Return the product along the first axis: of neighbours, and so on."""
    kind = x.re.type
    if not count:
        like = kind.with_shape(kind.shape[1:])
        return Pair(b.constant(1.0, like.dtype, like.shape), b.zeros(like))
    while count > 1:
        half = count // 2
        low, high = (
            Pair(*[shaping.span(b, p, 0, at, half) for p in (x.re, x.im)])
            for at in (0, half)
        )
        made = complex_arithmetic.mul(b, low, high)
        if count % 2:
            last = [shaping.span(b, p, 0, count - 1, 1) for p in (x.re, x.im)]
            parts = zip((made.re, made.im), last, strict=True)
            made = Pair(*[b.op("concatenate", p, q, axis=0) for p, q in parts])
        x, count = made, half + count % 2
    return Pair(*[b.op("squeeze", p, axes=(0,)) for p in (x.re, x.im)])


def var(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Value:
    """Return the mean of squared distances from the mean."""
    held = one(b, a, "var")
    parts = [reductions.var(b, p, *args, **options) for p in (held.re, held.im)]
    return b.op("add", *parts)  # type: ignore[no-any-return]


def std(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Value:
    """Return the square root of the variance."""
    return b.op("sqrt", var(b, a, *args, **options))  # type: ignore[no-any-return]


def norm(b: ArrayBuilder, x: Any, ord: Any = None, *args: Any, **options: Any) -> Value:
    """Return a norm that depends on moduli alone."""
    if ord in (2, -2, "nuc") and args != () and isinstance(args[0], tuple):
        raise OpTypeError(f"norm: ord={ord!r} of complex matrices has no form here")
    return norms.norm(b, absolute(b, x), ord, *args, **options)


def vector_norm(b: ArrayBuilder, x: Any, *args: Any, **options: Any) -> Value:
    """Return a norm of vectors, which depends on moduli alone."""
    return norms.vector_norm(b, absolute(b, x), *args, **options)


def any_of(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Value:
    """Return whether some element over axes is not 0."""
    return counting.any(b, truth(b, a), *args, **options)


def all_of(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Value:
    """Return whether no element over axes is 0."""
    return counting.all(b, truth(b, a), *args, **options)


def count_nonzero(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Value:
    """Return how many elements are not 0."""
    return counting.count_nonzero(b, truth(b, a), *args, **options)


def logical(name: str) -> Impl:
    """Return a logical function of two, of what is not 0."""

    def function(b: ArrayBuilder, x: Any, y: Any) -> Any:
        return emit(b, name, truth(b, x), truth(b, y))

    return function


def logical_not(b: ArrayBuilder, x: Any) -> Value:
    """Return whether elements are 0."""
    return eq(b, x, 0.0)


def allclose(b: ArrayBuilder, x: Any, y: Any, *args: Any, **options: Any) -> Value:
    """Return whether all elements are near each other."""
    return counting.all(b, isclose(b, x, y, *args, **options))


def array_equal(b: ArrayBuilder, x: Any, y: Any, equal_nan: bool = False) -> Value:
    """Return whether shapes and elements are equal."""
    refuse("array_equal", {"equal_nan": equal_nan or None})
    left, right = one(b, x, "array_equal"), one(b, y, "array_equal")
    if left.re.type.shape != right.re.type.shape:
        return b.constant(False, BOOL)
    return counting.all(b, eq(b, left, right))


# -- systems of equations --------------------------------------------------------------


def _real_form(b: ArrayBuilder, a: Pair) -> Value:
    """Return the real matrix [[re, -im], [im, re]]: it does what a complex one does."""
    top = emit(b, "concatenate", [a.re, b.neg(a.im)], -1)
    return emit(b, "concatenate", [top, emit(b, "concatenate", [a.im, a.re], -1)], -2)  # type: ignore[no-any-return]


def _halves(b: ArrayBuilder, x: Value, axis: int) -> Pair:
    at = axis % x.type.rank
    count = x.type.shape[at] // 2
    return Pair(*[shaping.span(b, x, at, start, count) for start in (0, count)])


def solve(b: ArrayBuilder, a: Any, x: Any) -> Pair:
    """Return the solution of linear equations, from twice as many real ones."""
    left, right = one(b, a, "solve"), one(b, x, "solve")
    dtype = filled(b, "solve", pair(b, _scalar(b, left), None), _scalar(b, right))[0]
    kind = dtype.re.type.dtype
    left, right = (Pair(*[cast_to(b, p, kind) for p in (z.re, z.im)])
                   for z in (left, right))  # fmt: skip
    axis = -1 if right.re.type.rank == 1 else -2
    stacked = emit(b, "concatenate", [right.re, right.im], axis)
    return _halves(b, solving.solve(b, _real_form(b, left), stacked), axis)


def _scalar(b: ArrayBuilder, x: Pair) -> Value:
    return b.constant(0.0, x.re.type.dtype)


def inv(b: ArrayBuilder, a: Any) -> Pair:
    """Return the inverse of matrices, from that of the real form."""
    held = one(b, a, "inv")
    made = solving.inv(b, _real_form(b, held))
    column = _halves(b, made, -1).re
    return _halves(b, column, -2)
