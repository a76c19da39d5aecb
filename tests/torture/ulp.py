"""Measure the largest error of an elementary function in units of the last place.

    python tests/torture/ulp.py FUNCTION DTYPE [--count N | --seconds S] [--seed K]
    python tests/torture/ulp.py exp f32 --all          every bit pattern

Points are random bit patterns, dense values of the ranges where the function is neither
trivial nor out of range, and hard cases. The reference is NumPy's long double for f64
and double for f32 (of one argument); the worst points are settled by mpmath.
"""

import argparse
import ctypes
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mpmath as mp
import numpy as np
from oracle import exact, reference, scale
from pullback.codegen.llvm import I64, PTR, VOID, Function, Module, Reg, const, vec
from pullback.codegen.target import host
from pullback.codegen.vecmath import EMITTERS, TWO_ARGUMENTS
from pullback.runtime.loading import Library, load

Array = np.ndarray[Any, Any]

ELEMS = {"f64": "double", "f32": "float"}
DTYPES: dict[str, Any] = {"f64": np.float64, "f32": np.float32}

#: What is allowed, (f64, f32), in ulp.
BOUNDS = {
    "exp": (1.0, 1.0),
    "expm1": (1.0, 1.0),
    "log": (1.0, 1.0),
    "log1p": (1.0, 1.0),
    "log2": (1.0, 1.0),
    "sin": (1.0, 1.0),
    "cos": (1.0, 1.0),
    "tanh": (1.5, 1.5),
    "pow": (1.5, 1.0),
    "exp2": (1.0, 1.0),
    "log10": (1.0, 1.0),
    "tan": (1.5, 1.5),
    "sinh": (1.5, 1.5),
    "cosh": (1.5, 1.5),
    "asin": (1.5, 1.0),
    "acos": (1.5, 1.0),
    "atan": (1.5, 1.0),
    "atan2": (1.5, 1.0),
    "asinh": (1.5, 1.0),
    "acosh": (1.5, 1.0),
    "atanh": (1.5, 1.0),
    "cbrt": (1.5, 1.0),
    "hypot": (1.5, 1.0),
    "erf": (1.5, 1.0),
    "erfc": (1.5, 1.0),
    "lgamma": (4.0, 4.0),
    "digamma": (4.0, 4.0),
}

#: Where the interesting values are: intervals sampled uniformly and in the logarithm.
RANGES: dict[str, tuple[tuple[float, float], ...]] = {
    "exp": ((-1, 1), (-745, 710), (-104, 89), (-746, -707), (-104, -86)),
    "expm1": ((-1, 1), (-40, 40), (-2, 2), (-745, 710), (17, 41), (-104, 89)),
    "log": ((0, 2), (0.5, 1.5), (0.99, 1.01), (0, 1e3)),
    "log2": ((0, 2), (0.5, 1.5), (0.99, 1.01), (0, 1e3)),
    "log1p": ((-1, 1), (-0.4, 0.6), (-1e-3, 1e-3), (0, 1e3)),
    "sin": ((-1, 1), (-10, 10), (-1e5, 1e5), (2.0**29, 2.0**31), (3e4, 4e4)),
    "cos": ((-1, 1), (-10, 10), (-1e5, 1e5), (2.0**29, 2.0**31), (3e4, 4e4)),
    "tanh": ((-1, 1), (-3, 3), (-0.1, 0.1), (-21, 21)),
    "pow": ((0, 2), (0, 100), (0.99, 1.01)),
    "exp2": ((-1, 1), (-1075, 1025), (-151, 129), (-1076, -1020), (-151, -124)),
    "log10": ((0, 2), (0.5, 1.5), (0.99, 1.01), (0, 1e3)),
    "tan": ((-1, 1), (-10, 10), (-1e5, 1e5), (2.0**29, 2.0**31), (3e4, 4e4)),
    "sinh": ((-1, 1), (-40, 40), (-0.4, 0.4), (-711, 711), (17, 21), (-90, 90)),
    "cosh": ((-1, 1), (-40, 40), (-0.4, 0.4), (-711, 711), (17, 21), (-90, 90)),
    "asin": ((-1, 1), (0.49, 0.51), (0.99, 1.0), (-0.1, 0.1)),
    "acos": ((-1, 1), (0.49, 0.51), (0.99, 1.0), (-0.1, 0.1), (-1.0, -0.99)),
    "atan": ((-1, 1), (-5, 5), (-1e3, 1e3), (0.41, 0.42), (2.4, 2.43)),
    "atan2": ((-1, 1), (-5, 5), (-1e3, 1e3)),
    "asinh": ((-1, 1), (-5, 5), (-1e3, 1e3), (-1e-3, 1e-3), (-1e10, 1e10)),
    "acosh": ((1, 2), (1, 1.01), (1, 1e3), (1, 1e10)),
    "atanh": ((-1, 1), (-0.1, 0.1), (0.99, 1.0), (-1e-3, 1e-3)),
    "cbrt": ((-1, 1), (0.3, 8.5), (-1e3, 1e3)),
    "hypot": ((-1, 1), (-5, 5), (-1e3, 1e3)),
    "erf": ((-1, 1), (-6, 6), (0.9, 1.1), (-3, 3), (-1e-3, 1e-3)),
    "erfc": ((-1, 1), (-6, 6), (0, 27.5), (0.4, 0.6), (26, 27.5), (0, 10.5)),
    "lgamma": (
        (0, 3),
        (0, 10),
        (0.9, 1.1),
        (1.9, 2.1),
        (-10, 0),
        (7, 8),
        (-40, 0),
        (0, 1e3),
        (-3, -2),
    ),
    "digamma": ((0, 3), (0, 10), (1.4, 1.5), (-10, 0), (7, 8), (-40, 0), (0, 1e3)),
}

HARD_TRIG = (
    6381956970095103 * 2.0**797,  # nearest to a multiple of pi/2 among all f64
    float.fromhex("0x1.921fb54442d18p+1"),
    float.fromhex("0x1.6ac5b262ca1ffp+849"),
    float.fromhex("0x1.fffffffffffffp+1023"),
    2.0**1023,
    1e22,
    16367173.0 * 2.0**72,  # nearest among all f32
    5.5e5,
    2.0**30,
    2.0**15,
)

SPECIALS = (
    0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, 4.0, float("inf"),
    float("-inf"), float("nan"), 5e-324, -5e-324, 2.0**-1022, -(2.0**-1022), 2.0**-149,
    -(2.0**-149), 2.0**-126, 1.7976931348623157e308, -1.7976931348623157e308,
    3.4028234663852886e38, -3.4028234663852886e38, 709.782712893384,
    709.7827128933841, -745.1332191019411, -745.1332191019412, -708.3964185322641,
    88.72283172607422, 88.72283935546875, -103.97207641601562, -103.97208404541016,
    1.0 + 2.0**-52, 1.0 - 2.0**-53, -1.0 + 2.0**-53, 1.5, 2.5, 2.0**52 + 1, 2.0**53 - 1,
    2.0**53, 1e308, 1e-308, 1e-20, -1e-20, 0.7071067811865475, 0.7071067811865476,
    1.4142135623730951, 1.414213562373095, 0.34657359027997264, -0.34657359027997264,
    0.7853981633974483, -0.7853981633974483,
)  # fmt: skip


class Kernel:
    """One elementary function compiled for one type and width, called on arrays."""

    def __init__(self, name: str, elem: str, width: int) -> None:
        self.width = width
        self.elem = elem
        self.args = 2 if name in TWO_ARGUMENTS else 1
        self.results = 2 if name == "sincos" else 1
        self.text = build(name, elem, width).text()
        self.use(load(self.text))

    def use(self, library: Library) -> None:
        """Call the code of `library` from now on."""
        count = self.args + self.results
        proto = ctypes.CFUNCTYPE(None, *([ctypes.c_void_p] * count), ctypes.c_int64)
        self.library = library
        self._call: Callable[..., None] = proto(library.address("pb_kernel"))

    def __call__(self, *xs: Array) -> Array | tuple[Array, Array]:
        """Apply the function element by element."""
        n = xs[0].size
        padded = -(-n // self.width) * self.width
        ins = []
        for x in xs:
            buf = np.ones(padded, DTYPES[self.elem])
            buf[:n] = x
            ins.append(buf)
        outs = [np.empty_like(ins[0]) for _ in range(self.results)]
        self._call(
            *(a.ctypes.data for a in ins), *(a.ctypes.data for a in outs), padded
        )
        cut = [out[:n] for out in outs]
        return (cut[0], cut[1]) if self.results == 2 else cut[0]


def build(name: str, elem: str, width: int) -> Module:
    """Return a module with `pb_kernel(inputs..., outputs..., n)`; width divides n."""
    module = host().module()
    args = 2 if name in TWO_ARGUMENTS else 1
    results = 2 if name == "sincos" else 1
    params = [(PTR, "noalias")] * (args + results) + [(I64, "")]
    fn = module.function("pb_kernel", VOID, params, linkage="")
    loop, done = fn.new_label("loop"), fn.new_label("done")
    fn.br(loop)
    fn.start(loop)
    index = fn.phi(I64, const(I64, 0), "entry")
    ty = vec(ELEMS[elem], width)
    xs = [fn.load(fn.gep(p, index, ELEMS[elem]), ty) for p in fn.args[:args]]
    out = EMITTERS[name](fn, *xs)
    values = [out] if isinstance(out, Reg) else list(out)
    for value, p in zip(values, fn.args[args:-1], strict=True):
        fn.store(value, fn.gep(p, index, ELEMS[elem]))
    _close(fn, index, loop, done, width)
    return module


def _close(fn: Function, index: Reg, loop: str, done: str, width: int) -> None:
    following = fn.add(index, const(I64, width))
    fn.phi_edge(index, following, fn.block)
    fn.cond_br(fn.icmp("slt", following, fn.args[-1]), loop, done)
    fn.start(done)
    fn.ret()


def _place(value: Array, elem: str) -> Array:
    """Return the unit in the last place of the narrow format at each wide value."""
    info = np.finfo(DTYPES[elem])
    _, exponent = np.frexp(value)
    least = int(info.minexp)
    exponent = np.maximum(exponent - 1, least) - int(info.nmant)
    return np.asarray(np.ldexp(value.dtype.type(1), exponent))


def errors(name: str, elem: str, xs: tuple[Array, ...], got: Array) -> Array:
    """Return the error of each point in ulp: inf where a special value is wrong.

    A result is the infinity it should be when the exact value rounds to it.
    """
    want = reference(name, xs)
    with np.errstate(all="ignore"):
        narrow = want.astype(DTYPES[elem])
        size = scale(name, xs, want)
        err = np.abs(got.astype(want.dtype) - want) / _place(size, elem)
        special = ~np.isfinite(narrow) | ~np.isfinite(got) | (narrow == 0)
        agree = (np.isnan(narrow) & np.isnan(got)) | (
            (narrow == got) & (np.signbit(narrow) == np.signbit(got))
        )
    zero = (got == 0) & (np.signbit(narrow) == np.signbit(got))
    near = special & ((got == 0) | (narrow == 0)) & (zero | (narrow == 0))
    err = np.where(special & ~near, np.where(agree, 0.0, np.inf), err)
    # where errors are not relative to the result, its sign may not be known
    wrong_sign = (np.signbit(got) != np.signbit(narrow)) & (size == want)
    return np.where(wrong_sign & ~np.isnan(narrow), np.inf, err).astype(np.float64)


@dataclass
class Worst:
    """The largest error seen and where."""

    ulp: float
    at: tuple[float, ...]
    points: int


def settle(name: str, elem: str, at: tuple[float, ...], got: float) -> float:
    """Return the error in ulp of one finite result by mpmath."""
    info = np.finfo(DTYPES[elem])
    with mp.workdps(60):
        value = exact(name, at)
        if value == 0:
            return 0.0 if got == 0 else float("inf")
        size = scale(name, tuple(np.array(x) for x in at), np.array(float(value)))
        _, exponent = mp.frexp(value if float(size) == float(value) else float(size))
        place = max(int(exponent) - 1, int(info.minexp)) - int(info.nmant)
        return float(abs(mp.mpf(got) - value) / mp.mpf(2) ** place)


def samples(
    name: str, elem: str, count: int, rng: np.random.Generator
) -> tuple[Array, ...]:
    """Return about `count` points as arrays of the type, one an argument."""
    first = _spread(name, elem, count, rng)
    if name not in TWO_ARGUMENTS:
        return (first,)
    if name != "pow":
        # One after the other, so that half of the pairs are of one size.
        return first, np.concatenate([first[1:], first[:1]])
    # Results in range and out of it: y near the exponents that the base bears.
    second = np.resize(_spread("exp", elem, count, rng), first.size)
    with np.errstate(all="ignore"):
        limit = 1100.0 if elem == "f64" else 160.0
        near = rng.uniform(-limit, limit, first.size) / np.log2(np.abs(first))
        small = rng.integers(-40, 41, first.size) / 2.0
        kind = rng.integers(0, 8, first.size)
        picked = np.where(kind < 5, near, np.where(kind < 7, small, second))
        return first, picked.astype(DTYPES[elem])


def _spread(name: str, elem: str, count: int, rng: np.random.Generator) -> Array:
    dtype = DTYPES[elem]
    integers = np.uint64 if elem == "f64" else np.uint32
    ranges = RANGES[name]
    share = max(count // (2 * len(ranges) + 2), 16)
    parts = [rng.integers(0, 2**64 if elem == "f64" else 2**32, 2 * share, integers)
             .view(dtype)]  # fmt: skip
    for low, high in ranges:
        parts.append(rng.uniform(low, high, share))
        scale = 2.0 ** rng.uniform(-60, 0, share)
        parts.append(np.where(rng.random(share) < 0.5, low, high) * scale)
    with np.errstate(all="ignore"):
        return np.concatenate([p.astype(dtype) for p in parts])


def every(elem: str) -> Iterator[Array]:
    """Yield all values of f32 in blocks."""
    assert elem == "f32", f"{elem} has too many values"
    block = 1 << 22
    for start in range(0, 1 << 32, block):
        yield (
            np.arange(start, start + block, dtype=np.uint64)
            .astype(np.uint32)
            .view(np.float32)
        )


def hard(name: str, elem: str) -> tuple[Array, ...]:
    """Return the special values and named hard cases, paired for two arguments."""
    values = [*SPECIALS, *(HARD_TRIG if name in ("sin", "cos", "tan") else ())]
    with np.errstate(all="ignore"):
        one = np.array(values).astype(DTYPES[elem])
    one = np.concatenate([one, -one])
    if name not in TWO_ARGUMENTS:
        return (one,)
    x, y = np.meshgrid(one, one)
    return x.ravel(), y.ravel()


def measure(kernel: Kernel, name: str, elem: str, xs: tuple[Array, ...]) -> Worst:
    """Return the worst point of a batch; the few worst are settled by mpmath."""
    got = kernel(*xs)
    assert not isinstance(got, tuple)
    err = errors(name, elem, xs, got)
    worst = Worst(0.0, tuple(float(x[0]) for x in xs), err.size)
    for k in np.argsort(err)[-3:]:
        at = tuple(float(x[k]) for x in xs)
        finite = np.isfinite(err[k]) and all(np.isfinite(at)) and np.isfinite(got[k])
        ulp = float(err[k])
        if finite and ulp > 0.45:
            ulp = settle(name, elem, at, float(got[k]))
        if ulp >= worst.ulp:
            worst = Worst(ulp, at, err.size)
    return worst


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("function", choices=sorted(BOUNDS))
    parser.add_argument("dtype", choices=("f64", "f32"))
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="every f32 value")
    args = parser.parse_args()
    name, elem = args.function, args.dtype
    kernel = Kernel(name, elem, host().lanes(64 if elem == "f64" else 32))
    rng = np.random.default_rng(args.seed)
    total = measure(kernel, name, elem, hard(name, elem))
    began = time.monotonic()

    def batches() -> Iterator[tuple[Array, ...]]:
        if args.all:
            yield from ((x,) for x in every(elem))
        elif args.seconds:
            while time.monotonic() - began < args.seconds:
                yield samples(name, elem, 1 << 18, rng)
        else:
            yield samples(name, elem, args.count, rng)

    for xs in batches():
        worst = measure(kernel, name, elem, xs)
        points = total.points + worst.points
        if worst.ulp > total.ulp:
            total = worst
        total.points = points
    bound = BOUNDS[name][elem == "f32"]
    where = ", ".join(f"{v.hex()} ({v!r})" for v in total.at)
    print(f"{name} {elem}: max {total.ulp:.4f} ulp (bound {bound}) at {where}; "
          f"{total.points} points, seed {args.seed}")  # fmt: skip
    raise SystemExit(total.ulp > bound)


if __name__ == "__main__":
    main()
