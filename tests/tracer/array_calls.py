"""Calls of NumPy's array functions: on arrays here, on traced arrays in the tests."""

from collections.abc import Callable
from typing import Any

import numpy as np

RNG = np.random.default_rng(11)


def draw(*shape: int) -> Any:
    """Distinct floats, far enough from each other and from 0 for differences."""
    count = int(np.prod(shape, dtype=int))
    spread = RNG.permutation(count) - count / 2 + 0.5
    return (spread * 0.23 + RNG.uniform(-0.05, 0.05, count)).reshape(shape)


A, B = draw(3, 4), draw(3, 4)
S, V, W, C = draw(4, 4), draw(4), draw(6), draw(3)
T, D = draw(2, 3, 4), draw(4, 3, 2)
M = draw(4, 3)
Z = np.array([[1.5, 0.0, -2.0], [0.5, 3.0, 0.25], [0.0, 2.0, 0.0]])  # with zeros
I = np.array([[0, 2, -1], [1, 1, 0]])  # noqa: E741 - integers
U = np.array([3, 200, 7, 0], np.uint8)
P = np.array([True, False, True, True])
NAN = np.array([[1.0, np.nan, 2.0], [np.inf, -np.inf, -1.0]])

Call = tuple[Callable[..., Any], tuple[Any, ...]]

# Functions of floats that have derivatives: value and gradient are checked.
SMOOTH: dict[str, Call] = {
    # reductions
    "prod": (lambda x: np.prod(x), (Z,)),
    "prod axis": (lambda x: np.prod(x, axis=1), (Z,)),
    "prod axes": (lambda x: np.prod(x, axis=(0, 2), keepdims=True), (T,)),
    "method prod": (lambda x: x.prod(0), (Z,)),
    "multiply.reduce": (lambda x: np.multiply.reduce(x, axis=1), (A,)),
    "ptp": (lambda x: np.ptp(x, axis=1), (A,)),
    "var keepdims": (lambda x: np.var(x, axis=(0, 1), keepdims=True), (T,)),
    "std ddof": (lambda x: np.std(x, axis=0, ddof=1), (A,)),
    "norm 3": (lambda x: np.linalg.norm(x, 3), (V,)),
    "norm -inf": (lambda x: np.linalg.norm(x, -np.inf), (V,)),
    "norm fro": (lambda x: np.linalg.norm(x, "fro"), (A,)),
    "norm of a matrix 1": (lambda x: np.linalg.norm(x, 1), (A,)),
    "norm of a matrix inf": (lambda x: np.linalg.norm(x, np.inf, axis=(2, 0)), (T,)),
    "norm of a matrix -1": (lambda x: np.linalg.norm(x, -1), (A,)),
    "vector_norm": (lambda x: np.linalg.vector_norm(x, axis=(0, 1), ord=1), (T,)),
    "matrix_norm": (lambda x: np.linalg.matrix_norm(x, ord=np.inf), (T,)),
    "average": (lambda x: np.average(x, axis=0), (A,)),
    "average weights": (lambda x, w: np.average(x, axis=1, weights=w), (A, V)),
    "average shape": (lambda x, w: np.average(x, weights=w, keepdims=True), (A, B)),
    "average returned": (lambda x, w: np.average(x, 0, w, True), (A, B)),
    "cov": (lambda x: np.cov(x), (A,)),
    "cov of two": (lambda x, y: np.cov(x, y, ddof=0), (V, -V * V)),
    "cov columns": (lambda x: np.cov(x, rowvar=False), (A,)),
    "corrcoef": (lambda x: np.corrcoef(x), (A,)),
    "nansum": (lambda x: np.nansum(x, axis=1), (A,)),
    "nanmean": (lambda x: np.nanmean(x, axis=1, keepdims=True), (A,)),
    "nanprod": (lambda x: np.nanprod(x), (A,)),
    # running values
    "cumsum": (lambda x: np.cumsum(x), (A,)),
    "cumsum axis": (lambda x: np.cumsum(x, axis=0), (A,)),
    "method cumsum": (lambda x: x.cumsum(-1), (T,)),
    "add.accumulate": (lambda x: np.add.accumulate(x), (A,)),
    "cumprod": (lambda x: np.cumprod(x, axis=1), (Z,)),
    "cumulative_sum": (
        lambda x: np.cumulative_sum(x, axis=1, include_initial=True),
        (A,),
    ),
    "cumulative_prod": (lambda x: np.cumulative_prod(x), (V,)),
    "ediff1d": (lambda x: np.ediff1d(x, to_end=[1.0], to_begin=2.0), (A,)),
    "diff ends": (lambda x: np.diff(x, axis=0, prepend=1.0, append=x[:1]), (A,)),
    "diff 2": (lambda x: np.diff(x, 2), (T,)),
    # products
    "kron": (lambda x, y: np.kron(x, y), (M, A)),
    "kron ranks": (lambda x, y: np.kron(x, y), (V, A)),
    "cross": (lambda x, y: np.cross(x, y), (M, C)),
    "cross axis": (lambda x, y: np.cross(x, y, axis=0), (A, B)),
    "linalg.cross": (lambda x, y: np.linalg.cross(x, y, axis=0), (A, B)),
    "trace": (lambda x: np.trace(x), (A,)),
    "trace offset": (lambda x: np.trace(x, -1, 0, 2), (T,)),
    "linalg.trace": (lambda x: np.linalg.trace(x, offset=1), (T,)),
    "linalg.outer": (lambda x, y: np.linalg.outer(x, y), (V, C)),
    "linalg.matmul": (lambda x, y: np.linalg.matmul(x, y), (A, M)),
    "linalg.vecdot": (lambda x, y: np.linalg.vecdot(x, y, axis=0), (A, B)),
    "vecdot": (lambda x, y: np.vecdot(x, y), (T, V)),
    "multi_dot": (lambda x, y, z: np.linalg.multi_dot([x, y, z]), (A, M, A)),
    "multi_dot vectors": (lambda x, y, z: np.linalg.multi_dot([x, y, z]), (C, A, V)),
    "matrix_power": (lambda x: np.linalg.matrix_power(x, 3), (S,)),
    "multiply.outer": (lambda x, y: np.multiply.outer(x, y), (A, C)),
    "tensordot 2": (lambda x, y: np.tensordot(x, y, 2), (T, D.transpose(1, 0, 2))),
    "einsum diagonal": (lambda x: np.einsum("ii->i", x), (S,)),
    "einsum trace": (lambda x: np.einsum("ii", x), (S,)),
    "einsum trace of more": (
        lambda x, y: np.einsum("ijj,j->i", x, y),
        (S[:, None] * V[:, None], V),
    ),
    "einsum dots": (lambda x, y: np.einsum("...ij,...jk->...ik", x, y), (T, M)),
    "einsum dots implicit": (lambda x, y: np.einsum("...j,j", x, y), (T, V)),
    "einsum dots alone": (lambda x: np.einsum("i...->...", x), (T,)),
    "einsum outer": (lambda x, y: np.einsum("i,j->ji", x, y), (V, C)),
    "einsum same": (lambda x, y: np.einsum("ij,ij->ij", x, y), (A, B)),
    "einsum all": (lambda x, y: np.einsum("ij,ij->", x, y), (A, B)),
    "einsum batch": (lambda x, y: np.einsum("bij,bj->bi", x, y), (T, A[:2])),
    "einsum four": (
        lambda w, x, y, z: np.einsum("ij,jk,kl,i->l", w, x, y, z),
        (A, M, A, C),
    ),
    "einsum one of size 1": (lambda x, y: np.einsum("ij,ij->ij", x, y), (A, B[:1])),
    "einsum spaces": (lambda x: np.einsum(" i j -> j i ", x), (A,)),
    # pieces and joins
    "array_split": (lambda x: np.array_split(x, 3, axis=1), (A,)),
    "array_split at": (lambda x: np.array_split(x, [1, 2]), (V,)),
    "hsplit": (lambda x: np.hsplit(x, 2), (A,)),
    "hsplit vector": (lambda x: np.hsplit(x, [1]), (V,)),
    "vsplit": (lambda x: np.vsplit(x, 3), (A,)),
    "dsplit": (lambda x: np.dsplit(x, 2), (T,)),
    "unstack": (lambda x: np.unstack(x, axis=1), (A,)),
    "dstack": (lambda x, y: np.dstack([x, y]), (A, B)),
    "dstack vectors": (lambda x: np.dstack([x, x]), (V,)),
    "column_stack": (lambda x, y: np.column_stack([x, y]), (C, A)),
    "atleast_3d": (lambda x: np.atleast_3d(x), (A,)),
    "atleast_3d vector": (lambda x: np.atleast_3d(x), (V,)),
    "append": (lambda x, y: np.append(x, y), (A, V)),
    "append axis": (lambda x, y: np.append(x, y, axis=0), (A, B)),
    "block": (lambda x, v: np.block([[x, x], [v, v]]), (A, V)),
    # order
    "fliplr": (lambda x: np.fliplr(x), (A,)),
    "flipud": (lambda x: np.flipud(x), (T,)),
    "flip axes": (lambda x: np.flip(x, (0, 2)), (T,)),
    "rot90": (lambda x: np.rot90(x), (A,)),
    "rot90 2": (lambda x: np.rot90(x, 2, (1, 2)), (T,)),
    "rot90 3": (lambda x: np.rot90(x, -1, (2, 0)), (T,)),
    "rot90 4": (lambda x: np.rot90(x, 4), (A,)),
    "rollaxis": (lambda x: np.rollaxis(x, 2), (T,)),
    "rollaxis start": (lambda x: np.rollaxis(x, 0, 3), (T,)),
    "roll axes": (lambda x: np.roll(x, (1, -5), axis=(0, 1)), (A,)),
    "repeat": (lambda x: np.repeat(x, 3), (A,)),
    "repeat axis": (lambda x: np.repeat(x, 2, axis=1), (T,)),
    "repeat counts": (lambda x: np.repeat(x, [2, 0, 1], axis=0), (A,)),
    "method repeat": (lambda x: x.repeat(2, 0), (A,)),
    "delete": (lambda x: np.delete(x, [0, 2], axis=1), (A,)),
    "delete slice": (lambda x: np.delete(x, slice(1, None, 2)), (A,)),
    # borders
    "pad": (lambda x: np.pad(x, 1), (A,)),
    "pad pairs": (lambda x: np.pad(x, ((0, 2), (1, 0)), constant_values=7.0), (A,)),
    "pad values": (
        lambda x: np.pad(x, 1, constant_values=((1.0, 2.0), (3.0, 4.0))),
        (A,),
    ),
    "pad edge": (lambda x: np.pad(x, (2, 1), mode="edge"), (A,)),
    "pad reflect": (lambda x: np.pad(x, 2, mode="reflect"), (A,)),
    "pad symmetric": (lambda x: np.pad(x, (3, 2), mode="symmetric"), (A,)),
    "pad wrap": (lambda x: np.pad(x, ((1, 2), (3, 0)), mode="wrap"), (A,)),
    # diagonals and triangles
    "diag": (lambda x: np.diag(x), (V,)),
    "diag offset": (lambda x: np.diag(x, -2), (V,)),
    "diag of a matrix": (lambda x: np.diag(x, 1), (A,)),
    "diagflat": (lambda x: np.diagflat(x, 1), (A,)),
    "diagonal": (lambda x: np.diagonal(x, 1, axis1=2, axis2=0), (T,)),
    "linalg.diagonal": (lambda x: np.linalg.diagonal(x), (T,)),
    "method diagonal": (lambda x: x.diagonal(), (A,)),
    "tril deep": (lambda x: np.tril(x, -1), (T,)),
    "triu deep": (lambda x: np.triu(x, -1), (T,)),
    "meshgrid": (lambda x, y: np.meshgrid(x, y), (V, C)),
    "meshgrid ij": (lambda x, y, z: np.meshgrid(x, y, z, indexing="ij"), (V, C, C)),
    # indexing
    "take_along_axis": (
        lambda x: np.take_along_axis(x, np.array([[0, -1], [2, 2], [3, 1]]), 1),
        (A,),
    ),
    "take_along_axis one": (
        lambda x: np.take_along_axis(x, np.array([[1]]), axis=0),
        (A,),
    ),
    "method take": (lambda x: x.take([1, 0], axis=1), (A,)),
    # polynomials
    "polyval": (lambda p, x: np.polyval(p, x), (V, A)),
    "vander": (lambda x: np.vander(x, 3), (V,)),
    "vander increasing": (lambda x: np.vander(x, increasing=True), (C,)),
    "convolve": (lambda x, y: np.convolve(x, y), (W, C)),
    "convolve same": (lambda x, y: np.convolve(x, y, "same"), (C, W)),
    "convolve valid": (lambda x, y: np.convolve(x, y, mode="valid"), (W, V)),
    "correlate": (lambda x, y: np.correlate(x, y), (W, C)),
    "correlate full": (lambda x, y: np.correlate(x, y, "full"), (C, W)),
    # elementwise
    "round": (lambda x: x + np.round(x, 1), (A * 1.003,)),
    "fmax": (lambda x, y: np.fmax(x, y), (A, B)),
    "fmin": (lambda x, y: np.fmin(x, y), (A, B)),
    "degrees": (lambda x: np.degrees(x) + np.rad2deg(x), (A,)),
    "radians": (lambda x: np.radians(x) + np.deg2rad(x), (A,)),
    "divmod": (lambda x: np.divmod(x, 0.7)[1], (A,)),
    "float_power": (lambda x: np.float_power(x, 2), (A,)),
    "fabs": (lambda x: np.fabs(x), (A,)),
    "real": (lambda x: np.real(x) + np.imag(x), (A,)),
    "nan_to_num": (lambda x: np.nan_to_num(x), (A,)),
}  # fmt: skip

# Values alone: integers, bools, places, and what floats that are no numbers give.
EXACT: dict[str, Call] = {
    "prod of integers": (lambda x: np.prod(x), (I,)),
    "prod of small integers": (lambda x: np.prod(x, axis=0), (U,)),
    "cumsum of integers": (lambda x: np.cumsum(x, 0), (I,)),
    "cumsum of bool": (lambda x: np.cumsum(x), (P,)),
    "cumprod of small integers": (lambda x: np.cumprod(x), (U,)),
    "cumsum dtype": (lambda x: np.cumsum(x, dtype=np.float32), (I,)),
    "max of bool": (lambda x: np.max(x) & np.min(x), (P,)),
    "any": (lambda x: np.any(x > 0.2, axis=1), (A,)),
    "any of numbers": (lambda x: np.any(x), (Z,)),
    "all": (lambda x: np.all(x, axis=0, keepdims=True), (Z,)),
    "all of nothing": (lambda x: np.all(x[:0]) & ~np.any(x[:0]), (Z,)),
    "method any all": (lambda x: (x > 0).any(0) | (x > 0).all(0), (A,)),
    "logical_and.reduce": (lambda x: np.logical_and.reduce(x), (P,)),
    "count_nonzero": (lambda x: np.count_nonzero(x, axis=1), (Z,)),
    "count_nonzero all": (lambda x: np.count_nonzero(x), (P,)),
    "argmax": (lambda x: np.argmax(x), (A,)),
    "argmax axis": (lambda x: np.argmax(x, axis=1, keepdims=True), (T,)),
    "argmax of ties": (lambda x: np.argmax(x, axis=0), (np.ones((3, 4)),)),
    "argmax of nan": (lambda x: np.argmax(x, axis=1), (NAN,)),
    "argmin": (lambda x: np.argmin(x, axis=0), (A,)),
    "argmin of integers": (lambda x: x.argmin(axis=-1), (I,)),
    "argmax of bool": (lambda x: np.argmax(x), (~P,)),
    "argmin keepdims": (lambda x: np.argmin(x, keepdims=True), (A,)),
    "ptp of integers": (lambda x: np.ptp(x), (I,)),
    "isclose": (lambda x: np.isclose(x, 1.0000001), (NAN,)),
    "isclose inf": (lambda x: np.isclose(x, np.inf), (NAN,)),
    "isclose nan": (lambda x: np.isclose(x, x, equal_nan=True), (NAN,)),
    "allclose": (lambda x: np.allclose(x, x + 1e-12), (A,)),
    "array_equal": (lambda x, y: np.array_equal(x, y), (A, A + 0.0)),
    "array_equal shapes": (lambda x, y: np.array_equal(x, y), (A, V)),
    "array_equal nan": (lambda x: np.array_equal(x, x, equal_nan=True), (NAN,)),
    "norm 0": (lambda x: np.linalg.norm(x, 0), (Z[0],)),
    "and or xor": (lambda x, y: (x & y) ^ (x | 5), (I, 3 - I)),
    "invert": (lambda x: ~x, (I,)),
    "invert of bytes": (lambda x: np.invert(x), (U,)),
    "and of bool": (lambda x: x & ~x | np.bitwise_xor(x, True), (P,)),
    "shifts": (lambda x: (x << 3) >> 1, (I,)),
    "shift by array": (lambda x: np.left_shift(1, x) + (100 >> x), (np.abs(I),)),
    "shift of bytes": (lambda x: np.right_shift(x, np.uint8(2)), (U,)),
    "shift beyond": (lambda x: np.right_shift(x, 70) + np.left_shift(x, 64), (I,)),
    "nan_to_num special": (lambda x: np.nan_to_num(x), (NAN,)),
    "nan_to_num given": (lambda x: np.nan_to_num(x, nan=5.0, posinf=9.0), (NAN,)),
    "nan_to_num of floats 32": (lambda x: np.nan_to_num(x), (NAN.astype(np.float32),)),
    "isposinf": (lambda x: np.isposinf(x) | np.isneginf(x), (NAN,)),
    "isfinite": (lambda x: np.isfinite(x) | np.isnan(x), (NAN,)),
    "fmax of nan": (lambda x: np.fmax(x, 0.5) + np.fmin(0.5, x), (NAN,)),
    "nansum of nan": (lambda x: np.nansum(x[0]) + np.nanmean(x[0]), (NAN,)),
    "heaviside": (lambda x: np.heaviside(x, 0.5), (Z,)),
    "round decimals": (lambda x: np.round(x, 2), (A,)),
    "round tens": (lambda x: np.round(x * 100, -1), (A,)),
    "method round": (lambda x: x.round(), (A,)),
    "around of integers": (lambda x: np.around(x), (I,)),
    "fix": (lambda x: np.fix(x) + np.trunc(x) + np.floor(x) + np.ceil(x), (A,)),
    "divmod of integers": (lambda x: divmod(x, 2), (I,)),
    "logical": (lambda x, y: np.logical_xor(x, y) | np.logical_not(x), (Z, Z.T)),
    "diag of integers": (lambda x: np.diag(x), (U,)),
    "roll of integers": (lambda x: np.roll(x, 4, axis=0), (I,)),
    "pad of bool": (lambda x: np.pad(x, 1, constant_values=True), (P,)),
    "tril of integers": (lambda x: np.tril(x) + np.triu(x), (I,)),
    "take_along_axis of argmin": (
        lambda x: np.take_along_axis(x, np.argmin(x, axis=1, keepdims=True), 1),
        (I,),
    ),
    "convolve of integers": (lambda x: np.convolve(x, [1, 2, 3]), (I[0],)),
    "einsum of integers": (lambda x: np.einsum("ij,kj->ik", x, x), (I,)),
    "linspace and arange": (
        lambda x: x + np.arange(3) + np.linspace(0, 1, 3),
        (C,),
    ),
}  # fmt: skip
