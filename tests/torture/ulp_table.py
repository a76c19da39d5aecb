"""Print the largest errors of elementary functions as the table of README.md.

    python tests/torture/ulp_table.py [FUNCTION ...] [--count N]

f32: all 2^32 values, against the f64 function. f64: about N points, drawn as ulp.py
says, against long double and, where it matters, mpmath.
"""

import argparse
from collections.abc import Sequence

import exhaustive
import numpy as np
import ulp
from pullback.codegen.target import host

NAMES = ("exp", "log", "sin", "tanh", "erf")
BATCH = 1 << 20


def of_f64(name: str, count: int) -> ulp.Worst:
    """Return the worst of about `count` points."""
    kernel = ulp.Kernel(name, "f64", host().lanes(64))
    rng = np.random.default_rng(0)
    worst = ulp.measure(kernel, name, "f64", ulp.hard(name, "f64"))
    while worst.points < count:
        found = ulp.measure(kernel, name, "f64", ulp.samples(name, "f64", BATCH, rng))
        points = worst.points + found.points
        worst = max(worst, found, key=lambda x: x.ulp)
        worst.points = points
    return worst


def row(name: str, dtype: str, points: int, error: float, at: float) -> str:
    """Return a line of the table."""
    bound = ulp.BOUNDS[name][dtype == "f32"]
    return f"| {name} | {dtype} | {points:,} | {error:.4f} | {bound} | `{at.hex()}` |"


def table(names: Sequence[str], count: int) -> None:
    """Print the table, a line as soon as it is known."""
    print("| function | type | points | largest error, ulp | bound | at |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in names:
        single = exhaustive.peak(name)
        print(row(name, "f32", 1 << 32, *single), flush=True)
        wide = of_f64(name, count)
        print(row(name, "f64", wide.points, wide.ulp, wide.at[0]), flush=True)


def main() -> None:
    """Print the table of the functions asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("functions", nargs="*", default=NAMES)
    parser.add_argument("--count", type=int, default=20_000_000)
    options = parser.parse_args()
    table(options.functions, options.count)


if __name__ == "__main__":
    main()
