"""Branches: functions of which one runs, chosen by an index."""

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.errors import ArgumentError, OpTypeError
from ..ir.graph import Value
from ..ir.loc import Loc, traced_at
from ..ir.ops import OPS
from ..ir.promote import common_dtype
from ..ir.types import DType
from .array import TracedArray
from .carries import told
from .regions import Region, branch_checks, close, pass_checks_on, traced
from .trace import Trace, name_of
from .trees import canonical, flatten, paths, shown, unflatten

Functions = Sequence[Callable[..., Any]]


def build_switch(
    name: str,
    trace: Trace,
    index: Value,
    functions: Functions,
    names: Sequence[str],
    operands: Sequence[Any],
    loc: Loc | None,
) -> Any:
    """Build the node that runs one of several functions.

    Args:
        name: what messages call it.
        trace: where it stands.
        index: an i64 without axes.
        functions: each takes the operands.
        names: what messages call them.
        operands: arrays and numbers become traced arrays, all else is passed as it is.
        loc: where it was called.

    Raises:
        OpTypeError: the functions return different types.
        ArgumentError: they return different structures.
    """
    leaves, structure = flatten(tuple(operands))
    given = [
        x
        if isinstance(x, (bool, str, bytes)) or callable(x)
        else trace.lift(x, f"{name}: an operand")
        for x in leaves
    ]
    args = unflatten(structure, given)
    regions: list[Region] = []
    for fun in functions:
        label = f"{name_of(fun)}, a branch of {name}"
        regions.append(traced(trace, label, lambda _c, _e, fun=fun: fun(*args), ()))
    first = regions[0]
    called = [
        f"{label}, {_told_apart(fun)}"
        for label, fun in zip(names, functions, strict=True)
    ]
    for what, region in zip(called, regions, strict=True):
        if canonical(region.structure) != canonical(first.structure):
            raise ArgumentError(
                f"{name}: branches return different structures"
                f"\n  {called[0]}: {shown(first.structure)}"
                f"\n  {what}: {shown(region.structure)}"
                f"{traced_at(loc)}"
            )
    where = paths(first.structure, "out")
    for k, path in enumerate(where):
        _settle(name, k, path, called, regions, loc)
    checks = branch_checks(regions)
    b = trace.builder
    b.loc = loc
    around, graphs = close(trace, regions, hoist=False)
    results = b.apply(OPS["switch"], (index, *around), {"branches": tuple(graphs)})
    pass_checks_on(trace, checks, results[len(where) :])
    arrays = [TracedArray(trace, x) for x in results[: len(where)]]
    return unflatten(first.structure, arrays)


def _settle(
    name: str,
    k: int,
    path: str,
    called: Sequence[str],
    regions: Sequence[Region],
    loc: Loc | None,
) -> None:
    """Make result k of all branches an output, in one type.

    A Python number takes the dtype of the others.
    """
    leaves = [region.leaves[k] for region in regions]
    made = [
        None if type(x) in (int, float) else region.value(x, f"{name}: {path}")
        for x, region in zip(leaves, regions, strict=True)
    ]
    known = next((x for x in made if x is not None), None)
    numbers = [x for x in leaves if type(x) in (int, float)]
    dtype: DType | None = None
    if numbers:
        beside = [known] if known is not None else []
        dtype = common_dtype(regions[0].trace.builder, name, [*beside, *numbers])
    found: list[Value] = []
    for value, leaf, region in zip(made, leaves, regions, strict=True):
        if value is None:
            value = region.trace.builder.constant(leaf, dtype)
        found.append(value)
        region.outputs.append(value)
    wanted = found[0].type
    for what, value in zip(called, found, strict=True):
        if value.type != wanted:
            raise OpTypeError(
                f"{name}: branches return different types for {path}: "
                f"{wanted} and {value.type}"
                f"\n  {called[0]}: {told(found[0])}"
                f"\n  {what}: {told(value)}"
                f"{traced_at(loc)}"
            )


def _told_apart(fun: Callable[..., Any]) -> str:
    """Return a function's name; that of a lambda with its line."""
    name = name_of(fun)
    code = getattr(fun, "__code__", None)
    if code is None or name != "<lambda>":
        return name
    return f"{name} of {code.co_filename}:{code.co_firstlineno}"
