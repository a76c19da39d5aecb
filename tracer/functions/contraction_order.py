"""The order in which a product of many operands is contracted in pairs.

Labels and extents alone: nothing here knows of values. Operands that share no label,
not even through others, are multiplied last, when all that can be summed is: an outer
product is never made to be summed later.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

# Sets of operands up to which all orders are compared: six operands that all share
# labels, or a chain of ten.
MOST_SETS = 64


@dataclass(frozen=True, slots=True)
class Way:
    """The cheapest known way to contract a set of operands.

    Attributes:
        labels: of the result.
        work: multiplications.
        kept: elements of all results on the way, this one among them.
        pairs: the sets that are contracted, as bit masks, in order.
    """

    labels: frozenset[str]
    work: int
    kept: int
    pairs: tuple[tuple[int, int], ...]


class Order:
    """Finds the order for one product.

    Args:
        operands: the labels of each operand, without those that it alone has and the
            result has not.
        out: the labels of the result.
        extents: how long each label's axis is.
    """

    def __init__(
        self,
        operands: Sequence[str],
        out: str,
        extents: Mapping[str, int],
    ) -> None:
        self.operands = [frozenset(labels) for labels in operands]
        self.out, self.extents = frozenset(out), extents

    def size(self, labels: frozenset[str]) -> int:
        """Return the elements of an array with these labels."""
        return prod([self.extents[label] for label in labels])

    def _needed(self, inside: int) -> frozenset[str]:
        """Return the labels that the result or an operand outside of a set has."""
        rest = [x for k, x in enumerate(self.operands) if not inside >> k & 1]
        return self.out.union(*rest)

    def joined(self, one: Way, two: Way, sets: tuple[int, int]) -> Way:
        """Return the way that contracts the results of two."""
        both = one.labels | two.labels
        labels = both & self._needed(sets[0] | sets[1])
        return Way(
            labels,
            one.work + two.work + self.size(both),
            one.kept + two.kept + self.size(labels),
            (*one.pairs, *two.pairs, sets),
        )

    def run(self) -> list[tuple[int, int]]:
        """Return the pairs of sets to contract, as bit masks, in order."""
        whole: list[tuple[int, Way]] = []
        for part in self._components():
            found = self._best(part)
            if found is None:
                found = self._greedy(part)
            whole.append((sum(1 << k for k in part), found))
        while len(whole) > 1:
            whole.sort(key=lambda x: self.size(x[1].labels))
            (one, first), (two, second), *rest = whole
            whole = [(one | two, self.joined(first, second, (one, two))), *rest]
        return list(whole[0][1].pairs)

    def _components(self) -> list[list[int]]:
        """Return the operands that share labels, through others too."""
        parts: list[tuple[frozenset[str], list[int]]] = []
        for k, labels in enumerate(self.operands):
            touching = [p for p in parts if p[0] & labels]
            parts = [p for p in parts if not p[0] & labels]
            held = [n for _, inside in touching for n in inside]
            parts.append((labels.union(*[p[0] for p in touching]), [*held, k]))
        return [sorted(inside) for _, inside in parts]

    def _best(self, part: list[int]) -> Way | None:
        """Return the cheapest way; None where there are too many to compare.

        A set is put together of two smaller ones that share a label, the cheapest of
        each: dynamic programming over connected sets (Pfeifer, Haegeman, Verstraete,
        Phys. Rev. E 90, 2014). The least work is taken, then the least memory.
        """
        singles = {1 << k: Way(self.operands[k], 0, 0, ()) for k in part}
        by_count: list[dict[int, Way]] = [{}, singles]
        total = len(singles)
        for count in range(2, len(part) + 1):
            found: dict[int, Way] = {}
            for low in range(1, count // 2 + 1):
                for one, first in by_count[low].items():
                    for two, second in by_count[count - low].items():
                        if one & two or not first.labels & second.labels:
                            continue
                        made = self.joined(first, second, (one, two))
                        known = found.get(one | two)
                        if known is None or (made.work, made.kept) < (
                            known.work,
                            known.kept,
                        ):
                            found[one | two] = made
            total += len(found)
            if total > MOST_SETS:
                return None
            by_count.append(found)
        return by_count[-1][sum(singles)]

    def _greedy(self, part: list[int]) -> Way:
        """Return the way that takes the pair whose result saves most memory next."""
        held = [(1 << k, Way(self.operands[k], 0, 0, ())) for k in part]
        while len(held) > 1:
            best: tuple[tuple[int, int], int, int, Way] | None = None
            for k, (one, first) in enumerate(held):
                for n in range(k + 1, len(held)):
                    two, second = held[n]
                    if not first.labels & second.labels:
                        continue
                    made = self.joined(first, second, (one, two))
                    grown = self.size(made.labels)
                    grown -= self.size(first.labels) + self.size(second.labels)
                    cost = (grown, self.size(first.labels | second.labels))
                    if best is None or cost < best[0]:
                        best = (cost, k, n, made)
            assert best is not None, "all of them share labels"
            _, k, n, made = best
            pair = held[k][0] | held[n][0]
            held = [x for at, x in enumerate(held) if at not in (k, n)]
            held.append((pair, made))
        return held[0][1]
