"""The mixture of ADBench: against 40 digits, and against its published derivatives."""

import json
import shutil
import subprocess
from collections.abc import Sequence
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

Array = np.ndarray[Any, Any]
Found = tuple[Any, Array]

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


def decorated(arrays: Sequence[Array], gamma: float, m: int) -> Found:
    value, gradients = gmm.value_and_grad(*arrays, gamma=gamma, m=m)
    return value, flat(gradients)


def taped(arrays: Sequence[Array], gamma: float, m: int) -> Found:
    *parameters, x = arrays
    variables = [pb.Variable(a) for a in parameters]
    with pb.GradientTape() as tape:
        value = gmm.objective(*variables, x, gamma, m, pb)
    gradients = tape.gradient(value, variables)
    return value.numpy(), flat([g.numpy() for g in gradients])


def flat(gradients: Sequence[Array]) -> Array:
    return np.concatenate([np.ravel(g) for g in gradients])


@pytest.mark.parametrize(("d", "k"), [(2, 5), (10, 25), (32, 50)])
def test_nothing_of_all_points_components_and_dimensions_is_kept(
    d: int, k: int
) -> None:
    n = 1000
    shapes = ((k,), (k, d), (k, d + d * (d - 1) // 2), (n, d))
    rng = np.random.default_rng(4)
    found = gmm.value_and_grad.explain(*[rng.standard_normal(x) for x in shapes])
    # the centred points, what they become and their cotangents are of one size
    size = 8 * n * k * d
    assert found.program.largest is not None
    assert found.program.largest < size
    told = f"kept fma f64[{k},{n},{d}], {size} bytes, never whole in memory"
    assert told in str(found)


PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include "gmm.h"

int main(void) {
  static double a[%(sizes)s];
  static double value, out[%(count)d];
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


def from_c(arrays: Sequence[Array], gamma: float, m: int, folder: Path) -> Found:
    """The value and gradient a C program prints, compiled for any number of points."""
    gcc = shutil.which("gcc")
    if gcc is None:
        pytest.skip("there is no gcc here to compile the C program that calls it")

    def objective(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
        return gmm.objective(alphas, means, icf, x, gamma, m)

    shapes = [",".join(map(str, a.shape)) for a in arrays]
    shapes[3] = f"n,{arrays[3].shape[1]}"
    specs = [parse_type(f"f64[{shape}]") for shape in shapes]
    forward = trace(objective, specs, ("alphas", "means", "icf", "x"))
    compile_ahead(forward, grad_graph(forward, (0, 1, 2)), "gmm", folder)
    starts = np.cumsum([0, *[a.size for a in arrays]]).tolist()
    text = PROGRAM % {
        "sizes": starts[4], "count": starts[3], "n": len(arrays[3]),
        "means": starts[1], "icf": starts[2], "x": starts[3],
    }  # fmt: skip
    (folder / "main.c").write_text(text)
    subprocess.run(
        [gcc, "-O1", "-Wall", "-Werror", "main.c", "gmm.o", "-o", "main"],
        cwd=folder, check=True,
    )  # fmt: skip
    given = " ".join(repr(float(v)) for a in arrays for v in a.ravel())
    ran = subprocess.run(
        [folder / "main"], input=given, check=True, capture_output=True, text=True
    )
    found = np.array([float(v) for v in ran.stdout.split()])
    return found[0], found[1:]


def found_by(
    way: str, arrays: Sequence[Array], gamma: float, m: int, at: Path
) -> Found:
    if way == "C":
        return from_c(arrays, gamma, m, at)
    return (decorated if way == "decorated" else taped)(arrays, gamma, m)


WAYS = ["decorated", "tape", "C"]


@pytest.mark.parametrize("way", WAYS)
def test_small(way: str, tmp_path: Path) -> None:
    value, gradient = found_by(way, small(), GAMMA, M, tmp_path)
    np.testing.assert_allclose(value, REFERENCE[0], rtol=1e-12)
    np.testing.assert_allclose(gradient, REFERENCE[1], rtol=1e-12)


def test_c_has_the_bits_of_the_call(tmp_path: Path) -> None:
    value, gradient = from_c(small(), GAMMA, M, tmp_path)
    same, gradients = decorated(small(), GAMMA, M)
    assert value == same
    np.testing.assert_array_equal(gradient, gradients)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["test", "1k_d2_K5", "1k_d10_K25"])
def test_published(name: str, way: str, tmp_path: Path) -> None:
    needs_data()
    *arrays, gamma, m = gmm.read(DATA / "gmm" / f"{name}.txt")
    expected = json.loads((DATA / "expected" / f"gmm_{name}.json").read_text())
    value, gradient = found_by(way, arrays, gamma, m, tmp_path)
    np.testing.assert_allclose(value, expected["objective"][0], rtol=1e-13)
    np.testing.assert_allclose(gradient, expected["gradient"], rtol=1e-10)
