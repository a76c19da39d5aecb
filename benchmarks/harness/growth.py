"""Each workload at four sizes a decade apart, and the memory limits of the machine."""

import ctypes
import time
from collections.abc import Sequence

import numpy as np
from contenders import Contender
from contenders.c import library

from .bends import Limit, rate
from .session import Record, lines, measured
from .timing import Clock, sample

# Family -> names at four sizes, a decade apart.
FAMILIES = {
    **{
        f"{kind}{t}": [f"{kind}_{10**e}{t}" for e in range(3, 7)]
        for kind, t in (
            ("rosen", ""), ("elem", ""), ("elem", "_f32"), ("exp", ""), ("bs", ""),
            ("newton", ""), ("hvp", ""),
        )
    },
    **{k: [f"{k}_{10**e}" for e in range(2, 6)] for k in ("logreg", "poisson", "ba")},
    **{k: [f"{k}_{10**e}" for e in range(1, 5)] for k in ("lstm", "ode")},
    "gmm": [f"gmm_10_25_{10**e}" for e in range(1, 5)],
    "mlp_f32": [f"mlp_{10**e}_f32" for e in range(4)],
    "conv_f32": [f"conv_{10**e}_f32" for e in range(4)],
    **{k: [f"{k}_{3 * 10**e}" for e in range(4)] for k in ("hess", "gp")},
    "jac": [f"jac_{3 * 10**e}" for e in range(1, 5)],
    "chain": [f"chain_{12 * 10**e}" for e in range(4)],
}  # fmt: skip
# Bytes of the three arrays together: in L2, twice in L3, and beyond both, where caches
# are as large as is usual.
FOOTPRINTS = (393_216, 3_000_000, 24_000_000, 384_000_000)


def triad(clock: Clock = time.perf_counter) -> list[Limit]:
    """Return bytes a second of a[i] = b[i] + s c[i] at each footprint, one thread.

    24 bytes an element are counted: two read, one written.
    """
    found = []
    for footprint in FOOTPRINTS:
        n = footprint // 24
        arrays = [np.zeros(n) + k for k in range(3)]
        run = library().triad
        run.restype = None
        given = [ctypes.c_ssize_t(n), ctypes.c_double(0.5)]
        given += [ctypes.c_void_p(a.ctypes.data) for a in arrays]
        repeats = max(1, 48_000_000 // footprint)
        best = min(sample(lambda: run(*given), repeats, clock) for _ in range(15))  # noqa: B023 - now
        found.append({"bytes": footprint, "bytes_per_s": footprint / best})
    return found


def bound(row: Record, least: float, limits: Sequence[Limit]) -> str:
    """Return what the time of a record of pullback goes into.

    Args:
        row: a record.
        least: microseconds of the cheapest call there is.
        limits: the triad at its footprints; may be empty.
    """
    seconds = row["contenders"]["pullback"]["us"] * 1e-6
    if seconds * 1e6 < 2 * least:
        return "the call"
    if limits and row["bytes"] / seconds > 0.5 * rate(row["bytes"], limits):
        return "memory"
    return "work"


def families_of(names: Sequence[str]) -> list[str]:
    """Return the families of these names, all where there is none."""
    if unknown := [name for name in names if name not in FAMILIES]:
        raise SystemExit(f"no family {unknown[0]!r}: there are {', '.join(FAMILIES)}")
    return list(names or FAMILIES)


def grown(
    families: Sequence[str],
    contenders: Sequence[Contender],
    rounds: int,
    budget: float,
    clock: Clock,
) -> Record:
    """Measure families of workloads at four sizes."""
    by_hand = any(c.name == "C" for c in contenders)
    limits = triad(clock) if by_hand else []
    for row in limits:
        print(f"triad, {row['bytes']:,} bytes: {row['bytes_per_s'] / 1e9:.1f} GB/s")
    cheapest = measured("scalar", contenders, rounds, budget, clock)
    least = cheapest["contenders"]["pullback"]["us"]
    growth = []
    for family in families:
        sizes = []
        for name in FAMILIES[family]:
            row = measured(name, contenders, rounds, budget, clock)
            row["bound"] = bound(row, least, limits)
            print("\n".join(lines(row)), f"\n  bound by {row['bound']}", flush=True)
            sizes.append(row)
        growth.append({"family": family, "sizes": sizes})
    return {"triad": limits, "least_us": least, "growth": growth}
