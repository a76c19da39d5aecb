"""Say why a function is traced again: what differs from the nearest call before."""

from collections.abc import Sequence

from ..ir.types import TensorType
from .signature import Kind, Static, quoted
from .trees import Structure

Key = tuple[Structure, tuple[Kind, ...]]

_SHOWN = 3  # arguments of a message


def reason(known: Sequence[Key], now: Key, where: Sequence[str]) -> str:
    """Return why a call has no program yet.

    Args:
        known: what calls before had, in their order.
        now: what this one has.
        where: the paths of its leaves.
    """
    if not known:
        return "first call"
    structure, kinds = now
    same = [k for s, k in known if s == structure]
    if not same:
        return "the arguments are nested otherwise, or others are given"

    def differing(before: tuple[Kind, ...]) -> list[int]:
        pairs = zip(before, kinds, strict=True)
        return [k for k, (old, new) in enumerate(pairs) if old != new]

    nearest = min(reversed(same), key=lambda before: len(differing(before)))
    parts = [
        f"argument {quoted(where[k])}: {_change(nearest[k], kinds[k])}"
        for k in differing(nearest)
    ]
    if len(parts) > _SHOWN:
        parts[_SHOWN:] = [f"{len(parts) - _SHOWN} more"]
    return "; ".join(parts)


def _change(old: Kind, new: Kind) -> str:
    what = "type"
    if isinstance(old, Static) and isinstance(new, Static):
        what = "static value"
    elif isinstance(old, TensorType) and isinstance(new, TensorType):
        what = "dtype" if old.shape == new.shape else "shape"
        if old.dtype != new.dtype and old.shape != new.shape:
            what = "dtype and shape"
    return f"{what} {old} before, {new} now"
