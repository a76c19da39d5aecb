"""Elementary functions: accuracy, special values, the same bits at every width."""

import importlib.util
import math
import struct
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pullback.codegen.llvm import VOID, Reg, vec
from pullback.codegen.target import emit_object, host
from pullback.codegen.vecmath import EMITTERS, TWO_ARGUMENTS
from pullback.runtime.loading import load


def _script(name: str) -> ModuleType:
    path = Path(__file__).parents[1] / "torture" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"torture_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


sys.path.append(str(Path(__file__).parents[1] / "torture"))

oracle = _script("oracle")
ulp = _script("ulp")
exhaustive = _script("exhaustive")

INF, NAN = math.inf, math.nan
ELEMS = ("f64", "f32")
ONE_ARGUMENT = sorted(set(EMITTERS) - TWO_ARGUMENTS - {"sincos"})
needs_long_double = pytest.mark.skipif(
    np.finfo(np.longdouble).nmant < 63, reason="long double is no wider than double"
)


def bits_of(x):
    return x.view(np.uint64 if x.dtype == np.float64 else np.uint32)


def flat(out):
    return np.concatenate(out) if isinstance(out, tuple) else out


def inputs(name, elem, count, seed):
    rng = np.random.default_rng(seed)
    base = "sin" if name == "sincos" else name
    some, named = ulp.samples(base, elem, count, rng), ulp.hard(base, elem)
    return tuple(np.concatenate(pair) for pair in zip(some, named, strict=True))


@needs_long_double
@pytest.mark.parametrize("elem", ELEMS)
@pytest.mark.parametrize("name", sorted(ulp.BOUNDS))
def test_error_stays_below_the_bound(name, elem):
    kernel = ulp.Kernel(name, elem, 8)
    count = 1_500 if name in oracle.BY_MPMATH else 60_000
    worst = ulp.measure(kernel, name, elem, inputs(name, elem, count, 1))
    assert worst.ulp <= ulp.BOUNDS[name][elem == "f32"], worst


@needs_long_double
@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(ulp.BOUNDS))
def test_error_of_f64_on_many_points(name):
    kernel = ulp.Kernel(name, "f64", 8)
    count = 30_000 if name in oracle.BY_MPMATH else 1_000_000
    for seed in range(10):
        worst = ulp.measure(kernel, name, "f64", inputs(name, "f64", count, seed))
        assert worst.ulp <= ulp.BOUNDS[name][0], worst


@pytest.mark.parametrize("name", ONE_ARGUMENT)
def test_error_of_f32_on_a_thousandth_of_all_values(name):
    assert exhaustive.peak(name, 1009).ulp <= ulp.BOUNDS[name][1]


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_ARGUMENT)
def test_error_of_f32_on_all_values(name):
    assert exhaustive.peak(name).ulp <= ulp.BOUNDS[name][1]


@pytest.mark.parametrize("elem", ELEMS)
@pytest.mark.parametrize(
    "name", ["exp", "log", "sin", "tanh", "pow", "tan", "acosh", "hypot", "erfc"]
)
def test_error_of_hard_points_by_mpmath_alone(name, elem):
    kernel = ulp.Kernel(name, elem, 1)
    xs = inputs(name, elem, 200, 3)
    got = kernel(*xs)
    for k in range(0, got.size, 1 + got.size // 300):
        at = tuple(float(x[k]) for x in xs)
        if not (all(map(math.isfinite, at)) and 0 < abs(float(got[k])) < INF):
            continue
        assert ulp.settle(name, elem, at, float(got[k])) <= 1.5, at


SPECIAL = {
    "exp": [(INF, INF), (-INF, 0.0), (0.0, 1.0), (-0.0, 1.0), (1e4, INF), (-1e4, 0.0)],
    "expm1": [(INF, INF), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (-1e4, -1.0)],
    "log": [(INF, INF), (0.0, -INF), (-0.0, -INF), (-1.0, NAN), (-INF, NAN),
            (1.0, 0.0)],
    "log2": [(INF, INF), (0.0, -INF), (-0.0, -INF), (-1.0, NAN), (-INF, NAN),
             (1.0, 0.0), (8.0, 3.0), (2.0**-140, -140.0)],
    "log1p": [(INF, INF), (0.0, 0.0), (-0.0, -0.0), (-1.0, -INF), (-2.0, NAN),
              (-INF, NAN), (2.0**-140, 2.0**-140), (-(2.0**-149), -(2.0**-149))],
    "sin": [(INF, NAN), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0),
            (-(2.0**-149), -(2.0**-149))],
    "cos": [(INF, NAN), (-INF, NAN), (0.0, 1.0), (-0.0, 1.0)],
    "tanh": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0),
             (2.0**-149, 2.0**-149)],
    "exp2": [(INF, INF), (-INF, 0.0), (0.0, 1.0), (-0.0, 1.0), (1e4, INF),
             (-1e4, 0.0), (10.0, 1024.0), (-140.0, 2.0**-140)],
    "log10": [(INF, INF), (0.0, -INF), (-0.0, -INF), (-1.0, NAN), (-INF, NAN),
              (1.0, 0.0), (1000.0, 3.0), (1e10, 10.0)],
    "tan": [(INF, NAN), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0),
            (-(2.0**-149), -(2.0**-149))],
    "sinh": [(INF, INF), (-INF, -INF), (0.0, 0.0), (-0.0, -0.0), (1e4, INF),
             (-1e4, -INF), (2.0**-149, 2.0**-149)],
    "cosh": [(INF, INF), (-INF, INF), (0.0, 1.0), (-0.0, 1.0), (-1e4, INF)],
    "asin": [(INF, NAN), (-INF, NAN), (0.0, 0.0), (-0.0, -0.0), (1.5, NAN),
             (-1.0 - 2.0**-20, NAN), (2.0**-149, 2.0**-149)],
    "acos": [(INF, NAN), (-INF, NAN), (1.0, 0.0), (1.5, NAN), (-1.5, NAN)],
    "atan": [(0.0, 0.0), (-0.0, -0.0), (2.0**-149, 2.0**-149)],
    "asinh": [(INF, INF), (-INF, -INF), (0.0, 0.0), (-0.0, -0.0),
              (2.0**-149, 2.0**-149)],
    "acosh": [(INF, INF), (1.0, 0.0), (0.5, NAN), (-1.5, NAN), (-INF, NAN),
              (-1e30, NAN)],
    "atanh": [(1.0, INF), (-1.0, -INF), (0.0, 0.0), (-0.0, -0.0), (1.5, NAN),
              (INF, NAN), (-INF, NAN), (2.0**-149, 2.0**-149)],
    "cbrt": [(INF, INF), (-INF, -INF), (0.0, 0.0), (-0.0, -0.0), (27.0, 3.0),
             (-8.0, -2.0), (2.0**-147, 2.0**-49)],
    "erf": [(INF, 1.0), (-INF, -1.0), (0.0, 0.0), (-0.0, -0.0), (7.0, 1.0)],
    "erfc": [(INF, 0.0), (-INF, 2.0), (0.0, 1.0), (-0.0, 1.0), (30.0, 0.0),
             (-30.0, 2.0)],
    "lgamma": [(INF, INF), (-INF, INF), (0.0, INF), (-0.0, INF), (-3.0, INF),
               (1.0, 0.0), (2.0, 0.0), (-1e30, INF)],
    "digamma": [(INF, INF), (-INF, NAN), (0.0, -INF), (-0.0, INF), (-3.0, NAN),
                (-1e30, NAN)],
}  # fmt: skip

SPECIAL_HYPOT = [
    (INF, NAN, INF), (NAN, -INF, INF), (-INF, 1.0, INF), (NAN, 1.0, NAN),
    (0.0, -0.0, 0.0), (-3.0, 4.0, 5.0), (2.0**100, 0.0, 2.0**100),
    (-0.0, -(2.0**-149), 2.0**-149),
]  # fmt: skip

SPECIAL_POW = [
    (NAN, 0.0, 1.0), (NAN, -0.0, 1.0), (INF, 0.0, 1.0), (0.0, 0.0, 1.0),
    (1.0, NAN, 1.0), (1.0, INF, 1.0), (1.0, -INF, 1.0), (-1.0, NAN, NAN),
    (-1.0, INF, 1.0), (-1.0, -INF, 1.0), (NAN, 1.0, NAN), (2.0, NAN, NAN),
    (0.0, 3.0, 0.0), (-0.0, 3.0, -0.0), (-0.0, 2.0, 0.0), (-0.0, 0.5, 0.0),
    (0.0, -3.0, INF), (-0.0, -3.0, -INF), (-0.0, -2.0, INF), (-0.0, -0.5, INF),
    (0.0, -INF, INF), (-0.0, -INF, INF), (0.0, INF, 0.0), (-0.0, INF, 0.0),
    (0.5, INF, 0.0), (0.5, -INF, INF), (-0.5, INF, 0.0), (2.0, INF, INF),
    (-2.0, INF, INF), (2.0, -INF, 0.0), (INF, 2.0, INF), (INF, -2.0, 0.0),
    (-INF, 3.0, -INF), (-INF, 2.0, INF), (-INF, 0.5, INF), (-INF, -3.0, -0.0),
    (-INF, -2.0, 0.0), (-INF, -0.5, 0.0), (-2.0, 0.5, NAN), (-2.0, 3.0, -8.0),
    (-2.0, 4.0, 16.0), (-2.0, -1.0, -0.5), (-1.0, 2.0**23 + 1.0, -1.0),
    (-1.0, 1e30, 1.0),
    (-2.0, 2001.0, -INF), (-2.0, -2001.0, -0.0), (4.0, 0.5, 2.0), (10.0, 2.0, 100.0),
]  # fmt: skip


def check_special(kernel, elem, rows):
    columns = [np.array(column, ulp.DTYPES[elem]) for column in zip(*rows, strict=True)]
    got = kernel(*columns[:-1])
    for at, value in zip(rows, got, strict=True):
        want = at[-1]
        if math.isnan(want):
            assert math.isnan(value), at
        else:
            assert value == want, (at, value)
            assert math.copysign(1, value) == math.copysign(1, want), (at, value)


@pytest.mark.parametrize("elem", ELEMS)
@pytest.mark.parametrize("name", sorted(SPECIAL))
def test_special_values_are_those_of_c99(name, elem):
    check_special(ulp.Kernel(name, elem, 4), elem, [*SPECIAL[name], (NAN, NAN)])


@pytest.mark.parametrize("elem", ELEMS)
def test_special_values_of_pow(elem):
    check_special(ulp.Kernel("pow", elem, 4), elem, SPECIAL_POW)


@pytest.mark.parametrize("elem", ELEMS)
def test_special_values_of_hypot(elem):
    check_special(ulp.Kernel("hypot", elem, 4), elem, SPECIAL_HYPOT)


@pytest.mark.parametrize("elem", ELEMS)
def test_special_values_of_atan2_are_those_of_numpy(elem):
    values = np.array([0.0, -0.0, 1.0, -1.0, INF, -INF, NAN, 1e-40], ulp.DTYPES[elem])
    y, x = (grid.ravel() for grid in np.meshgrid(values, values))
    got, want = ulp.Kernel("atan2", elem, 4)(y, x), np.arctan2(y, x)
    np.testing.assert_allclose(got, want, rtol=1e-6 if elem == "f32" else 1e-15)
    known = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got)[known], np.signbit(want)[known])


@pytest.mark.parametrize("name", sorted(set(EMITTERS) - {"sincos"}))
def test_a_nan_of_any_payload_stays_one(name):
    payloads = np.array([1, 0xFFF, 0x800, 1 << 50, (1 << 51) + 0x801], np.uint64)
    kernel = ulp.Kernel(name, "f64", 8)
    for sign in (0x7FF, 0xFFF):
        x = (payloads | np.uint64(sign << 52)).view(np.float64)
        assert np.isnan(kernel(*[x] * kernel.args)).all()
    short = np.array([1, 0xFFF, 0x800, 1 << 21, (1 << 22) + 0x801], np.uint32)
    kernel = ulp.Kernel(name, "f32", 8)
    for sign in (0xFF, 0x1FF):
        x = (short | np.uint32(sign << 23)).view(np.float32)
        assert np.isnan(kernel(*[x] * kernel.args)).all()


def test_subnormal_results_are_rounded_once():
    x = np.linspace(-746, -720, 5000)
    assert ulp.errors("exp", "f64", (x,), ulp.Kernel("exp", "f64", 8)(x)).max() <= 0.501


@pytest.mark.parametrize("elem", ELEMS)
@pytest.mark.parametrize("name", sorted(EMITTERS))
def test_bits_are_the_same_at_every_width_and_lane(name, elem):
    xs = inputs(name, elem, 4_000, 2)
    want = flat(ulp.Kernel(name, elem, 1)(*xs))
    for width in (2, 4, 8, 16):
        kernel = ulp.Kernel(name, elem, width)
        got = flat(kernel(*xs))
        np.testing.assert_array_equal(bits_of(got), bits_of(want), strict=True)
        moved = flat(kernel(*(np.roll(x, 3) for x in xs)))
        if name != "sincos":
            np.testing.assert_array_equal(bits_of(np.roll(moved, -3)), bits_of(want))


@pytest.mark.parametrize("elem", ELEMS)
def test_sincos_has_the_bits_of_sin_and_of_cos(elem):
    (x,) = inputs("sin", elem, 4_000, 4)
    sine, cosine = ulp.Kernel("sincos", elem, 8)(x)
    for name, both in (("sin", sine), ("cos", cosine)):
        alone = ulp.Kernel(name, elem, 8)(x)
        np.testing.assert_array_equal(bits_of(alone), bits_of(both))


def symbols(data):
    """Return the names that a 64-bit ELF object defines, and those that it needs."""
    assert data[:5] == b"\x7fELF\x02"
    (table,), (size, count) = (
        struct.unpack_from("<Q", data, 40), struct.unpack_from("<HH", data, 58),
    )  # fmt: skip
    sections = [
        struct.unpack_from("<IIQQQQIIQQ", data, table + k * size) for k in range(count)
    ]
    defined, needed = set(), set()
    for section in sections:
        if section[1] != 2:
            continue
        names = sections[section[6]][4]
        for at in range(section[4], section[4] + section[5], 24):
            name, _, _, place = struct.unpack_from("<IBBH", data, at)
            start = names + name
            text = data[start : data.index(0, start)].decode()
            (defined if place else needed).add(text)
    return defined - {""}, needed - {""}


def everything(target, widths):
    module = target.module()
    for elem in ("double", "float"):
        for width in widths:
            for name, emitter in EMITTERS.items():
                ty = vec(elem, width)
                params = [(ty, "")] * (1 + (name in TWO_ARGUMENTS)) + [("ptr", "")]
                fn = module.function(
                    f"pb_{name}_{elem}_{width}", VOID, params, linkage=""
                )
                out = emitter(fn, *fn.args[:-1])
                for k, value in enumerate([out] if isinstance(out, Reg) else out):
                    fn.store(value, Reg(f"{fn.args[-1].ref}", "ptr"), 4 + 4 * k)
                fn.ret()
    return module.text()


def portable(target):
    """Return a narrower machine of the same instruction set, or None."""
    if not target.triple.startswith("x86_64"):
        return None
    features = "+sse4.2,+avx2,+fma,+bmi,+bmi2,+lzcnt,+popcnt"
    return replace(
        target, cpu="haswell", features=features, vector_bits=256, has_masks=False
    )


def test_objects_need_no_symbol_and_define_only_prefixed_ones():
    target = host()
    for machine, widths in ((target, (1, 8)), (portable(target), (1, 4))):
        if machine is None:
            continue
        defined, needed = symbols(emit_object(everything(machine, widths), machine))
        assert needed == set()
        visible = {n for n in defined if not n.startswith((".", "<"))}
        assert {n for n in visible if not n.startswith("pb_")} == set()


@pytest.mark.parametrize("elem", ELEMS)
@pytest.mark.parametrize(
    "name", ["exp", "log1p", "sincos", "pow", "tan", "sinh", "atan2", "erfc", "lgamma"]
)
def test_bits_are_the_same_on_a_narrower_machine(name, elem):
    machine = portable(host())
    if machine is None:
        pytest.skip("no narrower machine of this instruction set is described here")
    xs = inputs(name, elem, 4_000, 5)
    wide, narrow = ulp.Kernel(name, elem, 8), ulp.Kernel(name, elem, 8)
    narrow.use(
        load(wide.text.replace(host().attributes(), machine.attributes()), machine)
    )
    got, want = flat(narrow(*xs)), flat(wide(*xs))
    np.testing.assert_array_equal(bits_of(got), bits_of(want))


def test_rare_reduction_is_written_once_a_type():
    module = host().module()
    fn = module.function("pb_twice", VOID, [("<8 x double>", ""), ("ptr", "")])
    for _ in range(2):
        fn.store(EMITTERS["sin"](fn, fn.args[0]), fn.args[1])
    fn.ret()
    text = module.text()
    assert text.count("@pb_reduce_v8f64(<8 x double>  %a0)") <= 1
    assert text.count("define internal { <8 x double>, <8 x double>, <8 x i64> }") == 1
    assert text.count("@pb_two_over_pi =") == 1
