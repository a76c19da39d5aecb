"""Complex numbers have the same bits however a program is run."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb

Z = np.array([1.0 + 2.0j, 3.0 - 1.0j, -0.5 + 0.25j, 0.1j, -2.0])
W = np.array([0.5 - 1.0j, 2.0j, 1.5 + 0.5j, -1.0 + 1.0j, 0.75])


def test_the_same_bits_however_it_is_run() -> None:
    z, w = np.resize(Z, 1003), np.resize(W, 1003)

    def f(z: Any, w: Any) -> Any:
        return np.exp(z) * np.log(w) / np.sqrt(z * w) + np.tanh(z)

    def recorded(look: Callable[[Any], Any]) -> Any:
        a, b = pb.constant(z), pb.constant(w)
        over = look(pb.sqrt(look(a * b)))
        return look(look(look(pb.exp(a)) * look(pb.log(b))) / over) + pb.tanh(a)

    def looked(x: Any) -> Any:
        x.numpy()
        return x

    ways = [
        pb.function(f, threads=2)(z, w),
        pb.function(f, shapes={"z": "n", "w": "n"})(z, w),
        recorded(lambda x: x).numpy(),
        recorded(looked).numpy(),
    ]
    wanted = pb.function(f)(z, w)
    for got in ways:
        np.testing.assert_array_equal(got.view(np.int64), wanted.view(np.int64))

    def loss(z: Any, w: Any) -> Any:
        return np.sum(np.abs(f(z, w)) ** 2)

    first = pb.grad(loss)(z, w)
    for other in (pb.grad(loss, threads=2), pb.grad(loss, shapes={"z": "n", "w": "n"})):
        np.testing.assert_array_equal(other(z, w).view(np.int64), first.view(np.int64))
