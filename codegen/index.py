"""Indices into tensors as sums over loop variables.

An index is `sum(size * loop axis) + sum(size * atom) + size`, where an atom is a
component of a split linear index or an integer the kernel computes itself. All are
hashable, so a value at an index is evaluated once a kernel. Nothing here emits code.
"""

from collections.abc import Sequence
from typing import NamedTuple

from ..ir.sizes import SizeExpr
from ..ir.types import Shape

Size = int | SizeExpr


class Opaque(NamedTuple):
    """An integer the kernel computes: number `key`, depending on `axes`."""

    key: int
    axes: frozenset[int]


class Split(NamedTuple):
    """Component `k` of the row-major index whose linear value is `linear`."""

    linear: "Index"
    shape: Shape
    k: int

    @property
    def axes(self) -> frozenset[int]:
        """The loop axes it depends on."""
        return self.linear.axes


Atom = Opaque | Split


class Index(NamedTuple):
    """A sum of scaled loop axes, scaled atoms and a constant."""

    terms: tuple[tuple[int, Size], ...]
    atoms: tuple[tuple[Atom, Size], ...]
    constant: Size

    @property
    def axes(self) -> frozenset[int]:
        """The loop axes it depends on."""
        out = frozenset(a for a, _ in self.terms)
        return out.union(*(atom.axes for atom, _ in self.atoms)) if self.atoms else out

    def coefficient(self, axis: int) -> Size:
        """Return the factor of a loop axis in the affine part."""
        for a, c in self.terms:
            if a == axis:
                return c
        return 0


IndexTuple = tuple[Index, ...]

ZERO = Index((), (), 0)


def axis_index(axis: int) -> Index:
    """Return the index that is a loop variable."""
    return Index(((axis, 1),), (), 0)


def atom_index(atom: Atom) -> Index:
    """Return the index that is an atom."""
    return Index((), ((atom, 1),), 0)


def add(x: Index, y: Index) -> Index:
    """Return the sum of two indices."""
    if not y.terms and not y.atoms:
        return x if y.constant == 0 else x._replace(constant=x.constant + y.constant)
    if not x.terms and not x.atoms and x.constant == 0:
        return y
    terms: dict[int, Size] = dict(x.terms)
    for axis, coef in y.terms:
        terms[axis] = terms.get(axis, 0) + coef
    atoms: dict[Atom, Size] = dict(x.atoms)
    for atom, coef in y.atoms:
        atoms[atom] = atoms.get(atom, 0) + coef
    return Index(
        tuple((a, c) for a, c in sorted(terms.items()) if c != 0),
        tuple((a, c) for a, c in atoms.items() if c != 0),
        x.constant + y.constant,
    )


def scale(x: Index, size: Size) -> Index:
    """Return an index times a size."""
    if size == 1:
        return x
    if size == 0:
        return ZERO
    return Index(
        tuple((a, c * size) for a, c in x.terms),
        tuple((a, c * size) for a, c in x.atoms),
        x.constant * size,
    )


def strides_of(shape: Shape) -> tuple[Size, ...]:
    """Return the element strides of a C-contiguous array."""
    out: list[Size] = [1] * len(shape)
    for k in range(len(shape) - 2, -1, -1):
        out[k] = out[k + 1] * shape[k + 1]
    return tuple(out)


def linearize(index: IndexTuple, shape: Shape) -> Index:
    """Return the offset, in elements, of an index into a C-contiguous array.

    The components of one split over the same number of elements join again.
    """
    if not index:
        return ZERO
    first = index[0]
    if len(first.atoms) == 1 and not first.terms and first.constant == 0:
        atom = first.atoms[0][0]
        if isinstance(atom, Split) and atom.shape == shape:
            whole = tuple(
                atom_index(Split(atom.linear, shape, k)) for k in range(len(shape))
            )
            if index == whole:
                return atom.linear
    out = ZERO
    for i, stride in zip(index, strides_of(shape), strict=True):
        out = add(out, scale(i, stride))
    return out


class IndexBuilder:
    """What a view's index rule computes with."""

    def const(self, size: Size) -> Index:
        """Return a constant index."""
        return Index((), (), size)

    def add(self, index: Index, size: Size) -> Index:
        """Return index + size."""
        return index._replace(constant=index.constant + size)

    def mul(self, index: Index, size: Size) -> Index:
        """Return index * size."""
        return scale(index, size)

    def linear(self, index: Sequence[Index], shape: Shape) -> Index:
        """Return the row-major linear index of a tuple."""
        return linearize(tuple(index), shape)

    def split(self, linear: Index, shape: Shape) -> list[Index]:
        """Return the row-major index of a linear one."""
        if not shape:
            return []
        if len(shape) == 1:
            return [linear]
        return [atom_index(Split(linear, shape, k)) for k in range(len(shape))]


INDEX_BUILDER = IndexBuilder()


def identity(rank: int) -> IndexTuple:
    """Return the index of a space of `rank` loop axes."""
    return tuple(axis_index(k) for k in range(rank))
