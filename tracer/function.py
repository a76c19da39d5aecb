"""Decorated functions: traced once a signature, then native.

Every instance has a class of its own: once a call of plain positional arrays is
compiled, the class's `__call__` is the native entry itself, and Python calls it without
a detour.
What the entry does not take comes back to `_call`.
"""

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.errors import ArgumentError, PullbackError
from ..ir.graph import Graph, Value
from ..ir.log import log
from ..ir.types import TensorType
from . import engine
from .array import TracedArray
from .numerics import MODE, examine, raise_failed
from .signature import Call, Kind, Reader, Static
from .state import STATE
from .tensor import Tensor, current_recorder
from .trace import Check, Trace, finish, name_of, place_of
from .trees import LEAF, Structure, index_tree, unflatten
from .varying import Varying
from .why import reason

if TYPE_CHECKING:
    from .explain import Explanation


@dataclass(slots=True)
class Compiled:
    """A graph, where its inputs are among the leaves, and how results are arranged."""

    graph: Graph
    arrays: tuple[int, ...]
    result: Structure
    primals: tuple[Value, ...]  # of a gradient: its value, and what comes with it
    adjoints: tuple[tuple[int, int], ...]  # where they lie among the nodes
    checks: tuple[Check, ...]
    seconds: float  # that tracing took
    why: str = ""
    program: engine.Program | None = None
    entry: Callable[..., Any] | None = None
    # the two programs of its pullback, of its derivative; Any: made above this module
    made: dict[str, Any] = field(default_factory=dict)


class Function:
    """A Python function over arrays, compiled for each signature it meets."""

    def __init__(
        self,
        fun: Callable[..., Any],
        name: str,
        *,
        static_argnums: "int | Sequence[int]" = (),
        static_argnames: "str | Sequence[str]" = (),
        shapes: "Mapping[str, str] | None" = None,
        check_numerics: "bool | str" = False,
    ) -> None:
        if check_numerics not in (True, False, "every"):
            raise ArgumentError(
                f"{name}: check_numerics is True, False or 'every', "
                f"got {check_numerics!r}"
            )
        if not callable(fun):
            raise ArgumentError(
                f"{name}: takes a function, got a {type(fun).__name__}: {fun!r}"
            )
        functools.update_wrapper(self, fun)
        self._fun = fun
        self._name = name
        self._check_numerics = check_numerics
        nums = (static_argnums,) if isinstance(static_argnums, int) else static_argnums
        names = (
            (static_argnames,) if isinstance(static_argnames, str) else static_argnames
        )
        self._reader = Reader(fun, name, tuple(nums), tuple(names), shapes or {})
        self._compiled: dict[Any, Compiled] = {}
        self._varying: Varying[Compiled] = Varying()
        self.made: dict[str, Function] = {}  # transformed functions of it
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"<pullback function {self._name}>"

    def __call__(self, *args: Any, **options: Any) -> Any:  # noqa: D102 - as wrapped
        return self._call(*args, **options)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else functools.partial(self, instance)

    @property
    def compilations(self) -> int:
        """How many programs have been compiled."""
        return len({id(m) for m in self._compiled.values() if m.program is not None})

    def graph(self, *args: Any, **options: Any) -> Graph:
        """Return the graph of a call, traced and not compiled.

        Leaves of the arguments are arrays, numbers or TensorTypes.
        """
        call = self._reader.read(args, options)
        return self._trace(call, call.kinds).graph

    trace = graph

    def explain(self, *args: Any, **options: Any) -> "Explanation":
        """Return what is compiled for a call, and why; compiles it if it is not yet.

        Raises:
            ArgumentError: a leaf of the arguments is a tensor of a tape, or a type.
        """
        call = self._reader.read(args, options)
        if call.taped:
            raise ArgumentError(
                f"{self._name}: explain takes arrays: a call on tensors is recorded on "
                "their tape, not compiled alone"
            )
        made = self._traced(call)
        if made.program is None:
            self._compile(call, made)
        compiled = {id(m): m.why for m in self._compiled.values() if m.program}
        where = self._reader.leaf_paths(call.structure)
        return engine.explain(
            made, self._name, where, call.kinds, tuple(compiled.values())
        )

    # -- calling -------------------------------------------------------------------

    def _call(self, *args: Any, **options: Any) -> Any:
        trace = STATE.trace
        if trace is not None:
            return self._body(trace, args, options, False)
        call = self._reader.read(args, options)
        made = self._traced(call)
        if call.taped:
            return self._on_tape(call, made)
        if made.program is None:
            self._compile(call, made)
        arrays = [
            _fitted(call.leaves[at], x.type.dtype.numpy)
            for at, x in zip(made.arrays, made.graph.inputs, strict=False)
        ]
        if made.entry is not None and not STATE.entering and not MODE.users:
            if type(self).__call__ is not made.entry:
                MODE.install(type(self), made.entry)
            STATE.entering = True  # should it miss all the same, `run` says why
            try:
                return made.entry(*arrays)
            finally:
                STATE.entering = False
        assert made.program is not None, "compiled above"
        results = made.program.run(arrays)
        self._examine(made, arrays, results)
        return unflatten(made.result, [r if r.ndim else r[()] for r in results])

    def _examine(
        self, made: Compiled, arrays: Sequence[Any], results: Sequence[Any]
    ) -> None:
        """Raise NonFiniteError where numbers are checked and are not finite."""
        if made.checks:
            counts = results[len(results) - len(made.checks) :]
            raise_failed(made.graph, arrays, made.checks, counts)
        results = results[: len(results) - len(made.checks)]
        self._check(made.graph, arrays, results, made.adjoints)

    def _check(
        self,
        graph: Graph,
        arrays: Sequence[Any],
        results: Sequence[Any],
        adjoints: "Sequence[tuple[int, int]]",
    ) -> None:
        """Raise NonFiniteError where results are checked and are not finite."""
        wanted = self._check_numerics or MODE.users
        if wanted:
            every = wanted == "every" or MODE.every > 0
            examine(graph, arrays, results, adjoints, every, self._name)

    def _compile(self, call: Call, made: Compiled) -> None:
        """Compile, with a native entry where arguments and results are plain."""
        self._check_types(call)
        with self._lock:
            if made.program is not None:
                return
            log("compile", lambda: f"{self._label(call)}: {made.why}")
            program = engine.compile_graph(made.graph)
            positional, named = call.structure[3]
            tree = index_tree(made.result)
            plain = not named[3] and all(part == LEAF for part in positional[3])
            plain = plain and 0 < len(made.arrays) == len(call.leaves)
            plain = plain and not made.checks and not self._check_numerics
            if plain and tree is not None:
                made.entry = program.entry(tree, self._call)
            made.program = program

    def _label(self, call: Call) -> str:
        """Return the function with the types of a call's arguments."""
        where = self._reader.leaf_paths(call.structure)
        pairs = zip(where, call.kinds, strict=True)
        return f"{self._name}({', '.join(f'{path}: {kind}' for path, kind in pairs)})"

    def _check_types(self, call: Call) -> None:
        for kind, leaf in zip(call.kinds, call.leaves, strict=True):
            if leaf is kind and isinstance(kind, TensorType):
                raise ArgumentError(
                    f"{self._name}: called on the type {kind}: pass an array, "
                    "or use .graph for types"
                )

    def _on_tape(self, call: Call, made: Compiled) -> Any:
        found = current_recorder().replay(
            made.graph, [call.leaves[at] for at in made.arrays]
        )
        if made.checks or self._check_numerics:
            given = [call.leaves[at] for at in made.arrays]
            arrays = [x._array() if isinstance(x, Tensor) else x for x in given]
            self._examine(made, arrays, [t._array() for t in found])
        return unflatten(made.result, found)

    # -- tracing -------------------------------------------------------------------

    def _traced(self, call: Call) -> Compiled:
        key = (call.key, call.taped)
        made = self._compiled.get(key)
        if made is None:
            with self._lock:
                made = self._general(call) or self._trace(call, call.kinds)
                if not made.why:
                    made.why = reason(
                        [key[0] for key in self._compiled if key[1] == call.taped],
                        call.key,
                        self._reader.leaf_paths(call.structure),
                    )
                self._compiled[key] = made
        return made

    def _general(self, call: Call) -> "Compiled | None":
        """Return a trace of named sizes that serves a call of shapes that vary.

        There is none where the function needs a size as a number, or where an equality
        of sizes would have to be checked at every call: such a function has a program
        for each shape.
        """
        if call.taped or self._reader.shapes:
            return None  # a tape has sizes that are known; `shapes` says which vary
        structure, kinds = call.key
        made = self._varying.find(structure, kinds)
        if made is not None:
            return made
        for general in self._varying.candidates(structure, kinds):
            try:
                made = self._trace(call, general)
            except PullbackError:
                continue
            if not made.graph.guards:
                self._varying.keep(structure, general, made)
                return made
        self._varying.saw(structure, kinds)
        return None

    def _trace(self, call: Call, kinds: "tuple[Kind, ...]") -> Compiled:
        began = perf_counter()
        session = Trace(self._name)
        where = self._reader.leaf_paths(call.structure)
        given: list[Any] = []
        arrays: list[int] = []
        with session:
            for k, kind in enumerate(kinds):
                if isinstance(kind, Static):
                    given.append(kind.held)
                else:
                    arrays.append(k)
                    given.append(session.argument(kind, where[k]))
            args, options = unflatten(call.structure, given)
            self._bind(args, options)
            result = self._body(session, args, options, True)
            graph, structure = finish(session, result, checked=True)
        return Compiled(
            graph,
            tuple(arrays),
            structure,
            tuple(session.primals),
            tuple(session.adjoints),
            tuple(session.checks),
            perf_counter() - began,
        )

    def _bind(self, args: Sequence[Any], options: Mapping[str, Any]) -> None:
        """Raise ArgumentError where a call does not fit the function's parameters."""
        code = getattr(self._fun, "__code__", None)
        if code is None:
            return
        positional = code.co_varnames[: code.co_argcount]
        if len(args) > len(positional) and not code.co_flags & 0x04:
            raise ArgumentError(
                f"{self._name}: takes {len(positional)} arguments, {len(args)} given"
                f"{place_of(self._fun)}"
            )
        defaults = len(self._fun.__defaults__ or ())
        for k, name in enumerate(positional):
            if k < len(args) and name in options and k >= code.co_posonlyargcount:
                raise ArgumentError(
                    f"{self._name}: argument '{name}' is given twice"
                    f"{place_of(self._fun)}"
                )
            needed = k < len(positional) - defaults
            if k >= len(args) and name not in options and needed:
                raise ArgumentError(
                    f"{self._name}: argument '{name}' is missing{place_of(self._fun)}"
                )
        known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        for name in options:
            if name not in known and not code.co_flags & 0x08:
                raise ArgumentError(
                    f"{self._name}: there is no argument '{name}'{place_of(self._fun)}"
                )

    def _body(
        self, trace: Trace, args: Sequence[Any], options: Mapping[str, Any], fresh: bool
    ) -> Any:
        """Run on traced arguments; `fresh` says that they are inputs of the trace."""
        return self._fun(*args, **options)


def _fitted(leaf: Any, dtype: np.dtype[Any]) -> Any:
    """Return an argument as an array that a native entry takes."""
    array = np.asarray(leaf, dtype)
    flags = array.flags
    if not (flags.c_contiguous and flags.aligned):
        array = np.array(array, dtype, order="C", copy=True)
    return array


def one_class(
    base: type[Function], fun: Callable[..., Any], label: str, **options: Any
) -> Any:
    """Return an instance of `base` that has a class of its own."""
    name = name_of(fun)
    own = type(name, (base,), {"__doc__": getattr(fun, "__doc__", None)})
    return own(fun, label, **options)


def function(
    fun: "Callable[..., Any] | None" = None,
    *,
    static_argnums: "int | Sequence[int]" = (),
    static_argnames: "str | Sequence[str]" = (),
    shapes: "Mapping[str, str] | None" = None,
    check_numerics: "bool | str" = False,
) -> Any:
    """Return a function compiled for each signature of arguments it meets.

    Args:
        fun: a Python function over arrays; NumPy's functions work inside.
        static_argnums: positions of arguments that are settings, compared by equality.
        static_argnames: names of such arguments.
        shapes: sizes by argument name, as {"x": "n,3"}: one program for every n but 1.
        check_numerics: True to raise NonFiniteError where a result is not finite, with
            the op that made it so; "every" for every op whose result is not.

    Returns:
        The compiled function, or a decorator where `fun` is not given.
    """
    options: dict[str, Any] = {
        "static_argnums": static_argnums,
        "static_argnames": static_argnames,
        "shapes": shapes,
        "check_numerics": check_numerics,
    }
    if fun is None:
        return functools.partial(function, **options)
    return one_class(Function, fun, name_of(fun), **options)


__all__ = ["Compiled", "Function", "TracedArray", "function", "one_class"]
