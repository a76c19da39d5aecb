"""Compile unrolled chains of elementwise ops and their adjoints, each in a new process.

    python benchmarks/chain.py [NODES ...]

One step is `x = sin(x) * a + x` on 1,000 elements: three ops. Prints the seconds from
the undecorated function to its first value and gradient, and the peak memory.
"""

import resource
import subprocess
import sys
import time


def one(nodes: int) -> None:
    """Trace, differentiate, compile and run one chain in this process."""
    import numpy as np
    import pullback as pb
    from pullback.runtime.tiers import improver

    rng = np.random.default_rng(0)
    x, a = rng.uniform(0.5, 1, 1000), rng.uniform(-0.02, 0.02, 1000)

    def chain(x, a):
        for _ in range(nodes // 3):
            x = np.sin(x) * a + x
        return np.sum(x)

    f = pb.value_and_grad(chain, argnums=(0, 1))
    start = time.perf_counter()
    value, (gx, ga) = f(x, a)
    first = time.perf_counter() - start
    improver().improve_all()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        f(x, a)
        times.append(time.perf_counter() - start)
    states = [x]
    for _ in range(nodes // 3):
        states.append(np.sin(states[-1]) * a + states[-1])
    ct, by_a = np.ones(1000), np.zeros(1000)
    for state in states[-2::-1]:
        by_a += ct * np.sin(state)
        ct = ct + ct * a * np.cos(state)
    error = max(
        float(np.max(np.abs(ours - by_hand)) / np.max(np.abs(by_hand)))
        for ours, by_hand in ((gx, ct), (ga, by_a), (value, states[-1].sum()))
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        f"{nodes:7d} ops: first call {first:6.2f} s, then {sorted(times)[2]:.4f} s, "
        f"peak {peak:.2f} GB, relative error {error:.1e}",
        flush=True,
    )


def main() -> None:
    sizes = [int(s) for s in sys.argv[1:]] or [10_000, 100_000]
    for size in sizes:
        code = f"import chain; chain.one({size})"
        subprocess.run([sys.executable, "-c", code], check=True, cwd=sys.path[0])


if __name__ == "__main__":
    main()
