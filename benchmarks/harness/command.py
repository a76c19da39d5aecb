"""What run.py does once the environment is settled: libraries read it as they load."""

import argparse
import json
import time
from pathlib import Path

from contenders import gathered
from workloads import WIDE, WORKLOADS

from .apart import apart, modules_of
from .growth import families_of, grown
from .machine import about
from .session import Record, lines, session


def here(given: argparse.Namespace, names: list[str], peers: list[str]) -> Record:
    """Measure in this process; the record is on disk after each workload."""
    clock = time.process_time if given.cpu else time.perf_counter
    contenders, left_out = gathered(peers, given.threads)
    for name, why in left_out.items():
        print(f"left out: {name}: {why}", flush=True)
    record: Record = about(
        given.threads, given.rounds, given.cpu, {c.name: c.version for c in contenders}
    )
    record |= {"left_out": left_out, "whole": False}
    if given.grow:
        record |= grown(names, contenders, given.rounds, given.budget, clock)
    else:
        none = left_out and len(contenders) == 1  # nothing that was asked for is there
        record["workloads"] = []

        def keep(done: list[Record]) -> None:
            record["workloads"] = done
            write(record, given.json)

        keep([])
        timed = [] if none else names
        session(timed, contenders, given.rounds, given.budget, clock, say, keep)
    record["whole"] = True
    return record


def say(text: str) -> None:
    print(text, flush=True)


def write(record: Record, path: Path | None) -> None:
    if path:
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def run(given: argparse.Namespace, script: Path) -> int:
    """Run what is asked for; 1 where a peer does not compute what pullback does."""
    peers = [name for name in given.peers.split(",") if name]
    modules = modules_of(peers)
    names = given.workloads or list(WORKLOADS if given.threads == 1 else WIDE)
    if given.grow:
        record = here(given, families_of(given.workloads), ["c"])
    elif len(modules) == 1:
        record = here(given, names, peers)
    else:
        options = ["--rounds", str(given.rounds), "--threads", str(given.threads)]
        options += ["--budget", str(given.budget), *["--cpu"] * given.cpu]
        record = apart(script, names, modules, options)
        say("\n".join(line for r in record["workloads"] for line in lines(r)))
    write(record, given.json)
    if given.plot:
        from .plot import draw  # needs matplotlib, which nothing else does

        draw(record, given.plot)
    return int(any(r["wrong"] for r in rows(record)))


def rows(record: Record) -> list[Record]:
    """Return the measured workloads of either kind of record."""
    families = record.get("growth", [])
    return [*record.get("workloads", []), *(r for f in families for r in f["sizes"])]
