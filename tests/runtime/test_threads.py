"""The pool: every part once, failures, forks, shutdown, many callers, interrupts."""

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pullback as pb
import pytest
from pullback.ir.errors import ArgumentError
from pullback.ir.graph import Graph
from pullback.ir.ops import new_builder
from pullback.ir.types import parse_type
from pullback.runtime import threads as module
from pullback.runtime.compile import Options, compile_graph
from pullback.runtime.threads import refusal, thread_count, threads

pytestmark = pytest.mark.skipif(
    refusal() is not None, reason=f"there is no pool here: {refusal()}"
)

PART = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int32)
RUN = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, PART, ctypes.c_void_p, ctypes.c_int32
)


def run(part: Callable[[int, int], int], count: int) -> int:
    """Run parts that are Python functions of number and count on the pool."""
    table = (ctypes.c_uint64 * 2).from_address(threads().table)
    held = PART(lambda _, index, count: part(index, count))
    return int(RUN(table[0])(table[1], held, None, count))


def total(n: str = "40960") -> Graph:
    b = new_builder()
    b.sizes = [n] if n == "n" else []
    x = b.input(parse_type(f"f64[{n}]"), "x")
    y = b.exp(b.sin(x))
    return b.finish("total", [b.sum(y, axes=(0,)), y])


def bits(results: list[np.ndarray]) -> list[bytes]:
    return [r.tobytes() for r in results]


SPLIT = Options(threads=3, above=1)
X = np.random.default_rng(0).normal(size=40960)


# -- jobs ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
def test_every_part_runs_once(count: int) -> None:
    for _ in range(50):
        seen: list[tuple[int, int]] = []

        def part(index: int, of: int, seen: list[tuple[int, int]] = seen) -> int:
            seen.append((index, of))
            return 0

        assert run(part, count) == 0
        assert sorted(seen) == [(k, count) for k in range(count)]


def test_parts_run_on_several_threads() -> None:
    both = threading.Barrier(2)
    where: set[int] = set()

    def part(index: int, count: int) -> int:
        where.add(threading.get_native_id())
        both.wait(60)  # nobody can run both
        return 0

    assert run(part, 2) == 0
    assert len(where) == 2
    assert threads().started >= 1


def test_the_failure_of_the_first_part_is_returned() -> None:
    for _ in range(20):
        assert run(lambda index, _: index and 10 + index, 5) == 11
        assert run(lambda _, __: 0, 5) == 0


def test_a_job_in_a_part_of_another_runs_there() -> None:
    inner: list[int] = []

    def part(index: int, count: int) -> int:
        return run(lambda k, _: inner.append(k) or 7 * (k == 2), 4)

    assert run(part, 2) == 7
    assert sorted(inner) == [0, 0, 1, 1, 2, 2]  # alone, the rest is not run


def test_waiting_for_a_late_worker() -> None:
    def part(index: int, count: int) -> int:
        time.sleep(0.05 * index)
        return 0

    for _ in range(3):
        assert run(part, 3) == 0
        time.sleep(0.02)  # long enough for everybody to sleep


# -- programs --------------------------------------------------------------------------


@pytest.mark.parametrize("n", ["40960", "n"])
def test_programs_have_the_bits_of_one_thread(n: str) -> None:
    wanted = compile_graph(total(n), Options(threads=1)).run([X])
    for count in (2, 3, 4, 7):
        program = compile_graph(total(n), Options(threads=count, above=1))
        assert program.lowered.parts
        assert bits(program.run([X])) == bits(wanted)


def test_one_thread_has_no_parts() -> None:
    program = compile_graph(total(), Options(threads=1, above=1))
    assert not program.lowered.parts
    assert "_part" not in program.text


def test_many_callers_at_once() -> None:
    program = compile_graph(total(), SPLIT)
    wanted = bits(compile_graph(total(), Options(threads=1)).run([X]))
    wrong: list[object] = []

    def call() -> None:
        try:
            for _ in range(50):
                if bits(program.run([X])) != wanted:
                    raise AssertionError("other bits")
        except BaseException as error:
            wrong.append(error)

    callers = [threading.Thread(target=call) for _ in range(32)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_parts_in_the_steps_of_a_loop() -> None:
    def steps(x: object) -> object:
        def step(carry: object, _: object) -> object:
            return np.sin(carry) + np.sum(carry) * 1e-6, None

        return pb.scan(step, x, None, length=20)[0]

    graph = pb.function(steps).graph(X)
    wanted = bits(compile_graph(graph, Options(threads=1)).run([X]))
    program = compile_graph(graph, SPLIT)
    assert program.lowered.parts
    assert bits(program.run([X])) == wanted


# -- processes -------------------------------------------------------------------------


def in_child(check: Callable[[], bool]) -> None:
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if check() else 1
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_forked_child_makes_its_own_workers() -> None:
    program = compile_graph(total(), SPLIT)
    wanted = bits(program.run([X]))
    assert threads().started >= 1

    def check() -> bool:
        fresh = threads().started == 0
        same = all(bits(program.run([X])) == wanted for _ in range(50))
        return fresh and same and threads().started == 2

    for _ in range(3):
        in_child(check)
    assert bits(program.run([X])) == wanted


def test_a_fork_while_a_job_runs() -> None:
    program = compile_graph(total(), SPLIT)
    wanted = bits(program.run([X]))
    stop = threading.Event()

    def busy() -> None:
        while not stop.is_set():
            program.run([X])

    caller = threading.Thread(target=busy)
    caller.start()
    try:
        for _ in range(10):
            in_child(lambda: bits(program.run([X])) == wanted)
    finally:
        stop.set()
        caller.join()


def python(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment}, text=True,
        capture_output=True, timeout=120,
    )  # fmt: skip


HEAD = """
import threading, time, sys
import numpy as np
import pullback as pb
from pullback.runtime.compile import compile_graph, Options
f = pb.value_and_grad(lambda x: np.sum(np.sin(x) * np.exp(-x * x)))
x = np.linspace(-2.0, 2.0, 1 << 16)
program = compile_graph(f.graph(x), Options(threads=4, above=1))
first = program.run([x])
"""


def test_the_process_ends_with_idle_workers() -> None:
    done = python(HEAD + "time.sleep(0.2)\nprint('end')")
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_the_process_ends_with_busy_workers() -> None:
    script = """
def forever():
    while True:
        program.run([x])
for _ in range(3):
    threading.Thread(target=forever, daemon=True).start()
time.sleep(0.2)
print('end')
"""
    done = python(HEAD + script)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_a_spawned_process_computes_the_same(tmp_path: Path) -> None:
    script = HEAD + "print(float(first[0]).hex())"
    outputs = {python(script).stdout, python(script.replace("=4", "=1")).stdout}
    assert len(outputs) == 1
    assert outputs != {""}


def test_an_interrupt_reaches_the_loop_and_not_a_worker() -> None:
    script = """
import os, signal
def steps(x):
    return pb.while_loop(lambda y: y[0] < 2.0, lambda y: np.sin(y), x)
x = np.tile(x, 8)  # large enough to run without the interpreter lock
program = compile_graph(pb.function(steps).graph(x), Options(threads=4, above=1))
assert program.lowered.parts
threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    program.run([x])
except KeyboardInterrupt:
    print('stopped')
print(program.run([np.full_like(x, 3.0)])[0][0])
"""
    done = python(HEAD + script)
    assert done.stdout == "stopped\n3.0\n", done.stderr


# -- how many --------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, -1, 257, 2.0, True, "2"])
def test_a_wrong_number_of_threads(count: object) -> None:
    with pytest.raises(ArgumentError) as error:
        pb.function(np.sin, threads=count)(X)
    assert str(error.value) == f"threads is a number from 1 to 256, got {count!r}"


@pytest.mark.parametrize("text", ["0", "two", "1000", "-1", "٣"])
def test_a_wrong_variable(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULLBACK_THREADS", text)
    module._default.cache_clear()
    try:
        with pytest.raises(ArgumentError) as error:
            thread_count(None)
    finally:
        module._default.cache_clear()
    wanted = f"PULLBACK_THREADS is a number from 1 to 256, got {text!r}"
    assert str(error.value) == wanted


def test_the_number_without_being_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PULLBACK_THREADS", raising=False)
    module._default.cache_clear()
    try:
        assert thread_count(None) == 1
        module._default.cache_clear()
        monkeypatch.setenv("PULLBACK_THREADS", "3")
        assert thread_count(None) == 3
        assert thread_count(5) == 5
    finally:
        module._default.cache_clear()


def test_explain_says_what_is_split() -> None:
    def loss(x: object) -> object:
        return np.sum(np.sin(x))

    x = np.zeros(1 << 20)
    text = str(pb.value_and_grad(loss, threads=2).explain(x))
    assert "split by blocks" in text
    assert "\nthreads: 2\n" in text
    text = str(pb.value_and_grad(loss, threads=1).explain(x))
    assert "split" not in text
    assert "\nthreads:" not in text


def test_threads_are_inherited() -> None:
    f = pb.function(lambda x: np.sum(np.sin(x)), threads=3)
    x = np.zeros(1 << 20)
    assert "\nthreads: 3\n" in str(pb.value_and_grad(f).explain(x))
    assert "\nthreads: 2\n" in str(pb.grad(f, threads=2).explain(x))


def test_where_there_is_no_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    why = "macos is not Linux"
    monkeypatch.setattr(module, "refusal", lambda: why)
    assert thread_count(8) == 1
    assert module.threads_text(1) == f"1: {why}"


def test_platforms_without_a_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal.cache_clear()
    try:
        monkeypatch.setattr(module.sys, "platform", "sunos5")
        assert refusal() == "sunos5 is not Linux"
        monkeypatch.undo()
        refusal.cache_clear()
        monkeypatch.setattr(module.platform, "machine", lambda: "riscv64")
        assert refusal() == "the waiting of threads is not known on riscv64"
    finally:
        monkeypatch.undo()
        refusal.cache_clear()
