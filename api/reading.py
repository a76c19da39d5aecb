"""Texts for people: the graph of a function, and its adjoint as it is compiled.

Nothing is compiled here, and nothing of LLVM is loaded.
"""

from collections.abc import Callable, Sequence
from typing import Any

from .ir.passes import pipeline
from .ir.passes.partition import partition
from .ir.text import pretty
from .tracer.function import Function, function
from .tracer.gradient import value_and_grad
from .tracer.trace import name_of


def graph_text(fun: Callable[..., Any], *args: Any, **options: Any) -> str:
    """Return the traced graph of a call as text, after all passes.

    Args:
        fun: a Python function over arrays, decorated or not.
        args: arrays or numbers; values do not matter, shapes and dtypes do.
        options: arguments by name.
    """
    decorated: Function = fun if isinstance(fun, Function) else function(fun)
    return pretty(pipeline.run(decorated.graph(*args, **options)))


def adjoint_text(
    fun: Callable[..., Any],
    *args: Any,
    argnums: "int | Sequence[int]" = 0,
    **options: Any,
) -> str:
    """Return the adjoint of a call as text, pruned to what the gradients need.

    Residuals are the forward values it reads; the last line has their size.

    Args:
        fun: a Python function over arrays with a float scalar result.
        args: arrays or numbers; values do not matter, shapes and dtypes do.
        argnums: the positions to differentiate.
        options: arguments by name.
    """
    joint = value_and_grad(fun, argnums=argnums).graph(*args, **options)
    joint.name = name_of(fun)
    halves = partition(pipeline.run(joint), 1)
    kept = f"  # residuals: {halves.bytes} bytes\n"
    return pretty(halves.adjoint) + kept
