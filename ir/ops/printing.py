"""`print`: writes values as they are when it is its turn.

It has no results, so nothing can ask for it: passes keep it for its effect, and codegen
runs what prints, and what loops or may fail beside it, in the order of the program.
"""

import builtins
import string
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np

from ..builder import Builder
from ..errors import OpTypeError
from ..forms import Print
from ..graph import Value
from ..primitive import (
    NON_DIFFERENTIABLE,
    Cost,
    Domain,
    Effect,
    Primitive,
)
from ..sizes import SizeExpr
from ..types import TensorType

STREAMS = ("stdout", "stderr")
_SILENT: ContextVar[bool] = ContextVar("SILENT", default=False)


@contextmanager
def silenced() -> Iterator[None]:
    """Write nothing meanwhile: what runs has run before, or only for its values."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


def is_silent() -> bool:
    """Return whether nothing is to be written now."""
    return _SILENT.get()


class _Formatter(string.Formatter):
    """As `str.format`; a format given for an array is that of its elements."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        if isinstance(value, np.ndarray) and value.ndim and format_spec:
            each = {"all": lambda x: format(x, format_spec)}
            return np.array2string(value, formatter=each)  # type: ignore[arg-type]
        return super().format_field(value, format_spec)


_FORMATTER = _Formatter()


def formatted(text: str, values: Sequence[Any], named: Mapping[str, Any]) -> str:
    """Return a text with values in its fields.

    Any: arrays, which are NumPy scalars where they have no axes, and other objects.
    """
    return _FORMATTER.vformat(text, [*map(_shown, values)], named)


def _shown(x: Any) -> Any:
    return x[()] if isinstance(x, np.ndarray) and x.ndim == 0 else x


def _no_call(b: Builder, *args: Any, **params: Any) -> Any:
    raise OpTypeError("print takes a text: it is made by pb.print")


def _infer(*types: TensorType, format: str, stream: str) -> tuple[TensorType, ...]:
    if stream not in STREAMS:
        raise OpTypeError(f"print: there is no stream {stream!r}: {STREAMS}")
    return ()


def write(*arrays: Any, format: str, stream: str) -> tuple[()]:
    """Write a text with arrays in its fields; returns nothing. Any: arrays."""
    if not is_silent():
        text = formatted(format, arrays, {})
        # at once: whoever looks where a loop hangs reads it through a pipe, maybe
        builtins.print(text, end="", file=getattr(sys, stream), flush=True)
    return ()


def _batch(
    b: Builder,
    size: "int | SizeExpr",
    has: tuple[bool, ...],
    *operands: Value,
    **params: Any,
) -> tuple[Value, ...]:
    return b.apply(print_, operands, params)


print_ = Primitive(
    name="print",
    mirrors=(),
    tf_name=None,
    accept=_no_call,
    infer=_infer,
    evaluate=write,
    form=Print(),
    vjp=NON_DIFFERENTIABLE,
    jvp=NON_DIFFERENTIABLE,
    batch=_batch,
    effects=frozenset({Effect.PRINTS}),
    cost=Cost.KEEP,
    exact=False,
    sparsity="dense",
    domain=Domain(-1, 1),
    kinks="",
    matrix=None,
    sums=None,
    samples=(),
    doc="Writes values into a text, when it is its turn.",
)
