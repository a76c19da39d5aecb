"""Build tangents: from a program, and tangents of its inputs, those of its results.

`pushforward` is the core: it appends tangent nodes to a builder, beside the nodes they
belong to, so what it makes can be differentiated and batched again. A zero tangent is
one that is absent. Rules that a record does not state follow from its form: of a map
from its VJP, whose Jacobian is diagonal; of what is linear from the op itself.
"""

from collections.abc import Mapping, Sequence

from .builder import Builder
from .control_forward import loop_jvp, switch_jvp
from .control_revolve import revolve_jvp
from .errors import GradientLookupError, OpTypeError
from .forms import Contract, Control, Map
from .graph import Graph, Node, Value
from .loc import traced_at
from .masking import masking
from .ops import OPS
from .passes.rebuild import extend, with_inputs
from .pause import collector_paused
from .primitive import DERIVED, NON_DIFFERENTIABLE, Primitive, Rule

# What `sparsity` says of ops that are linear in all their float operands together.
_LINEAR = frozenset({"linear", "selection"})

Tangents = Sequence[Value | None]


def pushforward(
    b: Builder,
    nodes: Sequence[Node],
    tangents: Mapping[Value, Value],
    outputs: Sequence[Value],
) -> list[Value | None]:
    """Append the tangents of `nodes` to a builder.

    Args:
        b: where tangent nodes go; its `loc` is that of the forward node meanwhile.
        nodes: forward nodes in order of definition.
        tangents: a tangent of each value that moves, of its type; zero for all other
            inputs. Their elements may be 0: a pole there gives 0, not NaN.
        outputs: results of nodes, or inputs.

    Returns:
        A tangent for each of `outputs`; None where nothing that moves reaches it
        through floats.

    Raises:
        GradientLookupError: a tangent reaches an op without a rule.
        OpTypeError: a rule gave tangents that do not fit the results.

    Cost: O(nodes + edges). Contributions are added in the order of the operands.
    """
    forward = list(nodes)  # the builder's own list may grow meanwhile
    held = {x: t for x, t in tangents.items() if x.type.dtype.is_float}
    outer = b.loc
    given = list(held.values())
    try:
        with (
            collector_paused(len(forward)),
            masking(b, forward, given) as current,
        ):
            for node in forward:
                found = [held.get(x) for x in node.operands]
                moving = [t for t in found if t is not None]
                if not moving or not any(y.type.dtype.is_float for y in node.results):
                    continue
                if node.primitive.jvp is NON_DIFFERENTIABLE:
                    continue
                b.loc = node.loc
                current.clear()
                current.update(moving)
                made = zip(node.results, _run(b, node, found), strict=True)
                held.update({y: t for y, t in made if t is not None})
    finally:
        b.loc = outer
    return [held.get(y) for y in outputs]


def _run(b: Builder, node: Node, tangents: Tangents) -> Tangents:
    """Return the tangents of a node's results, by its rule or its form."""
    op, results = node.primitive, node.results
    if op.jvp is DERIVED:
        made = _derived(b, node, tangents)
    elif isinstance(op.jvp, Rule):
        raise _missing(node)
    else:
        single = len(results) == 1
        given = results[0] if single else results
        found = op.jvp(b, tangents, given, *node.operands, **node.params)
        made = [found] if single else found  # type: ignore[list-item, assignment]
    if len(made) != len(results):
        raise OpTypeError(
            f"jvp rule of {op.name}: {len(made)} tangents for {len(results)} results"
            f"{traced_at(node.loc)}"
        )
    for k, (t, y) in enumerate(zip(made, results, strict=True)):
        if t is not None and (not isinstance(t, Value) or t.type != y.type):
            what = str(t.type) if isinstance(t, Value) else repr(t)
            raise OpTypeError(
                f"jvp rule of {op.name}: tangent of result {k} is {what}, the result "
                f"{y.type}{traced_at(node.loc)}"
            )
    return made


def _derived(b: Builder, node: Node, tangents: Tangents) -> Tangents:
    op = node.primitive
    if op.sparsity in _LINEAR:
        given = [
            t if t is not None else b.zeros(x.type) if x.type.dtype.is_float else x
            for x, t in zip(node.operands, tangents, strict=True)
        ]
        return b.apply(op, tuple(given), node.params)
    if isinstance(op.form, Contract):
        return [_of_contract(b, op, node, tangents)]
    if isinstance(op.form, Map):
        return [_of_map(b, node, tangents)]
    if isinstance(op.form, Control):
        if op.form.kind == "revolve":
            return revolve_jvp(b, node, tangents, pushforward)
        rule = switch_jvp if op.form.kind == "switch" else loop_jvp
        return rule(b, node, tangents, pushforward)
    raise _missing(node)


def _of_map(b: Builder, node: Node, tangents: Tangents) -> Value | None:
    """Return the sum of each operand's tangent under the diagonal that its VJP has."""
    rule = node.primitive.vjp
    if isinstance(rule, Rule):
        raise _missing(node)
    total: Value | None = None
    for k, t in enumerate(tangents):
        if t is None:
            continue
        part = rule(b, t, node.results[0], *node.operands, **node.params)[k]
        if part is not None:
            total = part if total is None else b.op("add", total, part)
    return total


def _of_contract(
    b: Builder, op: Primitive, node: Node, tangents: Tangents
) -> Value | None:
    total: Value | None = None
    for k, t in enumerate(tangents):
        if t is not None:
            pair = (t, node.operands[1]) if k == 0 else (node.operands[0], t)
            (part,) = b.apply(op, pair, node.params)
            total = part if total is None else b.op("add", total, part)
    return total


def _missing(node: Node) -> GradientLookupError:
    op = node.primitive.name
    where = f"   ({node.loc})" if node.loc is not None else ""
    error = GradientLookupError(f"gradient registry has no entry for: {op}")
    error.add_note(f"  a tangent reaches it{where}")
    return error


# -- programs --------------------------------------------------------------------------


def jvp_graph(
    graph: Graph,
    wrt: Sequence[int],
    *,
    strict: bool = False,
    table: Mapping[str, Primitive] = OPS,
) -> Graph:
    """Return a program followed by the tangents of its float outputs.

    Args:
        graph: the program.
        wrt: numbers of the inputs that move, floats.
        strict: do not contract a product and a sum to fma among the tangents.
        table: the ops that rules may use.

    Returns:
        The program; one tangent for each of `wrt` comes after its inputs and before its
        captures, one for each float output after its outputs, zeros where unconnected.

    Raises:
        OpTypeError: an input of `wrt` is not a float.
        GradientLookupError: a tangent reaches an op without a rule.
    """
    for k in wrt:
        x = graph.inputs[k]
        if not x.type.dtype.is_float:
            raise OpTypeError(
                f"{graph.name}: no tangent of {graph.names[k]}, {x.type} is not a float"
            )
    first = len(graph.inputs) - len(graph.captures)
    added = [Value(graph.inputs[k].type, None, first + n) for n, k in enumerate(wrt)]
    names = [f"tangent of {graph.names[k]}" for k in wrt]
    graph, _ = with_inputs(graph, first, added, names)
    b = extend(graph, table, strict)
    moving = {graph.inputs[k]: t for k, t in zip(wrt, added, strict=True)}
    made = pushforward(b, graph.nodes, moving, graph.outputs)
    outputs, labels = list(graph.outputs), list(graph.output_names)
    for y, name, t in zip(graph.outputs, graph.output_names, made, strict=True):
        if y.type.dtype.is_float:
            outputs.append(b.zeros(y.type) if t is None else t)
            labels.append(f"tangent of {name}")
    return b.finish(graph.name, outputs, labels)
