"""Loops in the running process: entries, memory, failures, interrupts; and from C."""

import ctypes
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from compare import PROGRAM, assert_close, largest
from control_cases import CASES, choice, trail
from pullback.ir.builder import Builder
from pullback.ir.errors import IndexOutOfRange
from pullback.ir.graph import Value
from pullback.ir.interpreter import interpret
from pullback.ir.loc import user_loc
from pullback.runtime.aot import Entry, build_package
from pullback.runtime.compile import Program, compile_graph
from pullback.runtime.fastcall import Context, context_of, make_entry
from regions import program, scan, switch, while_loop

HERE = Path(__file__).parent


def entry(made: Program, path: str) -> Any:
    """The entry of a program by a path: as `Program.entry` makes it otherwise."""

    def make(*args: Any, **given: Any) -> Any:
        return make_entry(*args, **given, path=path)

    tree = tuple(range(len(made.graph.outputs)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pullback.runtime.program.make_entry", make)
        return made.entry(tree, lambda *_: pytest.fail("the arguments do not fit"))


@pytest.mark.parametrize("path", ["native", "ctypes"])
@pytest.mark.parametrize("name", CASES)
def test_entries_run_loops(name: str, path: str) -> None:
    graph, arrays = CASES[name]()
    wanted = interpret(graph, arrays)
    got = entry(compile_graph(graph), path)(*arrays)
    got = [np.asarray(x) for x in got]
    assert_close(got, wanted, name, PROGRAM, largest([*arrays, *wanted]))


def test_only_programs_that_ask_for_memory_have_it() -> None:
    plain, late = (compile_graph(CASES[n]()[0]) for n in ("running 3", "trail 15"))
    assert (plain.lowered.grows, plain.lowered.loops) == (False, True)
    assert (late.lowered.grows, late.lowered.loops) == (True, True)
    alone = compile_graph(choice(0)[0])
    assert (alone.lowered.grows, alone.lowered.loops) == (False, False)
    within = compile_graph(CASES["nested 5"]()[0])
    assert (within.lowered.grows, within.lowered.cells) == (True, 0)


def test_reports_show_the_kernels_of_loops() -> None:
    made = compile_graph(CASES["running 3"]()[0])
    (loop,) = made.report().kernels
    assert loop.text == "loop, m steps of a body with 1 carry"
    assert [(k.launches, k.text) for k in loop.inner] == [
        (1, "reduction over [n], 3 operations an element, 3 results")
    ]
    made = compile_graph(CASES["twice"]()[0])
    loop = made.report().kernels[0]
    assert loop.text == "loop, 6 steps of a body with 1 carry, in registers"
    assert (loop.launches, loop.inner) == (3, ())
    made = compile_graph(CASES["choice of n"]()[0])
    first = made.report().kernels[0]
    assert first.text == "choice of 4 branches"
    assert len(first.inner) > 3


def test_the_runtime_grows_and_frees() -> None:
    grow = ctypes.CFUNCTYPE(
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64
    )(Context.from_address(context_of(True, 1)).grow)
    held = grow(None, None, 16)
    assert held % 16 == 0
    ctypes.memmove(held, b"0123456789abcdef", 16)
    more = grow(None, held, 1 << 20)
    assert ctypes.string_at(more, 16) == b"0123456789abcdef"
    assert grow(None, more, 0) is None
    assert grow(None, None, 1 << 62) is None


def looks(b: Builder, c: Value, k: Value) -> list[Value]:
    """One element of four, at an index."""
    return [b.take(c, b.reshape(k, shape=(1,)), axis=0)]


def test_messages_name_what_failed_in_a_loop_and_its_line() -> None:
    b, (c, ks) = program("f64[4]", "i64[3]")

    def body(b: Builder, c: Value, k: Value) -> list[Value]:
        b.loc = user_loc()
        one = switch(b, k, [c, k], looks, looks)
        return [b.mul(c, b.broadcast_to(one[0], shape=(4,)))]

    made = compile_graph(b.finish("looked", scan(b, [c], [ks], [], body, 3)))
    made.run([np.ones(4), np.array([0, 1, 0])])
    with pytest.raises(IndexOutOfRange) as error:
        made.run([np.ones(4), np.array([0, 2, 0])])
    assert str(error.value).startswith("switch: branch 2 of 2\n  traced at: ")
    assert str(error.value).endswith("in body\n      b.loc = user_loc()")

    b, (c, ks) = program("f64[4]", "i64[3]")

    def direct(b: Builder, c: Value, k: Value) -> list[Value]:
        b.loc = user_loc()
        at = b.reshape(k, shape=(1,))
        return [b.mul(c, b.broadcast_to(b.take(c, at, axis=0), shape=(4,)))]

    made = compile_graph(b.finish("looked", scan(b, [c], [ks], [], direct, 3)))
    with pytest.raises(IndexOutOfRange) as error:
        made.run([np.ones(4), np.array([0, 9, 0])])
    assert str(error.value).startswith(
        "take: index 9 is out of range for axis 0 of size 4\n"
        "  operands: a f64[4], b i64[1]\n  traced at: "
    )
    assert __file__ in str(error.value)


def test_a_loop_without_end_runs_out_of_memory() -> None:
    b, (x,) = program("f64[]")
    made = while_loop(
        b, [x], [],
        lambda b, x: [b.lt(x, 2.0)],
        lambda b, x: [x, b.broadcast_to(x, shape=(1 << 40,))],
        trips="t",
    )  # fmt: skip
    graph = b.finish("endless", [made[0], b.sum(made[1], axes=(0, 1))])
    with pytest.raises(MemoryError) as error:
        compile_graph(graph).run([np.float64(1.0)])
    assert str(error.value) == (
        f"endless: {16 * 8 << 40} bytes for what its loops keep"
    )


# -- interrupts ------------------------------------------------------------------------

SPIN = """
import os, signal, sys, time
sys.path.insert(0, {here!r})
import numpy as np
from pullback.runtime.compile import compile_graph
from regions import program, while_loop

b, (k,) = program("i64[]")
out = while_loop(b, [k], [], lambda b, k: [b.gt(k, 0)], lambda b, k: [b.sub(k, 1)])
spin = compile_graph(b.finish("spin", out))
spin.run([np.int64(3)])

def later(signals):
    # another process sends them: this one holds the interpreter
    if not os.fork():
        for number in signals:
            time.sleep(0.2)
            os.kill(os.getppid(), number)
        os._exit(0)
"""

INTERRUPTED = """
later([signal.SIGINT])
try:
    spin.run([np.int64(1 << 60)])
except KeyboardInterrupt:
    print("interrupted")
spin.run([np.int64(3)])
os.wait()
"""

HANDLED = """
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append("int"))
signal.signal(signal.SIGALRM, lambda *_: seen.append("alarm"))
later([signal.SIGALRM, signal.SIGINT])
begin = time.perf_counter()
spin.run([np.int64(10_000_000)])
steps = int(10_000_000 * 1.0 / (time.perf_counter() - begin))
assert int(spin.run([np.int64(steps)])[0]) == 0
print(sorted(seen))
os.wait()

class Stop(Exception):
    pass

def stop(*_):
    raise Stop

signal.signal(signal.SIGINT, stop)
later([signal.SIGINT])
try:
    spin.run([np.int64(1 << 60)])
except Stop:
    print("stopped")
os.wait()
"""

IGNORED = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
later([signal.SIGINT])
begin = time.perf_counter()
spin.run([np.int64(10_000_000)])
steps = int(10_000_000 * 0.6 / (time.perf_counter() - begin))
assert int(spin.run([np.int64(steps)])[0]) == 0
print("ran on")
os.wait()
"""

PORTABLE = (
    """
from functools import partial
import pullback.runtime.program as compiling

compiling.make_entry = partial(compiling.make_entry, path="ctypes")
spin._entry = None  # made anew, by that path
"""
    + INTERRUPTED
)

FORKED = """
child = os.fork()
if not child:
    later([signal.SIGINT])
    try:
        spin.run([np.int64(1 << 60)])
    except KeyboardInterrupt:
        os._exit(7)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.parametrize(
    ("script", "printed"),
    [
        (INTERRUPTED, "interrupted\n"),
        (HANDLED, "['alarm', 'int']\nstopped\n"),
        (PORTABLE, "interrupted\n"),
        (IGNORED, "ran on\n"),
        (FORKED, "7\n"),
    ],
    ids=["raises", "handlers", "portable", "ignored", "forked"],
)
def test_interrupts(script: str, printed: str) -> None:
    text = SPIN.format(here=str(HERE)) + script
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False,
        timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == (printed, 0), done.stderr


# -- ahead of time ---------------------------------------------------------------------

MAIN = """
#include <stdio.h>
#define PB_USE_MALLOC
#include "trail.h"

static long held;
static void *counted(void *state, void *old, int64_t bytes) {
  void *made = pb_grow_malloc(state, old, bytes);
  if (!old && made) held++;
  if (old && !bytes) held--;
  return made;
}

int main(void) {
  double x[3] = {0.5, -1.0, 2.0}, end[3], total[3], spread[9], many, size;
  double back[3], last;
  int64_t k = 100;
  int64_t room = (pb_trail_workspace(NULL, 1) + 63) / 64 * 64;
  void *work = aligned_alloc(64, (size_t)room);
  pb_status status = {0};
  pb_ctx ctx = {PB_ABI_VERSION, sizeof ctx, &status, counted, NULL, NULL, 1, 0, NULL,
                NULL, NULL};
  int32_t code = pb_trail_call(&ctx, &k, x, end, total, spread, &many, &size, back,
                               &last, work);
  printf("%d %ld %.17g %.17g %.17g\\n", (int)code, held, many, back[1], spread[8]);
  ctx.grow = NULL;
  code = pb_trail_call(&ctx, &k, x, end, total, spread, &many, &size, back, &last,
                       work);
  printf("%d %lld\\n", (int)code, (long long)status.index);
  return 0;
}
"""


def test_objects_ask_their_caller_for_memory(tmp_path: Path) -> None:
    graph, arrays = trail(100)
    arrays[1] = np.array([0.5, -1.0, 2.0])
    wanted = [np.asarray(x) for x in compile_graph(graph).run(arrays)]
    build_package("trail", [Entry("trail", graph, "A trail.")]).write(tmp_path)
    if not shutil.which("gcc"):
        pytest.skip("gcc is not installed")
    (tmp_path / "main.c").write_text(MAIN)
    subprocess.run(
        ["gcc", "-std=c11", "-Wall", "-Werror", "main.c", "trail.o", "-o", "main"],
        check=True, cwd=tmp_path,
    )  # fmt: skip
    done = subprocess.run(
        [tmp_path / "main"], capture_output=True, text=True, check=True
    )
    first, second = done.stdout.splitlines()
    assert first.split()[:2] == ["0", "0"]
    numbers = [float(x) for x in first.split()[2:]]
    assert numbers == [wanted[3], wanted[5][1], wanted[2][2, 2]]
    assert second.split()[0] == "2"
    assert int(second.split()[1]) > 0


def test_loaders_give_memory(tmp_path: Path) -> None:
    graph, arrays = trail(100)
    wanted = compile_graph(graph).run(arrays)
    build_package("trail", [Entry("trail", graph, "A trail.")]).write(tmp_path)
    script = (
        "import sys, numpy as np; sys.path.insert(0, '.')\n"
        "import trail\n"
        f"x = np.array({arrays[1].tolist()})\n"
        "for _ in range(3):\n"
        "    got = trail.trail(100, x)\n"
        "print([np.asarray(r).tolist() for r in got])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout == f"{[np.asarray(r).tolist() for r in wanted]}\n", done.stderr
