"""Sums of products, as the user wrote them and as they run."""

from ..ir.graph import Node, Value
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


NO_PARAMS: dict[str, object] = {}  # shared, so that a node need not hold its own

__all__ = ["NO_PARAMS", "Contracted"]
