"""`tf.autodiff`: derivatives along one direction, forwards."""

from typing import Any

from ..ir.errors import GradientLookupError
from ..tracer.accumulator import ForwardAccumulator as BaseAccumulator
from ..tracer.tape_arguments import UnconnectedGradients
from . import nest
from .tape import GradientTape
from .tensors import convert


class ForwardAccumulator(BaseAccumulator):
    """Records operations, and gives derivatives of their results along a direction.

    Args:
        primals: tensors or variables that move, in any nesting.
        tangents: how they move, in the same nesting.
    """

    def __init__(self, primals: Any, tangents: Any) -> None:
        super().__init__(primals, [convert(t) for t in nest.flatten(tangents)])

    def jvp(
        self,
        primals: Any,
        unconnected_gradients: Any = UnconnectedGradients.NONE,
    ) -> Any:
        """Return the derivatives of results along the direction; None where none."""
        try:
            return super().jvp(primals, unconnected_gradients)
        except GradientLookupError as error:
            raise LookupError(str(error)) from None


__all__ = ["ForwardAccumulator", "GradientTape"]
