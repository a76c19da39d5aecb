"""Programs that are compiled quickly first: when they are improved, and how safely."""

import ctypes
import gc
import os
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.codegen.cost import PRODUCT, STEP, UNKNOWN, graph_cost
from pullback.codegen.llvm import I32, I64, PTR, const
from pullback.codegen.target import host
from pullback.ir.ops import new_builder
from pullback.ir.sizes import named
from pullback.ir.types import F64, TensorType
from pullback.runtime import compile as compiling
from pullback.runtime.compile import Options, Program, compile_graph
from pullback.runtime.fastcall import OutSpec, make_entry, redirect
from pullback.runtime.loading import load
from pullback.runtime.tiers import LINES, RUNS, Improver, budget_of, fits, improver
from pullback.tracer import engine

Array = np.ndarray[Any, np.dtype[Any]]
QUICKLY = Options(quick=True)


def squares(order: int, name: str = "squares") -> Program:
    """A program of its own: no other has this constant."""
    b = new_builder()
    x = b.input(TensorType(F64, (named("n"),)), "x")
    b.sizes.append("n")
    y = b.op("mul", x, b.constant(order + 0.125, F64, x.type.shape))
    return compile_graph(b.finish(name, [b.op("tanh", y), y]), QUICKLY)


def product(order: int | None, size: int, times: float) -> Program:
    b = new_builder()
    extent = named("n") if order is None else order
    if order is None:
        b.sizes.append("n")
    kind = TensorType(F64, (extent, size))
    x, y = b.input(kind, "x"), b.input(TensorType(F64, (size, extent)), "y")
    z = b.op("mul", x, b.constant(times, F64, kind.shape))
    return compile_graph(
        b.finish("product", [b.op("contract", z, y, lhs="ik", rhs="kj", out="ij")]),
        QUICKLY,
    )


def uncached(graph: Any) -> Program:
    """A program that no cache holds."""
    made = compile_graph(graph, QUICKLY)
    compiling._cache.clear()
    return made


def test_a_program_that_is_used_gets_better_code_with_the_same_bits() -> None:
    made = squares(1)
    x = np.linspace(-2, 2, 37)
    first = made.run([x])
    entry = made.entry((0, 1), lambda *_: pytest.fail("the arguments do not fit"))
    held = np.zeros(37)
    into = made.run([x], out=[held, None])
    before = made.address
    for _ in range(RUNS - 3):
        made.run([x])
    improver().finish()
    assert made.is_quick
    made.run([x])
    improver().finish()
    assert not made.is_quick
    assert made.address != before
    assert list(made.report().seconds) == ["passes", "lower", "LLVM", "load", "full"]
    later = made.entry((0, 1), lambda *_: pytest.fail("the arguments do not fit"))
    runs = [made.run([x]), entry(x), later(x), made.run([x], out=[held, None]), into]
    for results in runs:
        for got, wanted in zip(results, first, strict=True):
            assert got.tobytes() == wanted.tobytes()


def test_functions_and_tapes_are_improved() -> None:
    def loss(x: Any) -> Any:
        return np.sum(np.tanh(x * 3.0625) ** 2)

    made: list[Program] = []
    with pytest.MonkeyPatch.context() as patch:

        def compiled(graph: Any, *_: Any) -> Program:
            made.append(compile_graph(graph, QUICKLY))
            return made[-1]

        patch.setattr(engine, "_compiler", [compiled])
        x = np.linspace(-1, 1, 11)
        f = pb.value_and_grad(loss)
        w = pb.Variable(x)

        def by_tape() -> Any:
            with pb.GradientTape() as tape:
                value = pb.sum(pb.tanh(w * 3.0625) ** 2)
            return value.numpy(), tape.gradient(value, w).numpy()

        first = f(x), by_tape()
        for _ in range(RUNS):
            f(x), by_tape()
        improver().finish()
        assert made
        assert not any(p.is_quick for p in made if p.arguments)
        again = f(x), by_tape()
    for old, new in zip(first, again, strict=True):
        for a, b in zip(old, new, strict=True):
            assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_a_run_that_costs_much_waits_for_better_code() -> None:
    made = product(None, 700, 0.75)
    rng = np.random.default_rng(0)
    small = rng.normal(size=(3, 700)), rng.normal(size=(700, 3))
    few = made.run(small)[0]
    assert made.is_quick
    much = rng.normal(size=(1200, 700)), rng.normal(size=(700, 1200))
    got = made.run(much)[0]
    assert not made.is_quick
    assert made.run(much)[0].tobytes() == got.tobytes()
    assert made.run(small)[0].tobytes() == few.tobytes()
    np.testing.assert_allclose(got, 0.75 * much[0] @ much[1], rtol=1e-11, atol=1e-11)


def test_what_costs_much_in_any_run_is_compiled_fully_at_once() -> None:
    assert not product(1200, 700, 0.5).is_quick
    assert product(12, 7, 0.5).is_quick


def test_costs_are_sizes_and_loops_that_end_when_they_like_count_as_long() -> None:
    b = new_builder()
    b.sizes.append("n")
    x = b.input(TensorType(F64, (named("n"), 3)), "x")
    y = b.op("contract", x, x, lhs="ki", rhs="kj", out="ij")
    graph = b.finish("f", [y])
    n = named("n")
    assert graph_cost(graph) == len(graph.nodes) * STEP + 9 * PRODUCT * n

    def spin(x: Any) -> Any:
        return pb.while_loop(lambda v: v < 9.0, lambda v: v * 2.0, x)

    spinning = pb.function(spin).graph(np.float64(1.0))
    cost = graph_cost(spinning)
    assert isinstance(cost, int)
    assert cost > UNKNOWN * STEP
    assert not compile_graph(spinning, QUICKLY).is_quick


def test_functions_whose_frames_may_be_large_are_compiled_fully_at_once() -> None:
    line = "  %t = fadd double %a, %a\n"
    assert fits("{\n" + line * (LINES - 2) + "\n}\n" + line * LINES, 0)
    assert not fits("{\n" + line * (LINES + 1) + "\n}\n", 0)
    assert not fits(line * 10, budget_of(line * 10) + 1)
    assert fits(line * 10, budget_of(line * 10))


def test_levels_and_settings_decide_whether_programs_are_quick() -> None:
    b = new_builder()
    x = b.input(TensorType(F64, (3,)), "x")
    graph = b.finish("f", [b.op("exp", x)])
    assert compile_graph(graph, Options(quick=True)).is_quick
    assert not compile_graph(graph, Options(quick=False)).is_quick
    assert not compile_graph(graph, Options(quick=True, level=2)).is_quick


def test_programs_are_freed_though_they_asked_for_better_code() -> None:
    b = new_builder()
    x = b.input(TensorType(F64, (3,)), "x")
    y = b.op("mul", x, b.constant(0.1875, F64, (3,)))
    made = uncached(b.finish("freed", [y]))
    with improver().aside():  # nothing is improved meanwhile
        for _ in range(RUNS + 1):
            made.run([np.ones(3)])
        gone = weakref.ref(made)
        del made
        gc.collect()
    improver().finish()
    gc.collect()
    assert gone() is None


def test_threads_run_a_program_while_it_is_improved() -> None:
    made = squares(2)
    x = np.linspace(-3, 3, 1001)
    wanted = [a.tobytes() for a in made.run([x])]
    wrong: list[int] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            if [a.tobytes() for a in made.run([x])] != wanted:
                wrong.append(1)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for t in threads:
        t.start()
    while made.is_quick:
        made.run([x])
    stop.set()
    for t in threads:
        t.join()
    assert not wrong


@pytest.mark.parametrize("path", ["native", "ctypes"])
@pytest.mark.parametrize("stoppable", [False, True])
def test_entries_are_redirected(path: str, stoppable: bool) -> None:
    libraries = []
    for value in (7, 8):
        module = host().module()
        fn = module.function("pb_test", I32, [(PTR, "")] * 5, linkage="")
        out = fn.load(fn.args[3], PTR)
        fn.store(const(I64, value), out)
        fn.ret(const(I32, 0))
        libraries.append(load(module.text()))
    addresses = [x.address("pb_test") for x in libraries]

    def fail(*args: Any) -> Any:
        raise AssertionError(args)

    entry = make_entry(
        addresses[0], (), (OutSpec("i64", ()),), (), 0, 0, fail, fail,
        stoppable=stoppable, path=path,
    )  # fmt: skip
    assert entry() == 7
    redirect(entry, addresses[1])
    assert entry() == 8


# -- the thread ------------------------------------------------------------------------


class Steps:
    """A program whose steps are those of a test."""

    address = 77

    def __init__(self, steps: Callable[[], Iterator[None]]) -> None:
        self.improving = steps


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Improver]:
    monkeypatch.setattr("pullback.runtime.tiers.CALM", 0.0)
    made = Improver()
    yield made
    made._halt()


def ask(improver: Improver, number: int, now: int = 0) -> int:
    return ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_int64, ctypes.c_int32)(
        improver.ask_address
    )(number, now)


def known(improver: Improver, program: Steps) -> int:
    number = improver.reserve()
    improver.enroll(number, program)
    return number


def test_what_asks_is_improved_in_turn_on_one_thread(fresh: Improver) -> None:
    told: list[tuple[str, str]] = []

    def steps(name: str) -> Callable[[], Iterator[None]]:
        def made() -> Iterator[None]:
            for k in range(2):
                told.append((f"{name}{k}", threading.current_thread().name))
                yield

        return made

    programs = [Steps(steps(x)) for x in "ab"]
    for program in programs:
        assert ask(fresh, known(fresh, program)) == 0
    fresh.finish()
    assert [x for x, _ in told] == ["a0", "a1", "b0", "b1"]
    assert {x for _, x in told} == {"pullback compiler"}
    assert ask(fresh, known(fresh, programs[0]), now=1) == 77
    assert told[4:] == [("a0", "MainThread"), ("a1", "MainThread")]
    assert ask(fresh, 999) == 0


def test_a_run_that_waits_for_a_program_waits_for_the_thread(fresh: Improver) -> None:
    told: list[str] = []
    inside = threading.Event()

    def steps() -> Iterator[None]:
        if told:  # it was improved
            return
        inside.set()
        time.sleep(0.05)
        told.append(threading.current_thread().name)
        yield

    number = known(fresh, program := Steps(steps))
    ask(fresh, number)
    assert inside.wait(60)
    assert ask(fresh, number, now=1) == program.address
    assert told == ["pullback compiler"]


def test_what_was_asked_for_and_is_needed_now_is_not_done_twice(
    fresh: Improver,
) -> None:
    told: list[str] = []

    def steps() -> Iterator[None]:
        told.append(threading.current_thread().name)
        yield

    program = Steps(steps)
    number = known(fresh, program)
    fresh._halted = True  # so that the thread does not begin
    assert ask(fresh, number) == 0
    assert ask(fresh, number, now=1) == 77
    fresh.finish()
    assert told == ["MainThread"]


def test_an_error_is_told_and_the_next_program_is_improved(
    fresh: Improver, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(
        threading, "excepthook", lambda x: told.append(str(x.exc_value))
    )

    def broken() -> Iterator[None]:
        raise MemoryError("no room")
        yield

    def works() -> Iterator[None]:
        told.append("improved")
        yield

    bad, good = Steps(broken), Steps(works)
    ask(fresh, known(fresh, bad))
    fresh.finish()
    number = known(fresh, good)
    ask(fresh, number)
    fresh.finish()
    assert told == ["no room", "improved"]


def test_an_interrupt_while_a_run_waits_for_better_code_stops_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = product(None, 700, 0.625)

    def interrupted(_: Program) -> Iterator[None]:
        raise KeyboardInterrupt
        yield

    arrays = np.ones((1200, 700)), np.ones((700, 1200))
    with monkeypatch.context() as patch:
        patch.setattr(Program, "improving", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made.run(arrays)
    assert made.is_quick
    assert made.run(arrays)[0][0, 0] == 0.625 * 700
    assert not made.is_quick


def test_work_that_was_halted_goes_on_where_it_was(fresh: Improver) -> None:
    told: list[int] = []
    inside, go = threading.Event(), threading.Event()

    def steps() -> Iterator[None]:
        for k in range(3):
            told.append(k)
            if k == 1:
                inside.set()
                assert go.wait(60)
            yield

    program = Steps(steps)
    ask(fresh, known(fresh, program))
    assert inside.wait(60)
    threading.Timer(0.05, go.set).start()
    fresh._halt()
    assert told == [0, 1]
    other = Steps(lambda: iter([told.append(9)]))
    ask(fresh, known(fresh, other))
    assert fresh._thread is None
    fresh._go_on()
    fresh.finish()
    assert told == [0, 1, 2, 9]


# -- processes -------------------------------------------------------------------------

USED = """
import os, sys, threading, time
import numpy as np
import pullback as pb
from pullback.runtime.tiers import RUNS, improver
f = pb.value_and_grad(lambda x, y: np.sum(np.tanh(x @ y) * np.exp(-x)))
x, y = np.eye(20), np.ones((20, 20))
def use(f=f, runs=RUNS):
    for _ in range(runs):
        found = f(x, y)
    return found
"""


def printed(script: str, **environment: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", USED + script],
        capture_output=True, text=True, timeout=120, check=False,
        env={**_ENVIRONMENT, **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


_ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PULLBACK_QUICK"}


def test_a_process_ends_while_programs_are_improved() -> None:
    assert printed("use()") == ""
    assert printed("use(); time.sleep(0.06)") == ""
    assert printed("use(); time.sleep(0.09); sys.exit()") == ""


@pytest.mark.parametrize("wait", ["0", "0.06", "0.08", "0.12"])
def test_a_process_forks_while_programs_are_improved(wait: str) -> None:
    script = f"""
wanted = [a.tobytes() for a in use()]
time.sleep({wait})
child = os.fork()
g = pb.value_and_grad(lambda x, y: np.sum(np.tanh(x @ y) * np.exp(-x)) + 0.0 * x[0, 0])
assert [a.tobytes() for a in use()] == wanted
use(g)
improver().finish()
if not child:
    os._exit(9)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert printed(script, PYTHONWARNINGS="error") == "9\n"


def test_the_setting_turns_quick_compilation_off() -> None:
    script = "use(); print(threading.active_count())"
    log = "pullback: value_and_grad of <lambda> is used: compiled fully in"
    assert printed(script, PULLBACK_QUICK="0") == "1\n"
    assert printed(script, PULLBACK_QUICK="1") == "2\n"
    after = "use(); improver().finish(); print(threading.active_count())"
    assert printed(after) == "1\n"
    told = printed("use(); improver().finish()", PULLBACK_LOG="compile")
    assert sum(line.startswith(log) for line in told.splitlines()) == 1, told


def test_other_settings_are_refused() -> None:
    script = """
try:
    use(runs=1)
except pb.ArgumentError as error:
    print(error)
"""
    assert (
        printed(script, PULLBACK_QUICK="no") == "PULLBACK_QUICK is 0 or 1, got 'no'\n"
    )
