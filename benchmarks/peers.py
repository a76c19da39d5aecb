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
    kind, *sizes = name.split("_")
    names = {
        "rosen": "rosenbrock", "elem": "elementary", "bs": "black_scholes",
        "gmm": "mixture", "hess": "rosenbrock_hessian",
    }  # fmt: skip
    if kind not in names:
        return None
    arrays = data(name)
    made = [np.zeros_like(a) for a in arrays[: 3 if kind == "gmm" else None]]
    numbers = [int(sizes[0])] if kind != "gmm" else [len(arrays[3]), *map(int, sizes)]
    single = name.endswith("_f32")
    f = getattr(library, names[kind] + "_f32" * single)
    f.restype = ctypes.c_float if single else ctypes.c_double
    if kind == "hess":
        made, f.restype = [np.zeros(arrays[0].shape * 2)], None
    given = [ctypes.c_ssize_t(k) for k in numbers]
    given += [ctypes.c_void_p(a.ctypes.data) for a in (*arrays, *made)]

    def call(held: Any = (arrays, made)) -> Any:
        value = f(*given)
        return held[1] if kind == "hess" else (value, *held[1])

    return call


def call_numpy(name: str) -> Callable[[], Any] | None:
    """A call of NumPy's loop over a function, or of the library behind its matmul."""
    kind, *sizes = name.split("_")
    if kind == "op" and hasattr(np, sizes[0]):
        (x,) = data(name)
        f, out = getattr(np, sizes[0]), np.empty_like(x)
        return lambda: f(x, out=out)
    if kind == "logreg":
        w, b, features, y = data(name)

        def by_hand() -> Any:
            z = y * (features @ w + b)
            slope = -y / (1 + np.exp(z))
            return np.sum(np.logaddexp(0, -z)), slope @ features, np.sum(slope)

        return by_hand
    return None


def call_jax(name: str) -> Callable[[], Any] | None:
    """A call of the jitted value and gradient in JAX; None where it is missing."""
    try:
        import jax
        import jax.numpy as jnp
        from jax.scipy.special import logsumexp
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    if name.split("_")[0] not in ("scalar", "rosen", "elem", "gmm", "hess", "logreg"):
        return None
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

    def logreg(w: Any, b: Any, features: Any, y: Any) -> Any:
        return jnp.sum(jnp.logaddexp(0, -y * (features @ w + b)))

    functions: dict[str, Any] = {
        "scalar": lambda x: x**2, "rosen": rosen, "elem": elem, "gmm": gmm,
        "logreg": logreg,
    }  # fmt: skip
    arrays = tuple(jnp.asarray(a) for a in data(name))
    which = {"gmm": (0, 1, 2), "logreg": (0, 1)}.get(kind, 0)
    if kind == "hess":
        f = jax.jit(jax.hessian(rosen))
    else:
        f = jax.jit(jax.value_and_grad(functions[kind], which))
    return lambda: jax.block_until_ready(f(*arrays))
