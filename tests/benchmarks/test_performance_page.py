"""docs/performance.md is what the records give; run.py writes such records."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import publish
import pytest
from bench_records import compared, grown
from harness.machine import STRAY, settle
from run import parsed

ROOT = Path(__file__).parent.parent.parent


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "benchmarks" / "run.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_page_is_written_from_the_records() -> None:
    records = [
        json.loads((publish.RECORDS / f"{name}.json").read_text("utf-8"))
        for name in publish.NAMES
    ]
    page = publish.PAGE.read_text("utf-8")
    assert publish.filled(page, publish.parts(*records)) == page
    for picture in publish.PICTURES.values():
        assert (publish.PAGE.parent / picture).is_file()
        assert f"]({picture})" in page


def test_a_part_without_its_marks_is_an_error() -> None:
    with pytest.raises(
        SystemExit, match=r"performance\.md: 0 places marked <!-- a -->"
    ):
        publish.filled("<!-- b --><!-- /b -->", {"a": "text"})
    assert publish.filled("x<!-- a -->?<!-- /a -->y", {"a": r"\1"}) == (
        "x<!-- a -->\n\\1\n<!-- /a -->y"
    )


def test_a_run_writes_a_record(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    options = ("--rounds", "3", "--peers", "pullback", "--json", str(path))
    done = run("scalar", "rosen_10", *options)
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))
    assert record.keys() == {
        "machine", "versions", "date", "threads", "rounds", "clock", "left_out",
        "whole", "workloads",
    }  # fmt: skip
    assert record["machine"].keys() == compared()["machine"].keys()
    assert [r["name"] for r in record["workloads"]] == ["scalar", "rosen_10"]
    assert record["versions"].keys() >= {"numpy", "llvmlite", "pullback"}


def test_unknown_names_end_a_run() -> None:
    wrong = run("nothing", "--grow")
    assert wrong.returncode == 1
    assert "no family 'nothing': there are rosen, elem," in wrong.stderr


@pytest.mark.parametrize("record", [compared(), grown()], ids=["ratios", "growth"])
def test_a_picture_is_the_same_each_time(record: Any, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib: .[bench]")
    from harness.plot import draw

    first, second = tmp_path / "a.svg", tmp_path / "b.svg"
    draw(record, first)
    draw(record, second)
    assert first.read_bytes() == second.read_bytes()


def test_settings_are_made_for_libraries_before_they_load() -> None:
    environment = dict.fromkeys(STRAY, "x")
    settle(1, 2, environment)
    assert environment["OMP_NUM_THREADS"] == environment["PULLBACK_THREADS"] == "1"
    assert "intra_op_parallelism_threads=1" in environment["XLA_FLAGS"]
    assert not set(STRAY) & set(environment)
    settle(2, 2, environment)
    assert environment["OPENBLAS_NUM_THREADS"] == "2"
    assert environment["OMP_WAIT_POLICY"] == "passive"


def test_the_options() -> None:
    given = parsed(["elem_1000", "--rounds", "41", "--peers", "c,jax", "--cpu"])
    assert (given.workloads, given.rounds, given.peers) == (["elem_1000"], 41, "c,jax")
    assert given.cpu
    assert not given.grow
