"""What is going on in this thread: the open trace, and the recorder of the tapes."""

import threading
from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from .recorder import Recorder
    from .trace import Trace


class State(threading.local):
    """One of these a thread."""

    trace: Optional["Trace"] = None
    recorder: Optional["Recorder"] = None
    entering = False  # a native entry is called with arguments made to fit


STATE = State()
