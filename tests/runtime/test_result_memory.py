import gc
import os
import subprocess
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from fastcall_programs import (
    PATHS,
    Missed,
    add_entry,
    entry,
    failed,
    fill_entry,
    missed,
    program,
    reverse_entry,
    square_entry,
    write_fail,
)
from pullback.runtime.fastcall import InSpec, OutSpec, call_path
from pullback.runtime.pool import POOLED_BYTES, pool


@pytest.fixture(params=PATHS)
def path(request):
    return request.param


# -- memory ----------------------------------------------------------------------------


def _resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def leak_cases(path):
    big = fill_entry((64, 256), path=path)
    fails = entry(
        program(write_fail), (InSpec("x", "i64", ()),), (OutSpec("i64", ()),), path=path
    )

    def fail():
        try:
            fails(-1)
        except IndexError:
            return
        raise AssertionError

    x = np.ones(10)
    square, add, work = (
        square_entry(path=path, tree=(0, (1,)), miss=lambda *_, **__: None),
        add_entry(path=path, miss=lambda *_: None),
        reverse_entry(path=path),
    )
    return {
        "scalars": lambda: square(1.5),
        "integers": lambda: square(3),
        "overflow": lambda: square(10**400),
        "keywords": lambda: square(x=3),
        "arrays": lambda: add(x, x),
        "miss": lambda: add(x, None),
        "failure": fail,
        "pooled": lambda: big(2.0),
        "workspace": lambda: work(x),
    }


@pytest.mark.parametrize("case", leak_cases("ctypes"))
def test_nothing_leaks(path, case):
    call = leak_cases(path)[case]
    count = 100_000 if path == "native" else 3_000
    watched = [np.dtype(np.float64), np.ndarray, np.float64, missed, failed, ()]
    if path == "native":
        watched.append(pool().capsule)
    for _ in range(200):
        call()
    gc.collect()
    before = [sys.getrefcount(thing) for thing in watched]
    resident = _resident()
    for _ in range(count):
        call()
    gc.collect()
    assert _resident() - resident < 2 << 20
    after = [sys.getrefcount(thing) for thing in watched]
    drift = [b - a for a, b in zip(before, after, strict=True)]
    assert all(abs(d) < 20 for d in drift), drift
    tracemalloc.start()
    try:
        call()
        first = tracemalloc.get_traced_memory()[0]
        for _ in range(300):
            call()
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] - first < 4096
    finally:
        tracemalloc.stop()


def test_arguments_are_given_back(path):
    call = add_entry(path=path)
    x, y = np.ones(10), np.ones(10)
    before = sys.getrefcount(x), sys.getrefcount(y)
    out = call(x, y)
    assert (sys.getrefcount(x), sys.getrefcount(y)) == before
    assert sys.getrefcount(out) == 2


def test_an_entry_in_a_cycle_is_collected(path):
    class Owner:
        def __init__(self):
            self.call = square_entry(path=path, miss=self.missed)

        def missed(self, *args):
            raise Missed(args)

    owner = Owner()
    alive = weakref.ref(owner)
    del owner
    gc.collect()
    assert alive() is None


# -- the pool --------------------------------------------------------------------------

native_only = pytest.mark.skipif("native" not in PATHS, reason=call_path())


@pytest.fixture
def emptied_pool():
    found = pool()
    limit = found.stats().limit
    gc.collect()
    found.trim()
    yield found
    found.set_limit(limit)
    found.trim()


@native_only
def test_dead_results_are_reused(emptied_pool):
    call = fill_entry((256, 256), path="native")
    first = call(1.0)
    where = first.ctypes.data
    assert where % 64 == 0
    second = call(2.0)
    assert second.ctypes.data != where
    view = first[3:]
    del first
    third = call(3.0)
    assert third.ctypes.data != where
    np.testing.assert_array_equal(view, np.ones((253, 256)))
    del view
    hits = emptied_pool.stats().hits
    fourth = call(4.0)
    assert fourth.ctypes.data == where
    assert emptied_pool.stats().hits == hits + 1
    np.testing.assert_array_equal(fourth, np.full((256, 256), 4.0))
    np.testing.assert_array_equal(second, np.full((256, 256), 2.0))


@native_only
def test_pooled_arrays_behave_as_numpys(emptied_pool):
    out = fill_entry((256, 256), path="native")(1.5)
    assert out.flags.owndata
    assert out.flags.writeable
    assert out.base is None
    out[0, 0] = 7
    out.resize((512, 256), refcheck=False)
    assert out[0, 0] == 7
    assert out[255, 255] == 1.5
    out.resize((2, 2), refcheck=False)
    np.testing.assert_array_equal(out, [[7, 1.5], [1.5, 1.5]])
    out.resize((0, 2), refcheck=False)
    del out


@native_only
def test_the_pool_is_bounded(emptied_pool):
    call = fill_entry((256, 256), path="native")  # 512 KiB
    emptied_pool.set_limit(1 << 20)
    kept = [call(1.0) for _ in range(5)]
    del kept
    assert emptied_pool.stats().held <= 1 << 20
    assert emptied_pool.stats().blocks == 2
    emptied_pool.set_limit(0)
    assert emptied_pool.stats().held == 0
    call(1.0)
    assert emptied_pool.stats().blocks == 0
    with pytest.raises(ValueError, match="negative limit"):
        emptied_pool.set_limit(-1)


@native_only
def test_a_block_much_larger_than_asked_is_not_taken(emptied_pool):
    large = fill_entry((64, 400), path="native")
    nearly = fill_entry((64, 380), path="native")
    small = fill_entry((64, 200), path="native")
    where = large(1.0).ctypes.data
    out = small(1.0)
    assert out.ctypes.data != where
    out = nearly(1.0)
    assert out.ctypes.data == where


@native_only
def test_a_workspace_takes_any_block_that_is_large_enough(emptied_pool):
    fill_entry((64, 4000), path="native")(1.0)
    (held, misses) = (emptied_pool.stats().held, emptied_pool.stats().misses)
    x = np.arange(20_000.0)
    out = reverse_entry(path="native")(x)
    np.testing.assert_array_equal(out, x[::-1])
    assert emptied_pool.stats().misses == misses + 1  # the result is a new one
    assert (emptied_pool.stats().blocks, emptied_pool.stats().held) == (1, held)


@native_only
def test_many_blocks(emptied_pool):
    call = fill_entry((POOLED_BYTES // 8,), path="native")
    rng = np.random.default_rng(0)
    alive = []
    for step in range(2000):
        alive.append((step, call(float(step))))
        while len(alive) > rng.integers(0, 300):
            value, array = alive.pop(rng.integers(len(alive)))
            assert (array == value).all()
    held = emptied_pool.stats()
    assert held.blocks <= 128
    assert held.held == held.blocks * POOLED_BYTES


@native_only
def test_fork_and_exit_with_live_arrays():
    text = """
import os, sys
sys.path.insert(0, {here!r})
import fastcall_programs as t
call = t.fill_entry((256, 256), path="native")
a, b = call(1.0), call(2.0)
del a
child = os.fork()
c = call(3.0 if child else 4.0)
assert (b == 2.0).all() and (c == (3.0 if child else 4.0)).all()
if child:
    assert os.waitpid(child, 0)[1] == 0
class Late:
    def __init__(self, *kept): self.kept = kept
    def __del__(self):
        assert self.kept[0](5.0)[0, 0] == 5.0 and self.kept[1][0, 0] == 2.0
late = Late(call, b, c)
sys.late = late
import builtins
builtins.kept = c
"""
    here = os.path.dirname(__file__)
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", text.format(here=here)],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
