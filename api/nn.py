"""Functions of neural networks: activations, softmax, cross-entropy, embeddings."""

from typing import Any

from .tracer.public import NN_FUNCTIONS

__all__ = tuple(NN_FUNCTIONS)


def __getattr__(name: str) -> Any:
    # Any: one of the functions, made from the table of their names
    found = NN_FUNCTIONS.get(name)
    if found is None:
        raise AttributeError(f"module 'pullback.nn' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
