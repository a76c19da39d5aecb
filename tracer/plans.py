"""Gradients that are known: from the end of a trail to the program that gives them.

When a tape ends where one ended before, with the same values still named and the same
gradients wanted, then its adjoint is not built again. A `Known` has the program; a
`Run` of it has the arrays, and is the plan of the values that the program computes: the
first that is looked at runs it. Gradients have no history but for the product that the
last op was: what is added to that must contract to fma, as ever.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from ..ir.graph import NO_PARAMS, Graph, Node, Value
from ..ir.primitive import Primitive
from ..ir.types import TensorType
from . import engine
from .cell import Array, Cell
from .mode import MODE
from .numerics import examine

if TYPE_CHECKING:
    from .tensor import Tensor

# where a program takes an input from: the number of a value, those of several that are
# stacked, or an array that is the same each time
Source = int | tuple[int, ...] | Array


class Program:
    """A program whose inputs are numbered values of a trail."""

    __slots__ = ("_first", "graph", "inputs", "plain", "program")

    def __init__(self, graph: Graph, inputs: Sequence[Source]) -> None:
        self.graph = graph
        self.inputs = inputs
        self.plain = all(type(x) is int for x in inputs)
        self.program: engine.Program | None = None
        self._first: Program | None = None  # the same one, of other inputs

    def moved(self, move: Callable[[Source], Source]) -> "Program":
        """Return the program with inputs from elsewhere; it is compiled once."""
        made = Program(self.graph, [move(x) for x in self.inputs])
        made._first, made.program = self._first or self, self.program
        return made

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Return the outputs; compiled when first run."""
        program = self.program
        if program is None:
            first = self._first or self
            if first.program is None:
                first.program = engine.compile_graph(self.graph)
            program = self.program = first.program
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
        if program.plain:
            self.arrays: list[Any] = [values[x].cell.array for x in program.inputs]  # type: ignore[index]
        else:
            self.arrays = [_array(x, values) for x in program.inputs]

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


def _array(source: Source, values: Sequence[Value]) -> Array:
    if isinstance(source, int):
        found: Array = values[source].cell.array
        return found
    if isinstance(source, tuple):
        return _stacked([values[k].cell.array for k in source])
    return source


def _stacked(arrays: list[Array]) -> Array:
    """Return arrays of one shape along a new first axis."""
    shape = arrays[0].shape
    if not shape:
        return np.array(arrays)
    return np.concatenate(arrays).reshape(len(arrays), *shape)


# (values of the trail, outputs that are no values of it) -> the value; or the number
# of such an output
Place = Callable[[Sequence[Value], Sequence[Value]], Value] | int


class At:
    """A place: a value of the trail."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, values: Sequence[Value], made: Sequence[Value]) -> Value:
        """Return the value."""
        return values[self.number]


class Product(Node):
    """The product that computes a value with a plan; its factors are made when read.

    It has no results, so nothing refers to itself.
    """

    __slots__ = ("_known", "_made", "_place", "_values")

    # of all of them: the slots of nodes are not used
    params = NO_PARAMS
    results = ()
    loc = None
    checked = True

    def __init__(self, known: "Known", k: int, values: Sequence[Value]) -> None:
        self._known, self._place, self._values = known, k, values
        self._made: tuple[Value, ...] | None = None

    @property
    def primitive(self) -> Primitive:  # type: ignore[override]  # not a slot
        """The op."""
        return self._known.products[self._place][0]

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
                    for place in self._known.products[self._place][1]
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
        self, values: list[Value], sources: "Sequence[Tensor]", keep: bool
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
                value = made[place] if type(place) is int else place(values, made)  # type: ignore[operator]
                out.append(source.plain(value))
        return out

    def moved(self, move: Callable[[Any], Any]) -> "Known":
        """Return the same gradients at the end of another trail.

        `move` gives for a number, or for another source, what stands there for it.
        """

        def placed(place: Place) -> Place:
            return At(move(place.number)) if isinstance(place, At) else place

        return Known(
            self.main.moved(move),
            None if self.beside is None else self.beside.moved(move),
            [move(k) for k in self.named],
            self.kinds,
            [None if place is None else placed(place) for place in self.results],
            {
                k: (primitive, tuple([placed(x) for x in places]))
                for k, (primitive, places) in self.products.items()
            },
        )

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


__all__ = ["At", "Known", "Place", "Product", "Program", "Run", "Source", "take_back"]
