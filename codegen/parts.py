"""Call the parts of a kernel through the caller's pool: docs/abi.md has the table."""

from collections.abc import Callable, Sequence

from .frame import KERNEL_PARAMS, OK
from .llvm import I32, I64, PTR, Function, Module, Reg, const

PART_PARAMS = [(PTR, ""), (I32, ""), (I32, "")]  # argument, index, count

CONTEXT_POOL, CONTEXT_THREADS = 32, 40
TABLE_RUN, TABLE_STATE = 0, 8


def argument_word(fn: Function, argument: Reg, word: int, ty: str) -> Reg:
    """Return a word of what a part is given."""
    return fn.load(fn.gep(argument, const(I64, 8 * word)), ty)


def thread_count(fn: Function) -> Reg:
    """Return how many threads the caller of a kernel has."""
    return fn.load(fn.gep(fn.args[0], const(I64, CONTEXT_THREADS)), I32)


def emit_choice(
    module: Module, name: str, whole: str, enough: Callable[[Function], Reg | None]
) -> Function:
    """Begin a kernel that calls `whole` unless there are threads and `enough` work.

    The function goes on where it runs in parts.
    """
    fn = module.function(name, I32, KERNEL_PARAMS)
    ctx = fn.args[0]
    null = Reg("null", PTR)
    alone, given, several, parts = "alone", "given", "several", "parts"
    fn.cond_br(fn.icmp("eq", ctx, null), alone, given)
    fn.start(given)
    pool = fn.load(fn.gep(ctx, const(I64, CONTEXT_POOL)), PTR)
    threads = thread_count(fn)
    held = fn.icmp("ne", pool, null)
    held = fn.and_(held, fn.icmp("sgt", threads, const(I32, 1)))
    fn.cond_br(held, several, alone)
    fn.start(several)
    large = enough(fn)
    if large is None:
        fn.br(parts)
    else:
        fn.cond_br(large, parts, alone)
    fn.start(alone)
    fn.ret(fn.call(whole, I32, fn.args))
    fn.start(parts)
    return fn


def run_parts(fn: Function, part: str, words: Sequence[Reg], count: Reg) -> None:
    """Have the caller's threads run `part`, given these words; leave on failure."""
    argument = fn.alloca(I64, len(words))
    for k, word in enumerate(words):
        fn.store(word, fn.gep(argument, const(I64, 8 * k)))
    pool = fn.load(fn.gep(fn.args[0], const(I64, CONTEXT_POOL)), PTR)
    run = fn.load(fn.gep(pool, const(I64, TABLE_RUN)), PTR)
    state = fn.load(fn.gep(pool, const(I64, TABLE_STATE)), PTR)
    code = fn.call_ptr(run, I32, (state, Reg(f"@{part}", PTR), argument, count))
    bad, good = fn.new_label("failed"), fn.new_label("joined")
    fn.cond_br(fn.icmp("ne", code, OK), bad, good, False)
    fn.start(bad)
    fn.ret(code)
    fn.start(good)
