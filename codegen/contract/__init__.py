"""Contractions: blocked, vectorised matrix multiplication for any strides.

Knows LLVM and the target, and nothing of graphs. The law of this folder: an element of
the result is one chain of fma in ascending k from +0.0, on every path.
"""

from .banded import Part, Parts, emit_banded_gemm
from .gemm import (
    StaticGemm,
    emit_accumulate,
    emit_batched_gemm,
    emit_gemm,
    emit_static_gemm,
    gemm_work_bytes,
)

__all__ = [
    "Part",
    "Parts",
    "StaticGemm",
    "emit_accumulate",
    "emit_banded_gemm",
    "emit_batched_gemm",
    "emit_gemm",
    "emit_static_gemm",
    "gemm_work_bytes",
]
