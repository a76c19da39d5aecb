"""A trace: a Python function run once on arrays without values, into a graph.

Decorated functions met inside a trace are traced into it. The body of a loop or a
branch has a trace of its own inside the open one, which reads arrays of those around
it; what is called meanwhile goes into the innermost. A trace that is closed answers no
more: its arrays have escaped.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ..ir.errors import (
    ArgumentError,
    EscapedValue,
    OpTypeError,
    SizeError,
    TracedValueError,
)
from ..ir.graph import Graph, Value
from ..ir.loc import Loc, register_room, traced_at, user_loc
from ..ir.sizes import SizeExpr, names_in
from ..ir.types import TensorType
from .array import TracedArray, described
from .builders import TraceBuilder
from .functions.table import Impl
from .operands import value as as_value
from .operators import Operators
from .pair import Pair, complex_array, instead, stacked
from .state import STATE
from .trees import Structure, flatten, has_parts, packed, paths, unflatten

register_room(__file__)


class Check(NamedTuple):
    """A value that is checked at every call: `failing` counts what is not finite.

    There is no value where it is one of a loop's or a branch's: it has a count alone.
    """

    value: Value | None
    failing: Value
    message: str
    loc: Loc | None


class Trace:
    """An open trace: its builder, and the way from arrays to values and back."""

    parent: "Trace | None" = None

    def __init__(self, name: str) -> None:
        self.name = name
        self.builder = TraceBuilder()
        self.closed = False
        self.inner: Trace | None = None  # of a loop or a branch that is being traced
        # numbers of the user that became inputs: weak, as they are in Python
        self.weak: dict[Value, int | float] = {}
        # of the adjoints built here: where they begin and end among the nodes
        self.adjoints: list[tuple[int, int]] = []
        # of a gradient: its value, and what comes with it
        self.primals: list[Value] = []
        self.checks: list[Check] = []
        # says whether values are true, where `if` and `while` split the program
        self.decide: Callable[[Trace, Value], bool] | None = None
        self.gone: set[Value] = set()  # of programs that were taken back

    # -- ops -----------------------------------------------------------------------

    def call(self, impl: Impl, args: Sequence[Any], options: dict[str, Any]) -> Any:
        """Run a function on what user code passed; returns traced arrays.

        Raises:
            EscapedValue: the trace is closed.
            OpTypeError, SizeError: with the user's line.
        """
        if self.closed:
            raise self._escaped(args)
        if self.inner is not None:
            return self.innermost().call(impl, args, options)
        if self.gone:
            self._stays(args)
        b = self.builder
        b.loc = user_loc(2)
        try:
            given = [
                a._value
                if type(a) is TracedArray and a._trace is self
                else self.unwrap(a)
                for a in args
            ]
            if options:
                out = impl(b, *given, **{k: self.unwrap(v) for k, v in options.items()})
            else:
                out = impl(b, *given)
        except (OpTypeError, SizeError) as error:
            other = instead(impl, args, options)
            if other is not None:
                return self.call(other, args, options)
            if b.loc is None or "traced at:" in str(error):
                raise
            raise type(error)(f"{error}{traced_at(b.loc)}") from None
        if type(out) is Value:
            return TracedArray(self, out)
        return self._wrapped(out)

    def _wrapped(self, out: Any) -> Any:
        if isinstance(out, Value):
            return TracedArray(self, out)
        if isinstance(out, (tuple, list)):
            make = getattr(type(out), "_make", type(out))  # a named tuple has its own
            return make([self._wrapped(item) for item in out])
        return complex_array(self, out) if type(out) is Pair else out

    def unwrap(self, x: Any) -> Any:
        """Return what a function gets for x: Values for traced arrays, in lists too."""
        if isinstance(x, Operators):
            if not isinstance(x, TracedArray):
                return self.tensor(x)
            if x._trace is self or x._trace.innermost() is self:
                return x._value
            raise x._trace._escaped((x,))
        if isinstance(x, slice):
            if any(isinstance(p, Operators) for p in (x.start, x.stop, x.step)):
                return slice(*[self.unwrap(p) for p in (x.start, x.stop, x.step)])
            return x
        if type(x) is tuple or type(x) is list:
            return type(x)([self.unwrap(item) for item in x])
        return x

    def innermost(self) -> "Trace":
        """Return the trace that what is called now goes into; itself where closed."""
        found = self
        while found.inner is not None:
            found = found.inner
        return found

    def tensor(self, x: Any) -> Any:
        """Return what a function gets for a tensor of a tape."""
        return x._as_constant()

    def _escaped(self, args: Sequence[Any]) -> EscapedValue:
        found = [a for a in args if isinstance(a, TracedArray)]
        what = described(found[0]._value) if found else "a traced array"
        made = found[0]._value.node if found else None
        where = f"\n  made at: {made.loc}" if made is not None and made.loc else ""
        if not self.closed:
            return EscapedValue(
                f"{what} was used in another trace than its own, that of {self.name}"
                f"{traced_at(user_loc(3))}{where}"
                "\n  pass it as an argument, or return it among the residuals"
            )
        return EscapedValue(
            f"{what} was used after the trace of {self.name} closed"
            f"{traced_at(user_loc(3))}{where}"
            "\n  return it from the function instead of keeping it elsewhere"
        )

    # -- inputs and outputs --------------------------------------------------------

    def argument(self, kind: TensorType, name: str) -> TracedArray:
        """Add an input and return its array."""
        return TracedArray(self, self.builder.input(kind, name))

    def lift(self, leaf: Any, what: str) -> TracedArray:
        """Return a leaf of a result, or of a call's arguments, as a traced array.

        Raises:
            ArgumentError: it is neither an array nor a number.
        """
        if isinstance(leaf, TracedArray) and leaf._trace is self:
            if self.gone:
                self._stays([leaf])
            held: Any = leaf._value
            if type(held) is Pair:
                raise ArgumentError(f"{what} is {held.type}, not a real array")
            return leaf
        self.builder.loc = self.builder.loc or user_loc(2)
        try:
            return TracedArray(self, as_value(self.builder, self.unwrap(leaf), what))
        except OpTypeError:
            raise ArgumentError(
                f"{what} is a {type(leaf).__name__}, not an array or a number: {leaf!r}"
            ) from None

    def alias(self, x: TracedArray) -> TracedArray:
        """Return x as a value of its own, so that it can be told from other uses."""
        value = x._value
        made = self.builder.op("reshape", value, shape=value.type.shape)
        return TracedArray(self, made)

    def spread(
        self, start: int, batched: Mapping[Value, Value], size: "int | SizeExpr"
    ) -> dict[Value, Value]:
        """Give what was traced from node `start` on a leading axis.

        Args:
            start: the number of the first node.
            batched: for values that stood in for one row, the array of all rows.
            size: how many rows.

        Returns:
            The array of all rows for each value that depends on these.
        """
        b = self.builder
        from ..ir.batching import batch  # lazy: few traces map over rows

        made = batch(b, b.take_back(start), batched, size)
        values, starts = made.values, made.starts
        self.leave(values)
        self.adjoints = [
            (_after(starts, start, first), _after(starts, start, last))
            for first, last in self.adjoints
        ]
        self.checks = [self._check_of_rows(check, values) for check in self.checks]
        return values

    def leave(self, values: Iterable[Value]) -> None:
        """Note values that no node of the program makes any more."""
        self.gone.update(values)

    def _check_of_rows(self, check: Check, values: Mapping[Value, Value]) -> Check:
        if check.failing not in values:
            return check
        counts = values[check.failing]
        total = self.builder.op("sum", counts, axes=(0,))
        value = None if check.value is None else values[check.value]
        return check._replace(value=value, failing=total)

    def _stays(self, args: Sequence[Any]) -> None:
        """Raise EscapedValue where a stand-in is used outside."""
        leaves, _ = flatten(list(args))
        for a in leaves:
            if isinstance(a, TracedArray) and a._value in self.gone:
                raise EscapedValue(
                    f"{described(a._value)} was used after the function it stands for "
                    f"one row or one argument in returned{traced_at(user_loc(3))}"
                    "\n  return it from that function instead of keeping it elsewhere"
                )

    # -- opening and closing -------------------------------------------------------

    def __enter__(self) -> "Trace":
        assert STATE.trace is self.parent, "another trace is open in this thread"
        STATE.trace = self
        if self.parent is not None:
            self.parent.inner = self
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, traceback: object
    ) -> None:
        STATE.trace = self.parent
        if self.parent is not None:
            self.parent.inner = None
        self.closed = True
        if isinstance(error, ValueError):
            cause = error.__cause__
            if isinstance(cause, TracedValueError):
                # array[0] = traced: NumPy hides the reason behind one of its own
                raise cause from None


def _after(starts: Sequence[int], start: int, number: int) -> int:
    """Return where a node stands after those from `start` on have changed."""
    return number if number < start else starts[number - start]


def name_of(fun: Callable[..., Any]) -> str:
    """Return a function's name, for graphs and messages."""
    return getattr(fun, "__name__", type(fun).__name__)


def place_of(fun: Callable[..., Any]) -> str:
    """Return the line of an error message that points at a function's definition."""
    inner = fun
    while not hasattr(inner, "__code__"):
        following = getattr(inner, "__wrapped__", getattr(inner, "func", None))
        if following is None:
            return ""
        inner = following
    code = inner.__code__
    return f"\n  defined at: {code.co_filename}:{code.co_firstlineno} in {name_of(fun)}"


def finish(
    trace: Trace, result: Any, names: Sequence[str] = (), checked: bool = False
) -> tuple[Graph, Structure]:
    """Return the graph of a trace with the leaves of `result` as its outputs.

    The counts of the trace's checks are the last outputs, where `checked` says that
    whoever runs the graph looks at them.

    Raises:
        ArgumentError: there are checks, and nobody would look.
    """
    if trace.checks and not checked:
        raise ArgumentError(
            f"{trace.name}: check_numerics raises from Python, and has no form in a "
            f"program that is compiled ahead of time{traced_at(trace.checks[0].loc)}"
        )
    leaves, structure = flatten(result)
    if has_parts(structure):
        leaves, structure = packed(structure, leaves, partial(stacked, trace))
    what = f"{trace.name}: a result"
    outputs = [trace.lift(leaf, what)._value for leaf in leaves]
    found = list(names) or paths(structure, "out")
    outputs += [check.failing for check in trace.checks]
    found += [f"check {k}" for k in range(len(trace.checks))]
    graph = trace.builder.finish(trace.name, outputs, found)
    known: dict[str, None] = {}
    for x in graph.inputs:
        for d in x.type.shape:
            for size in sorted(names_in(d)):
                known[size] = None
    graph.sizes[:] = list(known)
    return graph, structure


def trace(
    fun: Callable[..., Any],
    specs: Sequence[Any],
    names: Sequence[str],
) -> Graph:
    """Trace a function on arguments of given types.

    Args:
        fun: takes one argument a spec.
        specs: trees of TensorTypes, one an argument; sizes may be named.
        names: the arguments' names.

    Returns:
        The graph; its inputs are the leaves in order, its outputs the leaves of the
        result.
    """
    session = Trace(name_of(fun))
    with session:
        args = []
        for spec, name in zip(specs, names, strict=True):
            leaves, structure = flatten(spec)
            arrays = [
                session.argument(kind, path)
                for kind, path in zip(leaves, paths(structure, name), strict=True)
            ]
            args.append(unflatten(structure, arrays))
        return finish(session, fun(*args))[0]
