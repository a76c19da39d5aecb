"""Jacobians of what a tape recorded: one adjoint, batched over all its seeds."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..ir.adjoint import pullback
from ..ir.graph import Node, Value
from ..ir.ops import OPS
from ..ir.sizes import product
from .contracted import Contracted
from .recorder import Recorder
from .seeds import identity
from .tape_arguments import (
    USED,
    UnconnectedGradients,
    as_kind,
    tensors,
    unconnected,
    with_structure,
)
from .tape_custom import REGISTERED
from .tensor import Tensor
from .trees import unflatten
from .variable import Variable

# (cotangent of the target) -> one of each source, None where no path leads there
Back = Callable[[Value], list["Value | None"]]


def back_of(
    recorder: Recorder,
    nodes: Sequence[Node],
    target: Value,
    wrt: Sequence[Value],
    own: Sequence[Sequence[Value]],
) -> Back:
    """Return the pullback of a target to sources, each the sum over its reads.

    A source's own reads are in `own`; one that is empty stands for the target itself.
    """

    def back(seed: Value) -> list[Value | None]:
        b = recorder.builder
        found = pullback(
            b, nodes, {target: seed}, wrt, REGISTERED, "target", zeros=[seed]
        )
        by_value = dict(zip(wrt, found, strict=True))
        results: list[Value | None] = []
        for reads in own:
            total: Value | None = None
            for part in [by_value[x] for x in reads]:
                if part is not None:
                    total = part if total is None else b.op("add", total, part)
            results.append(total)
        return results

    return back


def rows(
    recorder: Recorder, seed: Value, wide: Value, back: Back, together: bool
) -> list[Value | None]:
    """Return the cotangents of sources for all seeds, along a leading axis.

    Args:
        recorder: where nodes go.
        seed: stands for one seed.
        wide: all of them.
        back: the pullback.
        together: whether one adjoint is batched; else each seed has its own.
    """
    b = recorder.builder
    start = len(b.nodes)
    found = back(seed)
    made = b.nodes[start:]
    del b.nodes[start:]
    if not together or any(_is_custom(node) for node in made):
        return _one_by_one(recorder, wide, back, found)
    count = wide.type.shape[0]
    from ..ir.batching import batch  # lazy: few tapes ask for Jacobians

    batched = batch(b, made, {seed: wide}, count)
    results: list[Value | None] = []
    for x in found:
        if x is None or x in batched.values:
            results.append(None if x is None else batched.values[x])
        else:
            lifted = b.op("expand_dims", x, axes=(0,))
            results.append(b.broadcast(lifted, (count, *x.type.shape)))
    return results


def _is_custom(node: Node) -> bool:
    """Return whether a node is the user's own: it has no batching rule."""
    return (
        not isinstance(node, Contracted)
        and OPS.get(node.primitive.name) is not node.primitive
    )


def _one_by_one(
    recorder: Recorder, wide: Value, back: Back, like: Sequence["Value | None"]
) -> list[Value | None]:
    b = recorder.builder
    parts: list[list[Value]] = [[] for _ in like]
    count = int(wide.type.shape[0])  # type: ignore[arg-type]  # a number, on a tape
    for k in range(count):
        one = b.op(
            "slice",
            wide,
            start=(k, *[0] * (wide.type.rank - 1)),
            step=(1,) * wide.type.rank,
            size=(1, *wide.type.shape[1:]),
        )
        seed = b.op("reshape", one, shape=wide.type.shape[1:])
        for held, x in zip(parts, back(seed), strict=True):
            if x is not None:
                held.append(b.op("expand_dims", x, axes=(0,)))
    out: list[Value | None] = []
    for held, x in zip(parts, like, strict=True):
        if x is None:
            out.append(None)
        elif held:
            out.append(held[0] if count == 1 else b.op("concatenate", *held, axis=0))
        else:
            out.append(b.zeros(x.type.with_shape((0, *x.type.shape))))
    return out


def full(
    recorder: Recorder, target: Value, back: Back, together: bool
) -> list[Value | None]:
    """Return the derivative of each element of a target by each of each source."""
    b = recorder.builder
    kind = target.type
    seed = Value(kind, None, 0)
    found = rows(recorder, seed, identity(b, kind), back, together)
    out: list[Value | None] = []
    for x in found:
        if x is None:
            out.append(None)
            continue
        shape = (*kind.shape, *x.type.shape[1:])
        out.append(b.op("reshape", x, shape=shape))
    return out


def diagonal(
    recorder: Recorder, target: Value, back: Back, together: bool
) -> list[Value | None]:
    """Return the derivatives of each row of a target by the same row of each source."""
    b = recorder.builder
    kind = target.type
    each = kind.shape[1:]
    count = int(product(each))  # type: ignore[arg-type]  # a number, on a tape
    eye = b.array(np.eye(count, dtype=kind.dtype.numpy))
    eye = b.op("reshape", eye, shape=(count, 1, *each))
    wide = b.broadcast(eye, (count, *kind.shape))
    seed = Value(kind, None, 0)
    found = rows(recorder, seed, wide, back, together)
    out: list[Value | None] = []
    for x in found:
        if x is None:
            out.append(None)
            continue
        axes = (1, 0, *range(2, x.type.rank))
        swapped = b.op("transpose", x, axes=axes)
        shape = (kind.shape[0], *each, *x.type.shape[2:])
        out.append(b.op("reshape", swapped, shape=shape))
    return out


Sweep = Callable[[Recorder, Value, Back, bool], "list[Value | None]"]


class Jacobians:
    """The Jacobians a tape can be asked for."""

    _persistent: bool
    _used: bool
    _recorder: Recorder | None
    _reads: dict[int, tuple[Variable, list[Value]]]

    def _recorded(self, wrt: set[Value]) -> list[Node]:
        raise NotImplementedError

    def _begin(self) -> Recorder:
        raise NotImplementedError

    def _release(self) -> None:
        raise NotImplementedError

    def jacobian(
        self,
        target: Any,
        sources: Any,
        unconnected_gradients: "str | UnconnectedGradients" = UnconnectedGradients.NONE,
        together: bool = True,
    ) -> Any:
        """Return the derivatives of each element of a target by those of sources.

        Args:
            target: one tensor or variable.
            sources: tensors or variables, in any nesting.
            unconnected_gradients: "none" or "zero", for sources without a path.
            together: whether one adjoint serves all elements; else each has its own,
                which needs less memory and a persistent tape.

        Returns:
            In the structure of `sources`, arrays of the target's shape followed by the
            source's.

        Raises:
            RuntimeError: the tape is not persistent, and was used or `together` is off.
            TypeError: the target is not one tensor.
            LookupError: a path goes through an op without a gradient.
        """
        leaves, structure = with_structure(sources, "sources")
        zero = unconnected(unconnected_gradients) is UnconnectedGradients.ZERO
        found = self._rows(target, leaves, full, together, "jacobian", zero)
        return unflatten(structure, found)

    def batch_jacobian(
        self, target: Any, source: Any, unconnected_gradients: Any = "none",
        together: bool = True,
    ) -> Any:  # fmt: skip
        """Return the derivatives of each row of a target by the same row of a source.

        Right where no row of the target depends on another row of the source. As
        `jacobian` otherwise; zeros where there is no path.

        Raises:
            ValueError: the two have less than two axes, or not as many rows.
        """
        unconnected(unconnected_gradients)
        leaves = tensors([source], "source")
        (one,) = tensors([target], "target")
        shapes = [tuple(as_kind(x).shape) for x in (one, leaves[0])]
        for what, shape in zip(("target", "source"), shapes, strict=True):
            if len(shape) < 2:
                raise ValueError(f"the {what} {shape} must have rank at least 2")
        if shapes[0][0] != shapes[1][0]:
            raise ValueError(
                f"Need first dimension of target shape ({shapes[0]}) and source shape "
                f"({shapes[1]}) to match."
            )
        return self._rows(one, leaves, diagonal, together, "batch_jacobian", True)[0]

    def _rows(
        self,
        target: Any,
        leaves: Sequence[Tensor],
        sweep: Sweep,
        together: bool,
        name: str,
        zero: bool,
    ) -> list[Any]:
        if not isinstance(target, Tensor):
            raise TypeError(
                f"{name}: the target is one tensor or variable, not a "
                f"{type(target).__name__}: {target!r}"
            )
        if self._used:
            raise RuntimeError(USED)
        if not together and not self._persistent:
            raise RuntimeError(
                f"GradientTape must be created with persistent=True to compute the "
                f"{name} one element at a time"
            )
        recorder = self._begin()
        try:
            with recorder.whole():
                return self._swept(recorder, target, leaves, sweep, together, zero)
        finally:
            if not self._persistent:
                self._release()

    def _swept(
        self,
        recorder: Recorder,
        target: Tensor,
        leaves: Sequence[Tensor],
        sweep: Sweep,
        together: bool,
        zero: bool,
    ) -> list[Any]:
        own: list[list[Value]] = []
        # a variable that is the target has one value more: the target's
        value = target._value
        for x in leaves:
            reads = [x._value]
            if isinstance(x, Variable):
                reads = list(self._reads.get(id(x), (x, []))[1])
            if x is target and value not in reads:
                reads.append(value)
            own.append(reads)
        found: list[Value | None] = [None] * len(leaves)
        if value.type.dtype.is_float:
            wrt = list(dict.fromkeys(v for reads in own for v in reads))
            nodes = self._recorded(set(wrt))
            back = back_of(recorder, nodes, value, wrt, own)
            found = sweep(recorder, value, back, together)
        rows = 1 if sweep is diagonal else 0
        results: list[Any] = []
        for x, made in zip(leaves, found, strict=True):
            if made is None and zero:
                kind = as_kind(x)
                shape = (*value.type.shape, *kind.shape[rows:])
                made = recorder.builder.zeros(kind.with_shape(shape))
            results.append(None if made is None else recorder.wrap(made, (), x.plain))
        recorder.run_together([r._value for r in results if r is not None])
        return results


__all__ = ["Jacobians"]
