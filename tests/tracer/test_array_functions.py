"""NumPy's array functions: values as NumPy's, gradients as central differences."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pullback as pb
import pytest
from array_calls import EXACT, SMOOTH

STEP = 1e-6


def same(got: Any, wanted: Any) -> None:
    if isinstance(wanted, (list, tuple)):
        assert len(got) == len(wanted)
        for g, w in zip(got, wanted, strict=True):
            same(g, w)
        return
    got, wanted = np.asarray(got), np.asarray(wanted)
    assert got.shape == wanted.shape
    assert got.dtype == wanted.dtype
    tight = 1e-5 if wanted.dtype == np.float32 else 1e-11
    np.testing.assert_allclose(got, wanted, rtol=tight, atol=tight)


def weighted(call: Callable[..., Any]) -> Callable[..., Any]:
    """A scalar from the floats of a result; each has a weight of its own."""

    def scalar(*args: Any) -> Any:
        made = call(*args)
        total: Any = 0.0
        for part in made if isinstance(made, (list, tuple)) else [made]:
            count = int(np.size(part))
            weights = np.cos(np.arange(count) * 1.7).reshape(np.shape(part)) + 0.3
            total = total + np.sum(part * weights)
        return total

    return scalar


def check_gradient(call: Callable[..., Any], args: Sequence[Any]) -> None:
    """Compare the gradient with central differences in one direction."""
    scalar = weighted(call)
    value, gradients = pb.value_and_grad(scalar, argnums=tuple(range(len(args))))(*args)
    np.testing.assert_allclose(value, scalar(*args), rtol=1e-10, atol=1e-10)
    rng = np.random.default_rng(3)
    moves = [rng.standard_normal(np.shape(x)) for x in args]
    ends = [
        scalar(*[x + by * m for x, m in zip(args, moves, strict=True)])
        for by in (STEP, -STEP)
    ]
    expected = (ends[0] - ends[1]) / (2 * STEP)
    got = sum(float(np.sum(g * m)) for g, m in zip(gradients, moves, strict=True))
    size = sum(
        float(np.sum(np.abs(g * m))) for g, m in zip(gradients, moves, strict=True)
    )
    assert abs(got - expected) <= 1e-6 * (size + 1), (got, expected)


@pytest.mark.parametrize("name", SMOOTH)
def test_value_and_gradient(name: str) -> None:
    call, args = SMOOTH[name]
    same(pb.function(call)(*args), call(*args))
    check_gradient(call, args)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("name", EXACT)
def test_value(name: str) -> None:
    call, args = EXACT[name]
    same(pb.function(call)(*args), call(*args))
