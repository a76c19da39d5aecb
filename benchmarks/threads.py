"""Time two threads against one on a million elements, interleaved in one process.

    python benchmarks/threads.py [WORKLOAD ...] [--threads 2] [--rounds 200]

Each round calls one thread's program and the other in turn. Printed are the quickest
call of each, their ratio, and the ratios within a round that half and a twentieth of
the rounds reach: on a machine with other work, the last one says what a free core
gives. Results are compared bit by bit before anything is timed.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
from contenders.pullback import elementary, rosenbrock

COUNT = 1_000_000


def black_scholes(s: Any, k: Any, t: Any, r: Any, sigma: Any) -> Any:
    """The sum of the prices of European calls."""
    root = sigma * np.sqrt(t)
    d1 = (np.log(s / k) + (r + 0.5 * sigma * sigma) * t) / root
    phi = 0.5 * (1.0 + pb.erf(d1 * np.sqrt(0.5)))
    phi2 = 0.5 * (1.0 + pb.erf((d1 - root) * np.sqrt(0.5)))
    return np.sum(s * phi - k * np.exp(-r * t) * phi2)


def workload(name: str) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """Return a function, its arguments, and what to differentiate."""
    rng = np.random.default_rng(0)
    if name == "rosen":
        return rosenbrock, (rng.uniform(-1.5, 1.5, COUNT),), {}
    if name.startswith("elem"):
        dtype = np.float32 if name == "elem_f32" else np.float64
        return elementary, (rng.standard_normal(COUNT).astype(dtype),), {}
    limits = ((80, 120), (80, 120), (0.2, 2), (0.01, 0.05), (0.1, 0.5))
    arrays = tuple(rng.uniform(*pair, COUNT) for pair in limits)
    return black_scholes, arrays, {"argnums": (0, 1, 2, 3, 4)}


WORKLOADS = ("rosen", "elem_f64", "elem_f32", "bs")


def same_bits(x: Any, y: Any) -> bool:
    """Whether two results have the same bytes."""
    if isinstance(x, tuple):
        return all(same_bits(a, b) for a, b in zip(x, y, strict=True))
    return np.asarray(x).tobytes() == np.asarray(y).tobytes()


def measure(name: str, threads: int, rounds: int) -> str:
    """Time one workload; returns a line of the table."""
    function, arrays, options = workload(name)
    one, many = (
        pb.value_and_grad(function, threads=n, **options) for n in (1, threads)
    )
    if not same_bits(one(*arrays), many(*arrays)):
        raise SystemExit(f"{name}: {threads} threads give other bits")
    times = np.empty((rounds, 2))
    for k in range(rounds):
        for column, call in enumerate((one, many)):
            start = time.perf_counter()
            call(*arrays)
            times[k, column] = time.perf_counter() - start
    ratios = times[:, 0] / times[:, 1]
    alone, shared = times.min(axis=0) * 1e6
    half, best = np.quantile(ratios, (0.5, 0.95))
    return (
        f"{name:10s} 1 thread {alone:10.1f} us  {threads} threads {shared:10.1f} us  "
        f"ratio {alone / shared:5.2f}, within a round {half:5.2f} to {best:5.2f}"
    )


def main() -> None:
    os.environ["PULLBACK_QUICK"] = "0"  # what is timed is the code that stays
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    for name in options.workloads:
        print(measure(name, options.threads, options.rounds), flush=True)


if __name__ == "__main__":
    main()
