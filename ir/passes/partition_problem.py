"""Read the choice of residuals off a joint graph, as numbers.

A value is early if it can be computed before the seeds are known: all values of the
forward half, and adjoint values made of these, such as the mask of a maximum. An early
value that a later node reads must be there when the adjoint runs. It is kept, at its
bytes, or computed again from values that are there, at half its bytes: it is written
nowhere and nothing has to wait for it. Inputs and constants are there at no cost; views
of what is there, and what only the adjoint computes, cost nothing to compute.

Never computed again: contractions, reductions and transcendental functions; and cheap
ops at the end of a path of more than `RECOMPUTE` from values that are there or are
never computed again. That bounds the adjoint's own memory as well as its work.

A named size counts as `NOMINAL`. What has a size that a loop binds when it runs cannot
be kept: no half knows it before it ran the loop. So the loop runs again.
"""

from dataclasses import dataclass, field

from ..forms import Control, Literal, View
from ..graph import Graph, Node, Value
from ..primitive import Cost
from ..prints import prints
from ..sizes import SizeExpr, evaluate_size, names_in, product
from ..subgraph import late_size, late_sizes, mentioned_sizes
from ..types import TensorType

RECOMPUTE = 4  # cheap ops in a row
NOMINAL = 64  # elements along a named size, when bytes are compared
NEVER = -1  # a price: not computed again

_REFUSED = 1 << 60  # keeping what cannot be kept
_KEEP = 4  # a byte that is kept
_AGAIN = 2  # a byte that is computed again
# Of equal choices: fewer values, and those the program computes anyway.
_ONE, _MOVED = 1, 2


@dataclass(slots=True)
class Problem:
    """Values 0, 1, ... in order of definition; which of them are kept?

    A value is there if it is kept, for `keep`, or computed again, for `price` (`NEVER`:
    it cannot be), from `needs`, which are there. Those `read` must be there.
    """

    keep: list[int] = field(default_factory=list)
    price: list[int] = field(default_factory=list)
    needs: list[list[int]] = field(default_factory=list)
    read: list[bool] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Roles:
    """What the nodes of a joint graph are.

    Fields:
        num_outputs: how many leading outputs are the program's own.
        num_seeds: how many inputs before the captures are seeds.
        forward: the nodes that these outputs need, and those that print.
        late_prints: nodes that print what depends on a seed; the adjoint half has them.
    """

    num_outputs: int
    num_seeds: int
    forward: set[Node]
    late_prints: set[Node]


def _seeds(joint: Graph, num_seeds: int) -> list[Value]:
    plain = len(joint.inputs) - len(joint.captures)
    return joint.inputs[plain - num_seeds : plain]


def find_roles(joint: Graph, num_outputs: int, num_seeds: int) -> Roles:
    """Tell the forward half of a joint graph from the rest."""
    printing = {n for n in joint.nodes if n.primitive.effects and prints(n)}
    late: set[Node] = set()
    if printing and num_seeds:
        seeded = set(_seeds(joint, num_seeds))
        for node in joint.nodes:
            if not seeded.isdisjoint(node.operands):
                seeded.update(node.results)
                if node in printing:
                    late.add(node)
    needed: set[Node | None] = {x.node for x in joint.outputs[:num_outputs]}
    needed |= printing - late
    lengths = find_lengths(joint)
    forward: set[Node] = set()
    for node in reversed(joint.nodes):
        if node in needed:
            forward.add(node)
            for x in node.operands:
                needed.add(x.node)
            if lengths and node in lengths:
                needed.update([x.node for x in lengths[node]])
    return Roles(num_outputs, num_seeds, forward, late)


class _Sweep:
    """What one sweep in order of definition finds of the early values."""

    def __init__(self, joint: Graph, roles: Roles, recompute: int) -> None:
        self.joint, self.roles, self.recompute = joint, roles, recompute
        self.late: set[Value] = set(_seeds(joint, roles.num_seeds))
        self.there = {x for x in joint.inputs if x not in self.late}  # at no cost
        self.read: set[Value] = set()  # early values that later nodes read
        self.never: set[Node] = set()
        self.depth: dict[Value, int] = {}  # cheap ops since a value that is there
        self.unsized = find_unsized(joint)
        self.lengths = find_lengths(joint) if self.unsized else {}
        for node in joint.nodes:
            if node in roles.forward:
                self._forward(node)
            else:
                self._rest(node)
        for x in joint.outputs[roles.num_outputs :]:
            if x not in self.late:
                self.read.add(x)

    def _forward(self, node: Node) -> None:
        primitive = node.primitive
        form, effects = primitive.form, primitive.effects
        if self.unsized and not self.unsized.isdisjoint(node.results):
            return
        if primitive.cost is not Cost.CHEAP or (effects and prints(node)):
            self.never.add(node)
            return
        there, depth = self.there, self.depth
        deepest, free = 0, True
        for x in node.operands:
            if x not in there:
                free = False
                if x in depth and depth[x] > deepest:
                    deepest = depth[x]
        if type(form) is Literal or (free and type(form) is View):
            there.update(node.results)
            return
        if type(form) is not View:
            deepest += 1
            if deepest > self.recompute:
                self.never.add(node)
                return
        if deepest:
            for x in node.results:
                depth[x] = deepest

    def _rest(self, node: Node) -> None:
        late, there = self.late, self.there
        if type(node.primitive.form) is Literal:
            there.update(node.results)
            return
        if node.primitive.effects or not late.isdisjoint(node.operands):
            early = False
        else:  # without seeds, what is a cotangent cannot be told from other floats
            early = self.roles.num_seeds > 0 or all(
                not x.type.dtype.is_float for x in node.results
            )
        if not early:
            late.update(node.results)
            for x in (*node.operands, *self.lengths.get(node, ())):
                if x not in late and x not in there:
                    self.read.add(x)
            return
        if there.issuperset(node.operands):
            there.update(node.results)
            return
        deepest = max(self.depth.get(x, 0) for x in node.operands)
        if deepest:
            for x in node.results:
                self.depth[x] = deepest


def find_unsized(joint: Graph) -> set[Value]:
    """Return the values whose types have a size that a loop of the program binds."""
    loops = [node for node in joint.nodes if type(node.primitive.form) is Control]
    bound = set(late_sizes(loops))
    if not bound:
        return set()
    return {
        x
        for node in joint.nodes
        for x in node.results
        if any(not bound.isdisjoint(names_in(d)) for d in x.type.shape)
    }


def find_lengths(joint: Graph) -> dict[Node, list[Value]]:
    """Return what nodes read of loops to know a size that these bind.

    A node may mention such a size and read no value that has it.
    """
    bound: dict[str, Value] = {}
    for node in joint.nodes:
        name = late_size(node) if node.params else None
        if name is not None:
            sized = [x for x in node.results if name in _names(x.type)]
            bound.update([(name, x) for x in sized[:1]])
    if not bound:
        return {}
    found: dict[Node, list[Value]] = {}
    for node in joint.nodes:
        if node.params:
            mentioned = sorted(mentioned_sizes(node) & bound.keys())
            read = [bound[n] for n in mentioned if bound[n].node is not node]
            if read:
                found[node] = read
    return found


def _names(kind: TensorType) -> set[str]:
    return {name for d in kind.shape for name in names_in(d)}


def pose(joint: Graph, roles: Roles, recompute: int) -> tuple[list[Value], Problem]:
    """Return the values that could be kept, and the choice among them as numbers.

    Cost: O(nodes + edges).
    """
    sweep = _Sweep(joint, roles, recompute)
    there, never, unsized = sweep.there, sweep.never, sweep.unsized
    wanted = sweep.read - there
    found: list[Node] = []
    for node in reversed(joint.nodes):
        if wanted.isdisjoint(node.results):
            continue
        found.append(node)
        if node not in never:
            for x in node.operands:
                if x not in there:
                    wanted.add(x)
    found.reverse()
    values: list[Value] = []
    numbers: dict[Value, int] = {}
    out = Problem()
    sizes: dict[TensorType, int] = {}
    for node in found:
        needs: list[int] = []
        if node not in never:
            needs = list({numbers[x]: None for x in node.operands if x not in there})
        forward = node in roles.forward
        free = not forward or type(node.primitive.form) is View
        for x in node.results:
            if x not in wanted:
                continue
            count = sizes.get(x.type)
            if count is None:
                count = sizes[x.type] = nominal_bytes(x.type)
            numbers[x] = len(values)
            values.append(x)
            if unsized and x in unsized:
                out.keep.append(_REFUSED)
                out.price.append(0)
                out.needs.append(list(needs))
                out.read.append(x in sweep.read)
                continue
            beside = bool(unsized) and not unsized.isdisjoint(node.results)
            out.keep.append(_KEEP * count + (_ONE if forward else _MOVED))
            price = 0 if free else _AGAIN * count
            out.price.append(NEVER if node in never or beside else price)
            out.needs.append([] if beside else list(needs))
            out.read.append(x in sweep.read)
    return values, out


def nominal_bytes(type: TensorType) -> int:
    """Return the bytes of a type where every named size is `NOMINAL`."""
    total: int | SizeExpr = product(type.shape) * (type.dtype.bits // 8)
    return max(evaluate_size(total, _Nominal()), 0)


class _Nominal(dict[str, int]):
    """Sizes by name, all of them `NOMINAL`."""

    def __missing__(self, name: str) -> int:
        return NOMINAL
