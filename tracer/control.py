"""`while_loop`, `fori_loop`, `scan`, `map`, `cond` and `switch`, over nested arrays.

What is known when tracing is decided then: a condition that is a Python or a NumPy
bool, and an index that is an integer, choose a branch at once, and only that is called.
"""

from collections.abc import Callable, Sequence
from typing import Any

from ..ir.errors import ArgumentError, IndexOutOfRange, OpTypeError
from ..ir.graph import Value
from ..ir.loc import Loc, traced_at, user_loc
from ..ir.ops.control import AUTO
from ..ir.promote import cast_to
from ..ir.sizes import smax
from ..ir.types import BOOL, I64, TensorType
from . import outside
from .array import TracedArray
from .branches import build_switch
from .carries import Carry, demand_structure
from .loops import (
    Size,
    build_scan,
    build_while,
    known_number,
    known_size,
    not_bool,
    read_sequences,
)
from .state import STATE
from .trace import Trace
from .trees import flatten


def _enter(name: str, build: Callable[[Trace, Any], Any], tree: Any) -> Any:
    """Build in the open trace, or in one of its own."""
    trace = STATE.trace
    return outside.run(name, build, tree) if trace is None else build(trace, tree)


# -- loops -----------------------------------------------------------------------------


def while_loop(
    cond_fn: Callable[[Any], Any], body_fn: Callable[[Any], Any], init: Any
) -> Any:
    """Run a body while a condition of what it carries holds.

    Args:
        cond_fn: takes the carry, returns a scalar bool.
        body_fn: takes the carry, returns the next one: the same structure and types.
        init: the first carry: arrays and numbers, nested. A Python number takes the
            dtype that the body returns for it.

    Returns:
        The carry for which the condition does not hold.

    Raises:
        OpTypeError: a carry changes its type, or the condition is not one bool.
        ArgumentError: a carry changes its structure.
    """
    loc = user_loc()

    def build(trace: Trace, given: Any) -> Any:
        carry = Carry("while_loop", trace, given, loc)
        return build_while(trace, carry, cond_fn, body_fn, body_fn)

    return _enter("while_loop", build, init)


def fori_loop(
    lower: Any, upper: Any, body_fn: Callable[[Any, Any], Any], init: Any
) -> Any:
    """Run a body for each integer from `lower` up to, not including, `upper`.

    Args:
        lower: an integer, a size, or an integer array without axes.
        upper: such a one. Where both are known when tracing the loop is a scan, else a
            while loop.
        body_fn: takes the integer, of dtype int64, and the carry; returns the next
            carry.
        init: the first carry, as of `while_loop`.

    Returns:
        The last carry.

    Raises:
        OpTypeError: a bound is not an integer, or a carry changes its type.
        ArgumentError: a carry changes its structure.
    """
    loc = user_loc()
    first, last = known_size(lower), known_size(upper)
    if first is not None and last is not None:
        return _fori_known(first, last, body_fn, init, loc)
    name = "fori_loop"

    def build(trace: Trace, given: Any) -> Any:
        low = _bound(trace, given[0], "lower", loc)
        high = _bound(trace, given[1], "upper", loc)
        carry = Carry(name, trace, given[2], loc)
        carry.add(low, "the counter")
        limit = TracedArray(trace, high)

        def step(held: Any) -> Any:
            made = body_fn(*held)
            wanted, got = flatten(given[2])[1], flatten(made)[1]
            demand_structure(name, "the carry", wanted, got, body_fn)
            return held[0] + 1, made

        def goes_on(held: Any) -> Any:
            return held[0] < limit

        return build_while(trace, carry, goes_on, step, body_fn)[1]

    return _enter(name, build, (lower, upper, init))


def _fori_known(
    first: Size,
    last: Size,
    body_fn: Callable[[Any, Any], Any],
    init: Any,
    loc: Loc | None,
) -> Any:
    name = "fori_loop"

    def build(trace: Trace, given: Any) -> Any:
        b = trace.builder
        b.loc = loc
        length = smax(last - first, 0)
        steps = b.op("iota", axis=0, type=TensorType(I64, (length,)))
        if first != 0:
            start = b.broadcast(b.constant(first, I64), (length,))
            steps = b.op("add", steps, start)
        carry = Carry(name, trace, given, loc)

        def step(held: Any, i: Any) -> Any:
            return body_fn(i, held), None

        xs = TracedArray(trace, steps)
        return build_scan(trace, carry, step, xs, length, False, body_fn)[0]

    return _enter(name, build, init)


def scan(
    f: Callable[[Any, Any], Any],
    init: Any,
    xs: Any = None,
    length: Any = None,
    reverse: bool = False,
    checkpoints: "int | str | None" = None,
) -> Any:
    """Run a body for each element along the first axes of arrays.

    Args:
        f: takes the carry and one element of `xs`; returns the next carry and a result.
        init: the first carry, as of `while_loop`.
        xs: arrays with first axes of one size, nested; or None, with `length`.
        length: the number of steps: an int, or a size such as `x.shape[0]`.
        reverse: whether to begin with the last element.
        checkpoints: how many carries the adjoint keeps; it runs the steps between them
            again. "auto" keeps as many as let every step run at most twice more. All
            are kept by default, and what else the adjoint reads of the steps.

    Returns:
        The last carry, and the results stacked along a new first axis; that of element
        k at place k.

    Raises:
        OpTypeError: a carry changes its type.
        ArgumentError: f returns something else; xs and length do not tell the steps.
        SizeError: first axes, or they and the length, disagree.
    """
    loc = user_loc()
    kept = 0 if checkpoints is None else AUTO if checkpoints == "auto" else checkpoints
    if type(kept) is not int or (kept < 1 and checkpoints not in (None, "auto")):
        raise ArgumentError(
            f"scan: checkpoints is None, 'auto' or how many carries to keep, got "
            f"{checkpoints!r}{traced_at(loc)}"
        )

    def build(trace: Trace, given: Any) -> Any:
        sequences, count = read_sequences("scan", trace, given[1], length, loc)
        carry = Carry("scan", trace, given[0], loc)
        return build_scan(trace, carry, f, sequences, count, reverse, f, kept)

    return _enter("scan", build, (init, xs))


def map(f: Callable[[Any], Any], xs: Any) -> Any:
    """Return the results of a function for each element along first axes, stacked.

    Args:
        f: takes one element of `xs`; returns arrays, nested.
        xs: arrays with first axes of one size, nested.

    Raises:
        ArgumentError: there is no array in xs.
        SizeError: first axes disagree.
    """
    loc = user_loc()

    def build(trace: Trace, given: Any) -> Any:
        sequences, count = read_sequences("map", trace, given, None, loc)
        carry = Carry("map", trace, None, loc)

        def step(held: Any, x: Any) -> Any:
            return held, f(x)

        return build_scan(trace, carry, step, sequences, count, False, f)[1]

    return _enter("map", build, xs)


# -- branches --------------------------------------------------------------------------


def cond(
    pred: Any,
    true_fn: Callable[..., Any],
    false_fn: Callable[..., Any],
    *operands: Any,
) -> Any:
    """Return what one of two functions returns, and run only that one.

    Args:
        pred: a scalar bool. One that is known when tracing, a Python or a NumPy bool,
            chooses at once, and the other function is not called.
        true_fn: takes the operands; called where `pred` holds.
        false_fn: takes the operands; returns the same structure and types.
        operands: arrays and numbers, nested. Functions may read others from around.

    Raises:
        OpTypeError: pred is not a scalar bool, or the functions' types differ.
        ArgumentError: the functions' structures differ.
    """
    loc = user_loc()
    known = known_number(pred)
    if isinstance(known, bool):
        return true_fn(*operands) if known else false_fn(*operands)
    if known is not None:
        raise not_bool("cond", str(_kind_of(pred)), loc)

    def build(trace: Trace, given: Any) -> Any:
        value = trace.lift(given[0], "cond: the condition")._value
        if value.type != TensorType(BOOL, ()):
            raise not_bool("cond", str(value.type), loc)
        trace.builder.loc = loc
        index = cast_to(trace.builder, value, I64)
        functions, names = (false_fn, true_fn), ("false_fn", "true_fn")
        return build_switch("cond", trace, index, functions, names, given[1], loc)

    return _enter("cond", build, (pred, operands))


def switch(index: Any, branches: Sequence[Callable[..., Any]], *operands: Any) -> Any:
    """Return what one of several functions returns, and run only that one.

    Args:
        index: an integer without axes, from 0. One that is known when tracing chooses
            at once, and no other function is called.
        branches: each takes the operands; all return the same structure and types.
        operands: arrays and numbers, nested.

    Raises:
        OpTypeError: the index is not an integer, or the functions' types differ.
        ArgumentError: there is no branch, or the functions' structures differ.
        IndexError: there is no such branch; where the index is traced, when it runs.
    """
    loc = user_loc()
    functions = tuple(branches)
    if not functions:
        raise ArgumentError(f"switch: needs at least one branch{traced_at(loc)}")
    known = known_number(index)
    if known is not None:
        if type(known) is not int:
            raise _not_index(str(_kind_of(index)), loc)
        if not 0 <= known < len(functions):
            raise IndexOutOfRange(
                f"switch: index {known}: there are {len(functions)} branches"
                f"{traced_at(loc)}"
            )
        return functions[known](*operands)

    def build(trace: Trace, given: Any) -> Any:
        value = trace.lift(given[0], "switch: the index")._value
        if value.type.dtype.kind not in "iu" or value.type.shape:
            raise _not_index(str(value.type), loc)
        trace.builder.loc = loc
        chosen = cast_to(trace.builder, value, I64)
        names = [f"branch {k}" for k in range(len(functions))]
        return build_switch("switch", trace, chosen, functions, names, given[1], loc)

    return _enter("switch", build, (index, operands))


# -- arguments -------------------------------------------------------------------------


def _kind_of(x: Any) -> str:
    return type(x).__name__ if isinstance(x, bool | int | float) else f"{x.dtype}[]"


def _bound(trace: Trace, x: Any, what: str, loc: Loc | None) -> Value:
    """Return a bound of a loop as an i64."""
    value = trace.lift(x, f"fori_loop: {what}")._value
    if value.type.dtype.kind not in "iu" or value.type.shape:
        raise OpTypeError(
            f"fori_loop: {what} is {value.type}, an integer without axes expected"
            f"{traced_at(loc)}"
        )
    return cast_to(trace.builder, value, I64)


def _not_index(got: str, loc: Loc | None) -> OpTypeError:
    return OpTypeError(
        f"switch: the index is {got}, an integer without axes expected{traced_at(loc)}"
    )


__all__ = ["cond", "fori_loop", "map", "scan", "switch", "while_loop"]
