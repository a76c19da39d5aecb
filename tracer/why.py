"""Say why a function is traced again: what differs from the nearest call before.

Each difference names the argument, by its path, and what changed: the axis of a shape,
a dtype, a static value, or how the argument is nested.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from ..ir.types import TensorType
from .signature import Kind, Reader, Static, quoted
from .trees import LEAF, Structure

Key = tuple[Structure, tuple[Kind, ...]]

_SHOWN = 3  # arguments of a message
_GIVEN, _GONE = "is given now, was not before", "was given before, is not now"


def reason(known: Sequence[Key], now: Key, reader: Reader) -> str:
    """Return why a call has no program yet.

    Args:
        known: what calls before had, in their order.
        now: what this one has.
        reader: knows what arguments are called.
    """
    if not known:
        return "first call"
    structure, kinds = now
    same = [k for s, k in known if s == structure]
    if same:
        parts = _of_kinds(same, kinds, reader.leaf_paths(structure))
    else:  # the last of those that differ in the fewest places
        told = [list(_of_calls(s, structure, reader)) for s, _ in reversed(known)]
        parts = min(told, key=len)
    if len(parts) > _SHOWN:
        parts[_SHOWN:] = [f"{len(parts) - _SHOWN} more"]
    return "; ".join(parts)


# -- types and values ------------------------------------------------------------------


def _of_kinds(
    same: Sequence[tuple[Kind, ...]], kinds: tuple[Kind, ...], where: Sequence[str]
) -> list[str]:
    def differing(before: tuple[Kind, ...]) -> list[int]:
        pairs = zip(before, kinds, strict=True)
        return [k for k, (old, new) in enumerate(pairs) if old != new]

    nearest = min(reversed(same), key=lambda before: len(differing(before)))
    return [
        f"argument {quoted(where[k])}: {_change(nearest[k], kinds[k])}"
        for k in differing(nearest)
    ]


def _change(old: Kind, new: Kind) -> str:
    if isinstance(old, TensorType) and isinstance(new, TensorType):
        what = "dtype" if old.shape == new.shape else "shape"
        if old.dtype != new.dtype and old.shape != new.shape:
            what = "dtype and shape"
        return f"{what} {old} before, {new} now{_axes(old, new)}"
    both = isinstance(old, Static) and isinstance(new, Static)
    return f"{'static value' if both else 'type'} {old} before, {new} now"


def _axes(old: TensorType, new: TensorType) -> str:
    """Return which axes differ, in parentheses; nothing where none does."""
    if old.rank != new.rank:
        return f" ({_counted(old.rank)} before, {new.rank} now)"
    pairs = enumerate(zip(old.shape, new.shape, strict=True))
    found = [str(axis) for axis, (before, now) in pairs if before != now]
    if not found:
        return ""
    return f" ({'axis' if len(found) == 1 else 'axes'} {', '.join(found)})"


def _counted(rank: int) -> str:
    return "1 axis" if rank == 1 else f"{rank} axes"


# -- nesting ---------------------------------------------------------------------------


def _of_calls(before: Structure, now: Structure, reader: Reader) -> Iterator[str]:
    """Yield how two calls differ in which arguments they have, and in their nesting."""
    old, new = _arguments(before, reader), _arguments(now, reader)
    for name in {**new, **old}:
        if name not in old:
            yield f"argument '{name}' {_GIVEN}"
        elif name not in new:
            yield f"argument '{name}' {_GONE}"
        elif old[name] != new[name]:
            (by_name, was), (named, part) = old[name], new[name]
            if by_name != named:
                how = ("by name", "by position")
                first, second = how if by_name else reversed(how)
                yield f"argument '{name}': given {first} before, {second} now"
            yield from _of_trees(was, part, name)


def _arguments(
    structure: Structure, reader: Reader
) -> dict[str, tuple[bool, Structure]]:
    """Return by its name whether an argument is given by name, and its structure."""
    positional, named = structure[3]
    found: dict[str, tuple[bool, Structure]] = {
        reader.argument_name(k): (False, part) for k, part in enumerate(positional[3])
    }
    names = named[2][0] if named[2] else ()
    found.update((n, (True, p)) for n, p in zip(names, named[3], strict=True))
    return found


def _of_trees(old: Structure, new: Structure, at: str) -> Iterator[str]:
    """Yield where two arguments are nested otherwise."""
    if old == new:
        return
    what = f"argument {quoted(at)}"
    if old == LEAF or new == LEAF or old[:2] != new[:2]:
        yield f"{what}: {_named(old)} before, {_named(new)} now"
        return
    kind, _, keys, children = old
    if kind == "dict":
        keys, others = keys[0], new[2][0]
        for key in others:
            if key not in keys:
                yield f"argument {quoted(f'{at}[{key!r}]')} {_GIVEN}"
        for key in keys:
            if key not in others:
                yield f"argument {quoted(f'{at}[{key!r}]')} {_GONE}"
        if keys == others and old[2][1] != new[2][1]:
            yield f"{what}: its keys are in another order"
        after = dict(zip(others, new[3], strict=True))
        for key, child in zip(keys, children, strict=True):
            if key in after:
                yield from _of_trees(child, after[key], f"{at}[{key!r}]")
        return
    if len(children) != len(new[3]):
        yield f"{what}: {_named(old)} before, {_named(new)} now"
        return
    steps = [f".{name}" for name in keys] or [f"[{k}]" for k in range(len(children))]
    for step, left, right in zip(steps, children, new[3], strict=True):
        yield from _of_trees(left, right, at + step)


def _named(structure: Structure) -> str:
    """Return what an argument is, in words."""
    if structure == LEAF:
        return "an array or a setting"
    kind, made, keys, children = structure
    if kind == "none":
        return "None"
    if kind == "complex":
        return "a complex array"
    if kind in ("list", "tuple"):
        return f"a {kind} of {len(children)}"
    if kind == "dict":
        return f"a dict with {_keys(keys[0])}"
    return f"a {made.__name__}"


def _keys(keys: Sequence[Any]) -> str:
    """Return the keys of a dict; Any: what the user's dict has."""
    return ", ".join(map(repr, keys)) or "no keys"
