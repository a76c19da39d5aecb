"""What a tape costs, beside PyTorch and MyGrad where they are installed.

    python benchmarks/tape.py [scalar] [chain] [record] [sequences] [memory] [steps]
    python benchmarks/tape.py --json benchmarks/published/tape.json   for the page

Contenders take turns, so that what else the machine does is shared; of several rounds
the least of each is printed, and ratios are of rounds.
"""

import gc
import json
import resource
import statistics
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import pullback as pb

ROUNDS = 15
Run = Callable[[], Any]
RECORD: list[dict[str, Any]] = []  # what a row of the page says


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
    row: dict[str, Any] = {"what": title, "unit": "us", "took": {}, "ratio": {}}
    RECORD.append(row)
    for name, took in rounds.items():
        ratio = statistics.median(t / f for t, f in zip(took, first, strict=True))
        row["took"][name], row["ratio"][name] = min(took), ratio
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
    pb.sin(c).numpy()  # the compiler is there, and not counted below
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


# -- sequences -------------------------------------------------------------------------


def sequences() -> None:
    """A recurrent cell of 16 units, over sequences of 1 to 50 elements."""
    rng = np.random.default_rng(0)
    start = [rng.normal(size=(16, 16)) * 0.2 for _ in range(2)] + [np.zeros(16)]
    data = rng.normal(size=(50, 1, 16))
    goal = rng.normal(size=(1, 16))
    lengths = rng.integers(1, 51, size=400)

    weights = [pb.Variable(a) for a in start]

    def ours(length: int) -> None:
        u, w, b = weights
        with pb.GradientTape() as tape:
            h = pb.constant(np.zeros((1, 16)))
            for k in range(length):
                h = pb.tanh(data[k] @ u + h @ w + b)
            loss = pb.mean((h - goal) ** 2)
        for v, g in zip(weights, tape.gradient(loss, weights), strict=True):
            v.assign_sub(0.01 * g)
        float(loss)

    steps: dict[str, Callable[[int], None]] = {"pullback": ours}
    if torch is not None:
        held = [torch.tensor(a, requires_grad=True) for a in start]
        elements, wanted = torch.tensor(data), torch.tensor(goal)

        def by_torch(length: int) -> None:
            u, w, b = held
            h = torch.zeros((1, 16), dtype=torch.float64)
            for k in range(length):
                h = torch.tanh(elements[k] @ u + h @ w + b)
            loss = torch.mean((h - wanted) ** 2)
            grads = torch.autograd.grad(loss, held)
            with torch.no_grad():
                for v, g in zip(held, grads, strict=True):
                    v -= 0.01 * g
            loss.item()

        steps["PyTorch"] = by_torch
    x = pb.Variable(1.0)  # the compiler is imported before the clock runs
    with pb.GradientTape() as tape:
        y = x * 3.0
    tape.gradient(y, x).numpy()
    print("a cell of 16 units, lengths 1 to 50: seconds of 200 steps")
    took: dict[str, list[float]] = {name: [0.0, 0.0] for name in steps}
    for half in range(2):
        for at in range(0, 200, 10):  # ten at a time, in turns
            for name, step in steps.items():
                begun = time.perf_counter()
                for length in lengths[200 * half + at : 200 * half + at + 10]:
                    step(int(length))
                took[name][half] += time.perf_counter() - begun
    for name, (first, later) in took.items():
        print(f"  {name:<22}first {first:7.3f}   later {later:7.3f}")
    for half, when in enumerate(("first 200 steps", "next 200 steps")):
        parts = {name: halves[half] * 1e6 / 200 for name, halves in took.items()}
        ours_took = parts["pullback"]
        row = {
            "what": f"a step of a recurrent cell, lengths 1 to 50, {when}",
            "unit": "us",
            "took": parts,
            "ratio": {name: x / ours_took for name, x in parts.items()},
        }
        RECORD.append(row)


# -- memory ----------------------------------------------------------------------------


def resident() -> float:
    """Return the megabytes of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6


DEPTH = 25
ROWS, COLUMNS = 4000, 500
MATRIX = np.eye(COLUMNS) * 0.5

# name: the step, and the arrays that theory says there are beside the source: what each
# step keeps, and what flows
CHAINS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "relu": (pb.nn.relu, 1),
    "tanh": (pb.tanh, DEPTH),
    "exp": (lambda x: pb.exp(x * 0.1), DEPTH),
    "sin": (pb.sin, DEPTH),  # the source is the first operand; a cotangent
    "mul": (lambda x: x * x, DEPTH),
    "sum": (lambda x: x + pb.sum(x) * 1e-9, 2),
    "cumsum": (lambda x: pb.cumsum(x, axis=1) * 0.05, 2),
    "matmul": (lambda x: x @ MATRIX, 2 + COLUMNS / ROWS),  # and one copy of the matrix
    "softmax": (pb.nn.softmax, DEPTH + 1),
    "relu layer": (
        lambda x: pb.nn.relu(x @ MATRIX), DEPTH / 8 + 2 + COLUMNS / ROWS
    ),
}  # fmt: skip


def memory() -> None:
    """Peaks of deep chains, each in a process of its own: nothing is pooled yet."""
    print(f"peaks of chains of {DEPTH} ops, in arrays as large as the source")
    print("  what a process grew by from recording to the gradient, and theory")
    for name in CHAINS:
        print(f"  {name:<12}", end="", flush=True)
        subprocess.run([sys.executable, __file__, f"memory of {name}"], check=True)


def memory_of(name: str) -> None:
    """Print the peak of one chain, and what theory says."""
    step, theory = CHAINS[name]

    def run(rows: int) -> float:
        x = pb.constant(np.full((rows, COLUMNS), 0.5))
        gc.collect()
        before = peak_reset()
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = x
            for _ in range(DEPTH):
                y = step(y)
            y = pb.sum(y)
        tape.gradient(y, x).numpy()
        return peak() - before

    run(4)  # the compiler's own memory is there now
    run(8)
    grown = run(ROWS) / (ROWS * COLUMNS * 8 / 1e6)
    print(f"{grown:8.1f}{theory:8.1f}")


def peak_reset() -> float:
    """Begin to note the most memory anew."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    return peak()


def peak() -> float:
    """Return the most megabytes there were since."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def steps() -> None:
    """Memory over 100,000 steps of a small training loop, and 10,000 tapes."""
    w = pb.Variable(np.zeros(3))
    data = np.random.default_rng(0).normal(size=(20, 3))
    goal = data @ [1.0, -2.0, 0.5]
    print("megabytes after steps of a training loop")
    for step in range(100_001):
        with pb.GradientTape() as tape:
            loss = pb.mean((data @ w - goal) ** 2)
        w.assign_sub(0.1 * tape.gradient(loss, w))
        if step % 20_000 == 0:
            print(f"  {step:>7}{resident():9.1f}   loss {float(loss):.2e}")
    print("megabytes after tapes that are dropped, persistent ones among them")
    for count in range(10_001):
        with pb.GradientTape(persistent=count % 2 == 0) as tape:
            y = pb.sum(pb.sin(w) * (count % 7))
        if count % 3 == 0:
            tape.gradient(y, w)
        if count % 2_500 == 0:
            print(f"  {count:>7}{resident():9.1f}")


PARTS: dict[str, Run] = {
    "scalar": scalar,
    "chain": chain,
    "record": record,
    "sequences": sequences,
    "memory": memory,
    "steps": steps,
}

PUBLISHED = ("scalar", "chain", "sequences")


def publish(path: str) -> None:
    """Measure what the page says of tapes, and write the record."""
    for part in PUBLISHED:
        PARTS[part]()
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"rows": RECORD}, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--json"]:
        publish(sys.argv[2])
        sys.exit()
    for part in sys.argv[1:] or PARTS:
        if part.startswith("memory of "):
            memory_of(part.removeprefix("memory of "))
        else:
            PARTS[part]()
