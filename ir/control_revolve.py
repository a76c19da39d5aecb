"""The adjoint of a scan that keeps few of its carries, and what follows from it.

`revolve` stands for two scans: one forward that stacks the carries before each step,
one from the other end that reads them. Its own adjoint, tangent and batched form are
those of the two scans, so they hold every carry: only a first adjoint is frugal.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .builder import Builder
from .control_batching import Call
from .graph import Graph, Node, Value
from .ops import OPS
from .ops.control import revolve_groups as groups_of
from .ops.leading import lead
from .passes.dce import dce
from .passes.rebuild import inlined
from .prints import quiet_region
from .subgraph import SubGraph, with_sizes

Sweep = Callable[..., "list[Value | None]"]  # adjoint.pullback
Push = Callable[..., "list[Value | None]"]  # forward.pushforward


def _closed(b: Builder, outputs: Sequence[Value]) -> SubGraph:
    return SubGraph(with_sizes(dce(b.finish("region", outputs))))


def revolve_back(
    b: Builder,
    node: Node,
    joint: Graph,
    grads: Sequence[int | None],
    seeded: Sequence[int],
    cts: Sequence[Value | None],
) -> list[Value | None]:
    """Return the cotangents of the operands of a scan with checkpoints.

    Args:
        b: where the adjoint goes.
        node: the scan.
        joint: its body with its adjoint: takes the body's inputs, then a seed for each
            output of `seeded`; returns the body's outputs, then gradients.
        grads: for each input of the body which gradient is its own, None for none.
        seeded: the results of the scan that have a cotangent.
        cts: their cotangents, by number of the result.
    """
    params = node.params
    body: SubGraph = params["body"]
    carries, xs = params["carries"], params["xs"]
    takes, gives = body.takes, body.gives
    held = [k for k in seeded if k < carries]
    stacked = [k for k in seeded if k >= carries]
    given_cts = {k: ct for k, ct in enumerate(cts) if ct is not None}
    last = carries + xs
    summed = [k for k in range(last, len(takes)) if grads[k] is not None]
    moving = [k for k in range(carries, last) if grads[k] is not None]
    region = Builder(OPS)
    seeds = [region.input(gives[k], f"ct{k}") for k in held]
    sums = [region.input(takes[k], f"sum{k}") for k in summed]
    inputs = [region.input(kind, f"r{k}") for k, kind in enumerate(takes[:last])]
    seeds += [region.input(gives[k], f"ct{k}") for k in stacked]
    inputs += [region.input(kind, f"r{k}") for k, kind in enumerate(takes[last:])]
    nodes, outputs = inlined(joint, [*inputs, *seeds])
    region.nodes += nodes
    first = len(gives)

    def grad(k: int) -> Value:
        at = grads[k]
        return region.zeros(takes[k]) if at is None else outputs[first + at]

    results = [grad(k) for k in held]
    results += [
        region.op("add", old, grad(k)) for old, k in zip(sums, summed, strict=True)
    ]
    results += [grad(k) for k in moving]
    forward = Builder(OPS)
    given = [forward.input(kind, f"r{k}") for k, kind in enumerate(takes)]
    nodes, made = inlined(quiet_region(body).graph, given)
    forward.nodes += nodes
    produced = b.apply(
        OPS["revolve"],
        (
            *node.operands[:carries],
            *[given_cts[k] for k in held],
            *[b.zeros(takes[k]) for k in summed],
            *node.operands[carries:last],
            *[given_cts[k] for k in stacked],
            *node.operands[last:],
        ),
        {
            "carries": carries,
            "floats": len(held),
            "sums": len(summed),
            "xs": xs,
            "ys": len(stacked),
            "length": params["length"],
            "reverse": params["reverse"],
            "checkpoints": params["checkpoints"],
            "body": _closed(forward, made[:carries]),
            "back": _closed(region, results),
        },
    )
    entries: list[Value | None] = [None] * len(takes)
    for k, x in zip([*held, *summed, *moving], produced, strict=True):
        entries[k] = x
    return entries


def _expanded(
    b: Builder, node: Node, operands: Sequence[Value], again: bool
) -> list[Value]:
    """Append the two scans that a revolve stands for; return their results.

    Where it runs `again` they print nothing.
    """
    params = node.params
    body: SubGraph = params["body"]
    back: SubGraph = quiet_region(params["back"]) if again else params["back"]
    counts = [params[k] for k in ("carries", "floats", "sums", "xs", "ys")]
    held, cts, sums, through, stacks, fixed = groups_of(operands, *counts)
    region = Builder(OPS)
    inputs = [region.input(kind, f"r{k}") for k, kind in enumerate(body.takes)]
    nodes, made = inlined(body.graph, inputs)
    region.nodes += nodes
    shared = {"length": params["length"], "extends": None}
    before = b.apply(
        OPS["scan"],
        (*held, *through, *fixed),
        {
            **shared,
            "carries": len(held),
            "xs": len(through),
            "reverse": params["reverse"],
            "body": SubGraph(
                with_sizes(region.finish("region", [*made, *inputs[: len(held)]]))
            ),
        },
    )[len(held) :]
    return list(
        b.apply(
            OPS["scan"],
            (*cts, *sums, *before, *through, *stacks, *fixed),
            {
                **shared,
                "carries": len(cts) + len(sums),
                "xs": len(before) + len(through) + len(stacks),
                "reverse": not params["reverse"],
                "body": back,
            },
        )
    )


def revolve_vjp(
    b: Builder,
    node: Node,
    cts: Sequence[Value | None],
    sweep: Sweep,
    rules: Mapping[str, Any],
) -> list[Value | None]:
    """Return the cotangents of the operands of a revolve."""
    first = len(b.nodes)
    results = _expanded(b, node, node.operands, again=True)
    nodes = b.nodes[first:]
    seeds = {y: ct for y, ct in zip(results, cts, strict=True) if ct is not None}
    wrt = [x for x in node.operands if x.type.dtype.is_float]
    given = list(seeds.values())
    found = sweep(b, nodes, seeds, _once(wrt), rules, "revolve", given)
    made = dict(zip(_once(wrt), found, strict=True))
    # an operand that stands twice has its cotangent once
    return [made.pop(x, None) for x in node.operands]


def _once(values: Sequence[Value]) -> list[Value]:
    return list(dict.fromkeys(values))


def revolve_jvp(
    b: Builder, node: Node, tangents: Sequence[Value | None], push: Push
) -> Sequence[Value | None]:
    """Return the tangents of the results of a revolve."""
    first = len(b.nodes)
    results = _expanded(b, node, node.operands, again=True)
    given = {
        x: t for x, t in zip(node.operands, tangents, strict=True) if t is not None
    }
    return push(b, b.nodes[first:], given, results)


def revolve_batch(call: Call) -> Sequence[Value]:
    """Return the results of a revolve over a new axis, which all of them have."""
    inner = Builder(OPS)
    plain = [
        Value(x.type.with_shape(x.type.shape[1:]), None, k) if h else x
        for k, (x, h) in enumerate(zip(call.given, call.has, strict=True))
    ]
    results = _expanded(inner, call.node, plain, again=False)
    wide = {p: x for p, x, h in zip(plain, call.given, call.has, strict=True) if h}
    made = call.run(call.b, inner.nodes, wide, call.size, call.steps).values
    return [lead(call.b, call.size, y in made, made.get(y, y)) for y in results]
