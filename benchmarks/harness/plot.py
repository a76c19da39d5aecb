"""Ratios with their intervals as a picture, and how cost grows."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from .session import Record

BASE = "pullback"
MARKERS = "osD^vP*Xdp<>h"
mpl.rcParams["svg.hashsalt"] = BASE  # the same figures give the same file


def draw(record: Record, path: Path) -> None:
    """Write the picture of a record; the suffix of the path says in which format."""
    figure = grown(record) if "growth" in record else compared(record)
    meta: dict[str, Any] = {"Date": None} if path.suffix == ".svg" else {}
    figure.savefig(path, bbox_inches="tight", metadata=meta)


def compared(record: Record) -> Figure:
    """Draw pullback's time over the others', a row for each workload."""
    entries = record["workloads"]
    names = [n for n in record["versions"] if n != BASE]
    figure = Figure(figsize=(8, 1.5 + 0.24 * len(entries)))
    axes = figure.add_subplot()
    shown = [n for n in names if any(n in entry["contenders"] for entry in entries)]
    for k, name in enumerate(shown):
        found = [
            (at, entry["contenders"][name])
            for at, entry in enumerate(entries)
            if name in entry["contenders"]
        ]
        middle = [row["ratio"] for _, row in found]
        reach = [
            [max(0.0, row["ratio"] - row["low"]) for _, row in found],
            [max(0.0, row["high"] - row["ratio"]) for _, row in found],
        ]
        axes.errorbar(
            middle, [at for at, _ in found], xerr=reach, fmt=MARKERS[k % len(MARKERS)],
            ms=4, lw=1, label=name,
        )  # fmt: skip
    axes.axvline(1.0, color="black", lw=0.8)
    axes.set_xscale("log")
    axes.set_yticks(range(len(entries)), [entry["name"] for entry in entries])
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set_xlabel("pullback's time over theirs; left of 1 pullback is quicker")
    if shown:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    return figure


def grown(record: Record) -> Figure:
    """Draw microseconds a call by decades, a line for each family."""
    figure = Figure(figsize=(8, 5))
    axes = figure.add_subplot()
    for k, family in enumerate(record["growth"]):
        spent = [r["contenders"][BASE]["us"] for r in family["sizes"]]
        axes.plot(
            range(len(spent)), spent, marker=MARKERS[k % len(MARKERS)], ms=4, lw=1,
            label=family["sizes"][0]["name"],
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xticks(range(4), ["N", "10 N", "100 N", "1,000 N"])
    axes.set_ylabel("microseconds a call")
    axes.grid(alpha=0.3)
    axes.legend(title="N", loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8)
    return figure
