"""The texts that `pullback inspect` prints: one for each stage of compilation.

The program of a stage is the joint graph where gradients are asked for, else the
forward graph.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from .codegen.lower import Lowered, lower
from .codegen.show import show_schedule
from .codegen.target import emit_assembly, host, optimize
from .ir.adjoint import grad_graph
from .ir.custom import erase
from .ir.graph import Graph
from .ir.passes import pipeline
from .ir.passes.partition import partition
from .ir.text import pretty, print_graph
from .ir.verify import verify


@dataclass
class Stages:
    """The stages of one program.

    Args:
        forward: the program.
        wrt: numbers of the inputs that gradients are asked for, or None.
    """

    forward: Graph
    wrt: Sequence[int] | None

    @cached_property
    def joint(self) -> Graph:
        """Value and gradients in one graph; of all float inputs where none is named."""
        wrt = self.wrt
        if wrt is None:
            count = len(self.forward.inputs) - len(self.forward.captures)
            floats = enumerate(self.forward.inputs[:count])
            wrt = [k for k, x in floats if x.type.dtype.is_float]
        return grad_graph(self.forward, wrt)

    @cached_property
    def program(self) -> Graph:
        """What is compiled."""
        return self.forward if self.wrt is None else self.joint

    @cached_property
    def ready(self) -> Graph:
        """The program after all passes."""
        return pipeline.run(self.program)

    @cached_property
    def lowered(self) -> tuple[str, Lowered]:
        """The program as LLVM IR, and its schedule."""
        text, (made,) = lower([(self.ready, "program")], host(), embed=True)
        return text, made


def _text(stages: Stages) -> str:
    return print_graph(erase(stages.forward))


def _graph(stages: Stages) -> str:
    return pretty(erase(stages.forward))


def _joint(stages: Stages) -> str:
    return pretty(erase(stages.joint))


def _adjoint(stages: Stages) -> str:
    halves = partition(pipeline.run(stages.joint), len(stages.forward.outputs))
    kept = ", ".join(str(x.type) for x in halves.residuals) or "nothing"
    return f"# kept from the forward graph: {kept}\n{pretty(halves.adjoint)}"


def _passes(stages: Stages) -> str:
    graph = erase(stages.program)
    lines = [f"# traced: {len(graph.nodes)} nodes"]
    for name in pipeline.PASSES:
        graph = pipeline.step(graph, name)
        verify(graph, name)
        lines.append(f"# {name}: {len(graph.nodes)} nodes")
    return "\n".join([*lines, pretty(graph)])


def _llvm(stages: Stages) -> str:
    return stages.lowered[0]


def _optimized(stages: Stages) -> str:
    return str(optimize(stages.lowered[0], host()))


def _asm(stages: Stages) -> str:
    return emit_assembly(stages.lowered[0], host())


# -- the schedule ----------------------------------------------------------------------


def _schedule(stages: Stages) -> str:
    made = stages.lowered[1]
    graph = made.graph
    legend = [
        f"# input{k} is {name}: {x.type}"
        for k, (name, x) in enumerate(zip(graph.names, graph.inputs, strict=True))
    ]
    legend += [
        f"# output{k} is {name}: {x.type}"
        for k, (name, x) in enumerate(
            zip(graph.output_names, graph.outputs, strict=True)
        )
    ]
    return "\n".join(legend) + "\n\n" + show_schedule(made)


STAGES: dict[str, tuple[Callable[[Stages], str], str]] = {
    "text": (_text, "the program's text, which this command reads too"),
    "graph": (_graph, "the traced graph"),
    "joint": (_joint, "the graph followed by its adjoint, before any pass"),
    "adjoint": (_adjoint, "the pruned adjoint, and what it keeps"),
    "passes": (_passes, "the program after all passes, and what each left"),
    "schedule": (_schedule, "kernels and workspace"),
    "llvm": (_llvm, "LLVM IR as emitted"),
    "optimized": (_optimized, "LLVM IR after LLVM's passes"),
    "asm": (_asm, "assembler text for this machine"),
}
