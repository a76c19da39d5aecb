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
from . import creation, elementwise, indexing, linalg, reductions, shaping

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
    return impl


# NumPy callables that are compositions; the public name is NumPy's.
COMPOSED: Mapping[Callable[..., Any], Impl] = {
    np.positive: elementwise.positive,
    np.reciprocal: elementwise.reciprocal,
    np.power: elementwise.power,
    np.clip: elementwise.clip,
    np.logaddexp: elementwise.logaddexp,
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
    np.size: reductions.size,
    np.shape: reductions.shape,
    np.ndim: reductions.ndim,
    np.linalg.norm: reductions.norm,
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
    np.roll: shaping.roll,
    np.split: shaping.split,
    np.diff: shaping.diff,
    np.tile: shaping.tile,
    np.take: indexing.take,
    np.matmul: linalg.matmul,
    np.dot: linalg.dot,
    np.inner: linalg.inner,
    np.vdot: linalg.vdot,
    np.outer: linalg.outer,
    np.tensordot: linalg.tensordot,
    np.einsum: linalg.einsum,
    np.matrix_transpose: linalg.matrix_transpose,
    np.linalg.matrix_transpose: linalg.matrix_transpose,
    np.zeros_like: creation.zeros_like,
    np.ones_like: creation.ones_like,
    np.full_like: creation.full_like,
    np.tril: creation.tril,
    np.triu: creation.triu,
}

# What NumPy does not dispatch, or does not have, under pullback's name for it.
NAMED: Mapping[str, Impl] = {
    "sigmoid": of_record(OPS["sigmoid"]),
    "softplus": of_record(OPS["softplus"]),
    "relu": elementwise.relu,
    "logsumexp": reductions.logsumexp,
    "norm": reductions.norm,
    "stop_gradient": elementwise.stop_gradient,
    "cast": elementwise.astype,
    "array": elementwise.array,
    "asarray": elementwise.array,
    "zeros": creation.zeros,
    "ones": creation.ones,
    "full": creation.full,
    "eye": creation.eye,
    "arange": creation.arange,
    "linspace": creation.linspace,
    # NumPy's second names
    "abs": of_record(OPS["abs"]),
    "divide": of_record(OPS["div"]),
    "mod": of_record(OPS["mod"]),
    "concat": shaping.concatenate,
    "permute_dims": shaping.transpose,
    "pow": elementwise.power,
}


def _by_numpy() -> dict[Callable[..., Any], Impl]:
    table: dict[Callable[..., Any], Impl] = {}
    for record in OPS.values():
        for mirrored in record.mirrors:
            table[mirrored] = of_record(record)
    table.update(COMPOSED)
    if hasattr(np, "astype"):  # since NumPy 2.1
        table[np.astype] = elementwise.astype
    return table


BY_NUMPY: Mapping[Callable[..., Any], Impl] = _by_numpy()


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

__all__ = ["BY_NUMPY", "NAMED", "PUBLIC", "Impl", "of_record", "public_name"]
