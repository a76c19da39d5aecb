"""Read and write elements in registers at integers that are known only when it runs.

Registers have no addresses: every element is compared with the integer.
"""

from collections.abc import Callable
from math import prod

from ..ir.forms import Scatter
from ..ir.graph import Node
from .fold import combine
from .llvm import Function, Reg, const
from .scalar import ScalarEmitter, Typed, register_type
from .small import fixed, linear, positions

Elements = list[Reg]
Fail = Callable[[Node | None, Reg, int, int], None]


class Lookups:
    """The part of `Registers` that looks up."""

    fn: Function
    scalar: ScalarEmitter
    fail: Fail

    def _wrapped(self, node: Node, at: Elements, extent: int) -> Elements:
        """Return integers as indices of an axis, or leave where one is outside."""
        fn, axis = self.fn, node.params["axis"]
        out: Elements = []
        for number in at:
            negative = fn.icmp("slt", number, const(number.ty, 0))
            moved = fn.add(number, const(number.ty, extent))
            place = fn.select(negative, moved, number)
            bad, good = fn.new_label("bad"), fn.new_label("good")
            fn.cond_br(fn.icmp("uge", place, const(place.ty, extent)), bad, good, False)
            fn.start(bad)
            self.fail(node, number, axis, extent)
            fn.start(good)
            out.append(place)
        return out

    def scatter(self, node: Node, form: Scatter, xs: list[Elements]) -> Elements:
        """Return an array with elements folded in at integers, in their order."""
        fn, kind, axis = self.fn, node.results[0].type, node.params["axis"]
        shape, new = fixed(kind.shape), fixed(node.operands[0].type.shape)
        integers = fixed(node.operands[1].type.shape)
        zero = const(register_type(kind.dtype, 1), 0)
        out = list(xs[2]) if len(xs) == 3 else [zero] * prod(shape)
        wrapped = self._wrapped(node, xs[1], shape[axis])
        rank = len(integers)
        for value, index in zip(xs[0], positions(new), strict=True):
            place = wrapped[linear(index[axis : axis + rank], integers)]
            for k in range(shape[axis]):
                at = linear((*index[:axis], k, *index[axis + rank :]), shape)
                made = value
                if form.monoid != "last":
                    pair = Typed(out[at], kind.dtype), Typed(value, kind.dtype)
                    made = combine(self.scalar, form.monoid, *pair).reg
                here = fn.icmp("eq", place, const(place.ty, k))
                out[at] = fn.select(here, made, out[at])
        return out

    def gather(self, node: Node, x: Elements, at: Elements) -> Elements:
        """Return the elements at integers."""
        fn, axis = self.fn, node.params["axis"]
        source, integers = (fixed(v.type.shape) for v in node.operands)
        extent = source[axis]
        wrapped = self._wrapped(node, at, extent)
        out: Elements = []
        rank = len(integers)
        for index in positions(node.results[0].type.shape):
            place = wrapped[linear(index[axis : axis + rank], integers)]
            before, after = index[:axis], index[axis + rank :]
            held = x[linear((*before, 0, *after), source)]
            for k in range(1, extent):
                here = fn.icmp("eq", place, const(place.ty, k))
                held = fn.select(here, x[linear((*before, k, *after), source)], held)
            out.append(held)
        return out
