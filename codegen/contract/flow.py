"""Loops, branches and integers for functions written by hand in this folder.

What is known while emitting is decided while emitting: a branch on a constant emits one
side, a loop of one turn is its body. So one piece of code serves sizes known at compile
time and sizes known at run time.
"""

from collections.abc import Callable, Sequence

from ..llvm import I1, I64, Function, Reg, const

LoopBody = Callable[[Reg, list[Reg]], Sequence[Reg]]


def i64(value: int) -> Reg:
    """Return a 64-bit integer constant."""
    return const(I64, value)


def known(value: Reg) -> int | None:
    """Return the value of an integer or i1 constant, None for a register."""
    if value.ref[0] == "%":
        return None
    return {"true": 1, "false": 0}[value.ref] if value.ty == I1 else int(value.ref)


class Ints:
    """Integer arithmetic of a function that evaluates constants at once."""

    def __init__(self, fn: Function) -> None:
        self.fn = fn

    def add(self, x: Reg, y: Reg) -> Reg:
        """Return x + y."""
        a, b = known(x), known(y)
        return self.fn.add(x, y) if a is None or b is None else i64(a + b)

    def sub(self, x: Reg, y: Reg) -> Reg:
        """Return x - y."""
        a, b = known(x), known(y)
        return self.fn.sub(x, y) if a is None or b is None else i64(a - b)

    def mul(self, x: Reg, y: Reg) -> Reg:
        """Return x * y."""
        a, b = known(x), known(y)
        return self.fn.mul(x, y) if a is None or b is None else i64(a * b)

    def mask(self, x: Reg, y: int) -> Reg:
        """Return x & y."""
        a = known(x)
        return self.fn.and_(x, i64(y)) if a is None else i64(a & y)

    def quotient(self, x: Reg, y: int) -> Reg:
        """Return x / y for x >= 0."""
        a = known(x)
        return self.fn.sdiv(x, i64(y)) if a is None else i64(a // y)

    def smin(self, x: Reg, y: Reg) -> Reg:
        """Return the smaller."""
        a, b = known(x), known(y)
        return self.fn.smin(x, y) if a is None or b is None else i64(min(a, b))

    def smax(self, x: Reg, y: Reg) -> Reg:
        """Return the larger."""
        a, b = known(x), known(y)
        return self.fn.smax(x, y) if a is None or b is None else i64(max(a, b))

    def equal(self, x: Reg, y: int) -> Reg:
        """Return x == y."""
        a = known(x)
        return self.fn.icmp("eq", x, i64(y)) if a is None else truth(a == y)

    def above(self, x: Reg, y: int) -> Reg:
        """Return x > y."""
        a = known(x)
        return self.fn.icmp("sgt", x, i64(y)) if a is None else truth(a > y)

    def both(self, x: Reg, y: Reg) -> Reg:
        """Return x and y."""
        for cond, other in ((x, y), (y, x)):
            value = known(cond)
            if value is not None:
                return other if value else cond
        return self.fn.and_(x, y)

    def invert(self, x: Reg) -> Reg:
        """Return not x."""
        value = known(x)
        return self.fn.not_(x) if value is None else truth(not value)

    def either(self, x: Reg, y: Reg) -> Reg:
        """Return x or y."""
        return self.invert(self.both(self.invert(x), self.invert(y)))

    def select(self, cond: Reg, x: Reg, y: Reg) -> Reg:
        """Return x where cond holds, else y."""
        value = known(cond)
        if value is not None:
            return x if value else y
        return x if x == y else self.fn.select(cond, x, y)


def truth(value: bool) -> Reg:
    """Return an i1 constant."""
    return const(I1, int(value))


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
    ends = known(first), known(stop), known(step)
    if None not in ends:
        turns = range(*[end for end in ends if end is not None])
        if len(turns) <= 1:
            return list(body(first, list(carried))) if turns else list(carried)
    before = fn.block
    head, done = fn.new_label("loop"), fn.new_label("done")
    fn.cond_br(fn.icmp("slt", first, stop), head, done)
    fn.start(head)
    index = fn.phi(I64, first, before)
    values = [fn.phi(c.ty, c, before) for c in carried]
    after = body(index, list(values))
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
    value = known(cond)
    if value is not None:
        if value:
            then()
        elif other:
            other()
        return
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
