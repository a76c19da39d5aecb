"""Memory whose size a program learns while it runs, in cells that its entry owns.

A loop that keeps a value of every step binds a size when it ends. What has such a size
cannot lie in the workspace: it comes from the caller's `grow`, its address is in a
cell, and the entry frees every cell when it returns, whatever it returns.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..ir.graph import Node
from ..ir.sizes import SizeExpr, names_in
from ..ir.subgraph import param_names
from . import llvm
from .frame import OK, Frame
from .index import Size
from .llvm import I32, I64, PTR, VOID, Function, Module, Reg, const
from .memory import Buffer
from .status import WORKSPACE_TOO_SMALL, fail_function

GROW_OFFSET = 16  # of `grow` in the context; its state is behind it
NULL = Reg("null", PTR)


class AllocatePlan(NamedTuple):
    """Memory for a cell. Slots: the address of the cell."""

    nbytes: Size


def sizes_seen(node: Node) -> set[str]:
    """Return the named sizes in a node's params, and in the types around it."""
    found = set(param_names(tuple(node.params.values())))
    for x in (*node.results, *node.operands):
        for d in x.type.shape:
            found |= names_in(d)
    return found


def is_late(size: Size, late: frozenset[str]) -> bool:
    """Return whether a size is known only once a loop has run."""
    return bool(late) and isinstance(size, SizeExpr) and bool(names_in(size) & late)


def grow_function(module: Module) -> str:
    """Return the function that asks the caller for memory; NULL where there is none.

    ptr pb_grow(ptr ctx, ptr old, i64 bytes); 0 bytes free `old`.
    """
    name = "pb_grow"
    if name in module.functions:
        return name
    fn = module.function(name, PTR, [(PTR, ""), (PTR, ""), (I64, "")], attrs="noinline")
    ctx, old, nbytes = fn.args
    fn.cond_br(fn.icmp("eq", ctx, NULL), "none", "context", False)
    fn.start("context")
    grow = fn.load(fn.gep(ctx, const(I64, GROW_OFFSET)), PTR)
    fn.cond_br(fn.icmp("eq", grow, NULL), "none", "ask", False)
    fn.start("ask")
    state = fn.load(fn.gep(ctx, const(I64, GROW_OFFSET + 8)), PTR)
    fn.ret(fn.call_ptr(grow, PTR, (state, old, nbytes)))
    fn.start("none")
    fn.ret(NULL)
    return name


def emit_grow(fn: Function, module: Module, ctx: Reg, cell: Reg, nbytes: Reg) -> None:
    """Give a cell at least `nbytes` bytes, or leave with WORKSPACE_TOO_SMALL."""
    wanted = fn.smax(nbytes, const(I64, 1))  # 0 would free
    old = fn.load(cell, PTR)
    made = fn.call(grow_function(module), PTR, (ctx, old, wanted))
    bad, good = fn.new_label("starved"), fn.new_label("grown")
    fn.cond_br(fn.icmp("eq", made, NULL), bad, good, False)
    fn.start(bad)
    zero = const(I64, 0)
    numbers = (const(I32, WORKSPACE_TOO_SMALL), const(I32, 0), wanted, zero, zero)
    fn.ret(fn.call(fail_function(module), I32, (ctx, *numbers)))
    fn.start(good)
    fn.store(made, cell)


def emit_allocate(
    module: Module, name: str, plan: AllocatePlan, names: Sequence[str]
) -> None:
    """Write the kernel that gives a cell its memory."""
    kernel = Frame(module, name, names, 1)
    nbytes = kernel.size(plan.nbytes)
    emit_grow(kernel.fn, module, kernel.ctx, kernel.slots[0], nbytes)
    kernel.fn.ret(OK)


def release_function(module: Module) -> str:
    """Return the function that frees what cells hold.

    void pb_release(ptr ctx, ptr cells, i64 count)
    """
    name = "pb_release"
    if name in module.functions:
        return name
    fn = module.function(name, VOID, [(PTR, ""), (PTR, ""), (I64, "")])
    ctx, cells, count = fn.args
    fn.br("cell")
    fn.start("cell")
    k = fn.phi(I64, const(I64, 0), "entry")
    held = fn.load(fn.gep(cells, k, PTR), PTR)
    fn.cond_br(fn.icmp("eq", held, NULL), "next", "free")
    fn.start("free")
    fn.call(grow_function(module), PTR, (ctx, held, const(I64, 0)))
    fn.br("next")
    fn.start("next")
    following = fn.add(k, const(I64, 1))
    fn.phi_edge(k, following, "next")
    fn.cond_br(fn.icmp("slt", following, count), "cell", "done")
    fn.start("done")
    fn.ret()
    return name


def emit_owner(
    module: Module, fn: Function, inner: str, sizes: int, late: int, cells: int,
    owned: int,
) -> None:  # fmt: skip
    """Write an entry that owns `owned` cells and passes room for `cells` of them.

    It copies the `sizes` sizes it is given and leaves room for the `late` ones.
    """
    ctx, inputs, given, outputs, workspace = fn.args
    copied = fn.alloca(I64, sizes + late, 8)
    for k in range(sizes + late):
        value = const(I64, 0)
        if k < sizes:
            value = fn.load(fn.gep(given, const(I64, k), I64), I64)
        fn.store(value, fn.gep(copied, const(I64, k), I64))
    held = fn.alloca(PTR, cells, 64)
    for k in range(owned):
        fn.store(NULL, fn.gep(held, const(I64, k), PTR))
    args = (ctx, inputs, copied, outputs, workspace, held)
    code = fn.call(inner, llvm.I32, args)
    if owned:
        count = const(I64, owned)
        fn.call(release_function(module), VOID, (ctx, held, count))
    fn.ret(code)


def number_cells(buffers: Sequence[Buffer], late: frozenset[str]) -> list[Buffer]:
    """Make cells of the buffers that have a late size; return them in order.

    The shape decides, not the bytes: a loop gives memory to what grows with its steps
    also where a step adds nothing, as to f64[trips, 0].
    """
    found: list[Buffer] = []
    for buffer in buffers:
        grows = any(is_late(d, late) for d in buffer.type.shape)
        if buffer.kind == "work" and grows:
            buffer.kind, buffer.number = "late", len(found)
            found.append(buffer)
    return found
