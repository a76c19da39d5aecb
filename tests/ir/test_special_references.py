"""The references of the special functions against mpmath, and polygamma in full."""

from collections.abc import Callable
from typing import Any

import mpmath  # type: ignore[import-untyped]  # it ships no types
import numpy as np
import pytest
from op_forms import run_form
from pullback.ir.errors import OpTypeError
from pullback.ir.ops import OPS, new_builder, special_reference
from pullback.ir.types import parse_type

POINTS = np.concatenate([
    np.random.default_rng(7).uniform(-6.0, 12.0, 60),
    [1e-300, 1e-8, 0.5, 1.0, 1.0 + 2.0**-30, 1.4616321449683622, 1.5, 2.0, 2.5, 23.5],
    [24.0, 1e5, 1e15, -0.5, -1e-8, -2.4570247382208006, -33.7],
])  # fmt: skip

EXACT: dict[str, Callable[[Any], Any]] = {
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "lgamma": lambda x: mpmath.re(mpmath.loggamma(x)),
    "digamma": mpmath.digamma,
}


@pytest.mark.parametrize("name", sorted(EXACT))
def test_reference_is_exact_to_two_ulps(name: str) -> None:
    got = getattr(special_reference, name)(POINTS)
    with mpmath.workdps(40):
        want = np.array([float(EXACT[name](mpmath.mpf(float(x)))) for x in POINTS])
    # relative to 1 where x is negative: the parts cancel at the zeros
    room = np.where(POINTS < 0, np.maximum(np.abs(want), 1), np.abs(want))
    assert np.all(np.abs(got - want) <= 4.5e-16 * room + 5e-324)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_polygamma(n: int) -> None:
    # away from the poles, where the cotangent has no digits
    x = POINTS[(POINTS > 1e-30) | (np.abs(POINTS - np.rint(POINTS)) > 0.05)]
    with mpmath.workdps(40):
        want = np.array([float(mpmath.polygamma(n, mpmath.mpf(float(v)))) for v in x])
    scale = np.where(x < 0, np.maximum(np.abs(want), 1), np.abs(want))
    op = OPS["polygamma"]
    for made, room in (
        (op.evaluate(x, n=n), 3e-15),
        (run_form(op, [x], n=n), 1e-13),
    ):
        assert np.max(np.abs(made - want) / scale) <= room


@pytest.mark.parametrize(
    ("order", "text"),
    [(0, "order 0 is not 1 or more"), (1.5, "order 1.5 is not a Python integer")],
)
def test_polygamma_refuses_other_orders(order: Any, text: str) -> None:
    b = new_builder()
    with pytest.raises(OpTypeError, match=text):
        OPS["polygamma"].accept(b, order, b.input(parse_type("f64[3]"), "x"))
