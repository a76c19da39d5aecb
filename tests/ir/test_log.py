"""PULLBACK_LOG: what is written, where, and what is not there to ask for."""

import os
import subprocess
import sys

import pullback as pb
import pytest
from pullback.ir.log import TOPICS, wanted

PROGRAM = """
import sys
import numpy as np
import pullback as pb

def loss(x):
    return np.sum(np.sin(x))

for n in (3, 4):
    pb.value_and_grad(loss)(np.ones(3))
f = pb.grad(loss)
f(np.ones(3)), f(np.ones((2, 2)))
print("logging" in sys.modules)
"""


def lines_of(setting: str) -> list[str]:
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "PULLBACK_LOG": setting},
        check=True,
        capture_output=True,
        text=True,
    )
    assert ran.stdout == f"{bool(ran.stderr)}\n", (
        "logging is loaded when it is asked for"
    )
    return ran.stderr.splitlines()


def test_nothing_is_logged_by_default() -> None:
    assert lines_of("") == lines_of("0") == []


def test_everything() -> None:
    lines = lines_of("1")
    assert all(line.startswith("pullback: ") for line in lines)
    assert lines[0] == "pullback: value_and_grad of loss(x: f64[3]): first call"
    assert lines[1].startswith("pullback: compiled value_and_grad of loss: ")
    assert " kernels, " in lines[1]
    assert " ms (passes " in lines[1]
    assert lines[3].startswith("pullback: value_and_grad of loss was compiled before,")
    assert lines[6] == (
        "pullback: grad of loss(x: f64[2,2]): "
        "argument 'x': shape f64[3] before, f64[2,2] now (1 axis before, 2 now)"
    )


def test_topics() -> None:
    assert all("before, under" in line for line in lines_of("cache"))
    assert len(lines_of("cache")) == 1
    assert not any("before, under" in line for line in lines_of("compile"))
    assert wanted("compile, cache") == wanted("1") == frozenset(TOPICS)
    assert wanted("cache") == {"cache"}


def test_a_topic_that_is_not_there() -> None:
    text = "PULLBACK_LOG=compil: there is no 'compil': use 1 for everything, or compile"
    with pytest.raises(pb.ArgumentError, match=text):
        wanted("compil")
