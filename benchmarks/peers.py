"""The same workloads by hand in C, and in JAX where it is installed."""

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from workloads import data, triangle

HERE = Path(__file__).parent


def build_c() -> ctypes.CDLL | None:
    """Compile peer.c; None without gcc."""
    if not shutil.which("gcc"):
        return None
    out = Path(tempfile.mkdtemp()) / "peer.so"
    flags = "-O3 -march=native -ffast-math -mprefer-vector-width=512 -shared -fPIC"
    command = ["gcc", *flags.split(), str(HERE / "peer.c"), "-o", str(out)]
    subprocess.run([*command, "-lmvec", "-lm"], check=True)
    return ctypes.CDLL(str(out))


def call_c(name: str, library: ctypes.CDLL) -> Callable[[], Any] | None:
    """A call of the hand-written form of a workload, into memory it is given."""
    kind = name.split("_")[0]
    if kind not in ("rosen", "elem"):
        return None
    (x,) = data(name)
    gradient = np.zeros_like(x)
    f = library.rosenbrock if kind == "rosen" else library.elementary
    f.restype = ctypes.c_double
    size = ctypes.c_ssize_t(x.size)
    where = [ctypes.c_void_p(a.ctypes.data) for a in (x, gradient)]

    def call(held: Any = (x, gradient)) -> Any:
        return f(size, *where), held[1]

    return call


def call_jax(name: str) -> Callable[[], Any] | None:
    """A call of the jitted value and gradient in JAX; None where it is missing."""
    try:
        import jax
        import jax.numpy as jnp
        from jax.scipy.special import logsumexp
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    kind, *sizes = name.split("_")

    def rosen(x: Any) -> Any:
        return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)

    def elem(x: Any) -> Any:
        return jnp.sum(jnp.sin(x) * jnp.exp(-x * x) + jnp.log1p(x * x))

    def gmm(alphas: Any, means: Any, icf: Any, x: Any) -> Any:
        d = int(sizes[0])
        q, lower = jnp.exp(icf[:, :d]), icf[:, d:]
        padded = jnp.concatenate([lower, jnp.zeros((lower.shape[0], 1))], 1)
        factor = padded[:, triangle(d)]
        centred = x[:, None, :] - means[None]
        z = q[None] * centred + jnp.einsum("kij,nkj->nki", factor, centred)
        inner = alphas + jnp.sum(icf[:, :d], 1) - 0.5 * jnp.sum(z**2, 2)
        prior = 0.5 * (jnp.sum(q**2) + jnp.sum(lower**2))
        total = jnp.sum(logsumexp(inner, 1)) - x.shape[0] * logsumexp(alphas)
        return total + prior

    functions: dict[str, Any] = {
        "scalar": lambda x: x**2, "rosen": rosen, "elem": elem, "gmm": gmm
    }  # fmt: skip
    arrays = tuple(jnp.asarray(a) for a in data(name))
    which = (0, 1, 2) if kind == "gmm" else 0
    f = jax.jit(jax.value_and_grad(functions[kind], which))
    return lambda: jax.block_until_ready(f(*arrays))
