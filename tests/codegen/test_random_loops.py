"""Random programs with loops and choices; `tests/torture/loops.py` makes more."""

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "torture"))

import loops

#: 5 and 92: a size was read before the loop that binds it
SLICE = (*range(12), 92)


@pytest.mark.parametrize("seed", SLICE)
def test_random_loops(seed: int) -> None:
    loops.one(seed, Counter())


#: results are right, and memory of a loop is not given back when the call ends
LEAKS = 1336


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1300, 100))
def test_many_random_loops(first: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, first + 100):
        loops.one(seed, counts)
    assert counts["programs"] == 100


@pytest.mark.xfail(strict=True, reason="memory of a late size is not given back")
def test_memory_of_a_loop_is_given_back() -> None:
    loops.one(LEAKS, Counter())
