"""Build control ops by hand, for tests."""

from collections.abc import Callable, Sequence
from typing import Any

from pullback.ir.builder import Builder
from pullback.ir.graph import Value
from pullback.ir.ops import OPS, new_builder
from pullback.ir.sizes import SizeExpr, named
from pullback.ir.subgraph import SubGraph, with_sizes
from pullback.ir.types import TensorType, parse_type

Body = Callable[..., Sequence[Value]]
Kind = str | TensorType


def type_of(kind: Kind) -> TensorType:
    return parse_type(kind) if isinstance(kind, str) else kind


def region(kinds: Sequence[Kind], body: Body) -> SubGraph:
    """A closed region: `body(builder, *inputs)` gives its outputs."""
    b = new_builder()
    inputs = [b.input(type_of(kind), f"r{k}") for k, kind in enumerate(kinds)]
    return SubGraph(with_sizes(b.finish("region", list(body(b, *inputs)))))


def program(*kinds: Kind) -> tuple[Builder, list[Value]]:
    """A builder with inputs; their named sizes are the program's."""
    b = new_builder()
    types = [type_of(kind) for kind in kinds]
    for kind in types:
        for d in kind.shape:
            if not isinstance(d, int) and str(d) not in b.sizes:
                b.sizes.append(str(d))
    return b, [b.input(kind, f"x{k}") for k, kind in enumerate(types)]


def _results(made: Any) -> list[Value]:
    return list(made) if isinstance(made, tuple | list) else [made]


def scan(
    b: Builder,
    carries: Sequence[Value],
    xs: Sequence[Value],
    fixed: Sequence[Value],
    body: Body,
    length: "int | SizeExpr",
    reverse: bool = False,
) -> list[Value]:
    kinds = [x.type for x in carries]
    kinds += [x.type.with_shape(x.type.shape[1:]) for x in xs]
    kinds += [x.type for x in fixed]
    params = {
        "carries": len(carries), "xs": len(xs), "length": length, "reverse": reverse,
        "body": region(kinds, body), "extends": None,
    }  # fmt: skip
    return _results(b.apply(OPS["scan"], (*carries, *xs, *fixed), params))


def while_loop(
    b: Builder,
    carries: Sequence[Value],
    fixed: Sequence[Value],
    cond: Body,
    body: Body,
    trips: str | None = None,
) -> list[Value]:
    kinds = [x.type for x in (*carries, *fixed)]
    params = {
        "carries": len(carries), "cond": region(kinds, cond),
        "body": region(kinds, body), "trips": named(trips) if trips else None,
        "extends": None,
    }  # fmt: skip
    return _results(b.apply(OPS["while_loop"], (*carries, *fixed), params))


def switch(
    b: Builder, index: Value, given: Sequence[Value], *branches: Body
) -> list[Value]:
    held = tuple([region([x.type for x in given], body) for body in branches])
    return _results(b.apply(OPS["switch"], (index, *given), {"branches": held}))
