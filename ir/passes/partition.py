"""Split a joint graph into a forward and an adjoint graph that share only residuals.

Which values are kept is chosen in `partition_choose`, on the numbers that
`partition_problem` reads off the graph; here the two halves are put together. Each
half is what its outputs need: the forward half for the program's outputs and the
residuals, the adjoint half for the gradients, where a residual is an input. Inputs are
passed again and constants are made again; what else both halves hold is recomputed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from ..forms import Control, Literal
from ..graph import Graph, Node, Value
from ..loc import Loc
from ..pause import collector_paused
from ..primitive import Cost
from ..prints import graph_prints, prints, quiet_nodes
from ..sizes import SizeExpr, product
from ..types import TensorType
from .dce import dce
from .merge import merge_scans
from .order import ordered
from .partition_choose import choose
from .partition_problem import (
    RECOMPUTE,
    Roles,
    find_lengths,
    find_roles,
    find_unsized,
    pose,
)
from .rebuild import renew_all, renewed


class Fate(Enum):
    """What became of a value of the forward half."""

    KEPT = "kept"  # it is a residual
    RECOMPUTED = "recomputed"  # the adjoint half computes it again
    PRUNED = "pruned"  # the adjoint half does without it


@dataclass(frozen=True, slots=True)
class Decision:
    """The fate of one value: its op, its type, its size in bytes, the user's line."""

    fate: Fate
    op: str
    type: TensorType
    bytes: int | SizeExpr
    loc: Loc | None


@dataclass(frozen=True, slots=True)
class Partition:
    """The two halves of a joint graph.

    Fields:
        forward: the program; its outputs are the program's, then the residuals.
        adjoint: the rest; its inputs are `reads`, then the residuals, then the captures
            it reads; its outputs are the gradients.
        reads: numbers of the inputs of the joint graph that the adjoint takes.
        residuals: values of `forward`, in order of definition.
        recomputed: values of `forward` that the adjoint half computes again.
        bytes: the size of the residuals.
    """

    forward: Graph
    adjoint: Graph
    reads: tuple[int, ...]
    residuals: tuple[Value, ...]
    recomputed: tuple[Value, ...]
    bytes: int | SizeExpr

    def decisions(self) -> list[Decision]:
        """Return the fate of every value of the forward half, constants left out.

        In order of definition. A comparison that the forward half makes for the adjoint
        alone counts as kept.
        """
        kept, again = set(self.residuals), set(self.recomputed)
        made: list[Decision] = []
        for node in self.forward.nodes:
            if isinstance(node.primitive.form, Literal):
                continue
            for x in node.results:
                fate = Fate.PRUNED
                if x in kept:
                    fate = Fate.KEPT
                elif x in again:
                    fate = Fate.RECOMPUTED
                name = node.primitive.name
                made.append(Decision(fate, name, x.type, bytes_of([x]), node.loc))
        return made


def bytes_of(values: Sequence[Value]) -> int | SizeExpr:
    """Return the size of values in memory."""
    counts: dict[TensorType, int] = {}
    for x in values:
        counts[x.type] = counts.get(x.type, 0) + 1
    total: int | SizeExpr = 0
    for type, count in counts.items():
        total = total + product(type.shape) * (type.dtype.bits // 8 * count)
    return total


def partition(
    joint: Graph, num_outputs: int, num_seeds: int = 0, *, recompute: int = RECOMPUTE
) -> Partition:
    """Split a joint graph.

    Args:
        joint: as `grad_graph` or `vjp_graph` leaves it, passes run on it or not.
        num_outputs: how many leading outputs are the program's own.
        num_seeds: how many inputs before the captures are seeds.
        recompute: the longest path of cheap ops that is computed again; with 0 the
            adjoint computes nothing again, and what rules read is kept or passed.

    Returns:
        The halves. Contractions, reductions and transcendental functions are never
        computed twice, any other node at most twice.

    Cost: O(nodes + edges), and minimum cuts of at most `BUDGET` values together, see
    `partition_pieces`.
    """
    with collector_paused(len(joint.nodes)):
        joint = dce(_settled(joint))
        roles = find_roles(joint, num_outputs, num_seeds)
        values, problem = pose(joint, roles, recompute)
        kept = {values[k] for k in choose(problem)}
        return _split(joint, roles, kept)


def _settled(joint: Graph) -> Graph:
    """Return the graph where no loop that goes on from another prints a second time.

    A scan and what goes on from it become one; other loops stay two, and the longer one
    is for the adjoint alone.
    """
    if not graph_prints(joint):
        return joint
    joint = merge_scans(joint)

    def runs_again(node: Node) -> bool:
        return node.params.get("extends") is not None and prints(node)

    nodes, outputs = quiet_nodes(joint.nodes, joint.outputs, runs_again)
    return joint.replace(nodes, outputs)


def _needed(
    joint: Graph, roots: Sequence[Value], given: Collection[Value], printing: set[Node]
) -> set[Node]:
    """Return the nodes that print, and those that `roots` need beyond `given`."""
    found: set[Node] = set()
    needed: set[Node | None] = {x.node for x in roots if x not in given}
    lengths = find_lengths(joint)
    add, need = found.add, needed.add
    for node in reversed(joint.nodes):
        if node in needed or node in printing:
            add(node)
            for x in node.operands:
                if x not in given:
                    need(x.node)
            if lengths and node in lengths:
                for x in lengths[node]:
                    need(x.node)
    return found


def _split(joint: Graph, roles: Roles, kept: set[Value]) -> Partition:
    num_outputs, num_seeds = roles.num_outputs, roles.num_seeds
    outputs = joint.outputs[:num_outputs]
    gradients = joint.outputs[num_outputs:]
    forward = roles.forward
    moved = [x for x in kept if x.node not in forward]
    if moved:
        forward = forward | _needed(joint, moved, (), set())
    later = _needed(joint, gradients, kept, roles.late_prints)
    makers = {x.node for x in kept}
    residuals = [x for n in joint.nodes if n in makers for x in n.results if x in kept]
    again = [n for n in joint.nodes if n in later and n in roles.forward]
    dear = [n for n in again if n.primitive.cost is not Cost.CHEAP]
    unsized = find_unsized(joint) if dear else set()
    for node in dear:
        assert not unsized.isdisjoint(node.results), f"{node} would be computed twice"
    adjoint, reads = _adjoint_half(
        joint, later, residuals, num_outputs, roles.late_prints
    )
    half, replaced = _forward_half(
        joint, forward, outputs, residuals, num_outputs, num_seeds
    )
    recomputed = [
        x
        for n in again
        if not isinstance(n.primitive.form, Literal)
        for x in n.results
        if x not in kept
    ]
    return Partition(
        half,
        adjoint,
        reads,
        tuple(half.outputs[num_outputs:]),
        tuple(renewed(recomputed, replaced)),
        bytes_of(residuals),
    )


def _adjoint_half(
    joint: Graph,
    later: set[Node],
    residuals: list[Value],
    num_outputs: int,
    late_prints: set[Node],
) -> tuple[Graph, tuple[int, ...]]:
    """Return the adjoint half, and which of the joint inputs it takes."""
    gradients = joint.outputs[num_outputs:]
    read = {x for node in later for x in node.operands if x.node is None}
    read.update([x for x in gradients if x.node is None])
    plain = len(joint.inputs) - len(joint.captures)
    taken = [k for k in range(plain) if joint.inputs[k] in read]
    captured = [k for k in range(plain, len(joint.inputs)) if joint.inputs[k] in read]
    old = [
        *[joint.inputs[k] for k in taken],
        *residuals,
        *[joint.inputs[k] for k in captured],
    ]
    new = [Value(x.type, None, k) for k, x in enumerate(old)]
    replaced = dict(zip(old, new, strict=True))
    nodes = _renewed_but_given(joint.nodes, later, replaced)
    outputs = renewed(gradients, replaced)
    order = [node for node in joint.nodes if node in later]
    again = {
        made
        for old, made in zip(order, nodes, strict=True)
        if prints(old) and old not in late_prints
    }
    if again:
        nodes, outputs = quiet_nodes(nodes, outputs, again.__contains__)
    nodes = _in_order(nodes)
    adjoint = Graph(
        f"{joint.name}_adjoint",
        new,
        nodes,
        outputs,
        [
            *[joint.names[k] for k in taken],
            *[f"residual {k}" for k in range(len(residuals))],
            *[joint.names[k] for k in captured],
        ],
        joint.sizes,
        [],
        [joint.captures[k - plain] for k in captured],
        joint.output_names[num_outputs:],
    )
    return adjoint, tuple(taken)


def _in_order(nodes: list[Node]) -> list[Node]:
    """Return nodes after the loop that binds a size they mention.

    Of several loops that bind it the first may be left out.
    """
    control = any(type(n.primitive.form) is Control for n in nodes)
    return ordered(nodes) if control else nodes


def _renewed_but_given(
    nodes: Sequence[Node], later: set[Node], replaced: dict[Value, Value]
) -> list[Node]:
    """Return `later` over replaced operands; results that are kept stay inputs."""
    out: list[Node] = []
    run: list[Node] = []
    for node in nodes:
        if node not in later:
            continue
        run.append(node)
        if len(node.results) > 1:
            given = [(x, replaced[x]) for x in node.results if x in replaced]
            if given:  # rare: of several results some are kept
                out += renew_all(run, replaced)
                replaced.update(given)
                run = []
    return out + renew_all(run, replaced)


def _forward_half(
    joint: Graph,
    forward: set[Node],
    outputs: list[Value],
    residuals: list[Value],
    num_outputs: int,
    num_seeds: int,
) -> tuple[Graph, dict[Value, Value]]:
    """Return the forward half without the seeds, and what it replaced."""
    plain = len(joint.inputs) - len(joint.captures)
    first = plain - num_seeds
    captured = joint.inputs[plain:]
    moved = (
        [Value(x.type, None, first + k) for k, x in enumerate(captured)]
        if num_seeds
        else captured
    )
    replaced = dict(zip(captured, moved, strict=True)) if num_seeds else {}
    nodes = _in_order([n for n in joint.nodes if n in forward])
    half = joint.replace(renew_all(nodes, replaced) if replaced else nodes)
    half.inputs = [*joint.inputs[:first], *moved]
    half.names = [*joint.names[:first], *joint.names[plain:]]
    half.outputs = renewed([*outputs, *residuals], replaced)
    half.output_names = [
        *joint.output_names[:num_outputs],
        *[f"residual {k}" for k in range(len(residuals))],
    ]
    return half, replaced
