"""Matrix multiplication: speed against NumPy on one thread, and compile time.

Run with OPENBLAS_NUM_THREADS=1, and with OPENBLAS_CORETYPE unset.
"""

import ctypes
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from pullback.codegen import llvm
from pullback.codegen.contract import (
    StaticGemm,
    emit_gemm,
    emit_static_gemm,
    gemm_work_bytes,
)
from pullback.codegen.contract.flow import for_range, i64
from pullback.codegen.target import emit_object, host
from pullback.runtime.loading import Library

Arrays = tuple[Any, Any, Any]

SQUARE = (16, 32, 64, 100, 128, 256, 512, 1024)
SMALL = [
    (1000, 10, 10, "NN"), (10, 10, 1000, "TN"), (1000, 10, 10, "NT"),
    (10000, 1, 100, "NN"), (1, 100, 10000, "NN"), (100, 1, 10000, "NN"),
    (1, 10000, 100, "NN"), (100, 1, 100, "NN"), (100, 1, 100, "TN"),
    (1000, 1, 3, "NN"), (1000, 3, 3, "NN"), (3, 3, 3, "NN"), (3, 3, 3, "NT"),
    (4, 4, 4, "NN"), (4, 4, 4, "TN"), (8, 8, 8, "NN"), (10, 10, 10, "NN"),
    (10, 10, 10, "NT"), (2, 100, 100, "NN"), (3, 100, 100, "NT"), (4, 500, 500, "NN"),
    (4, 500, 500, "NT"), (32, 10, 784, "NN"), (784, 10, 32, "TN"), (32, 784, 10, "NT"),
    (1000, 100, 20, "NN"), (1000, 24, 1000, "NN"), (50, 50, 5000, "TN"),
]  # fmt: skip


def best(call: Callable[[int], object], floor: float = 4e-3) -> float:
    """Return the least seconds of one repetition of `call(repetitions)`."""
    call(1)
    count, least = 1, float("inf")
    while True:
        start = time.perf_counter()
        call(count)
        spent = time.perf_counter() - start
        if spent > floor:
            break
        count *= 2
    for _ in range(7):
        start = time.perf_counter()
        call(count)
        least = min(least, time.perf_counter() - start)
    return least / count


def wrapped(module: llvm.Module, inner: str) -> None:
    """Emit `pb_bench(count, ...)`, which calls `inner` so many times."""
    params = module.functions[inner].params
    fn = module.function("pb_bench", llvm.VOID, [(llvm.I64, ""), *params], linkage="")
    count, *rest = fn.args

    def one(_: llvm.Reg, __: list[llvm.Reg]) -> list[llvm.Reg]:
        fn.call(inner, llvm.VOID, rest)
        return []

    for_range(fn, count, i64(1), one)
    fn.ret()


class Compiled:
    """A loop around a multiplication, and the least seconds it took to compile."""

    def __init__(self, emit: Callable[[llvm.Module], str], work_bytes: int) -> None:
        self.seconds = float("inf")
        for _ in range(3):
            start = time.perf_counter()
            module = host().module()
            wrapped(module, emit(module))
            data = emit_object(module.text(), host())
            self.seconds = min(self.seconds, time.perf_counter() - start)
        self.library = Library(data)
        self.scratch = np.zeros(work_bytes + 64, np.uint8)
        work = self.scratch.ctypes.data
        self.work = work + -work % 64

    def native(self, *kinds: Any) -> Any:
        """Return the function for ctypes."""
        entry = self.library.address("pb_bench")
        return ctypes.CFUNCTYPE(None, ctypes.c_int64, *kinds)(entry)


def strides(arrays: Arrays) -> tuple[int, ...]:
    """Return the strides of all arrays in elements."""
    return tuple(s // x.itemsize for x in arrays for s in x.strides)


def operands(m: int, n: int, k: int, form: str, kind: type) -> Arrays:
    """Return a, b and room for the result; T in `form` is a transposed operand."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((m, k)).astype(kind)
    b = rng.standard_normal((k, n)).astype(kind)
    if form[0] == "T":
        a = np.asfortranarray(a)
    if form[1] == "T":
        b = np.asfortranarray(b)
    return a, b, np.empty((m, n), kind)


def main() -> None:
    """Print one table a dtype; ms is the time to compile for known sizes."""
    target = host()
    number, ptr = ctypes.c_int64, ctypes.c_void_p
    only = sys.argv[1:] or ["f64", "f32"]
    kinds: dict[str, type] = {"f64": np.float64, "f32": np.float32}
    for dtype in only:
        free = Compiled(
            lambda module, d=dtype: emit_gemm(module, target, d),
            gemm_work_bytes(target, dtype),
        )
        free_native = free.native(ptr, ptr, ptr, *[number] * 9, ptr)
        print(f"{dtype}, any sizes: compiled in {free.seconds * 1e3:.1f} ms")
        print(
            f"{'m':>6}{'n':>6}{'k':>6}  form{'any us':>10}{'known us':>10}"
            f"{'NumPy us':>10}{'known GF/s':>11}{'NumPy':>7}{'ratio':>7}{'ms':>8}"
        )
        cases = [(s, s, s, form) for form in ("NN", "NT", "TN") for s in SQUARE]
        for m, n, k, form in SMALL + cases:
            a, b, c = arrays = operands(m, n, k, form, kinds[dtype])
            made: list[StaticGemm] = []
            case = (m, n, k), strides(arrays)

            def emit(
                module: llvm.Module,
                case: Any = case,
                made: list[StaticGemm] = made,
                dtype: str = dtype,
            ) -> str:
                made.append(emit_static_gemm(module, target, dtype, *case))
                return made[-1].name

            emit(target.module())
            known = Compiled(emit, made[0].work_bytes)
            known_native = known.native(ptr, ptr, ptr, ptr)
            at = [x.ctypes.data for x in arrays]
            tail = (*at, m, n, k, *strides(arrays), free.work)

            def repeat(count: int, a: Any = a, b: Any = b, c: Any = c) -> None:
                for _ in range(count):
                    np.matmul(a, b, out=c)

            first = best(lambda count, f=free_native, t=tail: f(count, *t))
            fixed = (*at, known.work)
            second = best(lambda count, f=known_native, t=fixed: f(count, *t))
            third = best(repeat)
            flops = 2e-9 * m * n * k
            print(
                f"{m:6}{n:6}{k:6}  {form}  {first * 1e6:10.3f}{second * 1e6:10.3f}"
                f"{third * 1e6:10.3f}{flops / second:11.1f}{flops / third:7.1f}"
                f"{third / second:7.2f}{known.seconds * 1e3:8.1f}"
            )


if __name__ == "__main__":
    main()
