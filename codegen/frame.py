"""The frame of a kernel written by hand: its slots, its sizes, counted loops."""

from collections.abc import Callable, Mapping, Sequence

from . import llvm
from .index import Size
from .llvm import I64, PTR, Module, Reg, const
from .sizes import emit_size

KERNEL_PARAMS = [(PTR, ""), (PTR, "noalias"), (PTR, "noalias")]
OK = const(llvm.I32, 0)


class Frame:
    """A function being written with counted loops."""

    def __init__(self, module: Module, name: str, names: Sequence[str], slots: int):
        fn = self.fn = module.function(name, llvm.I32, KERNEL_PARAMS)
        self.ctx = fn.args[0]
        self.slots = [
            fn.load(fn.gep(fn.args[1], const(I64, k), PTR), PTR) for k in range(slots)
        ]
        self.env: Mapping[str, Reg] = {
            n: fn.load(fn.gep(fn.args[2], const(I64, k), I64), I64)
            for k, n in enumerate(names)
        }

    def size(self, size: Size) -> Reg:
        """Return a size as a number."""
        return emit_size(self.fn, size, self.env)

    def loop(self, stop: Reg, inner: Callable[[Reg], None], by: int = 1) -> None:
        """Run `inner` for 0, by, 2 by, ... below stop."""
        fn = self.fn
        loop, done = fn.new_label("loop"), fn.new_label("done")
        before = fn.block
        fn.cond_br(fn.icmp("slt", const(I64, 0), stop), loop, done)
        fn.start(loop)
        var = fn.phi(I64, const(I64, 0), before)
        inner(var)
        following = fn.add(var, const(I64, by))
        fn.phi_edge(var, following, fn.block)
        fn.cond_br(fn.icmp("slt", following, stop), loop, done)
        fn.start(done)

    def wrapped(self, index: Reg, extent: Reg) -> Reg:
        """Return an index counted from the front."""
        fn = self.fn
        negative = fn.icmp("slt", index, const(I64, 0))
        return fn.select(negative, fn.add(index, extent), index)
