"""Arguments of a call: which leaves are arrays, which are static, of what types.

Everything a compiled program depends on is in the key; nothing else is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..ir.errors import ArgumentError, OpTypeError
from ..ir.size_text import parse_size
from ..ir.sizes import SizeExpr
from ..ir.types import BOOL, F64, I64, Shape, TensorType, dtype_of, split_sizes
from .operators import Operators
from .trace import place_of
from .trees import Structure, are_views, flatten, paths

_NUMBERS = {float: TensorType(F64, ()), int: TensorType(I64, ())}
_TYPES: dict[tuple[Any, tuple[int, ...]], TensorType] = {}


class Static:
    """A static argument; its equality is that of what it holds."""

    __slots__ = ("held",)

    def __init__(self, held: Any) -> None:
        self.held = held

    def __hash__(self) -> int:
        return hash((type(self.held), self.held))

    def __repr__(self) -> str:
        text = repr(self.held)
        return text if len(text) <= 60 else f"{text[:57]}..."

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Static)
            and type(self.held) is type(other.held)
            and bool(self.held == other.held)
        )


Kind = TensorType | Static


@dataclass(slots=True)
class Call:
    """A call after reading: one kind a leaf."""

    leaves: list[Any]
    structure: Structure
    kinds: tuple[Kind, ...]
    taped: bool  # a leaf is a tensor of a tape
    plain: tuple[Kind, ...]  # the kinds without names of sizes

    @property
    def key(self) -> tuple[Structure, tuple[Kind, ...]]:
        """What the compiled program depends on."""
        return self.structure, self.kinds


class Reader:
    """Reads the calls of one function."""

    def __init__(
        self,
        fun: Callable[..., Any],
        name: str,
        static_argnums: Sequence[int],
        static_argnames: Sequence[str],
        shapes: Mapping[str, str],
    ) -> None:
        self.name = name
        self.argument_names = _argument_names(fun)
        # else the function's own argument of this name is meant
        self.takes_out = "out" not in self.argument_names
        self.static_argnums = frozenset(
            n % max(len(self.argument_names), 1) if n < 0 else n for n in static_argnums
        ) | {
            k
            for k, n in enumerate(self.argument_names)
            if n in frozenset(static_argnames)
        }
        self.static_argnames = frozenset(static_argnames)
        self.shapes = {
            path: tuple(parse_size(part) for part in split_sizes(text))
            for path, text in shapes.items()
        }

    def read(self, args: Sequence[Any], options: Mapping[str, Any]) -> Call:
        """Return the leaves of a call and their kinds.

        Raises:
            ArgumentError: a leaf is neither an array of numbers nor static.
        """
        if self.static_argnums or self.static_argnames:
            args = [
                Static(a) if k in self.static_argnums else a for k, a in enumerate(args)
            ]
            options = {
                n: Static(a) if n in self.static_argnames else a
                for n, a in options.items()
            }
        leaves, structure = flatten((tuple(args), dict(options)), views=True)
        kinds: list[Kind] = []
        taped = False
        for k, leaf in enumerate(leaves):
            kind: Kind | None
            if type(leaf) is np.ndarray:
                kind = _TYPES.get((leaf.dtype, leaf.shape))
                if kind is None:
                    kind = self._array(leaf, k, structure)
            else:
                kind = _NUMBERS.get(type(leaf)) or self._kind(leaf, k, structure)
                if isinstance(leaf, Operators):
                    taped = True
            kinds.append(kind)
        plain = tuple(kinds)
        if self.shapes and not taped:  # a tape has values, so it has sizes
            kinds = self._named(kinds, structure)
        return Call(leaves, structure, tuple(kinds), taped, plain)

    def leaf_paths(self, structure: Structure) -> list[str]:
        """Return what messages and graphs call the leaves: `params['w'][0]`."""
        positional, named = structure[3]
        found: list[str] = []
        for k, part in enumerate(positional[3]):
            found += paths(part, self.argument_name(k))
        for name, part in zip(named[2][0], named[3], strict=True) if named[2] else ():
            found += paths(part, name)
        return found

    def argument_name(self, k: int) -> str:
        """Return the name of a positional argument."""
        names = self.argument_names
        return names[k] if k < len(names) else f"argument {k}"

    def _array(self, leaf: Any, k: int, structure: Structure) -> TensorType:
        try:
            dtype = dtype_of(leaf.dtype)
        except OpTypeError:
            raise self._error(
                k, structure, f"has dtype {leaf.dtype}",
                "an array of floats, integers or bool",
            ) from None  # fmt: skip
        kind = TensorType(dtype, leaf.shape)
        _TYPES[leaf.dtype, leaf.shape] = kind
        return kind

    def _kind(self, leaf: Any, k: int, structure: Structure) -> Kind:
        if isinstance(leaf, TensorType):
            return leaf
        if isinstance(leaf, Operators):
            return leaf._value.type
        if isinstance(leaf, (np.generic, np.ndarray)):
            return self._array(leaf, k, structure)
        if isinstance(leaf, (bool, str, bytes)) or callable(leaf):
            return Static(leaf)
        if isinstance(leaf, Static):
            try:
                hash(leaf)
            except TypeError:
                raise self._error(
                    k, structure,
                    f"is static and an unhashable {_named_type(leaf.held)}",
                    "something hashable",
                ) from None  # fmt: skip
            return leaf
        if isinstance(leaf, float):
            return _NUMBERS[float]
        if isinstance(leaf, int):
            return _NUMBERS[int]
        raise self._error(
            k, structure, f"is a {_named_type(leaf)}",
            "an array or a number; name it in static_argnames if it is a setting",
        )  # fmt: skip

    def _error(
        self, k: int, structure: Structure, what: str, expected: str
    ) -> ArgumentError:
        path = self.leaf_paths(structure)[k]
        return ArgumentError(
            f"{self.name}: argument {quoted(path)} {what}; expected: {expected}"
        )

    def _named(self, kinds: list[Kind], structure: Structure) -> list[Kind]:
        """Put named sizes where `shapes` gives them; a size of 1 stays a number."""
        where = self.leaf_paths(structure)
        one = False
        out: list[Kind] = []
        known: dict[SizeExpr, tuple[int | SizeExpr, str]] = {}
        views = are_views(structure)
        for path, kind, view in zip(where, kinds, views, strict=True):
            root = path.split("[")[0].split(".")[0]
            wanted = self.shapes.get(path, self.shapes.get(root))
            if wanted is None or not isinstance(kind, TensorType):
                out.append(kind)
                continue
            if view:
                wanted = (*wanted, 2)
            one = self._check(path, kind, wanted, known) or one
            out.append(kind.with_shape(wanted))
        return kinds if one else out

    def _check(
        self,
        path: str,
        kind: TensorType,
        wanted: Shape,
        known: "dict[SizeExpr, tuple[int | SizeExpr, str]]",
    ) -> bool:
        """Return whether a named size of an argument is 1; `known` has those before.

        Raises:
            ArgumentError: the argument has another shape.
        """
        text = ",".join(map(str, wanted))
        expected = f"expected: shape ({text})"
        fits = len(wanted) == len(kind.shape)
        for d, w in zip(kind.shape, wanted, strict=False):
            if isinstance(w, int):
                fits = fits and w == d
                continue
            value, at = known.setdefault(w, (d, path))
            if value != d:
                fits = False
                expected += f", where {w} is {value} as of {quoted(at)}"
                break
        if not fits:
            raise ArgumentError(
                f"{self.name}: argument {quoted(path)} is {kind}; {expected}"
            )
        return any(d == 1 and w != 1 for d, w in zip(kind.shape, wanted, strict=True))


def demand_fits(
    fun: Callable[..., Any],
    label: str,
    args: Sequence[Any],
    options: Mapping[str, Any],
) -> None:
    """Raise ArgumentError where a call does not fit the function's parameters."""
    code = getattr(fun, "__code__", None)
    if code is None:
        return
    positional = code.co_varnames[: code.co_argcount]
    if len(args) > len(positional) and not code.co_flags & 0x04:
        raise ArgumentError(
            f"{label}: takes {len(positional)} arguments, {len(args)} given"
            f"{place_of(fun)}"
        )
    defaults = len(fun.__defaults__ or ())
    for k, name in enumerate(positional):
        if k < len(args) and name in options and k >= code.co_posonlyargcount:
            raise ArgumentError(
                f"{label}: argument '{name}' is given twice{place_of(fun)}"
            )
        needed = k < len(positional) - defaults
        if k >= len(args) and name not in options and needed:
            raise ArgumentError(f"{label}: argument '{name}' is missing{place_of(fun)}")
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    for name in options:
        if name not in known and not code.co_flags & 0x08:
            raise ArgumentError(
                f"{label}: there is no argument '{name}'{place_of(fun)}"
            )


def quoted(path: str) -> str:
    """Return a leaf's path with the argument's name in quotes: `'params'['w']`."""
    for at, char in enumerate(path):
        if char in "[.":
            return f"'{path[:at]}'{path[at:]}"
    return f"'{path}'"


def _named_type(x: Any) -> str:
    return type(x).__name__


def _argument_names(fun: Callable[..., Any]) -> tuple[str, ...]:
    inner: Any = fun
    skip = 0
    while not hasattr(inner, "__code__"):
        if hasattr(inner, "__func__"):
            inner, skip = inner.__func__, skip + 1
            continue
        if hasattr(inner, "__wrapped__"):
            inner = inner.__wrapped__
            continue
        return ()
    code = inner.__code__
    if hasattr(inner, "__func__"):
        skip += 1
    return tuple(code.co_varnames[skip : code.co_argcount + code.co_kwonlyargcount])


__all__ = ["BOOL", "Call", "Kind", "Reader", "Static", "demand_fits", "quoted"]
