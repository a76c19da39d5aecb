"""Tangents of what is recorded: derivatives along one direction, forwards."""

from collections.abc import Sequence
from typing import Any

from ..ir.forward import pushforward
from ..ir.graph import Value
from .operands import value as as_value
from .tape import GradientTape
from .tape_arguments import (
    UnconnectedGradients,
    as_kind,
    tensors,
    unconnected,
    with_structure,
)
from .tensor import Tensor, current_recorder
from .trees import flatten, unflatten
from .variable import Variable


class ForwardAccumulator:
    """Records operations, and gives derivatives of their results along a direction.

    Args:
        primals: tensors or variables that move, in any nesting.
        tangents: how they move, in the same nesting.

    Raises:
        ValueError: a primal is given twice, or tangents do not fit.
    """

    def __init__(self, primals: Any, tangents: Any) -> None:
        self._tape = GradientTape(persistent=True, watch_accessed_variables=False)
        self._primals = tensors(primals, "primals")
        given, _ = flatten(tangents)
        if len(given) != len(self._primals):
            raise ValueError(
                f"{len(given)} tangents for {len(self._primals)} primals: one each"
            )
        seen: set[int] = set()
        for x in self._primals:
            if id(x) in seen:
                raise ValueError(
                    f"Tensor {x!r} was specified as a primal multiple times. This may "
                    "indicate an error. If it was intended, please sum the "
                    "corresponding tangents."
                )
            seen.add(id(x))
        self._tangents = [
            self._tangent(x, t) for x, t in zip(self._primals, given, strict=True)
        ]
        self._recording = False

    def _tangent(self, x: Tensor, given: Any) -> "Tensor | None":
        kind = as_kind(x)
        if not kind.dtype.is_float:
            return None
        recorder = current_recorder()
        held = as_value(recorder.builder, recorder.unwrap(given), "tangents")
        if held.type != kind:
            raise ValueError(f"a tangent is {held.type}, its primal {kind}")
        return Tensor(held)

    def __enter__(self) -> "ForwardAccumulator":
        if self._recording:
            raise ValueError("Accumulator is already recording.")
        self._recording = True
        self._tape.__enter__()
        self._tape.watch(self._primals)
        return self

    def __exit__(self, *exc: object) -> None:
        if self._recording:
            self._recording = False
            self._tape.__exit__(*exc)

    def jvp(
        self,
        primals: Any,
        unconnected_gradients: "str | UnconnectedGradients" = UnconnectedGradients.NONE,
    ) -> Any:
        """Return the derivatives of results along the direction.

        Args:
            primals: tensors or variables, in any nesting.
            unconnected_gradients: "none" or "zero", for what does not move.
        """
        leaves, structure = with_structure(primals, "primals")
        zero = unconnected(unconnected_gradients) is UnconnectedGradients.ZERO
        with self._tape._begin().whole():
            return unflatten(structure, self._pushed(leaves, zero))

    def _pushed(self, leaves: Sequence[Tensor], zero: bool) -> list[Any]:
        recorder = self._tape._begin()
        moving: dict[Value, Value] = {}
        own: dict[int, Value] = {}
        for x, tangent in zip(self._primals, self._tangents, strict=True):
            if tangent is None:
                continue
            own[id(x)] = tangent._value
            reads = [x._value]
            if isinstance(x, Variable):
                reads = self._tape._reads.get(id(x), (x, []))[1]
            moving.update(dict.fromkeys(reads, tangent._value))
        wanted = [x._value for x in leaves]
        nodes = self._tape._recorded(set(wanted))
        made = pushforward(recorder.builder, nodes, moving, wanted)
        results: list[Any] = []
        for x, tangent_, value in zip(leaves, made, wanted, strict=True):
            found = own.get(id(x), tangent_)
            if found is None and zero:
                found = recorder.builder.zeros(value.type)
            given = list(moving.values())
            results.append(
                None if found is None else recorder.wrap(found, given, x.plain)
            )
        recorder.run_together([r._value for r in results if r is not None])
        return results


__all__ = ["ForwardAccumulator"]
