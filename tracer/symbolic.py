"""Record a function once, with arguments that have no values, to be played again.

Operations go to a recorder of their own, so tapes work inside. What was recorded is a
list of steps: nodes, reads of variables and assignments. Played on the recorder of a
thread, the steps are what the function would have recorded there: outer tapes see them.
Where nothing records, they are one native program.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeGuard

from ..ir.errors import TracedValueError
from ..ir.graph import Graph, Node, Value
from ..ir.loc import traced_at, user_loc
from ..ir.passes.dce import dce
from ..ir.prints import prints
from ..ir.types import TensorType
from . import engine
from .builders import Array
from .cell import Unknown, is_known, leaf
from .contracted import Contracted
from .recorder import Recorder, _literal
from .state import STATE, WATCHERS
from .tensor import Tensor, current_recorder
from .variable import Variable


@dataclass(slots=True)
class Read:
    """A read of a variable, and the value that stands for it."""

    variable: Variable
    value: Value


@dataclass(slots=True)
class Assign:
    """An assignment to a variable."""

    variable: Variable
    value: Value


Step = Node | Read | Assign
Env = dict[Value, Value]


@dataclass(slots=True)
class Rule:
    """The gradient of a step, recorded: from seeds to cotangents of its operands."""

    seeds: list[Value]
    steps: list[Step]
    cts: "list[Value | None]"


@dataclass(slots=True)
class Recorded:
    """A function as it was recorded."""

    inputs: list[Value]
    steps: list[Step]
    outputs: list[Value]
    rules: dict[Node, Rule]
    held: list[Tensor]  # what it reads from outside stays alive by these
    outside: list[Value] = field(default_factory=list)
    assigned: list[Variable] = field(default_factory=list)
    read: list[Variable] = field(default_factory=list)
    program: engine.Program | None = None

    def play(self, given: Sequence[Value]) -> list[Value]:
        """Record the steps on this thread's recorder; returns the outputs there."""
        env: Env = dict(zip(self.inputs, given, strict=True))
        self._play(self.steps, env)
        return [env.get(x, x) for x in self.outputs]

    def _play(self, steps: Sequence[Step], env: Env) -> None:
        recorder = current_recorder()
        b = recorder.builder
        for step in steps:
            if isinstance(step, Read):
                env[step.value] = step.variable._value
                continue
            if isinstance(step, Assign):
                recorder.assign(step.variable, env.get(step.value, step.value))
                continue
            b.loc = step.loc
            if step.primitive.name == "constant":
                env[step.results[0]] = b.constant(**_literal(step))
                continue
            operands = tuple([env.get(x, x) for x in step.operands])
            if prints(step):
                made = recorder.apply_loud(step.primitive, operands, step.params)
                env.update(zip(step.results, made, strict=True))
                continue
            if step.results[0].node is step:
                made = b.apply(step.primitive, operands, step.params)
                env.update(zip(step.results, made, strict=True))
                continue
            if isinstance(step, Contracted):
                env[step.results[0]] = b.op(step.primitive.name, *operands)
                continue
            if all(x not in env and is_known(x) for x in step.results):
                continue  # looked at while the function was recorded
            self._play_custom(step, operands, env)

    def _play_custom(self, step: Node, operands: tuple[Value, ...], env: Env) -> None:
        record = step.primitive
        recorded = self.rules.get(step)
        if recorded is not None:
            record = custom_record(record, self._rule(recorded, env))
        node = Node(record, operands, step.params, (), step.loc)
        node.results = tuple([env[x] for x in step.results])
        node.checked = True
        current_recorder().builder.nodes.append(node)

    def _rule(self, recorded: Rule, env: Env) -> Callable[..., Any]:
        def rule(b: Any, ct: Any, out: Any, *at: Value, **params: Any) -> Any:
            cts = ct if isinstance(ct, tuple) else (ct,)
            inner = {**env, **dict(zip(recorded.seeds, cts, strict=True))}
            self._play(recorded.steps, inner)
            return [None if x is None else inner.get(x, x) for x in recorded.cts]

        return rule

    # -- as one program ------------------------------------------------------------

    def run(self, arrays: Sequence[Array]) -> list[Array]:
        """Run as one native program, assignments too; only where nothing records."""
        if self.program is None:
            self.program = engine.compile_graph(self._graph())
        recorder = current_recorder()
        outside = [
            x.cell.array if is_known(x) else recorder.look(x) for x in self.outside
        ]
        given = [*arrays, *[v._array() for v in self.read], *outside]
        results = self.program.run(given)
        count = len(self.outputs)
        for variable, array in zip(self.assigned, results[count:], strict=True):
            recorder.assign(variable, leaf(array, copy=False))
        return results[:count]

    def _graph(self) -> Graph:
        made: Env = {}
        inputs: list[Value] = []

        def fresh(x: Value) -> Value:
            inputs.append(Value(x.type, None, len(inputs)))
            return inputs[-1]

        for x in self.inputs:
            made[x] = fresh(x)
        state: dict[int, Value] = {}
        for variable in self.read:
            state[id(variable)] = fresh(variable._current)
        for x in self.outside:
            made[x] = fresh(x)
        nodes: list[Node] = []
        for step in self.steps:
            if isinstance(step, Read):
                made[step.value] = state[id(step.variable)]
                continue
            if isinstance(step, Assign):
                state[id(step.variable)] = made[step.value]
                continue
            if is_custom(step):
                continue  # what it stands for is computed by other nodes
            node = _made_by(step)
            operands = tuple([made[x] for x in node.operands])
            types = [r.type for r in node.results]
            copy = Node(node.primitive, operands, node.params, types, node.loc)
            copy.checked = True
            nodes.append(copy)
            made.update(zip(node.results, copy.results, strict=True))
        outputs = [made[x] for x in self.outputs]
        outputs += [state[id(v)] for v in self.assigned]
        names = [f"x{k}" for k in range(len(inputs))]
        graph = Graph("function", inputs, nodes, outputs, names)
        graph.output_names = [f"out{k}" for k in range(len(outputs))]
        return dce(graph)


def custom_record(record: Any, rule: Callable[..., Any]) -> Any:
    """Return the record of a step with another rule."""
    return replace(record, vjp=rule)


class SymbolicRecorder(Recorder):
    """A recorder of one function, whose arguments and variables have no values."""

    def __init__(self, handle: type[Tensor], name: str) -> None:
        super().__init__(handle)
        self.name = name
        self.inputs: list[Value] = []
        self.placeholders: set[Value] = set()
        # reads and assignments, with the number of nodes before them
        self.events: list[tuple[int, Read | Assign]] = []
        self.assigned: dict[int, Variable] = {}

    def input(self, kind: TensorType) -> Value:
        """Return the value of an argument."""
        value = self.placeholder(kind)
        self.inputs.append(value)
        return value

    def placeholder(self, kind: TensorType) -> Value:
        """Return a value that stands for what is not known yet."""
        value = Value(kind, None, len(self.placeholders))
        value.cell = Unknown(self.name)
        self.placeholders.add(value)
        return value

    def read(self, variable: Variable) -> Value:
        """Return a value that stands for this read."""
        value = self.placeholder(variable._current.type)
        self.events.append((len(self.builder.nodes), Read(variable, value)))
        return value

    def assign(self, variable: Variable, new: Value) -> None:
        """Note an assignment; it is made when the function is played."""
        self.events.append((len(self.builder.nodes), Assign(variable, new)))
        self.assigned[id(variable)] = variable
        variable._read = None

    def look(self, value: Value) -> Array:
        """Return the array of a value that depends on no argument.

        Raises:
            TracedValueError: it does.
        """
        if is_symbolic(value):
            raise TracedValueError(
                f"{self.name}: Python needs the value of a tensor that has none while "
                f"the function is recorded{traced_at(user_loc(2))}"
                "\n  choose with where, or do it outside the function"
            )
        return super().look(value)

    def apply_loud(
        self, record: Any, operands: tuple[Value, ...], params: Any
    ) -> tuple[Value, ...]:
        """Note what prints; it does when the function is played."""
        return self.builder.apply(record, operands, params)

    def run_together(self, values: Any) -> None:
        """Compute nothing: there are no values."""

    def run_group(self) -> None:
        """Compute nothing: there are no values."""

    def flush(self) -> None:
        """Compute nothing: there are no values."""

    def trim(self) -> None:
        """Keep all: it is played again."""

    def here(self) -> tuple[int, int]:
        """Return a place to take back from: the numbers of nodes and of events."""
        return len(self.builder.nodes), len(self.events)

    def take_back(self, place: tuple[int, int]) -> tuple[list[Node], list[Assign]]:
        """Remove the nodes since a place; reads of variables stay, before it.

        Returns:
            The nodes, and the assignments among them.
        """
        node, event = place
        happened = [e for _, e in self.events[event:]]
        kept = [(node, e) for e in happened if isinstance(e, Read)]
        self.events[event:] = kept
        taken = self.builder.take_back(node)
        return taken, [e for e in happened if isinstance(e, Assign)]

    # -- what was recorded ---------------------------------------------------------

    def steps_from(self, node: int, event: int) -> list[Step]:
        """Return the steps after some nodes and some events, in order."""
        nodes = self.builder.nodes
        found: list[Step] = []
        for at, happened in self.events[event:]:
            found += nodes[node:at]
            found.append(happened)
            node = at
        return found + nodes[node:]

    def finish(self, outputs: Sequence[Value]) -> Recorded:
        """Return what was recorded, with the gradients of custom steps."""
        steps = self.steps_from(0, 0)
        rules: dict[Node, Rule] = {}
        pending = [s for s in steps if _has_rule(s)]
        while pending:
            step = pending.pop()
            rules[step], inner = self._record_rule(step)
            pending += inner
        outside = self._outside(steps, rules, outputs)
        recorded = Recorded(
            self.inputs,
            steps,
            list(outputs),
            rules,
            [Tensor(x) for x in outside],
            outside,
        )
        recorded.assigned = list(self.assigned.values())
        reads = [s.variable for s in steps if isinstance(s, (Read, Assign))]
        recorded.read = list({id(v): v for v in reads}.values())
        return recorded

    def _record_rule(self, step: Node) -> tuple[Rule, list[Node]]:
        node, event = len(self.builder.nodes), len(self.events)
        seeds = [self.placeholder(x.type) for x in step.results]
        one = len(seeds) == 1
        vjp: Any = step.primitive.vjp  # a function: `is_custom` has seen it
        cts = vjp(
            self.builder,
            seeds[0] if one else tuple(seeds),
            step.results[0] if one else step.results,
            *step.operands,
            **step.params,
        )
        steps = self.steps_from(node, event)
        inner = [s for s in steps if _has_rule(s)]
        return Rule(seeds, steps, list(cts)), inner

    def _outside(
        self, steps: Sequence[Step], rules: dict[Node, Rule], outputs: Sequence[Value]
    ) -> list[Value]:
        """Return values that steps read and do not make."""
        every = [*steps, *[s for rule in rules.values() for s in rule.steps]]
        made = set(self.placeholders)
        read: dict[Value, None] = {}
        for step in every:
            if isinstance(step, Node):
                made.update(step.results)
                read.update(dict.fromkeys(step.operands))
                if isinstance(step, Contracted):
                    read.update(dict.fromkeys(_made_by(step).operands))
            elif isinstance(step, Assign):
                read[step.value] = None
        for rule in rules.values():
            read.update(dict.fromkeys(x for x in rule.cts if x is not None))
        read.update(dict.fromkeys(outputs))
        return [x for x in read if x not in made]


def is_custom(step: Step) -> TypeGuard[Node]:
    """Return whether a step is of no program: only a gradient sees it."""
    return (
        isinstance(step, Node)
        and not isinstance(step, Contracted)
        and any(x.node is not step for x in step.results[:1])
    )


def _has_rule(step: Step) -> TypeGuard[Node]:
    return is_custom(step) and callable(step.primitive.vjp)


def _made_by(step: Node) -> Node:
    """Return the node that computes the results of a step."""
    return step.fma if isinstance(step, Contracted) else step


@contextmanager
def recording(recorder: SymbolicRecorder) -> Iterator[None]:
    """Have operations of this thread go to a recorder; outer tapes see none of it."""
    outer, STATE.recorder = STATE.recorder, recorder
    watchers = WATCHERS.set(())
    try:
        yield
    finally:
        WATCHERS.reset(watchers)
        STATE.recorder = outer


def is_recording() -> bool:
    """Return whether a function is being recorded, so that values are not known."""
    return isinstance(STATE.recorder, SymbolicRecorder)


def is_symbolic(value: Value) -> bool:
    """Return whether a value is made of an argument of a function that is recorded."""
    seen: set[Value] = set()
    stack = [value]
    while stack:
        x = stack.pop()
        if isinstance(x.cell, Unknown):
            return True
        if x in seen or is_known(x) or x.node is None:
            continue
        seen.add(x)
        stack.extend(x.node.operands)
    return False


__all__ = [
    "Assign",
    "Recorded",
    "SymbolicRecorder",
    "is_custom",
    "is_recording",
    "is_symbolic",
    "recording",
]
