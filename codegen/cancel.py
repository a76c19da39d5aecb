"""Leave long loops when the caller's flag is up."""

from . import llvm
from .llvm import I32, I64, PTR, Function, Reg, const
from .status import CANCELLED

CANCEL_OFFSET = 48


def cancel_flag(fn: Function, ctx: Reg) -> Reg:
    """Return the address of the caller's flag, or of a zero where there is none.

    Emitted once before a loop, so that a step reads one word.
    """
    null = Reg("null", PTR)
    never = fn.alloca(llvm.I32, 1, 4)
    fn.head.append(f"  store i32 0, ptr {never.ref}, align 4")
    look, found = fn.new_label("look"), fn.new_label("flag")
    before = fn.block
    fn.cond_br(fn.icmp("eq", ctx, null), found, look)
    fn.start(look)
    given = fn.load(fn.gep(ctx, const(I64, CANCEL_OFFSET)), PTR)
    here = fn.select(fn.icmp("eq", given, null), never, given)
    fn.br(found)
    fn.start(found)
    return fn.merge(PTR, [(never, before), (here, look)])


def leave_if_cancelled(fn: Function, flag: Reg) -> None:
    """Return CANCELLED where the flag is up."""
    raised = fn.emit(I32, f"load volatile i32, ptr {flag.ref}, align 4")
    stop, go = fn.new_label("stop"), fn.new_label("proceed")
    fn.cond_br(fn.icmp("ne", raised, const(I32, 0)), stop, go, False)
    fn.start(stop)
    fn.ret(const(I32, CANCELLED))
    fn.start(go)
