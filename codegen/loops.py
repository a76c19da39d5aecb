"""Emit a kernel plan as a loop nest.

Four nests: no reduction, and that of rows alike but near a diagonal; a reduction that
includes the last axis; and a reduction over earlier axes.
"""

from collections.abc import Sequence

from . import llvm
from .band import band_of, emit_band
from .llvm import Module, const
from .nest import Nest
from .plan import KernelPlan
from .reduce_columns import ColumnReduce
from .reduce_rows import RowReduce
from .split import Split, emit_split
from .target import Target


def emit_kernel(
    module: Module,
    target: Target,
    name: str,
    plan: KernelPlan,
    size_names: Sequence[str],
    above: int = 0,
    split: Split | None = None,
) -> int:
    """Write the function `i32 name(ptr ctx, ptr buffers, ptr sizes)` of a plan.

    With a `split` it may run in parts, where it costs `above` or more. Returns the
    bytes of scratch it uses.
    """
    if split is None:
        _emit_loops(Nest(module, target, name, plan, size_names))
        return 0
    return emit_split(module, target, name, plan, size_names, above, split, _emit_loops)


def _emit_loops(nest: Nest) -> None:
    body = nest.begin()
    space, reduced = nest.plan.space, nest.plan.reduced
    last = len(space) - 1
    kept = [k for k in range(last) if k not in reduced]
    if not space:
        nest.store_all(body)
    elif band := band_of(nest):
        nest.nest(body, kept[:-1], lambda opened: emit_band(nest, opened, band))
    elif not reduced:
        nest.nest(body, kept, lambda opened: nest.chunks(opened, nest.store_all))
    elif last in reduced:
        nest.nest(body, kept, RowReduce(nest).emit)
    else:
        nest.nest(body, kept, ColumnReduce(nest).emit)
    nest.fn.ret(const(llvm.I32, 0))
