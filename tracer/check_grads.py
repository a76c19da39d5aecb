"""Compare gradients with central differences, in random directions.

One direction a leaf of the arguments, so that what is wrong has a name. Both sides are
one number: the inner product of a random cotangent with the change of the results,
and that of the gradient with the change of the argument, both as they were rounded.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, GradientMismatch
from .function import function
from .gradient import grad
from .pushing import jvp
from .signature import quoted
from .trace import name_of, place_of
from .trees import flatten, paths, unflatten

Array = np.ndarray[Any, Any]

# dtype -> step of the difference, relative; tolerances of its disagreement
TOLERANCES: dict[str, tuple[float, float, float]] = {
    "float64": (6e-6, 1e-6, 1e-8),
    "float32": (5e-3, 2e-3, 2e-4),
}
MODES = ("fwd", "rev")
_GIVES = {"fwd": "tangent gives", "rev": "gradient gives"}


def check_grads(
    fun: Callable[..., Any],
    *args: Any,
    order: int = 2,
    modes: "str | Sequence[str]" = ("rev",),
    rtol: float | None = None,
    atol: float | None = None,
    step: float | None = None,
    seed: int = 0,
) -> None:
    """Raise if gradients of a function disagree with central differences.

    Args:
        fun: a function over arrays, with any structure of results.
        args: where to check: arrays of floats are moved, the rest stays. The function
            must be smooth there.
        order: the highest derivative to check.
        modes: `rev` for derivatives by cotangents, `fwd` for those by tangents.
        rtol: how much both numbers may differ relative to the larger one; by dtype.
        atol: how much they may differ in any case; by dtype.
        step: of the difference, relative to the largest element; by dtype.
        seed: of the random directions.

    Raises:
        GradientMismatch: with the argument's path, both numbers and the step.
        ArgumentError: there is nothing to check, or no such mode.
    """
    name = name_of(fun)
    wanted = (modes,) if isinstance(modes, str) else modes
    for mode in wanted:
        if mode not in MODES:
            raise ArgumentError(
                f"check_grads: there is no mode {mode!r}: use {' or '.join(MODES)}"
            )
    if order < 1:
        raise ArgumentError(f"check_grads: order is at least 1, got {order}")
    leaves, structure = flatten(tuple(args))
    where = [
        p for k, part in enumerate(structure[3]) for p in paths(part, _named(fun, k))
    ]
    at = [k for k, leaf in enumerate(leaves) if _is_float(leaf)]
    if not at:
        raise ArgumentError(f"check_grads: {name} has no float argument{place_of(fun)}")
    xs = [np.array(leaves[k]) for k in at]

    def on_floats(moved: list[Any]) -> list[Any]:
        given = list(leaves)
        for k, x in zip(at, moved, strict=True):
            given[k] = x
        found, _ = flatten(fun(*unflatten(structure, given)))
        return [y for y in found if _is_float(y)]

    for mode in wanted:
        rng = np.random.default_rng(seed)
        current: Callable[[list[Any]], list[Any]] = on_floats
        for k in range(1, order + 1):
            current = _check(
                current,
                xs,
                [where[j] for j in at],
                name,
                mode,
                k,
                rtol,
                atol,
                step,
                rng,
            )


def _named(fun: Callable[..., Any], k: int) -> str:
    code = getattr(getattr(fun, "__wrapped__", fun), "__code__", None)
    names = code.co_varnames[: code.co_argcount] if code is not None else ()
    return names[k] if k < len(names) else f"argument {k}"


def _is_float(x: Any) -> bool:
    dtype = getattr(x, "dtype", None)
    return isinstance(x, float) if dtype is None else bool(np.dtype(dtype).kind == "f")


def _check(
    fun: Callable[[list[Any]], list[Any]],
    xs: list[Array],
    where: Sequence[str],
    name: str,
    mode: str,
    order: int,
    rtol: float | None,
    atol: float | None,
    step: float | None,
    rng: "np.random.Generator",
) -> Callable[[list[Any]], list[Any]]:
    """Check one order; returns the gradient for the cotangent that was drawn.

    Forward it is the tangent along a direction that was drawn.
    """
    value = function(fun)
    ys = [np.asarray(y) for y in value(xs)]
    if not ys:
        raise ArgumentError(f"check_grads: {name} has no float result")
    cts = [np.asarray(rng.standard_normal(y.shape), y.dtype) for y in ys]

    def product(moved: list[Any]) -> Any:
        total: Any = 0.0
        for y, ct in zip(fun(moved), cts, strict=True):
            total = total + (y * ct).sum() if np.ndim(ct) else total + y * ct
        return total

    gradient: Callable[[list[Any]], list[Any]] = grad(product)
    found = gradient(xs) if mode == "rev" else []
    # what the results' last bits come to in the inner product
    size = sum(
        float(np.sum(np.square(_wide(y) * ct))) for y, ct in zip(ys, cts, strict=True)
    )
    size = size**0.5
    for k, (x, path) in enumerate(zip(xs, where, strict=True)):
        base, relative, absolute = TOLERANCES[_coarsest([x, *ys])]
        if not x.size:
            continue
        largest = float(np.max(np.abs(x)))
        h = (base if step is None else step) * (largest or 1.0)
        v = rng.standard_normal(x.shape)
        up, down = np.asarray(x + h * v, x.dtype), np.asarray(x - h * v, x.dtype)
        high, low = (value([*xs[:k], moved, *xs[k + 1 :]]) for moved in (up, down))
        numeric = sum(
            float(np.sum((_wide(a) - _wide(b)) * ct))
            for a, b, ct in zip(high, low, cts, strict=True)
        ) / (2 * h)
        along = _wide(up) - _wide(down)
        if mode == "rev":
            analytic = float(np.sum(_wide(found[k]) * along)) / (2 * h)
        else:
            moves: list[Any] = [None] * len(xs)
            moves[k] = np.asarray(along / (2 * h), x.dtype)
            _, made = jvp(value, (xs,), (moves,))
            pairs = zip(made, cts, strict=True)
            analytic = sum(float(np.sum(_wide(t) * ct)) for t, ct in pairs)
        noise = np.finfo(_coarsest(ys)).eps * size / h
        allowed = (
            (absolute if atol is None else atol)
            + (relative if rtol is None else rtol) * max(abs(numeric), abs(analytic))
            + 4 * noise
        )
        if not abs(numeric - analytic) <= allowed:
            raise GradientMismatch(
                f"check_grads of {name}: argument {quoted(path)} {x.dtype}"
                f"{list(x.shape)}, order {order}: the {_GIVES[mode]} {analytic:.12g} "
                f"along a random direction, central differences {numeric:.12g} "
                f"with step {h:.3g}; {allowed:.3g} apart is allowed"
            )
    if mode == "rev":
        return gradient
    us = [np.asarray(rng.standard_normal(x.shape), x.dtype) for x in xs]
    return lambda moved: jvp(fun, (moved,), (us,))[1]


def _wide(x: Any) -> Array:
    return np.asarray(x, np.float64)


def _coarsest(arrays: Sequence[Array]) -> str:
    names = {a.dtype.name for a in arrays}
    return next(name for name in reversed(TOLERANCES) if name in names)
