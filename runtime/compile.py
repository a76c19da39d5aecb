"""Compile a graph to a program of this process.

Knows the passes, the lowering and loading. Programs are cached by the content of their
graph; a program keeps its machine code and captured arrays alive.
"""

from collections import OrderedDict
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import RLock
from time import perf_counter

from ..codegen.cost import graph_cost
from ..codegen.lower import ModuleBuilder
from ..codegen.target import QUICK, host
from ..ir.custom import erase
from ..ir.graph import Graph
from ..ir.log import log
from ..ir.passes import pipeline
from ..ir.pause import collector_paused
from ..ir.report import times_text
from ..ir.text import graph_key
from .loading import Library
from .program import Program, checked_object
from .threads import PARTS_ABOVE, thread_count
from .tiers import budget_of, emit_gate, fits, improver, is_quick

CACHED = 512  # programs kept for graphs that come back


@dataclass(frozen=True, slots=True)
class Options:
    """How to compile. The defaults are what users get; the rest is for tests.

    Every combination gives the same bits.
    """

    disable: frozenset[str] = frozenset()  # names of passes to leave out
    fuse: bool = True
    registers: bool = True  # small loops
    rows: bool = True  # rows of few elements
    structure: bool = True  # zeros of matrices are left out
    level: int = 1  # of LLVM's pipeline
    threads: int | None = None  # None: PULLBACK_THREADS, else 1
    above: int = PARTS_ABOVE  # the cost from which kernels run in parts
    quick: bool | None = None  # compile quickly first; None: as PULLBACK_QUICK says


DEFAULT = Options()

_cache: OrderedDict[tuple[str, Options], Program] = OrderedDict()
_lock = RLock()


def compile_graph(graph: Graph, options: Options = DEFAULT) -> Program:
    """Return the program of a graph, from the cache when it was compiled before."""
    graph = erase(graph)  # a rule has no text
    quick = is_quick() if options.quick is None else options.quick
    options = replace(
        options,
        threads=thread_count(options.threads),
        quick=quick and options.level == 1,
    )
    with collector_paused(len(graph.nodes)):
        key = (graph_key(graph), options)
    with _lock:
        found = _cache.get(key)
        if found is not None:
            _cache.move_to_end(key)
            log(
                "cache",
                lambda: f"{graph.name} was compiled before, under {key[0][:12]}",
            )
            return found
        aside = improver().aside() if options.quick else nullcontext()
        with collector_paused(len(graph.nodes)), aside:
            made = _compile(graph, options)
        _cache[key] = made
        while len(_cache) > CACHED:
            _cache.popitem(last=False)
        log("compile", lambda: _compiled_text(made))
        return made


def compile_apart(graph: Graph) -> Program:
    """Return a program of one kernel an op: quick to compile, with the same bits.

    Equal kernels are emitted once, which is what most are when nothing is fused.
    """
    return compile_graph(graph, Options(fuse=False))


def compile_threaded(graph: Graph, threads: int | None = None) -> Program:
    """Return the program of a graph whose calls use so many threads; None: see Options.

    Raises:
        ArgumentError: the number is not one from 1 to 256.
    """
    return compile_graph(
        graph, DEFAULT if threads is None else Options(threads=threads)
    )


def _compiled_text(made: Program) -> str:
    report = made.report()
    return (
        f"compiled {made.graph.name}: {report.operations} operations, "
        f"{len(report.kernels)} kernels, {report.launches} launches, "
        f"workspace {report.workspace} bytes, in {times_text(report.seconds)}"
    )


def _compile(graph: Graph, options: Options) -> Program:
    clock = [perf_counter()]
    ready = pipeline.run(graph, options.disable)
    clock.append(perf_counter())
    builder = ModuleBuilder(
        host(), fuse=options.fuse, embed=False,
        registers=options.registers, rows=options.rows, structure=options.structure,
        above=None if options.threads == 1 else options.above,
    )  # fmt: skip
    lowered = builder.add(ready, "program")
    text = builder.text()
    clock.append(perf_counter())
    threads = options.threads or 1
    if options.quick and fits(text, cost := graph_cost(ready)):
        number = improver().reserve()
        gate = emit_gate(
            builder.module, lowered.symbol, number, tuple(ready.sizes), cost,
            budget_of(text),
        )  # fmt: skip
        made = checked_object(builder.text(), host(), QUICK)
    else:
        number, gate = 0, ""
        made = checked_object(text, host(), options.level)
    clock.append(perf_counter())
    library = Library(made)
    clock.append(perf_counter())
    stages = ("passes", "lower", "LLVM", "load")
    spans = [b - a for a, b in pairwise(clock)]
    seconds = dict(zip(stages, spans, strict=True))
    program = Program(ready, lowered, library, text, seconds, threads, gate)
    if gate:
        improver().enroll(number, program)
    return program
