"""What the tests of the tape share."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pullback.tensorflow as tf


def num(x: Any) -> Any:
    """The numbers of a gradient, or None."""
    if x is None:
        return None
    return np.asarray(tf.convert_to_tensor(x).numpy()).tolist()


def gradients(f: Callable[..., Any], params: Any = None) -> Callable[..., Any]:
    """A function that returns the gradients of f; each argument counts on its own."""

    def call(*args: Any, dy: Any = None) -> Any:
        held = [tf.identity(x) for x in args]
        with tf.GradientTape() as tape:
            tape.watch([x for x in held if x.dtype.is_floating])
            out = f(*held)
            if out is None:
                raise ValueError("a function that returns nothing has no gradient")
        wanted = held if params is None else [held[k] for k in params]
        return tape.gradient(out, wanted, output_gradients=dy)

    return call


def value_and_variables(f: Callable[[], Any]) -> tuple[Any, list[tuple[Any, Any]]]:
    """What a function returns, and the gradients of the variables it reads."""
    with tf.GradientTape() as tape:
        out = f()
    found = tape.watched_variables()
    return out, list(zip(tape.gradient(out, found), found, strict=True))
