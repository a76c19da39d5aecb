"""A slice of the random programs; `tests/torture` runs them by the hundred thousand."""

import ctypes
import random
import sys
from collections import Counter
from pathlib import Path

import pytest
from pullback.codegen.scalar import ScalarEmitter
from pullback.ir.forms import Control, Print
from pullback.ir.ops import OPS, new_builder

sys.path.append(str(Path(__file__).parents[1] / "torture"))

import bulk
from fuzz import Failure, differentiated, one
from programs_at_random import SMALL, random_program

SEEDS = range(1, 13)
SLICE = range(300)  # of small programs
LONG_SLICE = range(1000, 7000)


@pytest.mark.parametrize("seed", SEEDS)
def test_random_program(seed: int) -> None:
    one(seed, Counter())


def test_a_wrong_kernel_is_caught_and_cut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plant a wrong instruction: a square is a sum."""
    monkeypatch.setattr(ScalarEmitter, "square", lambda s, x: s.add(x, x))

    def many() -> None:
        for seed in range(40):
            one(seed, Counter(), ["fused"])

    with pytest.raises(Failure, match=r"square|integer_pow") as caught:
        many()
    text = caught.value.__notes__[1]
    assert text.count(" = ") == 1
    assert len(text.splitlines()) < 10, text


# --- in bulk --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seeds", [SLICE, pytest.param(LONG_SLICE, marks=pytest.mark.slow)]
)
def test_programs_in_bulk(seeds: range) -> None:
    counts, failed = bulk.run(seeds, 2)
    assert not failed, "\n".join(f"{seed}: {what}" for seed, what in failed.items())
    made = counts["programs"] + sum(counts[k] for k in counts if "no program" in k)
    assert made == len(seeds)
    assert counts["mostly finite"] > 0.95 * len(seeds)


def test_every_op_is_reached_by_random_programs() -> None:
    reached: set[str] = set()
    for seed in range(3000):
        made = random_program(random.Random(seed), SMALL)
        reached.update(n.primitive.name for n in made.graph.nodes)
        if seed < 100:
            graph = differentiated(made, 1)
            reached.update(n.primitive.name for n in graph.nodes)
    # those with regions are in torture/loops.py; what prints gives nothing
    regions = {name for name, op in OPS.items() if isinstance(op.form, Control | Print)}
    assert set(OPS) - reached == regions


def test_small_programs_have_5_to_60_nodes() -> None:
    sizes = [
        len(random_program(random.Random(s), SMALL).graph.nodes) for s in range(1000)
    ]
    assert min(sizes) >= 5
    assert max(sizes) <= 60
    assert sum(n <= 20 for n in sizes) > 850


def test_a_wrong_kernel_is_caught_in_bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ScalarEmitter, "square", lambda s, x: s.add(x, x))
    _, failed = bulk.run(range(48), 2)
    assert failed
    assert any("square" in what or "integer_pow" in what for what in failed.values())


def test_a_fused_kernel_that_differs_is_caught_in_bulk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Plant a pass that changes the sign of the first output."""
    run = bulk.pipeline.run

    def wrong(graph: bulk.Graph, *disable: frozenset[str]) -> bulk.Graph:
        made = run(graph, *disable)
        first, *_ = made.outputs
        if not disable and first.type.dtype.is_float:
            b = new_builder()
            made.outputs[0] = b.neg(first)
            made.nodes.append(b.nodes[-1])
        return made

    monkeypatch.setattr(bulk.pipeline, "run", wrong)
    failures = bulk.Bulk().check(range(24), Counter())
    assert failures
    assert {failure.way for failure in failures} == {"fused"}


def test_a_call_that_dies_is_the_failure_of_its_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = bulk.Call.run

    def dying(call: bulk.Call) -> None:
        if call.code.lowered.symbol == "s6_fused":
            ctypes.string_at(8)
        run(call)

    monkeypatch.setattr(bulk.Call, "run", dying)
    counts, failed = bulk.run(range(10), 1)
    assert failed == {6: "the process died of SIGSEGV"}
    assert counts["programs"] == 9


def test_a_call_that_does_not_end_is_the_failure_of_its_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = bulk.Call.run

    def endless(call: bulk.Call) -> None:
        while call.code.lowered.symbol == "s3_nodes":
            pass
        run(call)

    monkeypatch.setattr(bulk.Call, "run", endless)
    monkeypatch.setattr(bulk, "PATIENCE", 6.0)
    _, failed = bulk.run(range(5), 1)
    assert failed == {3: "it does not end"}


def test_what_does_not_compile_is_the_failure_of_its_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = bulk.pipeline.run

    def refusing(graph: bulk.Graph, *disable: frozenset[str]) -> bulk.Graph:
        if any(n.primitive.name == "cholesky" for n in graph.nodes):
            raise RuntimeError("planted")
        return run(graph, *disable)

    seeds = range(48)
    wanted = set()
    for task in bulk.tasks(seeds, Counter()):
        if any(n.primitive.name == "cholesky" for n in task.graph.nodes):
            wanted.add(task.seed)
    monkeypatch.setattr(bulk.pipeline, "run", refusing)
    _, failed = bulk.run(seeds, 1)
    assert wanted
    assert failed == dict.fromkeys(wanted, "RuntimeError: planted")


def test_a_store_beside_a_pooled_piece_is_noticed() -> None:
    pool = bulk.Pool()
    for side in bulk.SIDES:
        piece = pool.region(40, side, 8)
        piece.data[:] = 1
        assert piece.intact()
        piece.whole[40 if side == "begin" else piece.start - 1] = 1
        assert not piece.intact()
        held = pool.region(8, side, 8)
        held.data[:] = 2
        held.read_only()
        assert held.intact()
        held.data[3] = 1
        assert not held.intact()
