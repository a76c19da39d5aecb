"""A signature of a function, traced and maybe compiled."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..ir.graph import Graph, Value
from . import engine
from .trace import Check
from .trees import Structure


@dataclass(slots=True)
class Compiled:
    """A graph, where its inputs are among the leaves, and how results are arranged."""

    graph: Graph
    arrays: tuple[int, ...]
    result: Structure
    primals: tuple[Value, ...]  # of a gradient: its value, and what comes with it
    adjoints: tuple[tuple[int, int], ...]  # where they lie among the nodes
    checks: tuple[Check, ...]
    seconds: float  # that tracing took
    why: str = ""
    asked: str = ""  # which size had to be a number, though it varies, and where
    program: engine.Program | None = None
    entry: Callable[..., Any] | None = None
    into: bool = False  # the entry takes `out=`: from the first call on that has it
    decisions: tuple[bool, ...] = ()  # their truths are its last outputs
    # the two programs of its pullback, of its derivative; Any: made above this module
    made: dict[str, Any] = field(default_factory=dict)


def fitted(leaf: Any, dtype: np.dtype[Any]) -> Any:
    """Return an argument as an array that a native entry takes."""
    array = np.asarray(leaf, dtype)
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned):
        array = np.array(array, dtype, order="C", copy=True)
    return array
