"""Sizes seen to vary become named: one program for all of them.

The first shapes are compiled as they are. When the same function is called with other
shapes, the dimensions that differ are named, equal ones by one name, and the program of
these types serves every later call that has the pattern. A size of 1 is always a
number.
"""

from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from ..ir.sizes import SizeExpr, named
from ..ir.types import Shape, TensorType
from .signature import Kind
from .trees import Structure

T = TypeVar("T")
Kinds = tuple[Kind, ...]
# what a program keeps of a call's arguments when sizes may vary
Family = tuple[Structure, tuple[object, ...]]


def family(structure: Structure, kinds: Kinds) -> Family:
    """Return what calls that differ in sizes alone have in common."""
    return structure, tuple(
        [(k.dtype, len(k.shape)) if isinstance(k, TensorType) else k for k in kinds]
    )


def _names() -> Iterator[SizeExpr]:
    yield from map(named, "nmkpqr")
    count = 0
    while True:
        yield named(f"n{count}")
        count += 1


def generalise(before: Kinds, now: Kinds) -> Kinds | None:
    """Return kinds with names where sizes differ, or None where one of them is 1."""
    names: dict[tuple[object, object], SizeExpr] = {}
    fresh = _names()
    out: list[Kind] = []
    for old, new in zip(before, now, strict=True):
        if not isinstance(old, TensorType) or not isinstance(new, TensorType):
            out.append(new)
            continue
        shape: list[int | SizeExpr] = []
        for pair in zip(old.shape, new.shape, strict=True):
            if pair[0] == pair[1]:
                shape.append(pair[1])
                continue
            if 1 in pair:
                return None
            if pair not in names:
                names[pair] = next(fresh)
            shape.append(names[pair])
        out.append(new.with_shape(tuple(shape)))
    return tuple(out)


def fits(general: Kinds, kinds: Kinds) -> bool:
    """Return whether sizes agree with the names and numbers of general kinds."""
    env: dict[SizeExpr, int | SizeExpr] = {}
    for wanted, given in zip(general, kinds, strict=True):
        if isinstance(wanted, TensorType) and isinstance(given, TensorType):
            if not _fits(wanted.shape, given.shape, env):
                return False
        elif wanted != given:
            return False
    return True


def _fits(wanted: Shape, given: Shape, env: "dict[SizeExpr, int | SizeExpr]") -> bool:
    for w, d in zip(wanted, given, strict=True):
        if isinstance(w, int):
            if w != d:
                return False
        elif d == 1 or env.setdefault(w, d) != d:
            return False
    return True


class Varying(Generic[T]):
    """What one function has seen: shapes by family, and programs for named sizes."""

    def __init__(self) -> None:
        self._seen: dict[Family, list[Kinds]] = {}
        self._made: dict[Family, list[tuple[Kinds, T]]] = {}

    def find(self, structure: Structure, kinds: Kinds) -> T | None:
        """Return what was made for named sizes that these kinds fit."""
        for general, made in self._made.get(family(structure, kinds), ()):
            if fits(general, kinds):
                return made
        return None

    def candidates(self, structure: Structure, kinds: Kinds) -> Sequence[Kinds]:
        """Return general kinds that shapes seen before and these have in common."""
        seen = self._seen.get(family(structure, kinds), ())
        found = [generalise(before, kinds) for before in reversed(seen)]
        return [general for general in found if general is not None]

    def saw(self, structure: Structure, kinds: Kinds) -> None:
        """Note shapes that have a program of their own."""
        self._seen.setdefault(family(structure, kinds), []).append(kinds)

    def keep(self, structure: Structure, general: Kinds, made: T) -> None:
        """Note what serves general kinds."""
        self._made.setdefault(family(structure, general), []).append((general, made))
