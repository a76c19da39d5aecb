"""Split a loop kernel over large arrays into those that have nothing in common.

Results of one round and one space share a loop. Where they read no array in common and
no value is computed for two of them, as a step of a chain and one of the adjoint of
another, that saves the start of a loop and costs memory: both chains live at once. Over
large arrays the start of a loop is nothing. Cost: O(what a kernel computes).
"""

from collections.abc import Hashable, Sequence

from ..ir.forms import Iota, Literal, View
from ..ir.graph import Value
from ..ir.sizes import product
from .cut import LoopLaunch
from .launches import Schedule

LARGE = 32 * 1024  # elements of an array, or of a space of which all kernels are split
LEAST = 64  # elements of a space that is looked at where a program has large arrays
SMALL = 8  # what has at most this part of its elements may be read by several kernels


def apart(loops: Sequence[LoopLaunch], schedule: Schedule) -> list[LoopLaunch]:
    """Return the kernels, those whose results have nothing in common as several."""
    sizes = [product(x.type.shape) for x in schedule.buffers]
    if not any(isinstance(x, int) and x >= LARGE for x in sizes):
        return list(loops)
    return [piece for item in loops for piece in _split(item, schedule)]


def _split(item: LoopLaunch, schedule: Schedule) -> list[LoopLaunch]:
    roots = [node.operands[0] for node in item.reduces]
    roots += [*item.stores, *[value for value, _ in item.copies]]
    count = product(item.space)
    if len(roots) < 2 or item.members or not isinstance(count, int) or count < LEAST:
        return [item]
    owners = _owners(item, roots, schedule, count)
    several = len(set(owners))
    # a small loop holds two chains together, many small ones would be as many starts
    if several < 2 or (several > 2 and count < LARGE):
        return [item]
    pieces: dict[int, LoopLaunch] = {}
    for owner in owners:
        if owner not in pieces:
            key = (*item.key, len(pieces))
            pieces[owner] = LoopLaunch(key, item.space, ())
    found = iter(owners)
    for node in item.reduces:
        piece = pieces[next(found)]
        piece.reduces.append(node)
        piece.reduced = item.reduced
        for out in node.results:
            schedule.home[out] = piece.key
    for value in item.stores:
        piece = pieces[next(found)]
        piece.stores.append(value)
        schedule.home[value] = piece.key
    for copy in item.copies:
        pieces[next(found)].copies.append(copy)
    return list(pieces.values())


def _owners(
    item: LoopLaunch, roots: list[Value], schedule: Schedule, count: int
) -> list[int]:
    """Return for each root the number of one of those it has something in common with.

    It is one number for all of them.
    """
    parent = list(range(len(roots)))
    owner: dict[Hashable, int] = {}

    def top(k: int) -> int:
        while parent[k] != k:
            parent[k] = k = parent[parent[k]]
        return k

    for k, root in enumerate(roots):
        stack = [root]
        while stack:
            value = stack.pop()
            node = value.node
            if node is not None and isinstance(node.primitive.form, Literal | Iota):
                continue
            place: Hashable = value
            inner = () if node is None else node.operands
            if _is_read(value, item, schedule):
                size = product(value.type.shape)
                if isinstance(size, int) and size * SMALL <= count:
                    continue
                place, inner = schedule.memory(value), ()
            elif node is not None and isinstance(node.primitive.form, View):
                stack += inner  # an index is no work
                continue
            if place in owner:
                parent[top(k)] = top(owner[place])
            else:
                owner[place] = k
                stack += inner
    return [top(k) for k in range(len(roots))]


def _is_read(value: Value, item: LoopLaunch, schedule: Schedule) -> bool:
    """Return whether a kernel reads a value from memory."""
    stored = value in schedule.buffers or value in schedule.alias
    return stored and schedule.home.get(value) != item.key
