"""Gradients at kinks and singular points, through the public functions, natively.

Where each convention of the documented table is pinned:

    maximum, minimum at a tie      the first argument     here, ir/test_op_calls.py
    max, min with ties             equal parts            here, ir/test_op_calls.py
    abs at 0                       0                      here, ir/test_op_calls.py
    relu at 0                      0                      here
    clip at its bounds             passes                 here
    x**y by y where x <= 0         0                      here, ir/test_op_calls.py
    x**0 by x                      0                      here, ir/test_op_calls.py
    sqrt at 0                      inf; 0 if masked       here
    norm at 0                      0                      here
    sign                           zeros, connected       here
    floor, ceil, rint, trunc, //   none                   here
    mod                            1, -floor(x/y)         here, ir/test_op_calls.py
    prod, cumprod with zeros       exact                  here
    cast                           floats to floats       here
    where                          0 in the other branch  here, ir/test_op_calls.py
    hypot at 0, 0                  0                      here
    no NaN through a branch not taken: sqrt, log, div,
    pow, rsqrt, acos, norm, atan2  0                      here, ir/test_op_calls.py
    values of NaN, infinities, ...                        codegen/test_special_values.py
    softplus, sigmoid, logsumexp, log_softmax, xlogy
    at either end                  no overflow            here
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback as pb
import pytest

FLOATS = pytest.mark.parametrize("dtype", [np.float64, np.float32])
ZERO = [0.0, -0.0]
INF = np.inf


def total(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *xs: pb.sum(f(*xs))


def same(f: Any, points: list[Any], wanted: list[Any], dtype: Any) -> None:
    """Gradients of the sum of f by all arguments; as a program and on a tape."""
    arrays = [np.array(p, dtype) for p in points]
    made = pb.grad(total(f), argnums=tuple(range(len(arrays))))(*arrays)
    with pb.GradientTape() as tape:
        held = [pb.constant(a) for a in arrays]
        for x in held:
            tape.watch(x)
        loss = total(f)(*held)
    taped = [g.numpy() for g in tape.gradient(loss, held)]
    for way in (made, taped):
        for got, expected in zip(way, wanted, strict=True):
            assert got.dtype == dtype
            rtol = 4 * float(np.finfo(dtype).eps)
            np.testing.assert_allclose(got, np.array(expected, dtype), rtol, atol=0)


KINKS: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "maximum": (pb.maximum, [[1, 2, 0.0], [1, 3, -0.0]], [[1, 0, 1], [0, 1, 0]]),
    "minimum": (pb.minimum, [[1, 2, -0.0], [1, 3, 0.0]], [[1, 1, 1], [0, 0, 0]]),
    "max": (pb.max, [[3, 1, 3, 3, 3]], [[0.25, 0, 0.25, 0.25, 0.25]]),
    "min": (pb.min, [[1, 1, 3]], [[0.5, 0.5, 0]]),
    "abs": (pb.abs, [[-1, *ZERO, 2]], [[-1, 0, 0, 1]]),
    "relu": (pb.nn.relu, [[-1, *ZERO, 2]], [[0, 0, 0, 1]]),
    "clip": (lambda x: pb.clip(x, -1, 2), [[-2, -1, 0, 2, 3]], [[0, 1, 1, 1, 0]]),
    "pow by y": (
        lambda y: pb.pow(np.array([0, -2, 0, -1.5], np.float32), y),
        [[0, 2, 3, 0]],
        [[0, 0, 0, 0]],
    ),
    "pow by x": (lambda x: x**0.0, [[*ZERO, INF, -3]], [[0, 0, 0, 0]]),
    "power of 0": (lambda x: x**0, [[*ZERO, INF, np.nan]], [[0, 0, 0, 0]]),
    "sqrt": (pb.sqrt, [[0, 4]], [[INF, 0.25]]),
    "norm": (lambda x: pb.linalg.norm(x), [[*ZERO, 0]], [[0, 0, 0]]),
    "sign": (pb.sign, [[-1, *ZERO, 2]], [[0, 0, 0, 0]]),
    "mod": (pb.mod, [[-7, 7], [2, -2]], [[1, 1], [4, 4]]),
    "prod": (pb.prod, [[2, 0, 3]], [[0, 6, 0]]),
    "prod of two zeros": (pb.prod, [[2, 0, 3, 0]], [[0, 0, 0, 0]]),
    "cumprod": (pb.cumprod, [[2, 0, 3]], [[1, 2 + 6, 0]]),
    "where": (
        lambda x: pb.where(x > 0, pb.log(x), 1 / (x - 1)),
        [[-1, 0, 2]],
        [[-0.25, -1, 0.5]],
    ),
    "hypot": (pb.hypot, [[0, 3], [0, -4]], [[0, 0.6], [0, -0.8]]),
    "sigmoid": (pb.nn.sigmoid, [[0, 1000, -1000]], [[0.25, 0, 0]]),
    "softplus": (pb.nn.softplus, [[0, 1000, -1000]], [[0.5, 1, 0]]),
    "logaddexp": (pb.logaddexp, [[1000, -INF], [1000, -INF]], [[0.5, 0.5]] * 2),
    "logsumexp": (pb.logsumexp, [[1000, 1000, -INF]], [[0.5, 0.5, 0]]),
    "log_softmax": (
        lambda x: pb.nn.log_softmax(x)[0],
        [[1000, -1000]],
        [[0, 0]],
    ),
    "xlogy": (pb.xlogy, [[0, 0, 2], [0, 2, 1]], [[0, np.log(2), 0], [0, 0, 2]]),
}


@FLOATS
@pytest.mark.parametrize("name", list(KINKS))
def test_gradient_at_kinks(name: str, dtype: Any) -> None:
    same(*KINKS[name], dtype)


#: Singular at 0, with the derivative at 4.
SINGULAR: dict[str, tuple[Any, float]] = {
    "sqrt": (pb.sqrt, 0.25),
    "log": (pb.log, 0.25),
    "div": (lambda x: 1 / x, -0.0625),
    "pow": (lambda x: x**-0.5, -0.0625),
    "power": (lambda x: x**-2, -0.03125),
    "rsqrt": (pb.rsqrt, -0.0625),
    "acos": (lambda x: pb.acos(1 - x / 8), 0.125 / np.sqrt(0.75)),
    "norm": (lambda x: pb.linalg.norm(pb.stack([x, x]), axis=0), np.sqrt(2)),
    "atan2": (lambda x: pb.atan2(x, x * x), -1 / 17),
}


@FLOATS
@pytest.mark.parametrize("name", list(SINGULAR))
def test_no_nan_leaks_through_a_branch_that_was_not_taken(
    name: str, dtype: Any
) -> None:
    f, slope = SINGULAR[name]
    points = [[-1, *ZERO, 4, 4]]
    wanted = [[0, 0, 0, slope, slope]]
    same(lambda x: pb.where(x > 0, f(x), 0.0), points, wanted, dtype)
    same(lambda x: pb.where(x > 0, f(x), x) * (x > 0), points, wanted, dtype)


UNCONNECTED: dict[str, Any] = {
    "floor": pb.floor,
    "ceil": pb.ceil,
    "rint": pb.rint,
    "trunc": pb.trunc,
    "floor_divide": lambda x: x // 2.0,
    "to integers and back": lambda x: pb.cast(pb.cast(x, np.int64), np.float64),
    "to bool and back": lambda x: pb.cast(pb.cast(x, np.bool_), np.float64),
    "stop_gradient": pb.stop_gradient,
}


@pytest.mark.parametrize("name", list(UNCONNECTED))
def test_what_has_no_gradient_is_none_on_a_tape(name: str) -> None:
    x = pb.constant(np.array([0.5, 1.0, -2.5]))
    with pb.GradientTape() as tape:
        tape.watch(x)
        y = pb.sum(UNCONNECTED[name](x))
    assert tape.gradient(y, x) is None


@pytest.mark.parametrize(
    ("first", "second"), [(np.float64, np.float32), (np.float32, np.float64)]
)
def test_a_cast_of_floats_casts_the_cotangent_back(first: Any, second: Any) -> None:
    x = np.array([0.5, np.nan, np.inf, 3.0], first)
    made = pb.grad(lambda x: pb.sum(x.astype(second) * 0.1))(x)
    assert made.dtype == first
    np.testing.assert_array_equal(made, np.full(4, second(0.1)).astype(first))
