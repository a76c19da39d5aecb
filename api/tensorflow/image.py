"""`tf.image`: what the guide to gradients calls, and no more."""

from typing import Any

from . import math
from .custom import run_step
from .making import public_names
from .tensors import EagerTensor, convert


def adjust_contrast(images: Any, contrast_factor: Any) -> EagerTensor:
    """Return images with each channel scaled about its mean.

    The op has no gradient: one can be given with `tf.RegisterGradient`.

    Args:
        images: floats, of shape (..., height, width, channels).
        contrast_factor: a scalar.
    """
    held = convert(images)
    if len(held.shape) < 3:
        raise ValueError(
            f"'images' (shape {held.shape}) must be at least three-dimensional."
        )
    factor = convert(
        contrast_factor, None if hasattr(contrast_factor, "dtype") else held.dtype
    )
    middle = math.reduce_mean(held, (-3, -2), True)
    made = (held - middle) * factor + middle
    return run_step("AdjustContrastv2", [held, factor], made)


__all__ = public_names(globals())
