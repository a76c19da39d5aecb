"""Run a small region in registers: a value is the list of its elements.

The same instructions an element as kernels have: reductions fold in the tree of
`fold.py`, contractions are chains of fma, bodies are those of the ops.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import product as tuples

from ..ir.constant import ArrayConstant
from ..ir.errors import GraphError
from ..ir.forms import (
    Contract,
    Control,
    Gather,
    Iota,
    Literal,
    Map,
    Place,
    Reduce,
    Scan,
    Scatter,
    View,
    reduced_shape,
)
from ..ir.graph import Graph, Node, Value
from ..ir.sizes import SizeExpr
from ..ir.types import I64, TensorType
from .cancel import leave_if_cancelled
from .cost import node_cost
from .fold import fold_elements
from .llvm import Function, Reg, const, undef, vec
from .register_lookups import Elements, Fail, Lookups
from .scalar import ScalarEmitter, Typed, register_type
from .small import fixed, linear, place_sources, positions, view_places
from .target import Target

DEAR = 8  # instructions of a body that runs for several elements at once

Branch = Callable[[], list[Elements]]


def flat(values: Sequence[Elements]) -> list[Reg]:
    """Return the elements of values one after the other."""
    return [reg for value in values for reg in value]


class Registers(Lookups):
    """Emits regions into a function.

    Args:
        fn: the function.
        target: the machine: how many elements a dear body runs for at once.
        size: the register of a size.
        fail: leaves with INDEX_OUT_OF_RANGE of a node: index, axis, extent.
        flag: the caller's cancel flag.
    """

    def __init__(
        self,
        fn: Function,
        target: Target,
        size: Callable[["int | SizeExpr"], Reg],
        fail: Fail,
        flag: Reg,
    ) -> None:
        self.fn, self.size, self.fail, self.flag = fn, size, fail, flag
        self.target = target
        self.scalar = ScalarEmitter(fn)
        self._packed: dict[tuple[str, ...], Reg] = {}

    @contextmanager
    def _apart(self) -> Iterator[None]:
        """Remember nothing of what is computed within: it need not be run."""
        held = self.scalar, self._packed
        self.scalar, self._packed = self.scalar.fork(), dict(self._packed)
        yield
        self.scalar, self._packed = held

    def run(self, graph: Graph, inputs: Sequence[Elements]) -> list[Elements]:
        """Emit a region; return the elements of its outputs."""
        held: dict[Value, Elements] = dict(zip(graph.inputs, inputs, strict=True))
        for node in graph.nodes:
            operands = [held[x] for x in node.operands]
            made = self._node(node, operands)
            held.update(zip(node.results, made, strict=True))
        return [held[x] for x in graph.outputs]

    def _node(self, node: Node, xs: list[Elements]) -> list[Elements]:
        form = node.primitive.form
        if isinstance(form, Map):
            return self._map(node, form, xs)
        if isinstance(form, Literal):
            return [self._literal(node)]
        if isinstance(form, Iota):
            kind = node.results[0].type
            axis = node.params["axis"]
            return [[self._number(k[axis], kind) for k in positions(kind.shape)]]
        if isinstance(form, View):
            places = view_places(node)
            assert places is not None
            return [[xs[0][k] for k in places]]
        if isinstance(form, Place):
            zero = const(register_type(node.results[0].type.dtype, 1), 0)
            sources = place_sources(node)
            assert sources is not None
            return [[zero if s is None else xs[s[0]][s[1]] for s in sources]]
        if isinstance(form, Reduce):
            return [self._reduce(node, form, xs[0])]
        if isinstance(form, Contract):
            return [self._contract(node, *xs)]
        if isinstance(form, Gather):
            return [self.gather(node, *xs)]
        if isinstance(form, Scatter):
            return [self.scatter(node, form, xs)]
        if isinstance(form, Scan):
            return [self._running(node, form, xs)]
        if isinstance(form, Control):
            kinds = {"scan": self._steps, "while": self._while, "switch": self._switch}
            return kinds[form.kind](node, xs)
        raise GraphError(f"{node.primitive.name} does not run in registers")

    # -- elements ----------------------------------------------------------------------

    def _number(self, value: float, kind: TensorType) -> Reg:
        item = kind.dtype.numpy.type(value).item()
        return const(register_type(kind.dtype, 1), item)

    def _map(self, node: Node, form: Map, xs: list[Elements]) -> list[Elements]:
        count, dtypes = len(xs[0]), [x.type.dtype for x in node.operands]
        out: list[Elements] = [[] for _ in node.results]
        width = 1
        if node_cost(node) >= DEAR:
            most = self.target.lanes(max(d.bits for d in dtypes))
            while width < min(count, most):
                width *= 2
        for first in range(0, count, width):
            given = [
                Typed(self._pack(x[first : first + width], width), d)
                for x, d in zip(xs, dtypes, strict=True)
            ]
            made = form.scalar(self.scalar, *given, **node.params)
            parts = made if type(made) is tuple else (made,)
            for held, part in zip(out, parts, strict=True):
                if width == 1:
                    held.append(part.reg)
                    continue
                lanes = range(min(width, count - first))
                held.extend([self.fn.extract(part.reg, k) for k in lanes])
        return out

    def _pack(self, elements: Elements, width: int) -> Reg:
        """Return elements as lanes; the last one again where there are too few."""
        if width == 1:
            return elements[0]
        filled = [*elements, *elements[-1:] * (width - len(elements))]
        key = tuple([r.ref for r in filled])
        found = self._packed.get(key)
        if found is None:
            found = undef(vec(filled[0].ty, width))
            for k, reg in enumerate(filled):
                found = self.fn.insert(found, reg, k)
            self._packed[key] = found
        return found

    def _literal(self, node: Node) -> Elements:
        kind, value = node.results[0].type, node.params["value"]
        count = len(positions(kind.shape))
        if isinstance(value, ArrayConstant):
            return [self._number(v, kind) for v in value.array.ravel().tolist()]
        if isinstance(value, SizeExpr):
            made = self.scalar.cast(Typed(self.size(value), I64), kind.dtype)
            return [made.reg] * count
        return [self._number(value, kind)] * count

    def _reduce(self, node: Node, form: Reduce, x: Elements) -> Elements:
        kind, dtype = node.operands[0].type, node.results[0].type.dtype
        axes = tuple(node.params["axes"])
        kept = fixed(reduced_shape(kind.shape, axes))
        rows: list[Elements] = [[] for _ in positions(kept)]
        for at, index in zip(x, positions(kind.shape), strict=True):
            outer = [i for k, i in enumerate(index) if k not in axes]
            rows[linear(outer, kept)].append(at)
        return [fold_elements(self.scalar, form.monoid, dtype, r, 1) for r in rows]

    def _contract(self, node: Node, lhs: Elements, rhs: Elements) -> Elements:
        left, right, result = (node.params[k] for k in ("lhs", "rhs", "out"))
        dtype = node.results[0].type.dtype
        shapes = [fixed(x.type.shape) for x in node.operands]
        extents = dict(zip(left, shapes[0], strict=True))
        extents.update(zip(right, shapes[1], strict=True))
        summed = [c for c in left if c not in result]
        zero = const(register_type(dtype, 1), 0)
        out: Elements = []
        for index in positions(node.results[0].type.shape):
            at = dict(zip(result, index, strict=True))
            total = Typed(zero, dtype)
            for inner in tuples(*[range(extents[c]) for c in summed]):
                at.update(zip(summed, inner, strict=True))
                x = lhs[linear([at[c] for c in left], shapes[0])]
                y = rhs[linear([at[c] for c in right], shapes[1])]
                total = self.scalar.fma(Typed(x, dtype), Typed(y, dtype), total)
            out.append(total.reg)
        return out

    def _running(self, node: Node, form: Scan, xs: list[Elements]) -> Elements:
        kind, params = node.results[0].type, dict(node.params)
        axis, reverse = params.pop("axis"), params.pop("reverse")
        shape = fixed(kind.shape)
        out: list[Reg | None] = [None] * len(xs[0])
        order = positions(kind.shape)
        for index in reversed(order) if reverse else order:
            before = list(index)
            before[axis] += 1 if reverse else -1
            at = linear(index, shape)
            given = [
                Typed(x[at], v.type.dtype)
                for x, v in zip(xs, node.operands, strict=True)
            ]
            if 0 <= before[axis] < shape[axis]:
                held = out[linear(before, shape)]
                assert held is not None
                step = Typed(held, kind.dtype)
                made = form.step(self.scalar, step, *given, **params)
            else:
                made = form.first(self.scalar, *given, **params)
            out[at] = made.reg
        return [x for x in out if x is not None]

    # -- control -----------------------------------------------------------------------

    def _steps(self, node: Node, xs: list[Elements]) -> list[Elements]:
        """Write the steps of a scan one after the other."""
        params = node.params
        carried, given = params["carries"], params["xs"]
        body, length = params["body"], params["length"]
        held, sequences = xs[:carried], xs[carried : carried + given]
        kept: list[list[Elements]] = []
        order = range(length)
        for k in reversed(order) if params["reverse"] else order:
            pieces = [x[k * (n := len(x) // length) : (k + 1) * n] for x in sequences]
            made = self.run(body.graph, [*held, *pieces, *xs[carried + given :]])
            held = made[:carried]
            kept.append(made[carried:])
        if params["reverse"]:
            kept.reverse()
        stacks = range(len(node.results) - carried)
        return [*held, *([r for step in kept for r in step[n]] for n in stacks)]

    def _while(self, node: Node, xs: list[Elements]) -> list[Elements]:
        carried = node.params["carries"]
        cond, body = node.params["cond"].graph, node.params["body"].graph
        made, _ = self.repeat(
            xs[:carried],
            lambda held, _: self.run(cond, [*held, *xs[carried:]])[0][0],
            lambda held, _: self.run(body, [*held, *xs[carried:]]),
        )
        return made

    def repeat(
        self,
        first: Sequence[Elements],
        cond: Callable[[list[Elements], Reg], Reg],
        body: Callable[[list[Elements], Reg], list[Elements]],
    ) -> tuple[list[Elements], Reg]:
        """Write a loop that runs while `cond`; return the carries and the steps."""
        fn, flag = self.fn, self.flag
        ask, run, done = (fn.new_label(x) for x in ("ask", "run", "done"))
        before = fn.block
        fn.br(ask)
        fn.start(ask)
        k = fn.phi("i64", const("i64", 0), before)
        held = [[fn.phi(r.ty, r, before) for r in x] for x in first]
        leave_if_cancelled(fn, flag)
        fn.cond_br(cond(held, k), run, done)
        fn.start(run)
        with self._apart():
            after = body(held, k)
        edges = zip(flat(held), flat(after), strict=True)
        fn.phi_edge(k, fn.add(k, const("i64", 1)), fn.block)
        for phi, new in edges:
            fn.phi_edge(phi, new, fn.block)
        fn.br(ask)
        fn.start(done)
        return held, k

    def _switch(self, node: Node, xs: list[Elements]) -> list[Elements]:
        graphs = [held.graph for held in node.params["branches"]]
        branches = [partial(self.run, g, xs[1:]) for g in graphs]
        return self.choose(node, xs[0][0], branches)

    def choose(
        self,
        node: Node | None,
        index: Reg,
        branches: Sequence[Callable[[], list[Elements]]],
    ) -> list[Elements]:
        """Write a choice; return what the branch taken gives."""
        fn = self.fn
        count = const("i64", len(branches))
        bad, good, join = (fn.new_label(x) for x in ("bad", "good", "join"))
        fn.cond_br(fn.icmp("uge", index, count), bad, good, False)
        fn.start(bad)
        self.fail(node, index, 0, len(branches))
        fn.start(good)
        labels = [fn.new_label("branch") for _ in branches]
        cases = " ".join(f"i64 {k}, label %{n}" for k, n in enumerate(labels))
        fn.raw(f"switch i64 {index.ref}, label %{labels[0]} [ {cases} ]")
        edges: list[tuple[list[Elements], str]] = []
        for label, branch in zip(labels, branches, strict=True):
            fn.start(label)
            with self._apart():
                made = branch()
            edges.append((made, fn.block))
            fn.br(join)
        fn.start(join)
        first = edges[0][0]
        return [
            [
                fn.merge(r.ty, [(made[n][k], block) for made, block in edges])
                for k, r in enumerate(x)
            ]
            for n, x in enumerate(first)
        ]
