"""Describe the C functions of a compiled program: arrays, dtypes and sizes.

A `Signature` is what headers, loaders and the native entry points agree on. It knows
the native ABI of docs/abi.md and nothing of graphs. A dimension is an integer or the
text of a size expression over the named sizes, such as `2*n+1`; the text is read when
the description is made, so a description that exists is well-formed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..ir.errors import OpTypeError, SizeError
from ..ir.size_text import parse_size
from ..ir.sizes import Atom, SizeExpr, names_in
from ..ir.types import DTYPES

ABI_VERSION = 1


@dataclass(frozen=True, slots=True)
class ArraySpec:
    """One input or output: the name the user knows, the dtype and the dimensions.

    `note` says what it holds, for readers of headers and loaders.

    Raises:
        OpTypeError: there is no such dtype.
        SizeError: a dimension is negative or is not size text.
    """

    name: str
    dtype: str
    dims: tuple[int | str, ...]
    note: str = ""

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise OpTypeError(
                f"{self.name}: dtype {self.dtype!r} is not one of {', '.join(DTYPES)}"
            )
        for dim in self.dims:
            size = parse_size(dim) if isinstance(dim, str) else dim
            if isinstance(size, int) and size < 0:
                raise SizeError(f"{self.name}: a dimension is negative: {dim}")

    def type_text(self) -> str:
        """Return the type as errors and comments print it: `f64[n,3]`."""
        return f"{self.dtype}[{','.join(str(d) for d in self.dims)}]"

    def sizes(self) -> tuple[int | SizeExpr, ...]:
        """Return the dimensions as sizes."""
        return tuple(parse_size(d) if isinstance(d, str) else d for d in self.dims)


@dataclass(frozen=True, slots=True)
class Signature:
    """One C function `pb_SYMBOL` and its `pb_SYMBOL_workspace`.

    `sizes` are the named sizes in the order the native function takes them.

    Raises:
        SizeError: a dimension mentions a size that is not listed, or a size is listed
            twice.
    """

    symbol: str
    inputs: tuple[ArraySpec, ...]
    outputs: tuple[ArraySpec, ...]
    sizes: tuple[str, ...]
    doc: str

    def __post_init__(self) -> None:
        if len(set(self.sizes)) != len(self.sizes):
            raise SizeError(f"{self.symbol}: a size is listed twice: {self.sizes}")
        for name in self.sizes:
            # A name that the size grammar does not read back as itself is no name.
            if names_in(parse_size(name)) != {name}:
                raise SizeError(f"{self.symbol}: {name!r} cannot name a size")
        for spec in (*self.inputs, *self.outputs):
            for size in spec.sizes():
                unknown = names_in(size) - set(self.sizes)
                if unknown:
                    raise SizeError(
                        f"{self.symbol}: {spec.name} {spec.type_text()} mentions "
                        f"{', '.join(sorted(unknown))}, which is not among the sizes "
                        f"({', '.join(self.sizes)})"
                    )

    def symbols(self) -> tuple[str, str]:
        """Return the two linker symbols of the function."""
        return f"pb_{self.symbol}", f"pb_{self.symbol}_workspace"

    def inferable(self) -> frozenset[str]:
        """Return the sizes that are a whole dimension of some input."""
        bare = {dim for spec in self.inputs for dim in spec.dims}
        return frozenset(name for name in self.sizes if name in bare)


@dataclass(frozen=True, slots=True)
class TextSpec:
    """A text that programs print: its fields are `{0}`, `{1}`, ..., the values shown.

    `stream` is "stdout" or "stderr"; `values` has dtype and number of axes of each.
    """

    format: str
    stream: str
    values: tuple[tuple[str, int], ...]


def python_size(size: int | SizeExpr, spelled: Mapping[str, str]) -> str:
    """Return Python arithmetic for a size, with each name as `spelled` gives it.

    Fully parenthesised; a quotient by zero is zero, as in `evaluate_size`.
    """
    if isinstance(size, int):
        return str(size)
    return f"({' + '.join(_python_terms(size, spelled))})"


def _python_terms(size: SizeExpr, spelled: Mapping[str, str]) -> Iterator[str]:
    for mono, coef in size.terms:
        factors = [_python_atom(atom, spelled) for atom in mono]
        if coef != 1 or not factors:
            factors.insert(0, f"({coef})" if coef < 0 else str(coef))
        yield "*".join(factors)


def _python_atom(atom: Atom, spelled: Mapping[str, str]) -> str:
    if atom.op == "name":
        return spelled[atom.name]
    if atom.op == "pos":
        return f"max({python_size(atom.args[0], spelled)}, 0)"
    left, right = (python_size(arg, spelled) for arg in atom.args)
    if isinstance(atom.args[1], int):
        return f"({left}//{right})" if atom.args[1] else "0"
    return f"({left}//{right} if {right} else 0)"
