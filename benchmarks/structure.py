"""Structured products against whole ones: ratios of times, with the same bits.

Rounds of both are interleaved; medians of the ratios of rounds are printed. The last
line of a size is the value and gradient of a Gaussian process (`gp.py`).
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pullback as pb
from gp import covariance
from pullback.ir.adjoint import grad_graph
from pullback.ir.types import F64, TensorType
from pullback.runtime.compile import Options, Program, compile_graph
from pullback.tracer.trace import trace

Array = np.ndarray[Any, Any]

PRODUCTS: Mapping[str, Callable[[Any, Any], Any]] = {
    "tril(x) @ y": lambda x, y: np.tril(x) @ y,
    "x @ tril(y)": lambda x, y: x @ np.tril(y),
    "tril(x) @ tril(y)": lambda x, y: np.tril(x) @ np.tril(y),
    "tril(x @ y)": lambda x, y: np.tril(x @ y),
    "x @ x.T": lambda x, y: x @ x.T,
    "tril(x) @ tril(x).T": lambda x, y: np.tril(x) @ np.tril(x).T,
    "diag(x[0]) @ y": lambda x, y: np.diag(x[0]) @ y,
}
DIMENSIONS = 4


def process(theta: Any, x: Any, y: Any, unit: Any) -> Any:
    """Return the log likelihood of `gp.py`."""
    factor = np.linalg.cholesky(covariance(np, theta, x, DIMENSIONS, unit))
    z = pb.linalg.triangular_solve(factor, y)
    return 0.5 * (z @ z) + np.sum(np.log(np.diagonal(factor)))


def ratio(structured: Program, whole: Program, arrays: list[Array]) -> float:
    """Return the median ratio of rounds, once both agree to the bit."""
    for x, y in zip(structured.run(arrays), whole.run(arrays), strict=True):
        assert x.tobytes() == y.tobytes(), "structure changed a bit"
    start = time.perf_counter()
    whole.run(arrays)
    count = max(1, int(5e-3 / (time.perf_counter() - start)))
    ratios = []
    for _ in range(15):
        spent = []
        for program in (structured, whole):
            start = time.perf_counter()
            for _ in range(count):
                program.run(arrays)
            spent.append(time.perf_counter() - start)
        ratios.append(spent[0] / spent[1])
    return statistics.median(ratios)


def main() -> None:
    """Print a table for each size."""
    os.environ["PULLBACK_QUICK"] = "0"  # what is timed is the code that stays
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sizes", type=int, nargs="*", default=[64, 256, 512])
    for n in parser.parse_args().sizes:
        rng = np.random.default_rng(0)
        square = TensorType(F64, (n, n))
        pair = [rng.standard_normal((n, n)) for _ in range(2)]
        cases = [
            (name, trace(f, [square, square], ["x", "y"]), pair)
            for name, f in PRODUCTS.items()
        ]
        x = rng.standard_normal((n, DIMENSIONS))
        theta = np.concatenate([np.zeros(DIMENSIONS), [0.0, -2.0]])
        arrays = [theta, x, np.sin(x.sum(axis=1)), np.eye(n)]
        specs = [TensorType(F64, a.shape) for a in arrays]
        graph = trace(process, specs, ["theta", "x", "y", "unit"])
        cases.append(("Gaussian process", grad_graph(graph, [0]), arrays))
        print(f"n = {n}: time over that of whole products")
        for name, graph, given in cases:
            whole = compile_graph(graph, Options(structure=False))
            print(f"  {name:22s} {ratio(compile_graph(graph), whole, given):.2f}")


if __name__ == "__main__":
    main()
