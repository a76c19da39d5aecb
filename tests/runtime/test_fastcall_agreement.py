"""The native and the portable entry accept the same arguments and return alike."""

import random

import numpy as np
import pytest
from fastcall_programs import PATHS, STRANGE, entry, program
from pullback.codegen.llvm import I64, const
from pullback.runtime.fastcall import InSpec, OutSpec, call_path
from pullback.runtime.fastcall.spec import DTYPES

pytestmark = pytest.mark.skipif("native" not in PATHS, reason=call_path())

SCALARS = [
    1, 1.0, -1, -1.0, True, False, None, 2**70, 1j, "a", float("nan"), np.float64(1),
    np.float32(1), np.int64(1), np.int32(1), np.bool_(1), np.uint8(3), np.longlong(3),
]  # fmt: skip


def write_nothing(fn):
    pass


def one_plus_all(fn, sizes):
    total = const(I64, 1)
    for size in sizes.values():
        total = fn.add(total, size)
    return total


def some_signature(rng):
    def dims(choices, most):
        return tuple(rng.choice(choices) for _ in range(rng.randint(0, most)))

    inputs = tuple(
        InSpec(f"x{k}", rng.choice([*DTYPES]), dims([0, 1, 2, 3, "n", "m", "n"], 3))
        for k in range(rng.randint(0, 4))
    )
    outputs = tuple(
        OutSpec(rng.choice([*DTYPES]), dims([0, 1, 2, one_plus_all], 2))
        for _ in range(rng.randint(0, 3))
    )
    named = [dim for spec in inputs for dim in spec.dims if isinstance(dim, str)]
    return inputs, outputs, tuple(dict.fromkeys(named))


def some_value(rng, spec):
    if rng.random() < 0.1:
        return rng.choice([*STRANGE.values()])
    if rng.random() < 0.1:
        return rng.choice(SCALARS)
    shape = [
        rng.choice([2, 2, 2, 2, 3, 0, 1])
        if isinstance(dim, str)
        else rng.choice([dim, dim, dim, dim, 0, 1, 2])
        for dim in spec.dims
    ]
    value = np.zeros(shape, DTYPES[spec.dtype])
    if rng.random() < 0.05:
        value = value.astype(value.dtype.newbyteorder())
    if value.ndim and rng.random() < 0.1:
        value = value[..., ::-1]
    if rng.random() < 0.1:
        value = np.asfortranarray(value)
    return value[()] if value.ndim == 0 and rng.random() < 0.5 else value


@pytest.mark.parametrize("seed", range(20))
def test_both_paths_agree(seed):
    rng = random.Random(seed)
    inputs, outputs, sizes = some_signature(rng)
    native, portable = (
        entry(
            program(write_nothing), inputs, outputs, sizes, tuple(range(len(outputs))),
            lambda *_, **__: None, path=path,
        )
        for path in ("native", "ctypes")
    )  # fmt: skip
    for _ in range(150):
        args = [some_value(rng, spec) for spec in inputs]
        found, expected = native(*args), portable(*args)
        assert (found is None) == (expected is None), (inputs, args)
        for x, y in zip(found or (), expected or (), strict=True):
            assert (type(x), x.dtype, x.shape) == (type(y), y.dtype, y.shape)
