"""`custom_vjp`, `custom_jvp` and `checkpoint`: derivatives that the user decides on.

A call traces the function as ever; its results are then named anew by an op that holds
the rule. The rule is traced on its own, once derivatives are asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any

from ..ir.custom import Custom, custom
from ..ir.custom_rules import Again, Pulled, Pushed
from ..ir.errors import ArgumentError
from ..ir.graph import Graph
from ..ir.ops.printing import silenced
from ..ir.types import TensorType
from .array import TracedArray
from .function import Function, one_class
from .gradient import inherit
from .pushing import is_setting
from .state import STATE
from .trace import Trace, finish, name_of, place_of
from .trees import aligned, flatten, paths, unflatten


class _Arrays:
    """A tree whose arrays are taken out, settings staying where they are."""

    def __init__(self, trace: Trace, tree: Any, what: str) -> None:
        self.leaves, self.structure = flatten(tree)
        self.at = [k for k, leaf in enumerate(self.leaves) if not is_setting(leaf)]
        self.values = [trace.lift(self.leaves[k], what)._value for k in self.at]
        self.kinds = [x.type for x in self.values]

    def tree(self, arrays: Sequence[Any], settings: bool = True) -> Any:
        """Return the tree with these arrays; None for settings unless they are kept."""
        filled = list(self.leaves) if settings else [None] * len(self.leaves)
        for k, array in zip(self.at, arrays, strict=True):
            filled[k] = array
        return unflatten(self.structure, filled)


def closed_trace(
    name: str,
    kinds: Sequence[TensorType],
    run: Callable[[Trace, list[TracedArray]], Any],
) -> Graph:
    """Trace a rule on its own; what it captures are its last inputs."""
    outer, STATE.trace = STATE.trace, None
    session = Trace(name)
    try:
        with session:
            given = [session.argument(kind, f"x{k}") for k, kind in enumerate(kinds)]
            return finish(session, run(session, given))[0]
    finally:
        STATE.trace = outer


class CustomRule(Function):
    """A function whose derivatives come from a rule."""

    def _body(
        self, trace: Trace, args: Sequence[Any], options: Mapping[str, Any], fresh: bool
    ) -> Any:
        if options:
            raise ArgumentError(
                f"{self._name}: arguments are positional where a rule is the user's, "
                f"got {', '.join(f'{name}=' for name in options)}{place_of(self._fun)}"
            )
        given = _Arrays(trace, tuple(args), f"{self._name}: an argument")
        arrays = [TracedArray(trace, x) for x in given.values]
        result = _Arrays(
            trace, self._fun(*given.tree(arrays)), f"{self._name}: a result"
        )
        rule = self._rule(given, result)
        made = trace.builder.apply(
            custom, (*result.values, *given.values), {"rule": rule}
        )
        return result.tree([TracedArray(trace, x) for x in made])

    def _rule(self, given: _Arrays, result: _Arrays) -> Custom:
        """Return the rule of one call."""
        raise NotImplementedError

    def _no_rule(self, how: str) -> ArgumentError:
        return ArgumentError(
            f"{self._name}: there is no rule yet: give it with {how}"
            f"{place_of(self._fun)}"
        )


def _floats(kinds: Sequence[TensorType]) -> list[TensorType]:
    return [kind for kind in kinds if kind.dtype.is_float]


def _pair(name: str, what: str, found: Any, rule: Callable[..., Any]) -> Any:
    """Return what a rule returned, a pair."""
    if isinstance(found, tuple) and len(found) == 2:
        return found
    raise ArgumentError(f"{name}: {what}, got a {type(found).__name__}{place_of(rule)}")


class CustomVjp(CustomRule):
    """A function with a VJP rule of the user."""

    _rule_fwd: "Callable[..., Any] | None" = None
    _rule_bwd: "Callable[..., Any] | None" = None

    def defvjp(self, fwd: Callable[..., Any], bwd: Callable[..., Any]) -> None:
        """Give the rule.

        Args:
            fwd: takes the arguments; returns the result, and residuals in any
                structure.
            bwd: takes the residuals, and a cotangent of the result in its structure,
                None for what is not a float; returns a tuple with one cotangent an
                argument, None for zero.
        """
        self._rule_fwd, self._rule_bwd = fwd, bwd

    def _rule(self, given: _Arrays, result: _Arrays) -> Custom:
        fwd, bwd = self._rule_fwd, self._rule_bwd
        if fwd is None or bwd is None:
            raise self._no_rule("defvjp(fwd, bwd)")
        name, count = self._name, len(given.values)

        def back() -> tuple[Graph, tuple[int, ...]]:
            returns: list[int] = []

            def run(trace: Trace, arrays: list[TracedArray]) -> Any:
                what = "fwd returns (result, residuals)"
                with silenced():  # the function itself prints
                    found = fwd(*given.tree(arrays[:count]))
                value, residuals = _pair(name, what, found, fwd)
                again = _Arrays(trace, value, f"{name}: a result of fwd")
                if again.structure != result.structure or again.kinds != result.kinds:
                    raise ArgumentError(
                        f"{name}: fwd returns {_types(again.kinds)}, the function "
                        f"{_types(result.kinds)}{place_of(fwd)}"
                    )
                rest = iter(arrays[count:])
                cts = [next(rest) if k.dtype.is_float else None for k in result.kinds]
                seed = result.tree(cts, settings=False)
                return self._cotangents(given, bwd(residuals, seed), returns)

            kinds = [*given.kinds, *_floats(result.kinds)]
            graph = closed_trace(f"rule of {name}", kinds, run)
            for at, ct in zip(returns, graph.outputs, strict=True):
                wanted = given.kinds[at]
                if ct.type != wanted:
                    path = paths(given.structure, "args")[given.at[at]]
                    raise ArgumentError(
                        f"{name}: bwd returns {ct.type} for {path}, which is {wanted}"
                        f"{place_of(bwd)}"
                    )
            return graph, tuple(returns)

        return Pulled(len(result.values), cache(back))

    def _cotangents(self, given: _Arrays, found: Any, returns: list[int]) -> list[Any]:
        """Return the cotangents that are there; `returns` gets whose they are."""
        tree = tuple(found) if isinstance(found, list) else found
        try:
            leaves = aligned(given.structure, tree)
        except LookupError:
            leaves = None
        if leaves is None or tree is None:
            assert self._rule_bwd is not None, "a rule is being traced"
            raise ArgumentError(
                f"{self._name}: bwd returns a tuple with one cotangent an argument, in "
                f"its structure{place_of(self._rule_bwd)}"
            )
        kept: list[Any] = []
        for number, k in enumerate(given.at):
            if leaves[k] is not None and given.kinds[number].dtype.is_float:
                returns.append(number)
                kept.append(leaves[k])
        return kept


class CustomJvp(CustomRule):
    """A function with a JVP rule of the user."""

    _rule_push: "Callable[..., Any] | None" = None

    def defjvp(self, rule: Callable[..., Any]) -> Callable[..., Any]:
        """Give the rule; may decorate it.

        Args:
            rule: takes the arguments and their tangents, two tuples, the tangents in
                the arguments' structure with None for what is not a float; returns the
                result and its tangent.
        """
        self._rule_push = rule
        return rule

    def _rule(self, given: _Arrays, result: _Arrays) -> Custom:
        rule = self._rule_push
        if rule is None:
            raise self._no_rule("defjvp(rule)")
        name, count = self._name, len(given.values)

        def run(trace: Trace, arrays: list[TracedArray]) -> Any:
            rest = iter(arrays[count:])
            moving = [next(rest) if k.dtype.is_float else None for k in given.kinds]
            primals = given.tree(arrays[:count])
            found = rule(primals, given.tree(moving, settings=False))
            what = "a jvp rule returns (result, tangent)"
            _, tangent = _pair(name, what, found, rule)
            try:
                leaves = aligned(result.structure, tangent)
            except LookupError:
                raise ArgumentError(
                    f"{name}: the tangent does not have the structure of the result"
                    f"{place_of(rule)}"
                ) from None
            pairs = zip(result.at, result.kinds, strict=True)
            return [
                TracedArray(trace, trace.builder.zeros(kind))
                if leaves[k] is None
                else leaves[k]
                for k, kind in pairs
                if kind.dtype.is_float
            ]

        def push() -> Graph:
            graph = closed_trace(
                f"rule of {name}", [*given.kinds, *_floats(given.kinds)], run
            )
            wanted, got = _floats(result.kinds), [t.type for t in graph.outputs]
            if got != wanted:
                raise ArgumentError(
                    f"{name}: the tangent is {_types(got)}, the result "
                    f"{_types(wanted)}{place_of(rule)}"
                )
            return graph

        return Pushed(len(result.values), cache(push))


class Checkpointed(CustomRule):
    """A function whose values are computed again by its adjoint."""

    def _rule(self, given: _Arrays, result: _Arrays) -> Custom:
        def run(trace: Trace, arrays: list[TracedArray]) -> Any:
            leaves, _ = flatten(self._fun(*given.tree(arrays)))
            return [leaves[k] for k in result.at]

        def program() -> Graph:
            return closed_trace(self._name, given.kinds, run)

        return Again(len(result.values), cache(program))


def _types(kinds: Sequence[TensorType]) -> str:
    return ", ".join(map(str, kinds)) or "nothing"


def custom_vjp(fun: "Callable[..., Any] | None" = None, **options: Any) -> Any:
    """Return a function whose cotangents are those of a rule of the user.

    Args:
        fun: a Python function over arrays, of positional arguments.
        options: as those of `function`.

    Returns:
        A compiled function; give its rule with `defvjp(fwd, bwd)`. Tangents pass by the
        transpose of the rule, which is linear in cotangents where it is a derivative.
    """
    return _made(CustomVjp, custom_vjp, fun, options)


def custom_jvp(fun: "Callable[..., Any] | None" = None, **options: Any) -> Any:
    """Return a function whose tangents are those of a rule of the user.

    Args:
        fun: a Python function over arrays, of positional arguments.
        options: as those of `function`.

    Returns:
        A compiled function; give its rule with `defjvp(rule)`. Cotangents pass by the
        transpose of the rule, which is linear in tangents.
    """
    return _made(CustomJvp, custom_jvp, fun, options)


def checkpoint(fun: "Callable[..., Any] | None" = None, **options: Any) -> Any:
    """Return a function whose adjoint computes its values again and keeps none.

    Args:
        fun: a Python function over arrays, of positional arguments.
        options: as those of `function`.

    Returns:
        A compiled function. Where cotangents pass through it, only its arguments are
        residuals.
    """
    return _made(Checkpointed, checkpoint, fun, options)


def _made(
    base: type[CustomRule],
    maker: Callable[..., Any],
    fun: "Callable[..., Any] | None",
    options: dict[str, Any],
) -> Any:
    if fun is None:
        return partial(maker, **options)
    inherit(fun, options)
    return one_class(base, fun, name_of(fun), **options)
