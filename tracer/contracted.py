"""Sums of products, as the user wrote them and as they run."""

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


__all__ = ["Contracted"]
