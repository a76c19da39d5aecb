"""`tf.print`: values written when they are there, in a tf.function too.

Numbers and arrays look as NumPy prints them, and nothing is summarised that NumPy would
not.
"""

import sys
from typing import Any

from ..ir.loc import register_room
from ..tracer.operators import Operators
from ..tracer.printing import print_to

register_room(__file__)

_DEFAULT = object()


def print(
    *inputs: Any, output_stream: Any = _DEFAULT, end: str = "\n", sep: str = " "
) -> None:
    """Write texts and tensors, each time the program gets there.

    Args:
        inputs: strings, tensors, and lists, tuples and dicts of them.
        output_stream: sys.stdout, or sys.stderr, which is the default.
        end: what is written last.
        sep: what is written between two inputs.

    Raises:
        ValueError: the stream is another one.
    """
    stream = "stderr"
    if output_stream is sys.stdout:
        stream = "stdout"
    elif output_stream is not _DEFAULT and output_stream is not sys.stderr:
        raise ValueError(
            f"print: output_stream is sys.stdout or sys.stderr, got {output_stream!r}"
        )
    values: list[Any] = []
    text = _plain(sep).join([_field(x, values) for x in inputs])
    print_to(stream, end, text, values, {})


def _field(x: Any, values: list[Any], within: bool = False) -> str:
    """Return the text of an input, with a field for each tensor in it."""
    if isinstance(x, dict):
        pairs = [f"{_plain(repr(k))}: {_field(v, values, True)}" for k, v in x.items()]
        return "{{" + ", ".join(pairs) + "}}"
    if isinstance(x, (list, tuple)) and _holds_tensor(x):
        inner = ", ".join([_field(item, values, True) for item in x])
        left, right = "[]" if isinstance(x, list) else "()"
        return f"{left}{inner}{right}"
    if isinstance(x, str):
        return _plain(repr(x) if within else x)
    values.append(x)
    return "{}"


def _holds_tensor(x: Any) -> bool:
    if isinstance(x, dict):
        return any(_holds_tensor(item) for item in x.values())
    if isinstance(x, (list, tuple)):
        return any(_holds_tensor(item) for item in x)
    return isinstance(x, Operators)


def _plain(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
