"""Random programs by the hundred thousand: interpreter against native code.

    python tests/torture/bulk.py [--seed K] [--count N] [--workers W]

What `fuzz.py` does for one program in a second, in a fortieth of that. A batch of
programs becomes one module, compiled without optimisation; kernels with equal plans are
compiled once and serve later batches. A program is made in two ways:

* one kernel a node and every value but constants an output: each node is checked alone
  against its reference on the operands that the native code made;
* one program in `FUSED` as users get it, with all passes and fused: the bits of the
  first run.

Calls are made in memory between forbidden pages. A worker that dies is replaced, and
the program that killed it is a failure. One program in `STRONG` goes through all that
`fuzz.py` does, with LLVM's optimiser. What fails is run again there and cut down.
"""

import argparse
import faulthandler
import multiprocessing
import multiprocessing.connection
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import RawArray
from typing import Any, NamedTuple

import fuzz  # first: it says where the tools of other tests lie
import numpy as np
from fuzz import BASE, Failure, check_nodes, count_program, instrumented
from guarded_pool import Pool
from native import SIDES, Call, Native, add_symbol, assert_same_bits
from programs_at_random import SMALL, Made, random_program
from pullback.codegen.lower import Lowered, ModuleBuilder
from pullback.codegen.target import emit_object_quickly, host
from pullback.ir.errors import OpTypeError
from pullback.ir.graph import Graph, Value
from pullback.ir.passes import pipeline
from pullback.runtime.loading import Library

Array = np.ndarray[Any, Any]

BATCH = 48  # programs of a module
FUSED = 3  # one program in so many is also fused
STRONG = 200  # one program in so many goes through all of fuzz.py
KERNELS = 150_000  # kept, a gigabyte, before all are dropped
PATIENCE = 300.0  # seconds that a batch may take
ORDERS = (0, 0, 1, 1, 1, 1, 2)


# --- many programs in one module ------------------------------------------------------


@dataclass(slots=True)
class Growing(ModuleBuilder):
    """A builder whose kernels outlive its modules: later ones call them by name."""

    _compiled: set[str] = field(default_factory=set)
    libraries: list[Library] = field(default_factory=list)

    def number(self) -> int:
        return len(self._names)

    def _drive(self, lowered: Lowered, *rest: Any) -> None:
        for name in {self._names[x.kernel] for x in lowered.launches}:
            if name in self._compiled:
                self.module.declare(name, f"declare i32 @{name}(ptr, ptr, ptr)")
            else:
                self.module.functions[name].linkage = "dso_local"
        ModuleBuilder._drive(self, lowered, *rest)

    def compiled(self) -> Library:
        """Compile and load what was added since the last call."""
        fresh = [n for n in self._names if n not in self._compiled]
        library = Library(emit_object_quickly(self.text(), self.target))
        for name in fresh:
            add_symbol(name, library.address(name))
        self._compiled.update(fresh)
        self.libraries.append(library)
        self.module = self.target.module()
        self._constants.clear()
        self._regions.clear()
        return library


class Task(NamedTuple):
    """A program to check."""

    seed: int
    order: int
    made: Made
    graph: Graph
    arrays: list[Array]


def tasks(seeds: Sequence[int], counts: Counter[str]) -> Iterator[Task]:
    """Make and differentiate programs."""
    for seed in seeds:
        rng = random.Random(seed)
        made = random_program(rng, SMALL)
        order = rng.choice(ORDERS if len(made.graph.nodes) < 16 else ORDERS[:-1])
        try:
            graph = fuzz.differentiated(made, order)
        except OpTypeError as error:
            counts[f"no program: {str(error).splitlines()[0][:60]}"] += 1
            continue
        yield Task(seed, order, made, graph, made.arrays(rng))


class Bulk:
    """The state of a worker: kernels compiled so far, and guarded memory."""

    def __init__(self, reached: Any = None) -> None:
        self.pool = Pool()
        self.builder = Growing(host(), fuse=False)
        self.reached = [0] if reached is None else reached

    def check(self, seeds: Sequence[int], counts: Counter[str]) -> list[Failure]:
        """Check a batch of programs; returns what failed."""
        if self.builder.number() > KERNELS:
            self.builder = Growing(host(), fuse=False)
        builder, added = self.builder, []
        for task in tasks(seeds, counts):
            self.reached[0] = task.seed
            full, values = instrumented(task.graph, literals=False)
            ready = pipeline.run(full, BASE.disable)
            both: list[Lowered] = []
            names = (f"s{task.seed}_nodes", f"s{task.seed}_fused")
            builder.fuse = False
            both.append(builder.add(ready, names[0]))
            if task.seed % FUSED == 0:
                builder.fuse = True
                both.append(builder.add(pipeline.run(task.graph), names[1]))
            added.append((task, values, both))
        library = builder.compiled()
        failures = []
        for task, values, both in added:
            self.reached[0] = task.seed
            codes = [
                Native(
                    x, library, library.address(f"pb_{x.symbol}"),
                    library.address(f"pb_{x.symbol}_workspace"),
                )
                for x in both
            ]  # fmt: skip
            try:
                part = self._compared(task, values, codes)
            except Failure as failure:
                failure.seed = task.seed
                failures.append(failure)
                continue
            count_program(counts, task.made, task.graph, task.order, part)
        return failures

    def _compared(
        self, task: Task, values: list[Value], codes: Sequence[Native]
    ) -> float:
        """Run a program both ways and compare.

        Raises:
            Failure: a node is wrong, or bits differ.
        """
        graph = task.graph
        sides = SIDES if task.seed % 2 else SIDES[::-1]
        results = []
        for code, side, way in zip(codes, sides, ("base", "fused"), strict=False):
            try:
                self.pool.clear()
                call = Call(code, task.arrays, side, self.pool.region)
                call.run()
                results.append(call.results())
            except AssertionError as error:
                raise Failure(way, -1, str(error)) from None
        held = check_nodes(graph, task.arrays, values, results[0])
        wanted = [held[x] for x in graph.outputs]
        for made in results[1:]:
            try:
                assert_same_bits(made, wanted, "fused")
            except AssertionError as error:
                raise Failure("fused", -1, str(error)) from None
        return fuzz.finite_part(wanted)


# --- workers --------------------------------------------------------------------------


def work(seeds: Sequence[int], reached: Any, told: Any) -> None:
    """Check programs, and tell the parent of each batch."""
    faulthandler.disable()  # the parent says which program it was
    bulk = Bulk(reached)
    for first in range(0, len(seeds), BATCH):
        batch = seeds[first : first + BATCH]
        counts: Counter[str] = Counter()
        failed: dict[int, str] = {}
        reached[1] = 0
        try:
            for failure in bulk.check(batch, counts):
                failed[failure.seed] = str(failure)
        except Exception:  # one of them does not compile: which?
            counts.clear()
            for seed in batch:
                bulk = Bulk(reached)
                try:
                    for failure in bulk.check([seed], counts):
                        failed[failure.seed] = str(failure)
                except Exception as error:
                    failed[seed] = f"{type(error).__name__}: {error}"
        reached[1] = 1
        for seed in batch:
            if seed % STRONG == 0 and seed not in failed:
                reached[0] = seed
                strong: Counter[str] = Counter()
                try:
                    fuzz.one(seed, strong, style=SMALL, orders=ORDERS)
                except Failure as failure:
                    failed[seed] = "\n".join([str(failure), *failure.__notes__])
                counts.update(
                    {
                        f"strong: {k}": v
                        for k, v in strong.items()
                        if k.startswith(("programs", "compiled"))
                    }
                )
        told.send((batch[-1], counts, failed))
    told.send(None)


def explained(seed: int, what: str) -> str:
    """Run a failure again alone, cut it down, and return all that is known."""
    try:
        fuzz.one(seed, Counter(), list(fuzz.ways()), style=SMALL, orders=ORDERS)
    except Failure as failure:
        return "\n".join([f"seed {seed}: {failure}", *failure.__notes__])
    except Exception as error:
        return f"seed {seed}: {what}\nalone: {type(error).__name__}: {error}"
    return f"seed {seed}, only in bulk: {what}"


class Worker:
    """A process that checks a range of seeds, replaced when it dies."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.seeds = list(seeds)
        self.reached = RawArray("q", 2)
        self.start()

    def start(self) -> None:
        context = multiprocessing.get_context("fork")
        self.told, theirs = context.Pipe(duplex=False)
        self.since = time.monotonic()
        args = (self.seeds, self.reached, theirs)
        self.process = context.Process(target=work, args=args, daemon=True)
        self.process.start()
        theirs.close()

    def died(self, why: str) -> dict[int, str]:
        """Leave out the program that was being checked, and go on."""
        seed = int(self.reached[0])
        self.process.kill()
        self.process.join()
        if seed not in self.seeds:
            return {seed: f"{why} before the first program"}
        self.seeds.remove(seed)
        self.start()
        return {seed: why}


def run(
    seeds: Sequence[int], workers: int, most: int = 20, every: float = 60.0
) -> tuple[Counter[str], dict[int, str]]:
    """Check programs in several processes; returns counts and what failed."""
    counts: Counter[str] = Counter()
    failed: dict[int, str] = {}
    began = shown = time.monotonic()
    share = -(-len(seeds) // workers)
    alive = [Worker(seeds[k : k + share]) for k in range(0, len(seeds), share)]
    while alive and len(failed) < most:
        ready = multiprocessing.connection.wait([w.told for w in alive], 5.0)
        for worker in [w for w in alive if w.told in ready]:
            try:
                heard = worker.told.recv()
            except EOFError:
                worker.process.join()
                code = worker.process.exitcode or 0
                name = signal.Signals(-code).name if code < 0 else f"status {code}"
                failed.update(worker.died(f"the process died of {name}"))
                continue
            if heard is None:
                worker.process.join()
                alive.remove(worker)
                continue
            last, made, wrong = heard
            counts.update(made)
            failed.update(wrong)
            for seed, what in wrong.items():
                print(f"FAILED {seed}: {what[:3000]}", flush=True)
            worker.since = time.monotonic()
            worker.seeds = worker.seeds[worker.seeds.index(last) + 1 :]
        for worker in alive:
            if time.monotonic() - worker.since > PATIENCE:
                failed.update(worker.died("it does not end"))
        if time.monotonic() - shown > every:
            shown = time.monotonic()
            so_far = f"{counts['programs']} programs, {len(failed)} failures"
            print(f"{so_far}, {shown - began:.0f} s", flush=True)
    for worker in alive:
        worker.process.kill()
    return counts, failed


def main() -> None:
    """Run random programs; exit status 1 if one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--failures", type=int, default=20)
    args = parser.parse_args()
    began = time.monotonic()
    seeds = range(args.seed, args.seed + args.count)
    counts, failed = run(seeds, args.workers, args.failures)
    took = time.monotonic() - began
    print(
        f"seeds {seeds.start} to {seeds.stop - 1}, {len(failed)} failures, {took:.0f} s"
    )
    for key, count in sorted(counts.items()):
        print(f"  {count:9} {key}")
    sys.stdout.flush()
    for seed, what in failed.items():
        print("FAILED", explained(seed, what), flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
