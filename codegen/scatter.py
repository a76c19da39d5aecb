"""Scatter: rows folded into an array at integers along an axis, one after the other."""

from collections.abc import Sequence
from typing import NamedTuple

from ..ir.forms import Scatter
from ..ir.graph import Node
from ..ir.sizes import product
from ..ir.types import DType
from .body import storage_type
from .fold import combine
from .frame import OK, Frame
from .index import Size
from .llvm import I64, Module, Reg, const
from .scalar import ScalarEmitter, Typed


class ScatterPlan(NamedTuple):
    """array[prefix, integers, suffix] folded with operand by `monoid`.

    Slots: operand, integers, the array if it is `given` (else zeros), out.
    """

    dtype: DType
    monoid: str
    given: bool
    prefix: Size
    total: Size
    suffix: Size
    extent: Size


def plan_scatter(node: Node) -> ScatterPlan:
    """Return the plan of a scatter."""
    form = node.primitive.form
    assert isinstance(form, Scatter)
    integers = node.operands[1]
    axis, result = node.params["axis"], node.results[0].type
    return ScatterPlan(
        result.dtype,
        form.monoid,
        len(node.operands) == 3,
        product(result.shape[:axis]),
        product(integers.type.shape),
        product(result.shape[axis + 1 :]),
        result.shape[axis],
    )


def emit_scatter(
    module: Module, name: str, plan: ScatterPlan, names: Sequence[str]
) -> None:
    """Write the kernel of a scatter."""
    frame = Frame(module, name, names, 4 if plan.given else 3)
    fn = frame.fn
    elem = storage_type(plan.dtype, 1)
    operand, integers, *arrays = frame.slots
    out = arrays[-1]
    prefix, count = frame.size(plan.prefix), frame.size(plan.total)
    suffix, extent = frame.size(plan.suffix), frame.size(plan.extent)
    total = fn.mul(prefix, fn.mul(extent, suffix))
    s = ScalarEmitter(fn)

    def begin(i: Reg) -> None:
        held = const(elem, 0)
        if plan.given:
            held = fn.load(fn.gep(arrays[0], i, elem), elem)
        fn.store(held, fn.gep(out, i, elem))

    frame.loop(total, begin)

    def folded(at: Reg, new: Reg) -> Reg:
        if plan.monoid == "last":
            return new
        old = Typed(fn.load(at, elem), plan.dtype)
        return combine(s, plan.monoid, old, Typed(new, plan.dtype)).reg

    def outer(p: Reg) -> None:
        def element(i: Reg) -> None:
            index = frame.wrapped(fn.load(fn.gep(integers, i, I64), I64), extent)
            source = fn.gep(operand, fn.mul(fn.add(fn.mul(p, count), i), suffix), elem)
            target = fn.gep(out, fn.mul(fn.add(fn.mul(p, extent), index), suffix), elem)

            def inner(j: Reg) -> None:
                at = fn.gep(target, j, elem)
                fn.store(folded(at, fn.load(fn.gep(source, j, elem), elem)), at)

            frame.loop(suffix, inner)

        frame.loop(count, element)

    frame.loop(prefix, outer)
    fn.ret(OK)
