"""What gradients of a tape take: targets, sources, cotangents, and how they nest."""

from collections.abc import Sequence
from enum import Enum
from typing import Any

from ..ir.errors import ArgumentError
from ..ir.graph import Value
from ..ir.promote import cast_to
from .operands import emit
from .operands import value as as_value
from .pair import is_complex
from .recorder import Recorder
from .tensor import Tensor
from .trees import Structure, flatten, has_parts, part_counts
from .variable import Variable

USED = (
    "A non-persistent GradientTape can only be used to compute one set of gradients "
    "(or jacobians)"
)


class UnconnectedGradients(Enum):
    """What `gradient` gives for a source that the target does not depend on."""

    NONE = "none"
    ZERO = "zero"


def as_kind(x: Tensor) -> Any:
    """Return the TensorType of a tensor, without reading a variable."""
    return x._current.type if isinstance(x, Variable) else x._value.type


def seeds(
    recorder: Recorder, targets: Sequence[Tensor], output_gradients: Any
) -> list["Value | None"]:
    """Return a cotangent for each target; None for one that carries none."""
    b = recorder.builder
    if output_gradients is None:
        given: list[Any] = [None] * len(targets)
    elif isinstance(output_gradients, (list, tuple, dict)):
        given = _flat_with_none(output_gradients)
    else:
        given = [output_gradients]
    if len(given) != len(targets):
        raise ArgumentError(
            f"gradient: {len(given)} output_gradients for {len(targets)} targets"
        )
    out: list[Value | None] = []
    for x, seed in zip(targets, given, strict=True):
        kind = as_kind(x)
        if not kind.dtype.is_float:
            out.append(None)
        elif seed is None:
            out.append(b.constant(1.0, kind.dtype, kind.shape))
        else:
            held = as_value(b, recorder.unwrap(seed), "output_gradients")
            cast = cast_to(b, held, kind.dtype)
            out.append(emit(b, "broadcast_to", cast, kind.shape))
    return out


def real_targets(
    target: Any, output_gradients: Any
) -> tuple[list[Tensor], "list[Any] | None"]:
    """Return the targets and their cotangents, complex ones as their parts.

    A complex target is taken with the cotangent 1, which is its real part's: for a
    holomorphic function that gives the conjugate of the derivative.

    Raises:
        TypeError: a leaf is not a tensor.
    """
    leaves, structure = with_structure(target, "target")
    if not has_parts(structure):
        return leaves, output_gradients
    counts = part_counts(structure)
    if output_gradients is None:
        given: list[Any] = [None] * len(counts)
    else:
        given = _flat_with_none(output_gradients)
    if len(given) != len(counts):
        raise ArgumentError(
            f"gradient: {len(given)} output_gradients for {len(counts)} targets"
        )
    found: list[Tensor] = []
    cts: list[Any] = []
    rest = iter(leaves)
    for count, ct in zip(counts, given, strict=True):
        parts = [next(rest) for _ in range(count)]
        if count == 2 and is_complex((ct,)):
            found += parts
            cts += [ct.real, ct.imag]
        else:
            found.append(parts[0])
            cts.append(ct)
    return found, cts


def unconnected(given: Any) -> UnconnectedGradients:
    """Return what sources without a path get.

    Raises:
        ValueError: it is neither of the two.
    """
    try:
        return UnconnectedGradients(given)
    except ValueError:
        raise ValueError(
            f"Unknown value for unconnected_gradients: {given!r}"
        ) from None


def _flat_with_none(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        tree = [tree[key] for key in sorted(tree)]
    if isinstance(tree, (list, tuple)):
        return [leaf for item in tree for leaf in _flat_with_none(item)]
    return [tree]


def tensors(tree: Any, what: str) -> list[Tensor]:
    """Return the leaves of a tree, which are tensors."""
    return with_structure(tree, what)[0]


def with_structure(tree: Any, what: str) -> tuple[list[Tensor], Structure]:
    """Return the leaves of a tree and its structure.

    Raises:
        TypeError: a leaf is not a tensor.
    """
    leaves, structure = flatten(tree)
    for x in leaves:
        if not isinstance(x, Tensor):
            raise TypeError(
                f"Argument `{what}` should be a list or nested structure of Tensors or "
                f"Variables, but holds a {type(x).__name__}: {x!r}"
            )
    return leaves, structure


def collected(
    recorder: Recorder,
    source: Tensor,
    parts: list[Value],
    made: dict[Value, Tensor],
    unconnected: UnconnectedGradients,
) -> "Tensor | None":
    """Return the gradient of a source: the sum of its parts, as a tensor."""
    b = recorder.builder
    if not parts:
        if unconnected is UnconnectedGradients.NONE:
            return None
        return source.plain(Recorder.concrete(b.zeros(as_kind(source))))
    total = parts[0]
    for part in parts[1:]:
        total = b.op("add", total, part)
    known = made.get(total)
    if known is not None:
        return source.plain(recorder.alias(total))
    result: Tensor = recorder.wrap(total, (), source.plain)
    made[total] = result
    return result
