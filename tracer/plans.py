"""Gradients that are known: from the end of a trail to the program that gives them.

When a tape ends where one ended before, with the same values still named and the same
gradients wanted, then its adjoint is not built again. A `Known` has the program; a
`Run` of it has the arrays, and is the plan of the values that the program computes: the
first that is looked at runs it. Gradients have no history but for the product that the
last op was: what is added to that must contract to fma, as ever.
"""

from collections.abc import Sequence
from typing import Any
from weakref import ref

from ..ir.graph import Graph, Node, Value
from . import engine
from .cell import Array, Cell
from .contracted import NO_PARAMS
from .mode import MODE
from .numerics import examine
from .tensor import Tensor


class Program:
    """A program whose inputs are numbered values of a trail."""

    __slots__ = ("graph", "inputs", "program")

    def __init__(self, graph: Graph, inputs: list["int | Array"]) -> None:
        self.graph = graph
        self.inputs = inputs  # an array is the same each time
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
            values[x].cell.array if type(x) is int else x for x in program.inputs
        ]

    def run(self) -> None:
        """Store the arrays of all values that are still there."""
        results = self.program.run(self.arrays)
        for held, array in zip(self.cells, results, strict=True):
            array.setflags(write=False)
            cell = held()
            if cell is not None:
                cell.array = array
                cell.plan = None


# how a source's gradient is made: None; a number of the trail; an array; or an output
Result = Any


class Known:
    """Gradients at the end of a trail.

    `named` are numbers of recorded values that the program computes beside the
    gradients, because a handle names them. A result that is a product has its factors
    in `factors`: literals, numbers of the trail, or outputs of a program of their own.
    """

    __slots__ = ("beside", "factors", "kinds", "main", "named", "results")

    def __init__(
        self,
        main: Program,
        beside: Program | None,
        named: list[int],
        kinds: list[Any],
        results: list[Result],
        factors: dict[int, tuple[Any, tuple[Any, ...]]],
    ) -> None:
        self.main, self.beside = main, beside
        self.named, self.kinds = named, kinds
        self.results = results
        self.factors = factors

    def use(self, values: Sequence[Value], sources: Sequence[Tensor]) -> list[Any]:
        """Return the gradients of what is recorded now."""
        cells: list[ref[Cell]] = []
        plan = Run(self.main, values, cells)
        for k in self.named:
            cell = values[k].cell
            cell.plan = plan
            cells.append(ref(cell))
        made: list[Value] = []
        for kind in self.kinds:
            value = Value(kind, None, 0)
            cell = value.cell = Cell()
            cell.plan = plan
            cells.append(ref(cell))
            made.append(value)
        if self.factors:
            self._with_factors(values, made)
        out: list[Any] = []
        for held, source in zip(self.results, sources, strict=True):
            if held is None:
                out.append(None)
            else:
                out.append(source.plain(held(values, made)))
        return out

    def _with_factors(self, values: Sequence[Value], made: Sequence[Value]) -> None:
        beside: list[Value] = []
        if self.beside is not None:
            cells: list[ref[Cell]] = []
            plan = Run(self.beside, values, cells)
            for x in self.beside.graph.outputs:
                value = Value(x.type, None, 0)
                cell = value.cell = Cell()
                cell.plan = plan
                cells.append(ref(cell))
                beside.append(value)
        for k, (primitive, operands) in self.factors.items():
            parts = tuple([part(values, beside) for part in operands])
            node = Node(primitive, parts, NO_PARAMS, (), None)
            node.checked = True
            made[k].node = node


def take_back(nodes: list[Node], start: int) -> None:
    """Forget nodes whose values plans compute.

    A product that a handle names keeps its own, for what may be added to it; where its
    factors are of these nodes, all stay until they are trimmed.
    """
    named: list[Node] = []
    for node in nodes[start:]:
        if node.primitive.name == "mul":
            cell = node.results[0].cell
            if cell is not None and cell.handles:
                if not all(map(_is_there, node.operands)):
                    return
                named.append(node)
    for node in nodes[start:]:
        if node not in named:
            for x in node.results:
                if x.node is not None and x.node.primitive.name != "constant":
                    x.node = None
    nodes[start:] = named


def _is_there(x: Value) -> bool:
    cell = x.cell
    if cell is not None and (cell.array is not None or cell.plan is not None):
        return True
    return x.node is not None and x.node.primitive.name == "constant"


__all__ = ["Known", "Program", "Run", "take_back"]
