"""Time pullback against C written by hand, NumPy and JAX, interleaved in one process.

    python benchmarks/run.py [WORKLOAD ...] [--rounds 41] [--cpu] [--no-jax]

Each round times every contender once, in turn, so that what disturbs the machine
disturbs them alike; the ratio is the median over the rounds of the ratios within a
round. One thread. Results are compared before anything is timed. `--cpu` counts the
processor time of the process, for machines that others use too.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

for _name in (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "PULLBACK_THREADS",
):  # fmt: skip
    os.environ[_name] = "1"
os.environ["XLA_FLAGS"] = (
    "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)

import numpy as np  # noqa: E402 - the threads are fixed before anything is loaded
from peers import build_c, call_c, call_jax, call_numpy  # noqa: E402
from workloads import compiled  # noqa: E402

WORKLOADS = (
    "scalar", "rosen_10", "rosen_1000", "rosen_1000000",
    "elem_1000", "elem_1000000", "elem_1000_f32", "elem_1000000_f32", "bs_1000000",
    "gmm_2_5", "gmm_10_25", "gmm_32_50", "logreg", "hess_100",
    *(f"op_{f}{t}" for t in ("", "_f32") for f in ("exp", "log", "sin", "tanh", "erf")),
)  # fmt: skip
CLOCK = time.perf_counter


def flat(result: Any) -> list[np.ndarray[Any, Any]]:
    """The arrays of a result, in order."""
    if isinstance(result, tuple | list):
        return [a for r in result for a in flat(r)]
    return [np.asarray(result)]


def check(name: str, ours: Any, theirs: Any, who: str) -> None:
    """Stop where two contenders do not compute the same."""
    for a, b in zip(flat(ours), flat(theirs), strict=True):
        scale = np.max(np.abs(b)) or 1.0
        error = float(np.max(np.abs(a - b)) / scale)
        if not error < (1e-4 if a.dtype == np.float32 else 1e-8):
            raise SystemExit(f"{name}: {who} differs by {error:.1e}")


def sample(call: Callable[[], Any], repeats: int) -> float:
    start = CLOCK()
    for _ in range(repeats):
        call()
    return (CLOCK() - start) / repeats


def measure(name: str, rounds: int, library: Any, jax: bool) -> str:
    """Time one workload; returns a line of the table."""
    began = time.perf_counter()
    ours, workspace = compiled(name)
    first = ours()
    first_call = time.perf_counter() - began
    contenders: dict[str, Callable[[], Any]] = {"pullback": ours}
    if name.split("_")[0] in ("rosen", "elem", "bs"):
        contenders["out="] = compiled(name, into=True)[0]
    if library is not None and (by_hand := call_c(name, library)):
        contenders["C"] = by_hand
    if in_numpy := call_numpy(name):
        contenders["NumPy"] = in_numpy
    if jax and (in_jax := call_jax(name)):
        contenders["JAX"] = in_jax
    for who, call in contenders.items():
        check(name, first, call(), who)
    repeats = {}
    for who, call in contenders.items():
        once = min(sample(call, 1) for _ in range(3))
        repeats[who] = max(1, min(2000, int(2e-3 / max(once, 1e-9))))
    times: dict[str, list[float]] = {who: [] for who in contenders}
    for _ in range(rounds):
        for who, call in contenders.items():
            times[who].append(sample(call, repeats[who]))
    parts = [f"{name:14s} pullback {np.median(times['pullback']) * 1e6:10.3f} us"]
    for who in ("C", "NumPy", "JAX"):
        if who in times:
            theirs = np.array(times[who])
            text = f"{who} {np.median(theirs) * 1e6:10.3f} us, ratio "
            text += f"{np.median(np.array(times['pullback']) / theirs):6.3f}"
            if "out=" in times:
                ratio = np.median(np.array(times["out="]) / theirs)
                text += f", with out= {ratio:6.3f}"
            parts.append(text)
    parts.append(f"first call {first_call:.3f} s, workspace {workspace()} bytes")
    return "  ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--cpu", action="store_true")
    parser.add_argument("--no-jax", dest="jax", action="store_false")
    options = parser.parse_args()
    if options.cpu:
        global CLOCK
        CLOCK = time.process_time
    library = build_c()
    for name in options.workloads:
        print(measure(name, options.rounds, library, options.jax), flush=True)


if __name__ == "__main__":
    main()
