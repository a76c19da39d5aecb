"""`vmap`: a function of one row, run on all rows of arrays at once.

The function is traced once, on stand-ins for one row; then what depends on them gets a
leading axis. There is no loop, and what is the same for all rows is computed once.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from ..ir.errors import ArgumentError
from ..ir.graph import Value
from ..ir.ops.axes import agree
from ..ir.sizes import SizeExpr
from .array import TracedArray
from .function import Function, one_class
from .gradient import inherit
from .pushing import is_setting
from .signature import quoted
from .trace import Trace, name_of, place_of
from .trees import aligned, flatten, paths, unflatten

Size = int | SizeExpr


class Mapped(Function):
    """A function over the rows of arrays."""

    def __init__(
        self,
        fun: Callable[..., Any],
        name: str,
        *,
        in_axes: Any,
        out_axes: Any,
        **options: Any,
    ) -> None:
        super().__init__(fun, name, **options)
        self._in_axes = tuple(in_axes) if isinstance(in_axes, list) else in_axes
        self._out_axes = out_axes

    def _body(
        self, trace: Trace, args: Sequence[Any], options: Mapping[str, Any], fresh: bool
    ) -> Any:
        leaves, structure = flatten((tuple(args), dict(options)))
        named: Any = 0 if options else {}
        axes = self._axes((self._in_axes, named), structure, "in_axes")
        where = self._reader.leaf_paths(structure)
        given = list(leaves)
        arrays: dict[int, Value] = {}
        size: Size | None = None
        shown = ""
        for k, (leaf, axis) in enumerate(zip(leaves, axes, strict=True)):
            if axis is None or is_setting(leaf):
                continue
            array = self._in_front(trace, leaf, axis, where[k])
            here = array.type.shape[0]
            if size is None:
                size, shown = here, where[k]
            elif here != size:
                if isinstance(here, int) and isinstance(size, int):
                    raise ArgumentError(
                        f"{self._name}: the mapped axes differ in size: "
                        f"{quoted(shown)} has {size}, {quoted(where[k])} has {here}"
                        f"{place_of(self._fun)}"
                    )
                wanted = (size, *array.type.shape[1:])
                array = agree(trace.builder, self._name, array, wanted)
            arrays[k] = array
        if size is None:
            raise ArgumentError(
                f"{self._name}: no argument is mapped: in_axes is {self._in_axes!r}"
                f"{place_of(self._fun)}"
            )
        rows: dict[Value, Value] = {}
        for k, array in arrays.items():
            row = Value(array.type.with_shape(array.type.shape[1:]), None, 0)
            rows[row] = array
            given[k] = TracedArray(trace, row)
        positional, by_name = unflatten(structure, given)
        return self._run(trace, positional, by_name, rows, size)

    def _run(
        self,
        trace: Trace,
        args: Sequence[Any],
        options: Mapping[str, Any],
        rows: Mapping[Value, Value],
        size: Size,
    ) -> Any:
        b = trace.builder
        start = len(b.nodes)
        result = self._fun(*args, **options)
        leaves, structure = flatten(result)
        axes = self._axes(self._out_axes, structure, "out_axes")
        what = f"{self._name}: a result"
        found = [trace.lift(leaf, what)._value for leaf in leaves]
        values = trace.spread(start, rows, size)
        made = []
        for x, axis, path in zip(found, axes, paths(structure, "out"), strict=True):
            if axis is None:
                if x in values:
                    raise ArgumentError(
                        f"{self._name}: {path} depends on mapped arguments, so its "
                        f"out_axes is a number, not None{place_of(self._fun)}"
                    )
                made.append(x)
                continue
            wide = values[x] if x in values else b.broadcast(x, (size, *x.type.shape))
            at = self._axis(axis, wide.type.rank, f"out_axes of {path}")
            order = [*range(1, at + 1), 0, *range(at + 1, wide.type.rank)]
            made.append(b.op("transpose", wide, axes=tuple(order)) if at else wide)
        return unflatten(structure, [TracedArray(trace, x) for x in made])

    def _in_front(self, trace: Trace, leaf: Any, axis: Any, path: str) -> Value:
        """Return an argument with its mapped axis first."""
        value = trace.lift(leaf, f"{self._name}: argument {quoted(path)}")._value
        rank = value.type.rank
        at = self._axis(axis, rank, f"argument {quoted(path)}")
        if at == 0:
            return value
        order = (at, *[k for k in range(rank) if k != at])
        return trace.builder.op("transpose", value, axes=order)  # type: ignore[no-any-return]

    def _axis(self, axis: Any, rank: int, what: str) -> int:
        if type(axis) is not int:
            raise ArgumentError(
                f"{self._name}: {what}: an axis is an integer or None, got {axis!r}"
            )
        if not -rank <= axis < rank:
            raise ArgumentError(
                f"{self._name}: {what} has {rank} axes, and no axis {axis} to map"
                f"{place_of(self._fun)}"
            )
        return axis % rank

    def _axes(self, tree: Any, structure: Any, what: str) -> list[Any]:
        try:
            return aligned(structure, tree, prefix=True)
        except LookupError:
            given = tree[0] if what == "in_axes" else tree
            raise ArgumentError(
                f"{self._name}: {what} is {given!r}, which does not have the structure "
                f"of the {'arguments' if what == 'in_axes' else 'results'}"
                f"{place_of(self._fun)}"
            ) from None


def vmap(
    fun: "Callable[..., Any] | None" = None,
    in_axes: Any = 0,
    out_axes: Any = 0,
    **options: Any,
) -> Any:
    """Return a function that runs another on all rows of its arguments at once.

    Args:
        fun: a Python function over arrays, written for one row.
        in_axes: which axis of each argument has the rows: an int for all, or a tuple
            with one entry an argument, which may be a tree; None for what all rows
            share. Arguments given by name are mapped over their first axis.
        out_axes: where the rows are in the results, as in_axes.
        options: as those of `function`.

    Returns:
        A compiled function. Its results are those of each row, stacked.
    """
    if fun is None:
        return partial(vmap, in_axes=in_axes, out_axes=out_axes, **options)
    inherit(fun, options)
    return one_class(
        Mapped,
        fun,
        f"vmap of {name_of(fun)}",
        in_axes=in_axes,
        out_axes=out_axes,
        **options,
    )
