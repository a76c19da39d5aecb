"""Compare an f32 function with its f64 sibling over all bit patterns, natively.

    python tests/torture/exhaustive.py [FUNCTION ...] [--stride N]

The f64 function, measured by ulp.py, is exact to 2^-28 f32 ulp, so the figure printed
is the error of f32 to eight digits. Both run in one compiled loop: minutes in all.
"""

import argparse
import ctypes
import struct
from typing import NamedTuple

from pullback.codegen.llvm import (
    F32,
    F64,
    I32,
    I64,
    PTR,
    VOID,
    Function,
    Reg,
    const,
    const_lanes,
    vec,
)
from pullback.codegen.target import host
from pullback.codegen.vecmath import EMITTERS, TWO_ARGUMENTS
from pullback.runtime.loading import load

WIDTH = 16
NAMES = tuple(sorted(set(EMITTERS) - TWO_ARGUMENTS - {"sincos"}))


class Peak(NamedTuple):
    """The largest error in ulp, and the argument."""

    ulp: float
    at: float


def _error(fn: Function, name: str, x: Reg) -> Reg:
    """Return the error in ulp of each lane; inf where a special value differs."""
    wide, ints = vec(F64, WIDTH), vec(I64, WIDTH)
    got, want = EMITTERS[name](fn, x), EMITTERS[name](fn, fn.convert("fpext", x, wide))
    assert isinstance(got, Reg)
    assert isinstance(want, Reg)
    exponent = fn.and_(
        fn.lshr(fn.bitcast(want, ints), const(ints, 52)), const(ints, 0x7FF)
    )
    exponent = fn.smax(exponent, const(ints, 1023 - 126))
    place = fn.shl(fn.sub(const(ints, 2 * 1023 + 23), exponent), const(ints, 52))
    error = fn.fsub(fn.convert("fpext", got, wide), want)
    error = fn.fmul(fn.fabs(error), fn.bitcast(place, wide))
    near = fn.convert("fptrunc", want, x.ty)
    limit = const(x.ty, float("inf"))
    finite = fn.and_(
        fn.fcmp("olt", fn.fabs(near), limit), fn.fcmp("olt", fn.fabs(got), limit)
    )
    same = fn.fcmp("oeq", near, got)
    both = fn.and_(fn.fcmp("uno", near, near), fn.fcmp("uno", got, got))
    special = fn.select(fn.or_(same, both), const(wide, 0.0), const(wide, float("inf")))
    error = fn.select(finite, error, special)
    signs = fn.xor(fn.bitcast(near, vec(I32, WIDTH)), fn.bitcast(got, vec(I32, WIDTH)))
    flipped = fn.icmp("slt", signs, const(vec(I32, WIDTH), 0))
    flipped = fn.and_(flipped, fn.not_(both))
    return fn.select(flipped, const(wide, float("inf")), error)


def peak(name: str, stride: int = 1) -> Peak:
    """Return the largest error over every `stride`-th of the 2^32 values."""
    module = host().module()
    params = [(I64, ""), (I64, ""), (PTR, ""), (PTR, "")]
    fn = module.function("pb_peak", VOID, params, linkage="")
    count, step, out, where = fn.args
    lanes, wide = vec(I32, WIDTH), vec(F64, WIDTH)
    steps = fn.splat(fn.convert("trunc", step, I32), WIDTH)
    offsets = fn.mul(steps, const_lanes(lanes, range(WIDTH)))
    loop, done = fn.new_label("loop"), fn.new_label("done")
    fn.br(loop)
    fn.start(loop)
    index = fn.phi(I64, const(I64, 0), "entry")
    worst = fn.phi(wide, const(wide, -1.0), "entry")
    place = fn.phi(lanes, const(lanes, 0), "entry")
    first = fn.convert("trunc", fn.mul(index, step), I32)
    bits = fn.add(fn.splat(first, WIDTH), offsets)
    error = _error(fn, name, fn.bitcast(bits, vec(F32, WIDTH)))
    larger = fn.fcmp("ogt", error, worst)
    fn.phi_edge(worst, fn.select(larger, error, worst), fn.block)
    fn.phi_edge(place, fn.select(larger, bits, place), fn.block)
    following = fn.add(index, const(I64, WIDTH))
    fn.phi_edge(index, following, fn.block)
    fn.cond_br(fn.icmp("slt", following, count), loop, done)
    fn.start(done)
    fn.store(fn.select(larger, error, worst), out)
    fn.store(fn.select(larger, bits, place), where)
    fn.ret()

    library = load(module.text())
    errors = (ctypes.c_double * WIDTH)()
    places = (ctypes.c_uint32 * WIDTH)()
    proto = ctypes.CFUNCTYPE(
        None, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p
    )
    proto(library.address("pb_peak"))(
        (1 << 32) // stride, stride, ctypes.addressof(errors), ctypes.addressof(places)
    )
    lane = max(range(WIDTH), key=lambda k: errors[k])
    at = struct.unpack("<f", struct.pack("<I", places[lane]))[0]
    return Peak(errors[lane], at)


def main() -> None:
    """Print the peak of each function asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("functions", nargs="*", default=NAMES)
    parser.add_argument("--stride", type=int, default=1)
    args = parser.parse_args()
    for name in args.functions:
        found = peak(name, args.stride)
        print(f"{name} f32: max {found.ulp:.4f} ulp at {found.at.hex()}", flush=True)


if __name__ == "__main__":
    main()
