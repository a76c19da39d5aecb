"""Pairs of calls, timed in turn, and what their ratios say.

A pair is one contender and the base, timed right after each other and in alternating
order, so that what disturbs the machine disturbs both alike. The ratio is the median
over the rounds of the ratios within a round, base over contender; its interval is a
bootstrap of the rounds.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]
Clock = Callable[[], float]
SAMPLE = 2e-3  # seconds that the calls of one sample take together, at least
MOST = 2000  # calls in a sample
FEWEST = 5  # rounds of a pair however long it takes
DRAWS = 2000  # of the bootstrap
COVER = 0.95  # of the interval


@dataclass(frozen=True)
class Ratio:
    """A median of ratios and the bounds of its interval."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class Pair:
    """Seconds a call, one entry a round."""

    base: Array
    other: Array

    def ratio(self) -> Ratio:
        return paired_ratio(self.base, self.other)


def flat(result: Any) -> list[np.ndarray[Any, Any]]:
    """Return the arrays of a result, in order."""
    if isinstance(result, tuple | list):
        return [a for r in result for a in flat(r)]
    return [np.asarray(result)]


def difference(ours: Any, theirs: Any) -> float:
    """Return the largest difference of two results, over their largest element.

    Each array is on its own; another shape, another count of arrays, and a NaN that
    only one of them has, are infinitely far.
    """
    found, other = flat(ours), flat(theirs)
    if len(found) != len(other):
        return math.inf
    worst = 0.0
    for a, b in zip(found, other, strict=True):
        if a.shape != b.shape or not np.array_equal(np.isfinite(a), np.isfinite(b)):
            return math.inf
        if a.size:
            scale = float(np.max(np.abs(b))) or 1.0
            gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
            worst = max(worst, float(np.max(gap)) / scale)
    return worst


def same_bits(ours: Any, theirs: Any) -> bool:
    """Return whether two results have the same bytes."""
    found, other = flat(ours), flat(theirs)
    return len(found) == len(other) and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in zip(found, other, strict=True)
    )


def paired_ratio(base: Array, other: Array, seed: int = 0) -> Ratio:
    """Return the median ratio of rounds, and its interval by drawing rounds again."""
    ratios = base / other
    rng = np.random.default_rng(seed)
    drawn = ratios[rng.integers(0, len(ratios), (DRAWS, len(ratios)))]
    edge = (1 - COVER) / 2
    low, high = np.quantile(np.median(drawn, axis=1), (edge, 1 - edge))
    return Ratio(float(np.median(ratios)), float(low), float(high))


def sample(call: Callable[[], Any], repeats: int, clock: Clock) -> float:
    """Return the seconds of one of so many calls."""
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats


def quick(call: Callable[[], Any], clock: Clock) -> float:
    """Return about how long a call takes; what is long is not called twice for it."""
    first = sample(call, 1, clock)
    return first if first > 50 * SAMPLE else min(first, sample(call, 1, clock))


def repeats_of(seconds: float) -> int:
    """Return how many calls of so many seconds make a sample."""
    return max(1, min(MOST, int(SAMPLE / max(seconds, 1e-9))))


def rounds_of(seconds: float, rounds: int, budget: float) -> int:
    """Return the rounds of a pair that takes so many seconds a round.

    All that were asked for, unless they take longer than the budget: then as many as
    fit, but not fewer than FEWEST. Tables mark what has fewer.
    """
    fit = budget / max(seconds, 1e-9)
    return rounds if fit >= rounds else min(rounds, max(FEWEST, int(fit)))


def timed_pair(
    base: Callable[[], Any],
    other: Callable[[], Any],
    rounds: int,
    budget: float = math.inf,
    clock: Clock = time.perf_counter,
) -> Pair:
    """Time two calls in turn; what goes first changes from round to round."""
    calls = (base, other)
    once = [quick(call, clock) for call in calls]
    repeats = [repeats_of(t) for t in once]
    spent = sum(t * k for t, k in zip(once, repeats, strict=True))
    rounds = rounds_of(spent, rounds, budget)
    times = np.empty((rounds, 2))
    for k in range(rounds):
        for which in (0, 1) if k % 2 else (1, 0):
            times[k, which] = sample(calls[which], repeats[which], clock)
    return Pair(times[:, 0], times[:, 1])


def timed_alone(
    call: Callable[[], Any],
    rounds: int,
    budget: float = math.inf,
    clock: Clock = time.perf_counter,
) -> Array:
    """Time a call that has no other to be compared with."""
    once = quick(call, clock)
    repeats = repeats_of(once)
    rounds = rounds_of(once * repeats, rounds, budget)
    return np.array([sample(call, repeats, clock) for _ in range(rounds)])
