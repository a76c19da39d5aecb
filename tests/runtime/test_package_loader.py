import ctypes
import importlib.util
import inspect
import os
import shutil
import subprocess
import sys
import threading
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from package_program import (
    AGAIN,
    ENTRY,
    SCALE,
    program_object,
    program_text,
    scaled,
)
from pullback.codegen.llvm import F64, I32, I64, PTR, Reg, const
from pullback.codegen.signature import ArraySpec, Signature
from pullback.codegen.target import emit_object, host
from pullback.ir.errors import PackageError
from pullback.runtime.package import missing_files, package_files, write_package
from pullback.runtime.package.loader import loader_text

FEATURES = host().features.split(",")


def packaged(folder, signatures=(SCALE, AGAIN), trees=None, obj=None, **kwargs):
    kwargs.setdefault("features", FEATURES)
    kwargs.setdefault("target_triple", host().triple)
    return write_package(
        folder, "scale", obj or program_object(), program_text(host()), signatures,
        trees or [None] * len(signatures), **kwargs,
    )  # fmt: skip


def imported(folder, name="scale"):
    spec = importlib.util.spec_from_file_location(name, Path(folder) / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scale(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    packaged(folder)
    return imported(folder)


def test_files_are_named_after_the_program(tmp_path):
    names = [p.name for p in packaged(tmp_path / "out")]
    assert names == [
        "scale.o", "libscale.a", "libscale.so", "scale.py", "scale.h", "scale.ll",
    ]  # fmt: skip
    assert (tmp_path / "out" / "scale.o").read_bytes() == program_object()
    assert (tmp_path / "out" / "scale.ll").read_text() == program_text(host())


def test_packaging_and_loading_need_no_tools(tmp_path):
    code = (
        "import sys, numpy as np, scale\n"
        "total, y = scale.scale(np.arange(4.0), 3)\n"
        "assert y.tolist() == [1.0, 1.1, 1.2, 1.3, 4.6], y\n"
        "assert not {'pullback', 'llvmlite'} & set(sys.modules)\n"
    )
    before = os.environ.copy()
    os.environ["PATH"] = ""
    try:
        packaged(tmp_path)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
            check=False, env={"PATH": ""},
        )  # fmt: skip
    finally:
        os.environ.update(before)
    assert done.returncode == 0, done.stderr


def test_results_are_what_was_meant(scale):
    for n in (0, 1, 2, 7, 64, 1000):
        x = np.random.default_rng(n).normal(size=n)
        for k in (0, 3):
            total, y = scale.scale(x, k)
            wanted = scaled(x.tolist(), k)
            assert (float(total), y.tolist()) == wanted
            assert type(total) is np.float64
            assert y.dtype == np.float64
            assert y.flags.writeable
            assert y.ctypes.data % 64 == 0


def test_inputs_of_any_layout_are_taken_and_left_alone(scale):
    base = np.arange(24.0)
    spread = base[::3]
    raw = np.zeros(8 * 8 + 1, np.uint8)
    shifted = raw[1:].view(np.float64)
    shifted[:] = spread
    for x in (spread, spread[::-1], np.broadcast_to(2.5, 8), shifted):
        kept = x.copy()
        total, _ = scale.scale(x, np.int64(2))
        assert float(total) == scaled(x.tolist(), 2)[0]
        assert (x == kept).all()


class Arraylike:
    def __array__(self, dtype=None, copy=None):
        return np.array([1.0, 2.0])


def test_other_arrays_and_numbers_are_converted(scale):
    assert scale.scale(Arraylike(), np.array(2))[0] == 9.75
    assert scale.scale([1.0, 2.0], True)[0] == scaled([1.0, 2.0], 1)[0]


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        ((np.arange(3), 1), TypeError,
         r"scale: argument x is i64\[3\], expected f64\[n\] \(dtype\)"),
        ((np.arange(3.0, dtype=">f8"), 1), TypeError, r"x is >f8\[3\], expected"),
        ((np.array([None]), 1), TypeError, r"argument x is O\[1\], expected f64\[n\]"),
        (("text", 1), TypeError, r"argument x is <U4\[\], expected f64\[n\]"),
        ((np.zeros((2, 2)), 1), ValueError,
         r"x is f64\[2,2\], expected f64\[n\] \(number of axes\)"),
        ((1.5, 1), ValueError, r"x is f64\[\], expected f64\[n\] \(number of axes\)"),
        ((np.zeros(2), 1.5), TypeError, r"k is a Python float, expected i64\[\]"),
        ((np.zeros(2), np.int32(1)), TypeError, r"k is i32\[\], expected i64\[\]"),
        ((np.zeros(2), 2**63), OverflowError, f"argument k: {2**63} does not fit i64"),
        ((np.ma.zeros(2), 1), TypeError, "argument x is a masked array"),
        ((np.zeros(2),), TypeError, "missing 1 required positional argument: 'k'"),
        ((np.zeros(2), 1, 2), TypeError, "takes 2 positional arguments"),
        ((np.zeros(2), 4), IndexError,
         r"scale: index 4 is out of bounds for axis 0 with size 4 \(gather 7\)"),
        ((np.zeros(2), -1), IndexError, "index -1 is out of bounds"),
    ],
)  # fmt: skip
def test_bad_arguments_are_clear_errors(scale, args, error, message):
    with pytest.raises(error, match=message):
        scale.scale(*args)
    assert scale.scale(np.ones(2), 0)[0] == 2.0


def test_threads_do_not_share_memory(scale):
    wrong = []

    def work(seed):
        x = np.random.default_rng(seed).normal(size=200 + seed)
        wanted = scaled(x.tolist(), seed % 4)
        for _ in range(100):
            total, y = scale.scale(x, seed % 4)
            if (float(total), y.tolist()) != wanted:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_functions_describe_themselves(scale):
    assert scale.__all__ == ["scale", "scale_again"]
    assert str(inspect.signature(scale.scale)) == "(x, k)"
    assert inspect.getdoc(scale.scale) == (
        "Scale x by entry k of a table; add 1 where k is odd.\n\n"
        "Inputs:\n    x: f64[n]\n    k: i64[]\n"
        "Results:\n    total: f64[]\n    y: f64[n+1]"
    )
    assert host().triple in scale.__doc__


def test_results_and_arguments_nest_as_described(tmp_path):
    result = {"dict": {"sum": 0, "rest": [{"tuple": [1, None]}]}}
    nested = {"params": {"dict": {"x": 0, "more": [{"tuple": [1]}, None]}}}
    packaged(tmp_path, (SCALE,), [result], argument_trees=[nested])
    call = imported(tmp_path).scale
    x = np.array([1.0, 2.0])
    got = call({"x": x, "more": [(2,), None]})
    assert list(got) == ["sum", "rest"]
    assert got["sum"] == 9.75
    (pair,) = got["rest"]
    assert isinstance(pair, tuple)
    assert pair[1] is None
    assert pair[0].tolist() == [3.25, 6.5, 9.75]
    for given, message in [
        (x, r"params must be a dict with the keys \['more', 'x'\], got ndarray"),
        ({"x": x}, r"got dict with the keys \['x'\]"),
        (
            {"x": x, "more": [(2,)]},
            r"\['more'\] must be a list of 2, got list of 1",
        ),
        ({"x": x, "more": [[2], None]}, r"params\['more'\]\[0\] must be a tuple of 1"),
        ({"x": x, "more": [(2,), 3]}, r"params\['more'\]\[1\] must be None, got int"),
    ]:
        with pytest.raises(TypeError, match=message):
            call(given)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (
            [0],
            r"results of scale: .* leaves \[0\], expected each of 0 to 1",
        ),
        ([0, 1, 1], r"the leaves \[0, 1, 1\]"),
        ({"list": [0, 1]}, "is no part of a tree"),
        (["0", 1], "'0' is no part of a tree"),
        ([True, 0], "True is no part of a tree"),
    ],
)
def test_trees_that_do_not_fit_are_refused(tmp_path, tree, message):
    with pytest.raises(PackageError, match=message):
        packaged(tmp_path / "out", (SCALE,), [tree])
    assert not (tmp_path / "out").exists()


SIZED = Signature(
    "sized",
    (
        ArraySpec("a", "f32", ("n", "m")), ArraySpec("b", "bool", ("2*n+1",)),
        ArraySpec("c", "f64", ("m", "n//2")), ArraySpec("max", "i64", ("k-1", 3)),
    ),
    (
        ArraySpec("out", "i64", ("5",)),
        ArraySpec("wide", "u8", ("2*((n)//(2))", "max(m-1,0)", "n//k", "n%2")),
    ),
    ("n", "m", "k"),
    "",
)  # fmt: skip


@cache
def sized_object():
    """Make a function that returns the sizes, and what it kept in grown memory."""
    module = host().module()
    need = module.function("pb_sized_workspace", I64, [(PTR, ""), (I32, "")], "")
    need.ret(const(I64, 0))
    fn = module.function("pb_sized", I32, ENTRY, "")
    ctx, _, sizes, outputs, work = fn.args
    out = fn.load(outputs, PTR)
    for k in range(3):
        value = fn.load(fn.gep(sizes, const(I64, k), I64), I64)
        fn.store(value, fn.gep(out, const(I64, k), I64))
    unused = fn.convert("zext", fn.icmp("eq", work, Reg("null", PTR)), I64)
    fn.store(unused, fn.gep(out, const(I64, 3), I64))
    grow = fn.load(fn.gep(ctx, const(I64, 16)), PTR)
    state = fn.load(fn.gep(ctx, const(I64, 24)), PTR)
    null = Reg("null", PTR)
    first = fn.call_ptr(grow, PTR, [state, null, const(I64, 64)])
    fn.store(const(F64, 2.5), first)
    second = fn.call_ptr(grow, PTR, [state, first, const(I64, 1 << 20)])
    fn.store(fn.load(second, I64), fn.gep(out, const(I64, 4), I64))
    k = fn.load(fn.gep(sizes, const(I64, 2), I64), I64)
    # k = 102 returns the status 2, and so on.
    high = fn.icmp("sgt", k, const(I64, 100))
    code = fn.select(high, fn.sub(k, const(I64, 100)), const(I64, 0))
    fn.ret(fn.convert("trunc", code, I32))
    return emit_object(module.text(), host())


def sized_arguments(n, m, k):
    return (
        np.zeros((n, m), np.float32), np.zeros(2 * n + 1, bool), np.zeros((m, n // 2)),
        np.zeros((k - 1, 3), np.int64),
    )  # fmt: skip


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sized")
    packaged(folder, (SIZED,), obj=sized_object())
    return imported(folder).sized


def test_sizes_follow_from_shapes_and_keywords(sized):
    assert str(inspect.signature(sized)) == "(a, b, c, max, *, k)"
    out, wide = sized(*sized_arguments(7, 4, 3), k=3)
    bits = int.from_bytes(np.float64(2.5).tobytes(), "little")
    assert out.tolist() == [7, 4, 3, 1, bits]
    assert wide.shape == (6, 3, 2, 1)
    out, wide = sized(*sized_arguments(0, 0, 2), k=np.int8(2))
    assert wide.shape == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("change", "k", "error", "message"),
    [
        ({1: np.zeros(14, bool)}, 3, ValueError,
         r"argument b is bool\[14\], expected bool\[2\*n\+1\] = \(15,\) with "
         "n=7, m=4, k=3"),
        ({2: np.zeros((5, 3))}, 3, ValueError,
         r"size m is 4 in argument a \(axis 1\) and 5 in argument c \(axis 0\)"),
        ({}, 4, ValueError, r"argument max is i64\[2,3\], expected .* = \(3, 3\) with"),
        ({}, -1, ValueError, "size k is -1"),
        ({}, 1.5, TypeError, "cannot be interpreted as an integer"),
    ],
)  # fmt: skip
def test_sizes_that_disagree_are_errors(sized, change, k, error, message):
    args = [change.get(j, a) for j, a in enumerate(sized_arguments(7, 4, 3))]
    with pytest.raises(error, match=message):
        sized(*args, k=k)


@pytest.mark.parametrize(
    ("code", "error", "message"),
    [
        (1, IndexError, "sized: index 0 is out of bounds for axis 0"),
        (2, MemoryError, "bytes of workspace are needed"),
        (3, RuntimeError, "sized: cancelled"),
        (4, ValueError, r"sizes that must agree are 0 and 0 \(guard 0\)"),
        (
            5,
            np.linalg.LinAlgError,
            r"matrix 0 of a batch is not positive definite: its leading minor of order "
            r"0 is not positive \(operation 0\)",
        ),
        (
            6,
            np.linalg.LinAlgError,
            r"matrix 0 of a batch is singular: pivot 0 is 0 \(operation 0\)",
        ),
        (9, RuntimeError, "the library returned the unknown status 9"),
    ],
)
def test_status_codes_become_exceptions(sized, code, error, message):
    with pytest.raises(error, match=message):
        sized(*sized_arguments(2, 3, 100 + code), k=100 + code)


def test_library_of_another_compilation_is_refused(tmp_path):
    packaged(tmp_path / "one")
    packaged(tmp_path / "two", (SCALE,))
    shutil.copy(tmp_path / "two" / "libscale.so", tmp_path / "one" / "libscale.so")
    with pytest.raises(ImportError, match="not the library this module was written"):
        imported(tmp_path / "one")


@pytest.mark.parametrize("content", [None, b"", b"\x7fELF nonsense"])
def test_library_that_cannot_be_loaded_is_an_import_error(tmp_path, content):
    packaged(tmp_path)
    (tmp_path / "libscale.so").unlink()
    if content is not None:
        (tmp_path / "libscale.so").write_bytes(content)
    with pytest.raises(ImportError, match=r"libscale\.so cannot be used"):
        imported(tmp_path)


def test_processor_must_have_the_features(tmp_path, monkeypatch):
    packaged(tmp_path, features=["+avx2", "-avx512f", "+unheard-of", "sse4.1"])
    text = (tmp_path / "scale.py").read_text()
    assert "avx2, unheard-of, sse4.1" in text
    plain = open

    def shown(lines):
        file = tmp_path / "cpuinfo"
        file.write_text(lines)
        monkeypatch.setattr(
            "builtins.open",
            lambda path, *a, **k: plain(
                file if path == "/proc/cpuinfo" else path, *a, **k
            ),
        )

    shown("model : x\nflags : fpu sse4_1 avx\n")
    with pytest.raises(ImportError, match="instructions this processor lacks: avx2;"):
        imported(tmp_path)
    shown("nothing of the kind\n")
    imported(tmp_path)


def test_machine_must_be_the_right_one(tmp_path):
    packaged(tmp_path, target_triple="s390x-unknown-linux-gnu", features=[])
    with pytest.raises(ImportError, match=r"libscale\.so is for s390x-unknown-linux"):
        imported(tmp_path)


def test_words_of_the_user_stay_words(tmp_path):
    doc = '"""\nimport os; os.abort()\n\\ \\x41 {braces} %s \x00\r\ud800 é\u202e """'
    odd = Signature(
        "max",
        (ArraySpec("len", "f64", ("max",)), ArraySpec("for", "i64", ()),
         ArraySpec("θ", "f64", ())),
        (ArraySpec('"', "f64", ()),),
        ("max",),
        doc,
    )  # fmt: skip
    text = loader_text(
        "p", [odd], [None], [None], host().triple, [], "libp.so", ("pb_p_stamp", b"")
    )
    start = text.index("\ndef max_(len, for_, u03b8):")
    scope = {"_call_max": lambda values, given: (values, given)}
    exec(text[start:], scope)
    assert inspect.cleandoc(scope["max_"].__doc__).startswith(inspect.cleandoc(doc))
    assert scope["max_"](1, 2, 3) == ((1, 2, 3), {})


def test_builtin_names_can_be_functions(tmp_path):
    text = program_text(host()).replace("pb_scale", "pb_max")
    first = Signature("max", SCALE.inputs, SCALE.outputs, SCALE.sizes, "")
    write_package(
        tmp_path, "max", emit_object(text, host()), text, [first], [None],
        host().triple, FEATURES,
    )  # fmt: skip
    assert imported(tmp_path, "max").max_(np.ones(3), 0)[0] == 3.0


def test_objects_that_lack_a_function_are_refused(tmp_path):
    lost = Signature("lost", (), (), (), "")
    with pytest.raises(PackageError, match="lacks pb_lost, pb_lost_workspace"):
        packaged(tmp_path / "out", (SCALE, lost))
    needy = emit_object(
        f'target triple = "{host().triple}"\ndeclare void @abort()\n'
        "define void @pb_f() {\ncall void @abort()\nret void\n}\n",
        host(),
    )
    with pytest.raises(PackageError, match="not self-contained: it needs abort"):
        packaged(tmp_path / "out", obj=needy)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x64\x86" + bytes(60), "the object is not ELF"),
        (b"\xcf\xfa\xed\xfe" + bytes(60), "the object is not ELF"),
    ],
)
def test_other_formats_get_object_archive_and_header(data, reason):
    files = package_files("p", data, "", [], [], "x86_64-pc-windows-msvc", [])
    assert list(files) == ["p.o", "libp.a", "p.h", "p.ll"]
    said = missing_files("p", data)
    assert said.startswith("libp.so and p.py are not written: ")
    assert reason in said
    assert missing_files("scale", program_object()) == ""


def test_context_has_the_layout_of_the_abi(scale):
    assert ctypes.sizeof(scale._Context) == 72
    assert ctypes.sizeof(scale._Status) == 32
    assert scale._Context.status.offset == 8
    assert scale._Context.grow.offset == 16
    assert scale._Context.pool.offset == 32
    assert scale._Context.threads.offset == 40
    assert scale._Context.cancel.offset == 48
    assert scale._Context.print.offset == 56
    assert scale._Context.print_state.offset == 64
