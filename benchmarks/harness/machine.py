"""What a table needs to say about the machine, without saying which one it is."""

import datetime
import importlib.metadata
import os
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llvmlite import binding

# What of a processor's features decides how fast loops of numbers run.
TELLING = ("avx2", "avx512f", "fma", "neon", "sve", "sve2")
THREAD_COUNTS = (
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS",
    "PULLBACK_THREADS", "TF_NUM_INTRAOP_THREADS",
)  # fmt: skip
# Settings that make the library behind NumPy's matmul another one than is installed.
STRAY = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")


def settle(threads: int, cores: int, environment: dict[str, str]) -> None:
    """Set what libraries read as they load: so many threads, and nothing else odd."""
    for name in THREAD_COUNTS:
        environment[name] = str(threads)
    for name in STRAY:
        environment.pop(name, None)
    eigen = "true" if threads > 1 else "false"
    environment["XLA_FLAGS"] = (
        f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={threads}"
    )
    environment["TF_NUM_INTEROP_THREADS"] = "1"
    environment["TF_CPP_MIN_LOG_LEVEL"] = "3"
    environment["JAX_PLATFORMS"] = "cpu"
    if threads > 1:  # idle workers of one library must not spin beside the other's
        environment["OMP_WAIT_POLICY"] = "passive"
        environment["KMP_BLOCKTIME"] = "0"
    if 1 < threads < cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def caches(folder: str = "/sys/devices/system/cpu/cpu0/cache") -> dict[str, str]:
    """Return the sizes of the first core's caches by level, where the system says."""
    found = {}
    for entry in sorted(Path(folder).glob("index*")):
        level, kind, size = (
            (entry / part).read_text().strip() for part in ("level", "type", "size")
        )
        if kind != "Instruction":
            found[f"L{level}"] = size
    return found


def machine() -> dict[str, Any]:
    """Return the processor as LLVM names it, its features, cores and caches."""
    features = binding.get_host_cpu_features()
    return {
        "processor": binding.get_host_cpu_name(),
        "architecture": platform.machine(),
        "features": [name for name in TELLING if features.get(name)],
        "cores": os.cpu_count(),
        "caches": caches(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def about(
    threads: int, rounds: int, cpu: bool, versions: Mapping[str, str]
) -> dict[str, Any]:
    """Return what heads a record: machine, versions, date and settings."""
    known = {n: importlib.metadata.version(n) for n in ("numpy", "llvmlite")}
    return {
        "machine": machine(),
        "versions": {**known, **versions},
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "threads": threads,
        "rounds": rounds,
        "clock": "processor" if cpu else "wall",
    }
