"""Every test has a recorder and random streams of its own."""

from collections.abc import Iterator

import pullback.tensorflow as tf
import pytest
from pullback.tensorflow import tape
from pullback.tracer import left_tape
from pullback.tracer.state import STATE, WATCHERS


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(STATE, "recorder", None)
    monkeypatch.setattr(left_tape, "_TOLD", set())
    monkeypatch.setattr(tape, "_told", [])
    tf.random.set_seed(1)
    yield
    assert STATE.trace is None
    assert WATCHERS.get() == ()
