import ctypes
import itertools
import mmap
from functools import cache

import numpy as np
import pytest
from pullback.codegen import llvm
from pullback.codegen.contract import (
    emit_batched_gemm,
    emit_gemm,
    emit_static_gemm,
    gemm,
    gemm_work_bytes,
    near,
)
from pullback.codegen.target import Target, emit_object, host
from pullback.runtime.loading import Library

KINDS = {"f64": np.float64, "f32": np.float32}
# m, n, k: empty, single, below and above every tile edge, deeper than one packed block.
SHAPES = [
    (0, 3, 3), (3, 0, 3), (3, 3, 0), (1, 17, 0), (40, 1, 0), (1, 1, 5), (1, 9, 7),
    (1, 100, 33), (100, 1, 33), (7, 1, 3), (2, 5, 2), (3, 3, 3), (4, 4, 4), (9, 24, 3),
    (10, 10, 100), (100, 10, 10), (13, 25, 18), (33, 49, 20), (5, 70, 300),
    (20, 130, 520),
]  # fmt: skip


@cache
def targets() -> dict[str, Target]:
    """The host, and narrower machines that an x86-64 host can pretend to be."""
    real = host()
    found = {"host": real}
    if real.triple.startswith("x86_64") and "+avx2" in real.features:
        for name, bits in (("256", 256), ("128", 128)):
            found[name] = Target(
                real.triple, "x86-64-v3", "+avx2,+fma", real.layout, bits, False
            )
    return found


def wrapper(module: llvm.Module, inner: str) -> Library:
    fn = module.function(
        "pb_test", llvm.VOID, module.functions[inner].params, linkage=""
    )
    fn.call(inner, llvm.VOID, fn.args)
    fn.ret()
    return fn


@cache
def library(name: str, dtype: str) -> Library:
    target = targets()[name]
    module = target.module()
    wrapper(module, emit_gemm(module, target, dtype))
    return Library(emit_object(module.text(), target))


def scratch(size: int) -> np.ndarray:
    raw = np.full(size + 64, 0xFF, np.uint8)
    skip = -raw.ctypes.data % 64
    return raw[skip : skip + size]


def strides(*arrays: np.ndarray) -> list[int]:
    return [s // x.itemsize for x in arrays for s in x.strides]


def multiply(
    name: str, dtype: str, a: np.ndarray, b: np.ndarray, c: np.ndarray
) -> None:
    i64, ptr = ctypes.c_int64, ctypes.c_void_p
    entry = library(name, dtype).address("pb_test")
    native = ctypes.CFUNCTYPE(None, ptr, ptr, ptr, *[i64] * 9, ptr)(entry)
    work = scratch(gemm_work_bytes(targets()[name], dtype))
    sizes = (*c.shape, a.shape[1])
    pointers = [x.ctypes.data for x in (a, b, c)]
    native(*pointers, *sizes, *strides(a, b, c), work.ctypes.data)


def two_sum(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total = x + y
    part = total - x
    return total, (x - (total - part)) + (y - part)


def round_odd(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """x + y, rounded to the neighbour with an odd last bit where it is inexact."""
    total, rest = two_sum(x, y)
    bits = total.view(np.int64)
    away = (rest > 0) == (total > 0)
    fixed = np.where(away, bits + 1, bits - 1)
    inexact = (rest != 0) & (bits & 1 == 0)
    return np.where(inexact, fixed, bits).view(np.float64)


def exact_fma(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """x * y + z with one rounding (Boldo and Melquiond, IEEE Trans. Computers 2008)."""
    if x.dtype == np.float32:
        product = x.astype(np.float64) * y  # exact
        return round_odd(product, z.astype(np.float64)).astype(np.float32)

    def split(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        scaled = 134217729.0 * v
        high = scaled - (scaled - v)
        return high, v - high

    product = x * y
    (xh, xl), (yh, yl) = split(x), split(y)
    error = ((xh * yh - product) + xh * yl + xl * yh) + xl * yl
    high, low = two_sum(z, error)
    top, middle = two_sum(product, high)
    return top + round_odd(middle, low)


def reference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    acc = np.zeros((a.shape[0], b.shape[1]), a.dtype)
    for q in range(a.shape[1]):
        x, y = np.broadcast_arrays(a[:, q : q + 1], b[q : q + 1])
        acc = exact_fma(x.copy(), y.copy(), acc)
    return acc


def layouts(rng: np.random.Generator, rows: int, columns: int, kind: type) -> list:
    base = rng.standard_normal((rows, columns)).astype(kind)
    wide = np.zeros((rows, columns * 3), kind)[:, ::3]
    odd = np.zeros((columns * 2, rows * 3), kind).T[::3, ::2]
    wide[:], odd[:] = base, base
    return [
        base,
        np.asfortranarray(base),
        wide,
        odd,
        np.broadcast_to(base[:1], base.shape),
        np.broadcast_to(base[:, :1], base.shape),
    ]


def test_the_reference_rounds_once():
    # 1 + 2^-52 squared minus its rounded square: the error term of the product alone.
    x = np.array([1 + 2.0**-52])
    assert exact_fma(x, x, -(x * x)) == 2.0**-104
    y = np.array([np.float32(1 + 2.0**-23)])
    assert exact_fma(y, y, -(y * y)) == np.float32(2.0**-46)


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", ["host", "256", "128"])
def test_every_path_gives_the_bits_of_one_chain(name, dtype):
    if name not in targets():
        pytest.skip("the host is no x86-64 with AVX2")
    rng, kind = np.random.default_rng(0), KINDS[dtype]
    for m, n, k in SHAPES:
        pairs = itertools.product(layouts(rng, m, k, kind), layouts(rng, k, n, kind))
        for a, b in pairs:
            want = reference(a, b)
            padded = np.full((m, 2 * n), 7, kind)
            results = [
                np.full((m, n), 7, kind), np.full((n, m), 7, kind).T, padded[:, ::2]
            ]  # fmt: skip
            for c in results:
                multiply(name, dtype, a, b, c)
                case = (m, n, k, a.strides, b.strides, c.strides)
                assert c.tobytes() == want.tobytes(), case
            assert (padded[:, 1::2] == 7).all()


@pytest.mark.parametrize("dtype", KINDS)
def test_packing_the_first_operand_changes_no_bit(dtype, monkeypatch):
    rng, kind = np.random.default_rng(4), KINDS[dtype]
    a = rng.standard_normal((37, 530)).astype(kind)
    b = rng.standard_normal((530, 230)).astype(kind)
    results = []
    for least in (gemm._FAR_BYTES, 0):
        monkeypatch.setattr(gemm, "_FAR_BYTES", least)
        library.cache_clear()
        c = np.empty((37, 230), kind)
        multiply("host", dtype, a, b, c)
        results.append(c.tobytes())
    library.cache_clear()
    assert results == [reference(a, b).tobytes()] * 2


@pytest.mark.parametrize("dtype", KINDS)
def test_signed_zeros_infinities_and_nan_follow_the_chain(dtype):
    kind = KINDS[dtype]
    a = np.zeros((9, 3), kind)
    a[0], a[1], a[2] = -0.0, np.inf, np.nan
    b = np.ones((3, 11), kind)
    b[:, 1], b[:, 2], b[1, 3] = -0.0, np.inf, -np.inf
    c = np.empty((9, 11), kind)
    multiply("host", dtype, a, b, c)
    with np.errstate(invalid="ignore"):
        want = np.zeros_like(c)
        for q in range(3):
            want = want + a[:, q : q + 1] * b[q]
    np.testing.assert_array_equal(c, want)
    assert not np.signbit(c[0, 0])  # +0.0 + -0.0 * 1


class GuardedPages:
    """Memory that ends where reading faults."""

    def __init__(self, array: np.ndarray) -> None:
        page = mmap.PAGESIZE
        room = -(-max(array.nbytes, 1) // page) * page
        self.map = mmap.mmap(-1, room + page)
        base = np.frombuffer(self.map, np.uint8)
        protect = ctypes.CDLL(None).mprotect
        protect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        assert protect(base.ctypes.data + room, page, 0) == 0
        flat = base[room - array.nbytes : room].view(array.dtype)
        self.array = flat.reshape(array.shape)
        self.array[:] = array


@pytest.mark.skipif(not hasattr(ctypes, "CDLL") or mmap.PAGESIZE == 0, reason="no mmap")
@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("name", ["host", "256"])
def test_nothing_beyond_the_arrays_is_touched(name, dtype):
    if name not in targets():
        pytest.skip("the host is no x86-64 with AVX2")
    rng, kind = np.random.default_rng(1), KINDS[dtype]
    for m, n, k in [*SHAPES[4:], (17, 100, 300)]:
        shapes = (m, k), (k, n), (m, n)
        for turns in itertools.product((False, True), repeat=3):
            kept = [
                GuardedPages(rng.standard_normal(s[::-1] if t else s).astype(kind))
                for s, t in zip(shapes, turns, strict=True)
            ]
            a, b, c = (
                g.array.T if t else g.array for g, t in zip(kept, turns, strict=True)
            )
            multiply(name, dtype, a, b, c)
            np.testing.assert_allclose(c, a @ b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", KINDS)
def test_rows_brought_near_change_no_bit_and_nothing_beyond_is_read(dtype, monkeypatch):
    rng, kind = np.random.default_rng(5), KINDS[dtype]
    text = host().module()
    emit_gemm(text, host(), dtype)
    assert "load volatile" in text.text()
    monkeypatch.setattr(near, "LARGE", -1)
    library.cache_clear()
    for m, n, k in [*SHAPES[4:], (17, 100, 300), (70, 40, 300), (100, 1, 520)]:
        shapes = (m, k), (k, n)
        for turns in itertools.product((False, True), repeat=2):
            kept = [
                GuardedPages(rng.standard_normal(s[::-1] if t else s).astype(kind))
                for s, t in zip(shapes, turns, strict=True)
            ]
            a, b = (
                g.array.T if t else g.array for g, t in zip(kept, turns, strict=True)
            )
            c = np.full((m, n), 7, kind)
            multiply("host", dtype, a, b, c)
            assert c.tobytes() == reference(a, b).tobytes(), (m, n, k, turns)
    library.cache_clear()


@pytest.mark.parametrize("dtype", KINDS)
@pytest.mark.parametrize("form", ["NN", "NT", "TN"])
@pytest.mark.parametrize(
    "sizes", [(0, 3, 2), (3, 3, 0), (3, 3, 3), (50, 10, 10), (10, 10, 90), (1, 40, 9),
              (40, 1, 9), (12, 17, 5), (70, 60, 300)],
)  # fmt: skip
def test_known_sizes_give_the_same_bits(sizes, form, dtype):
    (m, n, k), kind, target = sizes, KINDS[dtype], host()
    rng = np.random.default_rng(2)
    a = rng.standard_normal((m, k)).astype(kind, order="F" if form[0] == "T" else "C")
    b = rng.standard_normal((k, n)).astype(kind, order="F" if form[1] == "T" else "C")
    c, want = np.full((m, n), 7, kind), np.full((m, n), 7, kind)
    module = target.module()
    made = emit_static_gemm(module, target, dtype, sizes, tuple(strides(a, b, c)))
    again = emit_static_gemm(module, target, dtype, sizes, tuple(strides(a, b, c)))
    assert made == again
    wrapper(module, made.name)
    loaded = Library(emit_object(module.text(), target))
    native = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(loaded.address("pb_test"))
    guard = GuardedPages(scratch(made.work_bytes).copy())
    skip = guard.array.ctypes.data % 64
    assert skip == 0
    native(a.ctypes.data, b.ctypes.data, c.ctypes.data, guard.array.ctypes.data)
    multiply("host", dtype, a, b, want)
    assert c.tobytes() == want.tobytes()


def test_known_sizes_share_tiles_and_need_no_scratch_when_read_in_place():
    target = host()
    module = target.module()
    first = emit_static_gemm(module, target, "f64", (3, 3, 3), (3, 1, 3, 1, 3, 1))
    count = len(module.functions)
    emit_static_gemm(module, target, "f64", (3, 3, 4), (4, 1, 3, 1, 3, 1))
    assert first.work_bytes == 0
    assert len(module.functions) == count + 1


def test_a_batch_is_a_loop_of_multiplications():
    target = host()
    module = target.module()
    wrapper(module, emit_batched_gemm(module, target, "f64"))
    loaded = Library(emit_object(module.text(), target))
    i64, ptr = ctypes.c_int64, ctypes.c_void_p
    kinds = [i64] * 4 + [ptr] * 3 + [i64] * 9 + [ptr]
    native = ctypes.CFUNCTYPE(None, *kinds)(loaded.address("pb_test"))
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal((5, 4, 6)), rng.standard_normal((6, 7))
    c = np.empty((5, 4, 7))
    work = scratch(gemm_work_bytes(target, "f64"))
    pointers = [x.ctypes.data for x in (a, b, c)]
    native(5, 24, 0, 28, *pointers, 4, 7, 6, *strides(a[0], b, c[0]), work.ctypes.data)
    assert c.tobytes() == np.stack([reference(x, b) for x in a]).tobytes()


def test_the_object_needs_no_other_symbol():
    target = host()
    for dtype in KINDS:
        module = target.module()
        wrapper(module, emit_gemm(module, target, dtype))
        data = emit_object(module.text(), target)
        for name in (b"memset", b"memcpy", b"memmove", b"fma\0"):
            assert name not in data
