"""The two halves of a pullback as functions of a package: NAME_forward, NAME_backward.

C sees them as any other function, with the residuals as arrays; the loader nests what
they take and return, and makes NAME_vjp of them.
"""

from collections.abc import Sequence
from pathlib import PurePath

from ..ir.graph import Graph, Value
from ..ir.passes.partition_vjp import VjpPair, split_vjp
from .aot import Entry
from .package import Pair, Tree
from .package.names import Namer

FORWARD, BACKWARD = "_forward", "_backward"


def pair_entries(
    symbol: str, graph: Graph, wrt: Sequence[int], result: Tree = None
) -> tuple[list[Entry], Pair]:
    """Return the functions of a pullback, and what the loader makes of them.

    Args:
        symbol: the functions are SYMBOL_forward and SYMBOL_backward.
        graph: the program.
        wrt: numbers of inputs, floats.
        result: how the results of the program nest; None for a flat tuple, or the array
            where it is one.

    Raises:
        OpTypeError: an input of `wrt` is not a float.
        GradientLookupError: a cotangent reaches an op without a rule.
    """
    halves = split_vjp(graph, wrt)
    count = len(graph.outputs)
    if result is None:
        result = 0 if count == 1 else {"tuple": list(range(count))}
    named = ", ".join(graph.names[k] for k in wrt)
    kept = f"{halves.partition.bytes} bytes"
    held = {f"residual {k}": _held(x) for k, x in enumerate(halves.partition.residuals)}
    last = range(count, count + halves.num_residuals)
    forward = Entry(
        f"{symbol}{FORWARD}",
        halves.forward,
        f"{graph.name}, then the residuals that {symbol}{BACKWARD} takes: {kept}",
        {"tuple": [result, {"tuple": list(last)}]},
        held,
    )
    backward = Entry(
        f"{symbol}{BACKWARD}",
        halves.backward,
        f"Pullback of {graph.name}: from the cotangents of its float results, inputs "
        f"that\nare read again and the residuals of {symbol}{FORWARD}, the cotangents "
        f"of {named}",
        {"tuple": list(range(len(wrt)))},
        held,
        _arguments(halves, graph, result),
    )
    pair = Pair(symbol, _doc(graph, named, kept), halves.reads)
    return [forward, backward], pair


def _held(x: Value) -> str:
    """Return what a residual holds: the op, and the user's line without folders."""
    node = x.node
    assert node is not None, "a residual is computed"
    if node.loc is None:
        return node.primitive.name
    source = node.loc.source()
    where = f"{node.primitive.name} at {PurePath(node.loc.file).name}:{node.loc.line}"
    return f"{where}: {source}" if source else where


def _doc(graph: Graph, named: str, kept: str) -> str:
    return (
        f"{graph.name} and its pullback with respect to {named}.\n\n"
        "Returns the value, and a function that takes a cotangent of it, nested as\n"
        "the value is, None for what is not a float, and returns a tuple of the\n"
        f"cotangents of {named}. It may be called any number of times.\n"
        f"Between the two, {kept} of residuals are kept."
    )


def _arguments(halves: VjpPair, graph: Graph, result: Tree) -> dict[str, Tree]:
    """Return the parameters of the backward half in the loader, by name."""
    seeds = iter(range(halves.num_seeds))
    floats = [x.type.dtype.is_float for x in graph.outputs]
    numbers = [next(seeds) if is_float else None for is_float in floats]
    names = Namer(())
    inputs = [names.name(name) for name in graph.names]
    first = halves.num_seeds
    read: dict[str, Tree] = {
        inputs[number]: first + k for k, number in enumerate(halves.reads)
    }
    first += len(read)
    residuals = list(range(first, first + halves.num_residuals))
    return {
        names.name("ct"): _renumbered(result, numbers),
        **read,
        names.name("residuals"): {"tuple": residuals},
    }


def _renumbered(tree: Tree, numbers: Sequence[int | None]) -> Tree:
    """Return a tree with other numbers, None where an array has none."""
    if isinstance(tree, int):
        return numbers[tree]
    if isinstance(tree, list):
        return [_renumbered(part, numbers) for part in tree]
    if isinstance(tree, dict) and "tuple" in tree:
        return {"tuple": [_renumbered(part, numbers) for part in tree["tuple"]]}
    if isinstance(tree, dict):
        inner = tree["dict"].items()
        return {"dict": {key: _renumbered(part, numbers) for key, part in inner}}
    return tree
