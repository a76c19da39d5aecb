"""Nested arguments as flat leaves and a structure that puts them back.

Lists, tuples, named tuples, dictionaries (visited in sorted key order, rebuilt in their
own), dataclasses and None are structure; everything else is a leaf. A structure is a
hashable tuple, so it can be part of a cache key.

A complex array is structure, too: its parts are leaves. Arguments and results of
programs have one leaf instead, the real array with a last axis of both parts, which is
the same memory.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

# Any throughout: a tree holds whatever the user passed.
Tree = Any
# (kind, class, keys, children); a leaf is the empty tuple
Structure = tuple[Any, ...]

LEAF: Structure = ()
NONE: Structure = ("none", None, (), ())
COMPLEX: Structure = ("complex", None, (), (LEAF,))
PARTS: Structure = ("complex", None, (), (LEAF, LEAF))

# what the classes of complex values have for fields
PART_FIELDS: dict[str, Any] = {"real": None, "imag": None}
_NUMBERS = frozenset((complex, np.complex64, np.complex128))


def flatten(tree: Tree, views: "bool | None" = False) -> tuple[list[Any], Structure]:
    """Return the leaves of a tree and its structure.

    With `views` a complex array is one leaf, that has both parts, and not two; with
    None it is a leaf as it is.

    Raises:
        TypeError: the keys of a dictionary cannot be sorted.
    """
    leaves: list[Any] = []
    return leaves, _walk(tree, leaves, views)


def _walk(tree: Tree, leaves: list[Any], views: "bool | None") -> Structure:
    kind = type(tree)
    if kind is np.ndarray:
        if tree.dtype.char in "FD" and views is not None:
            return _parts(tree, leaves, views)
        leaves.append(tree)
        return LEAF
    if kind is tuple or kind is list:
        children = tuple([_walk(child, leaves, views) for child in tree])
        return (kind.__name__, kind, (), children)
    if tree is None:
        return NONE
    if isinstance(tree, dict):
        try:
            order = sorted(tree)
        except TypeError:
            raise TypeError(
                f"the keys of a dictionary cannot be sorted: {list(tree)!r}"
            ) from None
        children = tuple([_walk(tree[key], leaves, views) for key in order])
        made = kind if kind in (dict, OrderedDict) else dict
        return ("dict", made, (tuple(order), tuple(tree)), children)
    if isinstance(tree, tuple) and hasattr(kind, "_fields"):
        children = tuple([_walk(child, leaves, views) for child in tree])
        return ("namedtuple", kind, kind._fields, children)
    fields = getattr(kind, "__dataclass_fields__", None)
    if fields is PART_FIELDS and views is None:
        leaves.append(tree)
        return LEAF
    if fields is not None and not isinstance(tree, type):
        children = tuple([_walk(getattr(tree, name), leaves, views) for name in fields])
        if fields is PART_FIELDS:
            return PARTS
        return ("dataclass", kind, tuple(fields), children)
    if kind in _NUMBERS and views is not None:
        return _parts(np.asarray(tree), leaves, views)
    leaves.append(tree)
    return LEAF


def _parts(array: Any, leaves: list[Any], views: bool) -> Structure:
    """Add the parts of a complex array: as a view with a last axis of 2, or as two."""
    if not views:
        leaves += [array.real, array.imag]
        return PARTS
    leaves.append(_view(array))
    return COMPLEX


def _view(array: Any) -> Any:
    part = array.real
    if array.flags.c_contiguous:
        return array.reshape(-1).view(part.dtype).reshape((*array.shape, 2))
    return np.lib.stride_tricks.as_strided(
        part, (*array.shape, 2), (*array.strides, part.itemsize)
    )


def unflatten(structure: Structure, leaves: Iterable[Any]) -> Tree:
    """Return the tree of a structure with these leaves."""
    return _build(structure, iter(leaves))


def _build(structure: Structure, leaves: Iterator[Any]) -> Tree:
    if structure == LEAF:
        return next(leaves)
    kind, made, keys, children = structure
    if kind == "none":
        return None
    built = [_build(child, leaves) for child in children]
    if kind == "list":
        return built
    if kind == "tuple":
        return tuple(built)
    if kind == "complex":
        return _joined(built)
    if kind == "namedtuple":
        return made(*built)
    if kind == "dict":
        by_key = dict(zip(keys[0], built, strict=True))
        return made((key, by_key[key]) for key in keys[1])
    new = object.__new__(made)
    for name, value in zip(keys, built, strict=True):
        object.__setattr__(new, name, value)
    return new


def _joined(parts: list[Any]) -> Any:
    """Return the complex value of its leaves; what is no array stays as it is."""
    first = parts[0]
    for x in parts:
        made = getattr(x, "_joined", None)
        if made is not None:
            return made(parts)
    if len(parts) == 1 and isinstance(first, np.ndarray):
        wide = np.ascontiguousarray(first)
        whole = wide.view(np.dtype(f"c{2 * wide.itemsize}")).reshape(wide.shape[:-1])
        return whole if whole.ndim else whole[()]
    if len(parts) == 2 and all(isinstance(x, (np.ndarray, np.floating)) for x in parts):
        whole = np.empty(np.shape(first), np.result_type(*parts, np.complex64))
        whole.real, whole.imag = parts
        return whole if whole.ndim else whole[()]
    return first if len(parts) == 1 or parts[1] is None else tuple(parts)


def has_parts(structure: Structure) -> bool:
    """Return whether a complex value of two leaves is in a structure."""
    return structure == PARTS or (
        structure != LEAF and any(has_parts(child) for child in structure[3])
    )


def part_counts(structure: Structure) -> list[int]:
    """Return how many leaves each array has: 2 a complex one of two leaves, else 1."""
    if structure in (LEAF, PARTS):
        return [2 if structure == PARTS else 1]
    return [count for child in structure[3] for count in part_counts(child)]


def are_views(structure: Structure) -> list[bool]:
    """Return for each leaf whether it has both parts of a complex array."""
    if structure in (LEAF, COMPLEX):
        return [structure == COMPLEX]
    return [view for child in structure[3] for view in are_views(child)]


def packed(
    structure: Structure, leaves: Iterable[Any], pack: Callable[[Any, Any], Any]
) -> tuple[list[Any], Structure]:
    """Return leaves and structure with one leaf for a complex value of two."""
    found: list[Any] = []
    return found, _packed(structure, iter(leaves), pack, found)


def _packed(
    structure: Structure,
    leaves: Iterator[Any],
    pack: Callable[[Any, Any], Any],
    found: list[Any],
) -> Structure:
    if structure == LEAF:
        found.append(next(leaves))
        return LEAF
    if structure == PARTS:
        found.append(pack(next(leaves), next(leaves)))
        return COMPLEX
    kind, made, keys, children = structure
    return kind, made, keys, tuple([_packed(c, leaves, pack, found) for c in children])


def paths(structure: Structure, root: str) -> list[str]:
    """Return where each leaf stands, as Python would write it: `params['w'][0]`."""
    found: list[str] = []
    _paths(structure, root, found)
    return found


def _paths(structure: Structure, at: str, found: list[str]) -> None:
    if structure == LEAF:
        found.append(at)
        return
    kind, _, keys, children = structure
    names: Iterable[str]
    if kind == "dict":
        names = [f"[{key!r}]" for key in keys[0]]
    elif kind in ("namedtuple", "dataclass"):
        names = [f".{name}" for name in keys]
    elif kind == "complex":
        names = [".real", ".imag"] if len(children) == 2 else [""]
    else:
        names = [f"[{k}]" for k in range(len(children))]
    for name, child in zip(names, children, strict=True):
        _paths(child, at + name, found)


def tree_map(change: Callable[[Any], Any], tree: Tree) -> Tree:
    """Return a tree with every leaf changed."""
    leaves, structure = flatten(tree)
    return unflatten(structure, [change(leaf) for leaf in leaves])


def aligned(structure: Structure, tree: Tree, prefix: bool = False) -> list[Any]:
    """Return what a tree holds for each leaf of a structure, None where it is None.

    Args:
        structure: that of another tree.
        tree: of the same structure, but None may stand for any part of it.
        prefix: whether a leaf may stand for a part, too, and for all in it.

    Raises:
        LookupError: the tree has another structure.
    """
    found: list[Any] = []
    _align(structure, tree, prefix, found)
    return found


def _align(structure: Structure, tree: Tree, prefix: bool, found: list[Any]) -> None:
    _, other = flatten(tree, views=structure == COMPLEX)
    if tree is None or (other == LEAF and (prefix or structure == LEAF)):
        found += [tree] * _count(structure)
        return
    if structure == LEAF:
        raise LookupError("structures differ")
    kind, _, keys, children = structure
    same = other != LEAF and other[0] == kind and len(other[3]) == len(children)
    if not same or (kind == "dict" and other[2][0] != keys[0]):
        raise LookupError("structures differ")
    if kind == "dict":
        parts = [tree[key] for key in keys[0]]
    elif kind == "dataclass":
        parts = [getattr(tree, name) for name in keys]
    elif kind == "complex":
        parts = flatten(tree, views=structure == COMPLEX)[0]
    else:
        parts = list(tree or ())
    for child, part in zip(children, parts, strict=True):
        _align(child, part, prefix, found)


def _count(structure: Structure) -> int:
    if structure == LEAF:
        return 1
    return sum(_count(child) for child in structure[3])


def index_tree(structure: Structure, first: int = 0) -> "int | tuple[Any, ...] | None":
    """Return nested tuples of leaf numbers, or None where a list or dict is in it."""
    count = iter(range(first, 1 << 30))

    def build(part: Structure) -> "int | tuple[Any, ...]":
        if part == LEAF:
            return next(count)
        if part[0] != "tuple":
            raise LookupError
        return tuple([build(child) for child in part[3]])

    try:
        return build(structure)
    except LookupError:
        return None


def canonical(structure: Structure) -> Structure:
    """Return a structure that does not tell in which order keys were entered."""
    if structure == LEAF:
        return LEAF
    kind, made, keys, children = structure
    return (
        kind,
        made,
        keys[:1] if kind == "dict" else keys,
        tuple([canonical(child) for child in children]),
    )


def shown(structure: Structure) -> str:
    """Return a structure as Python would write it, a `*` for each array."""
    if structure == LEAF:
        return "*"
    kind, made, keys, children = structure
    if kind == "none":
        return "None"
    if kind == "complex":
        return "* (complex)"
    inner = [shown(child) for child in children]
    if kind == "list":
        return f"[{', '.join(inner)}]"
    if kind == "tuple":
        return f"({', '.join(inner)}{',' if len(inner) == 1 else ''})"
    if kind == "dict":
        pairs = zip(keys[0], inner, strict=True)
        return "{" + ", ".join(f"{key!r}: {text}" for key, text in pairs) + "}"
    pairs = zip(keys, inner, strict=True)
    return f"{made.__name__}({', '.join(f'{key}={text}' for key, text in pairs)})"
