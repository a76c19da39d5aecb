"""What a tape costs, beside PyTorch and MyGrad where they are installed.

    python benchmarks/tape.py [scalar] [chain] [record] [sequences] [memory] [steps]

Contenders take turns, so that what else the machine does is shared; of several rounds
the least of each is printed, and ratios are of rounds.
"""

import gc
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pullback as pb

ROUNDS = 15
Run = Callable[[], Any]


def installed(name: str) -> Any:
    """Return a module, or None where it is not installed."""
    try:
        return import_module(name)
    except ImportError:
        return None


torch, mygrad = installed("torch"), installed("mygrad")
if torch is not None:
    torch.set_num_threads(1)


def microseconds(run: Run, count: int) -> float:
    """Return what one of `count` calls takes."""
    start = time.perf_counter()
    for _ in range(count):
        run()
    return (time.perf_counter() - start) / count * 1e6


def turns(title: str, contenders: dict[str, Run], count: int) -> None:
    """Print what each takes, and how many times the first that is."""
    for run in contenders.values():
        for _ in range(max(3, count // 10)):
            run()
    rounds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(ROUNDS):
        for name, run in contenders.items():
            rounds[name].append(microseconds(run, count))
    first = rounds[next(iter(rounds))]
    print(title)
    for name, took in rounds.items():
        ratio = statistics.median(t / f for t, f in zip(took, first, strict=True))
        print(f"  {name:<22}{min(took):10.1f} us   {ratio:6.2f} times the first")


# -- scalars ---------------------------------------------------------------------------


def scalar() -> None:
    """Record, differentiate and look at y = x**2."""
    c, v = pb.constant(3.0), pb.Variable(3.0)

    def watched() -> Any:
        with pb.GradientTape() as tape:
            tape.watch(c)
            y = c**2
        return tape.gradient(y, c).numpy()

    def variable() -> Any:
        with pb.GradientTape() as tape:
            y = v**2
        return tape.gradient(y, v).numpy()

    runs: dict[str, Run] = {"a watched constant": watched, "a variable": variable}
    if torch is not None:
        t = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)

        def by_torch() -> Any:
            t.grad = None
            (t**2).backward()
            return t.grad.item()

        runs["PyTorch"] = by_torch
    if mygrad is not None:
        m = mygrad.tensor(3.0)

        def by_mygrad() -> Any:
            (m**2).backward()
            return m.grad

        runs["MyGrad"] = by_mygrad
    turns("y = x**2, its gradient, a look", runs, 500)


def chain() -> None:
    """100 operations on a scalar."""
    c = pb.constant(0.9)

    def ours() -> Any:
        with pb.GradientTape() as tape:
            tape.watch(c)
            y = c
            for _ in range(50):
                y = pb.sin(y) * c
        return tape.gradient(y, c).numpy()

    runs: dict[str, Run] = {"pullback": ours}
    if torch is not None:
        t = torch.tensor(0.9, dtype=torch.float64, requires_grad=True)

        def by_torch() -> Any:
            t.grad = None
            y = t
            for _ in range(50):
                y = torch.sin(y) * t
            y.backward()
            return t.grad.item()

        runs["PyTorch"] = by_torch
    if mygrad is not None:
        m = mygrad.tensor(0.9)

        def by_mygrad() -> Any:
            y = m
            for _ in range(50):
                y = mygrad.sin(y) * m
            y.backward()
            return m.grad

        runs["MyGrad"] = by_mygrad
    turns("100 operations on a scalar, the gradient, a look", runs, 30)


def record() -> None:
    """What one more operation costs in time and bytes."""
    c = pb.constant(0.9)

    def many(count: int) -> None:
        with pb.GradientTape() as tape:
            tape.watch(c)
            y = c
            for _ in range(count):
                y = y * c

    def none() -> None:
        many(0)

    turns("recording 1,000 operations", {"none": none, "all": lambda: many(1000)}, 10)
    with pb.GradientTape() as tape:
        tape.watch(c)
        y = pb.sin(c)
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(100_000):
            y = pb.sin(y)
        after = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
    print(f"bytes of a node, of 100,000: {(after - before) / 100_000:.0f}")


PARTS: dict[str, Run] = {"scalar": scalar, "chain": chain, "record": record}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
