"""Take a contracted problem apart and decide each piece.

Values that no need connects are apart. So is what comes before an articulation value
from what comes after it: between two places in the order of definition where only one
value is needed on the other side, that value is all the sides know of each other. The
side before is decided twice, with the value there and not; the difference is what the
side after pays for it. So the pieces together are as exact as one cut.

A piece has at least `SMALLEST` values, since many small cuts are slower than one. If it
has no more than `LARGEST` it is decided by minimum cut, while the values cut add up to
at most `BUDGET`, smaller parts first. Other pieces follow the linear rule.

Programs repeat themselves, a network in each layer: of small parts that are the same
numbers one is decided, and counts once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from .linear_rule import linear_rule
from .mincut import minimum_cut
from .partition_problem import NEVER, Problem

SMALLEST = 200  # values of a piece, but for the last of a part
LARGEST = 5_000  # values of one cut
BUDGET = 5_000  # values of all cuts of a problem
SMALL = 40  # values of a part that is looked up among those before

_Answer = tuple[int, list[int], list[int]]  # the cost, what is kept, what is not


@dataclass(slots=True)
class _Piece:
    """Consecutive values, and their answer without and with the last one read."""

    values: list[int]
    before: int | None  # the articulation value it starts from
    kept: list[set[int]] = field(default_factory=list)
    again: list[set[int]] = field(default_factory=list)


def decide(problem: Problem, active: Sequence[int]) -> tuple[list[int], list[int]]:
    """Return which of the active values are kept, and which are computed again.

    Args:
        problem: its active values need active values only.
        active: the undecided values, in order of definition.
    """
    kept: list[int] = []
    again: list[int] = []
    left = BUDGET
    known: dict[object, _Answer] = {}
    for part in sorted(_connected(problem, active), key=len):
        if len(part) <= SMALL and len(part) < SMALLEST:
            local = _alone(problem, part)
            needs = tuple([tuple(row) for row in local.needs])
            key = tuple(local.keep), tuple(local.price), tuple(local.read), needs
            found = known.get(key)
            if found is None:
                exact = len(part) <= min(LARGEST, left)
                left -= len(part) if exact else 0
                found = known[key] = (minimum_cut if exact else linear_rule)(local)
            kept += [part[k] for k in found[1]]
            again += [part[k] for k in found[2]]
            continue
        pieces = _articulated(problem, part)
        largest = LARGEST if len(part) <= left else 0
        if largest:
            left -= sum(len(p.values) for p in pieces if len(p.values) <= largest)
        _solve(problem, pieces, largest)
        which = 0
        for piece in reversed(pieces):
            which = min(which, len(piece.kept) - 1)
            kept += piece.kept[which] - {piece.before}
            again += piece.again[which]
            which = 1 if piece.before in piece.kept[which] else 0
    return kept, again


def _connected(problem: Problem, active: Sequence[int]) -> list[list[int]]:
    """Return the values in groups that no need connects, each in order."""
    root = {k: k for k in active}

    def find(k: int) -> int:
        while root[k] != k:
            root[k] = root[root[k]]
            k = root[k]
        return k

    for k in active:
        for u in problem.needs[k]:
            root[find(u)] = find(k)
    groups: dict[int, list[int]] = {}
    for k in active:
        groups.setdefault(find(k), []).append(k)
    return list(groups.values())


def _articulated(problem: Problem, part: Sequence[int]) -> list[_Piece]:
    """Return a connected part in pieces, in order of definition."""
    last = {k: k for k in part}  # where a value is needed for the last time
    for k in part:
        for u in problem.needs[k]:
            last[u] = k
    ends: dict[int, int] = {}  # how many values are last needed here
    for k, at in last.items():
        if at != k:
            ends[at] = ends.get(at, 0) + 1
    pieces: list[_Piece] = []
    current = _Piece([], None)
    crossing = 0
    crossing_sum = 0  # of the values that cross: the value itself when there is one
    for k in part:
        current.values.append(k)
        if k in ends:
            gone = [u for u in problem.needs[k] if last[u] == k]
            crossing -= len(gone)
            crossing_sum -= sum(gone)
        if last[k] != k:
            crossing += 1
            crossing_sum += k
        if crossing == 1 and k != part[-1] and len(current.values) >= SMALLEST:
            pieces.append(current)
            current = _Piece([], crossing_sum)
    pieces.append(current)
    return pieces


def _solve(problem: Problem, pieces: Sequence[_Piece], largest: int) -> None:
    """Answer the pieces in order, each knowing what its articulation value costs."""
    price_before = 0
    for number, piece in enumerate(pieces):
        following = pieces[number + 1] if number + 1 < len(pieces) else None
        end = following.before if following is not None else None
        exact = len(piece.values) <= largest
        totals: list[int] = []
        for read_end in (False, True) if end is not None else (False,):
            local, names = _local(problem, piece, price_before)
            if end is not None and read_end:
                local.read[names.index(end)] = True
            solve = minimum_cut if exact else linear_rule
            total, kept, again = solve(local)
            totals.append(total)
            piece.kept.append({names[k] for k in kept})
            piece.again.append({names[k] for k in again})
        price_before = max(totals[-1] - totals[0], 0)


def _alone(problem: Problem, part: Sequence[int]) -> Problem:
    """Return a connected part as a problem of its own."""
    numbers = {k: number for number, k in enumerate(part)}
    return Problem(
        [problem.keep[k] for k in part],
        [problem.price[k] for k in part],
        [[numbers[u] for u in problem.needs[k]] for k in part],
        [problem.read[k] for k in part],
    )


def _local(
    problem: Problem, piece: _Piece, price_before: int
) -> tuple[Problem, list[int]]:
    """Return a piece as a problem of its own, and the names of its values."""
    names = list(piece.values)
    out = Problem()
    if piece.before is not None:
        names.insert(0, piece.before)
    numbers = {k: number for number, k in enumerate(names)}
    for k in names:
        leaf = k == piece.before
        out.keep.append(price_before if leaf else problem.keep[k])
        out.price.append(NEVER if leaf else problem.price[k])
        out.needs.append([] if leaf else [numbers[u] for u in problem.needs[k]])
        out.read.append(problem.read[k] and not leaf)
    return out, names
