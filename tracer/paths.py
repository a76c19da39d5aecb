"""Programs split at `if` and `while` on traced values: one for each path.

The Python function is run with the truth of each value it asks about, taken from the
arguments of the call, and what it did is one straight program. That program returns
these truths, too: where a later call has others, the path that is true of it is looked
for, and traced if there is none. So it is always the native truths that decide.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.errors import ArgumentError, PullbackError, TracedValueError
from ..ir.graph import Graph, Node, Value
from ..ir.interpreter import run_nodes
from ..ir.loc import Loc, traced_at, user_loc
from ..ir.ops.printing import silenced
from ..ir.prints import graph_prints
from ..ir.sizes import SizeExpr
from .array import described
from .compiled import Compiled, fitted
from .signature import Call, Static
from .tensor import Tensor, current_recorder
from .trace import Trace

if TYPE_CHECKING:
    from .function import Function

Array = np.ndarray[Any, Any]
MOST_DECISIONS = 1000  # of one path
MOST_PATHS = 64


class Decider:
    """Says whether traced values are true, for the arguments of one call.

    Args:
        name: the function.
        arrays: what the inputs of the trace hold.
        forced: the first answers.
    """

    def __init__(
        self, name: str, arrays: Sequence[Any], forced: Sequence[bool] = ()
    ) -> None:
        self._name = name
        self._arrays = arrays
        self._forced = forced
        self._values: dict[Value, Array] = {}
        self._env: dict[str, int] = {}
        self.answers: list[bool] = []
        self.asked: list[Value] = []
        self.where: list[Loc | None] = []

    def __call__(self, trace: Trace, value: Value) -> bool:
        """Return whether a value is true.

        Raises:
            TracedValueError: it has several elements, or depends on rows of a vmap.
            ArgumentError: the path has more decisions than are followed.
        """
        loc = user_loc(2)
        b = trace.builder
        b.loc = loc
        if any(d != 1 for d in value.type.shape):
            raise TracedValueError(
                f"the truth of {described(value)} is that of several elements"
                f"{traced_at(loc)}\n  use np.any or np.all"
            )
        if value.type.shape:
            value = b.op("reshape", value, shape=())
        if value.type.dtype.kind != "b":
            value = b.op("ne", value, 0)
        k = len(self.answers)
        if k >= MOST_DECISIONS:
            raise ArgumentError(
                f"{self._name}: more than {MOST_DECISIONS} decisions on one path, "
                f"most of them at one line: {_most(self.where)}"
                "\n  repeat with pb.while_loop there"
            )
        answer = self._forced[k] if k < len(self._forced) else self._truth(trace, value)
        self.answers.append(answer)
        self.asked.append(value)
        self.where.append(loc)
        return answer

    def _truth(self, trace: Trace, value: Value) -> bool:
        """Return the truth of a value, by NumPy, from the arguments."""
        b = trace.builder
        count = len(b.inputs) - len(b.captures)
        for x, array in zip(b.inputs, [*self._arrays[:count], *b.captures],
                            strict=True):  # fmt: skip
            if x in self._values:
                continue
            held = self._values[x] = np.asarray(array, x.type.dtype.numpy)
            for d, n in zip(x.type.shape, held.shape, strict=True):
                if isinstance(d, SizeExpr):
                    self._env.setdefault(str(d), n)
        nodes = self._needed(value)
        # the program prints when it runs
        with np.errstate(all="ignore"), silenced():
            run_nodes(nodes, self._values, self._env)
        return bool(self._values[value])

    def _needed(self, value: Value) -> list[Node]:
        """Return the nodes that a value needs and that have not run, in order."""
        done: set[Node] = set()
        order: list[Node] = []
        stack: list[tuple[Value, bool]] = [(value, False)]
        while stack:
            x, ready = stack.pop()
            node = x.node
            if x in self._values or node in done:
                continue
            if node is None:
                raise TracedValueError(
                    f"the truth of {described(value)} differs from row to row of a "
                    f"vmap{traced_at(user_loc(4))}\n  choose with np.where there"
                )
            if ready:
                done.add(node)
                order.append(node)
                continue
            stack.append((x, True))
            stack += [(operand, False) for operand in reversed(node.operands)]
        return order


@dataclass(frozen=True, slots=True)
class Path:
    """One way through a function: its decisions, where they were, its program."""

    answers: tuple[bool, ...]
    where: tuple[Loc | None, ...]
    made: Compiled

    def __str__(self) -> str:
        if not self.answers:
            return "no decision"
        parts: list[str] = []
        for loc, answer in zip(self.where, self.answers, strict=True):
            place = f"line {loc.line}" if loc is not None else "somewhere"
            parts.append(f"{place} {answer}")
        return ", ".join(parts)


# traces the path of these first answers, for the arguments of the call
TracePath = Callable[[Sequence[bool]], Path]
# runs the program of a path on the arguments of the call; results, then truths
RunPath = Callable[[Path], list[Any]]


class Paths:
    """The paths of one signature, the last one first."""

    def __init__(self, name: str, most: int) -> None:
        self._name = name
        self._most = most
        self.known: list[Path] = []
        self._lock = threading.Lock()

    def run(self, trace: TracePath, run: RunPath) -> tuple[Path, list[Any]]:
        """Return the path of a call's arguments, and its results without truths.

        Raises:
            ArgumentError: there are more paths than are kept.
        """
        path = self.known[0] if self.known else self._add(trace(()))
        failed: set[int] = set()
        while True:
            # another path's program must not print: this one does once it is known
            loud = bool(path.answers) and graph_prints(path.made.graph)
            try:
                results = _silently(run, path) if loud else run(path)
            except PullbackError:
                # another path's program may fail where its own does not
                own = trace(())
                if own.answers == path.answers or id(path) in failed:
                    if loud:
                        run(path)  # for what it prints before it fails
                    raise
                failed.add(id(path))
                path = self._find(own.answers, len(own.answers)) or self._add(own)
                continue
            count = len(path.answers)
            truths = tuple([bool(r) for r in results[len(results) - count :]])
            if truths == path.answers:
                with self._lock:
                    self.known = [path, *[p for p in self.known if p is not path]]
                if loud:
                    results = run(path)
                return path, results[: len(results) - count]
            wrong = next(k for k in range(count) if truths[k] != path.answers[k])
            forced = truths[: wrong + 1]
            path = self._find(forced, wrong + 1) or self._add(trace(forced))

    def _find(self, answers: tuple[bool, ...], count: int) -> Path | None:
        for path in self.known:
            if path.answers[:count] == answers:
                return path
        return None

    def _add(self, path: Path) -> Path:
        with self._lock:
            if len(self.known) < self._most:
                self.known = [path, *self.known]
                return path
            where = [loc for p in self.known for loc in p.where]
        raise ArgumentError(
            f"{self._name}: more than {self._most} paths; the line that branches most: "
            f"{_most(where)}"
            "\n  use pb.cond, pb.while_loop or np.where there, or raise max_paths"
        )


def _silently(run: RunPath, path: Path) -> list[Any]:
    with silenced():
        return run(path)


def _most(where: Sequence[Loc | None]) -> str:
    """Return the line most decisions were at, with its source."""
    lines = Counter([(loc.file, loc.line) for loc in where if loc is not None])
    if not lines:
        return "unknown"
    most = lines.most_common(1)[0][0]
    loc = next(x for x in where if x is not None and (x.file, x.line) == most)
    return f"{loc}{': ' if loc.source() else ''}{loc.source()}"


def with_truths(graph: Graph, decider: Decider) -> Graph:
    """Return a program that returns the truths it was traced on after its results."""
    out = graph.replace(graph.nodes, [*graph.outputs, *decider.asked])
    names = [f"truth {k}" for k in range(len(decider.asked))]
    out.output_names = [*graph.output_names, *names]
    return out


def run_on_path(owner: "Function", call: Call) -> tuple[Path, Any]:
    """Return the path of a call's arguments, and the results."""
    owner._check_types(call)
    given = [x._array() if isinstance(x, Tensor) else x for x in call.leaves]
    arrays: list[Any] = []

    def trace(forced: Sequence[bool]) -> Path:
        held = [x for x, k in zip(given, call.kinds, strict=True)
                if not isinstance(k, Static)]  # fmt: skip
        decider = Decider(owner._name, held, forced)
        with owner._lock:
            made = owner._trace(call, call.kinds, decider)
        made.why = "another path" if paths.known else "first call"
        return Path(made.decisions, tuple(decider.where), made)

    def run(path: Path) -> list[Any]:
        made = path.made
        if call.taped:
            leaves = [call.leaves[at] for at in made.arrays]
            return current_recorder().replay(made.graph, leaves)
        if made.program is None:
            owner._prepare(call, made)
            owner._compiled[call.key, path.answers] = made
        arrays[:] = [
            fitted(given[at], x.type.dtype.numpy)
            for at, x in zip(made.arrays, made.graph.inputs, strict=False)
        ]
        return owner._run_native(made, arrays)

    key = (call.key, call.taped)
    paths = owner._paths.setdefault(key, Paths(owner._name, owner._max_paths))
    path, results = paths.run(trace, run)
    if call.taped:
        return path, owner._from_tape(call, path.made, results)
    return path, owner._arranged(path.made, results, arrays)
