"""Build adjoints: from a program, and cotangents of its results, those of its inputs.

`pullback` is the core: it appends adjoint nodes to a builder, so a tape can use it on
part of a program and an adjoint can be differentiated again. `grad_graph` and
`vjp_graph` make joint graphs: forward nodes first, shared with the program they came
from, then adjoint nodes. A zero cotangent is one that is absent.
"""

from collections.abc import Iterable, Mapping, Sequence

from .active import Active, find_active
from .builder import Builder
from .errors import GradientLookupError, OpTypeError
from .forms import Control
from .graph import Graph, Node, Value
from .loc import traced_at
from .masking import masking
from .ops import OPS
from .passes.merge import find_extended
from .passes.rebuild import extend, with_inputs
from .pause import collector_paused
from .primitive import DERIVED, Primitive, Rule, VjpRule

_SHOWN = 6  # ops of a path in a message

# name of an op -> the rule that stands in for the one in its record
Rules = Mapping[str, VjpRule | Rule]


def pullback(
    b: Builder,
    nodes: Sequence[Node],
    cts: Mapping[Value, Value],
    wrt: Sequence[Value],
    rules: Rules | None = None,
    name: str = "",
    zeros: Iterable[Value] = (),
) -> list[Value | None]:
    """Append the adjoint of `nodes` to a builder.

    Args:
        b: where adjoint nodes go; its `loc` is that of the forward node meanwhile.
        nodes: forward nodes in order of definition.
        cts: a cotangent of each output, of its type; zero for all other values.
        wrt: inputs, or results of nodes.
        rules: VJP rules that take precedence over those of the records.
        name: what the outputs are called in messages.
        zeros: those of the given cotangents whose elements may be 0.

    Returns:
        A cotangent for each of `wrt`; None where no float path leads from it to an
        output with a cotangent.

    Raises:
        GradientLookupError: a cotangent reaches an op without a rule.
        OpTypeError: a rule gave cotangents that do not fit the operands.

    Cost: O(nodes + edges). Contributions to one value are added in the reverse order of
    the nodes that read it, so results do not depend on anything else.
    """
    active = find_active(nodes, wrt, rules or {})
    held: dict[Value, Value] = {
        x: ct for x, ct in cts.items() if x in active.values or x in active.wrt
    }
    outer = b.loc
    try:
        with collector_paused(len(nodes)), masking(b, nodes, zeros) as current:
            sweep = _Sweep(b, active, held, current, rules or {})
            sweep.run(name or "output", cts, nodes)
    finally:
        b.loc = outer
    return [held.get(x) for x in wrt]


class _Sweep:
    """A visit of active nodes in reverse, from cotangents of results to operands'."""

    def __init__(
        self,
        b: Builder,
        active: Active,
        held: dict[Value, Value],
        current: set[Value],
        rules: Rules,
    ) -> None:
        self.b, self.active, self.held = b, active, held
        self.current, self.rules = current, rules

    def run(self, name: str, outputs: Iterable[Value], nodes: Sequence[Node]) -> None:
        """Visit the nodes."""
        b, held, values = self.b, self.held, self.active.values
        add = b.op
        # a loop that was run again for its residuals stands where it first stood
        again = find_extended(nodes, ("while", "scan"), same_operands=True)
        moved = set(again.values())
        for node, rule in reversed(self.active.nodes):
            if moved and node in moved:
                continue
            while node in again:
                node = self._joined(node, again[node])
            results = node.results
            if len(results) == 1:
                ct = held.get(results[0])
                if ct is None:
                    continue
                given: Value | tuple[Value, ...] = ct
                made: Value | tuple[Value, ...] = results[0]
                cts: tuple[Value, ...] = (ct,)
            else:
                found = [held.get(x) for x in results]
                if all(ct is None for ct in found):
                    continue
                b.loc = node.loc
                if rule is DERIVED:
                    given, made, cts = (), results, ()
                else:
                    cts = tuple(
                        b.zeros(x.type) if ct is None else ct
                        for x, ct in zip(results, found, strict=True)
                    )
                    given, made = cts, results
            operands = node.operands
            b.loc = node.loc
            entries: Sequence[Value | None]
            if rule is DERIVED:
                entries = self._control(node, [held.get(x) for x in results])
            elif isinstance(rule, Rule):
                raise _missing(node, nodes, name, set(outputs), len(b.inputs))
            else:
                self.current.clear()
                self.current.update(cts)
                entries = rule(b, given, made, *operands, **node.params)
            if len(entries) != len(operands):
                raise _bad_count(node, len(entries))
            for k, entry in enumerate(entries):
                if entry is None:
                    continue
                x = operands[k]
                if x not in values:
                    continue
                if type(entry) is not Value or (
                    entry.type is not x.type and entry.type != x.type
                ):
                    raise _bad_entry(node, k, entry)
                before = held.get(x)
                held[x] = entry if before is None else add("add", before, entry)

    def _joined(self, node: Node, longer: Node) -> Node:
        """Hand the cotangents of a loop to one that extends it, and return that."""
        held = self.held
        for x, same in zip(node.results, longer.results, strict=False):
            ct = held.pop(x, None)
            if ct is not None:
                other = held.get(same)
                held[same] = ct if other is None else self.b.op("add", other, ct)
        return longer

    def _control(
        self, node: Node, cts: Sequence[Value | None]
    ) -> Sequence[Value | None]:
        # lazy: few programs have loops
        from .control_adjoint import loop_vjp, switch_vjp
        from .control_revolve import revolve_vjp

        form = node.primitive.form
        assert isinstance(form, Control)
        if form.kind == "revolve":
            return revolve_vjp(self.b, node, cts, pullback, self.rules)
        derived = switch_vjp if form.kind == "switch" else loop_vjp
        return derived(self.b, node, cts, pullback, self.rules)


# -- messages --------------------------------------------------------------------------


def _bad_count(node: Node, count: int) -> OpTypeError:
    return OpTypeError(
        f"vjp rule of {node.primitive.name}: {count} cotangents for"
        f" {len(node.operands)} operands{traced_at(node.loc)}"
    )


def _bad_entry(node: Node, k: int, entry: object) -> OpTypeError:
    what = str(entry.type) if isinstance(entry, Value) else repr(entry)
    return OpTypeError(
        f"vjp rule of {node.primitive.name}: cotangent of operand {k} is {what},"
        f" the operand {node.operands[k].type}{traced_at(node.loc)}"
    )


def _path(node: Node, nodes: Sequence[Node], outputs: set[Value]) -> list[Node]:
    """Return nodes that lead from `node` to an output, the output's first."""
    from_: dict[Value, Node | None] = dict.fromkeys(node.results)
    reached = node
    if not outputs.intersection(node.results):
        after = False
        for user in nodes:
            if user is node:
                after = True
                continue
            if not after:
                continue
            source = next((x for x in user.operands if x in from_), None)
            if source is not None:
                from_.update((x, source.node) for x in user.results)
                if outputs.intersection(user.results):
                    reached = user
                    break
    path = [reached]
    while path[-1] is not node:
        before = from_[path[-1].results[0]]
        if before is None:
            break
        path.append(before)
    return path


def _missing(
    node: Node, nodes: Sequence[Node], name: str, outputs: set[Value], first: int
) -> GradientLookupError:
    op = node.primitive.name
    numbers: dict[Value, int] = {}
    for each in nodes:
        for x in each.results:
            numbers[x] = first + len(numbers)
    steps = [
        f"{n.primitive.name} %{numbers[n.results[0]]}"
        for n in _path(node, nodes, outputs)
    ]
    if len(steps) > 2 * _SHOWN:
        left_out = f"... {len(steps) - 2 * _SHOWN} more ..."
        steps = [*steps[:_SHOWN], left_out, *steps[-_SHOWN:]]
    where = f"   ({node.loc})" if node.loc is not None else ""
    error = GradientLookupError(f"gradient registry has no entry for: {op}")
    error.add_note(f"  a cotangent reaches it: {' <- '.join([name, *steps])}{where}")
    error.add_note(
        "  register one with RegisterGradient, or pass stop_gradient(...) there if none"
        " is meant"
    )
    return error


# -- joint graphs ----------------------------------------------------------------------


def _joint(
    b: Builder,
    graph: Graph,
    cts: Mapping[Value, Value],
    wrt: Sequence[int],
    rules: Rules | None,
    keep: bool,
) -> Graph:
    inputs = [graph.inputs[k] for k in wrt]
    for k, x in zip(wrt, inputs, strict=True):
        if not x.type.dtype.is_float:
            raise OpTypeError(
                f"{graph.name}: no gradient with respect to {graph.names[k]},"
                f" {x.type} is not a float"
            )
    grads = pullback(b, graph.nodes, cts, inputs, rules, graph.name)
    outputs = list(graph.outputs) if keep else []
    names = list(graph.output_names) if keep else []
    for k, x, grad in zip(wrt, inputs, grads, strict=True):
        outputs.append(b.zeros(x.type) if grad is None else grad)
        names.append(f"gradient of {graph.names[k]}")
    return b.finish(graph.name, outputs, names)


def grad_graph(
    graph: Graph,
    wrt: Sequence[int],
    output: int = 0,
    keep_value: bool = True,
    *,
    rules: Rules | None = None,
    strict: bool = False,
    table: Mapping[str, Primitive] = OPS,
) -> Graph:
    """Return the joint graph of a program with a scalar output.

    Args:
        graph: the program.
        wrt: numbers of inputs.
        output: number of the output that is differentiated, a float scalar.
        keep_value: whether the outputs of the program come first among the outputs.
        rules: VJP rules that take precedence over those of the records.
        strict: do not contract a product and a sum to fma in the adjoint.
        table: the ops that rules may use.

    Returns:
        The program followed by one gradient for each of `wrt`, zeros where unconnected.

    Raises:
        OpTypeError: the output is not a float scalar, or an input not a float.
        GradientLookupError: a cotangent reaches an op without a rule.
    """
    target = graph.outputs[output]
    if target.type.shape != () or not target.type.dtype.is_float:
        raise OpTypeError(
            f"{graph.name}: a gradient needs a float scalar,"
            f" {graph.output_names[output]} is {target.type}"
        )
    b = extend(graph, table, strict)
    seed = b.constant(1.0, target.type.dtype)
    return _joint(b, graph, {target: seed}, wrt, rules, keep_value)


def vjp_graph(
    graph: Graph,
    wrt: Sequence[int],
    *,
    rules: Rules | None = None,
    strict: bool = False,
    table: Mapping[str, Primitive] = OPS,
) -> Graph:
    """Return the joint graph of a program whose seeds are inputs.

    One seed for each float output, after the program's inputs and before its captures.
    Otherwise as `grad_graph`.

    Raises:
        OpTypeError: an input of `wrt` is not a float.
        GradientLookupError: a cotangent reaches an op without a rule.
    """
    seeds = [
        (x, name)
        for x, name in zip(graph.outputs, graph.output_names, strict=True)
        if x.type.dtype.is_float
    ]
    first = len(graph.inputs) - len(graph.captures)
    added = [Value(x.type, None, first + k) for k, (x, _) in enumerate(seeds)]
    names = [f"seed of {name}" for _, name in seeds]
    graph, replaced = with_inputs(graph, first, added, names)
    b = extend(graph, table, strict)
    cts: dict[Value, Value] = {}
    for (old, _), seed in zip(seeds, added, strict=True):
        x = replaced.get(old, old)
        cts[x] = b.add(cts[x], seed) if x in cts else seed
    moved = [k if k < first else k + len(seeds) for k in wrt]
    return _joint(b, graph, cts, moved, rules, keep=True)
