"""A slice of the random programs; `tests/torture/fuzz.py` runs them by the hour."""

import sys
from collections import Counter
from pathlib import Path

import pytest
from pullback.codegen.scalar import ScalarEmitter

sys.path.append(str(Path(__file__).parents[1] / "torture"))

from fuzz import Failure, one

SEEDS = range(1, 13)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_program(seed: int) -> None:
    one(seed, Counter())


def test_a_wrong_kernel_is_caught_and_cut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant a wrong instruction: a square is a sum."""
    monkeypatch.setattr(ScalarEmitter, "square", lambda s, x: s.add(x, x))

    def many() -> None:
        for seed in range(40):
            one(seed, Counter(), ["fused"])

    with pytest.raises(Failure, match=r"square|integer_pow") as caught:
        many()
    text = caught.value.__notes__[1]
    assert text.count(" = ") == 1
    assert len(text.splitlines()) < 10, text
