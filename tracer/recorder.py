"""The recorder of a thread: where operations on tensors go.

Operations append nodes and check types at once; nothing is computed until a value is
looked at. Tapes mark which nodes are theirs. What is pending is bounded: beyond
`MOST_NODES` nodes or `MOST_BYTES` bytes of arrays it runs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.errors import EscapedValue, OpTypeError, SizeError
from ..ir.graph import Graph, Node, Value
from ..ir.loc import traced_at, user_loc
from ..ir.primitive import Primitive
from ..ir.prints import prints
from ..ir.types import DType, Shape, TensorType, dtype_of
from . import pending
from .array import TracedArray
from .builders import Array, ArrayBuilder
from .cell import Cell, again, copied, is_known, leaf
from .contracted import Contracted
from .free import run_again
from .functions.table import Impl
from .operators import Operators
from .pair import Pair, instead
from .steps import LITERALS
from .trail import Trail

if TYPE_CHECKING:
    from .tape import GradientTape
    from .tensor import Tensor
    from .variable import Variable

MOST_NODES = 4096
MOST_BYTES = 64 << 20
_TRIM_FROM = 64


class TapeBuilder(ArrayBuilder):
    """The builder of a thread's tapes: arrays and numbers of the user are inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.by_user = False
        self.bytes = 0

    def array(self, array: Array) -> Value:
        """Return a leaf that holds a copy of the array."""
        if (
            type(array) is not np.ndarray
            or array.dtype is not dtype_of(array.dtype).numpy
        ):
            self.bytes += array.nbytes
            return leaf(array)
        held, nbytes = copied(array)
        self.bytes += nbytes
        return leaf(held, copy=False)

    def number(self, number: np.generic) -> Value:
        """Return a leaf that holds a NumPy scalar."""
        return leaf(np.asarray(number))

    def constant(
        self, value: Any, dtype: DType | None = None, shape: Shape = ()
    ) -> Value:
        """Return a literal, or a leaf where the user wrote a number of no note."""
        if self.by_user and type(value) in (float, int) and value not in LITERALS:
            wanted = dtype or dtype_of(np.asarray(value).dtype)
            held = Value(TensorType(wanted, ()), None, 0)
            held.cell = Cell(np.asarray(value).astype(wanted.numpy))
            return self.broadcast(held, shape)
        return super().constant(value, dtype, shape)

    def _contract(self, name: str, x: Value, y: Value) -> Value | None:
        """Return an fma where a product is added, looked at before or not.

        Factors of a product that has its array get theirs, so that a loop of products
        that are looked at keeps no growing history.
        """
        product = y
        for held in (x, y):
            node = held.node
            if node is not None and node.primitive.name == "mul":
                product = held
                if is_known(held):
                    pending.run_factors(node)
                break
        made = super()._contract(name, x, y)
        if made is None:
            return None
        fma = self.nodes.pop()
        self.nodes.append(Contracted(self.table[name], (x, y), product, fma))
        return made


class Recorder:
    """One a thread.

    Whoever asks for its builder finds all nodes there; a walk makes them late.
    """

    def __init__(self, handle: "type[Tensor]") -> None:
        self.handle = handle
        self._builder = TapeBuilder()
        self.tapes: list[GradientTape] = []  # that record now
        self.kept: dict[int, list[Node]] = {}  # of tapes, by their identity
        self.group: dict[Value, None] = {}  # to run together
        self._trim_from = _TRIM_FROM
        self.trail = Trail(self._builder.nodes, self._builder.array)
        self._whole = 0  # how many want nothing flushed
        self._have_run(0)  # nodes before this, where a handle names them

    @property
    def builder(self) -> TapeBuilder:
        """The builder, with all that was recorded."""
        if self.trail.taken:
            self.trail.settle()
        return self._builder

    # -- recording -----------------------------------------------------------------

    def call(
        self,
        impl: Impl,
        args: Sequence[Any],
        options: dict[str, Any],
        handle: "type[Tensor] | None" = None,
    ) -> Any:
        """Run a function on what user code passed; returns tensors of a class."""
        handle = handle or self.handle
        trail = self.trail
        if trail.step is None and not self.tapes:
            trail.begin_free()
        if trail.walks and not options:
            made = None
            if len(args) == 2:
                made = trail.pair(impl, args[0], args[1], handle, 3)
            elif len(args) == 1:
                made = trail.alone(impl, args[0], handle, 3)
            if made is not None:
                if trail.end + trail.ahead > trail.bound:
                    self.flush()
                return made
        loc = self._builder.loc = user_loc(2)
        given = [a._value if type(a) is handle else self.unwrap(a) for a in args]
        key = number = step = None
        if trail.walks:
            key, number = trail.key(impl, given, options)
            step = trail.step
            if key is not None and step is not None:
                after = step.after.get(key)
                if after is not None:
                    after.loc = loc
                    made = handle(trail.follow(after, number))
                    if trail.end + trail.ahead > trail.bound:
                        self.flush()
                    return made
        b = self.builder
        start = len(b.nodes)
        b.by_user = True
        try:
            if options:
                named = {k: self.unwrap(v) for k, v in options.items()}
                out = impl(b, *given, **named)
            else:
                out = impl(b, *given)
        except BaseException as error:
            trail.leave()  # operands of it have numbers, which no step knows
            if not isinstance(error, (OpTypeError, SizeError)):
                raise
            other = instead(impl, args, options)
            if other is not None:
                return self.call(other, args, options, handle)
            if b.loc is None or "traced at:" in str(error):
                raise
            raise type(error)(f"{error}{traced_at(b.loc)}") from None
        finally:
            b.by_user = False
        held = b.bytes + trail.bytes
        if len(b.nodes) - self._ran > MOST_NODES or held > MOST_BYTES:
            made = self.wrap(out, given, handle)
            self.flush()
            return made
        made = self.wrap(out, given, handle)
        if key is not None and trail.step is step:
            trail.learn(key, start, made, number)
        return made

    def wrap(
        self,
        out: Any,
        given: Sequence[Any] = (),
        handle: "type[Tensor] | None" = None,
    ) -> Any:
        """Return Values as tensors; a Value that was given becomes one of its own."""
        made = handle or self.handle
        if type(out) is Value:
            node = out.node
            if node is not None and node.primitive.name == "constant":
                return made(self.concrete(out))
            for x in given:
                if x is out:
                    return made(self.alias(out))
            return made(out)
        if isinstance(out, (tuple, list)):
            make = getattr(type(out), "_make", type(out))  # a named tuple has its own
            return make([self.wrap(item, given, made) for item in out])
        if type(out) is Pair:
            return made._paired(
                self.wrap(out.re, (), made), self.wrap(out.im, (), made)
            )
        return out

    def alias(self, value: Value) -> Value:
        """Return the same elements as a value of its own; cotangents flow through."""
        return self.builder.op("reshape", value, shape=value.type.shape)  # type: ignore[no-any-return]

    @staticmethod
    def concrete(value: Value) -> Value:
        """Return a literal as a leaf of its own."""
        assert value.node is not None, "a literal has a node"
        evaluate = value.node.primitive.evaluate
        return leaf(np.asarray(evaluate(**value.node.params)))

    def unwrap(self, x: Any) -> Any:
        """Return what a function gets for x: Values for tensors, in lists too."""
        if isinstance(x, Operators):
            if isinstance(x, TracedArray):
                raise EscapedValue(str(x._trace._escaped((x,))))
            return x._value
        if type(x) is tuple or type(x) is list:
            return type(x)([self.unwrap(item) for item in x])
        if isinstance(x, slice):
            return slice(*[_plain(part) for part in (x.start, x.stop, x.step)])
        return x

    def replay(self, graph: Graph, leaves: Sequence[Any]) -> "list[Tensor]":
        """Record the nodes of a traced function; returns its results as tensors."""
        b = self.builder
        b.loc = user_loc(2)
        made: dict[Value, Value] = {}
        arguments = len(graph.inputs) - len(graph.captures)
        for x, given in zip(graph.inputs[:arguments], leaves, strict=True):
            value = self.unwrap(given)
            if not isinstance(value, Value):
                value = leaf(np.asarray(value, x.type.dtype.numpy))
            made[x] = value
        for x, held in zip(graph.inputs[arguments:], graph.captures, strict=True):
            made[x] = leaf(held, copy=False)
        for node in graph.nodes:
            if node.primitive.name == "constant":
                results: Sequence[Value] = (b.constant(**_literal(node)),)
            else:
                operands = tuple([made[x] for x in node.operands])
                apply = self.apply_loud if prints(node) else b.apply
                results = apply(node.primitive, operands, node.params)
            made.update(zip(node.results, results, strict=True))
        given_values = [made[x] for x in graph.inputs]
        return [self.wrap(made[v], given_values) for v in graph.outputs]

    def apply_loud(
        self,
        record: Primitive,
        operands: tuple[Value, ...],
        params: Mapping[str, Any],
    ) -> tuple[Value, ...]:
        """Record what prints, and run it now: it prints once, when it is called."""
        self.trail.leave()
        b = self.builder
        if record.infer(*[x.type for x in operands], **params):
            made = b.apply(record, operands, params)
            pending.run_all(made)
            return made
        # nothing of it can be asked for, so no tape needs to know it
        pending.run_alone(Node(record, operands, params, (), b.loc))
        return ()

    # -- variables -----------------------------------------------------------------

    def read(self, variable: "Variable") -> Value:
        """Return the present value of a variable, with a history of its own."""
        current = variable._current
        if is_known(current):
            return again(current)
        read: Value = self.builder.op("stop_gradient", current)
        read.cell = Cell()
        return read

    def assign(self, variable: "Variable", new: Value) -> None:
        """Replace the value of a variable."""
        variable._replace(new)
        if new.cell.array is None:
            if not self.trail.free:
                self.trail.settle()
            self.run_together((new,))

    # -- running -------------------------------------------------------------------

    def look(self, value: Value) -> Array:
        """Return the array of a value, computing what it needs."""
        cell = value.cell
        if cell.array is None and cell.plan is not None:
            cell.plan.run()
        if cell.array is None:
            roots = [value]
            if value in self.group:
                roots += self._alive(v for v in self.group if v is not value)
                self.group.clear()
            self._run(roots)
            if not self.tapes and len(self.builder.nodes) > self._trim_from:
                self.trim()
                self._trim_from = max(_TRIM_FROM, 2 * len(self.builder.nodes))
        return cell.array  # type: ignore[no-any-return]  # Any is the tracer's cell

    def run_together(self, values: Iterable[Value]) -> None:
        """Note values for one program to compute, whichever is looked at."""
        for value in values:
            if is_known(value):
                continue
            if value.node is not None or value in self.trail.numbers:
                self.group[value] = None

    def _run(self, roots: list[Value]) -> None:
        """Compute values: by a program that is known, or from their nodes."""
        trail = self.trail
        roots = [v for v in roots if not pending.is_ready(v.cell)]
        if not roots or run_again(trail, roots):
            return
        trail.settle()
        trail.touched = True
        pending.run(roots)
        if trail.free:
            trail.leave()

    @staticmethod
    def _alive(values: Iterable[Value]) -> list[Value]:
        return [
            v
            for v in values
            if v.cell is not None and v.cell.handles and v.cell.array is None
        ]

    def run_group(self) -> None:
        """Compute the noted values that a handle still names."""
        if self.group:
            roots = self._alive(self.group)
            self.group.clear()
            self._run(roots)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """Flush nothing meanwhile: values are at work that no handle names."""
        self._whole += 1
        try:
            yield
        finally:
            self._whole -= 1

    def flush(self) -> None:
        """Compute every pending value that a handle names."""
        if self._whole:
            return
        nodes = self.builder.nodes
        self.group.clear()
        found = [r for node in nodes[self._ran :] for r in node.results]
        pending.run(self._alive(found))
        self._have_run(len(nodes))
        self.builder.bytes = self.trail.bytes = 0
        if not self.tapes:
            self.trim()

    def _have_run(self, count: int) -> None:
        self._ran = count
        self.trail.bound = count + MOST_NODES

    def forget_tape(self) -> None:
        """Trim after a tape died, unless that was in the middle of something.

        Garbage is collected at any time: then who looks next trims.
        """
        if not (self.tapes or self._whole or self._builder.by_user or self.trail.free):
            self.trim()

    def trim(self) -> None:
        """Forget nodes that nothing can ask for; only while no tape records."""
        if self.trail.free:
            self.trail.leave()
        nodes = self.builder.nodes
        if not nodes:
            self._have_run(0)
            return
        for node in nodes:
            for r in node.results:
                cell = r.cell
                if cell is not None and cell.handles and cell.array is None:
                    return
        # a read that variables remember may be among what goes
        self.trail.epoch = object()
        kept = self._needed()
        for node in nodes:
            if node.primitive.name == "constant":
                continue  # the builder gives the same literal again
            for r in node.results:
                if is_known(r):
                    pending.forget(r)
                elif node not in kept and r.node not in kept:
                    r.node = None
        # those still needed are looked at again next time; in a loop they are few
        nodes[:] = [n for n in nodes if n in kept or n.results[0].node in kept]
        self._have_run(len(nodes))

    def _needed(self) -> set[Node]:
        """Return the nodes that may still be asked for.

        Finished tapes need theirs for gradients. A product with a handle needs its
        factors, which are not stored: what is added to it becomes an fma of them.
        """
        kept: set[Node] = set()
        stack = [node for nodes in self.kept.values() for node in nodes]
        for node in self.builder.nodes:
            cell = node.results[0].cell
            if cell is not None and cell.handles and node.primitive.name == "mul":
                stack.append(node)
        while stack:
            node = stack.pop()
            if node in kept:
                continue
            kept.add(node)
            stack.extend(
                x.node
                for x in (*node.operands, *node.results)
                if x.node is not None and x.node is not node and not is_known(x)
            )
        return kept


def _plain(x: Any) -> Any:
    return x.__index__() if isinstance(x, Operators) else x


def _literal(node: Node) -> dict[str, Any]:
    value, kind = node.params["value"], node.params["type"]
    held = getattr(value, "array", None)
    if held is not None:
        return {"value": held}
    return {"value": value, "dtype": kind.dtype, "shape": kind.shape}
