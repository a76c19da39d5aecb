"""Complex numbers have no form ahead of time, which is said with what to do."""

from pathlib import Path

import pytest
from pullback.command_error import CommandError
from pullback.user_function import load_function, parse_argument, trace_function

SOURCE = """
import numpy as np
import pullback as pb

def wave(x):
    return np.exp(1j * x)

def parts(x):
    z = np.exp(1j * pb.complex(x[..., 0], x[..., 1]))
    return np.stack([z.real, z.imag], -1)
"""


def test_an_argument() -> None:
    with pytest.raises(CommandError) as caught:
        parse_argument("z: c128[n]")
    assert str(caught.value) == (
        "--arg 'z: c128[n]': column 4: complex arguments have no form ahead of time: "
        "pass both parts as f64[...,2], and make pb.complex(z[..., 0], z[..., 1]) of "
        "them"
    )


def test_a_result(tmp_path: Path) -> None:
    file = tmp_path / "model.py"
    file.write_text(SOURCE)
    wave = load_function(f"{file}:wave")
    with pytest.raises(CommandError) as caught:
        trace_function(wave, [parse_argument("x: f64[n]")], "model.py:wave")
    assert str(caught.value) == (
        "model.py:wave: complex results have no form ahead of time: return both parts, "
        "as np.stack([z.real, z.imag], -1)"
    )
    parts = load_function(f"{file}:parts")
    made = trace_function(parts, [parse_argument("x: f64[n,2]")], "model.py:parts")
    assert str(made.graph.outputs[0].type) == "f64[n,2]"
