"""What is going on: the open trace and the recorder of a thread, a task's tapes."""

import threading
from contextvars import ContextVar
from typing import TYPE_CHECKING, Optional, Protocol

if TYPE_CHECKING:
    from ..ir.graph import Value
    from .recorder import Recorder
    from .trace import Trace
    from .variable import Variable


class Watcher(Protocol):
    """What is told of each read of a variable: a tape that records."""

    def _note_read(self, variable: "Variable", read: "Value") -> None: ...


class State(threading.local):
    """One of these a thread."""

    trace: Optional["Trace"] = None
    recorder: Optional["Recorder"] = None
    entering = False  # a native entry is called with arguments made to fit


STATE = State()

# Those of this thread or, in asyncio, of this task; a new tuple whenever they change.
WATCHERS: ContextVar[tuple[Watcher, ...]] = ContextVar("WATCHERS", default=())
