"""Pairs and their ratios, by a clock that only the calls move."""

import math

import numpy as np
import pytest
from harness import timing
from harness.timing import difference, paired_ratio, same_bits, timed_alone, timed_pair

ROUNDS = 31
# The 10th and the 22nd of 31 ordered numbers hold their median with 97 % probability,
# by the binomial distribution; the 11th and the 21st with 93 %.
OUTER, INNER = (10, 22), (11, 21)


class Watch:
    """A clock, and calls that take what they are told."""

    def __init__(self) -> None:
        self.now, self.order = 0.0, ""

    def __call__(self) -> float:
        return self.now

    def call(self, name: str, seconds: float) -> "Call":
        return Call(self, name, seconds)


class Call:
    def __init__(self, watch: Watch, name: str, seconds: float) -> None:
        self.watch, self.name, self.seconds = watch, name, seconds

    def __call__(self) -> None:
        self.watch.now += self.seconds
        self.watch.order += self.name


def test_a_drift_that_both_share_changes_no_ratio() -> None:
    drift = np.linspace(1.0, 3.0, ROUNDS)
    found = paired_ratio(3 * drift, 2 * drift)
    assert (found.median, found.low, found.high) == pytest.approx((1.5, 1.5, 1.5))


def test_the_interval_is_that_of_order_statistics() -> None:
    ratios = np.random.default_rng(3).permutation(np.arange(1.0, ROUNDS + 1))
    found = paired_ratio(ratios, np.ones(ROUNDS))
    assert found.median == 16
    assert OUTER[0] - 1 <= found.low <= INNER[0] + 1
    assert INNER[1] - 1 <= found.high <= OUTER[1] + 1
    assert paired_ratio(ratios, np.ones(ROUNDS)) == found, "the draws are seeded"


def test_one_wild_round_does_not_move_the_interval() -> None:
    ratios = np.ones(ROUNDS)
    ratios[4] = 1e6
    found = paired_ratio(ratios, np.ones(ROUNDS))
    assert (found.median, found.low, found.high) == (1, 1, 1)


def test_what_goes_first_changes_from_round_to_round() -> None:
    watch = Watch()
    pair = timed_pair(watch.call("a", 3.0), watch.call("b", 2.0), 4, clock=watch)
    assert watch.order == "ab" + "baab" * 2, "once each to see how long they take"
    assert pair.base.tolist() == [3.0] * 4
    assert pair.other.tolist() == [2.0] * 4
    assert pair.ratio().median == 1.5


def test_a_sample_of_short_calls_has_many() -> None:
    watch = Watch()
    timed_alone(watch.call("a", 1e-4), 5, clock=watch)
    assert len(watch.order) == 2 + 5 * 20
    assert timing.repeats_of(0.0) == timing.MOST
    assert timing.repeats_of(1.0) == 1


def test_what_is_too_slow_for_the_budget_has_fewer_rounds() -> None:
    watch = Watch()
    pair = timed_pair(watch.call("a", 1.0), watch.call("b", 1.0), 31, 20.0, watch)
    assert len(pair.base) == 10
    assert timing.rounds_of(100.0, 31, 20.0) == timing.FEWEST
    assert timing.rounds_of(1e-3, 31, 20.0) == 31
    assert timing.rounds_of(1.0, 3, 1.0) == 3, "never more than were asked for"


def test_differences_are_over_the_largest_element() -> None:
    ours = (np.float64(2.0), [np.array([1.0, 100.0])])
    assert difference(ours, (2.0, np.array([1.5, 100.0]))) == pytest.approx(0.005)
    assert difference(np.zeros(0), np.zeros(0)) == 0
    assert difference(np.zeros(2), np.zeros(2)) == 0


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (np.ones(2), np.ones((2, 1))),
        ((1.0, 2.0), (1.0,)),
        (np.array([1.0, np.nan]), np.array([1.0, 2.0])),
        (np.array([1.0]), np.array([np.inf])),
    ],
    ids=["shapes", "counts", "nan", "inf"],
)
def test_what_cannot_be_compared_is_infinitely_far(
    ours: object, theirs: object
) -> None:
    assert difference(ours, theirs) == math.inf


def test_bits_tell_signs_of_zero_and_dtypes_apart() -> None:
    assert same_bits((1.0, np.ones(2)), (1.0, np.ones(2)))
    assert not same_bits(0.0, -0.0)
    assert not same_bits(np.ones(2), np.ones(2, "f4"))
    assert not same_bits((1.0,), (1.0, 1.0))
