"""What the command line says when it cannot go on: one line, exit code 2."""

import difflib
from collections.abc import Iterable
from types import TracebackType

from .ir.errors import PullbackError
from .ir.loc import is_ours


class CommandError(Exception):
    """A command was asked for something it cannot do; the message is one line."""


def one_line(error: BaseException) -> str:
    """Return an error's message with its lines joined, notes included."""
    notes: Iterable[str] = getattr(error, "__notes__", ())
    lines = [t.strip() for text in (str(error), *notes) for t in text.splitlines()]
    return "; ".join(t for t in lines if t)


def raised(what: str, error: BaseException) -> CommandError:
    """Return the error of user code that raised, with the user's line."""
    kind = "" if isinstance(error, PullbackError) else f"{type(error).__name__}: "
    place = "" if "traced at:" in str(error) else place_of(error.__traceback__)
    if isinstance(error, SyntaxError):
        place = f"; at: {error.filename}:{error.lineno}"
        return CommandError(f"{what}: {kind}{error.msg}{place}")
    return CommandError(f"{what}: {kind}{one_line(error)}{place}")


def place_of(tb: TracebackType | None) -> str:
    """Return the innermost line of a traceback that is the user's."""
    found = ""
    while tb is not None:
        code = tb.tb_frame.f_code
        if not is_ours(code) and not code.co_filename.startswith("<frozen"):
            found = f"; at: {code.co_filename}:{tb.tb_lineno} in {code.co_name}"
        tb = tb.tb_next
    return found


def alike(name: str, known: Iterable[str]) -> str:
    """Return `: did you mean ...?`, or what there is, for a name that is not known."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, 3, 0.6)
    if close:
        return f": did you mean {' or '.join(close)}?"
    return f": it has {', '.join(names[:12])}" if names else ": it has none"
