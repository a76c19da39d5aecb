"""Hold the garbage collector off while a big graph is built.

Nodes and their results point at each other, so the collector looks at all of them again
and again as a graph grows, and finds nothing: half of the time at 100,000 nodes.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

BIG = 10_000  # nodes


@contextmanager
def collector_paused(nodes: int) -> Iterator[None]:
    """Hold the collector off if there are many nodes; it is as before afterwards."""
    if nodes < BIG or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
