"""Split a fold of everything that also stores: block after block, in two jobs each.

Parts by lanes would write to neighbouring lines of memory at once. So of each block the
values that are folded are put down by ranges, with the results, and are then folded by
lanes. What parts share besides is the memory of the lanes.
"""

from . import llvm
from .fold import LANES, combine, identity_of
from .llvm import I64, PTR, Function, Module, Reg, const, const_lanes, vec
from .parts import PART_PARAMS, argument_word, run_parts
from .plan import Output
from .scalar import ScalarEmitter, Typed, register_type

BLOCK = 1 << 17  # elements
SLACK = 2 * LANES  # elements behind them that may be written and read, and mean nothing
LANES_BYTES = LANES * 8  # of a fold
VALUES_BYTES = (BLOCK + SLACK) * 8  # of a fold

# What a part is given, in words: context, buffers, sizes, lanes; values, first and stop
# of the block, and where each fold ends.
LANES_WORD, VALUES_WORD, FIRST_WORD, STOP_WORD, ENDS_WORD = 3, 4, 5, 6, 7


def emit_fold(
    module: Module, name: str, folds: list[Output], width: int, shares: int
) -> None:
    """Write the part that folds the values of a block into its lanes."""
    fn = module.function(name, llvm.I32, PART_PARAMS)
    argument, index, _ = fn.args
    lanes = argument_word(fn, argument, LANES_WORD, PTR)
    values = argument_word(fn, argument, VALUES_WORD, PTR)
    first = argument_word(fn, argument, FIRST_WORD, I64)
    block = argument_word(fn, argument, STOP_WORD, I64)
    share = LANES // shares
    low = fn.mul(fn.convert("zext", index, I64), const(I64, share))
    for k, out in enumerate(folds):
        stop = fn.smin(block, argument_word(fn, argument, ENDS_WORD + k, I64))
        stop = fn.smax(fn.sub(stop, first), const(I64, 0))
        _fold_one(
            fn, out, width, share, low, stop,
            fn.gep(lanes, const(I64, k * LANES_BYTES)),
            fn.gep(values, const(I64, k * VALUES_BYTES)),
        )  # fmt: skip
    fn.ret(const(llvm.I32, 0))


def _fold_one(
    fn: Function,
    out: Output,
    width: int,
    share: int,
    low: Reg,
    stop: Reg,
    lanes: Reg,
    values: Reg,
) -> None:
    """Fold one result's values, 32 at a time, of which the last may be fewer."""
    elem = register_type(out.dtype, 1)
    ty = vec(elem, width)
    s = ScalarEmitter(fn)
    places = [fn.add(low, const(I64, v)) for v in range(0, share, width)]

    def combined(old: Reg, place: Reg, group: Reg) -> Reg:
        value = fn.load(fn.gep(values, fn.add(group, place), elem), ty)
        new = combine(
            s, out.monoid or "", Typed(old, out.dtype), Typed(value, out.dtype)
        )
        return new.reg

    held = [fn.load(fn.gep(lanes, place, elem), ty) for place in places]
    whole = fn.and_(stop, const(I64, -LANES))
    loop, rest = fn.new_label("group"), fn.new_label("rest")
    before = fn.block
    fn.cond_br(fn.icmp("sgt", whole, const(I64, 0)), loop, rest)
    fn.start(loop)
    group = fn.phi(I64, const(I64, 0), before)
    running = [fn.phi(ty, x, before) for x in held]
    made = [combined(x, p, group) for x, p in zip(running, places, strict=True)]
    after = fn.add(group, const(I64, LANES))
    fn.phi_edge(group, after, loop)
    for phi, value in zip(running, made, strict=True):
        fn.phi_edge(phi, value, loop)
    fn.cond_br(fn.icmp("slt", after, whole), loop, rest)
    fn.start(rest)
    both = zip(held, made, strict=True)
    ends = [fn.merge(ty, [(old, before), (new, loop)]) for old, new in both]
    for reached, place in zip(ends, places, strict=True):
        last = combined(reached, place, whole)
        at = fn.splat(fn.add(whole, place), width)
        if width > 1:
            at = fn.add(at, const_lanes(vec(I64, width), range(width)))
        there = fn.icmp("slt", at, fn.splat(stop, width))
        fn.store(fn.select(there, last, reached), fn.gep(lanes, place, elem))


def emit_blocks(
    fn: Function,
    part: str,
    fold: str,
    folds: list[Output],
    width: int,
    words: list[Reg],
    extent: Reg,
    ends: list[Reg],
    counts: tuple[Reg, Reg],
) -> None:
    """Run both jobs of every block; `words` are what parts are given, up to the values.

    `ends` are where the folds end, `counts` the parts of the two jobs.
    """
    lanes = words[LANES_WORD]
    for k, out in enumerate(folds):
        elem = register_type(out.dtype, 1)
        start = const(vec(elem, width), identity_of(out.monoid or "", out.dtype))
        base = fn.gep(lanes, const(I64, k * LANES_BYTES))
        for lane in range(0, LANES, width):
            fn.store(start, fn.gep(base, const(I64, lane), elem))
    before = fn.block
    loop, done = fn.new_label("block"), fn.new_label("done")
    fn.cond_br(fn.icmp("sgt", extent, const(I64, 0)), loop, done)
    fn.start(loop)
    first = fn.phi(I64, const(I64, 0), before)
    after = fn.add(first, const(I64, BLOCK))
    given = [*words, first, fn.smin(after, extent), *ends]
    run_parts(fn, part, given, counts[0])
    run_parts(fn, fold, given, counts[1])
    fn.phi_edge(first, after, fn.block)
    fn.cond_br(fn.icmp("slt", after, extent), loop, done)
    fn.start(done)
