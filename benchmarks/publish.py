"""Measure all of it and fill docs/performance.md: one command, at most 15 minutes.

    python benchmarks/publish.py [--rounds 31] [--budget 15] [--peers c,jax] [--cpu]
    python benchmarks/publish.py --render      only write the page from the records

Three runs of run.py, each in a process of its own: one thread, two threads, growth;
and one of tape.py.
Records go to benchmarks/published/, and the parts of the page between the marks
`<!-- NAME -->` and `<!-- /NAME -->` are written from these.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from harness import tables
from workloads import MEANING

HERE = Path(__file__).parent
RECORDS = HERE / "published"
PAGE = HERE.parent / "docs" / "performance.md"
NAMES = ("one", "two", "growth", "tape")
PICTURES = {"one": "performance.svg", "growth": "growth.svg"}


def parts(one: Any, two: Any, growth: Any, tape: Any) -> dict[str, str]:
    """Return what the page's marks hold, from the four records."""
    return {
        "machine": tables.machine(one),
        "workloads": tables.meanings(one, MEANING),
        "ratios": tables.ratios(one),
        "times": tables.times(one),
        "losses": tables.losses(one),
        "first-calls": tables.first_calls(one),
        "absent": tables.absent(one),
        "threads": tables.threads(two),
        "triad": tables.triad(growth),
        "growth": tables.growth(growth),
        "bends": tables.bent(growth),
        "tapes": tables.tapes(tape),
    }


def filled(page: str, found: dict[str, str]) -> str:
    """Return a page with what its marks hold; every part must have its marks."""
    for name, text in found.items():
        begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        whole = f"{begin}\n{text}\n{end}"
        page, count = re.subn(pattern, lambda _, w=whole: w, page, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"{PAGE.name}: {count} places marked {begin}, not 1")
    return page


def measure(rounds: int, budget: float, peers: str, cpu: bool) -> None:
    """Run the three records' commands; a peer that computes otherwise is an error."""
    shared = ["--rounds", str(rounds)]
    one = ["--peers", peers, "--budget", str(budget)]
    alone = ["--cpu"] * cpu  # of what runs on one thread
    runs = {
        "one": [*one, *alone],
        "two": ["--peers", "pullback", "--threads", "2", "--budget", str(budget)],
        "growth": ["--grow", "--budget", str(budget / 4), *alone],
    }
    for name, options in runs.items():
        command = [sys.executable, str(HERE / "run.py"), *shared, *options]
        command += ["--json", str(RECORDS / f"{name}.json")]
        if name in PICTURES:
            command += ["--plot", str(PAGE.parent / PICTURES[name])]
        subprocess.run(command, check=True)
    tape = [sys.executable, str(HERE / "tape.py"), "--json", str(RECORDS / "tape.json")]
    subprocess.run(tape, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--budget", type=float, default=15.0)
    parser.add_argument("--peers", default="")
    parser.add_argument(
        "--cpu", action="store_true", help="processor time, where others' work disturbs"
    )
    parser.add_argument("--render", action="store_true")
    given = parser.parse_args()
    if not given.render:
        RECORDS.mkdir(exist_ok=True)
        measure(given.rounds, given.budget, given.peers, given.cpu)
    records = [
        json.loads((RECORDS / f"{name}.json").read_text("utf-8")) for name in NAMES
    ]
    page = filled(PAGE.read_text("utf-8"), parts(*records))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
