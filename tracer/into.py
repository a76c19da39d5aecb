"""Results written into arrays of the caller: calls with `out=`.

What is given is checked here and by the native entry, which takes such calls once one
of them was made; what does not fit comes back here, and the message names the result.
An input that a result would overwrite is copied first. Programs that are checked, split
at branches or interpreted make their results, which are copied then.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ir.errors import ArgumentError
from ..ir.sizes import SizeExpr, evaluate_size
from .compiled import Compiled, fitted
from .mode import MODE
from .state import STATE
from .trees import (
    LEAF,
    Structure,
    aligned,
    flatten,
    index_tree,
    paths,
    shown,
    unflatten,
)

if TYPE_CHECKING:
    from .function import Function

Array = np.ndarray[Any, Any]
Given = list[Array | None]


def call_into(
    owner: "Function", out: Any, args: Sequence[Any], options: Mapping[str, Any]
) -> Any:
    """Return the results of a call, those that `out` has an array for in that array.

    Args:
        owner: the function that is called.
        out: of the structure of the results, with None for what is to be made.
        args: the arguments.
        options: the arguments given by name.

    Raises:
        ArgumentError: the call is traced or recorded, or an array of `out` cannot hold
            its result; or two of them overlap.
    """
    name = owner._name
    if STATE.trace is not None:
        raise ArgumentError(
            f"{name}: out= is for calls that run, and this one is traced: use what it "
            "returns"
        )
    call = owner._reader.read(args, options)
    if call.taped:
        raise ArgumentError(
            f"{name}: out= is for calls on arrays, and this one is recorded on a tape: "
            "use what it returns"
        )
    if owner._branches or owner._check_numerics or owner._running or not MODE.is_native:
        return _copied(name, out, owner._call(*args, **options))
    made = owner._traced(call)
    if made.checks:
        return _copied(name, out, owner._call(*args, **options))
    if made.program is None:
        owner._compile(call, made)
    assert made.program is not None, "compiled above"
    arrays = [
        fitted(call.leaves[at], x.type.dtype.numpy)
        for at, x in zip(made.arrays, made.graph.inputs, strict=False)
    ]
    given = _given(name, made.result, out)
    _check_types(name, made, arrays, given)
    arrays = _apart(name, made.result, arrays, given)
    if made.entry is not None:
        _take_out(owner, made)
    found = made.program.run(arrays, given)
    results = [
        r if r.ndim or held is not None else r[()]
        for r, held in zip(found, given, strict=True)
    ]
    return unflatten(made.result, results)


def _take_out(owner: "Function", made: Compiled) -> None:
    """Have later calls with `out=` go to native code without a detour."""
    with owner._lock:
        if not made.into:
            tree = index_tree(made.result)
            assert made.program is not None, "compiled before"
            assert tree is not None, "there is a native entry"
            made.entry = made.program.entry(tree, owner._call, into=True)
            made.into = True
    if type(owner).__call__ is not made.entry and made.entry is not None:
        MODE.install(type(owner), made.entry)


def _given(name: str, structure: Structure, out: Any) -> Given:
    """Return what is given for each result.

    Raises:
        ArgumentError: `out` is not arranged as the results are.
    """
    if structure == LEAF and type(out) is tuple and len(out) == 1:
        (out,) = out  # as NumPy takes it
    try:
        held = aligned(structure, out)
    except LookupError:
        raise ArgumentError(
            f"{name}: out is arranged as {shown(flatten(out)[1])}; expected: "
            f"{shown(structure)}, an array or None for each *"
        ) from None
    for x, path in zip(held, paths(structure, "out"), strict=True):
        if x is not None and type(x) is not np.ndarray:
            more = "; pass np.asarray of it" if isinstance(x, np.ndarray) else ""
            raise ArgumentError(
                f"{name}: {path} is a {type(x).__name__}; expected: an array{more}"
            )
    return held


def _check_types(
    name: str, made: Compiled, arrays: Sequence[Array], given: Given
) -> None:
    """Raise ArgumentError where an array cannot hold its result."""
    graph = made.graph
    env: dict[str, int] = {}
    for array, x in zip(arrays, graph.inputs, strict=False):
        for d, extent in zip(x.type.shape, array.shape, strict=True):
            if isinstance(d, SizeExpr):
                env.setdefault(str(d), extent)
    where = paths(made.result, "out")
    for held, value, path in zip(given, graph.outputs, where, strict=True):
        if held is not None:
            shape = tuple([evaluate_size(d, env) for d in value.type.shape])
            _check(f"{name}: {path}", held, value.type.dtype.numpy, shape)


def _check(
    what: str, held: Array, dtype: "np.dtype[Any]", shape: tuple[int, ...]
) -> None:
    """Raise ArgumentError where an array cannot be written as a result is."""
    if held.dtype != dtype or held.shape != shape:
        fault = f"is {_typed(held.dtype, held.shape)}"
    elif not held.flags.c_contiguous:
        fault = "is not C-contiguous"
    elif not held.flags.aligned:
        fault = "is not aligned"
    elif not held.flags.writeable:
        fault = "is read-only"
    else:
        return
    raise ArgumentError(f"{what} {fault}; expected: {_typed(dtype, shape)} to write to")


def _typed(dtype: "np.dtype[Any]", shape: tuple[int, ...]) -> str:
    order = "" if dtype.isnative else " of the other byte order"
    return f"{dtype.name}[{','.join(map(str, shape))}]{order}"


def _apart(
    name: str, structure: Structure, arrays: Sequence[Array], given: Given
) -> list[Array]:
    """Return the arguments, copies of those that a result is written over.

    Raises:
        ArgumentError: two arrays of `out` overlap.
    """
    held = [
        (x, path)
        for x, path in zip(given, paths(structure, "out"), strict=True)
        if x is not None
    ]
    for k, (x, path) in enumerate(held):
        for other, before in held[:k]:
            if np.may_share_memory(x, other):
                raise ArgumentError(f"{name}: {before} and {path} overlap")
    # exact, since all of them are contiguous
    return [
        a.copy() if any(np.may_share_memory(a, x) for x, _ in held) else a
        for a in arrays
    ]


def _copied(name: str, out: Any, result: Any) -> Any:
    """Return results that were made, those that `out` has an array for copied to it."""
    made, structure = flatten(result)
    given = _given(name, structure, out)
    where = paths(structure, "out")
    for held, value, path in zip(given, made, where, strict=True):
        if held is not None:
            array = np.asarray(value)
            _check(f"{name}: {path}", held, array.dtype, array.shape)
    _apart(name, structure, (), given)
    for held, value in zip(given, made, strict=True):
        if held is not None:
            held[...] = value
    both = zip(given, made, strict=True)
    return unflatten(structure, [m if h is None else h for h, m in both])
