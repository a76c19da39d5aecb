"""Random programs with loops and choices; `tests/torture/loops.py` makes more."""

import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "torture"))

import loops

#: 5 and 92: a size was read before the loop that binds it; 1336: a step added nothing
SLICE = (*range(12), 92, 1336)


@pytest.mark.parametrize("seed", SLICE)
def test_random_loops(seed: int) -> None:
    loops.one(seed, Counter())


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1000, 1600, 100))
def test_many_random_loops(first: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(first, first + 100):
        loops.one(seed, counts)
    assert counts["programs"] == 100
