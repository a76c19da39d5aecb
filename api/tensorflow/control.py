"""`tf.cond` and its fellows: under a tape the predicate is looked at."""

from collections.abc import Callable, Sequence
from typing import Any

from ..tracer.symbolic import is_symbolic
from . import nest
from .making import public_names
from .tensors import EagerTensor, convert


def cond(
    pred: Any, true_fn: "Callable[[], Any] | None" = None,
    false_fn: "Callable[[], Any] | None" = None, name: Any = None,
) -> Any:  # fmt: skip
    """Return what one of two functions returns, as the predicate says.

    Raises:
        TypeError: a branch is not a function.
    """
    if not callable(true_fn):
        raise TypeError("'true_fn' must be callable.")
    if not callable(false_fn):
        raise TypeError("'false_fn' must be callable.")
    return true_fn() if _seen(pred, "cond") else false_fn()


def case(
    pred_fn_pairs: Any, default: "Callable[[], Any] | None" = None,
    exclusive: bool = False, strict: bool = False, name: Any = "case",
) -> Any:  # fmt: skip
    """Return what the first function whose predicate holds returns.

    Raises:
        ValueError: none holds, and there is no default.
    """
    for pred, fn in pred_fn_pairs:
        if _seen(pred, "case"):
            return fn()
    if default is None:
        raise ValueError("tf.case: no predicate holds, and there is no default")
    return default()


def switch_case(
    branch_index: Any, branch_fns: Any, default: "Callable[[], Any] | None" = None,
    name: Any = "switch_case",
) -> Any:  # fmt: skip
    """Return what the function of a number returns; the last where there is none."""
    listed = not isinstance(branch_fns, dict) and callable(branch_fns[0])
    fns = dict(enumerate(branch_fns) if listed else branch_fns)
    last = default if default is not None else fns[max(fns)]
    index = convert(branch_index)
    _check(index, "switch_case")
    return fns.get(int(index), last)()


def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any,
    shape_invariants: Any = None, parallel_iterations: int = 10, back_prop: bool = True,
    swap_memory: bool = False, maximum_iterations: Any = None, name: Any = None,
) -> Any:  # fmt: skip
    """Return loop variables after a body has run as long as a condition holds.

    Raises:
        TypeError: the condition or the body is not a function.
        ValueError: there are no loop variables.
    """
    if not callable(cond):
        raise TypeError("'cond' must be callable.")
    if not callable(body):
        raise TypeError("'body' must be callable.")
    if not loop_vars:
        raise ValueError("'loop_vars' must be provided.")
    most = None if maximum_iterations is None else int(maximum_iterations)
    held: Any = nest.map_structure(convert, loop_vars)
    count = 0
    while (most is None or count < most) and _seen(
        cond(*_arguments(held)), "while_loop"
    ):
        given = body(*_arguments(held))
        if not isinstance(held, dict) and len(held) == 1 and not _listed(given):
            given = [given]
        flat = [convert(x) for x in nest.flatten(given)]
        held = nest.pack_sequence_as(held, flat)
        count += 1
    return held


def _seen(pred: Any, name: str) -> bool:
    """Return what a predicate says."""
    held = convert(pred)
    _check(held, name)
    return bool(held)


def _check(x: EagerTensor, name: str) -> None:
    """Demand that a tensor have a value.

    Raises:
        NotImplementedError: it is one of a function that is recorded.
    """
    if is_symbolic(x._value):
        raise NotImplementedError(
            f"tf.{name} on a tensor of a function that is recorded: it is not compiled "
            "yet; choose with tf.where, or call the Python function under the tape"
        )


def _arguments(held: Any) -> Sequence[Any]:
    return [held] if isinstance(held, dict) else list(held)


def _listed(given: Any) -> bool:
    return isinstance(given, (list, tuple))


__all__ = public_names(globals())
