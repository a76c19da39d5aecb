"""Compile ahead of time: graphs to object, libraries, header and loader in a folder.

A program and, where wanted, its value with gradients go into one module, so kernels
they share are emitted once. Captured arrays become read-only data of the object;
nothing is loaded into this process.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..codegen.lower import lower
from ..codegen.printing import text_specs
from ..codegen.signature import ArraySpec, Signature
from ..codegen.target import Target, host
from ..ir.graph import Graph
from ..ir.passes import pipeline
from ..ir.pause import collector_paused
from ..ir.sizes import SizeExpr
from ..ir.types import TensorType
from .package import Pair, Tree, missing_files, package_files
from .package.publish import publish_files
from .program import checked_object
from .threads import PARTS_ABOVE

SUFFIX = "_value_and_grad"


@dataclass(frozen=True, slots=True)
class Entry:
    """One function of a package.

    Fields:
        symbol: the function is `pb_SYMBOL` in C and SYMBOL in the loader.
        graph: the program, passes run on it or not.
        doc: what the header and the loader say of it.
        results: how results nest; None for a flat tuple, or the array where it is one.
        notes: what arrays hold, by name, where names do not say it.
        arguments: how arguments nest, by parameter; None for one an input.
    """

    symbol: str
    graph: Graph
    doc: str
    results: Tree = None
    notes: Mapping[str, str] = field(default_factory=dict)
    arguments: Mapping[str, Tree] | None = None


@dataclass(frozen=True, slots=True)
class Package:
    """The files of a compiled program, not yet written.

    `missing` says which files the target has none of, and why; it is empty for none.
    """

    name: str
    files: dict[str, bytes]
    missing: str

    def write(self, out_dir: str | os.PathLike[str]) -> list[Path]:
        """Write the files into a folder, all of them or none; return their paths.

        Raises:
            OSError: a file could not be written; the folder is as it was.
        """
        return publish_files(out_dir, self.files)


def signature_of(entry: Entry) -> Signature:
    """Return the C signature of an entry; captured arrays are no part of it."""
    graph = entry.graph
    count = len(graph.inputs) - len(graph.captures)
    inputs = zip(graph.names[:count], graph.inputs[:count], strict=True)
    outputs = zip(graph.output_names, graph.outputs, strict=True)
    return Signature(
        entry.symbol,
        tuple(_spec(name, x.type, entry.notes) for name, x in inputs),
        tuple(_spec(name, x.type, entry.notes) for name, x in outputs),
        tuple(graph.sizes),
        entry.doc,
    )


def _spec(name: str, kind: TensorType, notes: Mapping[str, str]) -> ArraySpec:
    dims = tuple(str(d) if isinstance(d, SizeExpr) else d for d in kind.shape)
    return ArraySpec(name, kind.dtype.name, dims, notes.get(name, ""))


def build_package(
    name: str,
    entries: list[Entry],
    target: Target | None = None,
    pairs: Sequence[Pair] = (),
) -> Package:
    """Compile entries into one object and return the files around it.

    Args:
        name: the program: an ASCII identifier, of which the files are named.
        entries: its functions.
        target: the machine; this one where it is not given.
        pairs: which entries are the halves of a pullback, see `pair_entries`.

    Raises:
        PackageError: a name or a tree cannot be packaged.
        TargetError: the target lacks an instruction the program needs.
    """
    target = target or host()
    signatures = [signature_of(entry) for entry in entries]
    nodes = sum(len(entry.graph.nodes) for entry in entries)
    with collector_paused(nodes):
        ready = [(pipeline.run(e.graph), e.symbol) for e in entries]
        text, lowered = lower(ready, target, embed=True, above=PARTS_ABOVE)
        made = checked_object(text, target)
    files = package_files(
        name,
        made,
        text,
        signatures,
        [entry.results for entry in entries],
        target.triple,
        [f for f in target.features.split(",") if f],
        [entry.arguments for entry in entries],
        pairs,
        text_specs(lowered[0].prints) if lowered else (),
    )
    return Package(name, files, missing_files(name, made))


def compile_ahead(
    forward: Graph,
    joint: Graph | None,
    symbol: str,
    out_dir: str | os.PathLike[str],
    target: Target | None = None,
    results: Tree = None,
    gradients: Tree = None,
) -> list[Path]:
    """Compile a program, and its value with gradients, into a folder.

    Args:
        forward: the program; its sizes may be named.
        joint: as `grad_graph` makes it of the program, or None.
        symbol: the name of the program; gradients are SYMBOL_value_and_grad.
        out_dir: the folder, made if it does not exist. Other files in it stay.
        target: the machine; this one where it is not given.
        results: how the results of the program nest.
        gradients: how value and gradients nest.

    Returns:
        The paths of the files: all are written, or none.

    Raises:
        PackageError: a name or a tree cannot be packaged.
        TargetError: the target lacks an instruction the program needs.
        OSError: a file could not be written.
    """
    entries = [Entry(symbol, forward, forward.name, results)]
    if joint is not None:
        doc = f"{joint.name}, then its gradients"
        entries.append(Entry(f"{symbol}{SUFFIX}", joint, doc, gradients))
    return build_package(symbol, entries, target).write(out_dir)
