"""Memory of long loops, and what a tape that has run holds."""

import subprocess
import sys

import numpy as np
import pullback as pb
import pytest

ROWS, COLUMNS = 1024, 64
FULL = (ROWS, COLUMNS)
RNG = np.random.default_rng(5)


def test_an_array_that_a_tape_meets_again_is_copied_once() -> None:
    x, weight = pb.constant(RNG.normal(size=FULL)), RNG.normal(size=(64, 512))
    with pb.GradientTape() as tape:
        tape.watch(x)
        y, z = x @ weight, x @ weight
        weight[0, 0] += 1
        w = x @ weight
    held = [v._value.node.operands[1].cell.array for v in (y, z, w)]
    assert held[0] is held[1]
    assert held[0] is not held[2]
    assert held[2][0, 0] == held[0][0, 0] + 1
    assert not held[2].flags.writeable
    np.testing.assert_allclose(tape.gradient(w, x).numpy()[0], weight.sum(axis=1))


LOOPS = """
import gc, os
import numpy as np
import pullback as pb

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

w = pb.Variable(np.zeros(3))
data = np.random.default_rng(0).normal(size=(20, 3))
goal = data @ [1.0, -2.0, 0.5]

def step():
    with pb.GradientTape() as tape:
        loss = pb.mean((data @ w - goal) ** 2)
    w.assign_sub(0.1 * tape.gradient(loss, w))
    return loss

def tapes(count):
    with pb.GradientTape(persistent=count % 2 == 0) as tape:
        y = pb.sum(pb.sin(w) * (count % 7))
    if count % 3 == 0:
        tape.gradient(y, w)

for count in range(5_000):
    step(), tapes(count)
before = resident()
for count in range(100_000):
    step()
for count in range(10_000):
    tapes(count)
print(resident() - before, float(step()))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_long_loops_take_no_more_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", LOOPS], capture_output=True, text=True, check=True
    )
    grown, loss = map(float, done.stdout.split())
    assert grown < 2 << 20
    assert loss < 1e-20


def test_a_tape_that_gave_its_gradient_holds_nothing() -> None:
    x = pb.constant(np.ones((ROWS, COLUMNS)))
    for _ in range(3):
        with pb.GradientTape() as tape:
            tape.watch(x)
            y = pb.tanh(x)
            loss = pb.sum(y * y)
        tape.gradient(loss, x).numpy()
        assert y._value.node is None
        assert tape._segments == tape._watched == []
