"""Run what was recorded outside of tapes, as it was run before.

What is recorded between two looks walks along steps as on a tape. Where the walk ends
as one before, and the same values are wanted, the program is known: no node is made.
"""

from collections.abc import Sequence
from typing import Any
from weakref import ref

from ..ir.graph import Value
from . import pending
from .cell import is_known
from .mode import MODE
from .plans import Program, Run
from .trail import Trail, alive


def run_again(trail: Trail, roots: Sequence[Value]) -> bool:
    """Compute values that were recorded outside of tapes, if that is known.

    Args:
        trail: of the recorder; it is left behind where the values were computed.
        roots: values without arrays.

    Returns:
        Whether they have arrays now, and with them all that handles name.
    """
    step = trail.step
    if step is None or not trail.free or not trail.taken or trail.touched:
        return False
    if MODE.users or MODE.interpreters:
        return False
    numbers, values = trail.numbers, trail.values
    wanted: list[Any] = [run_again]
    for x in roots:
        at = numbers.get(x)
        if at is None:
            return False
        wanted.append(at)
    named = [k for k in alive(values) if _is_open(values[k])]
    key = (*wanted, None, *named)
    found = step.found.get(key)
    if found is None:
        found = step.found[key] = _learn(trail, roots, named)
        return False  # nodes are made: this time they run
    program, outputs = found
    if program is None:
        return False
    for source in program.inputs:
        if type(source) is int:
            cell = values[source].cell
            if cell.array is None:
                cell.plan.run()
    cells = [ref(values[k].cell) for k in outputs]
    Run(program, values, cells).run()
    trail.drop()
    return True


def _is_open(value: Value) -> bool:
    """Return whether a value that a handle names waits for a program."""
    return not is_known(value) and value.cell.plan is None


def _learn(
    trail: Trail, roots: Sequence[Value], named: Sequence[int]
) -> tuple[Program | None, list[int]]:
    """Return a program and the numbers of what it gives; None where none fits.

    It must give all that handles name. A product keeps its history, so that what is
    added to it contracts: of such values the program is not kept.
    """
    trail.settle()
    values, numbers = trail.values, trail.numbers
    nodes = pending.history(roots)
    outputs = pending.outputs_of(nodes, roots)
    if not {values[k] for k in named} <= set(outputs):
        return None, []
    for x in outputs:
        node = x.node
        if x not in numbers or node is None:
            return None, []
        if node.primitive.name == "mul" and x.type.dtype.is_float:
            return None, []
    inputs: list[Value] = []
    local: dict[Value, int] = {}
    key, arrays = pending.numbered(nodes, inputs, local)
    made = {x for node in nodes for x in node.results}
    read = {x for node in nodes for x in node.operands} - made
    if len(read) != len(inputs):
        return None, []  # values that share an array now may not do so next time
    graph = pending.graph_of(nodes, inputs, outputs, arrays)
    program = Program(graph, [numbers.get(x, x.cell.array) for x in inputs])
    form = tuple(key), tuple([local[x] for x in outputs])
    program.program = pending.compiled(form, graph)
    return program, [numbers[x] for x in outputs]


__all__ = ["run_again"]
