"""A C program gives a compiled one its own pool, of pthreads."""

import shutil
import subprocess
from pathlib import Path

import pytest
from pullback.ir.ops import new_builder
from pullback.ir.types import parse_type
from pullback.runtime.aot import Entry, build_package

MAIN = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "total.h"

typedef struct {
  int32_t (*part)(void *arg, int32_t index, int32_t count);
  void *arg;
  int32_t index, count, code;
} job;

static void *one(void *given) {
  job *j = (job *)given;
  j->code = j->part(j->arg, j->index, j->count);
  return NULL;
}

static int32_t run(void *state, int32_t (*part)(void *, int32_t, int32_t), void *arg,
                   int32_t count) {
  pthread_t threads[8];
  job jobs[8];
  int32_t code = 0;
  ++*(int *)state;
  for (int32_t k = 0; k < count; k++) {
    job j = {part, arg, k, count, 0};
    jobs[k] = j;
    if (pthread_create(&threads[k], NULL, one, &jobs[k])) abort();
  }
  for (int32_t k = 0; k < count; k++) {
    pthread_join(threads[k], NULL);
    if (!code) code = jobs[k].code;
  }
  return code;
}

int main(void) {
  int64_t n = 700001;
  size_t bytes = (size_t)n * sizeof(double);
  double *x = (double *)malloc(bytes), *y = (double *)malloc(bytes);
  double *first = (double *)malloc(bytes), one_thread = 0, sum = 0;
  void *workspace = aligned_alloc(64, (size_t)pb_total_workspace(&n, 4));
  for (int64_t k = 0; k < n; k++) x[k] = (double)(k % 1000) * 1e-3;
  if (pb_total_call(NULL, x, n, &one_thread, first, workspace)) return 1;
  printf("%d ", pb_total_workspace(&n, 1) < pb_total_workspace(&n, 2));
  for (int32_t threads = 1; threads <= 4; threads++) {
    int jobs = 0;
    pb_pool pool = {run, &jobs};
    pb_ctx ctx;
    memset(&ctx, 0, sizeof ctx);
    ctx.abi_version = PB_ABI_VERSION;
    ctx.size = sizeof ctx;
    ctx.pool = &pool;
    ctx.threads = threads;
    memset(y, 0, bytes);
    if (pb_total_call(&ctx, x, n, &sum, y, workspace)) return 2;
    printf("%d%d%d ", jobs > 0, sum == one_thread, memcmp(y, first, bytes) == 0);
  }
  return 0;
}
"""


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_a_pool_of_pthreads(tmp_path: Path, compiler: str) -> None:
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} is not installed")
    b = new_builder()
    b.sizes = ["n"]
    x = b.input(parse_type("f64[n]"), "x")
    y = b.exp(b.sin(x))
    graph = b.finish("total", [b.sum(y, axes=(0,)), y])
    for name, data in build_package("total", [Entry("total", graph, "")]).files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "main.c").write_text(MAIN)
    subprocess.run(
        [
            compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "main.c",
            "-L.", "-ltotal", "-Wl,-rpath,$ORIGIN", "-pthread", "-o", "main",
        ],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    done = subprocess.run(
        [str(tmp_path / "main")], capture_output=True, text=True, check=True
    )
    assert done.stdout == "1 011 111 111 111 "
