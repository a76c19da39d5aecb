"""A loop over chunks that keeps the lanes of its folds in a ring of registers.

Chunks take the vectors of lanes in turn. The ring begins with the vector of the chunk
that runs; the next one moves up when it is done. So one body serves all of them, and
memory is read before the loop and written behind it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .body import Body
from .fold import LANES
from .llvm import I64 as INT
from .llvm import Reg, const, vec
from .scalar import register_type

if TYPE_CHECKING:
    from .nest import Nest


def loop_in_registers(
    nest: "Nest",
    body: Body,
    axis: int,
    start: Reg,
    stop: Reg,
    inner: Callable[[Body], None],
) -> None:
    """Run `inner` for the chunks from start on, as `Nest.loop` does."""
    fn = nest.fn
    loop, left, done = (fn.new_label(x) for x in ("loop", "left", "done"))
    elems = [register_type(out.dtype, 1) for out in nest.folds()]
    lanes = _lanes_from(nest, axis, start)
    found = [
        [fn.load(fn.gep(held, at, elem), vec(elem, nest.width)) for at in lanes]
        for held, elem in zip(nest.memory, elems, strict=True)
    ]
    fn.cond_br(fn.icmp("slt", start, stop), loop, done)
    before = fn.block
    fn.start(loop)
    opened = body.fork()
    var = opened.vars[axis] = fn.phi(INT, start, before)
    phis = [[fn.phi(x.ty, x, before) for x in regs] for regs in found]
    nest.ring = [list(regs) for regs in phis]
    inner(opened)
    ring, nest.ring = nest.ring, []
    after = nest.following(axis, var, nest.width)
    fn.phi_edge(var, after, fn.block)
    for regs, values in zip(phis, ring, strict=True):
        for phi, value in zip(regs, values, strict=True):
            fn.phi_edge(phi, value, fn.block)
    fn.cond_br(fn.icmp("slt", after, stop), loop, left)
    fn.start(left)
    lanes = _lanes_from(nest, axis, after)
    for held, elem, values in zip(nest.memory, elems, ring, strict=True):
        for at, value in zip(lanes, values, strict=True):
            fn.store(value, fn.gep(held, at, elem))
    fn.br(done)
    fn.start(done)


def _lanes_from(nest: "Nest", axis: int, chunk: Reg) -> list[Reg]:
    """Return the first lane of a chunk and of those after it, up to all."""
    fn, out = nest.fn, []
    for _ in range(nest.turns):
        out.append(fn.and_(fn.add(nest.row, chunk), const(INT, LANES - 1)))
        chunk = nest.following(axis, chunk, nest.width)
    return out
