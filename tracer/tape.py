"""Gradient tapes: which operations they see, and the gradient of what they saw.

A tape is a list of nodes and the moments at which values were watched. What it recorded
follows from these by one sweep: an op is recorded when an operand is on the tape and is
a float. The adjoint goes into the same recorder, so other tapes can differentiate it.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..ir.adjoint import pullback
from ..ir.graph import Node, Value
from .contracted import recorded
from .known import asked, learn
from .plans import Known, take_back
from .quick import QUICK
from .recorder import Recorder
from .rolling import roll
from .state import STATE, WATCHERS
from .tape_arguments import (
    USED,
    UnconnectedGradients,
    collected,
    real_targets,
    seeds,
    unconnected,
    with_structure,
)
from .tape_custom import REGISTERED
from .tape_jacobian import Jacobians
from .tensor import Tensor, current_recorder
from .trees import LEAF, flatten, unflatten
from .variable import Variable


class GradientTape(Jacobians):
    """Records operations so that gradients can be asked for.

    Args:
        persistent: whether `gradient` may be called more than once.
        watch_accessed_variables: whether trainable variables are watched when read.
    """

    def __init__(
        self, persistent: bool = False, watch_accessed_variables: bool = True
    ) -> None:
        self._persistent = persistent
        self._watch_accessed = watch_accessed_variables
        self._recorder: Recorder | None = None
        self._start = -1  # where the running segment began; -1: not recording
        self._used = False
        self._clear()

    def _clear(self) -> None:
        self._segments: list[Node] = []
        self._watched: list[tuple[int, Value]] = []  # nodes before it, the value
        self._explicit: list[Variable] = []
        # by identity: the variable, and its reads
        self._reads: dict[int, tuple[Variable, list[Value]]] = {}

    # -- recording -----------------------------------------------------------------

    def __enter__(self) -> "GradientTape":
        if self._start >= 0:
            raise ValueError(
                "Tape is still recording, This can happen if you try to re-enter an "
                "already-active tape."
            )
        recorder = STATE.recorder or current_recorder()
        if self._recorder is not recorder:
            self._check_thread()
            self._recorder = recorder
        if recorder.tapes:
            self._resume(recorder, False)
            return self
        if recorder.group:
            recorder.run_group()
        trail = recorder.trail
        trail.close()
        if trail.nodes:
            recorder.trim()
        self._resume(recorder, not self._segments)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._start >= 0:
            self._pause()

    def _resume(self, recorder: Recorder, fresh: bool) -> None:
        trail = recorder.trail
        if fresh:
            if trail.met > QUICK.enough:
                QUICK.install()
            trail.begin(self)
            if QUICK.claim is not None:
                QUICK.claim(trail, STATE.__dict__)
            for _, value in self._watched:
                trail.watch(value)
        else:
            trail.leave()
        self._start = len(trail.nodes)
        recorder.tapes.append(self)
        WATCHERS.set((*WATCHERS.get(), self))
        recorder.trail.epoch = object()

    def _pause(self) -> None:
        recorder = self._on()
        trail = recorder.trail
        segments = self._segments
        if len(trail.nodes) > self._start:
            segments += trail.nodes[self._start :]
        self._start = -1
        if trail.tape == id(self):
            trail.segment = segments  # what is made late goes there
        else:
            trail.settle()
        trail.walks = False
        recorder.tapes.remove(self)
        watchers = WATCHERS.get()
        rest = [w for w in watchers if w is not self] if len(watchers) > 1 else ()
        WATCHERS.set(tuple(rest))
        recorder.kept[id(self)] = segments
        recorder.trail.epoch = object()

    def _on(self) -> Recorder:
        assert self._recorder is not None, "the tape has been entered"
        return self._recorder

    def _check_thread(self) -> None:
        if self._recorder is not None and self._recorder is not current_recorder():
            raise RuntimeError(
                "a tape is used in another thread than the one it recorded in: ask for "
                "its gradients there, and hand over their numpy()"
            )

    def _nodes(self) -> list[Node]:
        if self._recorder is not None:
            self._recorder.trail.settle()
        if self._start < 0:
            return self._segments
        return self._segments + self._on().builder.nodes[self._start :]

    def _count(self) -> int:
        before = len(self._segments)
        if self._start < 0 or self._recorder is None:
            return before
        return before + self._recorder.trail.count() - self._start

    def _note_read(self, variable: Variable, read: Value) -> None:
        """Take a read of a variable as that variable, where it is watched."""
        if (self._watch_accessed and variable.trainable) or any(
            v is variable for v in self._explicit
        ):
            seen = self._reads.get(id(variable))
            if seen is None:
                self._reads[id(variable)] = variable, [read]
            else:
                seen[1].append(read)
            self._watched.append((self._count(), read))
            trail = self._on().trail
            if trail.walks:
                trail.watch(read)

    def watch(self, tensor: Any) -> None:
        """Have tensors or variables, in any nesting, on the tape from here on.

        Raises:
            ValueError: a leaf is not a tensor.
        """
        leaves = [tensor] if isinstance(tensor, Tensor) else flatten(tensor)[0]
        for x in leaves:
            if not isinstance(x, Tensor):
                raise ValueError(
                    "Passed in object of type "
                    f"{type(x).__name__!r} is not a tensor or a variable: {x!r}"
                )
            if isinstance(x, Variable):
                if x._current.type.dtype.kind != "f":
                    self._tell_not_float(x)
                self._explicit.append(x)
                self._reads.setdefault(id(x), (x, []))
                if self._recorder is not None:
                    self._recorder.trail.epoch = object()  # the next read is a new one
            else:
                value = x._value
                if value.type.dtype.kind != "f":
                    self._tell_not_float(x)
                if self._recorder is None:
                    self._watched.append((0, value))
                else:
                    self._watched.append((self._count(), value))
                    self._recorder.trail.watch(value)

    def _tell_not_float(self, x: Tensor) -> None:
        warnings.warn(
            "The dtype of the watched tensor must be floating "
            f"(e.g. float64), got {x.dtype}",
            stacklevel=3,
        )

    @contextmanager
    def stop_recording(self) -> Iterator[None]:
        """Record nothing inside the context.

        Raises:
            RuntimeError: the tape is not recording.
        """
        if self._start < 0:
            raise RuntimeError(
                "Trying to stop recording a tape which is not recording."
            )
        self._pause()
        try:
            yield
        finally:
            self._resume(self._on(), False)

    def reset(self) -> None:
        """Forget everything recorded and watched."""
        if self._recorder is not None:
            self._recorder.trail.leave()
        recording = self._start >= 0
        if recording:
            self._pause()
        if self._recorder is not None:
            self._recorder.kept.pop(id(self), None)
        self._clear()
        self._used = False
        if recording:
            self._resume(self._on(), False)

    def watched_variables(self) -> tuple[Variable, ...]:
        """Return the variables on the tape in the order they were made."""
        found = [variable for variable, _ in self._reads.values()]
        return tuple(sorted(found, key=lambda v: v._order))

    def __del__(self) -> None:
        recorder = self._recorder
        if recorder is None:
            return
        if self._used and not self._segments:
            return
        recorder.kept.pop(id(self), None)
        if recorder.trail.tape == id(self):
            recorder.trail.abandon()
        if not self._segments:
            return
        self._clear()
        if STATE.recorder is recorder:
            recorder.forget_tape()

    # -- gradients -----------------------------------------------------------------

    def gradient(
        self,
        target: Any,
        sources: Any,
        output_gradients: Any = None,
        unconnected_gradients: "str | UnconnectedGradients" = UnconnectedGradients.NONE,
    ) -> Any:
        """Return the gradient of targets with respect to sources.

        Args:
            target: tensors or variables, in any nesting; several are summed.
            sources: tensors or variables, in any nesting.
            output_gradients: the cotangents of the targets; ones by default.
            unconnected_gradients: "none" or "zero", for sources without a path.

        Returns:
            The gradients in the structure of `sources`.

        Raises:
            RuntimeError: the tape is not persistent and was used.
            TypeError: the target is None, or holds something else than tensors.
            LookupError: a path goes through an op without a gradient.
        """
        missing = unconnected_gradients
        if type(missing) is not UnconnectedGradients:
            missing = unconnected(missing)
        if self._used:
            raise RuntimeError(USED)
        if target is None:
            raise TypeError(
                "Argument `target` should be a list or nested structure of Tensors, "
                "Variables or CompositeTensors to be differentiated, but received None."
            )
        if type(target) is Tensor:
            targets = [target]
        else:
            targets, output_gradients = real_targets(target, output_gradients)
        if isinstance(sources, Tensor):
            leaves, structure = [sources], LEAF
        else:
            leaves, structure = with_structure(sources, "sources")
        recorder = self._recorder
        if recorder is None or recorder is not STATE.recorder or self._start >= 0:
            recorder = self._begin()
        try:
            if output_gradients is None and recorder.trail.knows(self):
                found = self._by_trail(targets, leaves, missing)
            else:
                with recorder.whole():
                    found = self._gradient(targets, leaves, output_gradients, missing)
        finally:
            if not self._persistent:
                self._release()
        return found[0] if structure is LEAF else unflatten(structure, found)

    def _begin(self) -> Recorder:
        """Be ready for gradients: they go to this thread's recorder."""
        if self._recorder is not STATE.recorder:
            self._check_thread()
        if not self._persistent and self._start >= 0:
            self._pause()
        self._recorder = self._recorder or current_recorder()
        return self._recorder

    def _release(self) -> None:
        self._used = True
        self._segments = []
        self._watched = []
        recorder = self._on()
        recorder.kept.pop(id(self), None)
        trail = recorder.trail
        if trail.step is not None and trail.tape == id(self):
            trail.leave()
        if self._reads:
            self._reads = {key: (held, []) for key, (held, _) in self._reads.items()}

    def _by_trail(
        self,
        targets: Sequence[Tensor],
        sources: Sequence[Tensor],
        missing: UnconnectedGradients,
    ) -> list[Any]:
        """Return gradients as when a tape ended here before, or learn them."""
        recorder = self._on()
        trail = recorder.trail
        wanted = asked(recorder, self._reads, targets, sources, missing)
        step = trail.step
        known: Known | None = None
        if wanted is not None and step is not None:
            known = step.found.get(wanted)
        if known is None and wanted is not None and step is not None:
            trail.settle()
            reads = [self._own(x) for x in sources]
            known = roll(trail, [x._value for x in targets], reads, self._watched)
            if known is not None:
                step.found[wanted] = known
        if known is None:
            start = len(recorder.builder.nodes)
            group = dict(recorder.group)
            with recorder.whole():
                found = self._gradient(targets, sources, None, missing)
            if wanted is None or step is None:
                return found
            known = learn(recorder, start, found)
            if known is None:
                return found
            step.found[wanted] = known
            recorder.group = group
            take_back(recorder.builder.nodes, start)
        trail.touched = True
        if self._persistent:
            trail.settle()
        found = known.use(trail.values, sources, self._persistent)
        if not self._persistent:
            trail.drop()
            if len(trail.nodes) > trail.start:
                take_back(trail.nodes, trail.start)
        return found

    def _own(self, x: Tensor) -> list[Value]:
        """Return the values that stand for a source: of a variable, its reads."""
        if isinstance(x, Variable):
            return self._reads.get(id(x), (x, []))[1]
        return [x._value]

    def _gradient(
        self,
        targets: Sequence[Tensor],
        sources: Sequence[Tensor],
        output_gradients: Any,
        unconnected: UnconnectedGradients,
    ) -> list[Any]:
        recorder = self._on()
        b = recorder.builder
        cts: dict[Value, Value] = {}
        own: dict[int, Value] = {}  # id of a variable that is a target -> cotangent
        given = seeds(recorder, targets, output_gradients)
        for x, seed in zip(targets, given, strict=True):
            if seed is None:
                continue
            if isinstance(x, Variable):
                before = own.get(id(x))
                own[id(x)] = seed if before is None else b.op("add", before, seed)
            else:
                before = cts.get(x._value)
                cts[x._value] = seed if before is None else b.op("add", before, seed)
        reads = [self._own(x) for x in sources]
        wrt = list(dict.fromkeys(v for values in reads for v in values))
        found: list[Value | None] = []
        if cts:
            nodes = self._recorded(set(wrt))
            found = pullback(b, nodes, cts, wrt, REGISTERED, "target")
        by_value = dict(zip(wrt, found, strict=bool(cts)))
        results = []
        made: dict[Value, Tensor] = {}
        for x, values in zip(sources, reads, strict=True):
            parts = [own.get(id(x)), *[by_value.get(v) for v in values]]
            results.append(
                collected(recorder, x, [p for p in parts if p is not None], made,
                           unconnected)
            )  # fmt: skip
        recorder.run_together(
            [x._value for x in targets if not isinstance(x, Variable)]
        )
        recorder.run_together([r._value for r in results if r is not None])
        return results

    def _recorded(self, wrt: set[Value]) -> list[Node]:
        """Return the nodes that were recorded, given when values were watched."""
        return recorded(self._nodes(), self._watched, wrt)


__all__ = ["GradientTape", "UnconnectedGradients"]
