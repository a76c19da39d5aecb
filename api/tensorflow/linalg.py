"""`tf.linalg`: products, norms, solvers."""

from typing import Any

import numpy as np

from ..ir.types import F32
from ..tracer.functions import einsum as _einsum
from ..tracer.functions import linalg as _linalg
from ..tracer.functions import matrices, norms, solving
from ..tracer.functions.table import LINALG, PUBLIC
from ..tracer.quick import Native
from . import arrays, math
from .making import need_float, plain_axis, public_names, unary
from .tensors import EagerTensor, ResourceVariable, call, convert, matched

inv = unary("inv", "MatrixInverse", LINALG["inv"])
det = unary("det", "MatrixDeterminant", LINALG["det"])
cholesky = unary("cholesky", "Cholesky", solving.cholesky)
trace = unary("trace", "Trace", LINALG["trace"], floats=False)
eye = arrays.eye


def matmul(
    a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False,
    adjoint_a: bool = False, adjoint_b: bool = False, a_is_sparse: bool = False,
    b_is_sparse: bool = False, output_type: Any = None, name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return the product of matrices, or of stacks of them.

    Raises:
        ValueError: an operand is both transposed and adjoint.
    """
    if not (transpose_a or transpose_b or adjoint_a or adjoint_b):
        made = _MATMUL.form(a, b)
        if made is not None:
            return made  # type: ignore[no-any-return]
    if transpose_a and adjoint_a:
        raise ValueError("Only one of `transpose_a` and `adjoint_a` can be True.")
    if transpose_b and adjoint_b:
        raise ValueError("Only one of `transpose_b` and `adjoint_b` can be True.")
    x, y = matched(a, b, "MatMul")
    x, y = convert(x), convert(y)
    if transpose_a or adjoint_a:
        x = matrix_transpose(x, conjugate=adjoint_a)
    if transpose_b or adjoint_b:
        y = matrix_transpose(y, conjugate=adjoint_b)
    return call(_linalg.matmul, (x, y), "MatMul")  # type: ignore[no-any-return]


_MATMUL = Native(_linalg.matmul, matmul, EagerTensor, ResourceVariable)


def matvec(
    a: Any, b: Any, transpose_a: bool = False, adjoint_a: bool = False, name: Any = None
) -> EagerTensor:
    """Return the product of a matrix and a vector."""
    product = matmul(a, arrays.expand_dims(b, -1), transpose_a, adjoint_a=adjoint_a)
    return arrays.squeeze(product, -1)


def matrix_transpose(a: Any, name: Any = None, conjugate: bool = False) -> EagerTensor:
    """Return a matrix with its last two axes exchanged."""
    held = convert(a)
    made: EagerTensor = call(_linalg.matrix_transpose, (held,), "Transpose")
    return math.conj(made) if conjugate and held.dtype.is_complex else made


def adjoint(matrix: Any, name: Any = None) -> EagerTensor:
    """Return the conjugate of a matrix with its last two axes exchanged."""
    return matrix_transpose(matrix, conjugate=True)


def tensordot(a: Any, b: Any, axes: Any, name: Any = None) -> EagerTensor:
    """Return the sum of products over axes of both."""
    x, y = matched(a, b, "MatMul")
    if not isinstance(axes, int):
        axes = tuple(plain_axis(part) for part in axes)
    return call(_linalg.tensordot, (x, y, axes), "MatMul")  # type: ignore[no-any-return]


def einsum(equation: str, *inputs: Any, **options: Any) -> EagerTensor:
    """Return the sum of products that subscripts describe."""
    held = [convert(x) for x in inputs]
    return call(_einsum.einsum, (equation, *held), "Einsum")  # type: ignore[no-any-return]


def norm(
    tensor: Any, ord: Any = "euclidean", axis: Any = None, keepdims: Any = None,
    name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return the norm of a vector or a matrix; of all elements without an axis."""
    held = convert(tensor)
    held = math.abs(held) if held.dtype.is_complex else need_float(held, "Norm")
    where = plain_axis(axis)
    if ord in ("euclidean", "fro") or (ord == 2 and not isinstance(where, tuple)):
        total = math.reduce_sum(math.square(held), where, bool(keepdims))
        return math.sqrt(total)  # type: ignore[no-any-return]
    if where is None:
        held, where = arrays.reshape(held, -1), 0
    options = {"ord": ord, "axis": where, "keepdims": bool(keepdims)}
    made: EagerTensor = call(norms.norm, (held,), "Norm", options)
    return made


def solve(
    matrix: Any, rhs: Any, adjoint: bool = False, name: Any = None
) -> EagerTensor:
    """Return x with matrix @ x == rhs."""
    x, y = matched(matrix, rhs, "MatrixSolve")
    x, y = convert(x), convert(y)
    if adjoint:
        x = matrix_transpose(x, conjugate=True)
    return call(solving.solve, (x, y), "MatrixSolve")  # type: ignore[no-any-return]


def triangular_solve(
    matrix: Any, rhs: Any, lower: bool = True, adjoint: bool = False, name: Any = None
) -> EagerTensor:
    """Return x with matrix @ x == rhs, of which only one triangle is read."""
    x, y = matched(matrix, rhs, "MatrixTriangularSolve")
    options = {"lower": lower, "transpose": bool(adjoint)}
    return call(solving.triangular_solve, (x, y), "MatrixTriangularSolve", options)  # type: ignore[no-any-return]


def cholesky_solve(chol: Any, rhs: Any, name: Any = None) -> EagerTensor:
    """Return x with L @ L.T @ x == rhs."""
    return triangular_solve(chol, triangular_solve(chol, rhs), adjoint=True)


def logdet(matrix: Any, name: Any = None) -> EagerTensor:
    """Return the logarithm of the determinant of a positive definite matrix."""
    factor = cholesky(matrix)
    return 2.0 * math.reduce_sum(math.log(diag_part(factor)), -1)  # type: ignore[no-any-return]


def slogdet(input: Any, name: Any = None) -> Any:
    """Return the sign of a determinant and the logarithm of its magnitude."""
    return call(solving.slogdet, (convert(input),), "LogMatrixDeterminant")


def diag_part(input: Any, name: Any = None) -> EagerTensor:
    """Return the main diagonal of a matrix, or of each of a stack."""
    return call(matrices.matrix_diagonal, (convert(input),), "MatrixDiagPartV3")  # type: ignore[no-any-return]


tensor_diag_part = diag_part


def diag(diagonal: Any, name: Any = None) -> EagerTensor:
    """Return matrices with a diagonal and zeros beside it."""
    held = convert(diagonal)
    one = arrays.eye(held.shape[-1], dtype=held.dtype)
    return arrays.expand_dims(held, -1) * one  # type: ignore[no-any-return]


tensor_diag = diag


def band_part(
    input: Any, num_lower: int, num_upper: int, name: Any = None
) -> EagerTensor:
    """Return the elements near the diagonal; zeros elsewhere."""
    held = convert(input)
    if num_lower >= 0:
        held = call(PUBLIC["triu"], (held, -int(num_lower)), "MatrixBandPart")
    if num_upper >= 0:
        held = call(PUBLIC["tril"], (held, int(num_upper)), "MatrixBandPart")
    return held


def cross(a: Any, b: Any, name: Any = None) -> EagerTensor:
    """Return cross products of vectors of three."""
    x, y = matched(a, b, "Cross")
    return call(matrices.cross, (x, y), "Cross")  # type: ignore[no-any-return]


def l2_normalize(
    x: Any, axis: Any = None, epsilon: float = 1e-12, name: Any = None
) -> EagerTensor:
    """Return x over its norm along an axis."""
    return math.l2_normalize(x, axis, epsilon)


def global_norm(t_list: Any, name: Any = None) -> EagerTensor:
    """Return the norm of all elements of several tensors."""
    squares = [math.reduce_sum(math.square(x)) for x in t_list if x is not None]
    if not squares:
        return convert(np.zeros((), F32.numpy))
    return math.sqrt(math.add_n(squares))  # type: ignore[no-any-return]


__all__ = [*public_names(globals()), "eye", "l2_normalize"]
