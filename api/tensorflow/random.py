"""`tf.random`: numbers from a counter-based generator, the same on every machine.

A draw without a seed of its own takes the next block of one stream: Philox 4x64, keyed
by the global seed. A draw with a seed has a stream keyed by both seeds, of which each
draw of the function takes the next block. Without a global seed the stream is keyed by
the system's entropy. Stateless draws are keyed by their two integers alone.
"""

import itertools
import threading
from typing import Any

import numpy as np

from ..tracer.cell import leaf
from .dtypes import as_dtype, float32
from .making import plain_shape, public_names
from .tensors import EagerTensor, convert

_MASK = (1 << 64) - 1
_DEFAULT = 87654321  # keys draws that have an own seed where there is no global one


class _State:
    """The global seed, and how many blocks each stream has given."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reset(None)

    def reset(self, seed: "int | None") -> None:
        self.seed = seed
        self.key = int(str(np.random.SeedSequence().entropy)) if seed is None else seed
        self.blocks: dict[Any, Any] = {}

    def generator(self, seed: "int | None") -> np.random.Generator:
        with self.lock:
            block = next(self.blocks.setdefault(seed, itertools.count()))
        if seed is None:
            return philox(self.key, 0, block)
        base = _DEFAULT if self.seed is None else self.seed
        return philox(base, 1 + seed, block)


_STATE = _State()


def philox(key: int, stream: int, block: int) -> np.random.Generator:
    """Return a generator of one block of one stream of a key."""
    words = [key & _MASK, stream & _MASK]
    # the counter's upper words tell blocks apart; the lowest counts within a block
    bits = np.random.Philox(key=words, counter=[0, 0, block & _MASK, 0])
    return np.random.Generator(bits)


def set_seed(seed: Any) -> None:
    """Begin the stream of a seed anew; None for one that nobody knows."""
    with _STATE.lock:
        _STATE.reset(None if seed is None else int(seed))


def _uniform(
    generator: np.random.Generator, shape: Any, low: Any, high: Any, dtype: Any
) -> EagerTensor:
    kind = as_dtype(dtype)
    size = plain_shape(shape)
    low = low.numpy() if isinstance(low, EagerTensor) else low
    high = high.numpy() if isinstance(high, EagerTensor) else high
    if kind.is_integer:
        if high is None:
            raise ValueError(f"Must specify maxval for integer dtype {kind.name}")
        return _held(generator.integers(low, high, size, kind.dtype))
    drawn = generator.random(size, kind.dtype)
    top = 1 if high is None else high
    if low != 0 or top != 1:
        drawn = (drawn * (top - low) + low).astype(kind.dtype)
    return _held(drawn)


def _normal(
    generator: np.random.Generator, shape: Any, mean: Any, stddev: Any, dtype: Any
) -> EagerTensor:
    kind = as_dtype(dtype)
    drawn = generator.standard_normal(plain_shape(shape), kind.dtype)
    return _shifted(drawn, mean, stddev, kind)


def _shifted(drawn: Any, mean: Any, stddev: Any, kind: Any) -> EagerTensor:
    made = _held(np.asarray(drawn, kind.dtype))
    if isinstance(stddev, EagerTensor) or stddev != 1:
        made = made * stddev
    if isinstance(mean, EagerTensor) or mean != 0:
        made = made + mean
    return made


def _held(array: Any) -> EagerTensor:
    return EagerTensor(leaf(np.asarray(array)))


def normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = float32,
    seed: "int | None" = None, name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return draws from a normal distribution; the gradient reaches mean and stddev."""
    return _normal(_STATE.generator(seed), shape, mean, stddev, dtype)


def uniform(
    shape: Any, minval: Any = 0, maxval: Any = None, dtype: Any = float32,
    seed: "int | None" = None, name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return draws from [minval, maxval), integers or floats.

    Raises:
        ValueError: integers are asked for without maxval.
    """
    return _uniform(_STATE.generator(seed), shape, minval, maxval, dtype)


def truncated_normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = float32,
    seed: "int | None" = None, name: Any = None,
) -> EagerTensor:  # fmt: skip
    """Return draws from a normal distribution, none farther than two deviations."""
    generator = _STATE.generator(seed)
    kind = as_dtype(dtype)
    size = plain_shape(shape)
    drawn = np.empty(size, kind.dtype).reshape(-1)
    missing = np.arange(drawn.size)
    while missing.size:
        drawn[missing] = generator.standard_normal(missing.size, kind.dtype)
        missing = missing[np.abs(drawn[missing]) > 2]
    return _shifted(drawn.reshape(size), mean, stddev, kind)


def shuffle(value: Any, seed: "int | None" = None, name: Any = None) -> EagerTensor:
    """Return the rows of a tensor in another order."""
    held = convert(value)
    return _held(_STATE.generator(seed).permutation(held.numpy()))


def _stateless(seed: Any) -> np.random.Generator:
    key, stream = (int(s) for s in plain_shape(seed))
    return philox(key, stream, 0)


def stateless_uniform(
    shape: Any, seed: Any, minval: Any = 0, maxval: Any = None, dtype: Any = float32,
    name: Any = None, alg: str = "auto_select",
) -> EagerTensor:  # fmt: skip
    """Return draws that two integers decide alone."""
    return _uniform(_stateless(seed), shape, minval, maxval, dtype)


def stateless_normal(
    shape: Any, seed: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = float32,
    name: Any = None, alg: str = "auto_select",
) -> EagerTensor:  # fmt: skip
    """Return draws that two integers decide alone."""
    return _normal(_stateless(seed), shape, mean, stddev, dtype)


__all__ = [n for n in public_names(globals()) if n != "philox"]
