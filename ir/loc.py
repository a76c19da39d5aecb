"""Source locations: where in the user's code an op was called.

Kept as code object and instruction offset, resolved to file and line only when printed.
"""

import linecache
import sys
from itertools import islice
from types import CodeType
from typing import NamedTuple

_ROOT = __file__.rsplit("/", 2)[0] if "/" in __file__ else __file__
_ROOMS: set[str] = set()
# By identity: to hash a code object is to read all of it.
_OURS: dict[int, CodeType] = {}
USERS: dict[int, CodeType] = {}
_KNOWN: "dict[tuple[int, int], Loc]" = {}  # so that nodes share them
_MOST_KNOWN = 10_000


class Loc(NamedTuple):
    """An instruction of a code object."""

    code: CodeType
    lasti: int

    @property
    def line(self) -> int:
        """The line of the instruction in its file."""
        positions = next(islice(self.code.co_positions(), self.lasti // 2, None), None)
        return (positions and positions[0]) or self.code.co_firstlineno

    @property
    def file(self) -> str:
        """The file, as Python knows it."""
        return self.code.co_filename

    def __str__(self) -> str:
        name = self.code.co_name
        where = f"{self.file}:{self.line}"
        return where if name == "<module>" else f"{where} in {name}"

    def source(self) -> str:
        """Return the text of the line, or nothing when the file cannot be read."""
        return linecache.getline(self.file, self.line).strip()


def is_ours(code: CodeType) -> bool:
    """Return whether a code object belongs to pullback or NumPy, not to the user."""
    if _OURS.get(id(code)) is code:
        return True
    if USERS.get(id(code)) is code:
        return False
    name = code.co_filename
    ours = any(name.startswith(room) for room in _ROOMS) or "/numpy/" in name
    known = _OURS if ours else USERS
    if len(known) >= _MOST_KNOWN:
        known.clear()
    known[id(code)] = code
    return ours


def register_room(file: str) -> None:
    """Declare that the files beside `file` are pullback's own."""
    _ROOMS.add(file.rsplit("/", 1)[0] + "/")
    _OURS.clear()
    USERS.clear()


register_room(__file__)


def user_loc(depth: int = 1) -> Loc | None:
    """Return the innermost location on the stack that is the user's."""
    frame = sys._getframe(depth)
    code = frame.f_code
    while _OURS.get(id(code)) is code or is_ours(code):
        back = frame.f_back
        if back is None:
            return None
        frame = back
        code = frame.f_code
    return loc_of(code, frame.f_lasti)


def loc_of(code: CodeType, lasti: int) -> Loc:
    """Return the location of an instruction, one for all that ask."""
    at = id(code), lasti
    known = _KNOWN.get(at)
    if known is None:
        if len(_KNOWN) >= _MOST_KNOWN:
            _KNOWN.clear()
        known = _KNOWN[at] = Loc(code, lasti)  # it holds the code, so keeps its number
    return known


def traced_at(loc: Loc | None) -> str:
    """Return the two lines of an error message that point at the user's source."""
    if loc is None:
        return ""
    source = loc.source()
    return f"\n  traced at: {loc}" + (f"\n      {source}" if source else "")
