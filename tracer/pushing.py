"""`jvp` and `linearize`: how a function's value moves with its arguments."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..ir.errors import ArgumentError, EscapedValue
from ..ir.forward import pushforward
from ..ir.graph import Value
from ..ir.loc import traced_at, user_loc
from ..ir.passes.partition_vjp import split_jvp
from .array import TracedArray
from .function import Function, function, one_class
from .halves import Halves, compile_halves, seed_array
from .signature import Static
from .state import STATE
from .trace import Trace, name_of, place_of
from .trees import Structure, aligned, flatten, paths, unflatten


class _Setting:
    """A static argument, which is one leaf whatever it is."""

    __slots__ = ("held",)

    def __init__(self, held: Any) -> None:
        self.held = held


def is_setting(leaf: Any) -> bool:
    """Return whether a leaf is no array: it is passed on as it is."""
    return isinstance(leaf, (bool, str, bytes, _Setting)) or callable(leaf)


def tangents_of(
    trace: Trace,
    structure: Structure,
    values: Sequence[Value],
    tree: Any,
    name: str,
    what: str,
) -> dict[Value, Value]:
    """Return the tangents of values.

    Args:
        trace: the open trace.
        structure: that of the tree whose leaves the values are.
        values: one a leaf.
        tree: tangents in this structure; None stands for zeros.
        name: what messages call the transformed function.
        what: what they call the tree.

    Raises:
        ArgumentError: a tangent does not fit its value.
    """
    try:
        leaves = aligned(structure, tree)
    except LookupError:
        raise ArgumentError(
            f"{name}: {what} does not have the structure of what it belongs to"
        ) from None
    moving: dict[Value, Value] = {}
    for x, leaf, path in zip(values, leaves, paths(structure, ""), strict=True):
        if leaf is None:
            continue
        said = f"{name}: {what}{path}"
        t = trace.lift(leaf, said)._value
        if not x.type.dtype.is_float:
            raise ArgumentError(
                f"{said} is {t.type}, {x.type} does not move: pass None"
            )
        if t.type.dtype.kind in "iu" or (type(leaf) is float and t.type.shape == ()):
            t = trace.builder.op("cast", t, dtype=x.type.dtype)
        if t.type != x.type:
            raise ArgumentError(f"{said} is {t.type}, what it belongs to {x.type}")
        moving[x] = t
    return moving


class Pushforward(Function):
    """The value of a function and its tangent: takes arguments, then tangents."""

    def __init__(self, fun: Callable[..., Any], name: str, **options: Any) -> None:
        def pushed(primals: Any, tangents: Any) -> Any:
            return fun(*primals)

        super().__init__(pushed, name, **options)
        self._inner = fun

    def _body(
        self, trace: Trace, args: Sequence[Any], options: Mapping[str, Any], fresh: bool
    ) -> Any:
        primals, tangents = args
        moved = _Moved(trace, self._inner, primals, self._name)
        made = moved.push(tangents)
        return moved.value, made


class _Moved:
    """A function run in a trace, to be pushed forward."""

    def __init__(
        self, trace: Trace, fun: Callable[..., Any], primals: Any, name: str
    ) -> None:
        self._trace, self._name, self._fun = trace, name, fun
        static = fun._reader.static_argnums if isinstance(fun, Function) else ()
        held = [_Setting(p) if k in static else p for k, p in enumerate(primals)]
        leaves, self._structure = flatten(tuple(held))
        given: list[Any] = list(leaves)
        self._values: list[Value] = []
        for k, leaf in enumerate(leaves):
            if is_setting(leaf):
                self._values.append(trace.builder.constant(False))
                continue
            array = trace.lift(leaf, f"{name}: an argument")
            if array._value.type.dtype.is_float:
                array = given[k] = trace.alias(array)
            self._values.append(array._value)
        start = len(trace.builder.nodes)
        args = unflatten(self._structure, given)
        result = fun(*[a.held if type(a) is _Setting else a for a in args])
        found, self._result = flatten(result)
        what = f"{name}: a result"
        self._outputs = [trace.lift(leaf, what)._value for leaf in found]
        self._nodes = trace.builder.nodes[start:]
        outputs = [TracedArray(trace, x) for x in self._outputs]
        self.value = unflatten(self._result, outputs)

    def push(self, tangents: Any) -> Any:
        """Return the tangent of the value; None for what is not a float."""
        trace = self._trace.innermost()
        b = trace.builder
        if trace.closed:
            raise EscapedValue(
                f"the tangent of {name_of(self._fun)} was asked for after the trace of "
                f"{trace.name} closed{traced_at(user_loc())}\n  use it in the function"
            )
        tree = tuple(tangents) if isinstance(tangents, list) else tangents
        moving = tangents_of(
            trace, self._structure, self._values, tree, self._name, "tangents"
        )
        first = len(b.nodes)
        made = pushforward(b, self._nodes, moving, self._outputs)
        leaves = [
            None
            if not y.type.dtype.is_float
            else TracedArray(trace, b.zeros(y.type) if t is None else t)
            for y, t in zip(self._outputs, made, strict=True)
        ]
        trace.adjoints.append((first, len(b.nodes)))
        return unflatten(self._result, leaves)


def jvp(
    fun: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Any, Any]:
    """Return the value of a function, and its derivative along tangents.

    Args:
        fun: a function over arrays, with any structure of results. A decorated one is
            compiled once a signature, any other at every call.
        primals: its arguments, a tuple or a list.
        tangents: one for each argument, in its structure; None for what does not move,
            as whatever is not a float.

    Returns:
        The value and its tangent, both in the structure of the result; the tangent has
        None for what is not a float. Where a tangent is 0, poles give 0.

    Raises:
        ArgumentError: a tangent does not fit its argument.
    """
    for given, what in ((primals, "primals"), (tangents, "tangents")):
        if not isinstance(given, (tuple, list)):
            raise ArgumentError(
                f"jvp of {name_of(fun)}: {what} is a tuple with one entry an argument, "
                f"got a {type(given).__name__}"
            )
    if len(primals) != len(tangents):
        raise ArgumentError(
            f"jvp of {name_of(fun)}: {len(tangents)} tangents for {len(primals)} "
            "arguments"
        )
    made = fun.made.get("jvp") if isinstance(fun, Function) else None
    if made is None:
        options: dict[str, Any] = {}
        if isinstance(fun, Function):
            options["check_numerics"] = fun._check_numerics
            options["threads"] = fun._threads
        made = one_class(Pushforward, fun, f"jvp of {name_of(fun)}", **options)
        if isinstance(fun, Function):
            fun.made["jvp"] = made
    held = list(primals)
    if STATE.trace is None and isinstance(fun, Function):
        for k in fun._reader.static_argnums:
            if k < len(held):
                held[k] = Static(held[k])
    value, tangent = made(tuple(held), tuple(tangents))
    return value, tangent


# -- linear maps -----------------------------------------------------------------------


class Linear:
    """The derivative of a function at a point: takes tangents, gives a tangent.

    May be called any number of times.
    """

    def __init__(self, name: str, push: Callable[[tuple[Any, ...]], Any]) -> None:
        self._name = name
        self._push = push

    def __repr__(self) -> str:
        return f"<derivative of {self._name}>"

    def __call__(self, *tangents: Any) -> Any:
        """Return the tangent of the value, in its structure.

        Args:
            tangents: one for each argument, in its structure; None for what does not
                move, as whatever is not a float.

        Raises:
            ArgumentError: a tangent does not fit its argument.
        """
        return self._push(tangents)


def linearize(fun: Callable[..., Any], *primals: Any) -> tuple[Any, Linear]:
    """Return the value of a function, and its derivative there as a linear function.

    Args:
        fun: a function over arrays, with any structure of results. A decorated one is
            compiled once a signature, any other at every call.
        primals: its arguments. Those the derivative reads again are copied.

    Returns:
        The value, and a callable that takes one tangent an argument. What the two share
        is computed once: two programs are compiled, as those of `vjp`.

    Raises:
        ArgumentError: no argument has floats, or one is a tensor of a tape.
    """
    trace = STATE.trace
    name = name_of(fun)
    if trace is not None:
        moved = _Moved(trace, fun, primals, f"linearize of {name}")
        return moved.value, Linear(name, moved.push)
    made: Function = fun if isinstance(fun, Function) else function(fun)
    call = made._reader.read(primals, {})
    if call.taped:
        raise ArgumentError(
            f"linearize of {name}: takes arrays: on tensors use jvp, which is recorded"
        )
    made._check_types(call)
    compiled = made._traced(call)
    halves: Halves | None = compiled.made.get("linearize")
    if halves is None:
        label = f"linearize of {name}"
        halves = compile_halves(
            compiled, split_jvp, label, place_of(fun), made._threads
        )
        compiled.made["linearize"] = halves
    ran = halves.run(made, compiled, call)
    at = [compiled.arrays[k] for k in halves.wrt]
    kinds = [ran.arrays[k] for k in halves.wrt]
    where = made._reader.leaf_paths(call.structure)
    structure = call.structure[3][0]

    def push(tangents: tuple[Any, ...]) -> Any:
        try:
            leaves = aligned(structure, tangents)
        except LookupError:
            raise ArgumentError(
                f"linearize of {name}: the tangents do not have the structure of the "
                "arguments"
            ) from None
        extra = [k for k, x in enumerate(leaves) if x is not None and k not in at]
        if extra:
            raise ArgumentError(
                f"linearize of {name}: {where[extra[0]]} does not move: pass None"
            )
        seeds = [
            seed_array(leaves[k], x, f"linearize of {name}: the tangent of {where[k]}")
            for k, x in zip(at, kinds, strict=True)
        ]
        found = iter(ran.again(seeds))
        return unflatten(
            compiled.result, [next(found) if f else None for f in ran.floats]
        )

    return ran.value, Linear(name, push)
