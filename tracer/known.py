"""Learn the gradients at the end of a trail: from nodes to what is used next time."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..ir.graph import Graph, Node, Value
from ..ir.primitive import Primitive
from ..ir.types import TensorType
from . import pending
from .cell import Array, is_known, leaf
from .mode import MODE
from .plans import At, Known, Place, Program
from .recorder import Recorder
from .tape_arguments import UnconnectedGradients
from .tape_custom import REGISTERED
from .tensor import Tensor
from .trail import alive
from .variable import Variable


def learn(
    recorder: Recorder, start: int, found: Sequence["Tensor | None"]
) -> Known | None:
    """Return what gradients are made of, or None where they are of no such form.

    Args:
        recorder: whose trail ends where the gradients belong.
        start: the number of the first node that the gradients added.
        found: the gradients.
    """
    trail = recorder.trail
    values, numbers = trail.values, trail.numbers
    if any(
        n.primitive.name.startswith("scatter") for n in recorder.builder.nodes[start:]
    ):
        return None  # a gradient may be rows alone, which is read off its history
    named = [k for k in alive(values) if not is_known(values[k])]
    outputs = [values[k] for k in named]
    kinds: list[TensorType] = []
    results: list[Place | None] = []
    for x in found:
        if x is None:
            results.append(None)
            continue
        value = x._value
        if value in numbers:
            results.append(At(numbers[value]))
        elif is_known(value):
            results.append(_array(value.cell.array))
        else:
            results.append(len(kinds))
            kinds.append(value.type)
            outputs.append(value)
    if not outputs:
        return None
    beside: dict[Value, int] = {}
    products: dict[int, tuple[Primitive, tuple[Place, ...]]] = {}
    for k, value in enumerate(outputs):
        node = value.node
        if node is None or node.primitive.name != "mul":
            continue
        if value.type.dtype.is_float:
            parts = [_factor(y, numbers, named, beside) for y in node.operands]
            products[k] = node.primitive, tuple(parts)
    main = _program(outputs, numbers)
    extra = _program(list(beside), numbers) if beside else None
    if main is None or (beside and extra is None):
        return None
    return Known(main, extra, named, kinds, results, products)


def _array(array: Array) -> Place:
    return lambda values, made: leaf(array, copy=False)


def _literal(x: Value) -> Place:
    return lambda values, made: x


def _factor(
    x: Value, numbers: dict[Value, int], named: list[int], beside: dict[Value, int]
) -> Place:
    number = numbers.get(x)
    if number is not None and (is_known(x) or number in named):
        return At(number)
    if x.node is not None and x.node.primitive.name == "constant":
        return _literal(x)
    if is_known(x):
        return _array(x.cell.array)
    return beside.setdefault(x, len(beside))


def _program(outputs: Sequence[Value], numbers: dict[Value, int]) -> Program | None:
    """Return the program of values, cut where arrays are known."""
    order = pending.history(outputs)
    inputs: list[Value] = []
    made: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in order:
        for x in node.operands:
            if x not in made:
                made[x] = Value(x.type, None, len(inputs))
                inputs.append(x)
        operands = tuple([made[x] for x in node.operands])
        kinds = [r.type for r in node.results]
        copy = Node(node.primitive, operands, node.params, kinds, node.loc)
        copy.checked = True
        nodes.append(copy)
        made.update(zip(node.results, copy.results, strict=True))
    if any(x not in made for x in outputs):
        return None
    graph = Graph(
        "tape",
        [made[x] for x in inputs],
        nodes,
        [made[x] for x in outputs],
        [f"x{k}" for k in range(len(inputs))],
        output_names=[f"out{k}" for k in range(len(outputs))],
    )
    return Program(graph, [numbers.get(x, x.cell.array) for x in inputs])


def asked(
    recorder: Recorder,
    held: Mapping[int, tuple[Variable, Sequence[Value]]],
    targets: Sequence[Tensor],
    sources: Sequence[Tensor],
    missing: UnconnectedGradients,
) -> tuple[Any, ...] | None:
    """Return what is asked for by the numbers of the trail.

    Args:
        recorder: whose trail ends where the gradients belong.
        held: by identity: variables that the tape saw, and their reads.
        targets: of the gradients.
        sources: of the gradients.
        missing: what sources without a path get.

    Returns:
        Numbers, and those of the values that handles name; None where they do not say
        all, or where others than the tape have a say.
    """
    trail = recorder.trail
    if recorder.tapes or trail.touched or REGISTERED:
        return None
    if MODE.users or MODE.interpreters:
        return None
    numbers = trail.numbers
    zeros = missing is UnconnectedGradients.ZERO
    wanted: list[Any] = [zeros]
    at: Any
    for x in targets:
        at = None if isinstance(x, Variable) else numbers.get(x._value)
        if at is None:
            return None
        wanted.append(at)
    wanted.append(None)
    for x in sources:
        if isinstance(x, Variable):
            seen = held.get(id(x))
            at = () if seen is None else tuple([numbers[v] for v in seen[1]])
            found = at != ()
        else:
            at = numbers.get(x._value)
            found = at is not None
        if zeros and not found:
            return None
        wanted.append(at)
    wanted.append(None)
    for k, value in enumerate(trail.values):
        if value is not None:
            cell = value.cell
            if cell is not None and cell.handles:
                wanted.append(k)
    return tuple(wanted)


__all__ = ["asked", "learn"]
