"""Tables from records, by their text."""

import pytest
from bench_records import HEAD, compared, grown
from harness import tables
from harness.bends import bends, figure


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.153, "0.153"), (0.0017, "0.00170"), (9.999, "10.00"), (12.34, "12.3"),
        (1234.5, "1,234"), (0.0, "0"), (float("inf"), "inf"),
    ],
)  # fmt: skip
def test_figures_have_three_digits(number: float, text: str) -> None:
    assert figure(number) == text


def test_times() -> None:
    assert tables.times(compared()).splitlines() == [
        "| workload | pullback | C | JAX |",
        "| --- | ---: | ---: | ---: |",
        "| `rosen_1000` | 2.00 | **1.00** | 4.00 |",
        "| `ode` | **1,234** | 2,469 | - |",
    ]


def test_ratios_mark_what_had_fewer_rounds() -> None:
    assert tables.ratios(compared()).splitlines()[2:] == [
        "| `rosen_1000` | 2.00 [1.90, 2.10] | 0.500 [0.400, 0.600] |",
        "| `ode` | 0.500† [0.250, 1.50] | - |",
    ]


def test_losses_are_the_pairs_that_are_slower_for_sure() -> None:
    record = compared()
    assert tables.losses(record) == "- `rosen_1000`: 2.00 times the time of C"
    del record["workloads"][0]
    assert tables.losses(record) == "None in this record."


def test_first_calls_leave_out_what_compiles_beforehand() -> None:
    assert tables.first_calls(compared()).splitlines() == [
        "| workload | pullback | JAX |",
        "| --- | ---: | ---: |",
        "| `rosen_1000` | 0.500 | 0.250 |",
        "| `ode` | 0.500 | - |",
    ]


def test_what_is_absent_has_a_reason() -> None:
    record = compared()
    assert tables.absent(record).splitlines() == [
        "- drjit is left out: No module named 'drjit'",
        "- `ode`, JAX: too long",
    ]
    record["workloads"].clear()
    record["left_out"] = {}
    assert tables.absent(record) == "Nothing."


def test_the_machine_is_described_and_not_named() -> None:
    assert tables.machine(HEAD) == (
        "znver4 (x86_64; avx2, fma), 2 cores, caches L1 32K, L2 1024K; Linux, "
        "Python 3.11.7. numpy 2.4.6, pullback 0.1.0, C gcc 12, JAX 0.10.2. "
        "31 rounds, wall time, 2026-01-02."
    )


def test_threads_are_compared_with_one() -> None:
    record = compared()
    record["threads"] = 2
    del record["workloads"][1]
    found = record["workloads"][0]["contenders"]
    found["pullback 1 thread"] = {**found["C"], "ratio": 0.5, "low": 0.4, "high": 0.8}
    assert tables.threads(record).splitlines()[2:] == [
        "| `rosen_1000` | 1.00 | 2.00 | 2.00 [1.25, 2.50] |"
    ]


def test_growth_says_what_a_decade_costs() -> None:
    assert tables.growth(grown()).splitlines()[2:] == [
        "| `elem_1000` | 1.00 c | 4.00 w | 40.0 w | 3,000 w | 4.00, 10.0, 75.0 | - |"
    ]


def test_bends_are_explained_by_what_is_shared_or_by_memory() -> None:
    less, more = tables.bent(grown()).splitlines()
    assert less == (
        "- `elem_1000` to `elem_10000`: 4.00 times; what does not grow, of the call "
        "and of each loop, is shared by more"
    )
    assert more == (
        "- `elem_100000` to `elem_1000000`: 75.0 times; memory: 1.60 MB at 40.0 GB/s "
        "(a triad: 100), then 16.0 MB at 5.33 GB/s (a triad: 10.0)"
    )


def test_bends_without_the_machine_s_limits_say_so() -> None:
    (family,) = grown()["growth"]
    assert bends(family, [])[1].endswith("memory was not measured")


def test_pages_that_are_mapped_anew_explain_more_than_memory() -> None:
    record = grown()
    (family,) = record["growth"]
    family["sizes"][3]["faults"] = 2000
    told = bends(family, record["triad"])[1]
    assert told.endswith("75.0 times; 8.19 MB are mapped anew at each call")


def test_work_that_memory_does_not_explain_is_not_put_down_to_it() -> None:
    record = grown()
    (family,) = record["growth"]
    family["sizes"][3]["contenders"]["pullback"]["us"] = 40_000
    assert "1,000 times; not memory alone: 1.60 MB" in bends(family, record["triad"])[1]


def test_a_square_is_due_a_hundred_times_a_decade() -> None:
    record = grown()
    (family,) = record["growth"]
    family["family"] = "hess"
    told = [t.split(":")[0] for t in bends(family, record["triad"])]
    assert told == ["`elem_1000` to `elem_10000`", "`elem_10000` to `elem_100000`"]


def test_tapes_have_a_row_for_each_of_ours_and_a_column_for_each_other() -> None:
    rows = [
        {
            "what": "y",
            "unit": "us",
            "took": {"a watched constant": 2.0, "a variable": 4.0, "PyTorch": 9.0},
            "ratio": {"a watched constant": 1.0, "a variable": 2.0, "PyTorch": 4.0},
        },
        {
            "what": "a step",
            "unit": "us",
            "took": {"pullback": 10.0, "MyGrad": 30.0},
            "ratio": {"pullback": 1.0, "MyGrad": 2.5},
        },
    ]
    assert tables.tapes({"rows": rows}).splitlines() == [
        "| what | pullback | PyTorch | MyGrad |",
        "| --- | ---: | ---: | ---: |",
        "| y, of a constant | 2.00 us | 4.00 times | - |",
        "| y, of a variable | 4.00 us | 2.00 times | - |",
        "| a step | 10.0 us | - | 2.50 times |",
    ]
