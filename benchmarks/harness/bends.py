"""Where the cost of a family of workloads does not grow as its operations do."""

import itertools
import math
from collections.abc import Sequence

from .session import Record

# Family -> how many times the operations of a decade are more than ten; 0 if not here.
STEEPER = {"hess": 1, "gp": 2}
LESS, MORE = 0.6, 1.5  # times what a decade ought to cost: beyond these it bends
PAGE = 4096
Limit = dict[str, float]  # bytes of a triad's three arrays, and bytes a second


def figure(x: float) -> str:
    """Return a positive number with three digits, in groups of thousands."""
    if not x or not math.isfinite(x):
        return f"{x:g}"
    return f"{x:,.{max(0, 2 - math.floor(math.log10(abs(x)) + 1e-12))}f}"


def rate(footprint: float, limits: Sequence[Limit]) -> float:
    """Return the triad's bytes a second at the footprint nearest in proportion."""
    nearest = min(limits, key=lambda e: abs(math.log(e["bytes"] / footprint)))
    return nearest["bytes_per_s"]


def seconds(row: Record) -> float:
    return float(row["contenders"]["pullback"]["us"]) * 1e-6


def factors(sizes: Sequence[Record]) -> list[float]:
    """Return how many times more each size takes than the one before."""
    return [seconds(b) / seconds(a) for a, b in itertools.pairwise(sizes)]


def touched(row: Record) -> int:
    """Return the bytes that kernels pass, an array once for each that reads it.

    Where that is not known: arguments, results, and workspace twice, for it is written
    and then read.
    """
    once = int(row["bytes"]) + 2 * int(row.get("workspace", 0))
    return int(row.get("passed", once))


def passing(row: Record, limits: Sequence[Limit]) -> str:
    """Return the bytes a record touches and how fast, beside a triad of as many."""
    size, pace = touched(row), touched(row) / seconds(row)
    beside = figure(rate(size, limits) / 1e9)
    return f"{figure(size / 1e6)} MB at {figure(pace / 1e9)} GB/s (a triad: {beside})"


def cause(small: Record, large: Record, limits: Sequence[Limit]) -> str:
    """Return why a decade costs more than its operations say.

    It is memory where a triad of the bytes that are touched takes half of the time, or
    a quarter and more of it than at the smaller size. Pages that the system maps anew
    at each call cost more than passing does.
    """
    mapped = large.get("faults", 0) * PAGE
    if mapped > 0.1 * touched(large):
        return f"{figure(mapped / 1e6)} MB are mapped anew at each call"
    if not limits:
        return "memory was not measured"
    shares = [
        touched(r) / rate(touched(r), limits) / seconds(r) for r in (small, large)
    ]
    told = f"{passing(small, limits)}, then {passing(large, limits)}"
    if shares[1] > min(0.5, max(0.25, shares[0])):
        return f"memory: {told}"
    return f"not memory alone: {told}"


def bends(family: Record, limits: Sequence[Limit]) -> list[str]:
    """Return a sentence for each decade that costs other than its operations say.

    A decade is due ten times what the one before took, or a hundred or a thousand
    where the operations are the square or the cube of the size. Too little means that
    costs that do not grow are spread over more.
    """
    due = 10.0 ** (1 + STEEPER.get(family["family"], 0))
    sizes, found = family["sizes"], []
    for (small, large), factor in zip(
        itertools.pairwise(sizes), factors(sizes), strict=True
    ):
        if LESS * due <= factor <= MORE * due:
            continue
        why = "what does not grow, of the call and of each loop, is shared by more"
        if factor > due:
            why = cause(small, large, limits)
        found.append(
            f"`{small['name']}` to `{large['name']}`: {figure(factor)} times; {why}"
        )
    return found
