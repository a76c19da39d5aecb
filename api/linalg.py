"""Linear algebra, by the names of `numpy.linalg`."""

from typing import Any

from .tracer.public import LINALG_FUNCTIONS

__all__ = tuple(LINALG_FUNCTIONS)


def __getattr__(name: str) -> Any:
    # Any: one of the functions, made from the table of their names
    found = LINALG_FUNCTIONS.get(name)
    if found is None:
        raise AttributeError(f"module 'pullback.linalg' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
