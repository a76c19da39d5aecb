import ctypes
import shutil
import struct
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest
from package_program import TABLE, arm, object_of, program_object, scaled
from pullback.ir.errors import PackageError
from pullback.runtime.package.shared import write_shared


def needs(*tools):
    missing = [t for t in tools if not shutil.which(t)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {missing}")


def run(*args, **kwargs):
    done = subprocess.run(args, capture_output=True, text=True, check=False, **kwargs)
    assert done.returncode == 0, done.stderr
    return done.stdout


def load(tmp_path, data, soname="libp.so", constants=None):
    path = tmp_path / soname
    path.write_bytes(write_shared(data, soname, constants))
    return ctypes.CDLL(str(path))


def call_scale(library, x, k):
    n = len(x)
    y, total, work = np.empty(n + 1), np.empty(()), np.empty(n)
    k = np.array(k)
    inputs = (ctypes.c_void_p * 2)(x.ctypes.data, k.ctypes.data)
    outputs = (ctypes.c_void_p * 2)(total.ctypes.data, y.ctypes.data)
    sizes = (ctypes.c_int64 * 1)(n)
    code = library.pb_scale_again(
        None, inputs, sizes, outputs, ctypes.c_void_p(work.ctypes.data)
    )
    return code, float(total), y.tolist()


def test_library_computes_what_was_meant(tmp_path):
    library = load(tmp_path, program_object())
    x = np.array([1.5, -2.0, 3.0, 1e300])
    for k in range(4):
        code, total, y = call_scale(library, x, k)
        assert (code, (total, y)) == (0, scaled(x.tolist(), k))
    assert call_scale(library, x, 4)[0] == 1


def test_constants_are_exported(tmp_path):
    library = load(tmp_path, program_object(), constants={"pb_note": b"seven b"})
    assert bytes((ctypes.c_char * 7).in_dll(library, "pb_note")) == b"seven b"
    assert call_scale(library, np.ones(3), 0)[0] == 0


def test_same_object_gives_same_library():
    first = write_shared(program_object(), "libp.so")
    assert first == write_shared(program_object(), "libp.so")


def test_every_symbol_of_many_is_found(tmp_path):
    text = "".join(
        f"define i32 @pb_f{k}() {{\nret i32 {k}\n}}\n" for k in range(0, 3000, 7)
    )
    library = load(tmp_path, object_of(text))
    for k in range(0, 3000, 7):
        assert library[f"pb_f{k}"]() == k
    with pytest.raises(AttributeError):
        library["pb_f1"]


def test_addresses_through_the_offset_table(tmp_path):
    # @pb_g and @pb_h may be replaced from outside, so code takes their addresses from
    # the global offset table.
    text = """
define i64 @pb_g() noinline {
  ret i64 5
}
@pb_h = constant i64 37
define ptr @pb_where(i1 zeroext %c) {
  %p = select i1 %c, ptr @pb_g, ptr @pb_h
  ret ptr %p
}
define i64 @pb_sum() {
  %f = call ptr @pb_where(i1 true)
  %a = call i64 %f()
  %q = call ptr @pb_where(i1 false)
  %b = load i64, ptr %q
  %s = add i64 %a, %b
  ret i64 %s
}
"""
    assert load(tmp_path, object_of(text)).pb_sum() == 42


def program_headers(data):
    (start,) = struct.unpack_from("<Q", data, 32)
    (count,) = struct.unpack_from("<H", data, 56)
    return [struct.unpack_from("<IIQQQQQQ", data, start + 56 * k) for k in range(count)]


@pytest.mark.parametrize("page", [0x1000, 0x10000])
def test_segments_are_never_writable_and_executable(page):
    obj = program_object()
    if page == 0x10000:
        obj = object_of("define void @pb_f() {\nret void\n}", arm())
    data = write_shared(obj, "libp.so")
    loads = [h for h in program_headers(data) if h[0] == 1]
    assert [h[1] for h in loads] == [4, 5, 6]
    for _, _, offset, address, _, size, memory, align in loads:
        assert align == page
        assert offset % page == address % page
        assert size <= memory
        assert offset + size <= len(data)
    for before, after in pairwise(loads):
        assert before[3] + before[6] <= after[3] // page * page
        assert before[2] + before[5] <= after[2] // 0x1000 * 0x1000
    (relro,) = [h for h in program_headers(data) if h[0] == 0x6474E552]
    assert relro[2:7] == loads[2][2:7]
    assert (relro[3] + relro[6]) % page == 0
    (stack,) = [h for h in program_headers(data) if h[0] == 0x6474E551]
    assert stack[1] == 6


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc/self/maps")
def test_nothing_stays_writable_in_memory(tmp_path):
    library = load(tmp_path, program_object())
    call_scale(library, np.ones(2), 0)
    with open("/proc/self/maps") as lines:
        rights = [line.split()[1] for line in lines if "libp.so" in line]
    assert "r-xp" in rights
    assert not [r for r in rights if "w" in r]


@needs("readelf")
def test_readelf_has_no_complaint(tmp_path):
    for name, obj in (
        ("x", program_object()),
        ("a", object_of("define void @pb_f() {\nret void\n}", arm())),
    ):
        (tmp_path / name).write_bytes(write_shared(obj, "libp.so"))
        done = subprocess.run(
            ["readelf", "-aW", str(tmp_path / name)], capture_output=True, text=True,
            check=True, env={"LC_ALL": "C"},
        )  # fmt: skip
        assert not done.stderr
        assert "soname: [libp.so]" in done.stdout
        assert "NEEDED" not in done.stdout


@needs("nm")
def test_nm_finds_nothing_undefined(tmp_path):
    load(tmp_path, program_object())
    assert run("nm", "-u", str(tmp_path / "libp.so")) == ""
    assert run("nm", "-uD", str(tmp_path / "libp.so")) == ""
    assert " t increase" in run("nm", str(tmp_path / "libp.so"))


MAIN = """
#include <stdint.h>
#include <stdio.h>
int32_t pb_scale(const void *, const void *const *, const int64_t *, void *const *,
                 void *);
int main(void) {
  double x[2] = {2, 4}, y[3], total, work[2];
  int64_t k = 2, n = 2;
  const void *in[2] = {x, &k};
  void *out[2] = {&total, y};
  int32_t code = pb_scale(0, in, &n, out, work);
  printf("%d %g %g %g %g", code, total, y[0], y[1], y[2]);
  return 0;
}
"""


@needs("gcc")
@pytest.mark.parametrize("linker", ["bfd", "gold", "lld"])
def test_linkers_link_against_the_library(tmp_path, linker):
    if not shutil.which(f"ld.{linker}"):
        pytest.skip(f"ld.{linker} is not installed")
    load(tmp_path, program_object())
    (tmp_path / "main.c").write_text(MAIN)
    run(
        "gcc", f"-fuse-ld={linker}", "main.c", "-L.", "-lp", "-Wl,-rpath,$ORIGIN",
        "-Wl,--no-undefined", "-o", "main", cwd=tmp_path,
    )  # fmt: skip
    assert run(str(tmp_path / "main")) == f"0 {6 * TABLE[2]} 6.5 13 19.5"


def _words(data):
    """Return the address and the instructions of the code segment."""
    (code,) = [h for h in program_headers(data) if h[:2] == (1, 5)]
    body = data[code[2] : code[2] + code[5]]
    return code[3], [w for (w,) in struct.iter_unpack("<I", body)]


def _signed(value, bits):
    return value - (value >> (bits - 1) << bits)


def test_arm_addresses_and_calls_reach_their_targets():
    text = """
@table = internal constant [4 x i64] [i64 10, i64 20, i64 30, i64 40], align 64
@calls = internal constant [2 x ptr] [ptr @one, ptr @two]
define internal i64 @one() noinline {
  ret i64 1
}
define internal i64 @two() noinline {
  ret i64 2
}
define i64 @pb_f(i64 %k) {
  %p = getelementptr i64, ptr @table, i64 %k
  %v = load i64, ptr %p
  %a = call i64 @two()
  %q = getelementptr ptr, ptr @calls, i64 %k
  %f = load ptr, ptr %q
  %b = call i64 %f()
  %s = add i64 %a, %b
  %r = add i64 %s, %v
  ret i64 %r
}
"""
    data = write_shared(object_of(text, arm()), "libp.so")
    start, words = _words(data)
    heads = program_headers(data)

    def at(address):
        (head,) = [h for h in heads if h[0] == 1 and 0 <= address - h[3] < h[5]]
        return struct.unpack_from("<q", data, head[2] + address - head[3])[0]

    reached = []
    for k, word in enumerate(words):
        place = start + 4 * k
        if word & 0x9F000000 == 0x90000000:  # adrp, followed by its add
            pages = _signed(word >> 5 & 0x7FFFF, 19) << 2 | word >> 29 & 3
            target = (place & ~0xFFF) + (pages << 12)
            adds = [w for w in words[k + 1 :] if w & 0xFFC00000 == 0x91000000]
            reached.append(target + (adds[0] >> 10 & 0xFFF))
        if word & 0xFC000000 == 0x94000000:  # bl
            target = place + 4 * _signed(word & 0x3FFFFFF, 26)
            assert words[(target - start) // 4] == 0x52800040  # mov w0, #2
    assert sorted(at(address) for address in reached)[0] == 10
    calls = max(reached)
    assert [words[(at(calls + 8 * k) - start) // 4] for k in (0, 1)] == [
        0x52800020, 0x52800040,
    ]  # fmt: skip


BODY = "define double @pb_f(double %x) {\nret double %x\n}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "declare double @sin(double)\ndefine double @pb_f(double %x) {\n"
            "%y = call double @sin(double %x)\nret double %y\n}\n",
            "not self-contained: it needs sin",
        ),
        ("@count = internal global i64 1\n@pb_p = constant ptr @count\n" + BODY,
         "section .data of 8 bytes is writable"),
        ("@pb_zero = global [4 x i64] zeroinitializer\n" + BODY, ".bss.*is writable"),
        ("@pb_t = thread_local global i64 3\n" + BODY, "thread-local"),
        (BODY + "define void @main() {\nret void\n}\n", "pb_; exported: main"),
        (BODY.replace("define", "define internal") + "@pb_k = constant i64 3\n",
         "no code"),
        (BODY.replace("define", "define hidden"), "exports no symbol"),
        ("@pb_big = constant i64 3, align 8192\n" + BODY, "8192 exceeds a page"),
        (
            "@llvm.global_ctors = appending global [1 x {i32, ptr, ptr}] "
            "[{i32, ptr, ptr} {i32 1, ptr @pb_f, ptr null}]\n"
            "define void @pb_f() {\ncall void asm sideeffect "
            "\"\", \"\"()\nret void\n}\n",
            r"\.(ctors|init_array).*is writable",
        ),
    ],
)  # fmt: skip
def test_objects_that_cannot_stand_alone_are_refused(text, message):
    with pytest.raises(PackageError, match=message):
        write_shared(object_of(text), "libp.so")


def test_unknown_relocations_are_refused():
    data = bytearray(program_object())
    (shoff,) = struct.unpack_from("<Q", data, 40)
    for k in range(struct.unpack_from("<H", data, 60)[0]):
        _, kind, _, _, offset, *_ = struct.unpack_from(
            "<IIQQQQIIQQ", data, shoff + 64 * k
        )
        if kind == 4:
            struct.pack_into("<I", data, offset + 8, 11)  # R_X86_64_32S
            break
    with pytest.raises(PackageError, match="relocation kind 11 is not supported; supp"):
        write_shared(bytes(data), "libp.so")


def test_unknown_machines_are_refused():
    data = bytearray(program_object())
    struct.pack_into("<H", data, 18, 243)
    with pytest.raises(PackageError, match="written for ELF machine 243"):
        write_shared(bytes(data), "libp.so")
