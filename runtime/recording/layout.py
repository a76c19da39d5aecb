"""Know where the objects of a tape keep what native recording reads.

Offsets of slots are read off the classes and compared with a live object of each, so a
class that changes its slots changes the offsets, and one without them is refused.
"""

import ctypes
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from types import CodeType
from typing import Any

from ..fastcall.capi import TYPE

_DESCRIPTOR_MEMBER = 40  # PyMemberDescrObject: its PyMemberDef
_MEMBER_OFFSET = 16  # of a PyMemberDef
LIST_ITEMS = 24  # PyListObject
SIZE = 16  # of what has a variable size

Kind = type[object]


@dataclass(frozen=True)
class Spec:
    """What a tape is made of; all of it lives for ever.

    Args:
        walk: the class of walks, with the slots of `WALK`.
        step: of steps: `STEP`.
        value: of values: `VALUE`.
        cell: of what a tape knows of a value: `CELL`.
        tensor: of tensors: `TENSOR`.
        variable: of variables: `VARIABLE`.
        watchers: the context variable of tapes that record.
        types: what keys call a type: a dict of ints.
        kinds: the types by these numbers.
        arrays: what keys call an array, by dtype and shape: a dict of negative ints.
        literals: the bits of floats that programs contain, and their keys.
        locate: notes the user's line in a step.
        number: returns the value of a float that came along, by a dtype.
        transparent: code objects between a user's line and a call, one deep at most.
    """

    walk: Kind
    step: Kind
    value: Kind
    cell: Kind
    tensor: Kind
    variable: Kind
    watchers: ContextVar[Any]  # Any: the tracer's
    types: dict[Any, int]  # Any: the tracer's
    kinds: list[Any]  # Any: the tracer's
    arrays: dict[Any, int]  # Any: the tracer's
    literals: tuple[tuple[int, object], ...]
    locate: Callable[[Any], None]
    number: Callable[[float, Any], object]
    transparent: tuple[CodeType, ...]


WALK = (
    "ahead", "bound", "bytes", "end", "epoch", "free", "nodes", "numbers", "step",
    "taken", "values", "walks",
)  # fmt: skip
STEP = ("after", "blank", "dtype", "kind", "loc", "out", "width")
VALUE = ("cell", "index", "node", "type")
CELL = ("array", "handles", "plan")
TENSOR = ("_value",)
VARIABLE = ("_epoch", "_read", "_watchers")


def _word(address: int) -> int:
    return ctypes.c_uint64.from_address(address).value


def offset(kind: Kind, name: str) -> int:
    """Return where objects of a class keep a slot, in bytes.

    Raises:
        TypeError: it is not a slot of the class.
    """
    for base in kind.__mro__:
        found = base.__dict__.get(name)
        if type(found).__name__ == "member_descriptor":
            at = _word(_word(id(found) + _DESCRIPTOR_MEMBER) + _MEMBER_OFFSET)
            made, mark = _probe(kind), object()
            found.__set__(made, mark)  # type: ignore[union-attr]  # it has one
            held = at < kind.__basicsize__ and _word(id(made) + at) == id(mark)
            is_kind = _word(id(made) + TYPE) == id(type(made))
            found.__delete__(made)  # type: ignore[union-attr]  # it has one
            if not (held and is_kind):
                break
            return at
    raise TypeError(f"{kind.__name__} has no slot {name} where slots are")


def _probe(kind: Kind) -> object:
    """Return an object with the slots of a class that does nothing when it dies."""
    calm = {"__slots__": (), "__del__": lambda self: None}
    return object.__new__(type("Probe", (kind,), calm))


def offsets(kind: Kind, names: tuple[str, ...]) -> dict[str, int]:
    """Return where objects of a class keep slots."""
    return {name: offset(kind, name) for name in names}
