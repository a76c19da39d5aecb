"""Results with a derivative of their own: what stands for custom rules in a graph.

`custom` gives its first operands back under other names, and a rule says how
derivatives pass from these to the operands after them. The nodes that made the values
stay outside, so a program is the same with the rule and without; derivatives do not
enter them. Before a program is compiled the op is erased.

A rule makes closed programs, once a derivative is asked for: what it calls may
have a rule too. They are appended there, so what a rule computes can be differentiated,
batched and fused like anything else.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from .builder import Builder
from .errors import OpTypeError
from .forms import View
from .graph import Graph, Node, Value
from .ops.leading import lead_all
from .passes.rebuild import renew, renewed
from .primitive import Cost, Domain, Primitive
from .sizes import SizeExpr
from .types import TensorType

Size = int | SizeExpr
Maybe = Sequence[Value | None]


class Custom(Protocol):
    """How derivatives pass. A rule is compared by identity: programs are looked up."""

    @property
    def results(self) -> int:
        """How many operands are results."""

    def vjp(
        self,
        b: Builder,
        cts: Sequence[Value],
        made: Sequence[Value],
        given: Sequence[Value],
    ) -> Maybe:
        """Return cotangents of `given`, the operands after those of the results."""

    def jvp(
        self,
        b: Builder,
        tangents: Maybe,
        made: Sequence[Value],
        given: Sequence[Value],
    ) -> Maybe:
        """Return tangents of float results; `tangents` are those of all operands."""

    def batched(self, size: Size) -> "Custom":
        """Return the rule of operands that all have one leading axis."""


def placed(values: Sequence[Value], found: Maybe) -> list[Value | None]:
    """Return one entry a value: the next of `found` for floats, None for others."""
    rest = iter(found)
    return [next(rest) if x.type.dtype.is_float else None for x in values]


# -- the record ------------------------------------------------------------------------


def _infer(*types: TensorType, rule: Custom) -> tuple[TensorType, ...]:
    return types[: rule.results]


def _evaluate(*arrays: Any, rule: Custom) -> Any:
    return arrays[: rule.results]


def _no_call(b: Builder, *args: Any, **params: Any) -> Any:
    raise OpTypeError("custom rules are made by custom_vjp, custom_jvp and checkpoint")


def _vjp(
    b: Builder, cts: Any, made: Any, *operands: Value, rule: Custom
) -> list[Value | None]:
    # Any: a value, or a tuple of them
    held = (cts,) if isinstance(cts, Value) else cts
    results = operands[: rule.results]
    floats = [ct for ct, y in zip(held, results, strict=True) if y.type.dtype.is_float]
    named = (made,) if isinstance(made, Value) else made
    found = rule.vjp(b, floats, named, operands[rule.results :])
    return [*[None] * rule.results, *found]


def _jvp(
    b: Builder, tangents: Maybe, out: Any, *operands: Value, rule: Custom
) -> "Value | Maybe | None":
    named = (out,) if isinstance(out, Value) else out
    found = rule.jvp(b, tangents, named, operands[rule.results :])
    made = placed(operands[: rule.results], found)
    return made[0] if len(made) == 1 else made


def _batch(
    b: Builder, size: Size, has: Sequence[bool], *operands: Value, rule: Custom
) -> tuple[Value, ...]:
    wide = lead_all(b, size, has, operands)
    return b.apply(custom, wide, {"rule": rule.batched(size)})


custom = Primitive(
    name="custom",
    mirrors=(),
    tf_name=None,
    accept=_no_call,
    infer=_infer,
    evaluate=_evaluate,
    form=View(lambda ix, out, *types, **params: out),
    vjp=_vjp,
    jvp=_jvp,
    batch=_batch,
    effects=frozenset(),
    cost=Cost.CHEAP,
    exact=True,
    sparsity="dense",
    domain=Domain(-1.0, 1.0),
    kinks="",
    matrix=None,
    sums=None,
    samples=(),
    doc="Values whose derivatives a rule of the user makes.",
)


def erase(graph: Graph) -> Graph:
    """Return the graph without custom rules: values under the names they had."""
    if all(node.primitive is not custom for node in graph.nodes):
        return graph
    replaced: dict[Value, Value] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        if node.primitive is custom:
            for y, x in zip(node.results, node.operands, strict=False):
                replaced[y] = replaced.get(x, x)
            continue
        nodes.append(renew(node, replaced))
    return graph.replace(nodes, renewed(graph.outputs, replaced))
