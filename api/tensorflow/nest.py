"""`tf.nest`: nested structures as flat lists. Here None is a leaf, as in TensorFlow."""

from collections.abc import Callable, Iterable
from typing import Any

from ..tracer import trees


def _with_none(structure: Any) -> Any:
    """Return a structure in which None is a leaf."""
    if structure == trees.LEAF or structure == trees.NONE:
        return trees.LEAF
    kind, made, keys, children = structure
    return kind, made, keys, tuple([_with_none(child) for child in children])


def _walk(structure: Any, leaves: Iterable[Any]) -> list[Any]:
    """Return the leaves with None where the structure has it, in order."""
    given = iter(leaves)
    found: list[Any] = []
    stack = [structure]
    while stack:
        part = stack.pop()
        if part == trees.LEAF:
            found.append(next(given))
        elif part == trees.NONE:
            found.append(None)
        else:
            stack.extend(reversed(part[3]))
    return found


def split(tree: Any) -> tuple[list[Any], Any]:
    """Return the leaves of a structure, and the structure."""
    leaves, structure = trees.flatten(tree, None)  # complex tensors are leaves
    return _walk(structure, leaves), _with_none(structure)


def flatten(structure: Any, expand_composites: bool = False) -> list[Any]:
    """Return the leaves of a structure; those of a dict in the order of its keys."""
    return split(structure)[0]


def pack_sequence_as(
    structure: Any, flat_sequence: Any, expand_composites: bool = False
) -> Any:
    """Return leaves arranged as a structure.

    Raises:
        ValueError: there are more leaves, or fewer.
    """
    leaves, made = split(structure)
    given = list(flat_sequence)
    if len(leaves) != len(given):
        raise ValueError(
            "Could not pack sequence. Structure had "
            f"{len(leaves)} atoms, but flat_sequence had {len(given)} items. "
            f"Structure: {structure}, flat_sequence: {given}."
        )
    return trees.unflatten(made, given)


def map_structure(func: Callable[..., Any], *structure: Any, **options: Any) -> Any:
    """Return a structure of what a function makes of leaves of others.

    Raises:
        TypeError: the function cannot be called.
        ValueError: there is no structure, or two differ.
    """
    if not callable(func):
        raise TypeError(f"func must be callable, got: {func}")
    if not structure:
        raise ValueError("Must provide at least one structure")
    first = structure[0]
    for other in structure[1:]:
        assert_same_structure(first, other)
    columns = [flatten(s) for s in structure]
    made = [func(*row) for row in zip(*columns, strict=True)]
    return pack_sequence_as(first, made)


def is_nested(structure: Any) -> bool:
    """Return whether something is a structure and not a leaf."""
    return bool(split(structure)[1] != trees.LEAF)


def assert_same_structure(
    nest1: Any, nest2: Any, check_types: bool = True, expand_composites: bool = False
) -> None:
    """Demand that two structures be alike.

    Raises:
        ValueError: they are not.
    """
    if _shape(split(nest1)[1], check_types) != _shape(split(nest2)[1], check_types):
        raise ValueError(
            "The two structures don't have the same nested structure.\n\n"
            f"First structure: type={type(nest1).__name__} str={nest1}\n\n"
            f"Second structure: type={type(nest2).__name__} str={nest2}"
        )


def _shape(structure: Any, types: bool) -> Any:
    if structure == trees.LEAF:
        return ()
    kind, made, keys, children = structure
    names = keys[0] if kind == "dict" else keys
    mark = (kind, made) if types else "list" if kind == "tuple" else kind
    return mark, names, tuple([_shape(child, types) for child in children])


__all__ = [
    "assert_same_structure",
    "flatten",
    "is_nested",
    "map_structure",
    "pack_sequence_as",
]
