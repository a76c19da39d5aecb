"""`grad` and `value_and_grad`: the adjoint, built in the trace of the function."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NoReturn

from ..ir.adjoint import pullback
from ..ir.errors import ArgumentError, OpTypeError
from ..ir.graph import Value
from .array import TracedArray
from .function import Function, one_class
from .signature import quoted
from .trace import Trace, name_of, place_of
from .trees import COMPLEX, NONE, PARTS, Structure, flatten, paths, unflatten


@dataclass(frozen=True, slots=True)
class Sources:
    """The arguments that are differentiated: values, structures with their counts."""

    wrt: list[Value]
    structures: list[tuple[Structure, int]]
    single: bool  # one argument alone, not a tuple of them

    @property
    def structure(self) -> Structure:
        """The structure that `arrange` returns."""
        trees = tuple([structure for structure, _ in self.structures])
        return trees[0] if self.single else ("tuple", tuple, (), trees)

    def arrange(self, leaves: Iterable[Any]) -> Any:
        """Return one leaf for each value in the arguments' structures."""
        found = iter(leaves)
        trees = [
            unflatten(structure, [next(found) for _ in range(count)])
            for structure, count in self.structures
        ]
        return trees[0] if self.single else tuple(trees)


class Gradient(Function):
    """The gradient of a function with a scalar result, with its value or without."""

    def __init__(
        self,
        fun: Callable[..., Any],
        name: str,
        *,
        argnums: "int | Sequence[int] | None",
        argnames: "str | Sequence[str] | None",
        keep_value: bool,
        has_aux: bool,
        **options: Any,
    ) -> None:
        super().__init__(fun, name, **options)
        if argnums is None and argnames is None:
            argnums = 0
        self._argnums = argnums
        self._argnames = argnames
        self._keep_value = keep_value
        self._has_aux = has_aux

    def _chosen(
        self, args: Sequence[Any], options: Mapping[str, Any]
    ) -> tuple[list["int | str"], bool]:
        """Return the places that are differentiated, and whether it is one alone."""
        nums, names = self._argnums, self._argnames
        single = isinstance(nums, int) and names is None
        single = single or (isinstance(names, str) and nums is None)
        places: list[int | str] = []
        for n in (nums,) if isinstance(nums, int) else nums or ():
            at = n + len(args) if n < 0 else n
            if 0 <= at < len(args):
                places.append(at)
                continue
            name = self._reader.argument_name(at)
            if name not in options:
                raise ArgumentError(
                    f"{self._name}: there is no argument {n} to differentiate: "
                    f"{len(args)} given{place_of(self._fun)}"
                )
            places.append(name)
        known = self._reader.argument_names
        for name in (names,) if isinstance(names, str) else names or ():
            if name in options:
                places.append(name)
            elif name in known and known.index(name) < len(args):
                places.append(known.index(name))
            else:
                raise ArgumentError(
                    f"{self._name}: there is no argument '{name}' to differentiate"
                    f"{place_of(self._fun)}"
                )
        return places, single

    def _sources(
        self, trace: Trace, args: Sequence[Any], options: Mapping[str, Any], fresh: bool
    ) -> tuple[list[Any], dict[str, Any], Sources]:
        """Return the arguments, and those that are differentiated."""
        places, single = self._chosen(args, options)
        given, named = list(args), dict(options)
        wrt: list[Value] = []
        structures = []
        for place in places:
            tree = given[place] if isinstance(place, int) else named[place]
            leaves, structure = flatten(tree)
            name = (
                place if isinstance(place, str) else self._reader.argument_name(place)
            )
            where = paths(structure, name)
            arrays = [
                self._source(trace, leaf, path, fresh)
                for leaf, path in zip(leaves, where, strict=True)
            ]
            wrt += [a._value for a in arrays]
            structures.append((structure, len(arrays)))
            if isinstance(place, int):
                given[place] = unflatten(structure, arrays)
            else:
                named[place] = unflatten(structure, arrays)
        return given, named, Sources(wrt, structures, single)

    def _body(
        self, trace: Trace, args: Sequence[Any], options: Mapping[str, Any], fresh: bool
    ) -> Any:
        given, named, sources = self._sources(trace, args, options, fresh)
        wrt = sources.wrt
        start = 0 if fresh else len(trace.builder.nodes)
        result, aux, around = self._results(trace, given, named)
        value = self._value(trace, result)
        b = trace.builder
        seed = b.constant(1.0, value.type.dtype)
        nodes = b.nodes[start:]
        first = len(b.nodes)
        cts = pullback(b, nodes, {value: seed}, wrt, name=name_of(self._fun))
        trace.adjoints.append((first, len(b.nodes)))
        if fresh:
            trace.primals = [value, *[x._value for x in aux]]
        made = sources.arrange(
            [
                TracedArray(trace, b.zeros(x.type) if ct is None else ct)
                for x, ct in zip(wrt, cts, strict=True)
            ]
        )
        if not self._has_aux:
            return (TracedArray(trace, value), made) if self._keep_value else made
        beside = unflatten(around, aux)
        if self._keep_value:
            return (TracedArray(trace, value), beside), made
        return made, beside

    def _results(
        self, trace: Trace, given: Sequence[Any], named: Mapping[str, Any]
    ) -> tuple[Any, list[TracedArray], Structure]:
        """Run the function; returns its result, and the leaves of what is beside."""
        result = self._fun(*given, **named)
        if not self._has_aux:
            return result, [], NONE
        result, extra = self._with_aux(result)
        leaves, around = flatten(extra)
        what = f"{self._name}: the second result"
        return result, [trace.lift(x, what) for x in leaves], around

    def _with_aux(self, result: Any) -> tuple[Any, Any]:
        if isinstance(result, tuple) and len(result) == 2:
            return result
        what = type(result).__name__
        if isinstance(result, tuple):
            what += f" of {len(result)}"
        raise ArgumentError(
            f"{self._name}: has_aux needs a function that returns (value, others), "
            f"got a {what}{place_of(self._fun)}"
        )

    def _source(self, trace: Trace, leaf: Any, path: str, fresh: bool) -> TracedArray:
        """Return an argument that is differentiated as a traced array of its own."""
        if isinstance(leaf, (bool, str)) or callable(leaf):
            raise ArgumentError(
                f"{self._name}: argument {quoted(path)} is a {type(leaf).__name__} "
                f"and cannot be differentiated{place_of(self._fun)}"
            )
        array = trace.lift(leaf, f"{self._name}: argument {quoted(path)}")
        kind = array._value.type
        if not kind.dtype.is_float:
            what = (
                "int: pass 3.0" if kind.shape == () else f"{kind}: use .astype(float)"
            )
            raise ArgumentError(
                f"{self._name}: argument {quoted(path)}: grad needs floats, got {what}"
                f"{place_of(self._fun)}"
            )
        return array if fresh else trace.alias(array)

    def _value(self, trace: Trace, result: Any) -> Value:
        if result is None:
            raise ArgumentError(
                "Cannot differentiate a function that returns None; "
                f"did you forget to return a value from fn?{place_of(self._fun)}"
            )
        leaves, structure = flatten(result)
        if structure in (PARTS, COMPLEX):
            self._not_real()
        if len(leaves) != 1 or isinstance(result, (list, tuple, dict)):
            self._not_scalar(f"{len(leaves)} arrays in a {type(result).__name__}")
        value = trace.lift(leaves[0], f"{self._name}: the result")._value
        if value.type.shape != () or not value.type.dtype.is_float:
            self._not_scalar(str(value.type))
        return value

    def _not_real(self) -> NoReturn:
        raise OpTypeError(
            f"{self._name}: a gradient needs a real result, got a complex one"
            f"{place_of(self._fun)}"
            "\n  make a real number of it, as z.real or np.abs(z)**2; pb.vjp takes the "
            "cotangent of a complex result"
        )

    def _not_scalar(self, what: str) -> NoReturn:
        raise OpTypeError(
            f"{self._name}: a gradient needs a scalar float result, got {what}"
            f"{place_of(self._fun)}"
            "\n  sum or average the result, or differentiate one element"
        )


def grad(
    fun: "Callable[..., Any] | None" = None,
    argnums: "int | Sequence[int] | None" = None,
    argnames: "str | Sequence[str] | None" = None,
    has_aux: bool = False,
    **options: Any,
) -> Any:
    """Return the gradient function of a function with a scalar result.

    Args:
        fun: a Python function over arrays with a float scalar result.
        argnums: the positions to differentiate; an int gives the gradient itself, a
            tuple a tuple of gradients. The first by default.
        argnames: the names to differentiate.
        has_aux: whether `fun` returns (value, others): others are not differentiated.
        options: as those of `function`.

    Returns:
        A compiled function; each gradient has the structure of its argument. With
        has_aux, (gradient, others).
    """
    return _make("grad", False, fun, argnums, argnames, has_aux, options)


def value_and_grad(
    fun: "Callable[..., Any] | None" = None,
    argnums: "int | Sequence[int] | None" = None,
    argnames: "str | Sequence[str] | None" = None,
    has_aux: bool = False,
    **options: Any,
) -> Any:
    """Return a function that returns (value, gradient); otherwise as `grad`.

    With has_aux, ((value, others), gradient).
    """
    return _make("value_and_grad", True, fun, argnums, argnames, has_aux, options)


def inherit(fun: Callable[..., Any], options: dict[str, Any]) -> None:
    """Give a transformed function the options of a decorated one, where not given."""
    if "mode" in options:
        options["running"] = options.pop("mode")
    if isinstance(fun, Function):
        reader = fun._reader
        options.setdefault("static_argnums", tuple(reader.static_argnums))
        options.setdefault("static_argnames", tuple(reader.static_argnames))
        options.setdefault("check_numerics", fun._check_numerics)
        options.setdefault("branches", fun._branches)
        options.setdefault("max_paths", fun._max_paths)
        options.setdefault("running", fun._running)
        options.setdefault("threads", fun._threads)


def _make(
    label: str,
    keep_value: bool,
    fun: "Callable[..., Any] | None",
    argnums: "int | Sequence[int] | None",
    argnames: "str | Sequence[str] | None",
    has_aux: bool,
    options: dict[str, Any],
) -> Any:
    if fun is None:
        made = grad if label == "grad" else value_and_grad
        return partial(
            made, argnums=argnums, argnames=argnames, has_aux=has_aux, **options
        )
    inherit(fun, options)
    return one_class(
        Gradient,
        fun,
        f"{label} of {name_of(fun)}",
        argnums=argnums,
        argnames=argnames,
        keep_value=keep_value,
        has_aux=has_aux,
        **options,
    )
