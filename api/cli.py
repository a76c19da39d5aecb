"""The command line: `pullback compile`, `pullback inspect`, `pullback demo`.

What cannot be done ends in exit code 2 and one line on stderr that names the argument,
what was found and what to do. Output folders get all of their files or none.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .command_error import CommandError, one_line
from .demo import run as run_demo
from .ir.adjoint import grad_graph
from .ir.errors import GradientLookupError, GraphError, PullbackError
from .ir.graph import Graph
from .ir.ops import OPS
from .ir.parse import parse_graph
from .ir.types import TensorType
from .ir.verify import verify
from .runtime.aot import SUFFIX, Entry, Package, build_package
from .runtime.aot_pair import pair_entries
from .runtime.package import Pair
from .stages import STAGES, Stages
from .user_function import (
    Argument,
    Traced,
    check_wrt,
    load_function,
    parse_argument,
    result_tree,
    trace_function,
)

_MEANING = {
    ".o": "object without undefined symbols",
    ".a": "static library",
    ".so": "shared library",
    ".h": "C header, for C99 and C++17",
    ".py": "Python module for the shared library; needs NumPy alone",
    ".ll": "LLVM IR the object was made from, for reading",
}


class _Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message}; {self.prog} --help lists what there is")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="pullback", description="Gradients as native code.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    ahead = commands.add_parser(
        "compile", help="compile a function ahead of time into a folder"
    )
    ahead.add_argument("function", metavar="FILE.py:FUNCTION")
    _add_arguments(ahead)
    ahead.add_argument(
        "--vjp",
        metavar="NAME[,NAME]",
        help="arguments to pull cotangents back to: adds FUNCTION_forward and "
        "FUNCTION_backward, and FUNCTION_vjp in Python; results may be arrays",
    )
    ahead.add_argument("--out", required=True, metavar="DIR", help="made if missing")
    ahead.add_argument("--name", help="name of files and symbols: FUNCTION by default")
    ahead.set_defaults(run=_compile)

    inspect = commands.add_parser(
        "inspect", help="print a stage of the compilation of a function or program"
    )
    inspect.add_argument("program", metavar="FILE.py:FUNCTION | PROGRAM.ir")
    _add_arguments(inspect)
    inspect.add_argument(
        "--stage",
        default="graph",
        choices=tuple(STAGES),
        metavar="STAGE",
        help="; ".join(f"{name}: {what}" for name, (_, what) in STAGES.items()),
    )
    inspect.set_defaults(run=_inspect)

    demo = commands.add_parser(
        "demo", help="fit a small data set, by compiled gradients, and check everything"
    )
    demo.set_defaults(run=lambda _: run_demo())
    return parser


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--arg",
        action="append",
        default=[],
        metavar="'NAME: TYPE'",
        help="type of an argument, as 'x: f64[n,3]'; sizes may be named",
    )
    parser.add_argument(
        "--wrt",
        metavar="NAME[,NAME]",
        help="arguments to differentiate a float scalar by",
    )


# -- commands --------------------------------------------------------------------------


def _compile(options: argparse.Namespace) -> int:
    arguments = [parse_argument(text) for text in options.arg]
    fun = load_function(options.function)
    wrt = _checked_wrt(options, arguments)
    pulled = None
    if options.vjp is not None:
        pulled = check_wrt(options.vjp, arguments, "--vjp")
    traced = trace_function(fun, arguments, options.function)
    name = options.name or options.function.rpartition(":")[2]
    entries = _entries(options, name, traced, wrt)
    pairs: list[Pair] = []
    if pulled is not None:
        halves, pair = _halves(options, name, traced, pulled)
        entries += halves
        pairs.append(pair)
    try:
        package = build_package(name, entries, pairs=pairs)
    except GraphError:
        raise
    except PullbackError as error:
        raise CommandError(f"{options.function}: {one_line(error)}") from error
    out = Path(options.out)
    try:
        written = package.write(out)
    except OSError as error:
        raise CommandError(
            f"--out {out}: {error.strerror or error}: name a folder that can be written"
        ) from error
    _report(entries, pairs, package, out, written)
    return 0


def _entries(
    options: argparse.Namespace, name: str, traced: Traced, wrt: list[int] | None
) -> list[Entry]:
    graph = traced.graph
    doc = f"{graph.name}, compiled from {Path(options.function).name}"
    entries = [Entry(name, graph, doc, result_tree(traced.result))]
    if wrt is not None:
        joint = _joint(graph, wrt, options)
        named = ", ".join(graph.names[k] for k in wrt)
        gradients = list(range(1, len(wrt) + 1))
        tree = {"tuple": [0, {"tuple": gradients} if len(wrt) > 1 else 1]}
        doc = f"{graph.name} and its gradients with respect to {named}"
        entries.append(Entry(f"{name}{SUFFIX}", joint, doc, tree))
    return entries


def _halves(
    options: argparse.Namespace, name: str, traced: Traced, wrt: list[int]
) -> tuple[list[Entry], Pair]:
    graph = traced.graph
    if not any(x.type.dtype.is_float for x in graph.outputs):
        raise CommandError(
            f"--vjp {options.vjp}: {graph.name} returns no float: there is no "
            "cotangent to pull back"
        )
    try:
        return pair_entries(name, graph, wrt, result_tree(traced.result))
    except GradientLookupError as error:
        raise CommandError(f"--vjp {options.vjp}: {one_line(error)}") from error


def _joint(graph: Graph, wrt: list[int], options: argparse.Namespace) -> Graph:
    outputs = graph.outputs
    other = "; --vjp takes any" if options.command == "compile" else ""
    if len(outputs) != 1:
        raise CommandError(
            f"--wrt {options.wrt}: {graph.name} returns {len(outputs)} arrays: "
            f"a gradient needs one float scalar{other}"
        )
    kind = outputs[0].type
    if kind.shape != () or not kind.dtype.is_float:
        raise CommandError(
            f"--wrt {options.wrt}: {graph.name} returns {kind}: a gradient needs a "
            f"float scalar: sum the result{other}"
        )
    try:
        return grad_graph(graph, wrt)
    except GradientLookupError as error:
        raise CommandError(f"--wrt {options.wrt}: {one_line(error)}") from error


def _report(
    entries: list[Entry],
    pairs: list[Pair],
    package: Package,
    out: Path,
    written: list[Path],
) -> None:
    for entry in entries:
        graph = entry.graph
        count = len(graph.inputs) - len(graph.captures)
        taken = zip(graph.names[:count], graph.inputs[:count], strict=True)
        inputs = ", ".join(f"{name}: {x.type}" for name, x in taken)
        outputs = ", ".join(str(x.type) for x in graph.outputs)
        results = f"({outputs})" if len(graph.outputs) != 1 else outputs
        print(f"{entry.symbol}({inputs}) -> {results}")
    for pair in pairs:
        print(f"{pair.name} in {package.name}.py returns the value and its pullback")
    print(f"written into {out}:")
    width = max(len(path.name) for path in written)
    for path in written:
        size = len(package.files[path.name])
        print(f"  {path.name:{width}}  {size:>9,} bytes  {_MEANING[path.suffix]}")
    if package.missing:
        print(package.missing)


def _inspect(options: argparse.Namespace) -> int:
    arguments = [parse_argument(text) for text in options.arg]
    if options.program.rpartition(":")[1]:
        fun = load_function(options.program)
        wrt = _checked_wrt(options, arguments)
        graph = trace_function(fun, arguments, options.program).graph
    else:
        if arguments:
            raise CommandError(
                f"--arg {options.arg[0]!r}: {options.program} has the types of its "
                "inputs already: leave it out"
            )
        graph = _read_program(options.program)
        count = len(graph.inputs) - len(graph.captures)
        pairs = zip(graph.names[:count], graph.inputs[:count], strict=True)
        wrt = _checked_wrt(options, [Argument(name, x.type) for name, x in pairs])
    stage = STAGES[options.stage][0]
    if wrt is not None or options.stage in ("joint", "adjoint"):
        chosen = wrt if wrt is not None else _floats(graph, options)
        options.wrt = options.wrt or ",".join(graph.names[k] for k in chosen)
        _joint(graph, chosen, options)
    try:
        text = stage(Stages(graph, wrt))
    except GraphError:
        raise
    except PullbackError as error:
        raise CommandError(f"{options.program}: {one_line(error)}") from error
    print(text, end="" if text.endswith("\n") else "\n")
    return 0


def _floats(graph: Graph, options: argparse.Namespace) -> list[int]:
    count = len(graph.inputs) - len(graph.captures)
    kinds: list[TensorType] = [x.type for x in graph.inputs[:count]]
    found = [k for k, kind in enumerate(kinds) if kind.dtype.is_float]
    if not found:
        raise CommandError(
            f"--stage {options.stage}: {graph.name} has no float argument to "
            "differentiate"
        )
    return found


def _read_program(name: str) -> Graph:
    path = Path(name)
    if path.suffix == ".py":
        raise CommandError(f"{name}: a function is needed: write {name}:FUNCTION")
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise CommandError(
            f"{name}: {reason}: expected FILE.py:FUNCTION or the text of a program"
        ) from None
    try:
        graph = parse_graph(text, OPS)
        verify(graph, "reading")
    except PullbackError as error:
        raise CommandError(f"{name}: {one_line(error)}") from None
    return graph


def _checked_wrt(
    options: argparse.Namespace, arguments: Sequence[Argument]
) -> list[int] | None:
    return None if options.wrt is None else check_wrt(options.wrt, arguments)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    try:
        options = _parser().parse_args(argv)
        code: int = options.run(options)
        sys.stdout.flush()
    except CommandError as error:
        print(f"pullback: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever reads stdout has seen enough; the flush at exit must not complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return code
