"""What PULLBACK_LOG asks for: lines on stderr, through Python's logging.

The variable is read when pullback is imported. Nothing here knows what is logged; a
program that logs nothing never loads `logging`.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

from .errors import ArgumentError

TOPICS = {
    "compile": "what is compiled, why, and how long it takes",
    "cache": "programs that were compiled before",
}

# Any: the logger, once there is one
_LOGGER: list[Any] = []


def wanted(setting: str) -> frozenset[str]:
    """Return the topics of a setting: none for "" and "0", all for "1".

    Raises:
        ArgumentError: there is no such topic.
    """
    words = [w.strip() for w in setting.split(",") if w.strip() not in ("", "0")]
    if "1" in words:
        return frozenset(TOPICS)
    for word in words:
        if word not in TOPICS:
            raise ArgumentError(
                f"PULLBACK_LOG={setting}: there is no {word!r}: "
                f"use 1 for everything, or {', '.join(TOPICS)}"
            )
    return frozenset(words)


SETTING = os.environ.get("PULLBACK_LOG", "")


def log(topic: str, text: Callable[[], str]) -> None:
    """Write a line if the topic is asked for; `text` is called only then.

    Raises:
        ArgumentError: PULLBACK_LOG asks for a topic that is not there.
    """
    if SETTING and topic in wanted(SETTING):
        (_LOGGER or _open())[0].info("%s", text())


def _open() -> list[Any]:
    import logging  # lazy: costs as much as a third of pullback

    logger = logging.getLogger("pullback")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("pullback: %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    _LOGGER.append(logger)
    return _LOGGER
