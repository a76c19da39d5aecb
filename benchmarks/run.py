"""Time pullback against C compiled on the spot, and against every peer installed.

    python benchmarks/run.py [WORKLOAD ...] [--rounds 31] [--peers jax,autograd]
        [--threads 1] [--budget 20] [--json FILE] [--plot FILE] [--grow] [--cpu]

Value and gradient, in one process. Results are compared first; then each peer is timed
in pairs with pullback, call after call in alternating order. A ratio is pullback's time
over the peer's, the median over the rounds, with the interval that 95 % of bootstraps
of the rounds have. `first call` is trace, compile and run. A pair that would take
longer than the budget has fewer rounds, and says so. `--grow` times pullback, and C
where there is any, at four sizes a decade apart; it takes names of families. `--cpu`
counts the processor time of the process. `--peers` takes modules of `contenders/` and
names of contenders: some compile for so long that they run only when named, as
'torch compile'.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from harness.machine import settle


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """Return the options of a command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--peers", default="", help="those alone; '' is all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds a pair")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--grow", action="store_true")
    parser.add_argument("--cpu", action="store_true")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for; 1 where a peer does not compute what pullback does."""
    given = parsed(arguments)
    settle(given.threads, os.cpu_count() or 1, os.environ)
    # what is imported from here on reads the environment as it loads
    from contenders import gathered
    from harness.growth import grown
    from harness.machine import about
    from harness.session import session
    from workloads import WIDE, WORKLOADS

    names = given.workloads or list(WORKLOADS if given.threads == 1 else WIDE)
    clock = time.process_time if given.cpu else time.perf_counter
    peers = [name for name in given.peers.split(",") if name]
    if given.grow:
        peers = ["c"]
    contenders, left_out = gathered(peers, given.threads)
    for name, why in left_out.items():
        print(f"left out: {name}: {why}")
    record: dict[str, Any] = about(
        given.threads, given.rounds, given.cpu, {c.name: c.version for c in contenders}
    )
    record["left_out"] = left_out
    if given.grow:
        record |= grown(given.workloads, contenders, given.rounds, given.budget, clock)
        done = [r for family in record["growth"] for r in family["sizes"]]
    else:
        done = session(names, contenders, given.rounds, given.budget, clock)
        record["workloads"] = done
    if given.json:
        given.json.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    if given.plot:
        from harness.plot import draw  # needs matplotlib, which nothing else does

        draw(record, given.plot)
    return int(any(r["wrong"] for r in done))


if __name__ == "__main__":
    sys.exit(main())
