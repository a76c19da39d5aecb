"""`tf.GradientTape`: pullback's tape, with TensorFlow's texts and sparse gradients."""

import logging
from collections.abc import Callable
from typing import Any

from ..ir.errors import GradientLookupError
from ..tracer.tape import GradientTape as BaseTape
from ..tracer.tape import UnconnectedGradients
from ..tracer.tensor import Taped
from ..tracer.tensor import Tensor as BaseTensor
from . import nest
from .indexed_slices import IndexedSlices, as_slices
from .tensors import convert

_LOG = logging.getLogger("pullback.tensorflow")
_MOST_TOLD = 5
_told: list[str] = []
INSIDE = (
    "Calling GradientTape.gradient on a persistent tape inside its context is "
    "significantly less efficient than calling it outside the context (it causes the "
    "gradient ops to be recorded on the tape, leading to increased CPU and memory "
    "usage). Only call GradientTape.gradient inside the context if you actually want "
    "to trace the gradient in order to compute higher order derivatives."
)


class GradientTape(BaseTape):
    """Records operations so that gradients can be asked for.

    Args:
        persistent: whether `gradient` may be called more than once.
        watch_accessed_variables: whether trainable variables are watched when read.
    """

    def _tell_not_float(self, x: BaseTensor) -> None:
        if len([text for text in _told if text is not INSIDE]) < _MOST_TOLD:
            text = (
                "The dtype of the watched tensor must be floating (e.g. tf.float32), "
                f"got {x.dtype!r}"
            )
            _told.append(text)
            _LOG.warning(text)

    def watch(self, tensor: Any) -> None:
        """Have tensors or variables, in any nesting, on the tape from here on.

        Raises:
            ValueError: a leaf is not a tensor.
        """
        for x in nest.flatten(tensor):
            if not isinstance(x, Taped):
                raise ValueError(
                    f"Passed in object {x!r} of type {type(x).__name__!r}, not "
                    "tf.Tensor or tf.Variable or ExtensionType."
                )
            super().watch(x)

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: Any = UnconnectedGradients.NONE,
    ) -> Any:
        """Return the gradient of targets with respect to sources.

        Args:
            target: tensors or variables, in any nesting; several are summed.
            sources: tensors or variables, in any nesting.
            output_gradients: the cotangents of the targets; ones by default.
            unconnected_gradients: NONE or ZERO, for sources without a path.

        Returns:
            The gradients in the structure of `sources`; IndexedSlices where all that
            reaches a source are rows gathered from it.

        Raises:
            RuntimeError: the tape is not persistent and was used.
            TypeError: the target is None, or holds something else than tensors.
            LookupError: a path goes through an op without a gradient.
        """
        if self._persistent and self._start >= 0 and INSIDE not in _told:
            _told.append(INSIDE)
            _LOG.warning(INSIDE)
        if isinstance(target, IndexedSlices):
            target = target.values
        if output_gradients is not None:
            flat = nest.flatten(output_gradients)
            output_gradients = [None if x is None else convert(x) for x in flat]
        found = _plain(
            super().gradient, target, sources, output_gradients, unconnected_gradients
        )
        return nest.map_structure(as_slices, found)

    def jacobian(
        self,
        target: Any,
        sources: Any,
        unconnected_gradients: Any = UnconnectedGradients.NONE,
        parallel_iterations: Any = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """Return the derivatives of each element of a target by those of sources.

        Args:
            target: one tensor or variable.
            sources: tensors or variables, in any nesting.
            unconnected_gradients: NONE or ZERO, for sources without a path.
            parallel_iterations: accepted; what runs together is decided here.
            experimental_use_pfor: whether one adjoint serves all elements.
        """
        return _plain(
            super().jacobian,
            target, sources, unconnected_gradients, experimental_use_pfor,
        )  # fmt: skip

    def batch_jacobian(
        self,
        target: Any,
        source: Any,
        unconnected_gradients: Any = UnconnectedGradients.NONE,
        parallel_iterations: Any = None,
        experimental_use_pfor: bool = True,
    ) -> Any:
        """Return the derivatives of each row of a target by the same row of a source.

        The arguments are those of `jacobian`; zeros where there is no path.
        """
        return _plain(
            super().batch_jacobian,
            target, source, unconnected_gradients, experimental_use_pfor,
        )  # fmt: skip


def _plain(run: Callable[..., Any], *args: Any) -> Any:
    """Run a sweep; a missing gradient is a LookupError by that very name."""
    try:
        return run(*args)
    except GradientLookupError as error:
        plain = LookupError(str(error))  # its class is what a user's except names
        for note in error.__notes__:
            plain.add_note(note)
        raise plain from None


__all__ = ["GradientTape", "UnconnectedGradients"]
