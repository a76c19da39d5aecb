"""A process for each library, and one record of all."""

from pathlib import Path

import pytest
from bench_records import HEAD, alone, row
from contenders import MODULES
from harness.apart import apart, ended, merged, modules_of

FAKE = """
import json, os, sys
names, path = sys.argv[1:3], sys.argv[-1]
module = sys.argv[sys.argv.index("--peers") + 1]
assert "--rounds" in sys.argv
base = {"us": 2.0, "first_s": 0.5}
entry = {"name": names[0], "not_built": {}, "wrong": {}}
entry["contenders"] = {"pullback": base, module: {"us": 1.0, "first_s": 0.25}}
record = {"versions": {module: "1"}, "left_out": {}, "workloads": [entry]}
record["whole"] = module != "torch"
if module != "drjit":
    open(path, "w").write(json.dumps(record))
if module == "torch":
    os.abort()
"""


def script(folder: Path) -> Path:
    path = folder / "fake.py"
    path.write_text(FAKE, encoding="utf-8")
    return path


def test_names_are_sorted_by_the_process_they_run_in() -> None:
    assert modules_of([]) == {module: [module] for module in MODULES}
    assert modules_of(["jax", "torch", "torch compile"]) == {
        "jax": ["jax"],
        "torch": ["torch", "torch compile"],
    }


def test_the_base_is_the_median_and_the_others_are_put_beside_each_other() -> None:
    records = {}
    for us, name in ((2.0, "C"), (9.0, "JAX"), (3.0, "torch")):
        entry = alone(us, name="ode", not_built={name: "too long"}, wrong={})
        entry["contenders"][name] = row(us, 1.0, 1.0, 1.0)
        head = {**HEAD, "versions": {"numpy": "2", name: "1"}, "left_out": {name: "?"}}
        records[name] = {**head, "workloads": [entry]}
    whole = merged(records, ["rosen_10", "ode"])
    (entry,) = whole["workloads"]
    assert entry["contenders"]["pullback"] == {"us": 3.0, "first_s": 0.5}
    assert list(entry["contenders"]) == ["pullback", "C", "JAX", "torch"]
    assert entry["not_built"].keys() == {"C", "JAX", "torch"}
    assert list(whole["versions"]) == ["numpy", "C", "JAX", "torch"]
    assert whole["left_out"] == {"C": "?", "JAX": "?", "torch": "?"}
    assert whole["rounds"] == 31


def test_a_process_that_ends_early_costs_its_library_alone(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    modules = {"c": ["c"], "torch": ["torch"]}
    options = ["--rounds", "3"]
    record = apart(script(tmp_path), ["rosen_10", "ode"], modules, options)
    (entry,) = record["workloads"]
    assert entry["contenders"].keys() == {"pullback", "c", "torch"}
    told = "its process ended by signal 6 in ode"
    assert record["left_out"] == {"torch": told}
    assert f"left out: torch: {told}" in capfd.readouterr().out


def test_a_process_without_a_record_ends_all(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="drjit: its process ended by status 0"):
        apart(script(tmp_path), ["ode"], {"drjit": ["drjit"]}, ["--rounds", "3"])


def test_how_a_process_ended() -> None:
    done = {"whole": True, "workloads": []}
    assert ended(0, done, ["ode"]) is None
    assert ended(1, done, ["ode"]) is None, "a peer was wrong, and is in the record"
    early = {"whole": False, "workloads": [{}]}
    assert ended(2, early, ["a", "b"]) == "its process ended by status 2 in b"
    assert ended(-9, early, ["a"]) == "its process ended by signal 9 at the end"
