"""Which function of complex numbers stands for which of real ones."""

from collections.abc import Mapping
from typing import Any

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ..builders import ArrayBuilder
from . import (
    complex_arithmetic,
    complex_elementary,
    complex_products,
    creation,
    elementwise,
    indexing,
    linalg,
    matrices,
    polynomials,
    rearranging,
    reductions,
    rounding,
    running,
    shaping,
    statistics,
    updates,
)
from .complex_parts import Impl, by_part, linear, one, read

# functions that move elements, or add them, or multiply them by real numbers
_BY_PART: tuple[Impl, ...] = (
    elementwise.positive, elementwise.stop_gradient, reductions.sum, reductions.mean,
    running.cumsum, running.cumulative_sum, running.ediff1d, rounding.round,
    shaping.reshape, shaping.ravel, shaping.transpose, shaping.swapaxes,
    shaping.moveaxis, shaping.expand_dims, shaping.squeeze, shaping.broadcast_to,
    shaping.concatenate, shaping.stack, shaping.hstack, shaping.vstack,
    shaping.atleast_1d, shaping.atleast_2d, shaping.flip, shaping.split, shaping.diff,
    shaping.tile, indexing.getitem, indexing.take, indexing.take_along_axis,
    rearranging.array_split, rearranging.hsplit, rearranging.vsplit, rearranging.dsplit,
    rearranging.atleast_3d, rearranging.dstack, rearranging.column_stack,
    rearranging.block, rearranging.fliplr, rearranging.flipud, rearranging.rot90,
    rearranging.rollaxis, rearranging.roll, rearranging.repeat, rearranging.delete,
    rearranging.unstack, matrices.trace, matrices.diag, matrices.diagonal,
    matrices.diagflat, matrices.matrix_trace, matrices.matrix_diagonal, creation.tril,
    creation.triu, polynomials.trapezoid, statistics.average,
)  # fmt: skip


def _update(impl: Impl) -> Impl:
    both = by_part(impl, 0, 2)

    def function(b: ArrayBuilder, x: Any, index: Any, v: Any) -> Any:
        held = read(b, x, "at")
        if held.im is None and isinstance(held.re, Value):
            raise OpTypeError(
                f"at: an update of {held.re.type} by complex numbers would drop their "
                "imaginary parts: use .astype(complex) before"
            )
        return both(b, x, index, v)

    return function


# updates, which share their names with arithmetic
_UPDATES: Mapping[int, Impl] = {
    id(impl): _update(impl)
    for impl in (updates.at_set, updates.at_add, updates.at_subtract)
}
_NO_UPDATES = frozenset(
    map(id, (updates.at_multiply, updates.at_divide, updates.at_min, updates.at_max))
)


def _of_part(name: str) -> Impl:
    def known(b: ArrayBuilder, a: Any, *args: Any) -> Any:
        return getattr(reductions, name)(b, one(b, a, name).re, *args)

    return known


def _is_complex_object(b: ArrayBuilder, x: Any) -> bool:
    return True


def _is_real_object(b: ArrayBuilder, x: Any) -> bool:
    return False


def _zeros_like(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Any:
    held = one(b, a, "zeros_like")
    if any(x is not None for x in (*args, *options.values())):
        raise OpTypeError("zeros_like: of complex numbers takes an array alone")
    return type(held)(b.zeros(held.re.type), b.zeros(held.re.type))


def _ones_like(b: ArrayBuilder, a: Any, *args: Any, **options: Any) -> Any:
    made = _zeros_like(b, a, *args, **options)
    kind = made.re.type
    return type(made)(b.constant(1.0, kind.dtype, kind.shape), made.im)


# by the name that functions and records have
_TABLE: Mapping[str, Impl] = {
    **{impl.__name__: by_part(impl) for impl in _BY_PART},
    **{name: _of_part(name) for name in ("shape", "ndim", "size")},
    **{
        name: getattr(complex_arithmetic, name)
        for name in (
            "add", "sub", "mul", "div", "neg", "conjugate", "real", "imag", "angle",
            "reciprocal", "square", "eq", "ne", "isnan", "isfinite", "isinf",
            "iscomplex", "isreal", "isclose", "astype", "array", "where",
            "make_complex",
        )
    },
    **{
        name: getattr(complex_elementary, name)
        for name in (
            "exp", "log", "log10", "log2", "sqrt", "sign", "power", "sinh", "cosh",
            "tanh", "sin", "cos", "tan", "polyval",
        )
    },
    **{
        name: getattr(complex_products, name)
        for name in (
            "matmul", "dot", "inner", "outer", "tensordot", "kron", "vdot", "vecdot",
            "vecmat", "multi_dot", "matrix_power", "prod", "var", "std", "norm",
            "count_nonzero", "logical_not", "allclose", "array_equal", "solve", "inv",
        )
    },
    **{
        name: complex_products.logical(name)
        for name in ("logical_and", "logical_or", "logical_xor")
    },
    "append": by_part(rearranging.append, 0, 1),
    "linalg_outer": complex_products.outer,
    "vector_norm": complex_products.vector_norm,
    "abs": complex_arithmetic.absolute,
    "any": complex_products.any_of,
    "all": complex_products.all_of,
    "einsum": complex_products.einsum_of,
    "iscomplexobj": _is_complex_object,
    "isrealobj": _is_real_object,
    "zeros_like": _zeros_like,
    "ones_like": _ones_like,
    "matvec": linear(matrices.matvec, 0, 1),
    "matrix_transpose": by_part(linalg.matrix_transpose),
    "convolve": linear(polynomials.convolve, 0, 1),
    "cross": linear(matrices.cross, 0, 1),
}  # fmt: skip

_FOUND: dict[int, Impl] = {}


def of_real(impl: Impl) -> Impl:
    """Return the function of complex numbers for one of real ones, or what refuses."""
    found = _FOUND.get(id(impl))
    if found is None:
        found = _FOUND[id(impl)] = _marked(impl)
    return found


def _marked(impl: Impl) -> Impl:
    name = impl.__name__
    around = getattr(impl, "around", None)
    run = _UPDATES.get(id(impl))
    if run is None and id(impl) not in _NO_UPDATES:
        run = _TABLE.get(name)
    if around is not None:
        inner, wrap = around
        run = (wrap or complex_products.of_pairs)(of_real(inner))

    def function(b: ArrayBuilder, *args: Any, **options: Any) -> Any:
        if run is None:
            raise OpTypeError(f"{name}: complex numbers are not supported here")
        return run(b, *args, **options)

    function.__name__ = name
    function.__doc__ = impl.__doc__
    function.of_complex = impl  # type: ignore[attr-defined]  # and is tried once
    return function
