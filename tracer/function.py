"""Decorated functions: traced once a signature, then native.

Every instance has a class of its own: once a call of plain positional arrays is
compiled, the class's `__call__` is the native entry itself, and Python calls it without
a detour.
What the entry does not take comes back to `_call`.
"""

import functools
import threading
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ..ir.errors import ArgumentError, PullbackError
from ..ir.graph import Graph
from ..ir.log import log
from ..ir.types import TensorType
from . import engine
from .array import TracedArray
from .compiled import Compiled, fitted
from .dim import SizeAsked
from .mode import MODE, interpreted
from .numerics import examine, raise_failed
from .paths import MOST_PATHS, Decider, Paths, run_on_path, with_truths
from .signature import Call, Kind, Reader, Static, demand_fits
from .state import STATE
from .tensor import Tensor, current_recorder
from .trace import Trace, finish, name_of
from .trees import LEAF, index_tree, unflatten
from .varying import Varying
from .why import reason

if TYPE_CHECKING:
    from .explain import Explanation


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
        branches: "str | None" = None,
        max_paths: int = MOST_PATHS,
        threads: "int | None" = None,
        running: "str | None" = None,  # `mode` of `function`: others have their own
    ) -> None:
        if running not in (None, "interpret"):
            raise ArgumentError(f"{name}: mode is None or 'interpret', got {running!r}")
        if branches not in (None, "trace"):
            raise ArgumentError(
                f"{name}: branches is None or 'trace', got {branches!r}"
            )
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
        self._branches = branches
        self._max_paths = max_paths
        self._running = running
        self._threads = threads
        self._paths: dict[Any, Paths] = {}
        nums = (static_argnums,) if isinstance(static_argnums, int) else static_argnums
        names = (
            (static_argnames,) if isinstance(static_argnames, str) else static_argnames
        )
        self._reader = Reader(fun, name, tuple(nums), tuple(names), shapes or {})
        self._compiled: dict[Any, Compiled] = {}
        self._asked: dict[Any, str] = {}  # named sizes that had to be numbers
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
        """How many programs have been compiled; those of `vjp` are two."""
        made = {id(m): m for m in self._compiled.values()}.values()
        plain = sum(m.program is not None for m in made)
        return plain + 2 * sum(len(m.made) for m in made)

    def graph(self, *args: Any, **options: Any) -> Graph:
        """Return the graph of a call, traced and not compiled.

        Leaves of the arguments are arrays, numbers or TensorTypes.
        """
        call = self._reader.read(args, options)
        if self._branches:
            return run_on_path(self, call)[0].made.graph
        try:
            return self._trace(call, call.kinds).graph
        except SizeAsked:
            if call.plain == call.kinds:
                raise
        return self._trace(call, call.plain).graph

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
        paths: tuple[str, ...] = ()
        if self._branches:
            made = run_on_path(self, call)[0].made
            paths = tuple(map(str, self._paths[call.key, call.taped].known))
        else:
            made = self._traced(call)
        if made.program is None:
            self._compile(call, made)
        compiled = {id(m): m.why for m in self._compiled.values() if m.program}
        where = self._reader.leaf_paths(call.structure)
        return engine.explain(
            made, self._name, where, call.kinds, tuple(compiled.values()), paths
        )

    # -- calling -------------------------------------------------------------------

    def _call(self, *args: Any, **options: Any) -> Any:
        if "out" in options and self._reader.takes_out:
            return engine.call_into(self, options.pop("out"), args, options)
        trace = STATE.trace
        if trace is not None:
            return self._body(trace, args, options, False)
        call = self._reader.read(args, options)
        if self._branches:
            return run_on_path(self, call)[1]
        made = self._traced(call)
        if call.taped:
            return self._on_tape(call, made)
        if made.program is None:
            self._prepare(call, made)
        arrays = [
            fitted(call.leaves[at], x.type.dtype.numpy)
            for at, x in zip(made.arrays, made.graph.inputs, strict=False)
        ]
        if made.entry is not None and not STATE.entering and MODE.is_native:
            if type(self).__call__ is not made.entry:
                MODE.install(type(self), made.entry)
            STATE.entering = True  # should it miss all the same, `run` says why
            try:
                return made.entry(*arrays)
            finally:
                STATE.entering = False
        return self._arranged(made, self._run_native(made, arrays), arrays)

    def _run_native(self, made: Compiled, arrays: Sequence[Any]) -> list[Any]:
        if made.program is None:
            see = MODE.interpreters[-1] if MODE.interpreters else None
            return interpreted(made.graph, arrays, see)
        return MODE.run(made.program, made.graph, arrays)

    def _prepare(self, call: Call, made: Compiled) -> None:
        """Compile, where calls are not interpreted now."""
        if not (MODE.interpreters or self._running):
            self._compile(call, made)

    def _arranged(
        self, made: Compiled, results: Sequence[Any], arrays: Sequence[Any]
    ) -> Any:
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
            program = engine.compile_graph(made.graph, self._threads)
            positional, named = call.structure[3]
            tree = index_tree(made.result)
            plain = not named[3] and all(part == LEAF for part in positional[3])
            plain = plain and 0 < len(made.arrays) == len(call.leaves)
            plain = plain and not (made.checks or made.decisions or self._branches)
            plain = plain and not self._check_numerics
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
        leaves = [call.leaves[at] for at in made.arrays]
        found = current_recorder().replay(made.graph, leaves)
        return self._from_tape(call, made, found)

    def _from_tape(self, call: Call, made: Compiled, found: Sequence[Any]) -> Any:
        if made.checks or self._check_numerics:
            given = [call.leaves[at] for at in made.arrays]
            arrays = [x._array() if isinstance(x, Tensor) else x for x in given]
            self._examine(made, arrays, [t._array() for t in found])
        return unflatten(made.result, found)

    # -- tracing -------------------------------------------------------------------

    def _traced(self, call: Call) -> Compiled:
        if self._branches:
            raise ArgumentError(
                f"{self._name}: branches='trace' goes with grad and value_and_grad "
                "only: its program depends on the values of the arguments"
            )
        key = (call.key, call.taped)
        made = self._compiled.get(key)
        asked = self._asked.get(key)
        if asked is None and made is None:
            with self._lock:
                try:
                    made = self._general(call) or self._trace(call, call.kinds)
                except SizeAsked as error:
                    if call.plain == call.kinds:
                        raise
                    asked = self._asked[key] = error.what
                else:
                    self._keep(key, made, call.key)
        if asked is not None:
            # a program for each shape, as if no size were named
            call.kinds = call.plain
            key = (call.key, call.taped)
            made = self._compiled.get(key)
            if made is None:
                with self._lock:
                    made = self._trace(call, call.kinds)
                    made.asked = asked
                    self._keep(key, made, call.key)
        assert made is not None, "traced above"
        return made

    def _keep(self, key: Any, made: Compiled, now: Any) -> None:
        if not made.why:
            known = [k[0] for k in self._compiled if k[1] == key[1]]
            made.why = reason(known, now, self._reader)
            if made.asked:
                made.why += f"; {made.asked}"
        self._compiled[key] = made

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
        asked = ""
        for general in self._varying.candidates(structure, kinds):
            try:
                made = self._trace(call, general)
            except SizeAsked as error:
                asked = error.what
                continue
            except PullbackError:
                continue
            if not made.graph.guards:
                self._varying.keep(structure, general, made)
                return made
        self._varying.saw(structure, kinds)
        if not asked:
            return None
        made = self._trace(call, kinds)
        made.asked = asked
        return made

    def _trace(
        self,
        call: Call,
        kinds: "tuple[Kind, ...]",
        decide: "Decider | None" = None,
    ) -> Compiled:
        began = perf_counter()
        session = Trace(self._name)
        session.decide = decide
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
        made = Compiled(
            graph,
            tuple(arrays),
            structure,
            tuple(session.primals),
            tuple(session.adjoints),
            tuple(session.checks),
            perf_counter() - began,
        )
        if decide is not None:
            made.graph = with_truths(graph, decide)
            made.decisions = tuple(decide.answers)
        return made

    def _bind(self, args: Sequence[Any], options: Mapping[str, Any]) -> None:
        """Raise ArgumentError where a call does not fit the function's parameters."""
        demand_fits(self._fun, self._name, args, options)

    def _body(
        self, trace: Trace, args: Sequence[Any], options: Mapping[str, Any], fresh: bool
    ) -> Any:
        """Run on traced arguments; `fresh` says that they are inputs of the trace."""
        return self._fun(*args, **options)


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
    branches: "str | None" = None,
    max_paths: int = MOST_PATHS,
    threads: "int | None" = None,
    mode: "str | None" = None,
) -> Any:
    """Return a function compiled for each signature of arguments it meets.

    Args:
        fun: a Python function over arrays; NumPy's functions work inside.
        static_argnums: positions of arguments that are settings, compared by equality.
        static_argnames: names of such arguments.
        shapes: sizes by argument name, as {"x": "n,3"}: one program for every n but 1.
            Sizes of one name are equal. Where the function needs one as a number, as
            int(x.shape[0]), there is a program for each shape; `explain` says so.
        check_numerics: True to raise NonFiniteError where a result is not finite, with
            the op that made it so; "every" for every op whose result is not.
        branches: "trace" to split the program at each `if` and `while` on a traced
            value: one straight program for each path that calls take.
        max_paths: how many of them there may be for one signature.
        threads: how many a call may use; without it PULLBACK_THREADS says, else one.
            Only kernels with enough work are split, and no count changes a bit.
        mode: "interpret" to run calls op by op, by NumPy, as in `pb.interpret()`.

    Returns:
        The compiled function, or a decorator where `fun` is not given. Its calls take
        `out=`: arrays that results are written into, arranged as they are, or None.
    """
    options: dict[str, Any] = {
        "static_argnums": static_argnums,
        "static_argnames": static_argnames,
        "shapes": shapes,
        "check_numerics": check_numerics,
        "branches": branches,
        "max_paths": max_paths,
        "threads": threads,
    }
    if fun is None:
        return functools.partial(function, **options, mode=mode)
    options["running"] = mode
    return one_class(Function, fun, name_of(fun), **options)


__all__ = ["Compiled", "Function", "TracedArray", "function", "one_class"]
