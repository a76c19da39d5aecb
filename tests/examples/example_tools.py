"""What the tests of examples share: loading a script, and 40-digit differences."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
DATA = ROOT.parent / "shared" / "data" / "adbench"
DIGITS = 40


def load(path: str) -> Any:
    """Import an example by its path under `examples`."""
    name = "example_" + path.removesuffix(".py").replace("/", "_")
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def needs_data() -> None:
    if not DATA.is_dir():
        pytest.skip("the suite's data are not beside the repository")


def exact_arrays(arrays: Sequence[Any]) -> list[Any]:
    return [np.vectorize(mp.mpf, otypes=[object])(a) for a in arrays]


def differences(f: Callable[..., Any], arrays: Sequence[Any]) -> list[Any]:
    """The derivatives of f's results by each element, by central differences.

    `f` takes object arrays of mpf and returns one; the results' axes come first.
    """
    with mp.workdps(DIGITS):
        held = exact_arrays(arrays)
        step = mp.mpf(10) ** -12
        out = []
        for array in held:
            columns = []
            for at in np.ndindex(array.shape):
                before = array[at]
                array[at] = before + step
                high = np.array(f(*held))
                array[at] = before - step
                low = np.array(f(*held))
                array[at] = before
                columns.append(np.asarray((high - low) / (2 * step), np.float64))
            slopes = np.stack(columns, axis=-1)
            out.append(slopes.reshape(*slopes.shape[:-1], *array.shape))
        return out
