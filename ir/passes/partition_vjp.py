"""Split the pullback of a program into two, called one after the other.

The pair behind `pb.vjp`, and behind the functions NAME_forward and NAME_backward that
are compiled ahead of time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..adjoint import Rules, vjp_graph
from ..forward import jvp_graph
from ..graph import Graph, Value
from .merge import merge_same
from .partition import Partition, partition
from .partition_problem import RECOMPUTE
from .pipeline import run
from .rebuild import renew_all, renewed


@dataclass(frozen=True, slots=True)
class VjpPair:
    """A forward and a backward program; unpacks as these two.

    Fields:
        forward: takes what the program takes; returns what it returns, in that order,
            then the residuals.
        backward: takes, in this order, a seed for every float output, the inputs
            numbered by `reads`, the residuals, and the captures it reads; returns one
            cotangent for each of `wrt`, in that order.
        reads: numbers of the program's inputs that the backward program takes again.
        num_seeds: how many seeds it takes.
        num_residuals: how many residuals the forward program returns.
        partition: how the residuals were chosen, and their bytes.
    """

    forward: Graph
    backward: Graph
    reads: tuple[int, ...]
    num_seeds: int
    num_residuals: int
    partition: Partition

    def __iter__(self) -> Iterator[Graph]:
        """Yield the forward, then the backward program."""
        yield self.forward
        yield self.backward


def split_vjp(
    graph: Graph,
    wrt: Sequence[int],
    *,
    rules: Rules | None = None,
    strict: bool = False,
    recompute: int = RECOMPUTE,
) -> VjpPair:
    """Return the forward and the backward program of a pullback.

    Args:
        graph: the program.
        wrt: numbers of inputs, floats.
        rules: VJP rules that take precedence over those of the records.
        strict: do not contract a product and a sum to fma in the adjoint.
        recompute: the longest path of cheap ops that is computed again.

    A seed is an input of the backward program whether or not a cotangent depends on it.

    Raises:
        OpTypeError: an input of `wrt` is not a float.
        GradientLookupError: a cotangent reaches an op without a rule.
    """
    joint = run(vjp_graph(graph, wrt, rules=rules, strict=strict))
    return _split(graph, joint, "backward", recompute)


def split_jvp(
    graph: Graph, wrt: Sequence[int], *, recompute: int = RECOMPUTE
) -> VjpPair:
    """Return the forward program and the linear one that takes tangents to tangents.

    Of the pair, `backward` takes a tangent for each of `wrt` where that of a pullback
    takes seeds, and returns one for every float output.

    Args:
        graph: the program.
        wrt: numbers of inputs, floats.
        recompute: the longest path of cheap ops that is computed again.

    Raises:
        OpTypeError: an input of `wrt` is not a float.
        GradientLookupError: a tangent reaches an op without a rule.
    """
    joint = run(merge_same(jvp_graph(graph, wrt)), disable={"merge"})
    return _split(graph, joint, "tangent", recompute)


def _split(graph: Graph, joint: Graph, second: str, recompute: int) -> VjpPair:
    """Split a joint graph at its late inputs, which follow those of the program."""
    first = len(graph.inputs) - len(graph.captures)  # of the seeds
    num_seeds = len(joint.inputs) - len(graph.inputs)
    part = partition(joint, len(graph.outputs), num_seeds, recompute=recompute)
    forward = part.forward.replace(part.forward.nodes)
    forward.name = f"{graph.name}_forward"
    seeds = joint.inputs[first : first + num_seeds]
    names = joint.names[first : first + num_seeds]
    backward = _seeds_first(part, seeds, names, first)
    backward.name = f"{graph.name}_{second}"
    reads = tuple(k for k in part.reads if k < first)
    return VjpPair(forward, backward, reads, num_seeds, len(part.residuals), part)


def _seeds_first(
    part: Partition, seeds: Sequence[Value], names: Sequence[str], first: int
) -> Graph:
    """Return the adjoint half with all seeds, before its other inputs."""
    half = part.adjoint
    given = {
        k - first: x
        for k, x in zip(part.reads, half.inputs[: len(part.reads)], strict=True)
        if k >= first
    }
    read = set(given.values())
    rest = [k for k, x in enumerate(half.inputs) if x not in read]
    old = [half.inputs[k] for k in rest]
    inputs = [Value(x.type, None, k) for k, x in enumerate([*seeds, *old])]
    replaced = dict(zip(old, inputs[len(seeds) :], strict=True))
    replaced.update({x: inputs[k] for k, x in given.items()})
    nodes = renew_all(half.nodes, replaced)
    out = half.replace(nodes, renewed(half.outputs, replaced))
    out.inputs = inputs
    out.names = [*names, *[half.names[k] for k in rest]]
    return out
