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
from pullback.codegen.contract import emit_batched_gemm, emit_gemm, gemm_work_bytes
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


def compiled(dtype: str) -> tuple[Callable[[int, Arrays], None], float]:
    """Return a caller that repeats a multiplication, and the seconds to compile one."""
    target = host()
    times = []
    for _ in range(4):
        start = time.perf_counter()
        module = target.module()
        inner = emit_gemm(module, target, dtype)
        outer = module.function(
            "pb_bench", llvm.VOID, module.functions[inner].params, linkage=""
        )
        outer.call(inner, llvm.VOID, outer.args)
        outer.ret()
        emit_object(module.text(), target)
        times.append(time.perf_counter() - start)
    module = target.module()
    inner = emit_batched_gemm(module, target, dtype)
    outer = module.function(
        "pb_bench", llvm.VOID, module.functions[inner].params, linkage=""
    )
    outer.call(inner, llvm.VOID, outer.args)
    outer.ret()
    library = Library(emit_object(module.text(), target))
    i64, ptr = ctypes.c_int64, ctypes.c_void_p
    kinds = [i64] * 4 + [ptr] * 3 + [i64] * 9 + [ptr]
    native = ctypes.CFUNCTYPE(None, *kinds)(library.address("pb_bench"))
    scratch = np.zeros(gemm_work_bytes(target, dtype) + 64, np.uint8)
    work = scratch.ctypes.data + -scratch.ctypes.data % 64

    def call(count: int, arrays: Arrays) -> None:
        a, _, c = arrays
        strides = [s // x.itemsize for x in arrays for s in x.strides]
        sizes = (c.shape[0], c.shape[1], a.shape[1])
        addresses = [x.ctypes.data for x in arrays]
        native(count, 0, 0, 0, *addresses, *sizes, *strides, work)

    # Both are alive as long as the caller is.
    call.keeps = (library, scratch)  # type: ignore[attr-defined]
    return call, min(times)


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
    """Print one table a dtype."""
    only = sys.argv[1:] or ["f64", "f32"]
    for dtype, kind in (("f64", np.float64), ("f32", np.float32)):
        if dtype not in only:
            continue
        call, seconds = compiled(dtype)
        print(f"{dtype}: compiled in {seconds * 1e3:.1f} ms")
        print(
            f"{'m':>6}{'n':>6}{'k':>6}  form{'us':>10}{'NumPy us':>10}"
            f"{'GF/s':>8}{'NumPy':>8}{'ratio':>7}"
        )
        cases = [(s, s, s, form) for form in ("NN", "NT", "TN") for s in SQUARE]
        for m, n, k, form in SMALL + cases:
            a, b, c = operands(m, n, k, form, kind)

            def repeat(count: int, a: Any = a, b: Any = b, c: Any = c) -> None:
                for _ in range(count):
                    np.matmul(a, b, out=c)

            ours = best(lambda count, f=call, t=(a, b, c): f(count, t))
            theirs = best(repeat)
            flops = 2e-9 * m * n * k
            print(
                f"{m:6}{n:6}{k:6}  {form}  {ours * 1e6:10.3f}{theirs * 1e6:10.3f}"
                f"{flops / ours:8.1f}{flops / theirs:8.1f}{theirs / ours:7.2f}"
            )


if __name__ == "__main__":
    main()
