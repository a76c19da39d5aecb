"""What a call is bound by, and which families are measured."""

import os

import pytest
from bench_records import alone
from contenders.pullback import call
from harness.bends import touched
from harness.growth import FAMILIES, bound, families_of
from harness.machine import settle
from workloads import workload

LIMITS = [{"bytes": 4e5, "bytes_per_s": 1e11}, {"bytes": 4e8, "bytes_per_s": 1e10}]


def test_a_call_near_the_cheapest_is_bound_by_itself() -> None:
    assert bound(alone(0.29, bytes=100), 0.15, LIMITS) == "the call"


def test_memory_bounds_what_passes_at_half_the_triad_s_pace() -> None:
    assert bound(alone(1.0, bytes=60_000), 0.15, LIMITS) == "memory"
    assert bound(alone(1.0, bytes=40_000), 0.15, LIMITS) == "work"
    assert bound(alone(1e4, bytes=60_000_000), 0.15, LIMITS) == "memory"
    assert bound(alone(1e4, bytes=60_000_000), 0.15, []) == "work", "not measured"


def test_what_several_kernels_read_is_passed_by_each() -> None:
    program = call(workload("logreg_1000")).program()  # type: ignore[attr-defined]
    features, column = 8 * 1000 * 100, 8 * 1000
    # the product and its adjoint read the features; the rest are columns
    rest = program.passed - 2 * features
    assert 4 * column < rest < 6 * column
    assert touched({"bytes": 1, "workspace": 2, "passed": 7}) == 7
    assert touched({"bytes": 1, "workspace": 2}) == 5


def test_sizes_of_a_family_are_a_decade_apart() -> None:
    for names in FAMILIES.values():
        first, *others = (workload(name).size for name in names[:2])
        for size in others:
            grown = [b / a for a, b in zip(first, size, strict=True) if a != b]
            assert grown == [10.0], names


def test_families_by_name() -> None:
    assert families_of([]) == list(FAMILIES)
    assert families_of(["ode"]) == ["ode"]
    with pytest.raises(SystemExit, match="no family 'x': there are rosen, elem,"):
        families_of(["ode", "x"])


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux alone has it")
def test_several_threads_have_as_many_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[int]] = []
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: asked.append(cores))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 3, 1, 7})
    settle(1, 4, {})
    settle(4, 4, {})
    assert not asked, "one thread may move; all cores are no choice"
    settle(2, 4, {})
    assert asked == [[1, 3]]
