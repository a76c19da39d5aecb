"""Show values to the caller's `print`, as docs/abi.md has it.

The operands are in memory; the kernel hands over their addresses and extents. A caller
whose context has no `print`, or ends before it, is shown nothing.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..ir.graph import Node
from ..ir.types import Shape
from .frame import OK, Frame
from .llvm import I32, I64, PTR, Module, Reg, const
from .signature import TextSpec
from .status import PRINT_STOPPED, fail_function

PRINT_OFFSET = 56
PRINT_STATE_OFFSET = 64
NEEDED = 72  # bytes of a context that has both
_SIZE_OFFSET = 4


class PrintPlan(NamedTuple):
    """A text with values. Slots: the values. `number` is which text of the module."""

    number: int
    shapes: tuple[Shape, ...]


class Prints:
    """The texts of a module, each once: numbers are those the caller is told."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self._numbers: dict[object, int] = {}

    def number(self, node: Node) -> int:
        """Return the number of what a node prints."""
        kinds = tuple([(x.type.dtype.name, x.type.rank) for x in node.operands])
        key = (node.primitive, tuple(sorted(node.params.items())), kinds)
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self.nodes)
            self.nodes.append(node)
        return found


def text_specs(nodes: Sequence[Node]) -> list[TextSpec]:
    """Return the texts of a module by number, for its header and its loader."""
    return [
        TextSpec(
            node.params["format"],
            node.params["stream"],
            tuple([(x.type.dtype.name, x.type.rank) for x in node.operands]),
        )
        for node in nodes
    ]


def plan_print(node: Node, number: int) -> PrintPlan:
    """Return the plan of a node that prints text `number`."""
    return PrintPlan(number, tuple([x.type.shape for x in node.operands]))


def emit_print(
    module: Module, name: str, plan: PrintPlan, names: Sequence[str]
) -> None:
    """Write the kernel."""
    frame = Frame(module, name, names, 0)
    fn = frame.fn
    ctx, values, _ = fn.args
    null = Reg("null", PTR)
    sized, has, call, none = (fn.new_label(x) for x in ("sized", "has", "call", "none"))
    fn.cond_br(fn.icmp("eq", ctx, null), none, sized)
    fn.start(none)
    fn.ret(OK)
    fn.start(sized)
    size = fn.load(fn.gep(ctx, const(I64, _SIZE_OFFSET)), I32)
    fn.cond_br(fn.icmp("ult", size, const(I32, NEEDED)), none, has)
    fn.start(has)
    target = fn.load(fn.gep(ctx, const(I64, PRINT_OFFSET)), PTR)
    fn.cond_br(fn.icmp("eq", target, null), none, call)
    fn.start(call)
    state = fn.load(fn.gep(ctx, const(I64, PRINT_STATE_OFFSET)), PTR)
    extents = [d for shape in plan.shapes for d in shape]
    sizes = fn.alloca(I64, max(len(extents), 1), 8)
    for k, extent in enumerate(extents):
        fn.store(frame.size(extent), fn.gep(sizes, const(I64, k), I64))
    args = [state, const(I32, plan.number), values, sizes]
    code = fn.call_ptr(target, I32, args)
    bad, good = fn.new_label("stopped"), fn.new_label("printed")
    fn.cond_br(fn.icmp("ne", code, OK), bad, good, False)
    fn.start(bad)
    zero = const(I64, 0)
    status = [
        ctx, const(I32, PRINT_STOPPED), const(I32, plan.number),
        fn.convert("sext", code, I64), zero, zero,
    ]  # fmt: skip
    fn.ret(fn.call(fail_function(module), I32, status))
    fn.start(good)
    fn.ret(OK)
