"""Decide, while derivatives are built, which products must be masked.

Behind a branch that was not taken, an element that was not read, or a mask, a cotangent
is 0 and must stay 0 whatever the local derivative is: 0 times inf is NaN. So are the
tangents of what does not move. There, a
product with a local derivative that may not be finite becomes `mask_mul(ct, local)`, 0
where ct is 0. Elsewhere it is a plain `mul`, which contracts, also where the rule of a
singular op asks for the mask. Looking is put off until a rule multiplies; every node is
looked at once.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

from .builder import Builder
from .graph import Node, Value
from .types import BOOL

Operand = Value | int | float

# Ops that put zeros where a value is not wanted. Their results and, in an adjoint, all
# that is computed from these may be masked.
MASKS = frozenset({"select", "mask_mul", "place", "shift", "scatter_add"})

# Ops whose results may not be finite where their operands are, in the range of ordinary
# numbers. What is computed from these may not be finite either.
WILD = frozenset(
    {"div", "exp", "expm1", "integer_pow", "log", "log1p", "mask_mul", "pow", "sqrt"}
)


def _is_mask(node: Node) -> bool:
    name = node.primitive.name
    return name in MASKS or (name == "cast" and node.operands[0].type.dtype is BOOL)


class _Looked:
    """What is known of the values met so far."""

    def __init__(
        self, b: Builder, forward: Sequence[Node], zeros: Iterable[Value]
    ) -> None:
        self.made = b.nodes
        self.forward: Sequence[Node] = forward
        self.next = len(b.nodes)  # first adjoint node not looked at
        self.masked: set[Value] = set(zeros)  # may be 0 by a mask
        self.wild: set[Value] = set()  # may not be finite

    def look(self) -> None:
        """Look at the nodes that are new."""
        masked, wild = self.masked, self.wild
        for node in self.forward:
            if _is_mask(node):
                masked.update(node.results)
                if node.primitive.name == "mask_mul":
                    masked.add(node.operands[0])
            if node.primitive.name in WILD or not wild.isdisjoint(node.operands):
                wild.update(node.results)
        self.forward = ()
        made = self.made
        for k in range(self.next, len(made)):
            node = made[k]
            if _is_mask(node) or (masked and not masked.isdisjoint(node.operands)):
                masked.update(node.results)
            if node.primitive.name in WILD or not wild.isdisjoint(node.operands):
                wild.update(node.results)
        self.next = len(made)


@contextmanager
def masking(
    b: Builder, nodes: Sequence[Node], zeros: Iterable[Value] = ()
) -> Iterator[set[Value]]:
    """Have `b.mul` and `b.mask_mul` of rules mask where they must, and only there.

    Args:
        b: the builder that rules receive.
        nodes: the forward nodes whose rules will run.
        zeros: cotangents or tangents given from outside that may hold zeros.

    Yields:
        A set the caller keeps: the cotangents of the node whose rule runs. Products of
        anything else are the rule's own business and stay as they are.
    """
    looked = _Looked(b, nodes, zeros)
    current: set[Value] = set()

    def mask_mul(ct: Operand, local: Operand) -> Value:
        name = "mask_mul"
        if ct in current:
            looked.look()
            if ct not in looked.masked:
                name = "mul"
        out: Value = b.op(name, ct, local)
        return out

    def mul(x: Operand, y: Operand) -> Value:
        name = "mul"
        if x in current or y in current:
            looked.look()
            ct, local = (x, y) if x in current else (y, x)
            if ct in looked.masked and local in looked.wild:
                name, x, y = "mask_mul", ct, local
        out: Value = b.op(name, x, y)
        return out

    outer = {name: b.__dict__.get(name) for name in ("mul", "mask_mul")}
    b.__dict__.update(mul=mul, mask_mul=mask_mul)
    try:
        yield current
    finally:
        for name, call in outer.items():
            if call is None:
                del b.__dict__[name]
            else:
                b.__dict__[name] = call
