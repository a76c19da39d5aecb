"""Derive the polynomials of codegen/vecmath with mpmath and print them as Python.

Each polynomial is the weighted minimax approximation (Remez exchange) of a smooth
function on an interval; the weight turns its error into an error relative to the final
result. The coefficients are then rounded to the working precision one after the other,
lowest power first, and the remaining ones are fitted again each time.

    python tests/torture/derive_coefficients.py [NAME ...]
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass

import mpmath as mp
import numpy as np

mp.mp.dps = 60
Fn = Callable[[mp.mpf], mp.mpf]


@dataclass(frozen=True)
class Spec:
    """A polynomial of `terms` coefficients for `target` on [low, high]."""

    name: str
    target: Fn
    weight: Fn
    low: float
    high: float
    terms: int
    elem: str = "f64"
    about: str = ""
    at_once: bool = False  # round all coefficients together: 0 is inside the interval


def remez(
    target: list[mp.mpf], weight: list[mp.mpf], grid: list[mp.mpf], powers: list[int]
) -> tuple[list[mp.mpf], mp.mpf]:
    """Return the minimax coefficients of the given powers, and the weighted error."""
    n = len(powers)
    last = len(grid) - 1
    nodes = [
        round(last * k / n) for k in range(n + 1)
    ]  # the grid is Chebyshev-spaced already
    coefs: list[mp.mpf] = []
    peak = mp.mpf(0)
    for _ in range(30):
        a = mp.matrix(n + 1, n + 1)
        b = mp.matrix(n + 1, 1)
        for i, at in enumerate(nodes):
            for j, p in enumerate(powers):
                a[i, j] = grid[at] ** p
            a[i, n] = (-1) ** i / weight[at]
            b[i] = target[at]
        sol = mp.lu_solve(a, b)
        coefs = [sol[j] for j in range(n)]
        err = [
            w * (t - sum(c * x**p for c, p in zip(coefs, powers, strict=True)))
            for t, w, x in zip(target, weight, grid, strict=True)
        ]
        peak = max(abs(e) for e in err)
        if peak <= abs(sol[n]) * mp.mpf("1.0005"):
            break
        nodes = _alternation(err, n + 1)
    return coefs, peak


def _alternation(err: list[mp.mpf], count: int) -> list[int]:
    """Return `count` grid indices of alternating extremes of the error."""
    runs: list[int] = []
    for k, e in enumerate(err):
        if runs and (err[runs[-1]] > 0) == (e > 0):
            if abs(e) > abs(err[runs[-1]]):
                runs[-1] = k
        else:
            runs.append(k)
    while len(runs) > count:
        if len(runs) == count + 1:
            runs.pop(0 if abs(err[runs[0]]) < abs(err[runs[-1]]) else -1)
            continue
        worst = min(range(len(runs)), key=lambda k: abs(err[runs[k]]))
        if worst in (0, len(runs) - 1):
            runs.pop(worst)
        else:
            other = min((worst - 1, worst + 1), key=lambda k: abs(err[runs[k]]))
            for k in sorted((worst, other), reverse=True):
                runs.pop(k)
    assert len(runs) == count, f"{len(runs)} alternations, {count} needed"
    return runs


def rounded(value: mp.mpf, elem: str) -> float:
    """Round to the nearest f64 or f32."""
    if elem == "f64":
        return float(value)
    near = np.float32(float(value))
    around = (
        np.nextafter(near, np.float32(-9)),
        near,
        np.nextafter(near, np.float32(9)),
    )
    return float(min(around, key=lambda c: abs(mp.mpf(float(c)) - value)))


def fit(spec: Spec) -> tuple[list[float], mp.mpf]:
    """Return rounded coefficients, lowest power first, and the weighted error."""
    count = 60 * (spec.terms + 1)
    mid, half = mp.mpf(spec.low + spec.high) / 2, mp.mpf(spec.high - spec.low) / 2
    grid = [
        mid - half * mp.cos(mp.pi * (k + mp.mpf(1) / 7) / count) for k in range(count)
    ]
    exact = [spec.target(x) for x in grid]
    weight = [spec.weight(x) for x in grid]
    if spec.at_once:
        coefs, _ = remez(exact, weight, grid, list(range(spec.terms)))
        made = [rounded(c, spec.elem) for c in coefs]
        errors = [
            w * (t - mp.polyval([mp.mpf(c) for c in reversed(made)], x))
            for w, t, x in zip(weight, exact, grid, strict=True)
        ]
        return made, max(abs(e) for e in errors)
    rest = list(exact)
    done: list[float] = []
    for power in range(spec.terms):
        coefs, _ = remez(rest, weight, grid, list(range(power, spec.terms)))
        done.append(rounded(coefs[0], spec.elem))
        rest = [
            t - mp.mpf(done[-1]) * x**power for t, x in zip(rest, grid, strict=True)
        ]
    peak = max(abs(w * t) for w, t in zip(weight, rest, strict=True))
    return done, peak


def _atanh_tail(z: mp.mpf) -> mp.mpf:
    """(log((1+s)/(1-s))/s - 2)/z with s = sqrt(z): 2/3 + 2/5 z + ..."""
    s = mp.sqrt(z)
    return (mp.log((1 + s) / (1 - s)) / s - 2) / z


HALF_LN2 = 0.34668  # ln2/2 and a little
Z_LOG = float(((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2) * 1.0001
Z_TRIG = float((mp.pi / 4) ** 2) * 1.001
F_LOW, F_HIGH = float(mp.sqrt(0.5) - 1) * 1.0001, float(mp.sqrt(2) - 1) * 1.0001


def _exp_tail(r: mp.mpf) -> mp.mpf:
    return (mp.expm1(r) - r) / r**2


def _exp_weight(r: mp.mpf) -> mp.mpf:
    return (abs(r) + HALF_LN2 / 16) ** 2 / mp.exp(r)


def _expm1_weight(r: mp.mpf) -> mp.mpf:
    return (abs(r) + HALF_LN2 / 16) * abs(r / mp.expm1(r))


def _sin_tail(z: mp.mpf) -> mp.mpf:
    r = mp.sqrt(z)
    return (r - mp.sin(r)) / r**3


def _sin_weight(z: mp.mpf) -> mp.mpf:
    return (z + Z_TRIG / 50) * mp.sqrt(z) / mp.sin(mp.sqrt(z))


def _cos_tail(z: mp.mpf) -> mp.mpf:
    return (mp.cos(mp.sqrt(z)) - 1 + z / 2) / z**2


def _cos_weight(z: mp.mpf) -> mp.mpf:
    return (z + Z_TRIG / 50) ** 2 / mp.cos(mp.sqrt(z))


def _log_tail(f: mp.mpf) -> mp.mpf:
    return (mp.log1p(f) - f + f**2 / 2) / f**3


def _log_weight(f: mp.mpf) -> mp.mpf:
    return (abs(f) + F_HIGH / 16) ** 2 * abs(f / mp.log1p(f))


def _exp2_tail(g: mp.mpf) -> mp.mpf:
    return (mp.expm1(g * mp.log(2)) - g * mp.log(2)) / g**2


def _exp2_weight(g: mp.mpf) -> mp.mpf:
    return (abs(g) + mp.mpf(1) / 32) ** 2 / 2**g


def _pow_tail(z: mp.mpf) -> mp.mpf:
    return (_atanh_tail(z) - mp.mpf(2) / 3) / z / mp.log(2)


SPECS = (
    Spec("EXP_F64", _exp_tail, _exp_weight, -HALF_LN2, HALF_LN2, 10, "f64",
         "(exp(r) - 1 - r) / r^2, relative to exp"),
    Spec("EXPM1_F64", _exp_tail, _expm1_weight, -HALF_LN2, HALF_LN2, 11, "f64",
         "(exp(r) - 1 - r) / r^2, relative to expm1"),
    Spec("EXP_F32", _exp_tail, _exp_weight, -HALF_LN2, HALF_LN2, 5, "f32",
         "(exp(r) - 1 - r) / r^2, relative to exp"),
    Spec("EXPM1_F32", _exp_tail, _expm1_weight, -HALF_LN2, HALF_LN2, 6, "f32",
         "(exp(r) - 1 - r) / r^2, relative to expm1"),
    Spec("LOG_F64", _atanh_tail, lambda z: (z + Z_LOG / 50) / 2, 0, Z_LOG, 7, "f64",
         "(log((1+s)/(1-s))/s - 2) / z, z = s^2"),
    Spec("LOG_F32", _log_tail, _log_weight, F_LOW, F_HIGH, 8, "f32",
         "(log(1+f) - f + f^2/2) / f^3"),
    Spec("SIN_F64", _sin_tail, _sin_weight, 0, Z_TRIG, 6, "f64",
         "(r - sin(r)) / r^3, z = r^2"),
    Spec("SIN_F32", _sin_tail, _sin_weight, 0, Z_TRIG, 3, "f32",
         "(r - sin(r)) / r^3, z = r^2"),
    Spec("COS_F64", _cos_tail, _cos_weight, 0, Z_TRIG, 6, "f64",
         "(cos(r) - 1 + r^2/2) / r^4, z = r^2"),
    Spec("COS_F32", _cos_tail, _cos_weight, 0, Z_TRIG, 3, "f32",
         "(cos(r) - 1 + r^2/2) / r^4, z = r^2"),
    Spec("POW_LOG_F64", _pow_tail, lambda z: (z + Z_LOG / 50) ** 2 / 2.885, 0, Z_LOG, 7,
         "f64", "(log2((1+s)/(1-s))/s - 2/ln2 - 2z/(3 ln2)) / z^2, z = s^2"),
    Spec("POW_EXP_F64", _exp2_tail, _exp2_weight, -0.5002, 0.5002, 11, "f64",
         "(2^g - 1 - g ln2) / g^2"),
    Spec("POW_LOG_F32", lambda z: _atanh_tail(z) / mp.log(2),
         lambda z: (z + Z_LOG / 50) / 2.885, 0, Z_LOG, 5, "f64",
         "(log2((1+s)/(1-s))/s - 2/ln2) / z, z = s^2"),
    Spec("POW_EXP_F32", _exp2_tail, _exp2_weight, -0.5002, 0.5002, 6, "f64",
         "(2^g - 1 - g ln2) / g^2"),
)  # fmt: skip


def show(spec: Spec) -> None:
    """Print one polynomial as Python."""
    coefs, peak = fit(spec)
    print(f"# {spec.about}")
    error = float(mp.log(peak, 2))
    print(f"# on [{spec.low:.6g}, {spec.high:.6g}], error 2^{error:.1f}")
    print(f"{spec.name} = (")
    for c in coefs:
        print(f"    {c!r},")
    print(")\n", flush=True)


def main(names: list[str]) -> None:
    """Print the polynomials asked for, or all of them."""
    for spec in SPECS:
        if not names or spec.name in names:
            show(spec)


if __name__ == "__main__":
    main(sys.argv[1:])
