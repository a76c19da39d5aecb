"""Calls with `out=`: both entries write into what is given, and accept the same."""

import gc
import random
import sys

import numpy as np
import pytest
from fastcall_programs import (
    PATHS,
    STRANGE,
    Missed,
    add_entry,
    entry,
    fill_entry,
    program,
    square_entry,
    write_copy,
    write_fail,
)
from pullback.codegen.llvm import I64, const
from pullback.runtime.fastcall import InSpec, OutSpec
from pullback.runtime.fastcall.spec import DTYPES


@pytest.fixture(params=PATHS)
def path(request):
    return request.param


@pytest.mark.parametrize("n", [0, 2, 10, 9000])
def test_results_are_written_into_what_is_given(path, n):
    x, y, out = np.arange(n, dtype=float), np.ones(n), np.full(n, 7.0)
    call = add_entry(path=path, into=True)
    before = sys.getrefcount(out)
    assert call(x, y, out=out) is out
    assert sys.getrefcount(out) == before
    np.testing.assert_array_equal(out, x + y)
    for made in (call(x, y), call(x, y, out=None)):
        assert made is not out
        np.testing.assert_array_equal(made, x + y)


def test_a_keyword_whose_name_is_no_constant(path):
    x, out = np.arange(3.0), np.zeros(3)
    call = add_entry(path=path, into=True, miss=lambda *_, **options: options)
    name = "".join(["o", "ut"])
    found = call(x, x, **{name: out})
    assert found is out or found == {"out": out}


@pytest.mark.parametrize("keywords", [{"y": 1}, {"out": None, "y": 1}, {"uot": None}])
def test_other_keywords_go_the_slow_way(path, keywords):
    call = square_entry(path=path, into=True, miss=lambda *a, **k: (a, k))
    assert call(1.0, **keywords) == ((1.0,), keywords)
    assert call(out=None) == ((), {"out": None})
    assert call(1.0, 2.0, out=None) == ((1.0, 2.0), {"out": None})


def test_without_into_a_keyword_goes_the_slow_way(path):
    call = square_entry(path=path, miss=lambda *a, **k: (a, k))
    assert call(1.0, out=None) == ((1.0,), {"out": None})


def test_scalars_trees_and_none(path):
    call = square_entry(path=path, into=True, tree=(0, (1, ())))
    value, slope = np.empty(()), np.empty(())
    found = call(3.0, out=(value, (slope, ())))
    assert found[0] is value
    assert found[1][0] is slope
    assert (value, slope) == (9.0, 6.0)
    assert call(4.0, out=(None, (slope, None))) == (16.0, (8.0, ()))
    assert slope == 8.0
    found = call(5.0, out=(value, None))
    assert found == (25.0, (10.0, ()))
    assert [type(found[0]), type(found[1][0])] == [np.ndarray, np.float64]


def test_what_is_arranged_otherwise_goes_the_slow_way(path):
    call = square_entry(path=path, into=True)
    value = np.empty(())
    pair = [value, value.copy()]
    for out in (pair, (value,), (*pair, None), value, (value, (None,)), {}, 3):
        with pytest.raises(Missed):
            call(3.0, out=out)


@pytest.mark.parametrize("kind", [kind for kind in STRANGE if kind != "none"])
def test_strange_arrays_are_not_written(path, kind):
    with pytest.raises(Missed):
        add_entry(path=path, into=True)(np.ones(10), np.ones(10), out=STRANGE[kind])


def test_read_only_arrays_are_not_written(path):
    out = np.zeros(10)
    out.flags.writeable = False
    with pytest.raises(Missed):
        add_entry(path=path, into=True)(np.ones(10), np.ones(10), out=out)
    assert not out.any()


def test_what_overlaps_goes_the_slow_way(path):
    memory = np.zeros(30)
    call = add_entry(path=path, into=True)
    x, y = memory[:10], memory[5:15]
    assert call(x, y, out=memory[15:25]) is not None
    for at in (0, 3, 5, 9, 14):
        with pytest.raises(Missed):
            call(x, y, out=memory[at : at + 10])
    # nothing overlaps what is empty, wherever it lies
    empty = memory[3:3]
    assert call(empty, empty, out=memory[3:3]) is not None
    copy = entry(
        program(write_copy, "double"), (InSpec("x", "f64", ("n",)),),
        (OutSpec("f64", (0,)), OutSpec("f64", (2,))), ("n",), (0, 1),
        path=path, into=True,
    )  # fmt: skip
    assert copy(memory[:4], out=(memory[2:2], memory[4:6]))[1][0] == 0


def test_results_may_not_overlap_each_other(path):
    call = square_entry(path=path, into=True)
    value, pair = np.empty(()), np.empty(2)
    with pytest.raises(Missed):
        call(3.0, out=(value, value))
    assert call(3.0, out=(pair[1:].reshape(()), pair[:1].reshape(()))) == (9.0, 6.0)
    np.testing.assert_array_equal(pair, [6.0, 9.0])
    held = np.array(3.0)
    with pytest.raises(Missed):
        call(held, out=(held, None))


def test_a_failure_leaves_the_count_of_references(path):
    call = entry(
        program(write_fail), (InSpec("x", "i64", ()),), (OutSpec("i64", ()),),
        path=path, into=True,
    )  # fmt: skip
    out = np.zeros((), int)
    before = sys.getrefcount(out)
    for _ in range(3):
        with pytest.raises(IndexError):
            call(-3, out=out)
    assert call(4, out=out) is out
    gc.collect()  # frames of the tracebacks
    assert sys.getrefcount(out) == before


def test_a_large_result_is_not_made(path):
    shape = (1 << 20,)
    call = fill_entry(shape, path=path, into=True)
    out = np.zeros(shape)
    assert call(2.0, out=out) is out
    assert (out == 2.0).all()


# -- the two entries agree -------------------------------------------------------------


def some_tree(rng, leaves):
    """Nest leaves in tuples, in order."""
    if len(leaves) == 1 and rng.random() < 0.5:
        return leaves[0]
    parts, rest = [], list(leaves)
    while rest:
        count = rng.randint(1, len(rest))
        taken, rest = rest[:count], rest[count:]
        alone = count == 1
        parts.append(taken[0] if alone else tuple(taken))
    return tuple(parts)


def some_out(rng, tree, specs, memory):
    """What might be given for a tree, right more often than not."""
    if rng.random() < 0.1:
        return None
    if isinstance(tree, tuple):
        parts = [some_out(rng, child, specs, memory) for child in tree]
        if rng.random() < 0.05:
            return parts
        return tuple(parts[:-1] if rng.random() < 0.05 else parts)
    if rng.random() < 0.1:
        return rng.choice([*STRANGE.values()])
    dtype, shape = specs[tree]
    if rng.random() < 0.05:
        shape = (*shape, 2)
    count = int(np.prod(shape)) * DTYPES[dtype].itemsize
    at = 8 * rng.randint(0, (memory.size - count) // 8)
    out = memory[at : at + count].view(DTYPES[dtype]).reshape(shape)
    if rng.random() < 0.05:
        out.flags.writeable = False
    return out


def same(x, y):
    if isinstance(x, tuple):
        return type(y) is tuple and all(map(same, x, y)) and len(x) == len(y)
    return x is y or (type(x), x.dtype, x.shape) == (type(y), y.dtype, y.shape)


def doubled(fn, sizes):
    return fn.mul(sizes["n"], const(I64, 2))


@pytest.mark.skipif("native" not in PATHS, reason="there is no native entry to compare")
@pytest.mark.parametrize("seed", range(20))
def test_both_paths_agree(seed):
    rng = random.Random(seed)
    inputs = (InSpec("x", "f64", ("n",)), InSpec("y", "f32", ()))
    dims = [
        tuple(rng.choice([0, 1, 2, doubled]) for _ in range(rng.randint(0, 2)))
        for _ in range(rng.randint(1, 4))
    ]
    outputs = tuple(OutSpec(rng.choice([*DTYPES]), d) for d in dims)
    tree = some_tree(rng, range(len(outputs)))
    native, portable = (
        entry(
            program(lambda fn: None), inputs, outputs, ("n",), tree,
            lambda *_, **__: "missed", path=path, into=True,
        )
        for path in ("native", "ctypes")
    )  # fmt: skip
    memory = np.zeros(4096, np.uint8)
    taken = 0
    for _ in range(200):
        n = rng.choice([0, 2, 3])
        at = rng.randint(0, 400)
        args = memory[8 * at : 8 * (at + n)].view(float), np.float32(1)
        specs = [
            (out.dtype, tuple(d if isinstance(d, int) else 2 * n for d in out.dims))
            for out in outputs
        ]
        out = some_out(rng, tree, specs, memory)
        found, expected = native(*args, out=out), portable(*args, out=out)
        assert (type(found) is str) == (type(expected) is str), (args, out)
        if type(found) is not str:
            assert same(found, expected), (args, out)
            taken += 1
    assert taken > 20
