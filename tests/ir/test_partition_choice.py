"""The choice of residuals as a problem of numbers, against trying everything."""

import random

import pytest
from partition_programs import cost_of
from pullback.ir.passes import partition_pieces
from pullback.ir.passes.linear_rule import linear_rule
from pullback.ir.passes.mincut import minimum_cut
from pullback.ir.passes.partition_choose import choose
from pullback.ir.passes.partition_problem import NEVER, Problem


def random_problem(seed, count):
    rng = random.Random(seed)
    out = Problem()
    for k in range(count):
        never = rng.random() < 0.3
        near = range(max(0, k - 5), k)
        needs = rng.sample(near, rng.randint(0, min(k, 3)))
        out.keep.append(4 * rng.choice([1, 2, 4, 8, 32]) + rng.choice([1, 2]))
        out.price.append(NEVER if never else rng.choice([0, 0, 2, 4, 16]))
        out.needs.append([] if never else needs)
        out.read.append(rng.random() < 0.25)
    return out


def best(problem):
    count = len(problem.keep)
    tried = ({k for k in range(count) if m >> k & 1} for m in range(1 << count))
    costs = (cost_of(problem, kept) for kept in tried)
    return min(c for c in costs if c is not None)


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(partition_pieces, "SMALLEST", 2)


@pytest.mark.parametrize("seed", range(60))
def test_the_choice_is_the_best_there_is(seed):
    problem = random_problem(seed, 2 + seed % 8)
    want = best(problem)
    total, kept, again = minimum_cut(problem)
    assert total == want == cost_of(problem, set(kept))
    assert not set(kept) & set(again)
    assert cost_of(problem, set(choose(problem))) == want


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("seed", range(40))
def test_contraction_and_pieces_cost_what_one_cut_costs(seed):
    problem = random_problem(seed, 300)
    total, _, _ = minimum_cut(problem)
    assert cost_of(problem, set(choose(problem))) == total


def test_pieces_meet_at_articulation_values(monkeypatch):
    monkeypatch.setattr(partition_pieces, "SMALLEST", 2)
    # two diamonds, one above the other: 0 -> 1, 2 -> 3 -> 4, 5 -> 6
    needs = [[], [0], [0], [1, 2], [3], [3], [4, 5]]
    problem = Problem([40] * 7, [NEVER, *[6] * 6], needs, [False] * 6 + [True])
    (part,) = partition_pieces._connected(problem, range(7))
    pieces = partition_pieces._articulated(problem, part)
    assert [p.values for p in pieces] == [[0, 1, 2, 3], [4, 5, 6]]
    assert [p.before for p in pieces] == [None, 3]
    assert partition_pieces.decide(problem, range(7)) == ([6], [])


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("seed", range(40))
def test_the_linear_rule_answers_every_problem(seed, monkeypatch):
    monkeypatch.setattr(partition_pieces, "BUDGET", 0)
    problem = random_problem(seed, 200)
    lowest, _, _ = minimum_cut(problem)
    total, kept, _ = linear_rule(problem)
    assert lowest <= cost_of(problem, set(kept)) <= total
    chosen = cost_of(problem, set(choose(problem)))
    assert lowest <= chosen < 1.3 * lowest


def test_the_linear_rule_is_the_best_on_trees():
    #         0 keep 9   1 keep 2
    #           2 = f(0, 1) keep 8, again 1, read
    problem = Problem([9, 2, 8], [NEVER, NEVER, 1], [[], [], [0, 1]], [0, 0, 1])
    assert linear_rule(problem) == (8, [2], [])
    problem.keep[2] = 30
    assert linear_rule(problem) == (12, [1, 0], [2])


def test_a_piece_beyond_the_limit_follows_the_linear_rule(monkeypatch):
    problem = random_problem(3, 300)
    calls = []
    monkeypatch.setattr(
        partition_pieces,
        "linear_rule",
        lambda local: calls.append(len(local.keep)) or linear_rule(local),
    )
    choose(problem)
    assert calls == []
    monkeypatch.setattr(partition_pieces, "LARGEST", 3)
    assert cost_of(problem, set(choose(problem))) is not None
    assert calls
    assert min(calls) > 3


def repeated(problem, times):
    out = Problem()
    count = len(problem.keep)
    for k in range(times):
        out.keep += problem.keep
        out.price += problem.price
        out.read += problem.read
        out.needs += [[k * count + u for u in needs] for needs in problem.needs]
    return out


def test_parts_that_are_the_same_are_cut_once(monkeypatch):
    # 0 and 1 are read by a product each of 2 and 3, which both 4 and 5 need
    needs = [[], [], [0, 1], [0, 1], [2, 3], [2, 3]]
    one = Problem([40] * 6, [NEVER, NEVER, *[7] * 4], needs, [False] * 4 + [True] * 2)
    want, _, _ = minimum_cut(one)
    sizes = []
    monkeypatch.setattr(
        partition_pieces,
        "minimum_cut",
        lambda local: sizes.append(len(local.keep)) or minimum_cut(local),
    )
    many = repeated(one, 3_000)
    assert cost_of(many, set(choose(many))) == 3_000 * want, "the budget is for 833"
    assert len(sizes) == 1
    many.keep[-1] = 39
    choose(many)
    assert len(sizes) == 3, "the last is another"
