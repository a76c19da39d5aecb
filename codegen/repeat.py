"""Recognise a launch that is the same kernel as an earlier one, without planning it.

Long programs repeat: a chain of 100,000 ops has thousands of launches and a handful of
kernels. A launch of maps alone is described by how its values are made from each other
and from buffers in order of first use; two launches with one description have one plan,
with other buffers in its slots.
"""

from collections.abc import Callable, Hashable
from typing import NamedTuple

from ..ir.constant import ArrayConstant
from ..ir.forms import Literal, Map
from ..ir.graph import Value
from .cut import LoopLaunch
from .memory import Buffer
from .plan import Bound, KernelPlan


class Described(NamedTuple):
    """A launch of maps: its description, and the buffers it names in order."""

    key: Hashable
    buffers: tuple[Buffer, ...]


class _Known(NamedTuple):
    plan: KernelPlan
    slots: tuple[int, ...]  # the description's buffer of each slot
    offsets: tuple[int, ...]


def describe(
    launch: LoopLaunch,
    leaf: Callable[[Value], Buffer | None],
    buffer_of: Callable[[Value], Buffer],
) -> Described | None:
    """Return the description of a launch, or None where only a plan can tell."""
    if launch.reduces or launch.copies or not launch.members:
        return None
    local: dict[Value, int] = {}
    numbers: dict[Buffer, int] = {}
    parts: list[Hashable] = []

    def number(buffer: Buffer) -> tuple[int, str]:
        found = numbers.setdefault(buffer, len(numbers))
        return (~found, buffer.type.dtype.name)

    for value in launch.members:
        node = value.node
        if node is None or not isinstance(node.primitive.form, Map):
            return None
        refs: list[Hashable] = []
        for x in node.operands:
            place = local.get(x)
            if place is not None:
                refs.append(place)
                continue
            made = x.node
            if made is not None and isinstance(made.primitive.form, Literal):
                held = made.params["value"]
                if not isinstance(held, ArrayConstant):
                    text = held.hex() if isinstance(held, float) else str(held)
                    refs.append((text, x.type.dtype.name))
                    continue
            buffer = leaf(x)
            if buffer is None or x.type.shape != launch.space:
                return None
            refs.append(number(buffer))
        params = tuple(node.params.items()) if node.params else ()
        parts.append((node.primitive, params, value.index, *refs))
        local[value] = len(local)
    stores = []
    for value in launch.stores:
        if value not in local:
            return None
        stores.append((local[value], number(buffer_of(value))))
    key = (launch.space, tuple(parts), tuple(stores))
    return Described(key, tuple(numbers))


class Repeats:
    """The plans of launches seen so far, by description."""

    def __init__(self) -> None:
        self._known: dict[Hashable, _Known] = {}

    def find(self, described: Described) -> Bound | None:
        """Return the plan of an earlier equal launch, with this one's buffers."""
        known = self._known.get(described.key)
        if known is None:
            return None
        buffers = described.buffers
        slots = tuple([buffers[k] for k in known.slots])
        return Bound(known.plan, slots, known.offsets)

    def add(self, described: Described, bound: Bound) -> None:
        """Remember a planned launch."""
        order = {b: k for k, b in enumerate(described.buffers)}
        if all(b in order for b in bound.buffers):
            slots = tuple(order[b] for b in bound.buffers)
            self._known[described.key] = _Known(bound.plan, slots, bound.offsets)
