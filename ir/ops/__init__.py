"""The op records, collected by reading the modules that hold them."""

from collections.abc import Mapping
from types import ModuleType

from ..builder import Builder
from ..primitive import Primitive
from . import (
    arithmetic,
    bits,
    contraction,
    control,
    diagonals,
    division,
    elementwise,
    exponents,
    factorization,
    hyperbolic,
    indexing,
    logic,
    place,
    power,
    printing,
    reduction,
    running,
    scatter,
    special,
    structure,
    trigonometric,
    views,
)

MODULES: tuple[ModuleType, ...] = (
    structure,
    arithmetic,
    division,
    power,
    elementwise,
    trigonometric,
    hyperbolic,
    exponents,
    special,
    logic,
    bits,
    running,
    reduction,
    contraction,
    views,
    place,
    diagonals,
    indexing,
    scatter,
    factorization,
    control,
    printing,
)


def collect(modules: tuple[ModuleType, ...]) -> dict[str, Primitive]:
    """Return name -> record of every record in `modules`, in order of appearance."""
    table: dict[str, Primitive] = {}
    for module in modules:
        for found in vars(module).values():
            if isinstance(found, Primitive) and table.get(found.name) is not found:
                assert found.name not in table, f"two records called {found.name}"
                table[found.name] = found
    return table


OPS: Mapping[str, Primitive] = collect(MODULES)


def new_builder(strict: bool = False) -> Builder:
    """Return an empty builder over all ops."""
    return Builder(OPS, strict)
