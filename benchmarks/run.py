"""Time pullback against C compiled on the spot, and against every peer installed.

    python benchmarks/run.py [WORKLOAD ...] [--rounds 31] [--peers jax,autograd]
        [--threads 1] [--budget 20] [--json FILE] [--plot FILE] [--grow] [--cpu]

Value and gradient. Each peer has a process of its own beside pullback. Results are
compared first; then both are timed in pairs, in alternating order. A ratio is
pullback's time over the peer's, the median over the rounds, with the interval that 95 %
of bootstraps of the rounds have. `first call` is trace, compile and run. A pair that
would take longer than the budget has fewer rounds, and says so. `--grow` times
pullback, and C where there is any, at four sizes a decade apart; it takes names of
families. `--cpu` counts the processor time of the process. `--peers` takes modules of
`contenders/` and names of contenders: some compile for so long that they run only when
named, as 'torch compile'.
"""

import argparse
import os
import sys
from pathlib import Path

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
    from harness.command import run  # what it imports reads the environment

    return run(given, Path(__file__))


if __name__ == "__main__":
    sys.exit(main())
