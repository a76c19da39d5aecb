"""The workloads by hand in C, compiled on the spot: the limit to measure against.

Calls write into arrays they are given; all others return new ones.
"""

import ctypes
import functools
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import binding
from workloads import FUNCTIONS, Workload

from . import Call, Contender, NotBuilt

HERE = Path(__file__).parent
FLAGS = (
    "-O3", "-march=native", "-ffast-math", "-mprefer-vector-width=512", "-shared",
    "-fPIC",
)  # fmt: skip


@functools.cache
def library() -> ctypes.CDLL:
    """Compile what is here into one shared library, once."""
    out = Path(tempfile.mkdtemp()) / "peer.so"
    sources = sorted(map(str, HERE.glob("peer*.c")))
    command = ["gcc", *FLAGS, *sources, "-o", str(out), "-lmvec", "-lm"]
    subprocess.run(command, check=True)
    return ctypes.CDLL(str(out))


# Kind -> the function's name, how many sizes it takes, how many of the first arguments
# it is differentiated by; 0: it returns nothing and fills one array of a given shape.
NAMES = {
    "rosen": ("rosenbrock", 1), "elem": ("elementary", 1), "bs": ("black_scholes", 5),
    "gmm": ("mixture", 3), "logreg": ("logistic", 2), "poisson": ("poisson", 1),
    "lstm": ("recurrent", 2), "ode": ("predators", 2), "newton": ("newton", 1),
    "chain": ("chain", 2), "hess": ("rosenbrock_hessian", 0),
    "hvp": ("rosenbrock_hvp", 0), "jac": ("layer_jacobian", 0), "ba": ("bundle", 0),
    **{f: (f"map_{f}", 0) for f in FUNCTIONS},
}  # fmt: skip
MULTIPLES = {"elem": 8, "bs": 8, "ba": 8, **dict.fromkeys(FUNCTIONS, 16)}


def numbers(workload: Workload) -> tuple[int, ...]:
    """Return the sizes a function takes, in its order."""
    first = workload.size[0] if workload.size else 0
    if workload.kind == "gmm":
        d, k, n = workload.size
        return n, d, k
    if workload.kind in ("logreg", "poisson"):
        return first, workload.arrays[-2].shape[1]
    if workload.kind == "jac":
        return workload.arrays[0].shape
    if workload.kind == "chain":
        return first // 3, 1000
    return (first,)


def filled(workload: Workload) -> np.ndarray[Any, Any]:
    """Return the array that a function without a value fills."""
    first, n = workload.arrays[0], workload.size[0]
    shapes = {"hess": (n, n), "ba": (n, 2, 15)}
    return np.zeros(shapes.get(workload.kind, first.shape), first.dtype)


def call(workload: Workload) -> Call:
    name, count = NAMES[workload.kind]
    if workload.single and workload.kind not in ("elem", *FUNCTIONS):
        raise NotBuilt("written for double precision")
    multiple = MULTIPLES.get(workload.kind, 1)
    if workload.size[0] % multiple and not workload.single:
        raise NotBuilt(f"written for multiples of {multiple}")
    f = getattr(library(), name + "_f32" * workload.single)
    made = [np.zeros_like(a) for a in workload.arrays[:count]] or [filled(workload)]
    f.restype = ctypes.c_float if workload.single else ctypes.c_double
    if not count:
        f.restype = None
    given = [ctypes.c_ssize_t(k) for k in numbers(workload)]
    given += [ctypes.c_void_p(a.ctypes.data) for a in (*workload.arrays, *made)]

    def run(held: Any = (workload, made)) -> Any:
        value = f(*given)
        return (value, *held[1]) if count else held[1]

    return run


def load(threads: int) -> list[Contender]:
    if threads > 1:
        raise OSError("written for one thread")
    if not shutil.which("gcc"):
        raise OSError("there is no gcc")
    features = binding.get_host_cpu_features()
    if platform.machine() != "x86_64" or not features.get("avx512f"):
        raise OSError("it is written for AVX-512")
    library()  # compiled now: no call is the first one
    told = subprocess.run(
        ["gcc", "-dumpfullversion"], check=True, capture_output=True, text=True
    )
    return [Contender("C", f"gcc {told.stdout.strip()}", dict.fromkeys(NAMES, call))]
