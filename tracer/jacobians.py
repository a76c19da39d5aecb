"""`jacobian`, `hessian` and `hvp`: derivatives of derivatives, in one program.

A Jacobian is one pushforward or one pullback, run on all rows of an identity at once.
The identity is compared positions, so it costs no memory, and the program of all rows
is fused like any other.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NoReturn

from ..ir.adjoint import pullback
from ..ir.errors import ArgumentError, OpTypeError
from ..ir.forward import pushforward
from ..ir.graph import Node, Value
from ..ir.sizes import SizeExpr, lower_bound, product
from .array import TracedArray
from .function import one_class
from .gradient import Gradient, Sources, grad, inherit
from .identities import picked
from .pushing import tangents_of
from .seeds import identity
from .trace import Trace, name_of, place_of
from .trees import Structure, flatten, has_parts, paths, unflatten

Size = int | SizeExpr
MODES = ("auto", "forward", "reverse")


class Jacobian(Gradient):
    """The derivatives of all elements of a result by all elements of arguments."""

    _symmetric = False

    def __init__(
        self, fun: Callable[..., Any], name: str, *, direction: str, **options: Any
    ) -> None:
        if direction not in MODES:
            raise ArgumentError(
                f"{name}: mode is one of {', '.join(map(repr, MODES))}, "
                f"got {direction!r}"
            )
        super().__init__(fun, name, keep_value=False, **options)
        self._direction = direction

    def _body(
        self, trace: Trace, args: Sequence[Any], options: Mapping[str, Any], fresh: bool
    ) -> Any:
        given, named, sources = self._sources(trace, args, options, fresh)
        start = 0 if fresh else len(trace.builder.nodes)
        result, aux, around = self._results(trace, given, named)
        leaves, structure = flatten(result)
        if has_parts(structure):
            raise OpTypeError(
                f"{self._name}: a Jacobian has rows of real results, and one is "
                f"complex{place_of(self._fun)}"
                "\n  return its real and its imaginary part"
            )
        results = self._floats(trace, leaves, structure)
        nodes = trace.builder.nodes[start:]
        first = len(trace.builder.nodes)
        wrt = sources.wrt
        if not self._goes_forward(wrt, results):
            blocks = by_rows(trace, nodes, wrt, results)
        else:
            blocks = by_columns(trace, nodes, wrt, results, self._symmetric)
        trace.adjoints.append((first, len(trace.builder.nodes)))
        if fresh:
            trace.primals = [x._value for x in aux]
        made = unflatten(structure, [self._row(trace, sources, row) for row in blocks])
        return (made, unflatten(around, aux)) if self._has_aux else made

    @staticmethod
    def _row(trace: Trace, sources: Sources, row: Sequence[Value]) -> Any:
        return sources.arrange([TracedArray(trace, x) for x in row])

    def _floats(
        self, trace: Trace, leaves: Sequence[Any], structure: Structure
    ) -> list[Value]:
        if not leaves:
            self._nothing()
        found = []
        for leaf, path in zip(leaves, paths(structure, "out"), strict=True):
            value = trace.lift(leaf, f"{self._name}: a result")._value
            if not value.type.dtype.is_float:
                raise OpTypeError(
                    f"{self._name}: {path} is {value.type}, and only floats have "
                    f"derivatives{place_of(self._fun)}"
                    "\n  return it beside the others, with has_aux"
                )
            found.append(value)
        return found

    def _nothing(self) -> NoReturn:
        raise ArgumentError(
            f"{self._name}: the function returns no array{place_of(self._fun)}"
        )

    def _goes_forward(self, wrt: Sequence[Value], results: Sequence[Value]) -> bool:
        """Return whether to go forward: where there are fewer columns than rows."""
        if self._direction != "auto":
            return self._direction == "forward"
        columns = _elements(wrt)
        fewer = lower_bound(_elements(results) - columns)
        return fewer is not None and fewer >= 0


def _elements(values: Sequence[Value]) -> Size:
    total: Size = 0
    for x in values:
        total = total + product(x.type.shape)
    return total


class Hessian(Jacobian):
    """The Jacobian of a gradient."""

    _symmetric = True


# -- all rows, all columns -------------------------------------------------------------


def by_columns(
    trace: Trace,
    nodes: Sequence[Node],
    wrt: Sequence[Value],
    results: Sequence[Value],
    symmetric: bool = False,
) -> list[list[Value]]:
    """Return the blocks of a Jacobian, one list a result, by pushforwards.

    Where it is symmetric, columns are rows, and stay where they are.
    """
    b = trace.builder
    symmetric = symmetric and len({x.type.dtype for x in wrt}) == 1
    found: dict[tuple[int, int], Value] = {}
    for k, x in enumerate(wrt):
        shape = x.type.shape
        start = len(b.nodes)
        if shape == ():
            one = b.constant(1.0, x.type.dtype)
            wide = pushforward(b, nodes, {x: one}, results)
        else:
            stand_in = Value(x.type, None, 0)
            made = pushforward(b, nodes, {x: stand_in}, results)
            wide = _spread(trace, start, stand_in, made)
        for m, (y, columns) in enumerate(zip(results, wide, strict=True)):
            at = (k, m) if symmetric else (m, k)
            full = (*shape, *y.type.shape) if symmetric else (*y.type.shape, *shape)
            if columns is None:
                found[at] = b.zeros(y.type.with_shape(full))
                continue
            if shape and not symmetric:
                order = (*range(1, y.type.rank + 1), 0)
                columns = b.op("transpose", columns, axes=order)
            found[at] = b.op("reshape", columns, shape=full)
    return [[found[m, k] for k in range(len(wrt))] for m in range(len(results))]


def by_rows(
    trace: Trace, nodes: Sequence[Node], wrt: Sequence[Value], results: Sequence[Value]
) -> list[list[Value]]:
    """Return the blocks of a Jacobian, one list a result, by pullbacks."""
    b = trace.builder
    blocks: list[list[Value]] = []
    for y in results:
        shape = y.type.shape
        if shape == ():
            made = pullback(b, nodes, {y: b.constant(1.0, y.type.dtype)}, wrt)
            pairs = zip(wrt, made, strict=True)
            blocks.append([b.zeros(x.type) if ct is None else ct for x, ct in pairs])
            continue
        stand_in = Value(y.type, None, 0)
        start = len(b.nodes)
        made = pullback(b, nodes, {y: stand_in}, wrt, zeros=[stand_in])
        wide = _spread(trace, start, stand_in, made)
        row: list[Value] = []
        for x, rows in zip(wrt, wide, strict=True):
            full = x.type.with_shape((*shape, *x.type.shape))
            if rows is None:
                row.append(b.zeros(full))
            else:
                row.append(b.op("reshape", rows, shape=full.shape))
        blocks.append(row)
    return blocks


def _spread(
    trace: Trace, start: int, stand_in: Value, made: Sequence[Value | None]
) -> list[Value | None]:
    """Return what was made of one tangent or cotangent, for each row of an identity."""
    b = trace.builder
    count = product(stand_in.type.shape)
    nodes = b.take_back(start)
    known, nodes = picked(b, nodes, stand_in)
    known[stand_in] = identity(b, stand_in.type)
    b.nodes += nodes
    values = trace.spread(len(b.nodes) - len(nodes), known, count)
    return [
        None
        if x is None
        else values[x]
        if x in values
        else b.broadcast(x, (count, *x.type.shape))
        for x in made
    ]


# -- products --------------------------------------------------------------------------


class HessianProduct(Gradient):
    """The product of a Hessian and a vector, which is the last argument."""

    def _body(
        self, trace: Trace, args: Sequence[Any], options: Mapping[str, Any], fresh: bool
    ) -> Any:
        given, named, sources = self._sources(trace, args[:-1], options, fresh)
        wrt, b = sources.wrt, trace.builder
        structure = sources.structure
        moving = tangents_of(trace, structure, wrt, args[-1], self._name, "the vector")
        start = 0 if fresh else len(b.nodes)
        result, aux, around = self._results(trace, given, named)
        value = self._value(trace, result)
        seed = b.constant(1.0, value.type.dtype)
        first = len(b.nodes)
        cts = pullback(b, b.nodes[start:], {value: seed}, wrt, name=name_of(self._fun))
        grads = [
            b.zeros(x.type) if ct is None else ct
            for x, ct in zip(wrt, cts, strict=True)
        ]
        made = pushforward(b, b.nodes[start:], moving, grads)
        trace.adjoints.append((first, len(b.nodes)))
        products = sources.arrange(
            [
                TracedArray(trace, b.zeros(x.type) if t is None else t)
                for x, t in zip(wrt, made, strict=True)
            ]
        )
        return (products, unflatten(around, aux)) if self._has_aux else products

    def _bind(self, args: Sequence[Any], options: Mapping[str, Any]) -> None:
        if len(args) + len(options) < 2:
            raise ArgumentError(
                f"{self._name}: takes arguments, then a vector to multiply by: "
                f"{len(args)} given{place_of(self._fun)}"
            )
        super()._bind(args[:-1], options)


# -- for users -------------------------------------------------------------------------


def jacobian(
    fun: "Callable[..., Any] | None" = None,
    argnums: "int | Sequence[int] | None" = None,
    argnames: "str | Sequence[str] | None" = None,
    mode: str = "auto",
    has_aux: bool = False,
    **options: Any,
) -> Any:
    """Return the function of all derivatives of a function's results.

    Args:
        fun: a Python function over arrays; its results are floats, in any structure.
        argnums: the positions to differentiate, as those of `grad`.
        argnames: the names to differentiate.
        mode: "forward" for one tangent an element of the arguments, "reverse" for one
            cotangent an element of the results, "auto" for whichever are fewer.
        has_aux: whether `fun` returns (results, others): others are not differentiated.
        options: as those of `function`.

    Returns:
        A compiled function. For each result it returns the structure of the argument,
        of arrays of shape result.shape + argument.shape. With has_aux, (these, others).
    """
    if fun is None:
        return partial(
            jacobian,
            argnums=argnums,
            argnames=argnames,
            mode=mode,
            has_aux=has_aux,
            **options,
        )
    inherit(fun, options)
    return one_class(
        Jacobian,
        fun,
        f"jacobian of {name_of(fun)}",
        argnums=argnums,
        argnames=argnames,
        direction=mode,
        has_aux=has_aux,
        **options,
    )


def hessian(
    fun: "Callable[..., Any] | None" = None,
    argnums: "int | Sequence[int] | None" = None,
    argnames: "str | Sequence[str] | None" = None,
    has_aux: bool = False,
    **options: Any,
) -> Any:
    """Return the function of all second derivatives: forward over reverse.

    Args and results are as those of `jacobian` of the gradient: for an argument of
    shape (n,) the Hessian has shape (n, n).
    """
    if fun is None:
        return partial(
            hessian, argnums=argnums, argnames=argnames, has_aux=has_aux, **options
        )
    inherit(fun, options)
    inner = grad(fun, argnums, argnames, has_aux, **options)
    return one_class(
        Hessian,
        inner,
        f"hessian of {name_of(fun)}",
        argnums=argnums,
        argnames=argnames,
        direction="forward",
        has_aux=has_aux,
        **options,
    )


def hvp(
    fun: "Callable[..., Any] | None" = None,
    argnums: "int | Sequence[int] | None" = None,
    argnames: "str | Sequence[str] | None" = None,
    has_aux: bool = False,
    **options: Any,
) -> Any:
    """Return the function of products of a Hessian and a vector: forward over reverse.

    Args are as those of `grad`.

    Returns:
        A compiled function. It takes the arguments of `fun`, then the vector in the
        structure of what is differentiated, and returns the product in it. With
        has_aux, (product, others).
    """
    if fun is None:
        return partial(
            hvp, argnums=argnums, argnames=argnames, has_aux=has_aux, **options
        )
    inherit(fun, options)
    return one_class(
        HessianProduct,
        fun,
        f"hvp of {name_of(fun)}",
        argnums=argnums,
        argnames=argnames,
        keep_value=False,
        has_aux=has_aux,
        **options,
    )
