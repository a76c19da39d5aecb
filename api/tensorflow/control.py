"""`tf.cond` and its fellows: what has a value decides at once, else it is recorded."""

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.errors import ArgumentError
from ..ir.graph import Value
from ..ir.types import BOOL, TensorType
from ..tracer import recorded_control
from ..tracer.functions.table import PUBLIC
from ..tracer.state import STATE
from ..tracer.symbolic import SymbolicRecorder, is_symbolic
from . import nest
from .arrays import where
from .making import public_names
from .tensors import EagerTensor, call, convert


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
    held = _predicate(pred, "cond")
    if is_symbolic(held._value):
        return _switch("cond", held, [false_fn, true_fn])
    return true_fn() if bool(held) else false_fn()


def case(
    pred_fn_pairs: Any, default: "Callable[[], Any] | None" = None,
    exclusive: bool = False, strict: bool = False, name: Any = "case",
) -> Any:  # fmt: skip
    """Return what the first function whose predicate holds returns.

    Raises:
        ValueError: none holds, and there is no default.
    """
    pairs = list(pred_fn_pairs)
    for k, (pred, fn) in enumerate(pairs):
        held = _predicate(pred, "case")
        if is_symbolic(held._value):
            rest = pairs[k + 1 :]
            if not rest and default is None:
                return fn()  # as TensorFlow's last one, which it asserts to hold

            def others(rest: Any = rest) -> Any:
                return case(rest, default)

            return _switch("case", held, [others, fn])
        if bool(held):
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
    if not is_symbolic(index._value):
        return fns.get(int(index), last)()
    place: Any = convert(len(fns))
    for k, key in enumerate(fns):
        place = where(index == key, convert(k), place)
    return _switch("switch_case", place, [*fns.values(), last])


def while_loop(
    cond: Callable[..., Any], body: Callable[..., Any], loop_vars: Any,
    shape_invariants: Any = None, parallel_iterations: int = 10, back_prop: bool = True,
    swap_memory: bool = False, maximum_iterations: Any = None, name: Any = None,
) -> Any:  # fmt: skip
    """Return loop variables after a body has run as long as a condition holds.

    The other arguments are accepted: shapes do not change, steps run in order, and the
    adjoint is always there.

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
    while most is None or count < most:
        recorder = STATE.recorder
        here = recorder.here() if isinstance(recorder, SymbolicRecorder) else (0, 0)
        goes_on = _predicate(cond(*_arguments(held)), "while_loop")
        if is_symbolic(goes_on._value):
            assert isinstance(recorder, SymbolicRecorder), "symbolic, so recorded"
            recorder.take_back(here)
            left = None if most is None else most - count
            return _loop(recorder, cond, body, held, left)
        if not bool(goes_on):
            break
        held = _next(body, held)
        count += 1
    return held


def _next(body: Callable[..., Any], held: Any) -> Any:
    """Return loop variables after one more step."""
    given = body(*_arguments(held))
    if not isinstance(held, dict) and len(held) == 1 and not _listed(given):
        given = [given]
    flat = [convert(x) for x in nest.flatten(given)]
    return nest.pack_sequence_as(held, flat)


def _loop(
    recorder: SymbolicRecorder,
    cond: Callable[..., Any],
    body: Callable[..., Any],
    held: Any,
    most: "int | None",
) -> Any:
    """Record a loop whose condition has no value yet."""
    start = [x._value for x in nest.flatten(held)]
    if most is not None:
        start.append(convert(most)._value)

    def packed(values: Sequence[Value]) -> Any:
        return nest.pack_sequence_as(held, [EagerTensor(x) for x in values])

    def goes_on(values: list[Value]) -> Any:
        if most is None:
            return _predicate(cond(*_arguments(packed(values))), "while_loop")._value
        said = _predicate(cond(*_arguments(packed(values[:-1]))), "while_loop")
        left = EagerTensor(values[-1]) > 0
        both = call(PUBLIC["logical_and"], (said, left), "LogicalAnd")
        return both._value

    def step(values: list[Value]) -> list[Value]:
        count = len(values) if most is None else len(values) - 1
        made = [x._value for x in nest.flatten(_next(body, packed(values[:count])))]
        if most is not None:
            made.append((EagerTensor(values[-1]) - 1)._value)
        return made

    try:
        found = recorded_control.loop(recorder, "tf.while_loop", start, goes_on, step)
    except ArgumentError as error:
        raise ValueError(str(error)) from None
    return packed(found if most is None else found[:-1])


def _switch(name: str, index: Any, branches: Sequence[Callable[[], Any]]) -> Any:
    """Record a choice whose index or predicate has no value yet."""
    recorder = STATE.recorder
    assert isinstance(recorder, SymbolicRecorder), "symbolic, so recorded"
    made: list[Any] = []

    def run(branch: Callable[[], Any]) -> list[Value]:
        made.append(branch())
        return [convert(x)._value for x in nest.flatten(made[-1])]

    def runs(branch: Callable[[], Any]) -> Callable[[], list[Value]]:
        return lambda: run(branch)

    try:
        found = recorded_control.switch(
            recorder, f"tf.{name}", index._value, [runs(f) for f in branches]
        )
        for other in made[1:]:
            nest.assert_same_structure(made[0], other)
    except ArgumentError as error:
        raise TypeError(str(error)) from None
    return nest.pack_sequence_as(made[0], [EagerTensor(x) for x in found])


def _predicate(pred: Any, name: str) -> EagerTensor:
    """Return a predicate as a tensor.

    Raises:
        TypeError: it is not one bool.
    """
    held = convert(pred)
    if held._value.type != TensorType(BOOL, ()) and is_symbolic(held._value):
        raise TypeError(
            f"tf.{name}: the predicate is {held._value.type}, bool[] expected"
        )
    return held


def _arguments(held: Any) -> Sequence[Any]:
    return [held] if isinstance(held, dict) else list(held)


def _listed(given: Any) -> bool:
    return isinstance(given, (list, tuple))


__all__ = public_names(globals())
