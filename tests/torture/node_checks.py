"""One node of a program against its reference, on the operands that it was given."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from compare import assert_close, scale_of
from op_samples import resolve
from pullback.ir.graph import Value
from pullback.ir.primitive import Primitive, as_results

Array = np.ndarray[Any, Any]

ULPS = 8.0  # of an elementary function
SUMMED = 4.0  # of a sum, relative to the sum of magnitudes, for each doubling
BY_REFLECTION = ("gammaln", "digamma", "polygamma")


def check_node(node: Any, held: Mapping[Value, Array], env: Mapping[str, int]) -> None:
    """Compare a node's results with its reference on the operands' native values."""
    operands = [held[x] for x in node.operands]
    params = {k: resolve(v, env) for k, v in node.params.items()}
    op = node.primitive
    form = type(op.form).__name__
    got = [held[x] for x in node.results]
    with np.errstate(all="ignore"):
        if form == "Factorize":
            check_factors(op, operands, params, got)
            return
        if (
            form in ("Contract", "Reduce", "Scatter") or op.name == "recurrence"
        ) and not op.exact:
            wanted = as_results(op.evaluate(*operands, **params))
            sizes = [np.abs(a) if a.dtype.kind == "f" else a for a in operands]
            bound = as_results(op.evaluate(*sizes, **params))
            for x, y, room in zip(got, wanted, bound, strict=True):
                if x.dtype.kind != "f" or op.name in ("max", "min"):
                    assert_close([x], [y], op.name)
                    continue
                big = np.asarray(room, np.float64)
                finite = np.isfinite(big) & np.isfinite(y)
                count = max((a.size for a in operands), default=1)
                slack = SUMMED * (2 + np.log2(max(count, 1))) * np.finfo(x.dtype).eps
                away = np.abs(x.astype(np.float64) - y)
                if op.name == "prod":
                    finite &= _stays_in_range(operands[0], params["axes"])
                if op.name in ("sum", "contract", "scatter_add") and _far_below(
                    operands
                ):
                    # nothing overflows on the way, in whatever order it is added
                    alike = (np.isnan(x) == np.isnan(y)) & (np.isinf(x) == np.isinf(y))
                    assert alike.all(), f"{op.name}: {x[~alike][:3]}, {y[~alike][:3]}"
                good = ~finite | (away <= slack * big) | (x == y)
                assert good.all(), f"{op.name}: {x[~good][:3]}, {y[~good][:3]} expected"
            return
        if op.name == "fma":
            x, y, _ = operands
            wanted = as_results(op.evaluate(*operands))
            info = np.finfo(x.dtype)
            term = np.abs(x.astype(np.float64) * y) * 2.0**-60
            away = np.abs(got[0].astype(np.float64) - wanted[0])
            room = float(info.eps) * np.abs(wanted[0]) + term + info.smallest_subnormal
            same = (got[0] == wanted[0]) | (away <= room)
            same |= np.isnan(got[0]) & np.isnan(wanted[0])
            same |= ~np.isfinite(x * y) | ~np.isfinite(wanted[0])
            assert same.all(), (op.name, got[0][~same][:3], wanted[0][~same][:3])
            return
        wide = operands
        if not op.exact and form == "Map":
            single = [a.dtype == np.float32 for a in operands]
            if any(single):
                wide = [a.astype(np.float64) for a in operands]
        wanted = as_results(op.evaluate(*wide, **params))
        if wide is not operands:
            wanted = tuple(
                np.asarray(w).astype(g.dtype) for w, g in zip(wanted, got, strict=True)
            )
    if op.name == "mod" and params["real"]:
        # as its record says, NaN where the quotient is too large
        bits = 100 if got[0].dtype == np.float64 else 45
        far = np.isnan(got[0]) & (np.abs(wide[0] / wide[1]) > 2.0**bits)
        wanted = (np.where(far, np.nan, wanted[0]).astype(got[0].dtype),)
    if op.name in BY_REFLECTION:
        check_reflected(op, operands[0], params, got[0], wanted[0])
        return
    scale = scale_of(op, operands)
    assert_close(got, wanted, op.name, 0.0 if op.exact else ULPS, scale)


def _far_below(operands: Sequence[Array]) -> bool:
    """Whether sums of products of the finite numbers cannot overflow."""
    for a in operands:
        if a.dtype.kind == "f":
            finite = np.abs(a[np.isfinite(a)])
            if (
                finite.size
                and float(finite.max()) > float(np.finfo(a.dtype).max) ** 0.25
            ):
                return False
    return True


def _stays_in_range(x: Array, axes: tuple[int, ...]) -> Array:
    """Whether products stay in range in whatever order the factors are taken."""
    size = np.abs(x.astype(np.longdouble))
    info = np.finfo(x.dtype)
    low = np.prod(np.where(size == 0, 1, np.minimum(size, 1)), axis=axes)
    high = np.prod(np.maximum(size, 1), axis=axes)
    return np.asarray((low >= float(info.smallest_normal)) & (high <= float(info.max)))


def check_reflected(
    op: Primitive, x: Array, params: Mapping[str, Any], got: Array, wanted: Array
) -> None:
    """Compare a function that has poles at 0, -1, ... with its reference.

    Below 0 it is a difference of two terms, which are as large as the nearest pole
    makes them, and errors are relative to those.
    """
    order = params.get("n", 0)
    wide = x.astype(np.float64)
    away = np.abs(wide - np.rint(wide))
    terms = np.float64(1.0)
    if op.name != "gammaln":
        terms = math.factorial(order) * (1 + np.pi / away) ** (order + 1)
    room = np.where((wide < 0.5) & (away > 0), terms, 0.0) + np.abs(wanted)
    room = np.where(np.isfinite(room), room, 0.0)
    info = np.finfo(x.dtype)
    slack = (1 + order) * ULPS * float(info.eps)
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    same |= np.abs(got.astype(np.float64) - wanted) <= slack * room
    assert same.all(), f"{op.name}: {got[~same][:3]}, {wanted[~same][:3]} expected"


def check_factors(
    op: Primitive,
    operands: Sequence[Array],
    params: Mapping[str, Any],
    got: Sequence[Array],
) -> None:
    """Compare factors and solutions with the reference, one matrix after the other.

    Errors are relative to the largest number of the matrix, of its right sides and of
    the result. Of a matrix with a number that is not finite nothing is promised but the
    types.
    """
    wanted = as_results(op.evaluate(*operands, **params))
    assert [(g.dtype, g.shape) for g in got] == [(w.dtype, w.shape) for w in wanted]
    matrix = operands[0]
    for at in np.ndindex(matrix.shape[:-2]):
        parts = [a[at] for a in operands]
        largest = max((float(np.abs(a).max()) for a in parts if a.size), default=0.0)
        if not largest < float(np.finfo(matrix.dtype).max) ** 0.25:
            continue
        for x, y in zip((g[at] for g in got), (w[at] for w in wanted), strict=True):
            if x.dtype.kind != "f":
                assert np.array_equal(x, y), f"{op.name}: {x}, {y} expected"
                continue
            size = max(largest, float(np.abs(y).max(initial=0.0)), 1e-30)
            slack = 4 * ULPS * matrix.shape[-1] * float(np.finfo(x.dtype).eps)
            away = np.abs(x.astype(np.float64) - y)
            same = (away <= slack * size) | (x == y) | (np.isnan(x) & np.isnan(y))
            assert same.all(), f"{op.name}: {x}, {y} expected"
