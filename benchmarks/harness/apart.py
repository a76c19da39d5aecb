"""One process for each library: they do not disturb, or crash, each other.

Every pair of calls needs pullback and one peer alone, so a process has these two, and
the records of the processes are put together afterwards.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from contenders import BASE, MODULES

from .session import Record


def modules_of(names: Sequence[str]) -> dict[str, list[str]]:
    """Return the modules that contenders' names are in, with the names; '' is all."""
    if not names:
        return {module: [module] for module in MODULES}
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(name.split()[0].lower(), []).append(name)
    return found


def merged(records: Mapping[str, Record], names: Iterable[str]) -> Record:
    """Return one record of those of processes, by module, for workloads in order.

    The base's time is the median over the processes; its first call is the first one's.
    """
    whole: dict[str, Any] = dict(next(iter(records.values())))
    whole["versions"] = {
        k: v for r in records.values() for k, v in r["versions"].items()
    }
    whole["left_out"] = {
        k: v for r in records.values() for k, v in r["left_out"].items()
    }
    entries = []
    for name in names:
        found = [
            e for r in records.values() for e in r["workloads"] if e["name"] == name
        ]
        if not found:
            continue
        entry = dict(found[0])
        spent = [e["contenders"][BASE]["us"] for e in found]
        base = {**entry["contenders"][BASE], "us": statistics.median(spent)}
        others = {k: v for e in found for k, v in e["contenders"].items() if k != BASE}
        entry["contenders"] = {BASE: base, **others}
        for what in ("not_built", "wrong"):
            entry[what] = {k: v for e in found for k, v in e[what].items()}
        entries.append(entry)
    whole["workloads"] = entries
    return whole


def ended(code: int, record: Record, names: Sequence[str]) -> str | None:
    """Return how a process ended too early, and where; None if it did not."""
    if code in (0, 1) and record.get("whole"):
        return None
    done = len(record.get("workloads", []))
    where = f"in {names[done]}" if done < len(names) else "at the end"
    how = f"signal {-code}" if code < 0 else f"status {code}"
    return f"its process ended by {how} {where}"


def apart(
    script: Path,
    names: Sequence[str],
    modules: Mapping[str, list[str]],
    options: list[str],
) -> Record:
    """Run a script once for each module; returns the record of all.

    Args:
        script: run.py.
        names: of workloads.
        modules: with the contenders that are wanted of each.
        options: that every process gets.
    """
    records: dict[str, Record] = {}
    with tempfile.TemporaryDirectory() as folder:
        for module, wanted in modules.items():
            path = Path(folder) / f"{module}.json"
            command = [sys.executable, str(script), *names, *options]
            command += ["--peers", ",".join(wanted), "--json", str(path)]
            code = subprocess.run(command, check=False).returncode
            if not path.exists():
                raise SystemExit(f"{module}: its process ended by status {code}")
            record = json.loads(path.read_text("utf-8"))
            if early := ended(code, record, names):
                record["left_out"][module] = early
                print(f"left out: {module}: {early}", flush=True)
            records[module] = record
    return merged(records, names)
