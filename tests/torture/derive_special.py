"""Derive the polynomials of the less common functions and print them as Python.

The method is that of derive_coefficients.py.

    python tests/torture/derive_special.py [NAME ...]
"""

import sys

import mpmath as mp
from derive_coefficients import Spec, show

HALF_LN2 = 0.34668
Z_HYPER = HALF_LN2**2
TANH_NEAR = 0.9
Z_TANH = TANH_NEAR**2 * 1.0002
K_TANH = mp.mpf(361) / 32  # by which a polynomial of degree 6 has 1 for r^6
Z_ATAN = float((mp.sqrt(2) - 1) ** 2) * 1.0002
LOW_ROOT, HIGH_ROOT = float(mp.sqrt(0.5)) * 0.9999, float(mp.sqrt(2)) * 1.0001
ERFC_SHIFT = 2.5
STIRLING = 1 / mp.mpf(7.5) ** 2
SQRT_PI = mp.sqrt(mp.pi)


def _sinh_tail(z: mp.mpf) -> mp.mpf:
    r = mp.sqrt(z)
    return (mp.sinh(r) - r) / r**3


def _cosh_tail(z: mp.mpf) -> mp.mpf:
    r = mp.sqrt(z)
    return (mp.cosh(r) - 1 - z / 2) / z**2


def _tanh_near(z: mp.mpf) -> mp.mpf:
    r = mp.sqrt(z)
    return r**3 / (r - mp.tanh(r))


def _tanh_weight(z: mp.mpf) -> mp.mpf:
    near = _tanh_near(z)
    return (z + Z_TANH / 50) / near**2 * mp.sqrt(z) / mp.tanh(mp.sqrt(z))


def _exp2_tail(g: mp.mpf) -> mp.mpf:
    return (mp.expm1(g * mp.log(2)) - g * mp.log(2)) / g**2


def _exp2_weight(g: mp.mpf) -> mp.mpf:
    return (abs(g) + mp.mpf(1) / 32) ** 2 / 2**g


def _atan_tail(z: mp.mpf) -> mp.mpf:
    t = mp.sqrt(z)
    return (t - mp.atan(t)) / t**3


def _asin_tail(z: mp.mpf) -> mp.mpf:
    s = mp.sqrt(z)
    return (mp.asin(s) - s) / s**3


def _erf_ratio(z: mp.mpf) -> mp.mpf:
    x = mp.sqrt(z)
    return mp.erf(x) / x


def _far_slope(v: mp.mpf) -> mp.mpf:
    return mp.log(mp.erfc(1 + v) / mp.erfc(1)) / v


def _erfc_tail(t: mp.mpf) -> mp.mpf:
    x = ERFC_SHIFT * (1 + t) / (1 - t)
    return (1 + 2 * x) * mp.exp(x**2) * mp.erfc(x)


def _moved(x: float) -> float:
    return (x - ERFC_SHIFT) / (x + ERFC_SHIFT)


def _gamma_near(w: mp.mpf) -> mp.mpf:
    return mp.loggamma(2 + w) / w


def _stirling(z: mp.mpf) -> mp.mpf:
    x = 1 / mp.sqrt(z)
    main = (x - mp.mpf(1) / 2) * mp.log(x) - x + mp.log(2 * mp.pi) / 2
    with mp.workdps(90):
        return (mp.loggamma(x) - main) * x


def _sin_pi(z: mp.mpf) -> mp.mpf:
    d = mp.sqrt(z)
    return (1 - mp.sinpi(d) / (mp.pi * d)) / z


def _digamma_near(w: mp.mpf) -> mp.mpf:
    x = mp.mpf(3) / 2 + w
    return mp.digamma(x) / (x - ROOT)


def _digamma_far(z: mp.mpf) -> mp.mpf:
    x = 1 / mp.sqrt(z)
    return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) / z


def _cot_pi(z: mp.mpf) -> mp.mpf:
    d = mp.sqrt(z)
    return (1 / d - mp.pi * mp.cot(mp.pi * d)) / d


ROOT = mp.findroot(mp.digamma, mp.mpf("1.46"))

SPECS = (
    Spec("TANH_F32", _tanh_near, _tanh_weight, 0, Z_TANH, 4, "f32",
         "r^3 / (r - tanh(r)), z = r^2"),
    Spec("TANH_EXP_F32", lambda r: K_TANH * mp.exp(2 * r) - r**6,
         lambda r: 1 / (K_TANH * mp.exp(2 * r)), -HALF_LN2 / 2, HALF_LN2 / 2, 6, "f32",
         "361/32 exp(2r) - r^6, relative to the former"),
    Spec("EXP2_F32", _exp2_tail, _exp2_weight, -0.5002, 0.5002, 6, "f32",
         "(2^g - 1 - g ln2) / g^2"),
    Spec("SINH_F64", _sinh_tail, lambda z: z + Z_HYPER / 50, 0, Z_HYPER, 6, "f64",
         "(sinh(r) - r) / r^3, z = r^2"),
    Spec("SINH_F32", _sinh_tail, lambda z: z + Z_HYPER / 50, 0, Z_HYPER, 3, "f32",
         "(sinh(r) - r) / r^3, z = r^2"),
    Spec("COSH_F64", _cosh_tail, lambda z: (z + Z_HYPER / 50) ** 2, 0, Z_HYPER, 4,
         "f64", "(cosh(r) - 1 - r^2/2) / r^4, z = r^2"),
    Spec("COSH_F32", _cosh_tail, lambda z: (z + Z_HYPER / 50) ** 2, 0, Z_HYPER, 2,
         "f32", "(cosh(r) - 1 - r^2/2) / r^4, z = r^2"),
    Spec("ATAN_F64", _atan_tail, lambda z: z + Z_ATAN / 50, 0, Z_ATAN, 11, "f64",
         "(t - atan(t)) / t^3, z = t^2"),
    Spec("ATAN_F32", _atan_tail, lambda z: z + Z_ATAN / 50, 0, Z_ATAN, 5, "f32",
         "(t - atan(t)) / t^3, z = t^2"),
    Spec("ASIN_F64", _asin_tail, lambda z: z + 0.005, 0, 0.2501, 13, "f64",
         "(asin(s) - s) / s^3, z = s^2"),
    Spec("ASIN_F32", _asin_tail, lambda z: z + 0.005, 0, 0.2501, 5, "f32",
         "(asin(s) - s) / s^3, z = s^2"),
    Spec("CBRT", lambda x: mp.cbrt(x), lambda x: 1 / mp.cbrt(x), LOW_ROOT, HIGH_ROOT,
         6, "f64", "the cube root, to begin with"),
    Spec("ERF_F64", lambda z: _erf_ratio(z) - 1, lambda z: 1 / _erf_ratio(z), 0, 1.0001,
         13, "f64", "erf(x)/x - 1, z = x^2"),
    Spec("ERF_F32", lambda z: _erf_ratio(z) - 1, lambda z: 1 / _erf_ratio(z), 0, 1.0001,
         7, "f32", "erf(x)/x - 1, z = x^2"),
    Spec("ERF_FAR_F64", lambda v: mp.log(mp.erfc(1 + v)), lambda v: mp.erfc(1 + v), 0,
         5.0, 19, "f64", "log(erfc(1 + v)), relative to erf"),
    Spec("ERF_FAR_F32", _far_slope, lambda v: (v + 0.05) * mp.erfc(1 + v), 0, 3.0, 7,
         "f32", "log(erfc(1 + v)/erfc(1)) / v, relative to erf"),
    Spec("ERFC_F64", _erfc_tail, lambda t: 1 / _erfc_tail(t), _moved(0.4999),
         _moved(27.4), 26, "f64",
         "(1 + 2x) exp(x^2) erfc(x), t = (x - 5/2) / (x + 5/2)", True),
    Spec("ERFC_F32", _erfc_tail, lambda t: 1 / _erfc_tail(t), _moved(0.4999),
         _moved(10.2), 10, "f64",
         "(1 + 2x) exp(x^2) erfc(x), t = (x - 5/2) / (x + 5/2)", True),
    Spec("GAMMA_NEAR", _gamma_near, lambda w: 1 / _gamma_near(w), -0.5001, 0.5001, 18,
         "f64", "lgamma(2 + w) / w", True),
    Spec("GAMMA_FAR", _stirling, lambda z: mp.sqrt(z) / 7, 1e-12, float(STIRLING), 6,
         "f64", "x times the rest of Stirling's formula, z = 1/x^2"),
    Spec("SIN_PI", _sin_pi, lambda z: z / (1 - z * _sin_pi(z)), 0, 0.25, 8, "f64",
         "(1 - sin(pi d)/(pi d)) / d^2, z = d^2"),
    Spec("DIGAMMA_NEAR", _digamma_near, lambda w: 1 / _digamma_near(w), -0.5001, 0.5001,
         23, "f64", "digamma(3/2 + w) over the distance from its root", True),
    Spec("DIGAMMA_FAR", _digamma_far, lambda z: z / 2, 1e-12,
         float(STIRLING), 7, "f64",
         "(log(x) - 1/(2x) - digamma(x)) / z, z = 1/x^2"),
    Spec("COT_PI", _cot_pi, lambda z: mp.sqrt(z) / 2, 0, 0.2501, 15, "f64",
         "(1/d - pi cot(pi d)) / d, z = d^2"),
)  # fmt: skip


def main(names: list[str]) -> None:
    """Print the polynomials asked for, or all of them."""
    for spec in SPECS:
        if not names or spec.name in names:
            show(spec)


if __name__ == "__main__":
    main(sys.argv[1:])
