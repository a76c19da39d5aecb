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
from pullback.codegen.target import host
from pullback.ir.adjoint import grad_graph
from pullback.ir.errors import OpTypeError
from pullback.ir.graph import Graph, Value
from pullback.ir.interpreter import bind_sizes
from pullback.ir.passes import pipeline
from pullback.ir.passes.dce import dce
from pullback.ir.passes.rebuild import renew, renewed
from pullback.ir.primitive import as_results
from pullback.ir.sizes import SizeExpr
from pullback.ir.text import print_graph

TESTS = Path(__file__).parents[1]
sys.path += [str(TESTS / "torture"), str(TESTS / "codegen"), str(TESTS / "ir")]

from compare import assert_close, scale_of  # noqa: E402
from native import Fault, How, assert_same_bits, guarded, native  # noqa: E402
from op_samples import resolve  # noqa: E402
from programs_at_random import random_program  # noqa: E402

Array = np.ndarray[Any, Any]

ULPS = 8.0  # of an elementary function
SUMMED = 4.0  # of a sum, relative to the sum of magnitudes, for each doubling
PASSES = pipeline.NAMES
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
    }


# --- one node against its reference ---------------------------------------------------


def check_node(node: Any, held: Mapping[Value, Array], env: Mapping[str, int]) -> None:
    """Compare a node's results with its reference on the operands' native values."""
    operands = [held[x] for x in node.operands]
    params = {k: resolve(v, env) for k, v in node.params.items()}
    op = node.primitive
    form = type(op.form).__name__
    got = [held[x] for x in node.results]
    with np.errstate(all="ignore"):
        if form in ("Contract", "Reduce", "Scatter") and not op.exact:
            wanted = as_results(op.evaluate(*operands, **params))
            sizes = [np.abs(a) if a.dtype.kind == "f" else a for a in operands]
            bound = as_results(op.evaluate(*sizes, **params))
            for x, y, room in zip(got, wanted, bound, strict=True):
                if x.dtype.kind != "f" or op.name in ("max", "min"):
                    assert_close([x], [y], op.name)
                    continue
                big = np.asarray(room, np.float64)
                finite = np.isfinite(big) & np.isfinite(y)
                count = max((a.size for a in operands), default=1)
                slack = SUMMED * (2 + np.log2(max(count, 1))) * np.finfo(x.dtype).eps
                away = np.abs(x.astype(np.float64) - y)
                good = ~finite | (away <= slack * big) | (x == y)
                assert good.all(), f"{op.name}: {x[~good][:3]}, {y[~good][:3]} expected"
            return
        if op.name == "fma":
            x, y, _ = operands
            wanted = as_results(op.evaluate(*operands))
            info = np.finfo(x.dtype)
            term = np.abs(x.astype(np.float64) * y) * 2.0**-60
            away = np.abs(got[0].astype(np.float64) - wanted[0])
            room = float(info.eps) * np.abs(wanted[0]) + term + info.smallest_subnormal
            same = (got[0] == wanted[0]) | (away <= room)
            same |= np.isnan(got[0]) & np.isnan(wanted[0])
            same |= ~np.isfinite(x * y) | ~np.isfinite(wanted[0])
            assert same.all(), (op.name, got[0][~same][:3], wanted[0][~same][:3])
            return
        wide = operands
        if not op.exact and form == "Map":
            single = [a.dtype == np.float32 for a in operands]
            if any(single):
                wide = [a.astype(np.float64) for a in operands]
        wanted = as_results(op.evaluate(*wide, **params))
        if wide is not operands:
            wanted = tuple(
                np.asarray(w).astype(g.dtype) for w, g in zip(wanted, got, strict=True)
            )
    scale = scale_of(op, operands)
    assert_close(got, wanted, op.name, 0.0 if op.exact else ULPS, scale)


def instrumented(graph: Graph) -> tuple[Graph, list[Value]]:
    """The program with every value as an output, and those values."""
    values = [x for node in graph.nodes for x in node.results]
    full = graph.replace(graph.nodes, [*values, *graph.outputs])
    full.output_names = [f"out{k}" for k in range(len(full.outputs))]
    return full, values


# --- one program ----------------------------------------------------------------------


class Failure(Exception):
    """A program whose native code is wrong: in which way, and where."""

    def __init__(self, way: str, output: int, what: str) -> None:
        super().__init__(f"{way}: {what}")
        self.way, self.output = way, output


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
    held = dict(zip(graph.inputs, [*arrays, *graph.captures], strict=True))
    held.update(zip(values, made, strict=False))
    env = bind_sizes(graph, [held[x].shape for x in graph.inputs], {})
    for node in graph.nodes:
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
    floats = [held[x].ravel() for x in graph.outputs if x.type.dtype.is_float]
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


def one(seed: int, counts: Counter[str], chosen: Sequence[str] = ()) -> None:
    """Make, differentiate and check one program.

    Raises:
        Failure: with the program, cut down, as a note.
    """
    rng = random.Random(seed)
    made = random_program(rng)
    order = rng.choice((0, 1, 1, 2) if len(made.graph.nodes) < 16 else (0, 1, 1))
    graph = made.graph
    floats = made.wrt
    try:
        for _ in range(order):
            if floats:
                graph = grad_graph(graph, floats)
    except OpTypeError as error:
        counts[f"skipped: {str(error).splitlines()[0][:60]}"] += 1
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
    counts["programs"] += 1
    counts.update(f"compiled {name}" for name in names)
    counts[f"order {order}"] += 1
    counts["nodes"] += len(graph.nodes)
    counts["mostly finite"] += part > 0.5
    for node in graph.nodes:
        counts[f"form {type(node.primitive.form).__name__}"] += 1


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
