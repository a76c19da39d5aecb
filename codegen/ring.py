"""A loop over chunks that keeps the lanes of its folds in a ring of registers.

Chunks take the vectors of lanes in turn. The ring begins with the vector of the chunk
that runs; the next one moves up when it is done. So one body serves all of them, and
memory is read before the loop and written behind it.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from .body import Body
from .fold import LANES
from .lanes import Lanes
from .llvm import I64 as INT
from .llvm import Reg, const, vec
from .scalar import register_type

if TYPE_CHECKING:
    from .nest import Nest

RING = 8  # vectors of lanes that stay in registers, of 32; of 16, half of it
LONG = 16  # chunks from which they do in a loop of known length


def is_ringed(nest: "Nest", body: Body, axis: int, by: int) -> bool:
    """Return whether the lanes of a fold stay in registers during a loop.

    They do where one fold takes its few vectors in turn, in a long loop over a body
    that leaves registers for them.
    """
    if nest.lanes is None or axis != nest.axis or not by == nest.width > 1:
        return False
    extent = nest.plan.space[axis]
    room = RING if nest.target.vector_bits >= 512 else RING // 2
    return (
        len(nest.lanes.folds) * (LANES // nest.width) <= room
        and not nest.heavy
        and (body.interior or not nest.has_borders())
        and not (isinstance(extent, int) and extent < LONG * nest.width)
    )


def loop_in_registers(
    nest: "Nest",
    body: Body,
    axis: int,
    start: Reg,
    stop: Reg,
    inner: Callable[[Body], None],
) -> None:
    """Run `inner` for the chunks from start on, as `Nest.loop` does."""
    fn, lanes, width = nest.fn, nest.lanes, nest.width
    assert lanes is not None
    loop, left, done = (fn.new_label(x) for x in ("loop", "left", "done"))
    found = [
        [fn.load(at, vec(register_type(out.dtype, 1), width)) for at in places]
        for out, places in zip(lanes.folds, _places(nest, lanes, start), strict=True)
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
    after = fn.add(var, const(INT, width))
    fn.phi_edge(var, after, fn.block)
    for regs, values in zip(phis, ring, strict=True):
        for phi, value in zip(regs, values, strict=True):
            fn.phi_edge(phi, value, fn.block)
    fn.cond_br(fn.icmp("slt", after, stop), loop, left)
    fn.start(left)
    for places, values in zip(_places(nest, lanes, after), ring, strict=True):
        for at, value in zip(places, values, strict=True):
            fn.store(value, at)
    fn.br(done)
    fn.start(done)


def _places(nest: "Nest", lanes: Lanes, chunk: Reg) -> list[list[Reg]]:
    """Return where the lanes of a chunk and of those after it lie, for each fold."""
    fn = nest.fn
    firsts = []
    for _ in range(LANES // nest.width):
        firsts.append(fn.and_(chunk, const(INT, LANES - 1)))
        chunk = fn.add(chunk, const(INT, nest.width))
    return [
        [fn.gep(held, first, register_type(out.dtype, 1)) for first in firsts]
        for out, held in zip(lanes.folds, lanes.memory, strict=True)
    ]
