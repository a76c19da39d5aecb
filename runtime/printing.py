"""What programs print, from Python: the `print` of docs/abi.md, as a context.

A context is a program's own: the numbers of texts are. What Python raises meanwhile,
from formatting or from the user's stream, stops the program and is kept for whoever
reads its status.
"""

import ctypes
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ir.graph import Node
from .fastcall import growing_context
from .fastcall.portable import Context, PrintingContext

Array = np.ndarray[Any, np.dtype[Any]]

# Any: addresses come as integers, and as None where they are 0
_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int32, ctypes.c_void_p, ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p
)


class Printer:
    """The texts of a program, and the context that lets it print them.

    The context is valid as long as the printer lives.
    """

    def __init__(self, nodes: Sequence[Node]) -> None:
        self._nodes = list(nodes)
        self._raised = threading.local()
        self._callback = _Callback(self._print)
        plain = Context.from_address(growing_context())
        self._context = PrintingContext()
        size = ctypes.sizeof(Context)
        ctypes.memmove(ctypes.addressof(self._context), ctypes.addressof(plain), size)
        self._context.size = ctypes.sizeof(PrintingContext)
        address = ctypes.cast(self._callback, ctypes.c_void_p).value
        self._context.print = address

    @property
    def address(self) -> int:
        """The address of the context."""
        return ctypes.addressof(self._context)

    def take_raised(self) -> BaseException | None:
        """Return what stopped the program of this thread, once."""
        error: BaseException | None = self._raised.__dict__.pop("error", None)
        return error

    def _print(self, state: Any, number: int, values: Any, sizes: Any) -> int:
        try:
            node = self._nodes[number]
            node.primitive.evaluate(*_arrays(node, values, sizes), **node.params)
        except BaseException as error:
            self._raised.error = error
            return 1
        return 0


def _arrays(node: Node, values: int, sizes: int) -> list[Array]:
    """Return copies of what a program shows."""
    out: list[Array] = []
    at = 0
    for k, x in enumerate(node.operands):
        rank = x.type.rank
        words = (ctypes.c_int64 * rank).from_address(sizes + 8 * at)
        at += rank
        made = np.empty(tuple(words), x.type.dtype.numpy)
        source = ctypes.c_void_p.from_address(values + 8 * k).value
        if made.size and source:
            ctypes.memmove(made.ctypes.data, source, made.nbytes)
        out.append(made)
    return out
