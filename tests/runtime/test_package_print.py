"""Programs compiled ahead of time print: from the loader, and from C."""

import importlib.util
import shutil
import subprocess
import sys

import numpy as np
import pullback as pb
import pytest
from pullback.codegen.signature import TextSpec
from pullback.ir.types import F64, TensorType
from pullback.runtime.aot import Entry, build_package
from pullback.runtime.package.header import header_text


def steps(x, k):
    """Print every step, and a text with all that texts have."""

    def body(c, e):
        pb.print('step "{}" of {{}}\t{:.2f}', k, c)
        return c + e, None

    total = pb.scan(body, 0.0, x)[0]
    pb.print("flags {}, {} Å??/", x > 0, x.astype(np.float32))
    return total


TABLE = [
    TextSpec('step "{0}" of {{}}\t{1:.2f}\n', "stdout", (("i64", 0), ("f64", 0))),
    TextSpec("flags {0}, {1} Å??/\n", "stdout", (("bool", 1), ("f32", 1))),
]
SAID = """\
step "7" of {}\t0.00
step "7" of {}\t1.50
flags [ True False], [ 1.5 -2. ] Å??/
"""
PLAIN = """\
step "7" of {}\t0
step "7" of {}\t1.5
flags [1 0], [1.5 -2] Å??/
"""


@pytest.fixture
def folder(tmp_path):
    graph = pb.function(steps).graph(TensorType(F64, (2,)), 1)
    entries = [Entry("steps", graph, "Steps."), Entry("more", graph, "The same.")]
    build_package("printing", entries).write(tmp_path)
    return tmp_path


@pytest.fixture
def loaded(folder):
    where = folder / "printing.py"
    spec = importlib.util.spec_from_file_location("printing", where)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_loader_prints(loaded, capsys):
    x = np.array([1.5, -2.0])
    for function in (loaded.steps, loaded.more):
        assert function(x, 7) == -0.5
        assert capsys.readouterr().out == SAID


def test_what_a_stream_raises_leaves_the_loader(loaded, monkeypatch):
    class Broken:
        def write(self, text):
            raise KeyError("broken")

    monkeypatch.setattr(sys, "stdout", Broken())
    for _ in range(2):
        with pytest.raises(KeyError, match="broken"):
            loaded.steps(np.ones(2), 7)


def test_the_loader_needs_numpy_alone(folder):
    code = (
        "import sys, numpy as np, printing; printing.steps(np.array([1.5, -2.0]), 7); "
        "print('pullback' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout == f"{SAID}False\n"


MAIN = """\
#define PB_USE_STDIO
#include "printing.h"

static int32_t stop(void *state, int32_t text, const void *const *values,
                    const int64_t *sizes) {
  (void)text, (void)values, (void)sizes;
  return --*(int *)state ? 0 : 5;
}

int main(void) {
  double x[2] = {1.5, -2.0}, out[1];
  int64_t k = 7;
  int left = 2;
  pb_status status;
  static char room[1 << 16];
  char *at = room + (64 - (uintptr_t)room % 64);
  pb_ctx ctx = {PB_ABI_VERSION, sizeof ctx, &status, 0, 0, 0, 1, 0, 0,
                pb_print_stdio, (void *)pb_printing_prints};
  if (pb_steps_workspace(0, 1) > (1 << 16) - 64) return 1;
  if (pb_steps_call(&ctx, x, &k, out, at)) return 2;
  ctx.size = 56; /* a caller that has not heard of print */
  if (pb_steps_call(&ctx, x, &k, out, at)) return 3;
  if (pb_steps_call(0, x, &k, out, at)) return 4;
  ctx.size = sizeof ctx;
  ctx.print = 0;
  if (pb_steps_call(&ctx, x, &k, out, at)) return 5;
  ctx.print = stop;
  ctx.print_state = &left;
  if (pb_steps_call(&ctx, x, &k, out, at) != PB_PRINT_STOPPED) return 6;
  return !(status.code == 7 && status.node == 0 && status.index == 5 && left == 0);
}
"""


@pytest.mark.parametrize(
    ("compiler", "language", "standard"),
    [("gcc", "c", "c99"), ("g++", "c++", "c++17")],
)
def test_c_prints(folder, compiler, language, standard):
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    (folder / "main.c").write_text(MAIN)
    subprocess.run(
        [compiler, f"-std={standard}", "-Wall", "-Wextra", "-Werror",
         "-pedantic", "-Wconversion", "-Wshadow", "-x", language,
         "main.c", "-x", "none", "libprinting.a", "-o", "main"],
        cwd=folder, check=True,
    )  # fmt: skip
    ran = subprocess.run([str(folder / "main")], capture_output=True, check=False)
    assert (ran.returncode, ran.stdout.decode()) == (0, PLAIN)


def test_the_header_has_the_texts(folder):
    header = (folder / "printing.h").read_text()
    assert header == header.replace("\t{1", "")  # escaped
    assert '  {"step \\042{0}\\042 of {{}}\\011{1:.2f}\\012", 0, 2,' in header
    named = header_text("p", [], TABLE)
    assert "static const pb_print_text pb_p_prints[2] = {" in named
    assert 'pb_p_prints_1_types[] = {"bool", "f32"};' in named
    assert "pb_p_prints_1_ranks[] = {1, 1};" in named
    assert "prints" not in header_text("p", [])
    one = header_text("p", [], [TextSpec("here\n", "stderr", ())])
    assert '{"here\\012", 1, 0, pb_p_prints_0_types, pb_p_prints_0_ranks},' in one
