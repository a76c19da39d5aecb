"""What was compiled for a call, why, and what it costs: for reading, and for tests.

The program is asked for its kernels; what the adjoint keeps follows from the graph it
was compiled from.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ..ir.graph import Value
from ..ir.passes import pipeline
from ..ir.passes.partition import Decision, Fate, partition
from ..ir.report import Kernel, ProgramReport, times_text
from ..ir.sizes import SizeExpr
from .signature import Kind

if TYPE_CHECKING:
    from .function import Compiled

_SHOWN = 40  # lines of one list


@dataclass(frozen=True, slots=True)
class Explanation:
    """One compiled signature of a function; its text is for people.

    Fields:
        name: the function.
        inputs: path and type of each argument, sizes named where one program serves
            all of them.
        statics: path and value of each argument that is not an array.
        outputs: types of the results.
        why: why this signature was compiled.
        signatures: why each signature of the function was compiled, in order.
        entry: how calls reach native code.
        traced: operations before the passes.
        program: kernels, launches, memory and times.
        seconds: what each stage took, tracing included.
        decisions: the fate of every forward value of a gradient; also of a function
            that `vjp` was taken of.
        paths: the paths of a function that is split at its branches, this one first.
        residual_bytes: the size of the values that the adjoint reads.
    """

    name: str
    inputs: tuple[tuple[str, str], ...]
    statics: tuple[tuple[str, str], ...]
    outputs: tuple[str, ...]
    why: str
    signatures: tuple[str, ...]
    entry: str
    traced: int
    program: ProgramReport
    seconds: dict[str, float]
    decisions: tuple[Decision, ...]
    residual_bytes: "int | SizeExpr"
    paths: tuple[str, ...] = ()

    def of_fate(self, fate: Fate) -> list[Decision]:
        """Return the forward values that were kept, recomputed or pruned."""
        return [d for d in self.decisions if d.fate is fate]

    def __str__(self) -> str:
        program = self.program
        lines = [self.name]
        lines += [f"  {path}: {kind}" for path, kind in self.inputs]
        lines += [f"  {path} = {value}  (static)" for path, value in self.statics]
        lines.append(f"  returns {', '.join(self.outputs) or 'nothing'}")
        lines.append(f"compiled because: {self.why}")
        if len(self.signatures) > 1:
            lines.append(f"signatures compiled so far: {len(self.signatures)}")
            lines += [f"  {why}" for why in self.signatures[:_SHOWN]]
            lines += _more(len(self.signatures))
        if self.paths:
            lines.append(f"paths so far: {len(self.paths)}, this one first")
            lines += [f"  {path}" for path in self.paths[:_SHOWN]]
            lines += _more(len(self.paths))
        lines.append(f"called by: {self.entry}")
        lines.append(
            f"program: {self.traced} operations traced, {program.operations} after "
            f"all passes; {len(program.kernels)} kernels, {program.launches} launches, "
            f"workspace {program.workspace} bytes"
        )
        if any(k.split for k in _all_kernels(program.kernels)):
            lines.append(f"threads: {program.threads}")
        lines += [_kernel(k) for k in program.kernels[:_SHOWN]]
        lines += _more(len(program.kernels))
        lines += self._fates()
        lines.append(f"compiled in {times_text(self.seconds)}")
        return "\n".join(lines)

    def _fates(self) -> list[str]:
        if not self.decisions:
            return []
        lines = [f"the adjoint reads {self.residual_bytes} bytes of forward values:"]
        for fate in (Fate.KEPT, Fate.RECOMPUTED):
            alike: dict[Any, list[Decision]] = {}  # a loop makes one value many times
            for d in self.of_fate(fate):
                alike.setdefault((d.op, d.type, _place(d)), []).append(d)
            found = [_decision(g, self._is_nowhere(g[0])) for g in alike.values()]
            lines += [f"  {text}" for text in found[:_SHOWN]]
            lines += _more(len(found))
        pruned = Counter(d.op for d in self.of_fate(Fate.PRUNED))
        ops = ", ".join(f"{n} {op}" for op, n in pruned.most_common())
        lines.append(f"  pruned: {pruned.total()} forward values{ops and f' ({ops})'}")
        return lines

    def _is_nowhere(self, kept: Decision) -> bool:
        """Return whether a kept value is larger than anything that lies in memory.

        Kernels make it where they read it then, all at once or slice by slice.
        """
        largest, size = self.program.largest, kept.bytes
        if kept.fate is not Fate.KEPT or largest is None or isinstance(size, SizeExpr):
            return False
        return size > largest and str(kept.type) not in self.outputs


def _all_kernels(kernels: Sequence[Kernel]) -> list[Kernel]:
    """Return kernels and those within them."""
    return [x for k in kernels for x in (k, *_all_kernels(k.inner))]


def _more(count: int) -> list[str]:
    return [f"  and {count - _SHOWN} more"] if count > _SHOWN else []


def _kernel(kernel: Kernel, indent: str = "  ") -> str:
    where = ""
    if kernel.lines:
        more = len(kernel.lines) - 1
        rest = f", and {more} more line{'s' if more > 1 else ''}" if more else ""
        where = f"  {kernel.lines[0]}{rest}"
    inner = [_kernel(k, f"{indent}  ") for k in kernel.inner]
    split = f", split {kernel.split}" if kernel.split else ""
    own = f"{indent}{kernel.launches} x {kernel.text}{split}{where}"
    return "\n".join([own, *inner])


def _place(d: Decision) -> str:
    return str(d.loc) if d.loc is not None else ""


def _decision(group: "list[Decision]", nowhere: bool) -> str:
    """Return the text of values of one op, type and line."""
    d = group[0]
    where = f"  {d.loc}" if d.loc is not None else ""
    source = d.loc.source() if d.loc is not None else ""
    shown = f"  {source}" if source else ""
    times = f"{len(group)} x " if len(group) > 1 else ""
    total = d.bytes * len(group)
    size = f"{total} bytes{', never whole in memory' * nowhere}"
    return f"{d.fate.value} {times}{d.op} {d.type}, {size}{where}{shown}"


def explain(
    made: "Compiled",
    name: str,
    where: Sequence[str],
    kinds: Sequence[Kind],
    signatures: tuple[str, ...],
    paths: tuple[str, ...] = (),
) -> Explanation:
    """Explain one compiled signature.

    Args:
        made: the signature, compiled.
        name: the function.
        where: the paths of the leaves of its arguments.
        kinds: what the leaves are.
        signatures: why each signature was compiled.
        paths: the paths of a function that is split at its branches.
    """
    graph, program = made.graph, made.program
    assert program is not None, "compiled"
    report = program.report()
    if not made.primals:  # what a pullback keeps lies in memory of its own
        report = replace(report, largest=None)
    inputs = tuple(
        (graph.names[k], str(graph.inputs[k].type)) for k in range(len(made.arrays))
    )
    taken = set(made.arrays)
    statics = tuple(
        (path, repr(kind))
        for k, (path, kind) in enumerate(zip(where, kinds, strict=True))
        if k not in taken
    )
    results = _results(made)
    decisions, size = _kept(made)
    entry = report.call_path
    if made.entry is None:
        entry = f"Python, then {entry}: {_why_not_direct(made)}"
    return Explanation(
        name=name,
        inputs=inputs,
        statics=statics,
        outputs=tuple(str(x.type) for x in results),
        why=made.why,
        signatures=signatures,
        entry=entry,
        traced=len(graph.nodes),
        program=report,
        seconds={"trace": made.seconds, **report.seconds},
        decisions=decisions,
        residual_bytes=size,
        paths=paths,
    )


def _results(made: "Compiled") -> Sequence[Value]:
    """Return the outputs that are the function's, not of its checks and decisions."""
    outputs = made.graph.outputs
    return outputs[: len(outputs) - len(made.checks) - len(made.decisions)]


def _why_not_direct(made: "Compiled") -> str:
    if made.decisions:
        return "decisions are checked"
    if made.checks:
        return "check_numerics is called inside"
    if not made.arrays:
        return "no argument is an array"
    return "arguments or results are nested, named or static, or numbers are checked"


def _kept(made: "Compiled") -> "tuple[tuple[Decision, ...], int | SizeExpr]":
    """Return the fate of the forward values of a gradient or of a pullback."""
    if not made.primals:
        if "vjp" not in made.made:
            return (), 0
        halves = made.made["vjp"].pair.partition
        return tuple(halves.decisions()), halves.bytes
    graph = made.graph
    primals = list(dict.fromkeys(made.primals))
    rest = [x for x in _results(made) if x not in primals]
    joint = graph.replace(graph.nodes, [*primals, *rest])
    joint.output_names = [f"out{k}" for k in range(len(joint.outputs))]
    halves = partition(pipeline.run(joint), len(primals))
    return tuple(halves.decisions()), halves.bytes
