"""Describe the arrays a native program takes and gives back.

Shared by the native and the portable entry, so that both read one description. Knows
NumPy's dtypes and nothing of the C API or of LLVM.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from ...codegen.llvm import Function, Reg

DimEmitter: TypeAlias = Callable[[Function, Mapping[str, Reg]], Reg]
Tree: TypeAlias = "int | tuple[Tree, ...]"

# Any: a dtype of no particular scalar type.
DTYPES: dict[str, np.dtype[Any]] = {
    "f64": np.dtype(np.float64),
    "f32": np.dtype(np.float32),
    "i64": np.dtype(np.int64),
    "i32": np.dtype(np.int32),
    "i16": np.dtype(np.int16),
    "i8": np.dtype(np.int8),
    "u64": np.dtype(np.uint64),
    "u32": np.dtype(np.uint32),
    "u16": np.dtype(np.uint16),
    "u8": np.dtype(np.uint8),
    "bool": np.dtype(np.bool_),
}

RELEASE_BYTES = 1 << 20
"""Calls touching more bytes of arrays than this run without the interpreter lock."""


@dataclass(frozen=True, slots=True)
class InSpec:
    """An argument: its name, dtype, and extents.

    A `str` among `dims` is a named size: its first occurrence defines the value, later
    ones must agree, and the value is never 1.
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class OutSpec:
    """A result: its dtype and extents, constant or emitted from the named sizes.

    A `DimEmitter` appends the computation of an `i64` extent to the function it is
    given and returns the register; equal results must be written as equal text.
    """

    dtype: str
    dims: tuple[int | DimEmitter, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """Everything the code of an entry depends on, apart from addresses."""

    inputs: tuple[InSpec, ...]
    outputs: tuple[OutSpec, ...]
    sizes: tuple[str, ...]
    tree: Tree
    workspace: int
    """Bytes, or -1 when a function tells."""
    release: bool | None
    """Run without the interpreter lock: always, never, or (None) by bytes."""
    stoppable: bool = False
    """An interrupt stops the program: it has loops."""
    prints: bool = False
    """The context is as long as that of programs that print."""
    into: bool = False
    """The call takes `out=`: arrays of the caller that results are written into."""
    arrays: bool = False
    """0-d results are arrays too, not NumPy scalars."""


def leaves_of(tree: Tree) -> Iterator[int]:
    """Yield the leaf numbers of a result tree from left to right."""
    stack: list[Tree] = [tree]
    while stack:
        item = stack.pop()
        if isinstance(item, tuple):
            stack.extend(reversed(item))
        else:
            yield item


def check_signature(signature: Signature) -> None:
    """Verify that a signature is one an entry can be made for.

    Raises:
        ValueError: an unknown dtype, a named size no input defines, or a result tree
            that does not hold every output exactly once.
    """
    defined: set[str] = set()
    for spec in signature.inputs:
        if spec.dtype not in DTYPES:
            raise ValueError(f"input {spec.name}: unknown dtype {spec.dtype!r}")
        for dim in spec.dims:
            if isinstance(dim, str):
                defined.add(dim)
            elif dim < 0:
                raise ValueError(f"input {spec.name}: negative extent {dim}")
    if set(signature.sizes) != defined or len(signature.sizes) != len(defined):
        raise ValueError(
            f"the inputs define the sizes {sorted(defined)}, "
            f"the program lists {list(signature.sizes)}"
        )
    for k, out in enumerate(signature.outputs):
        if out.dtype not in DTYPES:
            raise ValueError(f"output {k}: unknown dtype {out.dtype!r}")
    _check_tree(signature.tree, signature.outputs)


def _check_tree(tree: Tree, outputs: Sequence[OutSpec]) -> None:
    if sorted(leaves_of(tree)) != list(range(len(outputs))):
        raise ValueError(
            f"result tree {tree} does not hold each of {len(outputs)} outputs once"
        )
