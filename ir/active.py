"""Find the nodes on float paths that start at given values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .graph import Node, Value
from .primitive import NON_DIFFERENTIABLE, Rule, VjpRule


@dataclass(frozen=True, slots=True)
class Active:
    """Values that depend on `wrt` through floats, and the nodes that pass it on.

    `nodes` come with the rule that holds for them, in order of definition.
    """

    wrt: frozenset[Value]
    values: set[Value]
    nodes: list[tuple[Node, VjpRule | Rule]]


def find_active(
    nodes: Sequence[Node], wrt: Sequence[Value], rules: Mapping[str, VjpRule | Rule]
) -> Active:
    """Sweep forward from `wrt`; integers, bools and ops without derivative end a path.

    Cost: O(nodes + edges).
    """
    values = {x for x in wrt if x.type.dtype.is_float}
    visited: list[tuple[Node, VjpRule | Rule]] = []
    for node in nodes:
        for x in node.operands:
            if x in values:
                break
        else:
            continue
        primitive = node.primitive
        rule = primitive.vjp
        if rules:
            rule = rules.get(primitive.name, rule)
        if rule is NON_DIFFERENTIABLE:
            continue
        carries = False
        for result in node.results:
            if result.type.dtype.kind == "f":
                values.add(result)
                carries = True
        if carries:
            visited.append((node, rule))
    return Active(frozenset(wrt), values, visited)
