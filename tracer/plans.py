"""Gradients that are known: from the end of a trail to the program that gives them.

When a tape ends where one ended before, with the same values still named and the same
gradients wanted, then its adjoint is not built again. A `Known` has the program; a
`Run` of it has the arrays, and is the plan of the values that the program computes: the
first that is looked at runs it. Gradients have no history but for the product that the
last op was: what is added to that must contract to fma, as ever.
"""

from collections.abc import Callable, Sequence
from typing import Any
from weakref import ref

import numpy as np

from ..ir.graph import NO_PARAMS, Graph, Node, Value
from ..ir.primitive import Primitive
from ..ir.types import TensorType
from . import engine
from .cell import Array, Cell
from .mode import MODE
from .numerics import examine
from .tensor import Tensor


class Program:
    """A program whose inputs are numbered values of a trail."""

    __slots__ = ("graph", "inputs", "program")

    def __init__(self, graph: Graph, inputs: Sequence[Any]) -> None:
        self.graph = graph
        # numbers; several are stacked, and an array is the same each time
        self.inputs = inputs
        self.program: engine.Program | None = None

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs; compiled when first run."""
        program = self.program
        if program is None:
            program = self.program = engine.compile_graph(self.graph)
        if MODE.is_native:
            return program.run(arrays)
        results = MODE.run(program, self.graph, arrays)
        if MODE.users:
            examine(self.graph, arrays, results, every=MODE.every > 0)
        return results


class Run:
    """A program and the arrays it takes; the plan of the values that it gives."""

    __slots__ = ("arrays", "cells", "program")

    def __init__(
        self, program: Program, values: Sequence[Value], cells: list["ref[Cell]"]
    ) -> None:
        self.program = program
        self.cells = cells
        self.arrays: list[Any] = [
            values[x].cell.array
            if type(x) is int
            else np.stack([values[k].cell.array for k in x])
            if type(x) is tuple
            else x
            for x in program.inputs
        ]

    def run(self) -> None:
        """Store the arrays of all values that are still there."""
        program = self.program.program
        if program is None or MODE.users or MODE.interpreters:
            results = self.program.run(self.arrays)
        else:
            results = program.run(self.arrays)
        for held, array in zip(self.cells, results, strict=True):
            array.setflags(write=False)
            cell = held()
            if cell is not None:
                cell.array = array
                cell.plan = None


# (values of the trail, outputs that are no values of it) -> the value; or the number
# of such an output
Place = Callable[[Sequence[Value], Sequence[Value]], Value] | int


class Product(Node):
    """The product that computes a value with a plan; its factors are made when read.

    It has no results, so nothing refers to itself.
    """

    __slots__ = ("_known", "_made", "_places", "_values")

    def __init__(self, known: "Known", k: int, values: Sequence[Value]) -> None:
        self.primitive, self._places = known.products[k]
        self.params, self.results, self.loc, self.checked = NO_PARAMS, (), None, True
        self._known, self._values = known, values
        self._made: tuple[Value, ...] | None = None

    @property
    def operands(self) -> tuple[Value, ...]:  # type: ignore[override]  # not a slot
        """The factors."""
        made = self._made
        if made is None:
            beside = self._known.factors(self._values)
            made = tuple(
                [
                    beside[place]
                    if isinstance(place, int)
                    else place(self._values, beside)
                    for place in self._places
                ]
            )
            self._made, self._values = made, ()
        return made


class Known:
    """Gradients at the end of a trail.

    Args:
        main: the program of the named values, then of those of `kinds`.
        beside: that of factors which are neither literals nor named.
        named: numbers of recorded values that a handle names.
        kinds: types of gradients that are no values of the trail.
        results: how each gradient is had; None where there is none.
        products: those among the outputs of `main`: the op and where factors are.
    """

    __slots__ = ("beside", "kinds", "main", "named", "products", "results")

    def __init__(
        self,
        main: Program,
        beside: Program | None,
        named: list[int],
        kinds: list[TensorType],
        results: list[Place | None],
        products: dict[int, tuple[Primitive, tuple[Place, ...]]],
    ) -> None:
        self.main, self.beside = main, beside
        self.named, self.kinds = named, kinds
        self.results = results
        self.products = products

    def use(
        self, values: list[Value], sources: Sequence[Tensor], keep: bool
    ) -> list[Any]:
        """Return the gradients of what is recorded now.

        Args:
            values: of the trail.
            sources: of the gradients.
            keep: whether the tape is used again, so that nodes are needed.
        """
        cells: list[ref[Cell]] = []
        plan = Run(self.main, values, cells)
        products = self.products
        for k, at in enumerate(self.named):
            value = values[at]
            if value is None:  # a gradient that no name of the user's ever had
                value = values[at] = Value(self.main.graph.outputs[k].type, None, 0)
            cell = value.cell
            if cell is None:
                cell = value.cell = Cell()
            cell.plan = plan
            cells.append(ref(cell))
            if not keep and k in products:
                value.node = Product(self, k, values)
        made = _fresh(self.kinds, plan, cells)
        if products:
            first = len(self.named)
            for k in products:
                if k >= first:
                    made[k - first].node = Product(self, k, values)
        out: list[Any] = []
        for place, source in zip(self.results, sources, strict=True):
            if place is None:
                out.append(None)
            else:
                value = made[place] if isinstance(place, int) else place(values, made)
                out.append(source.plain(value))
        return out

    def factors(self, values: Sequence[Value]) -> list[Value]:
        """Return factors of products, which a program of their own computes."""
        if self.beside is None:
            return []
        cells: list[ref[Cell]] = []
        plan = Run(self.beside, values, cells)
        return _fresh([x.type for x in self.beside.graph.outputs], plan, cells)


def _fresh(
    kinds: Sequence[TensorType], plan: Run, cells: list["ref[Cell]"]
) -> list[Value]:
    """Return values that a plan computes."""
    made: list[Value] = []
    for kind in kinds:
        value = Value(kind, None, 0)
        cell = value.cell = Cell()
        cell.plan = plan
        cells.append(ref(cell))
        made.append(value)
    return made


def take_back(nodes: list[Node], start: int) -> None:
    """Forget nodes whose values plans compute."""
    for node in nodes[start:]:
        for x in node.results:
            made = x.node
            if (
                made is not None
                and type(made) is not Product
                and made.primitive.name != "constant"
            ):
                x.node = None
    del nodes[start:]


__all__ = ["Known", "Place", "Product", "Program", "Run", "take_back"]
