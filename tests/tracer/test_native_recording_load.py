"""Native recording at work: threads, tasks, collections, many ops, child processes."""

import asyncio
import gc
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.tracer.functions.table import PUBLIC
from pullback.tracer.quick import QUICK
from pullback.tracer.recorder import MOST_NODES
from pullback.tracer.state import STATE
from pullback.tracer.steps import Step
from pullback.tracer.tensor import current_recorder


@pytest.fixture(autouse=True)
def compiler() -> Iterator[None]:
    """Begin with Python and end with it; how programs run is not the matter here."""
    QUICK.remove()
    STATE.recorder = None
    yield
    QUICK.remove()
    STATE.recorder = None


def natively() -> None:
    QUICK.install()
    assert QUICK.recording is not None


def _train(seed: int, rounds: int) -> Any:
    rng = np.random.default_rng(seed)
    w = pb.Variable(rng.normal(size=(4, 3)))
    for _ in range(rounds):
        x = rng.normal(size=(5, 4))
        with pb.GradientTape() as tape:
            loss = pb.mean(pb.tanh(pb.constant(x) @ w * 0.7) ** 2)
        w.assign_sub(0.1 * tape.gradient(loss, w))
    return w.numpy()


def test_threads_and_tasks_at_once() -> None:
    wanted = [_train(k, 12) for k in range(4)]
    natively()
    got: dict[int, Any] = {}

    def work(k: int) -> None:
        got[k] = _train(k, 12)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for k, w in enumerate(wanted):
        np.testing.assert_array_equal(got[k], w)

    async def task(k: int) -> Any:
        v = pb.Variable(float(k))
        for _ in range(5):
            with pb.GradientTape() as tape:
                y = v * v
                await asyncio.sleep(0)
                y = y * v
            v.assign_sub(0.01 * tape.gradient(y, v))
        return v.numpy()

    async def both() -> list[Any]:
        return list(await asyncio.gather(task(1), task(2)))

    for k, found in zip((1.0, 2.0), asyncio.run(both()), strict=True):
        for _ in range(5):
            k -= 0.01 * 3 * k * k
        np.testing.assert_allclose(found, k)


def test_nothing_is_lost_or_kept() -> None:
    natively()
    x, a = pb.constant(np.ones(3)), np.ones(3)
    impl = PUBLIC["add"]

    def rounds(count: int) -> None:
        for _ in range(count):
            with pb.GradientTape():
                y = x
                for _ in range(40):
                    y = -(y + a) * 0.3 - x / 2 + 1.0
                    y = pb.sin(y)
            y.numpy()

    held = (impl, pb.Tensor, Step, a, a.dtype, x, x._value, 0.3, 2)
    rounds(3)
    gc.collect()
    before = [sys.getrefcount(k) for k in held], len(gc.get_objects())
    rounds(30)
    gc.collect()
    after = [sys.getrefcount(k) for k in held], len(gc.get_objects())
    for one, two in zip(before[0], after[0], strict=True):
        assert abs(two - one) < 50  # of 6,000 ops
    assert abs(after[1] - before[1]) < 200


class Busy:
    """Something that uses tapes when it is collected."""

    ran = 0

    def __init__(self, x: Any, v: Any) -> None:
        self.me, self.x, self.v = self, x, v

    def __del__(self) -> None:
        Busy.ran += 1
        if Busy.ran % 3 == 0:
            (self.x * 2.0).numpy()
        elif Busy.ran % 3 == 1:
            self.v.assign(self.v.numpy())
        else:
            (self.x + self.v) * 0.3


def test_collections_in_the_middle() -> None:
    natively()
    x, v = pb.constant(np.arange(3.0)), pb.Variable(np.ones(3), trainable=False)
    old = gc.get_threshold()
    gc.set_threshold(5, 2, 2)
    try:
        for k in range(60):
            with pb.GradientTape() as tape:
                tape.watch(x)
                y = x
                for _ in range(6):
                    Busy(x, v)
                    y = y * v + np.ones(3) * 0.5
                    y = -y + 0.25
            want = np.arange(3.0)
            for _ in range(6):
                want = -(want + 0.5) + 0.25
            np.testing.assert_array_equal(y.numpy(), want)
            np.testing.assert_array_equal(tape.gradient(y, x), np.ones(3), str(k))
    finally:
        gc.set_threshold(*old)
    assert Busy.ran > 100


def test_what_is_pending_runs_beyond_a_number_of_nodes() -> None:
    natively()
    x = pb.constant([1.0, 2.0])
    count = MOST_NODES + 300
    for _ in range(2):
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = x
            for _ in range(count):
                y = y + 1.0
                assert current_recorder().trail.ahead <= MOST_NODES + 1
        np.testing.assert_array_equal(y.numpy(), [1.0 + count, 2.0 + count])
        np.testing.assert_array_equal(tape.gradient(y, x), [1.0, 1.0])


def test_a_child_process_goes_on() -> None:
    program = """
import os
import pullback as pb
from pullback.tracer.quick import QUICK
QUICK.enough = -1
x = pb.constant(2.0)
def once():
    with pb.GradientTape() as tape:
        tape.watch(x)
        y = x * x * 3.0
    return float(tape.gradient(y, x).numpy())
assert [once() for _ in range(4)] == [12.0] * 4 and QUICK.recording
child = os.fork()
if child == 0:
    os._exit([once() for _ in range(4)] != [12.0] * 4)
assert os.waitpid(child, 0)[1] == 0 and once() == 12.0
"""
    subprocess.run([sys.executable, "-c", program], check=True)
