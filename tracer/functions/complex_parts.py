"""Operands of functions of complex numbers, and results.

An operand has a real and an imaginary part; None is a part that is not there, which is
no zero: what is multiplied by it is not computed. A real array times a complex one is
two products, and 1j times an array is none.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...ir.errors import OpTypeError
from ...ir.graph import Value
from ...ir.promote import Operand, broadcast_shapes, cast_to, fit
from ...ir.types import DType, Shape
from ..builders import ArrayBuilder
from ..operands import emit, has_value, operand, refuse
from ..pair import PART_OF, Pair

Part = Operand | None
# of a function: as it is called, with pairs among the arguments
Impl = Callable[..., Any]


class Parts(NamedTuple):
    """An operand: its parts, in one dtype where they are Values."""

    re: Part
    im: Part


def read(b: ArrayBuilder, x: Any, name: str) -> Parts:
    """Return what a user passed as parts; Python numbers stay numbers.

    Raises:
        OpTypeError: it is no array, number or list of them.
    """
    if isinstance(x, Pair):
        return Parts(x.re, x.im)
    if type(x) is complex:
        return Parts(x.real if x.real or not x.imag else None, x.imag)
    if isinstance(x, np.complexfloating):
        return Parts(b.number(x.real), b.number(x.imag))
    if isinstance(x, np.ndarray) and x.dtype.kind == "c":
        return Parts(b.array(x.real.copy()), b.array(x.imag.copy()))
    if isinstance(x, (list, tuple)):
        if not has_pair(x):
            return _listed(b, x, name)
        re, im = (part_of(b, x, name, k) for k in (0, 1))
        return Parts(operand(b, re, name), operand(b, im, name))
    return Parts(operand(b, x, name), None)


def _listed(b: ArrayBuilder, x: Any, name: str) -> Parts:
    if has_value(x):
        return Parts(operand(b, x, name), None)
    array = np.asarray(x)
    if array.dtype.kind == "c":
        return read(b, array, name)
    return Parts(operand(b, x, name), None)


def has_pair(items: Any) -> bool:
    """Return whether a complex value is in a list, at any depth."""
    return isinstance(items, (Pair, complex, np.complexfloating)) or (
        isinstance(items, (list, tuple)) and any(has_pair(item) for item in items)
    ) or (isinstance(items, np.ndarray) and items.dtype.kind == "c")  # fmt: skip


def part_of(b: ArrayBuilder, x: Any, name: str, k: int) -> Any:
    """Return a part of each item of a list: real ones at 0, imaginary ones at 1."""
    if isinstance(x, (list, tuple)):
        return [part_of(b, item, name, k) for item in x]
    parts = read(b, x, name)
    if parts[k] is not None:
        return parts[k]
    other = parts[1 - k]
    return b.zeros(other.type) if isinstance(other, Value) else 0.0


def dtype_of_parts(b: ArrayBuilder, name: str, args: Sequence[Parts]) -> DType:
    """Return the dtype that the parts of a result have, by NumPy's promotion.

    Raises:
        OpTypeError: NumPy has no dtype for these.
    """
    probes: list[Any] = []
    for x in args:
        held = [p for p in x if isinstance(p, Value)]
        if held:
            probes += [p.type.dtype.numpy for p in held]
            if x.im is not None:
                probes.append(np.result_type(held[0].type.dtype.numpy, np.complex64))
        else:
            number = x.re if x.im is None else complex(x.re or 0, x.im)  # type: ignore[arg-type]  # numbers, just seen
            probes.append(np.dtype(bool) if type(number) is bool else number)
    # numbers alone are no weak ones: they are 64 bits wide
    probes = probes if any(isinstance(p, np.dtype) for p in probes) else [np.complex128]
    found = np.result_type(*probes, 1j)
    if found not in PART_OF:
        raise OpTypeError(f"{name}: dtype {found} is not supported")
    return PART_OF[found]


def typed(b: ArrayBuilder, name: str, args: Sequence[Any]) -> list[Parts]:
    """Return operands as parts, those that are Values in their common dtype."""
    found = [x if isinstance(x, Parts) else read(b, x, name) for x in args]
    dtype = dtype_of_parts(b, name, found)
    return [Parts(_cast(b, x.re, dtype), _cast(b, x.im, dtype)) for x in found]


def _cast(b: ArrayBuilder, part: Part, dtype: DType) -> Part:
    return cast_to(b, part, dtype) if isinstance(part, Value) else part


def filled(b: ArrayBuilder, name: str, *args: Any) -> list[Pair]:
    """Return operands as pairs of one dtype and one shape, with zeros for what is not.

    A Python number alone is 64 bits wide.
    """
    parts = typed(b, name, args)
    dtype = dtype_of_parts(b, name, parts)
    held = [p for x in parts for p in x if isinstance(p, Value)]
    shape = broadcast_shapes(b, name, held)
    return [Pair(*[_fill(b, p, dtype, shape) for p in x]) for x in parts]


def _fill(b: ArrayBuilder, part: Part, dtype: DType, shape: Shape) -> Value:
    if isinstance(part, Value):
        return fit(b, part, shape)
    return b.constant(0.0 if part is None else part, dtype, shape)


def pair(b: ArrayBuilder, re: Part, im: Part) -> Pair:
    """Return a result of its parts: zeros for what is not, in one dtype and shape."""
    return filled(b, "complex", Parts(re, im))[0]


def one(b: ArrayBuilder, x: Any, name: str) -> Pair:
    """Return an operand as a pair."""
    return filled(b, name, x)[0]


# -- functions of each part ------------------------------------------------------------


def zipped(re: Any, im: Any) -> Any:
    """Return results of both parts as pairs, in lists where they are."""
    if isinstance(re, Value):
        return Pair(re, im)
    if isinstance(re, (list, tuple)):
        return type(re)([zipped(x, y) for x, y in zip(re, im, strict=True)])
    return re


def by_part(impl: Impl, *at: int) -> Impl:
    """Return a function that moves or adds elements, for complex ones.

    `at` are the arguments that hold elements, the first by default.
    """
    places = at or (0,)

    def function(b: ArrayBuilder, *args: Any, **options: Any) -> Any:
        name = impl.__name__
        dtype = options.get("dtype")
        if dtype is not None and dtype is not np._NoValue:
            refuse(name, {"dtype": dtype})
        found = []
        for k in (0, 1):
            given = list(args)
            for place in places:
                if place < len(args):
                    given[place] = _part(b, args[place], name, k)
            found.append(impl(b, *given, **options))
        return zipped(*found)

    return function


def _part(b: ArrayBuilder, x: Any, name: str, k: int) -> Any:
    if isinstance(x, (list, tuple)):
        return part_of(b, x, name, k)
    return filled(b, name, x)[0].re if k == 0 else filled(b, name, x)[0].im


def linear(impl: Impl, *at: int) -> Impl:
    """Return a function that is linear in each of some arguments, for complex ones."""

    def function(b: ArrayBuilder, *args: Any, **options: Any) -> Any:
        held = typed(b, impl.__name__, [args[k] for k in at])
        sums: list[Any] = [None, None]
        ways: list[list[int]] = [[]]
        for x in held:
            ways = [[*way, k] for way in ways for k in (0, 1) if x[k] is not None]
        for way in ways:
            given = list(args)
            for place, x, k in zip(at, held, way, strict=True):
                given[place] = x[k]
            made = impl(b, *given, **options)
            turns = sum(way) % 4  # of a quarter: a product of so many times 1j
            before = sums[turns % 2]
            if before is None:
                before = made if turns < 2 else b.op("neg", made)
            else:
                before = emit(b, "add" if turns < 2 else "sub", before, made)
            sums[turns % 2] = before
        return pair(b, *sums)

    return function
