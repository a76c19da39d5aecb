"""The elementwise workloads in Dr.Jit, by its LLVM backend."""

import importlib.metadata
from collections.abc import Callable
from typing import Any

import drjit as dr
import numpy as np
from drjit.auto.ad import Float32, Float64
from workloads import DEPTH, FUNCTIONS, Workload

from . import Call, Contender


def rosen(x: Any) -> Any:
    n = len(x)
    at = dr.arange(dr.uint32_array_t(type(x)), n - 1)
    here, after = dr.gather(type(x), x, at), dr.gather(type(x), x, at + 1)
    return dr.sum(100 * dr.square(after - here * here) + dr.square(1 - here))


def elem(x: Any) -> Any:
    square = x * x
    return dr.sum(dr.sin(x) * dr.exp(-square) + dr.log(1 + square))


def bs(spot: Any, strike: Any, time: Any, rate: Any, vol: Any) -> Any:
    wide = vol * dr.sqrt(time)
    up = (dr.log(spot / strike) + (rate + 0.5 * vol * vol) * time) / wide
    n_up, n_down = (0.5 * (1 + dr.erf(z * 0.5**0.5)) for z in (up, up - wide))
    return dr.sum(spot * n_up - strike * dr.exp(-rate * time) * n_down)


def roots(x: Any) -> Any:
    y = x
    for _ in range(DEPTH):
        y = 0.5 * (y + x / y)
    return dr.sum(y)


def chain(x: Any, a: Any, ops: int) -> Any:
    for _ in range(ops // 3):
        x = dr.fma(dr.sin(x), a, x)
    return dr.sum(x)


SCALARS: dict[str, Callable[..., Any]] = {
    "scalar": lambda x: x * x, "rosen": rosen, "elem": elem, "bs": bs, "newton": roots,
    "chain": chain,
}  # fmt: skip


def call(workload: Workload) -> Call:
    kind = workload.kind
    number = Float32 if workload.single else Float64
    given = [number(a.reshape(-1)) for a in workload.arrays]
    if kind not in SCALARS:
        one = getattr(dr, kind)
        f = dr.freeze(lambda x: one(x))

        def mapped() -> Any:
            out = f(given[0])
            dr.eval(out)
            dr.sync_thread()
            return out.numpy()

        return mapped
    more = (workload.size[0],) if kind == "chain" else ()

    @dr.freeze
    def both(*arrays: Any) -> Any:
        held = [type(a)(a) for a in arrays]
        for a in held:
            dr.enable_grad(a)
        value = SCALARS[kind](*held, *more)
        dr.backward(value)
        return dr.detach(value), *(dr.grad(a) for a in held)

    shapes = [(), *(a.shape for a in workload.arrays)]

    def run() -> Any:
        out = both(*given)
        dr.eval(out)
        dr.sync_thread()
        return [a.numpy().reshape(s) for a, s in zip(out, shapes, strict=True)]

    return run


def load(threads: int) -> list[Contender]:
    dr.set_thread_count(threads)
    np.asarray(
        Float64([1.0]).numpy()
    )  # without an LLVM library this fails, with a text
    version = importlib.metadata.version("drjit")
    kinds = (*SCALARS, *FUNCTIONS)
    return [Contender("drjit", version, dict.fromkeys(kinds, call))]
