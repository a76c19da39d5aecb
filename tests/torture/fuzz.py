"""Random programs: native code against the reference, and against itself.

    python tests/torture/fuzz.py [--seconds S] [--seed K] [--count N]

Every value of a program is made an output once, so that each node is checked alone:
its reference is applied to what the native code gave its operands. No error adds up, no
branch flips. Then the program proper is compiled in many ways and has to give the very
bits of that first run. What fails is cut down and printed as text IR.
"""

import argparse
import random
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pullback.codegen.target import QUICK, host
from pullback.ir.adjoint import grad_graph
from pullback.ir.errors import OpTypeError
from pullback.ir.graph import Graph, Value
from pullback.ir.interpreter import bind_sizes
from pullback.ir.ops import OPS
from pullback.ir.passes import pipeline
from pullback.ir.passes.dce import dce
from pullback.ir.passes.rebuild import renew, renewed
from pullback.ir.primitive import as_results
from pullback.ir.sizes import SizeExpr
from pullback.ir.text import print_graph

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / "torture"), str(TESTS / "codegen"), str(TESTS / "ir")]

from native import Fault, How, assert_same_bits, guarded, native  # noqa: E402
from node_checks import check_node  # noqa: E402
from op_samples import resolve  # noqa: E402
from programs_at_random import WIDE, Made, Style, random_program  # noqa: E402

Array = np.ndarray[Any, Any]

PASSES = pipeline.NAMES
IOTA = OPS["iota"]
BASE = How(fuse=False, disable=PASSES)


def ways() -> dict[str, How]:
    """The ways a program is compiled, each to the same bits."""
    real = host()
    return {
        "fused": How(),
        "unfused": How(fuse=False),
        "fused, no pass": How(disable=PASSES),
        "128 bits": How(target=replace(real, vector_bits=128, has_masks=False)),
        "256 bits with masks": How(target=replace(real, vector_bits=256)),
        "512 bits without masks": How(target=replace(real, has_masks=False)),
        "O0": How(level=0),
        "quick": How(level=QUICK),
    }


def instrumented(graph: Graph, literals: bool = True) -> tuple[Graph, list[Value]]:
    """The program with every value as an output, and those values.

    Constants may be left out: whoever uses one is checked with it.
    """
    nodes = [n for n in graph.nodes if literals or n.operands or n.primitive is IOTA]
    values = [x for node in nodes for x in node.results]
    full = graph.replace(graph.nodes, [*values, *graph.outputs])
    full.output_names = [f"out{k}" for k in range(len(full.outputs))]
    return full, values


# --- one program ----------------------------------------------------------------------


class Failure(Exception):
    """A program whose native code is wrong: in which way, and where."""

    def __init__(self, way: str, output: int, what: str) -> None:
        super().__init__(f"{way}: {what}")
        self.way, self.output = way, output
        self.seed = -1


def base_run(graph: Graph, arrays: Sequence[Array]) -> dict[Value, Array]:
    """Return every value of a program after checking each node.

    Raises:
        Failure: a node is wrong.
    """
    full, values = instrumented(graph)
    try:
        made = native(full, BASE).guarded(arrays)
    except (Fault, AssertionError) as error:
        raise Failure("base", -1, str(error)) from None
    return check_nodes(graph, arrays, values, made)


def check_nodes(
    graph: Graph,
    arrays: Sequence[Array],
    values: Sequence[Value],
    made: Sequence[Array],
) -> dict[Value, Array]:
    """Return every value of a program after checking each node.

    `values` are those of `instrumented`, `made` what the native code gave for them.

    Raises:
        Failure: a node is wrong.
    """
    held = dict(zip(graph.inputs, [*arrays, *graph.captures], strict=True))
    held.update(zip(values, made, strict=False))
    env = bind_sizes(graph, [held[x].shape for x in graph.inputs], {})
    with np.errstate(all="ignore"):
        for node in graph.nodes:
            if node.results[0] not in held:
                params = {k: resolve(v, env) for k, v in node.params.items()}
                made = as_results(node.primitive.evaluate(**params))
                held.update(zip(node.results, made, strict=True))
                continue
            try:
                check_node(node, held, env)
            except AssertionError as error:
                raise Failure("node", -1, str(error)) from None
    return held


def run_way(
    graph: Graph, arrays: Sequence[Array], held: Mapping[Value, Array], name: str
) -> None:
    """Compile a program one way and compare with the first run.

    Raises:
        Failure: bits differ, or memory outside was touched.
    """
    try:
        (got,) = guarded([(native(graph, ways()[name]), arrays)])
    except (Fault, AssertionError) as error:
        raise Failure(name, -1, str(error)) from None
    for k, (x, value) in enumerate(zip(got, graph.outputs, strict=True)):
        try:
            assert_same_bits([x], [held[value]], f"output {k}")
        except AssertionError as error:
            raise Failure(name, k, str(error)) from None


def check_program(
    graph: Graph, arrays: Sequence[Array], chosen: Sequence[str]
) -> float:
    """Check a program; returns which part of its float results is finite."""
    held = base_run(graph, arrays)
    for name in chosen:
        run_way(graph, arrays, held, name)
    return finite_part([held[x] for x in graph.outputs])


def finite_part(results: Sequence[Array]) -> float:
    """Return which part of the floats is finite."""
    floats = [x.ravel() for x in results if x.dtype.kind == "f"]
    total = np.concatenate([f.astype(np.float64) for f in floats] or [np.zeros(1)])
    return float(np.mean(np.isfinite(total))) if total.size else 1.0


# --- cutting down ---------------------------------------------------------------------


def _fails(graph: Graph, arrays: Sequence[Array], way: str) -> bool:
    try:
        held = base_run(graph, arrays)
        if way not in ("base", "node"):
            run_way(graph, arrays, held, way)
    except Failure:
        return True
    except Exception:  # a program that cannot be compiled is not the one sought
        return False
    return False


def _promoted(
    graph: Graph, arrays: Sequence[Array], value: Value, array: Array
) -> tuple[Graph, list[Array]] | None:
    """Return the program with a value as an input, if its shape can be one."""
    if any(
        isinstance(d, SizeExpr) and not str(d).isidentifier() for d in value.type.shape
    ):
        return None
    fresh = Value(value.type, None, len(graph.inputs))
    replaced = {value: fresh}
    nodes = [renew(n, replaced) for n in graph.nodes if n is not value.node]
    cut = dce(graph.replace(nodes, renewed(graph.outputs, replaced)))
    inputs = [*graph.inputs, fresh]
    names = [*graph.names, f"v{len(inputs)}"]
    cut = replace(cut, inputs=inputs, names=names)
    return cut, [*arrays, array]


def _without_unused(graph: Graph, arrays: Sequence[Array]) -> tuple[Graph, list[Array]]:
    used = {x for n in graph.nodes for x in n.operands} | set(graph.outputs)
    named = {str(d) for x in graph.inputs for d in x.type.shape}
    kept: list[int] = []
    for k, x in enumerate(graph.inputs):
        if x in used or any(str(d) in named & set(graph.sizes) for d in x.type.shape):
            kept.append(k)
    replaced: dict[Value, Value] = {}
    inputs = []
    for k in kept:
        x = graph.inputs[k]
        replaced[x] = Value(x.type, None, len(inputs))
        inputs.append(replaced[x])
    nodes = [renew(n, replaced) for n in graph.nodes]
    out = graph.replace(nodes, renewed(graph.outputs, replaced))
    out = replace(out, inputs=inputs, names=[graph.names[k] for k in kept])
    return out, [arrays[k] for k in kept]


def shrink(
    graph: Graph, arrays: list[Array], way: str, seconds: float = 60.0
) -> tuple[Graph, list[Array]]:
    """Return a smaller program that fails the same way."""
    until = time.monotonic() + seconds
    for k in range(len(graph.outputs)):
        one = dce(replace(graph, outputs=[graph.outputs[k]], output_names=["out"]))
        if _fails(one, arrays, way):
            graph = one
            break
    changed = True
    while changed and time.monotonic() < until:
        changed = False
        full, values = instrumented(graph)
        try:
            held = dict(zip(values, native(full, BASE)(arrays), strict=False))
        except Exception:
            break
        for value in reversed(values):
            if value in graph.outputs or time.monotonic() > until:
                continue
            made = _promoted(graph, arrays, value, held[value])
            if made is not None and _fails(*made, way):
                graph, arrays = made
                changed = True
                break
        for op_output in [x for n in graph.nodes for x in n.operands if x.node]:
            if time.monotonic() > until:
                break
            one = dce(replace(graph, outputs=[op_output], output_names=["out"]))
            if len(one.nodes) < len(graph.nodes) and _fails(one, arrays, way):
                graph = one
                changed = True
                break
    smaller = _without_unused(graph, arrays)
    return smaller if _fails(*smaller, way) else (graph, arrays)


# --- many programs --------------------------------------------------------------------


ORDERS = (0, 1, 1, 2)  # how often a program is differentiated; the last if it is small


def differentiated(made: Made, order: int) -> Graph:
    """Return a program, its gradient, or the gradient of that."""
    graph = made.graph
    for _ in range(order if made.wrt else 0):
        graph = grad_graph(graph, made.wrt)
    return graph


def count_program(
    counts: Counter[str], made: Made, graph: Graph, order: int, part: float
) -> None:
    """Count what a program that was checked is made of."""
    counts["programs"] += 1
    counts[f"order {order if made.wrt else 0}"] += 1
    counts["nodes"] += len(graph.nodes)
    size = len(made.graph.nodes)
    top = next((k for k in (12, 20, 40, 60) if size <= k), None)
    counts[f"of up to {top} nodes" if top else "of more than 60 nodes"] += 1
    counts["mostly finite"] += part > 0.5
    counts.update(f"form {type(n.primitive.form).__name__}" for n in graph.nodes)
    counts.update(f"dtype {x.type.dtype.name}" for n in graph.nodes for x in n.results)


def one(
    seed: int,
    counts: Counter[str],
    chosen: Sequence[str] = (),
    style: Style = WIDE,
    orders: Sequence[int] = ORDERS,
) -> None:
    """Make, differentiate and check one program.

    Raises:
        Failure: with the program, cut down, as a note.
    """
    rng = random.Random(seed)
    made = random_program(rng, style)
    order = rng.choice(orders if len(made.graph.nodes) < 16 else orders[:-1])
    try:
        graph = differentiated(made, order)
    except OpTypeError as error:
        counts[f"no program: {str(error).splitlines()[0][:60]}"] += 1
        return
    arrays = made.arrays(rng)
    names = list(chosen or ["fused", rng.choice(list(ways())[1:])])
    try:
        part = check_program(graph, arrays, names)
    except Failure as failure:
        small, few = shrink(graph, arrays, failure.way)
        failure.add_note(f"seed {seed}, order {order}, {failure.way}")
        failure.add_note(print_graph(small))
        failure.add_note(
            "\n".join(f"{a.dtype}{list(a.shape)} {a!r}" for a in few)[:4000]
        )
        raise
    counts.update(f"compiled {name}" for name in names)
    count_program(counts, made, graph, order, part)


def main() -> None:
    """Run random programs until the time is up; exit status 1 if one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1 << 30)
    parser.add_argument("--failures", type=int, default=5)
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    until = time.monotonic() + args.seconds
    seed, failures = args.seed, 0
    while time.monotonic() < until and seed < args.seed + args.count:
        try:
            one(seed, counts)
        except Failure as failure:
            failures += 1
            print(f"FAILED {failure}", *failure.__notes__, sep="\n", flush=True)
            if failures >= args.failures:
                break
        seed += 1
    print(f"seeds {args.seed} to {seed - 1}, {failures} failures")
    for key, count in sorted(counts.items()):
        print(f"  {count:8} {key}")
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
