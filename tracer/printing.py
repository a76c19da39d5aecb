"""`pb.print`: a text with values in it, written when a program gets there.

Fields of arrays that are traced are filled when the program runs; all else is put into
the text at once, as it is then.
"""

import re
import string
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, OpTypeError
from ..ir.graph import Value
from ..ir.loc import register_room, traced_at, user_loc
from ..ir.ops.printing import formatted, is_silent, write
from .array import TracedArray
from .builders import ArrayBuilder
from .dim import Dim
from .pair import Pair
from .state import STATE
from .symbolic import is_recording
from .tensor import Tensor, current_recorder
from .variable import Variable

register_room(__file__)

_FIRST = re.compile(r"[^.\[]*")


class _Text:
    """A text being taken apart into what is known and fields of values.

    Args:
        values: what fields without a name stand for.
        named: what fields with a name stand for.
        lift: returns what the program has for a value, or None where it is known.
    """

    def __init__(
        self,
        values: Sequence[Any],
        named: Mapping[str, Any],
        lift: Callable[[Any], Value | None],
    ) -> None:
        self._values, self._named, self._lift = values, named, lift
        self._next: int | None = 0  # None once a field has a number
        self._numbers: dict[int, int] = {}  # place among the values, by identity
        self.operands: list[Value] = []

    def read(self, text: str) -> str:
        """Return the text with fields `{0}`, `{1}`, ... of the operands alone."""
        out: list[str] = []
        for literal, name, spec, conversion in string.Formatter().parse(text):
            out.append(_literal(literal))
            if name is None:
                continue
            key = _FIRST.match(name)
            assert key is not None, "it matches nothing, too"
            rest = name[key.end() :]
            held = self._of(key.group())
            shown = self._known(spec) if spec else ""
            tail = f"{rest}{'!' + conversion if conversion else ''}"
            made = self._lift(held)
            if made is None:
                out.append(_literal(formatted(f"{{0{tail}:{shown}}}", [held], {})))
                continue
            number = self._numbers.setdefault(id(held), len(self.operands))
            if number == len(self.operands):
                self.operands.append(made)
            out.append(f"{{{number}{tail}{':' + shown if shown else ''}}}")
        return "".join(out)

    def _known(self, spec: str) -> str:
        """Return a format with the fields in it filled."""
        out: list[str] = []
        for literal, name, inner, conversion in string.Formatter().parse(spec):
            out.append(literal)
            if name is None:
                continue
            key = _FIRST.match(name)
            assert key is not None, "it matches nothing, too"
            held = self._of(key.group())
            if self._lift(held) is not None:
                raise ArgumentError(
                    f"print: the format {spec!r} of a field depends on a value that is "
                    "known only when the program runs"
                )
            tail = f"{name[key.end() :]}{'!' + conversion if conversion else ''}"
            out.append(formatted(f"{{0{tail}:{inner or ''}}}", [held], {}))
        return "".join(out)

    def _of(self, key: str) -> Any:
        """Return what a field stands for, as `str.format` finds it."""
        if key and not key.isdigit():
            if key not in self._named:
                raise KeyError(key)
            return self._named[key]
        if not key:
            if self._next is None:
                raise ValueError(
                    "cannot switch from manual field specification to automatic field "
                    "numbering"
                )
            number = self._next
            self._next += 1
        else:
            if self._next:
                raise ValueError(
                    "cannot switch from automatic field numbering to manual field "
                    "specification"
                )
            self._next = None
            number = int(key)
        if number >= len(self._values):
            raise IndexError(
                f"Replacement index {number} out of range for positional args tuple"
            )
        return self._values[number]


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _record(b: ArrayBuilder, fmt: str, stream: str, *values: Any, **named: Any) -> None:
    """Append a print to a builder, in which traced arrays are values."""

    def lift(x: Any) -> Value | None:
        if type(x) is Value:
            return x
        if isinstance(x, Pair):
            raise OpTypeError("print: complex numbers are printed as two")
        if isinstance(x, np.ndarray) and x.dtype.kind in "fiub" and x.ndim:
            return b.array(x)  # a text of its elements would be long
        if isinstance(x, Dim):
            return b.constant(x.size)
        return None

    text = _Text(values, named, lift)
    shown = text.read(fmt)
    params = {"format": shown, "stream": stream}
    b.apply(b.table["print"], tuple(text.operands), params)


_record.__name__ = "print"  # for messages


def _concrete(x: Any) -> Any:
    array = x._array() if isinstance(x, (Tensor, Variable)) else x
    return array[()] if isinstance(array, np.ndarray) and array.ndim == 0 else array


def print_to(
    stream: str, end: str, fmt: str, values: Sequence[Any], named: Mapping[str, Any]
) -> None:
    """Write a text to one of Python's streams: now, or when the program runs."""
    if not isinstance(fmt, str):
        raise ArgumentError(
            f"print: the text comes first, got a {type(fmt).__name__}: "
            f'pb.print("x = {{}}", x){traced_at(user_loc(2))}'
        )
    if is_silent():
        return
    whole = fmt + _literal(end)
    if STATE.trace is not None or is_recording():
        target = STATE.trace if STATE.trace is not None else current_recorder()
        target.call(_record, (whole, stream, *values), dict(named))
        return
    for x in (*values, *named.values()):
        if isinstance(x, TracedArray):
            current_recorder().unwrap(x)  # it has escaped, and says so
    held = {name: _concrete(x) for name, x in named.items()}
    text = formatted(whole, [_concrete(x) for x in values], held)
    write(format=_literal(text), stream=stream)


def print(fmt: str, *values: Any, **named: Any) -> None:
    """Write a text with values in it to `sys.stdout`, also in compiled code.

    In a decorated function it is written each time that the program gets there, in its
    order, by every step of a loop; a gradient writes it once, as the function runs. In
    a `vmap` it is written once, and values that differ have the new axis first. Outside
    of functions it is written at once.

    Args:
        fmt: a text as of `str.format`; fields are arrays, of NumPy, or NumPy's numbers
            where they have no axes.
        values: what its fields stand for. What is no array is put into the text when
            tracing.
        named: what its fields with names stand for.

    Raises:
        ArgumentError: fmt is no text, or a format depends on a traced value.
        IndexError, KeyError: a field stands for nothing.
    """
    print_to("stdout", "\n", fmt, values, named)


__all__ = ["print", "print_to"]
