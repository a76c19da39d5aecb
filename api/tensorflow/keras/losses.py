"""Losses: means over a batch."""

from typing import Any

from .. import math, nn
from ..making import public_names
from ..tensors import EagerTensor, convert, matched


class Loss:
    """Something to call on what is true and what is predicted."""

    def __init__(
        self, reduction: str = "sum_over_batch_size", name: Any = None
    ) -> None:
        reductions = ("sum_over_batch_size", "sum", "none", None)
        if reduction not in reductions:
            raise ValueError(
                "Invalid value for argument `reduction`. Expected one of "
                f"{set(reductions)}. Received: reduction={reduction}"
            )
        self.reduction = reduction

    def call(self, y_true: Any, y_pred: Any) -> EagerTensor:
        """Return a loss an example."""
        raise NotImplementedError

    def __call__(self, y_true: Any, y_pred: Any) -> EagerTensor:
        """Return the loss."""
        each = self.call(y_true, y_pred)
        if self.reduction == "sum":
            return math.reduce_sum(each)  # type: ignore[no-any-return]
        if self.reduction == "sum_over_batch_size":
            return math.reduce_mean(each)  # type: ignore[no-any-return]
        return each


class MeanSquaredError(Loss):
    """The mean of squared differences."""

    def call(self, y_true: Any, y_pred: Any) -> EagerTensor:
        """Return a loss an example."""
        return mean_squared_error(y_true, y_pred)


class SparseCategoricalCrossentropy(Loss):
    """The cross-entropy with classes given as integers."""

    def __init__(self, from_logits: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> EagerTensor:
        """Return a loss an example."""
        logits = convert(y_pred) if self.from_logits else math.log(y_pred)
        return nn.sparse_softmax_cross_entropy_with_logits(y_true, logits)


class CategoricalCrossentropy(Loss):
    """The cross-entropy with classes given as probabilities."""

    def __init__(self, from_logits: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.from_logits = from_logits

    def call(self, y_true: Any, y_pred: Any) -> EagerTensor:
        """Return a loss an example."""
        logits = convert(y_pred) if self.from_logits else math.log(y_pred)
        return nn.softmax_cross_entropy_with_logits(y_true, logits)


def mean_squared_error(y_true: Any, y_pred: Any) -> EagerTensor:
    """Return the mean of squared differences along the last axis."""
    x, y = matched(y_pred, y_true, "SquaredDifference")
    return math.reduce_mean(math.squared_difference(x, y), -1)  # type: ignore[no-any-return]


__all__ = public_names(globals())
