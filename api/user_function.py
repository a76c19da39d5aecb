"""Find a function in a user's file, read the types of its arguments, trace it.

The file is imported, not run as a script. Whatever the user got wrong is a CommandError
that names the argument.
"""

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from .command_error import CommandError, alike, raised
from .ir.errors import GraphError, SizeError
from .ir.graph import Graph
from .ir.size_text import parse_size
from .ir.types import DTYPES, TensorType, split_sizes
from .tracer.trace import Trace, finish, name_of
from .tracer.trees import LEAF, Structure, are_views

_AT = re.compile(r" at (\d+)\Z")


@dataclass(frozen=True, slots=True)
class Argument:
    """One `--arg`: the parameter and its type."""

    name: str
    type: TensorType


@dataclass(frozen=True, slots=True)
class Traced:
    """The graph of a user's function, and how its results nest."""

    graph: Graph
    result: Structure


# -- arguments -------------------------------------------------------------------------


def parse_argument(text: str) -> Argument:
    """Read `x: f64[n,3]`.

    Raises:
        CommandError: the text is malformed; the message has the column.
    """
    name, colon, kind = text.partition(":")
    if not colon:
        _malformed(text, len(text), "':' and a type expected, as x: f64[n,3]")
    stripped = name.strip()
    if not stripped.isidentifier():
        at = len(name) - len(name.lstrip())
        _malformed(text, at, f"{stripped!r} is not the name of a parameter")
    start = len(name) + 1 + len(kind) - len(kind.lstrip())
    dtype, bracket, rest = kind.strip().partition("[")
    if dtype.strip() in ("c64", "c128"):
        _malformed(
            text,
            start,
            "complex arguments have no form ahead of time: pass both parts as "
            "f64[...,2], and make pb.complex(z[..., 0], z[..., 1]) of them",
        )
    if dtype.strip() not in DTYPES:
        _malformed(
            text, start, f"{dtype!r} is not a dtype: use one of {', '.join(DTYPES)}"
        )
    if not bracket:
        _malformed(text, start + len(dtype), "'[' expected; a scalar is f64[]")
    if not rest.endswith("]"):
        _malformed(text, len(text.rstrip()), "']' expected")
    at = start + len(dtype) + 1
    sizes = []
    for part in split_sizes(rest[:-1]):
        try:
            size = parse_size(part)
        except SizeError as error:
            found = _AT.search(str(error))
            column = int(found.group(1)) - 1 if found else 0
            said = _AT.sub("", str(error)).partition(": ")[2]
            _malformed(text, at + column, said)
        if isinstance(size, int) and size < 0:
            _malformed(text, at, f"a size is not negative: {part.strip()}")
        sizes.append(size)
        at += len(part) + 1
    return Argument(stripped, TensorType(DTYPES[dtype.strip()], tuple(sizes)))


def _malformed(text: str, at: int, what: str) -> None:
    raise CommandError(f"--arg {text!r}: column {at + 1}: {what}")


def check_wrt(
    text: str, arguments: Sequence[Argument], flag: str = "--wrt"
) -> list[int]:
    """Return the numbers of the arguments that `--wrt`, or another flag, names.

    Raises:
        CommandError: a name is no argument, is named twice, or is not a float.
    """
    known = {x.name: k for k, x in enumerate(arguments)}
    found: list[int] = []
    for name in (part.strip() for part in text.split(",")):
        if name not in known:
            raise CommandError(
                f"{flag} {text}: there is no argument {name!r}{alike(name, known)}"
            )
        kind = arguments[known[name]].type
        if not kind.dtype.is_float:
            raise CommandError(
                f"{flag} {text}: {name} is {kind}, a float is needed: "
                "use f64 or f32, or leave it out"
            )
        if known[name] in found:
            raise CommandError(f"{flag} {text}: {name} is named twice: name it once")
        found.append(known[name])
    return found


# -- functions -------------------------------------------------------------------------


def load_function(where: str) -> Callable[..., Any]:
    """Return the function that `FILE.py:FUNCTION` names.

    Raises:
        CommandError: there is no such file or function, or the import raised.
    """
    path, colon, name = where.rpartition(":")
    if not colon or not name or not path:
        raise CommandError(f"{where}: expected FILE.py:FUNCTION")
    file = Path(path)
    if not file.is_file():
        here = file.parent
        near = [f.name for f in here.glob("*.py")] if here.is_dir() else []
        raise CommandError(f"{path}: no such file{alike(file.name, near)}")
    module = _import(file)
    if not hasattr(module, name):
        own = [
            key
            for key, held in vars(module).items()
            if callable(held) and not key.startswith("_")
        ]
        raise CommandError(f"{path} has no function {name!r}{alike(name, own)}")
    found: Any = getattr(module, name)  # Any: whatever the user's module holds
    if not callable(found):
        raise CommandError(
            f"{where}: {name} is a {type(found).__name__}: a function is needed"
        )
    return found  # type: ignore[no-any-return]  # callable, seen above


def _import(file: Path) -> ModuleType:
    full = file.resolve()
    name = full.stem if full.stem.isidentifier() else "user_file"
    while name in sys.modules:
        name = f"{name}_"
    spec = importlib.util.spec_from_file_location(name, full)
    if spec is None or spec.loader is None:
        raise CommandError(f"{file}: not a Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(full.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise raised(f"importing {file}", error) from error
    finally:
        sys.path.remove(str(full.parent))
    return module


def trace_function(
    fun: Callable[..., Any], arguments: Sequence[Argument], where: str
) -> Traced:
    """Trace a function on arguments of these types; others take their defaults.

    Raises:
        CommandError: the arguments do not fit the parameters, or the function raised.
    """
    ordered = _matched(fun, arguments, where)
    session = Trace(name_of(fun))
    try:
        with session:
            inputs = {x.name: session.argument(x.type, x.name) for x in arguments}
            graph, structure = finish(
                session,
                fun(
                    *[inputs[n] for n in ordered[0]],
                    **{n: inputs[n] for n in ordered[1]},
                ),
            )
    except GraphError:
        raise  # a defect of pullback
    except (Exception, SystemExit) as error:
        raise raised(where, error) from error
    if any(are_views(structure)):
        raise CommandError(
            f"{where}: complex results have no form ahead of time: return both parts, "
            "as np.stack([z.real, z.imag], -1)"
        )
    return Traced(graph, structure)


def _matched(
    fun: Callable[..., Any], arguments: Sequence[Argument], where: str
) -> tuple[list[str], list[str]]:
    """Return the names to pass by position and those to pass by name."""
    given = [x.name for x in arguments]
    for k, name in enumerate(given):
        if name in given[:k]:
            raise CommandError(f"--arg {name}: given twice: give each argument once")
    try:
        parameters = inspect.signature(fun).parameters
    except (TypeError, ValueError):
        raise CommandError(f"{where}: the parameters cannot be read") from None
    plain = {
        name: p
        for name, p in parameters.items()
        if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }
    for name in given:
        if name not in plain:
            raise CommandError(
                f"--arg {name}: {where} has no such parameter{alike(name, plain)}"
            )
    missing = [n for n, p in plain.items() if p.default is p.empty and n not in given]
    if missing:
        raise CommandError(
            f"{where} takes {len(plain)} arguments ({', '.join(plain)}), "
            f"{len(given)} given: add --arg '{missing[0]}: f64[...]'"
        )
    positional = [
        n for n in given if plain[n].kind is inspect.Parameter.POSITIONAL_ONLY
    ]
    order = [n for n in plain if n in positional]
    return order, [n for n in given if n not in order]


# -- results ---------------------------------------------------------------------------


def result_tree(structure: Structure, first: int = 0) -> Any:
    """Return how results nest, as loader modules write it.

    Named tuples become tuples and data classes dicts: a loader knows no user types.
    """
    count = iter(range(first, 1 << 30))

    def build(part: Structure) -> Any:
        if part == LEAF:
            return next(count)
        kind, _, keys, children = part
        if kind == "none":
            return None
        built = [build(child) for child in children]
        if kind == "list":
            return built
        if kind == "dict":
            by_key = dict(zip(keys[0], built, strict=True))
            return {"dict": {key: by_key[key] for key in keys[1]}}
        if kind == "dataclass":
            return {"dict": dict(zip(keys, built, strict=True))}
        return {"tuple": built}

    return build(structure)
