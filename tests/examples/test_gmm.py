"""The mixture of ADBench: against 40 digits, and against its published derivatives."""

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pullback as pb
import pytest
from example_tools import DATA, load, needs_data
from pullback.ir.adjoint import grad_graph
from pullback.ir.types import parse_type
from pullback.runtime.aot import compile_ahead
from pullback.tracer.trace import trace

D, K, N = 3, 2, 4
GAMMA, M = 0.7, 2

gmm = load("adbench/gmm.py")


def small() -> list[Any]:
    rng = np.random.default_rng(3)
    shapes = ((K,), (K, D), (K, D + D * (D - 1) // 2), (N, D))
    return [rng.standard_normal(shape) for shape in shapes]


def exact(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
    """The objective, by its definition, element by element."""
    total = mp.mpf(0)
    for i in range(len(x)):
        terms = []
        for k in range(K):
            c = [x[i][a] - means[k][a] for a in range(D)]
            z = [mp.exp(icf[k][a]) * c[a] for a in range(D)]
            at = D
            for column in range(D):
                for row in range(column + 1, D):
                    z[row] += icf[k][at] * c[column]
                    at += 1
            square = sum(v * v for v in z)
            terms.append(mp.exp(alphas[k] + sum(icf[k][:D]) - square / 2))
        total += mp.log(sum(terms))
    total -= N * mp.log(sum(mp.exp(a) for a in alphas))
    total -= mp.mpf(N * D) / 2 * mp.log(2 * mp.pi)
    degrees = D + M + 1
    gamma = mp.mpf(GAMMA)
    constant = degrees * D * mp.log(gamma / mp.sqrt(2))
    constant -= mp.mpf(D * (D - 1)) / 4 * mp.log(mp.pi)
    constant -= sum(mp.loggamma((mp.mpf(degrees) - j) / 2) for j in range(D))
    for k in range(K):
        q = sum(mp.exp(2 * v) for v in icf[k][:D])
        total += gamma**2 / 2 * (q + sum(v * v for v in icf[k][D:]))
        total -= M * sum(icf[k][:D])
    return total - K * constant


def reference() -> tuple[float, np.ndarray[Any, Any]]:
    """Value and gradient, by central differences of 40 digits."""
    with mp.workdps(40):
        held = [np.vectorize(mp.mpf, otypes=[object])(a) for a in small()]
        step = mp.mpf(10) ** -12
        gradient = []
        for array in held[:3]:
            for at in np.ndindex(array.shape):
                sides = []
                for sign in (1, -1):
                    before = array[at]
                    array[at] = before + sign * step
                    sides.append(exact(*[a.tolist() for a in held]))
                    array[at] = before
                gradient.append(float((sides[0] - sides[1]) / (2 * step)))
        return float(exact(*[a.tolist() for a in held])), np.array(gradient)


REFERENCE = reference()


def check(value: Any, gradients: Sequence[Any], rtol: float = 1e-12) -> None:
    flat = np.concatenate([np.ravel(g) for g in gradients])
    np.testing.assert_allclose(value, REFERENCE[0], rtol=rtol)
    np.testing.assert_allclose(flat, REFERENCE[1], rtol=rtol)


def test_decorated() -> None:
    value, gradients = gmm.value_and_grad(*small(), gamma=GAMMA, m=M)
    check(value, gradients)


def test_tape() -> None:
    alphas, means, icf, x = small()
    variables = [pb.Variable(a) for a in (alphas, means, icf)]
    with pb.GradientTape() as tape:
        value = gmm.objective(*variables, x, GAMMA, M, pb)
    gradients = tape.gradient(value, variables)
    check(value.numpy(), [g.numpy() for g in gradients])


def objective(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
    return gmm.objective(alphas, means, icf, x, GAMMA, M)


SIZES = f"f64[{K}] f64[{K},{D}] f64[{K},{D + D * (D - 1) // 2}] f64[n,{D}]"
PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include "gmm.h"

int main(void) {
  double a[%(sizes)s];
  double value, out[%(count)d];
  for (size_t i = 0; i < sizeof a / sizeof *a; i++)
    if (scanf("%%lf", a + i) != 1) return 2;
  int64_t sizes[] = {%(n)d};
  const void *in[] = {a, a + %(means)d, a + %(icf)d, a + %(x)d};
  void *results[] = {&value, out, out + %(means)d, out + %(icf)d};
  int64_t bytes = pb_gmm_value_and_grad_workspace(sizes, 1);
  void *work = bytes ? aligned_alloc(64, (size_t)(bytes + 63) / 64 * 64) : NULL;
  int code = pb_gmm_value_and_grad(NULL, in, sizes, results, work);
  free(work);
  if (code) return 3;
  printf("%%.17g\n", value);
  for (int i = 0; i < %(count)d; i++) printf("%%.17g\n", out[i]);
  return 0;
}
"""


def test_ahead_of_time_from_c(tmp_path: Path) -> None:
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("there is no gcc here to compile the C program that calls it")
    specs = [parse_type(text) for text in SIZES.split()]
    forward = trace(objective, specs, ("alphas", "means", "icf", "x"))
    compile_ahead(forward, grad_graph(forward, (0, 1, 2)), "gmm", tmp_path)
    arrays = small()
    sizes = [a.size for a in arrays]
    starts = np.cumsum([0, *sizes]).tolist()
    text = PROGRAM % {
        "sizes": starts[4], "count": starts[3], "n": N, "means": starts[1],
        "icf": starts[2], "x": starts[3],
    }  # fmt: skip
    (tmp_path / "main.c").write_text(text)
    subprocess.run(
        [gcc, "-O1", "-Wall", "-Werror", "main.c", "gmm.o", "-o", "main"],
        cwd=tmp_path, check=True,
    )  # fmt: skip
    given = " ".join(repr(float(v)) for a in arrays for v in a.ravel())
    ran = subprocess.run(
        [tmp_path / "main"], input=given, check=True, capture_output=True, text=True
    )
    found = np.array([float(v) for v in ran.stdout.split()])
    check(found[0], [found[1:]])
    same: Callable[..., Any] = pb.value_and_grad(objective, argnums=(0, 1, 2))
    value, gradients = same(*arrays)
    assert found[0] == value
    np.testing.assert_array_equal(
        found[1:], np.concatenate([*map(np.ravel, gradients)])
    )


@pytest.mark.parametrize("name", ["test", "1k_d2_K5", "1k_d10_K25"])
def test_published(name: str) -> None:
    needs_data()
    *arrays, gamma, m = gmm.read(DATA / "gmm" / f"{name}.txt")
    expected = json.loads((DATA / "expected" / f"gmm_{name}.json").read_text())
    value, gradients = gmm.value_and_grad(*arrays, gamma=gamma, m=m)
    np.testing.assert_allclose(value, expected["objective"][0], rtol=1e-13)
    flat = np.concatenate([np.ravel(g) for g in gradients])
    np.testing.assert_allclose(flat, expected["gradient"], rtol=1e-10, atol=1e-10)
