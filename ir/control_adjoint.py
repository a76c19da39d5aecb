"""Adjoints of control ops, made of control ops: so they have adjoints themselves.

A loop's adjoint runs the loop again with its residuals stacked, then scans them from
the other end. The pass `merge` makes one loop of the first run and the second. A loop
whose length is known when it stops binds it as a size; the scan has that length.

Of the values a step's adjoint reads, elements of sequences and invariants are there,
carries and what `partition` chooses are stacked. A choice runs the branch again that
was taken: which one is all that has to be kept.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .builder import Builder
from .control_revolve import revolve_back
from .graph import Graph, Node, Value
from .ops import OPS
from .passes import pipeline
from .passes.merge import extension, merge_scans
from .passes.partition import Partition, partition
from .passes.rebuild import inlined
from .primitive import Rule, VjpRule
from .prints import quiet_region
from .sizes import SizeExpr
from .subgraph import SubGraph, with_sizes
from .types import BOOL

Rules = Mapping[str, VjpRule | Rule]
Cotangents = Sequence[Value | None]  # None for zero, and for what is not a float
# adjoint.pullback
Sweep = Callable[..., "list[Value | None]"]


@dataclass(frozen=True, slots=True)
class _Joint:
    """A region with its adjoint.

    `graph` takes the region's inputs, then a seed for each output of `seeded`, and
    returns the region's outputs, then gradients; `grads[k]` is which of these is that
    of input k, None for none.
    """

    graph: Graph
    grads: list[int | None]
    seeded: list[int]


def _joint(held: SubGraph, seeded: Sequence[int], sweep: Sweep, rules: Rules) -> _Joint:
    region = held.graph
    b = Builder(OPS)
    b.inputs, b.names = list(region.inputs), list(region.names)
    b.nodes, b.sizes = list(region.nodes), list(region.sizes)
    cts: dict[Value, Value] = {}
    seeds: list[Value] = []
    for k in seeded:
        x = region.outputs[k]
        seed = b.input(x.type, f"seed of {region.output_names[k]}")
        seeds.append(seed)
        cts[x] = b.op("add", cts[x], seed) if x in cts else seed
    wrt = [x for x in region.inputs if x.type.dtype.is_float]
    nodes = region.nodes
    made = dict(
        zip(wrt, sweep(b, nodes, cts, wrt, rules, region.name, seeds), strict=True)
    )
    grads: list[int | None] = []
    outputs: list[Value] = []
    for x in region.inputs:
        ct = made.get(x)
        grads.append(None if ct is None else len(outputs))
        if ct is not None:
            outputs.append(ct)
    names = [*region.output_names, *[f"gradient {k}" for k in range(len(outputs))]]
    graph = b.finish(region.name, [*region.outputs, *outputs], names)
    return _Joint(graph, grads, list(seeded))


def _close(b: Builder, outputs: Sequence[Value]) -> SubGraph:
    return SubGraph(with_sizes(b.finish("region", outputs)))


class _Loop:
    """What `while_loop` and `scan` have in common."""

    def __init__(self, node: Node) -> None:
        params = node.params
        self.node = node
        self.body: SubGraph = params["body"]
        self.carries: int = params["carries"]
        self.is_scan = "xs" in params
        self.xs: int = params.get("xs", 0)
        self.operands = node.operands

    def is_invariant(self, k: int) -> bool:
        """Return whether input k of the body is the same in every step."""
        return k >= self.carries + self.xs

    def run_again(
        self, b: Builder, forward: Graph, kept: Sequence[Value]
    ) -> tuple[list[Value], "int | SizeExpr"]:
        """Append the loop with `kept` stacked as well; return stacks and length."""
        outputs = [*forward.outputs[: len(self.body.gives)], *kept]
        params = dict(self.node.params)
        if not self.is_scan:
            # a loop that binds one already binds it to the same number again
            params["trips"] = params["trips"] or b.fresh_size("trips")
            if len(outputs) == self.carries:
                # something has to say how long it was
                outputs.append(_false(forward))
        names = [f"out{k}" for k in range(len(outputs))]
        graph = forward.replace(list(forward.nodes), outputs)
        graph.output_names = names
        graph.name = "region"
        params["body"] = SubGraph(with_sizes(graph))
        params["extends"] = extension(self.node)
        results = b.apply(self.node.primitive, self.operands, params)
        length = params["length"] if self.is_scan else params["trips"]
        return list(results[len(self.body.gives) :]), length


def _false(graph: Graph) -> Value:
    """Append a constant to a graph and return it."""
    b = Builder(OPS)
    value = b.constant(False, BOOL)
    graph.nodes = [*graph.nodes, *b.nodes]
    return value


def loop_vjp(
    b: Builder, node: Node, cts: Cotangents, sweep: Sweep, rules: Rules
) -> list[Value | None]:
    """Return the cotangents of a loop's operands; `cts` are those of its results.

    A carry has one whatever comes in: it may come of another, by the loop.
    """
    loop = _Loop(node)
    seeded = [
        k
        for k, (ct, kind) in enumerate(zip(cts, loop.body.gives, strict=True))
        if kind.dtype.is_float and (k < loop.carries or ct is not None)
    ]
    # steps between checkpoints run again, and have printed already
    again = bool(node.params.get("checkpoints"))
    body = quiet_region(loop.body) if again else loop.body
    joint = _joint(body, seeded, sweep, rules)
    given = [
        b.zeros(loop.operands[k].type) if ct is None and k in seeded else ct
        for k, ct in enumerate(cts)
    ]
    if again:
        return revolve_back(b, node, joint.graph, joint.grads, seeded, given)
    num_inputs, num_outputs = len(loop.body.takes), len(loop.body.gives)
    graph = pipeline.run(joint.graph, disable={"merge", "regions"})
    part = partition(merge_scans(graph), num_outputs, len(seeded))
    forward = part.forward
    carried = [k for k in part.reads if k < loop.carries]
    kept = [*[forward.inputs[k] for k in carried], *part.residuals]
    stacks, length = loop.run_again(b, forward, kept)
    return _scan_back(b, loop, joint, part, given, stacks, length, num_inputs)


def _scan_back(
    b: Builder,
    loop: _Loop,
    joint: _Joint,
    part: Partition,
    cts: Cotangents,
    stacks: Sequence[Value],
    length: "int | SizeExpr",
    num_inputs: int,
) -> list[Value | None]:
    """Append the scan from the other end.

    Its carries are the cotangents of the loop's, and sums for the invariants.
    """
    region = Builder(OPS)
    gives, takes = loop.body.gives, loop.body.takes
    floats = joint.seeded
    summed = [
        k
        for k in range(num_inputs)
        if loop.is_invariant(k) and joint.grads[k] is not None
    ]
    inits: list[Value] = []
    given: dict[int, Value] = {}  # number among the joint inputs -> value in the region

    def take(kind: Any, name: str) -> Value:
        return region.input(kind, name)

    for seed, k in enumerate(floats):
        if k < loop.carries:
            given[num_inputs + seed] = take(gives[k], f"ct{k}")
            inits.append(_there(cts[k]))
    sums = [take(takes[k], f"sum{k}") for k in summed]
    inits += [b.zeros(takes[k]) for k in summed]
    sequences: list[Value] = []
    for seed, k in enumerate(floats):
        if k >= loop.carries:
            given[num_inputs + seed] = take(gives[k], f"ct{k}")
            sequences.append(_there(cts[k]))
    for k in part.reads:
        if loop.carries <= k < loop.carries + loop.xs:
            given[k] = take(takes[k], f"x{k}")
            sequences.append(loop.operands[k])
    carried = [k for k in part.reads if k < loop.carries]
    for k, stack in zip(carried, stacks, strict=False):
        given[k] = take(takes[k], f"carry{k}")
        sequences.append(stack)
    residuals: list[Value] = []
    kept = stacks[len(carried) : len(carried) + len(part.residuals)]
    for j, (x, stack) in enumerate(zip(part.residuals, kept, strict=True)):
        residuals.append(take(x.type, f"residual{j}"))
        sequences.append(stack)
    if not sequences and stacks:
        # it says how long the loop was, for who looks at operands alone
        region.input(stacks[0].type.with_shape(stacks[0].type.shape[1:]), "step")
        sequences.append(stacks[0])
    fixed: list[Value] = []
    for k in part.reads:
        if k < num_inputs and loop.is_invariant(k):
            given[k] = take(takes[k], f"fixed{k}")
            fixed.append(loop.operands[k])
    half = part.adjoint
    nodes, grads = inlined(half, [*[given[k] for k in part.reads], *residuals])
    region.nodes += nodes

    def grad(k: int) -> Value:
        at = joint.grads[k]
        return region.zeros(takes[k]) if at is None else grads[at]

    outputs = [grad(k) for k in floats if k < loop.carries]
    outputs += [
        region.op("add", old, grad(k)) for old, k in zip(sums, summed, strict=True)
    ]
    moving = [
        k
        for k in range(loop.carries, loop.carries + loop.xs)
        if joint.grads[k] is not None
    ]
    outputs += [grad(k) for k in moving]
    results = b.apply(
        OPS["scan"],
        (*inits, *sequences, *fixed),
        {
            "carries": len(inits),
            "xs": len(sequences),
            "length": length,
            "reverse": not loop.node.params.get("reverse", False),
            "body": _close(region, outputs),
            "extends": None,
        },
    )
    owners = [*[k for k in floats if k < loop.carries], *summed, *moving]
    entries: list[Value | None] = [None] * num_inputs
    for k, x in zip(owners, results, strict=True):
        entries[k] = x
    return entries


def _there(ct: Value | None) -> Value:
    assert ct is not None
    return ct


def switch_vjp(
    b: Builder, node: Node, cts: Cotangents, sweep: Sweep, rules: Rules
) -> list[Value | None]:
    """Return the cotangents of a choice's operands: the branch taken runs again."""
    branches: tuple[SubGraph, ...] = node.params["branches"]
    seeded = [k for k, ct in enumerate(cts) if ct is not None]
    joints = [_joint(quiet_region(x), seeded, sweep, rules) for x in branches]
    index, *operands = node.operands
    wrt = [
        k
        for k in range(len(operands))
        if any(joint.grads[k] is not None for joint in joints)
    ]
    if not wrt:
        return [None] * len(node.operands)
    seeds = [ct for ct in cts if ct is not None]
    made = []
    for branch, joint in zip(branches, joints, strict=True):
        region = Builder(OPS)
        taken = [region.input(ct.type, f"ct{k}") for k, ct in enumerate(seeds)]
        values = [region.input(x.type, f"x{k}") for k, x in enumerate(operands)]
        nodes, outputs = inlined(joint.graph, [*values, *taken])
        region.nodes += nodes
        first = len(branch.gives)
        grads = []
        for k in wrt:
            at = joint.grads[k]
            zero = at is None
            grads.append(
                region.zeros(values[k].type) if zero else outputs[first + (at or 0)]
            )
        made.append(_close(region, grads))
    results = b.apply(
        node.primitive, (index, *seeds, *operands), {"branches": tuple(made)}
    )
    entries: list[Value | None] = [None] * len(node.operands)
    for k, x in zip(wrt, results, strict=True):
        entries[1 + k] = x
    return entries
