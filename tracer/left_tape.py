"""Say, once a line, that a NumPy function took a tensor's value away from its tape."""

import re
import sys
import warnings
from collections.abc import Callable
from types import FrameType

from ..ir.loc import Loc, is_ours
from .functions.table import PUBLIC

_TOLD: set[Loc] = set()
_CALL = re.compile(r"\bnp\.([a-zA-Z_]\w*)\s*\(|\bnumpy\.([a-zA-Z_]\w*)\s*\(")


class LeftTapeWarning(UserWarning):
    """NumPy computed with a tensor's value, so the tape does not see the result."""


def ours(name: str) -> str:
    """Return pullback's function for one of NumPy's, or nothing."""
    return f"pb.{name}" if name in PUBLIC else ""


def warn(depth: int, instead: Callable[[str], str] = ours) -> None:
    """Warn for the user's line above, once.

    `instead` gives the function to call instead of one of NumPy's, or nothing.
    """
    frame: FrameType | None = sys._getframe(depth)
    called = ""
    while frame is not None and is_ours(frame.f_code):
        if "/numpy/" in frame.f_code.co_filename:
            called = frame.f_code.co_name  # the outermost NumPy frame names the call
        frame = frame.f_back
    if frame is None:
        return
    loc = Loc(frame.f_code, frame.f_lasti)
    if loc in _TOLD:
        return
    _TOLD.add(loc)
    source = loc.source()
    name = called if called in PUBLIC else _name_in(source) or called
    what = f"np.{name}" if name else "NumPy"
    called = instead(name)
    advice = (
        f"call {called} to keep the gradient"
        if called
        else "compute with pullback's functions to keep the gradient"
    )
    warnings.warn_explicit(
        f"{what} took the value of a tensor, so the tape does not record it: {advice}",
        LeftTapeWarning,
        loc.file,
        loc.line,
    )


def _name_in(source: str) -> str:
    found = _CALL.search(source)
    return (found.group(1) or found.group(2)) if found else ""
