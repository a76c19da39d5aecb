"""Memory of gradients of deep chains under a tape, and of long loops.

What a chain must keep follows from the records: the result where a rule reads it, else
the operand, else nothing. A program has that, and what flows: the value that a step
reads and the one it makes, of the chain and, as the two run abreast, of its adjoint.
"""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
import pytest
from pullback.runtime import compile as native
from pullback.tracer import engine

DEEP = 25
ROWS, COLUMNS = 1024, 64
ARRAY = ROWS * COLUMNS * 8
FLOW = 4
RNG = np.random.default_rng(5)
WEIGHT = np.eye(COLUMNS) * 0.5


# name: the step, the arrays that records keep, and whether weights are sources
CHAINS: dict[str, tuple[Callable[[Any, Any], Any], int, bool]] = {
    "relu": (lambda x, w: pb.nn.relu(x), DEEP, False),
    "tanh": (lambda x, w: pb.tanh(x), DEEP, False),
    "exp": (lambda x, w: pb.exp(x * 0.1), DEEP, False),
    "sin": (lambda x, w: pb.sin(x), DEEP - 1, False),  # the first is the argument
    "sum": (lambda x, w: x + pb.sum(x) * 1e-9, 0, False),
    "reshape": (lambda x, w: pb.reshape(x, x.shape[::-1]), 0, False),
    "mul": (lambda x, w: x * w, DEEP - 1, True),
    "mul by itself": (lambda x, w: x * x, DEEP - 1, False),
    "matmul": (lambda x, w: x @ WEIGHT, 0, False),
    "matmul by weights": (lambda x, w: x @ w, DEEP - 1, True),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_deep_chain_takes_what_its_records_keep(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step, kept, weighted = CHAINS[name]
    made: list[Any] = []

    def compiled(graph: Any) -> Any:
        made.append(native.compile_graph(graph))
        return made[-1]

    monkeypatch.setattr(engine, "_compiler", [compiled])
    shape = (COLUMNS, COLUMNS) if "matmul" in name else (ROWS, COLUMNS)
    weights = [pb.constant(np.eye(*shape) + 0.25) for _ in range(weighted * DEEP)]
    x = pb.constant(RNG.normal(size=(ROWS, COLUMNS)) * 0.1)
    with pb.GradientTape() as tape:
        tape.watch([x, *weights])
        y = x
        for k in range(DEEP):
            y = step(y, weights[k] if weighted else None)
        loss = pb.sum(y)
        del y
    found = tape.gradient(loss, [x, *weights])
    del tape
    assert np.isfinite(found[0].numpy()).all()
    (program,) = made
    assert len(program.graph.outputs) == 1 + len(found)
    assert program.report().workspace <= 1.1 * (kept + FLOW) * ARRAY


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
