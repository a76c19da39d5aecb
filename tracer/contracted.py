"""Sums of products, as the user wrote them and as they run."""

from collections.abc import Sequence

from ..ir.graph import NO_PARAMS, Node, Value
from ..ir.primitive import Primitive


class Contracted(Node):
    """A sum of a product, as the user wrote it; what runs is `fma`."""

    __slots__ = ("fma", "product")

    def __init__(
        self, record: Primitive, operands: tuple[Value, ...], product: Value, fma: Node
    ) -> None:
        super().__init__(record, operands, NO_PARAMS, (), fma.loc)
        self.results = fma.results
        self.checked = True
        self.product = product
        self.fma = fma


def recorded(
    nodes: Sequence[Node], watched: Sequence[tuple[int, Value]], wrt: set[Value]
) -> list[Node]:
    """Return the nodes that a tape recorded, given when values were watched.

    A sum of a product is the fma that runs, where that has the same derivatives:
    where the product was recorded too and is no source.
    """
    on: set[Value] = set()
    found: list[Node] = []
    products: set[Value] = set()
    at = 0
    for moment, value in [*watched, (len(nodes), None)]:
        for node in nodes[at:moment]:
            for x in node.operands:
                if x in on and x.type.dtype.kind == "f":
                    break
            else:
                continue
            if node.primitive.name == "mul":
                products.update(x for x in node.results if x not in wrt)
            elif type(node) is Contracted and node.product in products:
                node = node.fma
            found.append(node)
            on.update(node.results)
        at = max(at, moment)
        if value is not None:
            on.add(value)
    return found


__all__ = ["Contracted", "recorded"]
