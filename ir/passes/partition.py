"""Split a joint graph into a forward and an adjoint graph that share only residuals.

Everything the program's own outputs need is forward; the rest is adjoint. Every forward
value the adjoint reads is kept; constants are made again, inputs are passed again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ..forms import Literal
from ..graph import Graph, Node, Value
from ..pause import collector_paused
from ..primitive import Effect
from ..sizes import SizeExpr, product
from .dce import dce
from .rebuild import renew, renewed


@dataclass(frozen=True, slots=True)
class Partition:
    """The two halves of a joint graph.

    Fields:
        forward: the program; its outputs are the program's, then the residuals.
        adjoint: the rest; its inputs are `reads`, then the residuals, then the captures
            it reads; its outputs are the gradients.
        reads: numbers of the inputs of the joint graph that the adjoint takes.
        residuals: values of `forward`, in order of definition.
        bytes: the size of the residuals.
    """

    forward: Graph
    adjoint: Graph
    reads: tuple[int, ...]
    residuals: tuple[Value, ...]
    bytes: int | SizeExpr


def _needed(joint: Graph, outputs: Sequence[Value]) -> set[Node]:
    """Return the nodes that outputs need, and all that print."""
    needed: set[Node | None] = {x.node for x in outputs}
    found: set[Node] = set()
    for node in reversed(joint.nodes):
        if node in needed or Effect.PRINTS in node.primitive.effects:
            found.add(node)
            needed.update([x.node for x in node.operands])
    return found


def partition(joint: Graph, num_outputs: int, num_seeds: int = 0) -> Partition:
    """Split a joint graph.

    Args:
        joint: as `grad_graph` or `vjp_graph` leaves it, passes run on it or not.
        num_outputs: how many leading outputs are the program's own.
        num_seeds: how many inputs before the captures are seeds.

    Cost: O(nodes + edges).
    """
    with collector_paused(len(joint.nodes)):
        return _split(dce(joint), num_outputs, num_seeds)


def _split(joint: Graph, num_outputs: int, num_seeds: int) -> Partition:
    outputs = joint.outputs[:num_outputs]
    gradients = joint.outputs[num_outputs:]
    forward = _needed(joint, outputs)
    later = [n for n in joint.nodes if n not in forward]
    reads = {x for node in later for x in node.operands} | set(gradients)
    residuals: list[Value] = []
    again: set[Node] = set()
    for node in joint.nodes:
        if node in forward:
            if isinstance(node.primitive.form, Literal):
                if not reads.isdisjoint(node.results):
                    again.add(node)
            else:
                residuals += [x for x in node.results if x in reads]
    plain = len(joint.inputs) - len(joint.captures)
    taken = [k for k in range(plain) if joint.inputs[k] in reads]
    captured = [k for k in range(plain, len(joint.inputs)) if joint.inputs[k] in reads]
    old = [
        *[joint.inputs[k] for k in taken],
        *residuals,
        *[joint.inputs[k] for k in captured],
    ]
    new = [Value(x.type, None, k) for k, x in enumerate(old)]
    replaced = dict(zip(old, new, strict=True))
    adjoint = Graph(
        f"{joint.name}_adjoint",
        new,
        [renew(n, replaced) for n in joint.nodes if n not in forward or n in again],
        [],
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
    adjoint.outputs = renewed(gradients, replaced)
    total: int | SizeExpr = 0
    for x in residuals:
        total = total + product(x.type.shape) * (x.type.dtype.bits // 8)
    half = _forward_half(joint, forward, outputs, residuals, num_outputs, num_seeds)
    kept = tuple(half.outputs[num_outputs:])
    return Partition(half, adjoint, tuple(taken), kept, total)


def _forward_half(
    joint: Graph,
    forward: set[Node],
    outputs: list[Value],
    residuals: list[Value],
    num_outputs: int,
    num_seeds: int,
) -> Graph:
    """Return the forward half; seeds are none of its inputs."""
    plain = len(joint.inputs) - len(joint.captures)
    first = plain - num_seeds
    captured = joint.inputs[plain:]
    moved = (
        [Value(x.type, None, first + k) for k, x in enumerate(captured)]
        if num_seeds
        else captured
    )
    replaced = dict(zip(captured, moved, strict=True)) if num_seeds else {}
    nodes = [n for n in joint.nodes if n in forward]
    half = joint.replace([renew(n, replaced) for n in nodes] if replaced else nodes)
    half.inputs = [*joint.inputs[:first], *moved]
    half.names = [*joint.names[:first], *joint.names[plain:]]
    half.outputs = renewed([*outputs, *residuals], replaced)
    half.output_names = [
        *joint.output_names[:num_outputs],
        *[f"residual {k}" for k in range(len(residuals))],
    ]
    return half
