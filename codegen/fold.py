"""The fixed tree of a reduction: blocks of 32 virtual lanes, folded in halves.

Element r of a reduction (row-major over the reduced axes) belongs to block r div 16384
and goes to lane r mod 32 of it, in ascending order; the lanes of blocks are combined in
ascending order; then lane l takes lane l + 16, l + 8, ... l + 1. That holds on every
target, at every vector width, for every size, so the bits never depend on them. No lane
adds more than 512 elements, or one number for each block.
"""

from collections.abc import Sequence

from ..ir.errors import TargetError
from ..ir.types import DType
from .llvm import I64, PTR, Function, Module, Reg, const, elem_of, vec, width_of
from .scalar import ScalarEmitter, Typed, register_type

LANES = 32
BLOCK = 1 << 14  # elements, a multiple of LANES


def identity_of(monoid: str, dtype: DType) -> float:
    """Return the value that changes nothing."""
    if monoid == "add":
        return 0
    if monoid == "mul":
        return 1
    sign = -1 if monoid == "max" else 1
    if dtype.is_float:
        return sign * float("inf")
    if dtype.kind == "b":
        return 0 if monoid == "max" else 1
    low, high = 0, (1 << dtype.bits) - 1
    if dtype.kind == "i":
        low, high = -(1 << (dtype.bits - 1)), (1 << (dtype.bits - 1)) - 1
    return low if monoid == "max" else high


def combine(s: ScalarEmitter, monoid: str, x: Typed, y: Typed) -> Typed:
    """Return one step of the fold."""
    if monoid == "add":
        return s.add(x, y)
    if monoid == "mul":
        return s.mul(x, y)
    if monoid == "max":
        return s.maximum(x, y)
    if monoid == "min":
        return s.minimum(x, y)
    raise TargetError(f"no fold with the monoid {monoid!r}")


def fold_one(s: ScalarEmitter, monoid: str, x: Typed) -> Reg:
    """Return the fold of one element: the identity combined with it."""
    start = const(x.reg.ty, identity_of(monoid, x.dtype))
    return combine(s, monoid, Typed(start, x.dtype), x).reg


def fold_vectors(
    s: ScalarEmitter, monoid: str, dtype: DType, parts: Sequence[Reg | None]
) -> Reg:
    """Fold registers that hold the 32 lanes in order; None is all identity."""
    held = list(parts)
    while len(held) > 1:
        half = len(held) // 2
        for k in range(half):
            low, high = held[k], held[k + half]
            if low is None:
                held[k] = high
            elif high is not None:
                held[k] = combine(s, monoid, Typed(low, dtype), Typed(high, dtype)).reg
        del held[half:]
    out = held[0]
    assert out is not None
    fn = s.fn
    while (width := width_of(out.ty)) > 1:
        half = width // 2
        if half == 1:
            low, high = fn.extract(out, 0), fn.extract(out, 1)
        else:
            low = fn.shuffle(out, out, range(half))
            high = fn.shuffle(out, out, range(half, width))
        out = combine(s, monoid, Typed(low, dtype), Typed(high, dtype)).reg
    return out


def fold_elements(
    s: ScalarEmitter, monoid: str, dtype: DType, row: Sequence[Reg], width: int
) -> Reg:
    """Fold registers that each hold an element, of one row or of a row a lane."""

    def both(x: Reg, y: Reg) -> Reg:
        return combine(s, monoid, Typed(x, dtype), Typed(y, dtype)).reg

    start = const(register_type(dtype, width), identity_of(monoid, dtype))
    if not row:
        return start
    lanes: list[Reg | None] = [None] * LANES
    for k, x in enumerate(row):
        held = lanes[k % LANES]
        lanes[k % LANES] = x if held is None else both(held, x)
    while len(lanes) > 1:
        half = len(lanes) // 2
        for k in range(half):
            low, high = lanes[k], lanes[k + half]
            if low is None or high is None:
                lanes[k] = high if low is None else low
            else:
                lanes[k] = both(low, high)
        del lanes[half:]
    (total,) = lanes
    assert total is not None
    # a lane begins with +0, which matters to a sum of -0 alone: once is enough
    return both(start, total) if monoid == "add" and dtype.is_float else total


def fold_function(
    module: Module, monoid: str, dtype: DType, width: int, column: int
) -> str:
    """Return the function that folds lanes in memory; written once a module.

    With `column` 1, memory holds 32 elements and the result is returned. Else it holds
    32 vectors of `column` elements and lane 0 receives the result.
    """
    name = f"pb_fold_{monoid}_{dtype.name}_{width}_{column}"
    if name in module.functions:
        return name
    elem = register_type(dtype, 1)
    if column == 1:
        fn = module.function(name, elem, [(PTR, "")])
        s = ScalarEmitter(fn)
        ty = vec(elem, width)
        parts: list[Reg | None] = [
            fn.load(fn.gep(fn.args[0], const(I64, k), elem), ty)
            for k in range(0, LANES, width)
        ]
        fn.ret(fold_vectors(s, monoid, dtype, parts))
        return name
    fn = module.function(name, "void", [(PTR, "")])
    s = ScalarEmitter(fn)
    ty = vec(elem, column)
    half = LANES // 2
    while half:
        _fold_half(fn, s, monoid, dtype, ty, half)
        half //= 2
    fn.ret()
    return name


def flush_function(
    module: Module, monoid: str, dtype: DType, width: int, keep: bool = False
) -> str:
    """Return the function that ends a block; written once a module.

    void pb_flush(ptr lanes, ptr totals, i64 count) combines `count` lanes into totals,
    or with `keep` puts them there, and begins the lanes anew.
    """
    name = f"pb_{'keep' if keep else 'flush'}_{monoid}_{dtype.name}_{width}"
    if name in module.functions:
        return name
    fn = module.function(name, "void", [(PTR, ""), (PTR, ""), (I64, "")])
    lanes, totals, count = fn.args
    elem = register_type(dtype, 1)
    ty = vec(elem, width)
    fn.br("loop")
    fn.start("loop")
    k = fn.phi(I64, const(I64, 0), "entry")
    at, total = fn.gep(lanes, k, elem), fn.gep(totals, k, elem)
    value = fn.load(at, ty)
    if not keep:
        old = Typed(fn.load(total, ty), dtype)
        value = combine(ScalarEmitter(fn), monoid, old, Typed(value, dtype)).reg
    fn.store(value, total)
    fn.store(const(ty, identity_of(monoid, dtype)), at)
    after = fn.add(k, const(I64, width))
    fn.phi_edge(k, after, fn.block)
    fn.cond_br(fn.icmp("slt", after, count), "loop", "done")
    fn.start("done")
    fn.ret()
    return name


def _fold_half(
    fn: Function, s: ScalarEmitter, monoid: str, dtype: DType, ty: str, half: int
) -> None:
    elem, column = elem_of(ty), width_of(ty)
    before = fn.block
    loop, done = fn.new_label("fold"), fn.new_label("folded")
    fn.br(loop)
    fn.start(loop)
    lane = fn.phi(I64, const(I64, 0), before)
    at = fn.gep(fn.args[0], fn.mul(lane, const(I64, column)), elem)
    other = fn.gep(at, const(I64, half * column), elem)
    x, y = fn.load(at, ty), fn.load(other, ty)
    fn.store(combine(s, monoid, Typed(x, dtype), Typed(y, dtype)).reg, at)
    following = fn.add(lane, const(I64, 1))
    fn.phi_edge(lane, following, fn.block)
    fn.cond_br(fn.icmp("slt", following, const(I64, half)), loop, done)
    fn.start(done)
