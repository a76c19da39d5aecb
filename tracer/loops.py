"""Build the nodes of loops from traced bodies, and read what they walk over."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, OpTypeError, SizeError
from ..ir.graph import Value
from ..ir.loc import Loc, traced_at
from ..ir.ops import OPS
from ..ir.sizes import SizeExpr, lower_bound, upper_bound
from ..ir.types import BOOL, TensorType
from .array import TracedArray
from .carries import Carry, Numbers, demand_structure, told
from .dim import Dim
from .operators import Operators
from .regions import (
    Region,
    carry_checks,
    close,
    pass_checks_on,
    refuse_checks,
    traced,
)
from .trace import Trace, name_of, place_of
from .trees import Structure, flatten, paths, shown, unflatten

Size = int | SizeExpr


def build_while(
    trace: Trace,
    carry: Carry,
    cond_fn: Callable[[Any], Any],
    body_fn: Callable[[Any], Any],
    user_fn: Callable[..., Any],
) -> Any:
    """Build a while loop; returns the last carry.

    Args:
        trace: where it stands.
        carry: what it begins with.
        cond_fn: takes the carry, returns a scalar bool.
        body_fn: takes the carry, returns the next one.
        user_fn: the user's function, for messages.

    Raises:
        OpTypeError, ArgumentError: what the functions return does not fit.
    """
    name, loc = carry.name, carry.loc

    def trace_body(kinds: Sequence[TensorType], numbers: Numbers) -> Region:
        region = traced(
            trace,
            f"{name_of(user_fn)}, the body of {name}",
            lambda arrays, _: body_fn(carry.arranged(arrays, numbers)),
            kinds,
        )
        demand_structure(name, "the carry", carry.structure, region.structure, user_fn)
        return region

    body = carry.settle(trace_body, user_fn)
    test = traced(
        trace,
        f"{name_of(cond_fn)}, the condition of {name}",
        lambda arrays, _: cond_fn(carry.arranged(arrays)),
        carry.kinds,
    )
    if len(test.leaves) != 1:
        raise not_bool(name, shown(test.structure), loc, cond_fn)
    holds = test.value(test.leaves[0], f"{name}: the condition")
    if holds.type != TensorType(BOOL, ()):
        raise not_bool(name, told(holds), loc, cond_fn)
    test.outputs = [holds]
    refuse_checks(test, f"the condition of {name}")
    b = trace.builder
    b.loc = loc
    counts = carry_checks(trace, body, (test,))
    operands = [*carry.operands(trace), *counts]
    around, (first, second) = close(trace, (test, body), hoist=True)
    results = b.apply(
        OPS["while_loop"],
        (*operands, *around),
        {
            "carries": len(operands),
            "cond": first,
            "body": second,
            "trips": None,
            "extends": None,
        },
    )
    count = len(carry.kinds)
    pass_checks_on(trace, body.trace.checks, results[count:])
    return carry.arranged([TracedArray(trace, x) for x in results[:count]])


def build_scan(
    trace: Trace,
    carry: Carry,
    f: Callable[[Any, Any], Any],
    xs: Any,
    length: Size,
    reverse: bool,
    user_fn: Callable[..., Any],
    checkpoints: int = 0,
) -> Any:
    """Build a scan; returns the last carry, and the results stacked.

    Args:
        trace: where it stands.
        carry: what it begins with.
        f: takes a carry and an element, returns the next carry and a result.
        xs: traced arrays whose first axes have the length.
        length: the number of steps.
        reverse: whether it begins with the last element.
        user_fn: the user's function, for messages.
        checkpoints: how many carries the adjoint keeps; 0 for all.

    Raises:
        OpTypeError, ArgumentError: what the function returns does not fit.
    """
    name = carry.name
    leaves, structure = flatten(xs)
    sequences: list[Value] = [x._value for x in leaves]
    elements = [x.type.with_shape(x.type.shape[1:]) for x in sequences]

    def trace_body(kinds: Sequence[TensorType], numbers: Numbers) -> Region:
        def step(arrays: Sequence[Any], parts: Sequence[Any]) -> Any:
            x = unflatten(structure, parts)
            return _pair(name, user_fn, f(carry.arranged(arrays, numbers), x))

        label = f"{name_of(user_fn)}, the body of {name}"
        region = traced(trace, label, step, kinds, elements)
        made = region.structure[3][0]
        demand_structure(name, "the carry", carry.structure, made, user_fn)
        return region

    body = carry.settle(trace_body, user_fn)
    count = len(carry.kinds)
    kept: Structure = body.structure[3][1]
    where = paths(kept, f"{name}: a result of {name_of(user_fn)}")
    for leaf, path in zip(body.leaves[count:], where, strict=True):
        body.outputs.append(body.value(leaf, path))
    b = trace.builder
    b.loc = carry.loc
    counts = carry_checks(trace, body)
    operands = [*carry.operands(trace), *counts]
    around, (region,) = close(trace, (body,), hoist=True)
    results = b.apply(
        OPS["scan"],
        (*operands, *sequences, *around),
        {
            "carries": len(operands),
            "xs": len(sequences),
            "length": length,
            "reverse": bool(reverse),
            "body": region,
            "extends": None,
            "checkpoints": checkpoints,
        },
    )
    pass_checks_on(trace, body.trace.checks, results[count : len(operands)])
    arrays = [TracedArray(trace, x) for x in results]
    stacks = unflatten(kept, arrays[len(operands) :])
    return carry.arranged(arrays[:count]), stacks


def _pair(name: str, f: Callable[..., Any], made: Any) -> Any:
    if isinstance(made, tuple) and len(made) == 2:
        return tuple(made)
    what = "None; did you forget to return the carry and a result?"
    if made is not None:
        what = f"{shown(flatten(made)[1])}; expected a carry and a result"
    raise ArgumentError(f"{name}: {name_of(f)} returns {what}{place_of(f)}")


def read_sequences(
    name: str, trace: Trace, xs: Any, length: Any, loc: Loc | None
) -> tuple[Any, Size]:
    """Return sequences as traced arrays whose first axes are the length, and it.

    Raises:
        ArgumentError: there are neither arrays nor a length.
        SizeError: they disagree.
    """
    leaves, structure = flatten(xs)
    where = paths(structure, "xs")
    arrays = [
        trace.lift(leaf, f"{name}: {path}")
        for leaf, path in zip(leaves, where, strict=True)
    ]
    steps: Size | None = None
    told_by = "length"
    if length is not None:
        steps = known_size(length)
        if steps is None:
            raise ArgumentError(
                f"{name}: length must be known when tracing: an int, or a size such as "
                f"x.shape[0]; got {length!r}{traced_at(loc)}"
            )
        if isinstance(steps, int) and steps < 0:
            raise SizeError(f"{name}: length is {steps}{traced_at(loc)}")
    for array, path in zip(arrays, where, strict=True):
        kind = array._value.type
        if not kind.shape:
            raise ArgumentError(f"{name}: {path} is {kind}: no axis{traced_at(loc)}")
        if steps is None:
            steps, told_by = kind.shape[0], path
    if steps is None:
        also = ", and no length is given" if name == "scan" else ""
        raise ArgumentError(f"{name}: no array is in xs{also}{traced_at(loc)}")
    trace.builder.loc = loc
    found = [
        TracedArray(trace, _of_length(trace, x._value, steps, told_by, name, path, loc))
        for x, path in zip(arrays, where, strict=True)
    ]
    return unflatten(structure, found), steps


def _of_length(
    trace: Trace,
    x: Value,
    length: Size,
    told_by: str,
    name: str,
    path: str,
    loc: Loc | None,
) -> Value:
    """Return a sequence whose first axis is the length, or is guarded to be."""
    size = x.type.shape[0]
    if size == length:
        return x
    gap = size - length
    low, high = lower_bound(gap), upper_bound(gap)
    if (low is not None and low > 0) or (high is not None and high < 0):
        by = f"length is {length}" if told_by == "length" else f"{told_by} {length}"
        raise SizeError(
            f"{name}: {path} has {size} elements along its first axis, {by}"
            f"{traced_at(loc)}"
        )
    b = trace.builder
    b.guard(size, length, f"{name}: {path} and {told_by} share a first axis")
    made: Value = b.op("reshape", x, shape=(length, *x.type.shape[1:]))
    return made


def known_number(x: Any) -> "bool | int | float | None":
    """Return a number that is known when tracing, or None."""
    if isinstance(x, bool | int | float):
        return x
    if isinstance(x, np.generic) or (isinstance(x, np.ndarray) and x.ndim == 0):
        held = x.item()
        return held if isinstance(held, bool | int | float) else None
    return None


def known_size(x: Any) -> Size | None:
    """Return an integer or a size that is known when tracing, or None."""
    if isinstance(x, Dim):
        return x.size
    if isinstance(x, Operators):
        return None
    found = known_number(x)
    return found if type(found) is int else None


def not_bool(
    name: str, got: str, loc: Loc | None, fun: "Callable[..., Any] | None" = None
) -> OpTypeError:
    """Return the error of a condition, or of a function's, that is not one bool."""
    where = place_of(fun) if fun is not None else ""
    return OpTypeError(
        f"{name}: the condition is {got}, a scalar bool expected{traced_at(loc)}{where}"
        "\n  compare, as x > 0; np.any and np.all make one bool of many"
    )
