"""Functions of `tf` that hold norms down."""

from typing import Any

from . import linalg, math
from .arrays import where
from .making import plain_axis, public_names
from .tensors import EagerTensor, convert


def clip_by_norm(
    t: Any, clip_norm: Any, axes: Any = None, name: Any = None
) -> EagerTensor:
    """Return a tensor scaled down to a norm, or itself where it is no longer."""
    held = convert(t)
    total = math.reduce_sum(math.square(held), plain_axis(axes), True)
    # the root is taken of what is not 0, so that its derivative is finite
    some = math.greater(total, 0.0)
    safe = where(some, total, math.add(math.multiply(total, 0.0), 1.0))
    length = where(some, math.sqrt(safe), total)
    limit = convert(clip_norm, held.dtype)
    return math.truediv(math.multiply(held, limit), math.maximum(length, limit))


def clip_by_global_norm(
    t_list: Any, clip_norm: Any, use_norm: Any = None, name: Any = None
) -> tuple[list[Any], EagerTensor]:
    """Return tensors scaled down together to a norm, and the norm they had."""
    total = linalg.global_norm(t_list) if use_norm is None else convert(use_norm)
    scale = math.truediv(clip_norm, math.maximum(total, clip_norm))
    return [
        None if t is None else math.multiply(convert(t), scale) for t in t_list
    ], total


__all__ = public_names(globals())
