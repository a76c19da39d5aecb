"""Decide, while an adjoint is built, where `mask_mul` is needed.

Rules of singular ops write `mask_mul(ct, local)`: 0 where ct is 0, whatever local is.
That matters only where zeros of ct stand for a branch that was not taken, an element
that was not read, or a mask; elsewhere the product is a plain `mul`, which contracts.
Looking is put off until a rule asks, and every node is looked at once.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from .builder import Builder
from .graph import Node, Value
from .types import BOOL

# Ops that put zeros where a value is not wanted. Their results and, in an adjoint, all
# that is computed from these may be masked.
MASKS = frozenset({"select", "mask_mul", "place", "scatter_add"})


def _is_mask(node: Node) -> bool:
    name = node.primitive.name
    return name in MASKS or (name == "cast" and node.operands[0].type.dtype is BOOL)


class _Masked:
    """The values that may be 0 by a mask."""

    def __init__(self, b: Builder, nodes: Sequence[Node]) -> None:
        self.b = b
        self.forward = nodes
        self.next = len(b.nodes)  # first adjoint node not looked at
        self.values: set[Value] = set()
        self.looked = False

    def has(self, ct: Value) -> bool:
        if not self.looked:
            self.looked = True
            for node in self.forward:
                if _is_mask(node):
                    self.values.update(node.results)
                    if node.primitive.name == "mask_mul":
                        self.values.add(node.operands[0])
        values, made = self.values, self.b.nodes
        for k in range(self.next, len(made)):
            node = made[k]
            if _is_mask(node):
                values.update(node.results)
                continue
            for x in node.operands:
                if x in values:
                    values.update(node.results)
                    break
        self.next = len(made)
        return ct in values


@contextmanager
def masking(b: Builder, nodes: Sequence[Node]) -> Iterator[set[Value]]:
    """Have `b.mask_mul(ct, local)` of rules mask only where it must.

    Args:
        b: the builder that rules receive.
        nodes: the forward nodes whose rules will run.

    Yields:
        A set the caller keeps: the cotangents of the node whose rule runs. A mask_mul
        by anything else is the rule's own business and stays.
    """
    masked = _Masked(b, nodes)
    current: set[Value] = set()

    def mask_mul(ct: Value, local: Value) -> Value:
        plain = ct in current and not masked.has(ct)
        out: Value = b.op("mul" if plain else "mask_mul", ct, local)
        return out

    outer = b.__dict__.get("mask_mul")
    b.__dict__["mask_mul"] = mask_mul
    try:
        yield current
    finally:
        if outer is None:
            del b.__dict__["mask_mul"]
        else:
            b.__dict__["mask_mul"] = outer
