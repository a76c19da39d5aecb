"""Builds, checks and times contenders workload by workload, and keeps a record."""

import gc
import math
import resource
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from contenders import BASE, Call, Contender, NotBuilt
from workloads import Workload, workload

from .timing import Clock, difference, flat, same_bits, timed_alone, timed_pair

Record = dict[str, Any]
Say = Callable[[str], None]
Keep = Callable[[list[Record]], None]


class Disagreement(Exception):
    """A contender does not compute what the base does."""


def started(contender: Contender, given: Workload) -> tuple[Call, Any, float] | None:
    """Return a contender's call, its first result, and the seconds until there.

    Seconds count tracing, compiling and running, with the library loaded. None where
    there is no form of the workload. A call that gets faster with use may have
    `settle`, which brings that about.
    """
    began = time.perf_counter()
    call = contender.build(given)
    if call is None:
        return None
    result = call()
    seconds = time.perf_counter() - began
    getattr(call, "settle", lambda: None)()
    return call, result, seconds


def agreed(contender: Contender, given: Workload, ours: Any, theirs: Any) -> float:
    """Return how far a result is from the base's; too far is a Disagreement."""
    far = difference(ours, theirs)
    if contender.exact and not same_bits(ours, theirs):
        raise Disagreement(f"{given.name}: {contender.name} has other bits")
    if not far <= given.tolerance:
        raise Disagreement(f"{given.name}: {contender.name} differs by {far:.1e}")
    return far


def faults(call: Call, seconds: float) -> int:
    """Return the pages that a call makes the system map: the least of some calls."""
    found = []
    for _ in range(1 if seconds > 0.1 else 3):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        call()
        found.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
    return min(found)


def measured(
    name: str,
    contenders: Sequence[Contender],
    rounds: int,
    budget: float,
    clock: Clock = time.perf_counter,
) -> Record:
    """Time the contenders of one workload against the base, pair by pair.

    Args:
        name: of the workload.
        contenders: the base first.
        rounds: of each pair.
        budget: seconds for a pair; what is too slow for it gets fewer rounds.
        clock: what counts seconds.
    """
    given = workload(name)
    base, *others = contenders
    assert base.name == BASE, f"{base.name} is not {BASE}"
    opened = started(base, given)
    assert opened is not None, f"{BASE} has no form of {name}"
    ours, first, seconds = opened
    record: Record = {"name": name, "contenders": {BASE: {"first_s": seconds}}}
    if hasattr(ours, "program"):
        program = ours.program()
        record["workspace"] = program.workspace
        if program.passed is not None:
            record["passed"] = program.passed
    record["bytes"] = sum(a.nbytes for a in given.arrays) + sum(
        a.nbytes for a in flat(first)
    )
    not_built, wrong, bases = {}, {}, []
    for contender in others:
        try:
            opened = started(contender, given)
            if opened is None:
                continue
            call, result, seconds = opened
            far = agreed(contender, given, first, result)
        except NotBuilt as reason:
            not_built[contender.name] = str(reason)
            continue
        except Disagreement as reason:
            wrong[contender.name] = str(reason)
            continue
        except Exception as failure:  # one peer's fault must not cost the others
            told = str(failure).strip().splitlines() or [""]
            wrong[contender.name] = f"{type(failure).__name__}: {told[0]}"
            continue
        pair = timed_pair(ours, call, rounds, budget, clock)
        ratio = pair.ratio()
        bases.append(pair.base)
        record["contenders"][contender.name] = {
            "us": float(np.median(pair.other)) * 1e6,
            "first_s": seconds,
            "ratio": ratio.median,
            "low": ratio.low,
            "high": ratio.high,
            "rounds": len(pair.base),
            "difference": far,
        }
        del call, result
    if not bases:
        bases.append(timed_alone(ours, rounds, budget, clock))
    seconds = float(np.median(np.concatenate(bases)))
    record["contenders"][BASE]["us"] = seconds * 1e6
    record["faults"] = faults(ours, seconds)
    record["not_built"], record["wrong"] = not_built, wrong
    gc.collect()
    return record


def lines(record: Record) -> list[str]:
    """Return a record of one workload as lines of a table."""
    out = [record["name"]]
    for name, row in record["contenders"].items():
        line = f"  {name:20s} {row['us']:14,.3f} us"
        if "ratio" in row:
            line += f"  ratio {row['ratio']:8.4f} [{row['low']:.4f}, {row['high']:.4f}]"
            line += f" of {row['rounds']}"
        else:
            line += " " * 36
        out.append(f"{line}  first call {row['first_s']:.3f} s")
    out += [
        f"  {name:20s} not built: {why}" for name, why in record["not_built"].items()
    ]
    out += [f"  {name:20s} WRONG: {why}" for name, why in record["wrong"].items()]
    return out


def session(
    names: Sequence[str],
    contenders: Sequence[Contender],
    rounds: int,
    budget: float = math.inf,
    clock: Clock = time.perf_counter,
    say: Say = print,
    keep: Keep = lambda records: None,
) -> list[Record]:
    """Measure workloads one after the other; says and keeps each as it is done."""
    warmed = [c for c in contenders if "scalar" in c.forms]
    for contender in warmed:  # what a library does once is not a first call's time
        started(contender, workload("scalar"))
    records = []
    for name in names:
        record = measured(name, contenders, rounds, budget, clock)
        say("\n".join(lines(record)))
        records.append(record)
        keep(records)
    return records
