import ctypes
import sys
import threading

import numpy as np
import pytest
from fastcall_programs import (
    LLVM_TYPES,
    PATHS,
    STRANGE,
    Missed,
    add_entry,
    entry,
    missed,
    n_of,
    program,
    reverse_entry,
    square_entry,
    write_copy,
    write_fail,
    write_square,
    write_through_workspace,
)
from pullback.codegen.llvm import I32, I64, PTR, const
from pullback.runtime import fastcall
from pullback.runtime.fastcall import InSpec, OutSpec, call_path, capi, make_entry
from pullback.runtime.fastcall.portable import Context, PortableEntry
from pullback.runtime.fastcall.spec import DTYPES


@pytest.fixture(params=PATHS)
def path(request):
    return request.param


# -- scalars ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [("ARRAY_DATA", 24, "ndarray of f64"), ("ARRAY_FLAGS", 60, "ndarray of f64"),
     ("ARRAY_HANDLER", 80, "memory handler"), ("DESCR_KEY", 25, "ndarray of f64"),
     ("SCALAR_VALUE", 24, "scalar f64"), ("FLOAT_VALUE", 24, "float"),
     ("TUPLE_ITEMS", 32, "tuple"), ("CAPSULE_POINTER", 24, "capsule")],
)  # fmt: skip
def test_a_wrong_offset_is_noticed(monkeypatch, name, value, reason):
    monkeypatch.setattr(capi, name, value)
    assert capi.refusal.__wrapped__() == f"unexpected object layout: {reason}"


def test_unknown_versions_are_refused(monkeypatch):
    monkeypatch.setattr(capi, "KNOWN_PYTHONS", ())
    found = capi.refusal.__wrapped__()
    assert found == "Python {}.{} is not among the known versions".format(
        *sys.version_info
    )
    monkeypatch.setattr(fastcall, "refusal", lambda: found)
    assert call_path() == f"ctypes: {found}"
    assert type(square_entry()) is PortableEntry
    with pytest.raises(RuntimeError, match="no native entry: Python"):
        square_entry(path="native")


def test_the_native_entry_is_used_here():
    assert call_path() == "native"


@pytest.mark.parametrize("value", [3.0, 3, np.float64(3), np.array(3.0)])
def test_scalar_arguments(path, value):
    result = square_entry(path=path)(value)
    assert result == (9.0, 6.0)
    assert [type(part) for part in result] == [np.float64, np.float64]


def test_results_without_axes_may_be_arrays(path):
    made = square_entry(path=path, arrays=True)
    results = [*made(3.0), *made(4.0)]
    for x, wanted in zip(results, (9.0, 6.0, 16.0, 8.0), strict=True):
        assert type(x) is np.ndarray
        assert (x.shape, x.dtype, x.flags.owndata) == ((), np.float64, True)
        assert x[()] == wanted


@pytest.mark.parametrize(
    "value", [True, "3", None, 3j, 10**400, np.float32(3), np.int64(3), np.array([3.0]),
              np.array(3), [3.0], np.longdouble(3), float]
)  # fmt: skip
def test_what_is_no_float_goes_the_slow_way(path, value):
    call = square_entry(path=path, miss=lambda *args, **keywords: (args, keywords))
    args, keywords = call(value)
    assert args[0] is value
    assert keywords == {}
    assert sys.exc_info() == (None, None, None)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_comes_and_goes(path, dtype):
    library = program(write_copy, LLVM_TYPES[dtype])
    call = entry(library, (InSpec("x", dtype, ()),), (OutSpec(dtype, ()),), path=path)
    kind = DTYPES[dtype].type
    for value in (kind(1), kind(0), np.array(1, DTYPES[dtype])):
        assert call(value) == value
        assert type(call(value)) is kind
    swapped = np.array(1, DTYPES[dtype].newbyteorder())
    if DTYPES[dtype].itemsize > 1:
        with pytest.raises(Missed):
            call(swapped)
    with pytest.raises(Missed):
        call(np.complex128(1))


def test_python_integers_and_bools(path):
    i64 = entry(
        program(write_copy, "i64"), (InSpec("x", "i64", ()),), (OutSpec("i64", ()),),
        path=path,
    )  # fmt: skip
    for value in (0, -1, 2**63 - 1, -(2**63)):
        assert i64(value) == value
    for value in (2**63, 10**40, True, 1.0):
        with pytest.raises(Missed):
            i64(value)
    boolean = entry(
        program(write_copy, "i8"), (InSpec("x", "bool", ()),), (OutSpec("bool", ()),),
        path=path,
    )  # fmt: skip
    assert boolean(True) is np.True_
    assert boolean(False) is np.False_
    with pytest.raises(Missed):
        boolean(1)
    f32 = entry(
        program(write_copy, "float"), (InSpec("x", "f32", ()),), (OutSpec("f32", ()),),
        path=path,
    )  # fmt: skip
    with pytest.raises(Missed):
        f32(1.0)


# -- arrays ----------------------------------------------------------------------------


@pytest.mark.parametrize("n", [0, 2, 10, 9000])
def test_arrays_of_a_named_size(path, n):
    x, y = np.arange(n, dtype=float), np.ones(n)
    out = add_entry(path=path)(x, y)
    np.testing.assert_array_equal(out, x + y)
    assert type(out) is np.ndarray
    assert out.dtype is np.dtype(float)
    assert out.flags.carray
    assert out.flags.owndata
    assert out.base is None


@pytest.mark.parametrize("kind", STRANGE)
def test_strange_arrays_go_the_slow_way(path, kind):
    value, plain = STRANGE[kind], np.ones(10)
    call = add_entry(path=path, miss=lambda *args: args)
    for args in ((value, plain), (plain, value), (value, value)):
        if kind == "longer" and args[0] is args[1]:
            continue
        assert all(a is b for a, b in zip(call(*args), args, strict=True))


def test_a_size_is_never_one(path):
    with pytest.raises(Missed):
        add_entry(path=path)(np.ones(1), np.ones(1))


def test_read_only_and_shared_inputs_are_fine(path):
    x = np.ones(10)
    x.flags.writeable = False
    np.testing.assert_array_equal(add_entry(path=path)(x, x), x + x)


def test_a_dtype_that_is_not_the_singleton(path):
    other = np.dtype(np.float64, metadata={"unit": "m"})
    assert other is not np.dtype(float)
    x = np.ones(10, other)
    np.testing.assert_array_equal(add_entry(path=path)(x, x), x + x)


@pytest.mark.parametrize(
    ("args", "keywords"),
    [((), {}), ((1.0,) * 2, {}), ((1.0,) * 100_000, {}), ((), {"x": 1.0}),
     ((1.0,), {"y": 2})],
)  # fmt: skip
def test_wrong_counts_and_keywords(path, args, keywords):
    call = square_entry(path=path, miss=lambda *args, **keywords: (args, keywords))
    assert call(*args, **keywords) == (args, keywords)


def test_fixed_extents(path):
    call = entry(
        program(write_copy, "double"), (InSpec("x", "f64", (1, 3)),),
        (OutSpec("f64", (2, 2)),), path=path,
    )  # fmt: skip
    assert call(np.full((1, 3), 4.0))[0, 0] == 4.0
    for shape in ((3,), (1, 4), (2, 3), (1, 3, 1)):
        with pytest.raises(Missed):
            call(np.ones(shape))


@pytest.mark.parametrize("factor", [-1, 2**60, 2**62])
def test_extents_that_make_no_sense_go_the_slow_way(path, factor):
    def scaled(fn, sizes):
        return fn.mul(sizes["n"], const(I64, factor))

    call = entry(
        program(write_copy, "double"), (InSpec("x", "f64", ("n",)),),
        (OutSpec("f64", (scaled,)),), ("n",), path=path,
    )  # fmt: skip
    with pytest.raises(Missed):
        call(np.ones(3))


def test_too_much_memory_is_an_error(path):
    call = entry(
        program(write_copy, "double"), (InSpec("x", "f64", ()),),
        (OutSpec("f64", (3,)), OutSpec("f64", (2**45, 2**5))), tree=(0, 1), path=path,
    )  # fmt: skip
    for _ in range(3):
        with pytest.raises(MemoryError):
            call(1.0)


# -- results ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tree", "expected"),
    [((0, 1), (9.0, 6.0)), ((1, 0), (6.0, 9.0)), ((0, (1,)), (9.0, (6.0,))),
     (((0, 1), ()), ((9.0, 6.0), ()))],
)  # fmt: skip
def test_result_trees(path, tree, expected):
    assert square_entry(path=path, tree=tree)(3.0) == expected


def test_no_result_at_all(path):
    call = entry(
        program(lambda fn: None), (InSpec("x", "f64", ()),), (), tree=(), path=path
    )
    assert call(1.0) == ()


@pytest.mark.parametrize("tree", [0, (0, 0), (0, 1, 2), ()])
def test_a_tree_holds_each_output_once(path, tree):
    with pytest.raises(ValueError, match="each of 2 outputs once"):
        square_entry(path=path, tree=tree)


def test_descriptions_that_contradict_themselves(path):
    library = program(write_square)
    with pytest.raises(ValueError, match="unknown dtype 'f16'"):
        entry(library, (InSpec("x", "f16", ()),), (), tree=(), path=path)
    with pytest.raises(ValueError, match="the program lists \\['m'\\]"):
        entry(library, (InSpec("x", "f64", ("n",)),), (), ("m",), (), path=path)
    with pytest.raises(ValueError, match="negative extent -1"):
        entry(library, (InSpec("x", "f64", (-1,)),), (), tree=(), path=path)


# -- failure, workspace, threads -------------------------------------------------------


def test_a_status_becomes_an_exception(path):
    call = entry(
        program(write_fail), (InSpec("x", "i64", ()),), (OutSpec("i64", ()),), path=path
    )
    assert call(4) == 4
    with pytest.raises(IndexError) as caught:
        call(-3)
    assert caught.value.args == (1, 7, -3, 2, 5)


@pytest.mark.parametrize("answer", [ValueError("own"), ZeroDivisionError, 17])
def test_the_callback_of_failures_may_misbehave(path, answer):
    def build(*_):
        if answer is ZeroDivisionError:
            raise answer
        return answer

    library = program(write_fail)
    call = make_entry(
        library.address("pb_test"), (InSpec("x", "i64", ()),), (OutSpec("i64", ()),),
        (), 0, 0, missed, build, path=path,
    )  # fmt: skip
    kind = TypeError if answer == 17 else ValueError
    with pytest.raises(ZeroDivisionError if answer is ZeroDivisionError else kind):
        call(-1)


@pytest.mark.parametrize("n", [2, 100, 50, 9000, 20_000, 0, 3])
def test_workspace_grows_as_needed(path, n):
    call = reverse_entry(path=path)
    for m in (2, n, 7, n):
        x = np.arange(m, dtype=float)
        np.testing.assert_array_equal(call(x), x[::-1])


@pytest.mark.parametrize("workspace", [4096, 1 << 20])
def test_constant_workspace(path, workspace):
    call = entry(
        program(write_through_workspace, 1), (InSpec("x", "f64", ("n",)),),
        (OutSpec("f64", (n_of,)),), ("n",), path=path, workspace=workspace,
    )  # fmt: skip
    np.testing.assert_array_equal(call(np.arange(4.0)), np.arange(4.0)[::-1])


@pytest.mark.parametrize("n", [500, 20_000])
def test_threads_share_an_entry(path, n):
    call = reverse_entry(rounds=20, path=path, release=True)
    right = []

    def work(start):
        x = np.arange(start, start + n, dtype=float)
        right.append(all(np.array_equal(call(x), x[::-1]) for _ in range(30)))

    threads = [threading.Thread(target=work, args=(k * n,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert right == [True] * 4


def write_wait(fn):
    """Spin until the cancel flag is set; return CANCELLED."""
    flag = fn.load(fn.gep(fn.args[0], const(I64, 48)), PTR)
    fn.br("spin")
    fn.start("spin")
    value = fn.emit(I32, f"load volatile i32, ptr {flag.ref}, align 4")
    fn.cond_br(fn.icmp("eq", value, const(I32, 0)), "spin", "stop")
    fn.start("stop")
    fn.ret(const(I32, 3))
    fn.start("never")


def test_a_released_call_can_be_cancelled(path):
    flag = ctypes.c_int32(0)
    context = Context(abi_version=1, size=56, threads=1, cancel=ctypes.addressof(flag))
    call = entry(
        program(write_wait), (InSpec("x", "f64", ()),), (OutSpec("f64", ()),),
        path=path, release=True, context=ctypes.addressof(context),
    )  # fmt: skip
    timer = threading.Timer(0.05, lambda: setattr(flag, "value", 1))
    timer.start()
    with pytest.raises(IndexError) as caught:
        call(1.0)
    timer.join()
    assert caught.value.args[0] == 3


def test_as_the_call_of_a_class(path):
    class Compiled:
        pass

    call = square_entry(path=path)
    Compiled.__call__ = call
    assert Compiled()(3.0) == (9.0, 6.0)
    with pytest.raises(Missed):
        Compiled()(3.0, 4.0)
