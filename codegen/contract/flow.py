"""Loops and branches for functions written by hand in this folder."""

from collections.abc import Callable, Sequence

from ..llvm import I64, Function, Reg, const

LoopBody = Callable[[Reg, list[Reg]], Sequence[Reg]]


def i64(value: int) -> Reg:
    """Return a 64-bit integer constant."""
    return const(I64, value)


def for_range(
    fn: Function,
    stop: Reg,
    step: Reg,
    body: LoopBody,
    carried: Sequence[Reg] = (),
    start: Reg | None = None,
) -> list[Reg]:
    """Emit `for i in range(start, stop, step)` and return the carried values after it.

    `body` gets the index and the carried values and returns their successors.
    The test stands at the bottom, behind a guard.
    """
    first = i64(0) if start is None else start
    before = fn.block
    head, done = fn.new_label("loop"), fn.new_label("done")
    fn.cond_br(fn.icmp("slt", first, stop), head, done)
    fn.start(head)
    index = fn.phi(I64, first, before)
    values = [fn.phi(c.ty, c, before) for c in carried]
    after = body(index, values)
    successor = fn.add(index, step)
    end = fn.block
    fn.phi_edge(index, successor, end)
    for value, new in zip(values, after, strict=True):
        fn.phi_edge(value, new, end)
    fn.cond_br(fn.icmp("slt", successor, stop), head, done)
    fn.start(done)
    return [
        fn.merge(c.ty, [(c, before), (new, end)])
        for c, new in zip(carried, after, strict=True)
    ]


def when(
    fn: Function,
    cond: Reg,
    then: Callable[[], None],
    other: Callable[[], None] | None = None,
) -> None:
    """Emit `if cond: then() else: other()`."""
    yes, no, end = fn.new_label("then"), fn.new_label("else"), fn.new_label("end")
    fn.cond_br(cond, yes, no if other else end)
    fn.start(yes)
    then()
    fn.br(end)
    if other:
        fn.start(no)
        other()
        fn.br(end)
    fn.start(end)


def lanes_below(fn: Function, count: Reg, width: int) -> Reg:
    """Return the mask whose lane l holds where l < count."""
    ty = f"<{width} x i64>"
    lanes = ", ".join(f"i64 {lane}" for lane in range(width))
    return fn.icmp("slt", Reg(f"<{lanes}>", ty), fn.splat(count, width))
