"""Which function stands for which NumPy callable, and which name.

A record that mirrors NumPy callables needs no line here; compositions are listed.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...ir.ops import OPS
from ...ir.primitive import Primitive
from ..builders import ArrayBuilder
from ..operands import operands, refuse
from . import (
    choosing,
    counting,
    creation,
    einsum,
    elementwise,
    indexing,
    linalg,
    matrices,
    neural,
    norms,
    polynomials,
    rearranging,
    reductions,
    rounding,
    running,
    shaping,
    solving,
    statistics,
)

# (builder, the user's arguments with Values for traced ones) -> Values
Impl = Callable[..., Any]


def of_record(record: Primitive) -> Impl:
    """Return the function of one record, called as the NumPy callable it mirrors."""
    name, accept = record.name, record.accept

    def impl(b: ArrayBuilder, *args: Any, **options: Any) -> Any:
        if options:
            refuse(name, options)
        values, params = accept(b, *operands(b, args, name))
        return b.op(name, *values, **params)

    impl.__name__ = name
    impl.__doc__ = record.doc
    impl.weak = True  # type: ignore[attr-defined]  # numbers, arrays: see the trail
    return impl


# NumPy callables that are compositions; the public name is NumPy's.
COMPOSED: Mapping[Callable[..., Any], Impl] = {
    np.positive: elementwise.positive,
    np.reciprocal: elementwise.reciprocal,
    np.power: elementwise.power,
    np.clip: elementwise.clip,
    np.where: elementwise.where,
    np.isinf: elementwise.isinf,
    np.sum: reductions.sum,
    np.max: reductions.max,
    np.amax: reductions.max,
    np.min: reductions.min,
    np.amin: reductions.min,
    np.mean: reductions.mean,
    np.var: reductions.var,
    np.std: reductions.std,
    np.prod: reductions.prod,
    np.ptp: reductions.ptp,
    np.size: reductions.size,
    np.shape: reductions.shape,
    np.ndim: reductions.ndim,
    np.any: counting.any,
    np.all: counting.all,
    np.count_nonzero: counting.count_nonzero,
    np.argmax: counting.argmax,
    np.argmin: counting.argmin,
    np.isclose: counting.isclose,
    np.allclose: counting.allclose,
    np.array_equal: counting.array_equal,
    np.average: statistics.average,
    np.cov: statistics.cov,
    np.corrcoef: statistics.corrcoef,
    np.nansum: statistics.nansum,
    np.nanprod: statistics.nanprod,
    np.nanmean: statistics.nanmean,
    np.nanmax: statistics.nanmax,
    np.nanmin: statistics.nanmin,
    np.nancumsum: statistics.nancumsum,
    np.nancumprod: statistics.nancumprod,
    np.select: choosing.select,
    np.isin: choosing.isin,
    np.compress: choosing.compress,
    np.copy: elementwise.positive,
    np.trapezoid: polynomials.trapezoid,
    np.conjugate: rounding.conjugate,
    np.angle: rounding.angle,
    np.isreal: rounding.isreal,
    np.iscomplex: rounding.iscomplex,
    np.isrealobj: rounding.isrealobj,
    np.iscomplexobj: rounding.iscomplexobj,
    np.cumsum: running.cumsum,
    np.cumprod: running.cumprod,
    np.ediff1d: running.ediff1d,
    np.round: rounding.round,
    np.around: rounding.round,
    np.fix: rounding.fix,
    np.nan_to_num: rounding.nan_to_num,
    np.isposinf: rounding.isposinf,
    np.isneginf: rounding.isneginf,
    np.fmax: rounding.fmax,
    np.fmin: rounding.fmin,
    np.heaviside: rounding.heaviside,
    np.degrees: rounding.degrees,
    np.rad2deg: rounding.degrees,
    np.radians: rounding.radians,
    np.deg2rad: rounding.radians,
    np.divmod: rounding.divmod,
    np.float_power: rounding.float_power,
    np.fabs: rounding.fabs,
    np.real: rounding.real,
    np.imag: rounding.imag,
    np.polyval: polynomials.polyval,
    np.vander: polynomials.vander,
    np.convolve: polynomials.convolve,
    np.correlate: polynomials.correlate,
    np.linalg.norm: norms.norm,
    np.linalg.vector_norm: norms.vector_norm,
    np.linalg.matrix_norm: norms.matrix_norm,
    np.reshape: shaping.reshape,
    np.ravel: shaping.ravel,
    np.transpose: shaping.transpose,
    np.swapaxes: shaping.swapaxes,
    np.moveaxis: shaping.moveaxis,
    np.expand_dims: shaping.expand_dims,
    np.squeeze: shaping.squeeze,
    np.broadcast_to: shaping.broadcast_to,
    np.broadcast_arrays: shaping.broadcast_arrays,
    np.concatenate: shaping.concatenate,
    np.stack: shaping.stack,
    np.hstack: shaping.hstack,
    np.vstack: shaping.vstack,
    np.atleast_1d: shaping.atleast_1d,
    np.atleast_2d: shaping.atleast_2d,
    np.flip: shaping.flip,
    np.split: shaping.split,
    np.array_split: rearranging.array_split,
    np.hsplit: rearranging.hsplit,
    np.vsplit: rearranging.vsplit,
    np.dsplit: rearranging.dsplit,
    np.atleast_3d: rearranging.atleast_3d,
    np.dstack: rearranging.dstack,
    np.column_stack: rearranging.column_stack,
    np.append: rearranging.append,
    np.block: rearranging.block,
    np.fliplr: rearranging.fliplr,
    np.flipud: rearranging.flipud,
    np.rot90: rearranging.rot90,
    np.rollaxis: rearranging.rollaxis,
    np.roll: rearranging.roll,
    np.repeat: rearranging.repeat,
    np.delete: rearranging.delete,
    np.pad: rearranging.pad,
    np.diff: shaping.diff,
    np.tile: shaping.tile,
    np.take: indexing.take,
    np.take_along_axis: indexing.take_along_axis,
    np.matmul: linalg.matmul,
    np.dot: linalg.dot,
    np.inner: linalg.inner,
    np.vdot: linalg.vdot,
    np.outer: linalg.outer,
    np.tensordot: linalg.tensordot,
    np.einsum: einsum.einsum,
    np.kron: matrices.kron,
    np.cross: matrices.cross,
    np.trace: matrices.trace,
    np.diag: matrices.diag,
    np.diagonal: matrices.diagonal,
    np.diagflat: matrices.diagflat,
    np.linalg.cross: matrices.linalg_cross,
    np.linalg.outer: matrices.linalg_outer,
    np.linalg.trace: matrices.matrix_trace,
    np.linalg.diagonal: matrices.matrix_diagonal,
    np.linalg.vecdot: matrices.vecdot,
    np.linalg.matmul: linalg.matmul,
    np.linalg.tensordot: linalg.tensordot,
    np.linalg.cholesky: solving.cholesky,
    np.linalg.solve: solving.solve,
    np.linalg.inv: solving.inv,
    np.linalg.det: solving.det,
    np.linalg.slogdet: solving.slogdet,
    np.linalg.multi_dot: einsum.multi_dot,
    np.linalg.matrix_power: einsum.matrix_power,
    np.matrix_transpose: linalg.matrix_transpose,
    np.linalg.matrix_transpose: linalg.matrix_transpose,
    np.zeros_like: creation.zeros_like,
    np.ones_like: creation.ones_like,
    np.empty_like: creation.zeros_like,
    np.full_like: creation.full_like,
    np.tril: creation.tril,
    np.triu: creation.triu,
    np.meshgrid: creation.meshgrid,
}

# What NumPy does not dispatch, or does not have, under pullback's name for it.
NAMED: Mapping[str, Impl] = {
    "sigmoid": of_record(OPS["sigmoid"]),
    "softplus": of_record(OPS["softplus"]),
    "relu": elementwise.relu,
    **{
        name: of_record(OPS[name])
        for name in ("erf", "erfc", "gammaln", "digamma", "polygamma", "xlogy", "rsqrt")
    },
    "logsumexp": reductions.logsumexp,
    "norm": norms.norm,
    "recurrence": running.recurrence,
    "one_hot": neural.one_hot,
    "stop_gradient": elementwise.stop_gradient,
    "cast": elementwise.astype,
    "array": elementwise.array,
    "asarray": elementwise.array,
    "zeros": creation.zeros,
    "ones": creation.ones,
    "full": creation.full,
    "eye": creation.eye,
    "identity": creation.identity,
    "tri": creation.tri,
    "indices": creation.indices,
    "arange": creation.arange,
    "linspace": creation.linspace,
    "geomspace": creation.geomspace,
    "logspace": creation.logspace,
    # NumPy's second names
    "abs": of_record(OPS["abs"]),
    "divide": of_record(OPS["div"]),
    "mod": of_record(OPS["mod"]),
    "concat": shaping.concatenate,
    "permute_dims": shaping.transpose,
    "pow": elementwise.power,
    **{
        name: of_record(OPS[name])
        for name in ("asin", "acos", "atan", "atan2", "asinh", "acosh", "atanh")
    },
    "conj": rounding.conjugate,
    "complex": rounding.make_complex,
    "empty": creation.zeros,
    "bitwise_not": of_record(OPS["invert"]),
    "bitwise_invert": of_record(OPS["invert"]),
    "bitwise_left_shift": of_record(OPS["left_shift"]),
    "bitwise_right_shift": of_record(OPS["right_shift"]),
}

# Functions of neural networks: `pullback.nn`.
NN: Mapping[str, Impl] = {
    "sigmoid": of_record(OPS["sigmoid"]),
    "softplus": of_record(OPS["softplus"]),
    "relu": elementwise.relu,
    "relu6": neural.relu6,
    "leaky_relu": neural.leaky_relu,
    "elu": neural.elu,
    "selu": neural.selu,
    "gelu": neural.gelu,
    "silu": neural.silu,
    "swish": neural.silu,
    "log_sigmoid": neural.log_sigmoid,
    "softsign": neural.softsign,
    "hard_tanh": neural.hard_tanh,
    "softmax": neural.softmax,
    "log_softmax": neural.log_softmax,
    "logsumexp": reductions.logsumexp,
    "softmax_cross_entropy": neural.softmax_cross_entropy,
    "sigmoid_cross_entropy": neural.sigmoid_cross_entropy,
    "one_hot": neural.one_hot,
    "l2_loss": neural.l2_loss,
    "bias_add": neural.bias_add,
    "embedding_lookup": neural.embedding_lookup,
}

# NumPy callables that not every version from 2.0 on has, by name.
_LATER: Mapping[str, Impl] = {
    "astype": elementwise.astype,
    "unstack": rearranging.unstack,
    "cumulative_sum": running.cumulative_sum,
    "cumulative_prod": running.cumulative_prod,
    "vecdot": matrices.vecdot,
    "matvec": matrices.matvec,
    "vecmat": matrices.vecmat,
}


def _by_numpy() -> dict[Callable[..., Any], Impl]:
    table: dict[Callable[..., Any], Impl] = {}
    for record in OPS.values():
        for mirrored in record.mirrors:
            table[mirrored] = of_record(record)
    table.update(COMPOSED)
    for name, impl in _LATER.items():
        if hasattr(np, name):
            table[getattr(np, name)] = impl
    return table


BY_NUMPY: Mapping[Callable[..., Any], Impl] = _by_numpy()

# products take arrays as they take what is traced
for _product in (linalg.matmul, linalg.dot, linalg.inner, linalg.outer):
    setattr(_product, "weak", True)  # noqa: B010  # what has no place in a type


def public_name(function: Callable[..., Any]) -> str:
    """Return NumPy's name of one of its callables: `sin`, `linalg.norm`."""
    name: str = getattr(function, "__name__", repr(function))
    module = getattr(function, "__module__", None) or ""
    inner = module.removeprefix("numpy").strip(".")
    return f"{inner}.{name}" if inner in ("linalg", "fft", "random") else name


def _public() -> dict[str, Impl]:
    table = {
        public_name(f): impl
        for f, impl in BY_NUMPY.items()
        if "." not in public_name(f)
    }
    table.update(NAMED)
    return table


# public name -> function, for `pullback.sin` and its fellows
PUBLIC: Mapping[str, Impl] = _public()

# the same for `pullback.linalg`
LINALG: Mapping[str, Impl] = {
    "triangular_solve": solving.triangular_solve,
    **{
        public_name(f).removeprefix("linalg."): impl
        for f, impl in BY_NUMPY.items()
        if public_name(f).startswith("linalg.")
    },
}

__all__ = [
    "BY_NUMPY",
    "LINALG",
    "NAMED",
    "NN",
    "PUBLIC",
    "Impl",
    "of_record",
    "public_name",
]
